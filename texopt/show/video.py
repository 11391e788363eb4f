"""Pictures that move: a full turn of the object, and a run seen from one side; as GIF or MP4."""

from __future__ import annotations

import importlib
import io
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from texopt.errors import DependencyError, OptionError, OutputError
from texopt.mesh.mesh import Mesh
from texopt.show.preview import Render, framed
from texopt.system.files import write_file
from texopt.system.images import to_image

if TYPE_CHECKING:
    from texopt.show.history import Step

PICTURES = 100  # of a timelapse
PALETTE_PIXELS = 1 << 16  # that a GIF's colours are chosen from

Encoder = Callable[[Iterable[Image.Image], float], bytes]  # (RGB frames of one size, frames a second) -> the file


def turntable(render: Render, mesh: Mesh, frames: int = 72, elevation: float = 15.0) -> Iterator[Image.Image]:
    """The pictures of one full turn of a mesh, all at one scale; the next after the last would be the first.

    render: gives pictures [B,3,H,W] in [0,1] for cameras; it is called for one at a time, as pictures are asked for.
    elevation: of the cameras, in degrees. OptionError for no frames.
    """
    if frames < 1:
        raise OptionError(f"frames has to be 1 or more, not {frames}")
    azimuth = torch.arange(frames, dtype=torch.float64) * 360 / frames
    cameras = framed(mesh, azimuth, torch.full_like(azimuth, elevation))
    return (to_image(render(cameras[index : index + 1])[0]) for index in range(frames))


def _palette(pictures: list[Image.Image]) -> Image.Image:
    """An image whose palette has the 256 colours that suit all of these pictures best."""
    pixels = [np.asarray(picture).reshape(-1, 3) for picture in pictures]
    stride = (sum(map(len, pixels)) // PALETTE_PIXELS) | 1  # odd, not to keep to some columns
    sample = np.concatenate([some[index % stride :: stride] for index, some in enumerate(pixels)])
    return Image.fromarray(sample[None]).quantize(method=Image.Quantize.MEDIANCUT, kmeans=3)


def _gif(frames: Iterable[Image.Image], fps: float) -> bytes:
    """An endless GIF. Its durations are hundredths of a second, and all the same, so that motion is even.

    One palette for all frames, and no dithering: both would flicker, and dithering takes more bytes.
    """
    pictures = list(frames)
    palette = _palette(pictures)
    first, *others = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures)
    duration = max(round(100 / fps), 2) * 10  # milliseconds; viewers slow down what is under two hundredths
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=duration, loop=0)
    return buffer.getvalue()


def _ffmpeg() -> str:
    """The path of an ffmpeg, which the package imageio-ffmpeg brings or finds."""
    try:
        executable: str = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # it is not installed; it has no program for this machine
        raise DependencyError("MP4 needs ffmpeg: pip install 'texopt[video]'; or write a .gif") from None
    return executable


def _mp4(frames: Iterable[Image.Image], fps: float) -> bytes:
    """H.264 as every player takes it: 4:2:0, an even number of pixels a side (one may be cut off), index in front."""
    with tempfile.TemporaryDirectory() as folder:
        for number, picture in enumerate(frames):
            picture.save(Path(folder) / f"{number:06}.png", compress_level=1)
        command = [
            _ffmpeg(), "-loglevel", "error", "-framerate", f"{fps}", "-i", "%06d.png",
            "-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2,scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd,"
            "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv",
            "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "slow", "-crf", "17",
            "-movflags", "+faststart", "video.mp4",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise OutputError(f"ffmpeg failed ({lines[-1] if lines else done.returncode}); write a .gif instead")
        return (Path(folder) / "video.mp4").read_bytes()


ENCODERS: dict[str, Encoder] = {".gif": _gif, ".mp4": _mp4}


def check_video(path: str | os.PathLike[str]) -> Path:
    """The path, if a video can be written under its name: OutputError for an unknown ending, DependencyError."""
    path = Path(path)
    if path.suffix.lower() not in ENCODERS:
        raise OutputError(f"cannot write a video to {path.name!r}: the ending has to be {' or '.join(ENCODERS)}")
    if path.suffix.lower() == ".mp4":
        _ffmpeg()
    return path


def check_videos(option: str, names: Sequence[str]) -> None:
    """OptionError or DependencyError where an option names an ending that cannot be written."""
    for name in names:
        if f".{name}" not in ENCODERS:
            raise OptionError(f"{option} has to be gif or mp4 or both with a comma, not {name!r}")
        check_video(f"{option}.{name}")


def _alike(frames: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """The frames as RGB; OptionError where there are none or their sizes differ."""
    size = None
    for frame in frames:
        size = size or frame.size
        if frame.size != size:
            raise OptionError(f"the frames of a video have to be of one size, not {size} and {frame.size}")
        yield frame.convert("RGB")
    if size is None:
        raise OptionError("a video needs at least one frame")


def write_video(path: str | os.PathLike[str], frames: Iterable[Image.Image], fps: float = 24) -> Path:
    """Write frames of one size as an endless GIF or as an MP4 (H.264), by the ending; whole or not at all.

    fps: frames a second. A GIF has whole hundredths of a second a frame: 25 for 24.

    Returns the path. OutputError for another ending or where the file cannot be written, DependencyError where the
    package for MP4 is missing, OptionError for frames or a rate that make no video; wrong paths before any frame.
    """
    path = check_video(path)
    if not 0.1 <= fps <= 100:
        raise OptionError(f"fps has to be between 0.1 and 100, not {fps}")
    try:
        data = ENCODERS[path.suffix.lower()](_alike(frames), fps)
    except OSError as error:  # the folder for temporary files is full, or ffmpeg cannot be started
        raise OutputError(f"cannot make {path}: {error.strerror or error}") from None
    write_file(path, data)
    return path


class Timelapse:
    """An `on_step` of texopt.optimize that takes pictures of the run, more often at its beginning; about a hundred.

    render_now: gives the picture as of now. steps: of the whole run. The run goes on as if nobody watched.
    """

    def __init__(self, render_now: Callable[[], Image.Image], steps: int) -> None:
        self.render_now = render_now
        # after step n of N comes picture PICTURES * sqrt(n / N): most of it happens early
        self.due = {max(1, round(steps * (k / PICTURES) ** 2)) for k in range(1, PICTURES + 1)}
        self.pictures: list[bytes] = []  # PNG: exact, and a third of the pixels' bytes

    def __call__(self, step: Step) -> None:
        if step.number in self.due:
            self.take()

    def take(self) -> None:
        """Take a picture now."""
        buffer = io.BytesIO()
        with torch.no_grad():
            self.render_now().save(buffer, "PNG", compress_level=1)
        self.pictures.append(buffer.getvalue())

    def write(self, path: str | os.PathLike[str], fps: float = 24) -> Path:
        """Write the video, which holds the last picture for a second: see write_video, and its errors."""
        held = self.pictures + self.pictures[-1:] * round(fps)
        return write_video(path, (Image.open(io.BytesIO(picture)) for picture in held), fps)
