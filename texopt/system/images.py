"""Read and write images: what Pillow opens of FORMATS, as sRGB values in [0,1]."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from texopt.errors import ImageError

# Pillow reads some more, of which some start other programs (PostScript's) or are seldom looked after
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "TGA", "PPM", "DDS", "JPEG2000", "AVIF", "ICO", "PSD")
MOST_PIXELS = 100_000_000  # takes 1.5 GB while it is decoded
STRAIGHT = {"RGBa": "RGBA", "La": "LA"}  # Pillow's modes whose colours are multiplied with opacity, and theirs without
COMPRESSION = 4  # zlib's level of PNGs
ORIENTATION = 0x0112  # EXIF's
MOST_SCANS = 100  # of a progressive JPEG, which has about ten; each takes as long as the whole picture


def _scaled(image: Image.Image) -> Image.Image:
    """Greys of more than 8 bits as 8 bits, by rows."""
    values = np.asarray(image)
    top = np.nanmax(values)
    factor = 255.0 if image.mode == "F" and top <= 1 else 1 / 257.0 if image.mode != "F" and top > 255 else 1.0
    grey = np.empty(values.shape, np.uint8)
    for row, scaled in zip(values, grey, strict=True):
        scaled[:] = np.nan_to_num(row * factor).clip(0, 255)
    return Image.fromarray(grey)


def _to_8_bits(image: Image.Image, upright: bool) -> Image.Image:
    """8-bit RGB or RGBA; 16-bit greys are scaled and not clipped."""
    image.load()
    if upright:
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        image = _scaled(image)
    mode = "RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB"
    return image.convert(mode)


def _check_size(image: Image.Image, source: bytes | Path) -> None:
    """DecompressionBombError where the file stands for too many pixels; before any is decoded."""
    if image.width * image.height > MOST_PIXELS:
        raise Image.DecompressionBombError
    if image.format in ("JPEG", "MPO"):
        data = source if isinstance(source, bytes) else source.read_bytes()
        if data.count(b"\xff\xda") > MOST_SCANS:
            raise Image.DecompressionBombError


@cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]  # some are left out of some builds of Pillow


def inside(path: Path, folder: Path) -> bool:
    """Whether a path, after links are followed, lies in a folder or below it."""
    return path.resolve().is_relative_to(folder.resolve())


def load_rgba(source: str | os.PathLike[str] | bytes, name: str = "", upright: bool = True) -> Image.Image:
    """The image in a file as 8-bit RGB, or RGBA if it has opacity; the first frame of an animation.

    Args:
        source: a path, or the bytes of a file.
        name: for messages, where `source` is bytes.
        upright: turned as its EXIF orientation says, for pictures to be looked at. Where something else says where
            which pixel is, UVs or a camera, it is of the pixels as they are stored.

    Raises ImageError where the file is missing, is no image, is truncated, or has more than MOST_PIXELS.
    """
    if isinstance(source, bytes):
        path, file = Path(name or "image"), io.BytesIO(source)
    else:
        path = file = Path(source)  # type: ignore[assignment]
        if not os.path.isfile(path):
            what = "is a directory" if os.path.isdir(path) else "does not exist or is no regular file"
            raise ImageError(f"image {path} {what}; give the path of an image file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=_formats()) as image:
                _check_size(image, source if isinstance(source, bytes) else path)
                return _to_8_bits(image, upright)
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not an image that Pillow can read; convert it to PNG or JPEG") from None
    except Image.DecompressionBombError:
        raise ImageError(f"image {path} is too large; scale it down to 10000 pixels a side or less") from None
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them run into
        raise ImageError(f"image {path} cannot be read ({error}); convert it to PNG or JPEG") from None


def load_image(source: str | os.PathLike[str], min_size: int = 1, upright: bool = True) -> Image.Image:
    """As load_rgba, and always RGB: opacity over white. ImageError also where a side is under `min_size` pixels."""
    return opaque(load_rgba(source, upright=upright), f"image {source}", min_size, upright=False)  # it is by now


def opaque(image: Image.Image, name: str, min_size: int = 1, upright: bool = True) -> Image.Image:
    """An image of any mode as 8-bit RGB, opacity over white, and upright as its EXIF says unless that is not wanted.

    ImageError, with its name, where a side is under `min_size` pixels, or Pillow knows no way from its mode to RGB.
    """
    if min(image.size) < min_size:
        size = "{}x{}".format(*image.size)
        raise ImageError(f"{name} is {size}; it needs at least {min_size} pixels a side")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of EXIF that is damaged
        if image.mode == "RGB" and not (upright and image.getexif().get(ORIENTATION, 1) != 1):
            return image
        try:
            image = _to_8_bits(image.convert(STRAIGHT[image.mode]) if image.mode in STRAIGHT else image.copy(), upright)
        except ValueError:
            raise ImageError(f"{name} is of mode {image.mode}, which Pillow does not convert; make it RGB") from None
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image


def to_tensor(image: Image.Image) -> Tensor:
    """float32 [3,H,W] in [0,1]."""
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255.0


def to_image(values: Tensor) -> Image.Image:
    """[3 or 4,H,W] in [0,1] -> 8-bit image RGB or RGBA, rounded to nearest."""
    channels = [(one.detach().float().cpu().clamp(0, 1) * 255.0).round_().byte() for one in values]
    return Image.fromarray(torch.stack(channels, -1).numpy())


def png_bytes(values: Tensor, alpha: np.ndarray | None = None, bits: int = 8) -> bytes:
    """[3,H,W] in [0,1] as a PNG with 8 or 16 bits a channel, rounded to nearest.

    alpha: opacity uint8 [h,w], resized to fit.
    """
    size = (values.shape[2], values.shape[1])
    opacity = None if alpha is None else Image.fromarray(alpha).resize(size, Image.Resampling.BILINEAR)
    if bits == 16:
        array = np.empty((*values.shape[1:], 3 if opacity is None else 4), ">u2")
        for channel, one in enumerate(values):  # one at a time, as float64 is large
            numbers = one.detach().cpu().to(torch.float64, copy=True)
            array[..., channel] = numbers.clamp_(0, 1).mul_(65535.0).round_().numpy()
        if opacity is not None:
            array[..., 3] = 257 * np.asarray(opacity, np.uint16)
        return _png16(array)
    picture = to_image(values)
    if opacity is not None:
        picture.putalpha(opacity)
    return png_of(picture)


def png_of(image: Image.Image) -> bytes:
    """An image as a PNG. At zlib's level 4, which takes half as long as 6 and gives 3 % more bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=COMPRESSION)
    return buffer.getvalue()


def _png16(array: np.ndarray) -> bytes:
    """A PNG of big-endian uint16 [H,W,3 or 4], which Pillow does not write (W3C, PNG specification, 2003, 5 and 9)."""
    height, width, channels = array.shape
    rows = np.ascontiguousarray(array).view(np.uint8).reshape(height, width * 2 * channels)
    lines = np.full((height, 1 + rows.shape[1]), 2, np.uint8)  # filter 2: the difference to the row above
    lines[:, 1:] = rows
    lines[1:, 1:] -= rows[:-1]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines.data, COMPRESSION)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def resized(image: Tensor, height: int, width: int) -> Tensor:
    """[C,h,w] -> [C,height,width], antialiased."""
    if image.shape[1:] == (height, width):
        return image
    return F.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]
