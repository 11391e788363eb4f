"""Videos: a full turn, a run, and what is in the files that are written."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

import texopt
from texopt import Cameras, DependencyError, FeatureExtractor, Mesh, OptionError, OutputError, Step
from texopt.render.scene import Scene
from texopt.show.preview import draw, framed, still
from texopt.show.video import PICTURES, Timelapse, check_video, turntable, write_video
from texopt.system.images import to_image

SIZE = 48


@pytest.fixture
def texture() -> Tensor:
    return torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))


def moving(count: int, size: tuple[int, int] = (64, 48)) -> list[Image.Image]:
    """A red square that moves over a smooth background."""
    x, y = np.meshgrid(np.linspace(40, 215, size[0]), np.linspace(40, 215, size[1]))
    frames = []
    for number in range(count):
        pixels = np.stack([x, y, 255 - x], -1).round().astype(np.uint8)
        pixels[8:24, 3 * number : 3 * number + 16] = (220, 20, 30)
        frames.append(Image.fromarray(pixels))
    return frames


def values(frames: object) -> np.ndarray:
    return np.stack([np.asarray(frame.convert("RGB")) for frame in frames]).astype(float)  # type: ignore[attr-defined]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(a - b).mean()))


def test_a_turn_has_its_frames_and_closes(cube: Mesh, texture: Tensor) -> None:
    scene, seen = Scene(cube), []

    def render(cameras: Cameras) -> Tensor:
        seen.append(cameras)
        return draw(scene, cameras, SIZE, texture)[0]

    frames = list(turntable(render, cube, 10, elevation=20.0))
    assert [frame.size for frame in frames] == [(SIZE, SIZE)] * 10
    assert max(map(len, seen)) == 1
    views = torch.cat([cameras.view for cameras in seen])
    # every camera turned by a tenth is the next one, and the last one so turned is the first
    angle = torch.tensor(2 * torch.pi / 10, dtype=torch.float64)
    turn = torch.eye(4, dtype=torch.float64)
    turn[0, 0] = turn[2, 2] = angle.cos()
    turn[0, 2], turn[2, 0] = -angle.sin(), angle.sin()
    torch.testing.assert_close(views @ turn, views.roll(-1, 0))
    once_more = draw(scene, framed(cube, [36.0 * k for k in range(11)], [20.0] * 11), SIZE, texture)[0]
    assert np.array_equal(frames[0], to_image(once_more[10]))
    assert not np.array_equal(frames[0], frames[5])


def test_frames_are_drawn_when_they_are_asked_for(cube: Mesh) -> None:
    drawn = 0

    def render(cameras: Cameras) -> Tensor:
        nonlocal drawn
        drawn += len(cameras)
        return torch.zeros(len(cameras), 3, 4, 4)

    frames = turntable(render, cube, 100)
    assert drawn == 0
    next(frames)
    assert drawn == 1
    assert len(list(frames)) == 99
    with pytest.raises(OptionError, match="frames"):
        turntable(render, cube, 0)


def test_framed_views_are_filled_and_centred(cube: Mesh) -> None:
    lopsided = torch.from_numpy(cube.vertices.copy())
    lopsided[lopsided[:, 1] > 0] *= torch.tensor([0.2, 1.0, 3.0])
    mesh = texopt.Mesh(**{**vars(cube), "vertices": lopsided.numpy()})
    for azimuth, elevation in (([0.0, 50.0, 200.0], [10.0, -60.0, 35.0]), ([30.0], [15.0]), ([0.0], [90.0])):
        cameras = framed(mesh, azimuth, elevation)
        clip = cameras.project(mesh.unit_vertices().double())
        corners = (clip[..., :3] / clip[..., 3:]).flatten(0, 1)
        low, high = corners.amin(0), corners.amax(0)
        assert corners.abs().max() < 1, "all of it is in the picture, between near and far"
        torch.testing.assert_close(low[:2], -high[:2], atol=1e-3, rtol=0)
        assert float(high[:2].max()) == pytest.approx(0.96, abs=1e-3)
        assert cameras.view[:, :3, 3].norm(dim=1).std(correction=0) < 1e-9, "one scale"


def test_a_still_is_one_view(cube: Mesh, texture: Tensor) -> None:
    scene = Scene(cube)
    picture = np.asarray(still(lambda cameras: draw(scene, cameras, SIZE, texture)[0], cube, 0.0, 0.0)).astype(int)
    behind = (np.abs(picture - picture[0, 0]) <= 1).all(-1)
    assert picture.shape == (SIZE, SIZE, 3)
    assert not behind[3:-3, 3:-3].any(), "a cube from the front is a square"
    assert behind[0].all()


@pytest.mark.parametrize(("fps", "milliseconds"), [(24, 40), (10, 100), (3, 330), (100, 20)])
def test_gif_reads_back(tmp_path: Path, fps: float, milliseconds: int) -> None:
    frames = moving(9)
    assert write_video(tmp_path / "new" / "a.gif", iter(frames), fps) == tmp_path / "new" / "a.gif"
    with Image.open(tmp_path / "new" / "a.gif") as gif:
        assert gif.info["loop"] == 0
        assert gif.n_frames == 9  # type: ignore[attr-defined]
        durations, back = [], []
        for frame in ImageSequence.Iterator(gif):
            durations.append(frame.info["duration"])
            back.append(frame.convert("RGB"))
    assert durations == [milliseconds] * 9
    assert psnr(values(back), values(frames)) > 32


def test_what_does_not_move_does_not_flicker_in_a_gif(tmp_path: Path) -> None:
    frames = moving(9)
    write_video(tmp_path / "a.gif", frames)
    with Image.open(tmp_path / "a.gif") as gif:
        back = values(frame.copy() for frame in ImageSequence.Iterator(gif))
    still_pixels = (values(frames) == values(frames)[:1]).all((0, -1))
    assert 0.3 < still_pixels.mean() < 1
    assert (back[:, still_pixels] == back[:1, still_pixels]).all()


def decode(path: Path, size: tuple[int, int]) -> np.ndarray:
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    command = [ffmpeg, "-v", "error", "-i", str(path), "-sws_flags", "accurate_rnd+full_chroma_int"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, size[1], size[0], 3).astype(float)


@pytest.mark.parametrize("size", [(64, 48), (65, 47)])
def test_mp4_shows_the_frames(tmp_path: Path, size: tuple[int, int]) -> None:
    pytest.importorskip("imageio_ffmpeg")
    frames = moving(9, size)
    write_video(tmp_path / "a.MP4", frames)
    even = (size[0] // 2 * 2, size[1] // 2 * 2)
    back = decode(tmp_path / "a.MP4", even)
    assert len(back) == 9
    expected = values(frames)[:, : even[1], : even[0]]
    assert psnr(back, expected) > 30  # 4:2:0 blurs the square's edge
    assert np.median(np.abs(back - expected)) <= 1.0, "colours are where they were"
    data = (tmp_path / "a.MP4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "it plays while it loads"


def test_mp4_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(DependencyError, match=r"pip install 'texopt\[video\]'; or write a .gif"):
        write_video(tmp_path / "a.mp4", never())
    write_video(tmp_path / "a.gif", moving(2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def never() -> Iterator[Image.Image]:
    """Frames that must not be drawn."""
    raise AssertionError("drawn for nothing")
    yield


@pytest.mark.parametrize("name", ["a.avi", "a", "gif"])
def test_other_endings(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"\.gif or \.mp4"):
        write_video(tmp_path / name, never())
    with pytest.raises(OutputError, match="ending"):
        check_video(tmp_path / name)


@pytest.mark.parametrize("fps", [0.0, -1.0, 1e9, float("nan")])
def test_rates_that_cannot_be(tmp_path: Path, fps: float) -> None:
    with pytest.raises(OptionError, match="fps"):
        write_video(tmp_path / "a.gif", never(), fps)


@pytest.mark.parametrize("ending", [".gif", ".mp4"])
def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    if ending == ".mp4":
        pytest.importorskip("imageio_ffmpeg")
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    out.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    (out / f"a{ending}").write_bytes(b"as it was")

    def broken(error: BaseException) -> Iterator[Image.Image]:
        yield from moving(3)
        raise error

    for error in (KeyboardInterrupt(), RuntimeError()):
        with pytest.raises(type(error)):
            write_video(out / f"a{ending}", broken(error))
    with pytest.raises(OptionError, match="one size"):
        write_video(out / f"a{ending}", moving(2) + moving(1, (32, 32)))
    with pytest.raises(OptionError, match="at least one"):
        write_video(out / f"a{ending}", [])
    (out / f"b{ending}").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_video(out / f"b{ending}", moving(2))
    assert (out / f"a{ending}").read_bytes() == b"as it was"
    assert sorted(path.name for path in out.iterdir()) == [f"a{ending}", f"b{ending}"]
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(("program", "reason"), [(sys.executable, "ffmpeg failed"), ("no-such-program", "cannot make")])
def test_an_ffmpeg_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str) -> None:
    monkeypatch.setattr("texopt.show.video._ffmpeg", lambda: program)
    with pytest.raises(OutputError, match=reason):
        write_video(tmp_path / "a.mp4", moving(2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps", [1, 7, 300, 4321])
def test_a_timelapse_is_denser_at_the_beginning(steps: int) -> None:
    taken: list[int] = []
    now = 0

    def render_now() -> Image.Image:
        assert not torch.is_grad_enabled()
        taken.append(now)
        return Image.new("RGB", (4, 4))

    timelapse = Timelapse(render_now, steps)
    for now in range(1, steps + 1):
        timelapse(Step(now, steps, 0.0))
    assert taken[0] == 1
    assert taken[-1] == steps
    assert min(steps, 0.7 * PICTURES) <= len(taken) <= PICTURES
    if steps >= 100:
        assert sum(number <= steps / 4 for number in taken) > 0.35 * len(taken)
        assert np.diff(taken).max() <= 0.02 * steps + 1


def test_a_timelapse_holds_its_last_picture(tmp_path: Path) -> None:
    frames = iter(moving(5))
    timelapse = Timelapse(lambda: next(frames), 5)
    for number in range(1, 6):
        timelapse(Step(number, 5, 0.0))
    timelapse.write(tmp_path / "a.gif", fps=10)
    with Image.open(tmp_path / "a.gif") as gif:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    assert durations == [100] * 4 + [1100]


def test_a_timelapse_does_not_change_the_run(cube: Mesh, extractor: FeatureExtractor) -> None:
    scene, camera = Scene(cube), framed(cube, [30.0], [15.0])

    def run(watched: bool) -> tuple[Tensor, list[bytes]]:
        texture = texopt.PyramidTexture(32, generator=torch.Generator().manual_seed(2))
        timelapse = Timelapse(lambda: to_image(draw(scene, camera, SIZE, texture.bake())[0][0]), 6)
        texopt.optimize(
            cube,
            texture,
            texopt.channel("act1", 3),
            steps=6,
            views=texopt.Views(size=32),
            backbone=extractor,
            device="cpu",
            on_step=timelapse if watched else None,
        )
        return texture.bake().detach(), timelapse.pictures

    alone, _ = run(False)
    seen, pictures = run(True)
    assert torch.equal(alone, seen)
    assert len(set(pictures)) == 6, "and the pictures show it change"
