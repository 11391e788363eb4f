"""What the cases are made of: small valid files, and ways to spoil them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ANY, ERROR, SUCCESS = "any", "error", "success"


@dataclass(frozen=True)
class Case:
    """make: writes into an empty folder, and returns what is to be loaded. entry: what loads it (corpus.worker).

    ends: ERROR, SUCCESS or, where either will do, ANY. says: what the message has in it.
    """

    name: str
    entry: str
    make: Callable[[Path], Path]
    ends: str = ANY
    says: str = ""

    @property
    def kind(self) -> str:
        return self.name.partition("/")[0]


Content = bytes | str | Callable[[], bytes]  # of a file; large ones are made when they are needed


def file_of(name: str, data: Content, **beside: Content) -> Callable[[Path], Path]:
    """A maker of one file; `beside` are others, by names with _ for the dot."""

    def make(folder: Path) -> Path:
        for other, content in {name: data, **{key.replace("_", "."): value for key, value in beside.items()}}.items():
            written = content if isinstance(content, bytes | str) else content()
            (folder / other).write_bytes(written if isinstance(written, bytes) else written.encode())
        return folder / name

    return make


def streamed(name: str, *parts: tuple[bytes, int], **beside: bytes | str) -> Callable[[Path], Path]:
    """A maker of one large file: each of the parts as often as it says."""

    def make(folder: Path) -> Path:
        for other, content in beside.items():
            (folder / other.replace("_", ".")).write_bytes(content if isinstance(content, bytes) else content.encode())
        with (folder / name).open("wb") as file:
            for data, count in parts:
                at_once = max(1, (1 << 20) // len(data))
                for start in range(0, count, at_once):
                    file.write(data * min(at_once, count - start))
        return folder / name

    return make


def cuts(data: bytes, at: Iterator[int] | list[int]) -> Iterator[tuple[int, bytes]]:
    """The beginnings of a file, each once."""
    return ((length, data[:length]) for length in sorted({length for length in at if 0 <= length < len(data)}))


def shares(data: bytes, count: int) -> list[int]:
    return [len(data) * part // count for part in range(count)]


def flips(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """The file with one to four bytes replaced by random ones."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        spoilt = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 5)):
            spoilt[place] = rng.integers(256)
        yield bytes(spoilt)


def noise(side: int = 24) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or noise()).save(buffer, kind, **options)
    return buffer.getvalue()


PNG = encoded("PNG")


def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes, depth: int = 8, color: int = 2, after: bytes = b"") -> bytes:
    """A PNG whose header says what it is told. rows: deflated."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + after + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """Deflated."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [packer.compress(block[: min(len(block), count - start)]) for start in range(0, count, len(block))]
    return b"".join(parts) + packer.flush()


VERTICES = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
UVS = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
FACE = "f 1/1 2/2 3/3 4/4\n"
MTL = "newmtl skin\nKd 1 0.5 0.25\nmap_Kd skin.png\n"
OBJ = f"mtllib a.mtl\n{VERTICES}{UVS}usemtl skin\n{FACE}"
PLAIN = VERTICES + UVS + FACE
