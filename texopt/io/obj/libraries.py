"""The material libraries of an OBJ file, and which of their materials each of its names means."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from texopt.errors import MeshError
from texopt.io.named_files import find_first
from texopt.io.obj.document import ObjFile
from texopt.io.obj.mtl import MtlMaterial, read_mtl
from texopt.io.text import spellings
from texopt.system.images import inside

log = logging.getLogger("texopt")

MOST_NAMED = 512  # words of mtllib lines, each of which is looked for in several folders
MOST_WORDS = 16  # of a library's name, but for one that is all of a line
LISTED = 5  # names in a message

_WORD = re.compile(r"\"[^\"]*\"|'[^']*'|\S+")


def _found(text: str, folder: Path) -> Path | None:
    """The file that a part of a line names, with quotes about it or not."""
    quoted = len(text) > 2 and text[0] == text[-1] and text[0] in "\"'"
    return find_first([text, text[1:-1]] if quoted else [text], folder)


def _named(line: str, folder: Path) -> Iterator[tuple[str, Path | None]]:
    """The libraries that the rest of a mtllib line names, each with its file.

    A name may contain spaces, and a line may have several names and a comment: it is split into the longest names that
    there are files of. What is left goes up to the ending of a library.
    """
    if whole := _found(line, folder):
        yield line, whole
        return
    words = [match.span() for match in _WORD.finditer(line)]
    missing: list[str] = []
    index = 0
    while index < len(words):
        start, file = words[index][0], None
        for end in range(min(index + MOST_WORDS, len(words)), index, -1):
            text = line[start : words[end - 1][1]]
            if file := _found(text, folder):
                break
        if file is None and text[0] == "#":
            break
        if file is None:
            missing.append(text)
        if missing and (file or text.lower().endswith(".mtl")):
            yield " ".join(missing), None
            missing = []
        if file:
            yield text, file
        index = end
    if missing:
        yield " ".join(missing), None


def read_libraries(obj: ObjFile, files: list[Path]) -> dict[str, MtlMaterial]:
    """The materials of all libraries by name: the first that has a name counts. Their files are added to `files`.

    Where a library is missing, or none is named, one that is called like the mesh is taken.
    """
    path = obj.path
    known: dict[str, MtlMaterial] = {}
    missing: list[str] = []
    lines = [*dict.fromkeys(obj.libraries)]
    if sum(len(line.split()) for line in lines) > MOST_NAMED:
        raise MeshError(f"{path} names more than {MOST_NAMED} material libraries (mtllib); mend the file")
    for line in lines:
        for name, file in _named(line, path.parent):
            if file is None:
                missing.append(name)
            elif file not in files:
                files.append(file)
                known = read_mtl(file) | known
    own = path.with_suffix(".mtl")
    here = own.is_file() and inside(own, path.parent) and own not in files
    if here and (missing or not lines) and not {*obj.material_names} <= {*known}:
        files.append(own)
        known = read_mtl(own) | known
        what = f"its material library {', '.join(missing[:LISTED])} is missing" if missing else "it names no mtllib"
        log.warning("%s: %s; taking %s, which is beside it", path.name, what, own.name)
        return known
    for name in missing:
        there = sorted(file.name for file in path.parent.glob("*.[mM][tT][lL]") if file not in files)
        others = f" (there is {', '.join(there[:LISTED])})" if there else ""
        log.warning(
            "%s: the material library %s is missing%s, its materials are taken as grey", path.name, name, others
        )
    return known


def _plain(name: str) -> str:
    """A material's name without a comment behind it and quotes about it."""
    return re.split(r"\s#", name)[0].strip().strip("\"'")


def resolved(obj: ObjFile, known: dict[str, MtlMaterial]) -> dict[str, MtlMaterial]:
    """The materials of an OBJ file's names, '' too, as far as there are any.

    A name means the material of that name, or of one that is alike; the only name means the only material.
    """
    used = [obj.material_names[index] for index in np.unique(obj.triangle_material).tolist()]
    out = {name: known[name] for name in used if name in known}
    file, libraries = obj.path.name, "no material library has"
    if not known or len(out) == len(used):
        return out
    similar = {spelling: name for name in reversed(known) for spelling in spellings(_plain(name))}
    for name in used:
        other = next((similar[spelling] for spelling in spellings(_plain(name)) if spelling in similar), None)
        if name in out:
            continue
        if name and other is not None:
            out[name] = known[other]
            log.info("%s: %s %r; taking %r", file, libraries, name, other)
        elif len(known) == len(obj.material_names) == 1:
            (only,) = known
            out[name] = known[only]
            what = f"{libraries} {name!r}" if name else "it has no usemtl"
            log.warning("%s: %s; taking %r, the only material there is", file, what, only)
        elif name:
            log.warning("%s: %s %r; it is taken as grey", file, libraries, name)
        else:
            there = ", ".join([*known][:LISTED])
            log.warning("%s: faces without a usemtl are taken as grey (there is %s)", file, there)
    return out
