"""The lines of Wavefront files (OBJ, MTL), and many of one kind parsed at once.

Lines are parsed in blocks, by whole-block string operations and numpy. A block in which anything is unusual is parsed
line by line instead, by the few lines of Python that define what is read and what is refused.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from texopt.io.text import read_text

LONGEST = 1 << 20  # characters of a line that is parsed; polygons of 100,000 corners have as many
BLOCK = 1 << 12  # lines: enough for C's speed, few enough for the cache

LEFT_OUT, DANGLING = -1, -2  # in the place of a corner's index

Errors = dict[int, str]  # what is wrong, by line of the file from 0


@dataclass(frozen=True)
class Numbers:
    """What numbers the lines of a key have.

    At least `least` and at most `most`; what is beyond them is not looked at. The first `known` have to be numbers, and
    `absent` stands for those that are left out, or are none beyond these. says: what a malformed line lacks.
    """

    least: int
    known: int
    most: int
    absent: float
    says: str


def read_lines(path: Path) -> list[str]:
    """Lines of the file without their ends; a backslash at the end of one continues it on the next."""
    return read_text(path).replace("\\\n", " ").removesuffix("\n").split("\n")


def key_and_rest(line: str) -> tuple[str, str]:
    """The keyword that a line begins with ('' where it is blank), and what follows it."""
    key, _, rest = line.replace("\t", " ").strip().partition(" ")
    return key, rest.strip()


def lines_by_key(lines: list[str], keys: tuple[str, ...], errors: Errors) -> dict[str, np.ndarray]:
    """For each of the keys the lines that begin with it: int64 indices, ascending.

    Those that are too long are put into `errors`.
    """
    found: dict[str, list[int]] = {key: [] for key in keys}
    for number, line in enumerate(lines):
        key = line.partition(" ")[0]
        if key not in found:  # indented, a tab after the key, or a line that does not matter
            key, _ = key_and_rest(line)
        if key in found:
            found[key].append(number)
    if max(map(len, lines)) > LONGEST:
        for number in (number for numbers in found.values() for number in numbers if len(lines[number]) > LONGEST):
            errors[number] = f"it has {len(lines[number]):,} characters, more than {LONGEST:,}; mend the file"
    return {key: np.array(numbers, np.int64) for key, numbers in found.items()}


def _joined(lines: list[str]) -> str:
    text = "\n".join(lines)
    return text if "#" not in text else "\n".join(line.partition("#")[0] for line in lines)


def _numbers(line: str, form: Numbers) -> list[float]:
    words = line.partition("#")[0].split()[1 : form.most + 1]
    numbers = [float(x) for x in words[: form.known]]
    if len(numbers) < form.least:
        raise ValueError
    with suppress(ValueError):
        numbers += [float(x) for x in words[form.known :]]
    return numbers + [form.absent] * (form.most - len(numbers))


def _block_of_numbers(lines: list[str], least: int) -> np.ndarray:
    """All numbers of lines that have one key and equally many numbers, float64 [len(lines), any]."""
    words = _joined(lines).split()
    width = len(words) // len(lines)
    if len(words) != width * len(lines) or width <= least:
        raise ValueError
    # The key is no number, so that the rest are numbers only if every key is taken away: all lines have width words.
    del words[::width]
    return np.fromiter(map(float, words), np.float64, len(words)).reshape(len(lines), -1)


def number_rows(lines: list[str], which: np.ndarray, form: Numbers, errors: Errors) -> np.ndarray:
    """The numbers of those lines of the file that `which` (int64 [R], all of one key) names: float64 [R,form.most].

    The first malformed line is put into `errors`, and nothing is read after it.
    """
    out = np.full((len(which), form.most), form.absent)
    for start in range(0, len(which), BLOCK):
        numbers = which[start : start + BLOCK].tolist()
        rows = out[start : start + BLOCK]
        try:
            values = _block_of_numbers([lines[number] for number in numbers], form.least)[:, : form.most]
            rows[:, : values.shape[1]] = values
        except ValueError:
            for row, number in zip(rows, numbers, strict=True):
                try:
                    row[:] = _numbers(lines[number], form)
                except ValueError:
                    errors[number] = f"{form.says}, not {lines[number][:60]!r}; mend the line"
                    return out
    return out


def _corner(text: str, counts: list[int]) -> list[int]:
    """A face corner `v`, `v/vt`, `v//vn` or `v/vt/vn` as zero-based indices; LEFT_OUT and DANGLING as of polygons."""
    indices = [LEFT_OUT, LEFT_OUT, LEFT_OUT]
    parts = text.split("/")
    for kind, part in enumerate(parts[:3]):
        if part:
            try:
                number = int(part)
            except ValueError:
                break
            indices[kind] = number - 1 if number > 0 else counts[kind] + number
            if number == 0 or indices[kind] < 0 or number >= 2**31:
                if kind == 0:
                    raise ValueError(no_vertex(number, counts[0]))
                indices[kind] = DANGLING
    else:
        if indices[0] >= 0 and len(parts) <= 3:
            return indices
    raise ValueError(f"{text[:60]!r} is not a face corner (v, v/vt, v//vn or v/vt/vn); mend the line")


def no_vertex(number: int, count: int) -> str:
    """What is wrong with a face that names a vertex which is not among so many v lines."""
    if number == 0:
        return "f names vertex 0, and OBJ counts from 1; mend the line or export the file again"
    there = f"there are {count:,}" + (" before it" if number < 0 else "")
    return f"f names vertex {str(number)[:40]}, and {there}; mend the line or export the file again"


_SPACES = b"f\t\r\v\f\x1c\x1d\x1e\x1f"  # what separates words in ASCII, and the key
_TO_SPACE = bytes.maketrans(_SPACES, b" " * len(_SPACES))


def _integers(data: bytes) -> np.ndarray:
    """The words of an ASCII text as integers, int64."""
    text = data.decode("ascii")
    if data.translate(None, b"0123456789 \n") or text.isspace():
        return np.fromiter(map(int, text.split()), np.int64)
    return np.fromstring(text, np.int64, sep=" ")  # much faster, but 1-2 would be two numbers, and no number 0


def _block_of_corners(lines: list[str], counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `polygons`, for `f` lines that may differ in their numbers of corners and in what the corners refer to."""
    text = _joined(lines) + "\n"
    if text.count("f") != len(lines):  # an f that is no key
        raise ValueError
    data = text.encode("ascii").translate(_TO_SPACE)
    characters = np.frombuffer(data, np.uint8)
    separators = np.flatnonzero((characters == ord(" ")) | (characters == ord("\n")) | (characters == ord("/")))

    # A slot is what lies between two separators, and filled where that is a number. A corner begins with a filled slot
    # that is not behind a slash; those that follow behind slashes are of the same corner.
    opening = characters[separators[:-1]]
    filled = np.diff(separators) > 1
    begins = opening != ord("/")
    slot = np.arange(len(opening))
    first = np.maximum.accumulate(np.where(begins, slot, 0))
    kind = slot - first  # 0 is the vertex, 1 the uv, 2 the normal
    if not filled[first[~begins]].all() or kind.max() > 2:
        raise ValueError
    begins &= filled
    corner = np.cumsum(begins) - 1
    line = np.cumsum(opening == ord("\n"))

    numbers = _integers(data.replace(b"/", b" "))
    kind, corner, count = kind[filled], corner[filled], counts[line[filled], kind[filled]]
    indices = np.where(numbers > 0, numbers - 1, numbers + count)
    dangling = (numbers == 0) | (indices < 0) | (numbers >= 2**31)
    if (dangling & (kind == 0)).any():
        raise ValueError
    indices[dangling] = DANGLING
    corners = np.full((np.count_nonzero(begins), 3), LEFT_OUT)
    corners[corner, kind] = indices
    return corners, np.bincount(line[begins], minlength=len(lines))


def polygons(lines: list[str], which: np.ndarray, counts: np.ndarray, errors: Errors) -> tuple[np.ndarray, np.ndarray]:
    """The corners of those lines of the file that `which` (int64 [P], `f` lines) names.

    counts: int64 [P,3], how many vertices, uvs and normals stand before each, which negative indices count back from.
    Returns corners int64 [C,3], zero-based indices of vertex, uv and normal (LEFT_OUT where the file names none,
    DANGLING where it names one that cannot be), and how many of them are each polygon's, int64 [P]. The first malformed
    line is put into `errors`, and nothing is read after it.
    """
    corners, sizes = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(which), BLOCK):
        numbers = which[start : start + BLOCK].tolist()
        before = counts[start : start + BLOCK]
        try:
            some, size = _block_of_corners([lines[number] for number in numbers], before)
        except (ValueError, OverflowError):
            read: list[list[list[int]]] = []
            for number, count in zip(numbers, before.tolist(), strict=True):
                try:
                    read.append([_corner(word, count) for word in lines[number].partition("#")[0].split()[1:]])
                except ValueError as error:
                    errors[number] = str(error)
                    return corners[0], sizes[0]
            some = np.array([corner for polygon in read for corner in polygon], np.int64).reshape(-1, 3)
            size = np.array([len(polygon) for polygon in read], np.int64)
        corners.append(some)
        sizes.append(size)
    return np.concatenate(corners), np.concatenate(sizes)
