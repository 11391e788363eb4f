"""The elements of a PLY file as columns, whatever they are.

Format: Greg Turk, "The PLY Polygon File Format", Stanford 1994. Text is read as rows of float64, so that both encodings
go the same way.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from texopt.errors import MeshError
from texopt.io.numbers import ends_early, numbers

log = logging.getLogger("texopt")

TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
LARGEST_HEADER = 1 << 24  # bytes
PLURALS = {"vertex": "vertices", "face": "faces"}


@dataclass(frozen=True)
class Property:
    """length: the type of a list's length; '' of what is no list."""

    name: str
    type: str
    length: str = ""


@dataclass
class Element:
    """A kind of rows; columns by property, those of lists as (lengths [N], values of all rows [sum])."""

    name: str
    count: int
    properties: list[Property] = field(default_factory=list)
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    lists: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def type_of(self, name: str) -> str:
        """The type of a property, as numpy has it."""
        return next(TYPES[each.type] for each in self.properties if each.name == name)


@dataclass
class PlyFile:
    elements: dict[str, Element]
    textures: list[str]  # of the lines `comment TextureFile NAME`


def _property(words: list[str]) -> Property:
    kind = words[1:-1]
    if len(kind) == 1 and kind[0] in TYPES:
        return Property(words[-1], kind[0])
    if len(kind) == 3 and kind[0] == "list" and TYPES.get(kind[1], "f")[0] != "f" and kind[2] in TYPES:
        return Property(words[-1], kind[2], kind[1])
    raise ValueError("is no property of a type that PLY has (property float x, property list uchar int vertex_indices)")


def _header(path: Path, data: bytes) -> tuple[str, PlyFile, int]:
    """(encoding, elements without columns, where their rows begin)."""
    found = re.compile(rb"[\r\n]end_header[ \t]*(\r\n|\n|\r|$)").search(data, 0, LARGEST_HEADER)
    if re.match(rb"ply[ \t]*[\r\n]", data) is None:
        raise MeshError(f"{path} is not a valid PLY file: it does not begin with the line 'ply'; check what it is")
    if found is None:
        raise MeshError(f"{path} is not a valid PLY file: its header has no end_header; get or export the whole file")
    encoding, file = "", PlyFile({}, [])
    element: Element | None = None
    named: set[tuple[str, str]] = set()
    lines = data[: found.start()].decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines[1:], 2):
        words = line.split()
        try:
            match words:
                case ["format", encoding, *_] if encoding in ORDERS:
                    pass
                case ["comment", key, _, *_] if key.lower() == "texturefile":
                    file.textures.append(line.split(None, 2)[2].strip())
                case [] | ["comment" | "obj_info", *_]:
                    pass
                case ["element", name, count] if re.fullmatch("[0-9]{1,12}", count) and name not in file.elements:
                    element = file.elements[name] = Element(name, int(count))
                case ["property", _, *_, name] if element is not None:
                    if (element.name, name) in named:
                        raise ValueError(f"{element.name} has two properties of that name")
                    named.add((element.name, name))
                    element.properties.append(_property(words))
                case ["format", *_]:
                    raise ValueError(f"is none of the formats {', '.join(ORDERS)}")
                case _:
                    raise ValueError("expected 'element NAME COUNT', each once, and 'property TYPE NAME' after one")
        except ValueError as error:
            raise MeshError(f"{path}, line {number}: {line[:60]!r}: {error}; mend the file") from None
    if not encoding:
        raise MeshError(f"{path} is not a valid PLY file: its header has no format; mend the file")
    return encoding, file, found.end()


class _Rows:
    """Takes elements from the bytes after the header, one after another."""

    def __init__(self, path: Path, data: bytes, order: str, text: bool) -> None:
        self.path, self.data, self.order, self.text, self.at = path, data, order, text, 0

    def _type(self, kind: str) -> np.dtype:
        return np.dtype("f8") if self.text else np.dtype(self.order + TYPES[kind])

    def _early(self, element: Element, there: int) -> MeshError:
        return ends_early(self.path, element.count, PLURALS.get(element.name, f"{element.name} elements"), there)

    def take(self, element: Element) -> None:
        """Read the columns of an element."""
        if not element.properties or not element.count:
            element.columns = {each.name: np.zeros(0) for each in element.properties if not each.length}
            element.lists = {
                each.name: (np.zeros(0, np.int64), np.zeros(0)) for each in element.properties if each.length
            }
        elif not self._take_even(element):
            self._take_uneven(element)

    def _length(self, element: Element, row: int, kind: np.dtype, at: int) -> int:
        if at + kind.itemsize > len(self.data):
            raise self._early(element, row)
        length = np.frombuffer(self.data, kind, 1, at)[0]
        if not 0 <= length <= len(self.data) or length != int(length):
            raise MeshError(
                f"{self.path}: {element.name} {row + 1:,} says that it has a list of {length:g} values; mend the file"
            )
        return int(length)

    def _take_even(self, element: Element) -> bool:
        """Read rows that are all as long as the first one; returns whether they are."""
        fields: list[tuple[str, np.dtype, int]] = []
        at = self.at
        for number, each in enumerate(element.properties):
            kind, size = self._type(each.type), 1
            if each.length:
                size = self._length(element, 0, self._type(each.length), at)
                fields.append((f"length{number}", self._type(each.length), 1))
                at += fields[-1][1].itemsize
            at += size * kind.itemsize
            fields.append((f"{number}", kind, size))
        if at > len(self.data):
            raise self._early(element, 0)
        row = np.dtype([(name, kind, (size,)) for name, kind, size in fields])
        there = min(element.count, (len(self.data) - self.at) // row.itemsize)
        table = np.frombuffer(self.data, row, there, self.at)
        lengths = {name: size for (name, _, _), (_, _, size) in pairwise(fields) if name[0] == "l"}
        if there < element.count and not lengths:
            raise self._early(element, there)
        if there < element.count or any((table[name] != size).any() for name, size in lengths.items()):
            return False
        for number, each in enumerate(element.properties):
            values = table[f"{number}"]
            if each.length:
                element.lists[each.name] = np.full(there, values.shape[1]), values.reshape(-1)
            else:
                element.columns[each.name] = values[:, 0]
        self.at += there * row.itemsize
        return True

    def _take_uneven(self, element: Element) -> None:
        """Read rows one by one."""
        kinds = [
            (self._type(each.length) if each.length else None, self._type(each.type)) for each in element.properties
        ]
        shortest = sum((length or kind).itemsize for length, kind in kinds)
        at = self.at
        most = min(element.count, (len(self.data) - at) // shortest + 1)  # whatever the header says
        starts, sizes = np.zeros((2, len(kinds), most), np.int64)
        for row in range(element.count):
            for column, (length, kind) in enumerate(kinds):
                size = 1
                if length is not None:
                    size = self._length(element, row, length, at)
                    at += length.itemsize
                starts[column, row], sizes[column, row] = at, size
                at += size * kind.itemsize
            if at > len(self.data):
                raise self._early(element, row)
        everything = np.frombuffer(self.data, np.uint8)
        for each, (_, kind), start, size in zip(element.properties, kinds, starts, sizes, strict=True):
            within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
            place = np.repeat(start, size) + within * kind.itemsize
            values = np.ascontiguousarray(everything[place[:, None] + np.arange(kind.itemsize)]).view(kind).reshape(-1)
            if each.length:
                element.lists[each.name] = size, values
            else:
                element.columns[each.name] = values
        self.at = at


def read_ply(path: Path) -> PlyFile:
    """Every element of a PLY file. MeshError where it is malformed or ends early."""
    data = path.read_bytes()
    encoding, file, start = _header(path, data)
    body = data[start:]
    if encoding == "ascii":
        line = len(data[:start].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
        body = numbers(path, body.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), line).tobytes()
    rows = _Rows(path, body, ORDERS[encoding], encoding == "ascii")
    with np.errstate(invalid="ignore"):
        for element in file.elements.values():
            rows.take(element)
    if encoding == "ascii" and rows.at < len(body):
        log.warning("%s goes on after the last row that its header says; that is not read", path.name)
    return file
