"""Images in and files out: load_image, to_tensor, to_image."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from texopt.errors import ImageError
from texopt.system.images import load_image, png_bytes, to_image, to_tensor


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 256, (height, width, channels)).astype(np.uint8)
    return values[..., 0] if channels == 1 else values


def test_rgb_is_exact(tmp_path: Path) -> None:
    Image.fromarray(noise(5, 7)).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png")
    assert (image.mode, image.size) == ("RGB", (7, 5))
    np.testing.assert_array_equal(np.asarray(image), noise(5, 7))


def test_grey(tmp_path: Path) -> None:
    Image.fromarray(noise(5, 7, 1)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "a.png")), noise(5, 7, 1)[..., None].repeat(3, 2))


def test_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(noise(5, 7, 1) > 127).save(tmp_path / "a.png")
    expected = np.where(noise(5, 7, 1) > 127, 255, 0)[..., None].repeat(3, 2)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "a.png")), expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_over_white(tmp_path: Path, mode: str) -> None:
    values = noise(6, 6, len(mode))
    values[0, :, -1], values[1, :, -1] = 0, 255
    image = Image.merge(mode, [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(values, -1, 0)])
    image.save(tmp_path / "a.png")
    alpha = values[..., -1:] / 255.0
    expected = np.broadcast_to(values[..., :-1] * alpha + 255 * (1 - alpha), (6, 6, 3))
    np.testing.assert_allclose(np.asarray(load_image(tmp_path / "a.png")).astype(float), expected, atol=1.01)


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.png", transparency=1)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "a.png"))[0], np.eye(3) * 255)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "b.png"))[0, 1], [255, 255, 255])
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "b.png"))[0, 2], [0, 0, 255])


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, ending: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / f"a.{ending}")
    image = np.asarray(load_image(tmp_path / f"a.{ending}"))
    np.testing.assert_allclose(image[..., 1], np.arange(256).reshape(16, 16), atol=1)
    assert image.max() == 255


def test_float_tiff(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "a.tif")
    image = np.asarray(load_image(tmp_path / "a.tif")).astype(float)
    np.testing.assert_allclose(image[..., 0], np.linspace(0, 255, 64).reshape(8, 8), atol=1)


@pytest.mark.parametrize("ending", ["jpg", "tif"])
def test_cmyk(tmp_path: Path, ending: str) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / f"a.{ending}")
    np.testing.assert_allclose(np.asarray(load_image(tmp_path / f"a.{ending}")).mean((0, 1)), [255, 0, 0], atol=8)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise(5, 7)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "a.png")), np.rot90(noise(5, 7), turns))


def test_one_pixel_and_min_size(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").getpixel((0, 0)) == (1, 2, 3)
    with pytest.raises(ImageError, match=r"1x1.*at least 32 pixels"):
        load_image(tmp_path / "a.png", min_size=32)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_image(tmp_path / "a.gif").getpixel((2, 2)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated(tmp_path: Path, kind: str, share: float) -> None:
    buffer = io.BytesIO()
    Image.fromarray(noise(40, 50)).save(buffer, kind)
    (tmp_path / "a").write_bytes(buffer.getvalue()[: int(share * buffer.tell())])
    with pytest.raises(ImageError) as caught:
        load_image(tmp_path / "a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"hello", bytes(range(256)) * 4, b"\x89PNG\r\n\x1a\n" + b"x" * 50])
def test_not_an_image(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.png.*; convert it"):
        load_image(tmp_path / "a.png")


def test_whatever_pillow_raises_is_an_image_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders of damaged files (AVIF's, for one) raise RuntimeError."""
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")

    def broken(*_: object) -> None:
        raise RuntimeError("Failed to decode image")

    monkeypatch.setattr(Image.Image, "load", broken)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", broken, raising=False)
    with pytest.raises(ImageError, match="Failed to decode image"):
        load_image(tmp_path / "a.png")


def test_a_directory_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a directory"):
        load_image(tmp_path)
    with pytest.raises(ImageError, match=r"none\.png does not exist"):
        load_image(tmp_path / "none.png")


def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 4)  # an error from twice as many on
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="is too large; scale it down"):
        load_image(tmp_path / "a.png")


def test_to_image_inverts_to_tensor() -> None:
    image = Image.fromarray(noise(5, 7))
    values = to_tensor(image)
    assert values.shape == (3, 5, 7)
    assert 0 <= values.min() <= values.max() <= 1
    np.testing.assert_array_equal(np.asarray(to_image(values)), noise(5, 7))


def test_to_image_rounds_and_clamps() -> None:
    values = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 2.0]).expand(3, 1, 4)
    np.testing.assert_array_equal(np.asarray(to_image(values))[0, :, 0], [0, 0, 1, 255])


@pytest.mark.parametrize("opaque", [True, False])
def test_pngs_of_16_bits(opaque: bool) -> None:
    """Pillow reads it, and every one of the 65536 values is in it; opacity is resized."""
    values = torch.arange(65536.0).reshape(1, 256, 256).expand(3, -1, -1) / 65535
    alpha = None if opaque else np.full((2, 2), 128, np.uint8)
    data = png_bytes(values, alpha, 16)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (256, 256)
        assert image.mode == ("RGB" if opaque else "RGBA")
        np.testing.assert_array_equal(np.asarray(image)[..., 0].ravel(), np.arange(65536) // 256)
    raw = zlib.decompress(b"".join(data[offset : offset + size] for offset, size in idat(data)))
    width = 256 * 2 * (3 if opaque else 4)
    rows = np.frombuffer(raw, np.uint8).reshape(256, 1 + width)
    decoded = np.cumsum(rows[:, 1:], 0, dtype=np.uint8).reshape(256, 256, -1, 2)
    found = decoded[..., 0].astype(int) * 256 + decoded[..., 1]
    np.testing.assert_array_equal(found[..., 0].ravel(), np.arange(65536))
    if not opaque:
        assert (found[..., 3] == 128 * 257).all()


def idat(data: bytes) -> list[tuple[int, int]]:
    """Where the compressed rows of a PNG are: (offset, size)."""
    found, offset = [], 8
    while offset < len(data):
        (size,), kind = struct.unpack_from(">I", data, offset), data[offset + 4 : offset + 8]
        if kind == b"IDAT":
            found.append((offset + 8, size))
        offset += 12 + size
    return found
