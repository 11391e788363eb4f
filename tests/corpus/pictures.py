"""Images: as a style, which load_image reads, and as the texture of a mesh."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from corpus.gltfs import BINARY, document, glb
from corpus.pieces import (
    ANY,
    ERROR,
    MTL,
    OBJ,
    PNG,
    SUCCESS,
    Case,
    chunk,
    cuts,
    encoded,
    file_of,
    flips,
    noise,
    png,
    shares,
    zeros,
)

KINDS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="/etc/hostname"/></svg>'
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(executed) (w) file closefile\nshowpage\n"


def _structures(kind: str, data: bytes) -> list[int]:
    """Where the parts of a file begin."""
    marks = {
        "PNG": [b"IHDR", b"IDAT", b"IEND"],
        "JPEG": [b"\xff\xdb", b"\xff\xc0", b"\xff\xc4", b"\xff\xda"],
        "GIF": [b"\x2c"],
        "WEBP": [b"WEBP", b"VP8"],
        "TIFF": [],
        "BMP": [],
    }[kind]
    places = [data.find(mark) + step for mark in marks for step in (-4, 0, 2, 4, 8)]
    return [0, 1, 4, 8, 12, 20, 26, 40, len(data) - 1, *places, *shares(data, 6)]


def _headers() -> Iterator[tuple[str, bytes, str]]:
    """Sizes that the files do not have."""
    for width, height in (
        (60000, 60000),
        (2**31 - 1, 1),
        (1, 2**31 - 1),
        (2**32 - 1, 2**32 - 1),
        (0, 0),
        (0, 5),
        (2**31, 2),
    ):
        yield f"PNG of {width}x{height}", png(width, height, zeros(1000)), ERROR
    jpeg, at = bytearray(encoded("JPEG")), encoded("JPEG").index(b"\xff\xc0")
    for width, height in ((60000, 60000), (65535, 65535), (0, 0), (65500, 1)):
        jpeg[at + 5 : at + 9] = struct.pack(">HH", height, width)
        yield f"JPEG of {width}x{height}", bytes(jpeg), ANY
    gif = bytearray(encoded("GIF"))
    for width, height in ((60000, 60000), (65535, 65535), (0, 0)):
        gif[6:10] = struct.pack("<HH", width, height)
        yield f"GIF of {width}x{height}", bytes(gif), ANY
    place = gif.index(b"\x2c", 13 + 768)
    frame = bytearray(encoded("GIF"))
    frame[place + 5 : place + 9] = struct.pack("<HH", 60000, 60000)
    yield "GIF with a frame of 60000x60000", bytes(frame), ANY
    for width, height in ((60000, 60000), (-24, 24), (24, -24), (2**31 - 1, -(2**31)), (0, 0), (-(2**31), 1)):
        bmp = bytearray(encoded("BMP"))
        bmp[18:26] = struct.pack("<ii", width, height)
        yield f"BMP of {width}x{height}", bytes(bmp), ANY
    webp = bytearray(encoded("WEBP", lossless=True))
    webp[21:25] = b"\xff\xff\xff\x0f"
    yield "WebP of 16384x16384", bytes(webp), ANY
    for width, height in ((60000, 60000), (2**32 - 1, 1), (0, 0)):
        entries = [
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, 1, 8),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (273, 4, 1, 8),
            (278, 4, 1, height),
            (279, 4, 1, 2**31),
        ]
        yield (
            f"TIFF of {width}x{height}",
            b"II*\0\x08\0\0\0"
            + struct.pack("<H", len(entries))
            + b"".join(struct.pack("<HHII", *entry) for entry in entries)
            + bytes(4),
            ANY,
        )
    yield (
        "TIFF that goes round",
        b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 256, 4, 1, 9) + struct.pack("<I", 8),
        ERROR,
    )
    yield "TIFF of many entries", b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 256, 4, 2**31, 8) * 65535, ERROR


def _blank(kind: str, mode: str, **options: Any) -> bytes:
    return encoded(kind, Image.new(mode, (9_000, 9_000)), **options)


def _bombs() -> Iterator[tuple[str, Callable[[], bytes], str]]:
    """Small files that stand for much."""

    def rows(side: int, pixel: int, *layout: int) -> Callable[[], bytes]:
        return lambda: png(side, side, zeros(side * (pixel * side + 1)), *layout)

    def after(kind: bytes, head: bytes, count: int) -> Callable[[], bytes]:
        return lambda: png(4, 4, zeros(52), after=chunk(kind, head + zeros(count)))

    def frames(kind: str, count: int) -> Callable[[], bytes]:
        others = [Image.new("RGB", (8, 8), (index % 255, 0, 0)) for index in range(count)]
        return lambda: encoded(kind, noise(8), save_all=True, append_images=others)

    yield "PNG bomb of 9000", rows(9_000, 3), SUCCESS
    yield "PNG bomb of 13000", rows(13_000, 3), ERROR
    yield "PNG bomb of 20000", rows(20_000, 3), ERROR
    yield "PNG bomb of greys", rows(9_000, 2, 16, 0), ANY
    yield "PNG bomb of alpha", rows(9_000, 4, 8, 6), ANY
    yield "PNG bomb of 16-bit alpha", rows(9_000, 8, 16, 6), ANY
    yield "PNG with more rows than it says", lambda: png(10, 10, zeros(500_000_000)), ANY
    yield "PNG with a bomb of text", after(b"zTXt", b"a\0\0", 500_000_000), ANY
    yield "PNG with a bomb of a profile", after(b"iCCP", b"a\0\0", 200_000_000), ANY
    yield "PNG with many chunks", lambda: png(4, 4, zeros(52), after=chunk(b"tEXt", b"a\0b") * 300_000), ANY
    yield "GIF of many frames", frames("GIF", 500), SUCCESS
    yield "animated WebP", frames("WEBP", 3), SUCCESS
    yield "animated PNG", frames("PNG", 3), SUCCESS
    yield "JPEG bomb of 9000", partial(_blank, "JPEG", "L"), ANY
    yield "GIF bomb of 9000", partial(_blank, "GIF", "L"), ANY
    yield "TIFF bomb of 9000", partial(_blank, "TIFF", "L", compression="tiff_deflate"), ANY
    yield "WebP bomb of 9000", partial(_blank, "WEBP", "RGB", lossless=True, method=0), ANY
    yield "TIFF bomb of floats", partial(_blank, "TIFF", "F", compression="tiff_deflate"), ANY
    yield "turned by its EXIF", _turned, ANY
    yield "JPEG of 2000 scans", _scans, ANY


def _scans() -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    whole = encoded("JPEG", Image.new("RGB", (6_000, 6_000)), progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * 2000 + b"\xff\xd9"


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", Image.new("RGB", (9_000, 9_000)), exif=exif)


def _others() -> Iterator[tuple[str, bytes, str]]:
    for name, data in {
        "an SVG": SVG,
        "an SVG with a prolog": b'<?xml version="1.0"?>' + SVG,
        "HTML": b"<!doctype html><script>alert(1)</script>",
        "nothing": b"",
        "NULs": bytes(5000),
        "text": b"hello\n" * 100,
        "PDF": b"%PDF-1.4\n%%EOF",
        "an OBJ": OBJ.encode(),
        "PostScript": POSTSCRIPT,
        "ZIP": b"PK\x05\x06" + bytes(18),
        "only a signature": b"\x89PNG\r\n\x1a\n",
        "a Windows metafile": struct.pack("<IHhhhhHIH", 0x9AC6CDD7, 0, 0, 0, 99, 99, 96, 0, 0) + bytes(18),
        "a gzipped FITS": b"SIMPLE  =                    T" + bytes(2880),
    }.items():
        yield f"{name} as PNG", data, ERROR
    for palette in (b"", b"\xff", bytes(3)):
        rows = zlib.compress(b"\0\xff\xff\xff\xff" * 4)
        after = chunk(b"PLTE", palette) if palette else b""
        yield f"PNG with a palette of {len(palette)}", png(4, 4, rows, 8, 3, after), ANY
    for number, (depth, color) in enumerate(((3, 2), (8, 7), (16, 3), (0, 0), (255, 255))):
        yield f"PNG of odd depth {number}", png(4, 4, zeros(100), depth, color), ERROR
    nan = Image.fromarray(np.full((8, 8), np.nan, np.float32))
    yield "TIFF of NaN", encoded("TIFF", nan), ANY
    yield "TIFF of infinity", encoded("TIFF", Image.fromarray(np.full((8, 8), np.inf, np.float32))), ANY
    yield "TIFF of negative numbers", encoded("TIFF", Image.fromarray(np.full((8, 8), -(2**31), np.int32))), ANY
    yield "PNG and rubbish after it", PNG + bytes(10_000), SUCCESS
    yield "EXIF of rubbish", encoded("JPEG", exif=b"Exif\0\0" + b"II*\0\xff\xff\xff\x7f"), ANY


def cases() -> Iterator[Case]:
    for kind in KINDS:
        data = encoded(kind)
        for length, start in cuts(data, _structures(kind, data)):
            yield Case(f"{kind}/cut at {length}", "image", file_of("a.png", start))
        for number, spoilt in enumerate(flips(data, 8, 5)):
            yield Case(f"{kind}/flipped {number}", "image", file_of("a.png", spoilt))
    for name, data, ends in (*_headers(), *_others()):
        yield Case(f"image/{name}", "image", file_of("a.png", data), ends)
        yield Case(f"texture/{name}", "mesh", file_of("a.obj", OBJ, a_mtl=MTL, skin_png=data), ends)
    for name, data, ends in _bombs():
        yield Case(f"image/{name}", "image", file_of("a.png", data), ends)
    for name, data, ends in _bombs():
        if name in ("PNG bomb of 13000", "PNG bomb of alpha"):
            yield Case(f"texture/{name}", "mesh", file_of("a.obj", OBJ, a_mtl=MTL, skin_png=data), ends)
    for name, data in (("SVG", SVG), ("bomb", png(60000, 60000, zeros(1000)))):
        content = document()
        content["bufferViews"][3]["byteLength"] = len(data)
        whole = glb(content, BINARY[:92] + data + bytes(-len(data) % 4))
        yield Case(f"texture/{name} in a GLB", "mesh", file_of("a.glb", whole), ERROR)
