"""Files that a mesh names: where they are."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path, PurePosixPath

from texopt.io.text import alike, spellings
from texopt.system.images import inside

log = logging.getLogger("texopt")

LONGEST_NAME = 4096  # characters of a path, as on Linux

UDIM = re.compile(r"<UDIM>|(?<![0-9])1[0-9]{3}(?=\.[A-Za-z0-9]+$)")  # in a texture's name; tiles are 1001 to 1999


def _places(name: str, folders: tuple[Path, ...]) -> Iterator[Path]:
    """Where a file may be that a mesh names, the likeliest folder first; no more is listed than is asked for."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    named = (folder.joinpath(*parts[start:-1]) for start in range(len(parts)) for folder in folders)
    below = (entry for folder in folders for entry in sorted(folder.glob("*")) if entry.is_dir())
    return (place for place in chain(named, below) if place.is_dir() and inside(place, folders[-1]))


def find(name: str, *folders: Path) -> Path | None:
    """A file that a mesh names, in one of its folders or below; where it is not there, one of its bare name that is,
    or of one that is alike (see texopt.io.text).

    Nothing outside of the last folder is found, whatever links there are.
    """
    if len(name) > LONGEST_NAME:
        return None
    try:
        bare = PurePosixPath(name.replace("\\", "/")).name
        exact = (place / bare for place in _places(name, folders))
        listed = (path for place in _places(name, folders) for path in sorted(place.glob("*")))
        similar = (path for path in listed if alike(path.name, bare))
        return next((path for path in chain(exact, similar) if path.is_file() and inside(path, folders[-1])), None)
    except (OSError, ValueError):  # a name that no file can have
        return None


def find_first(names: Iterable[str], *folders: Path) -> Path | None:
    """The file of the first of some names that there is one of, saying where it is if it is elsewhere."""
    for name in names:
        if found := find(name, *folders):
            if not any(folder / name.replace("\\", "/") == found for folder in folders):
                log.info("%s: taking %s in the mesh's folder instead", name, found.relative_to(folders[-1]))
            return found
    return None


def find_all(names: Collection[str], *folders: Path) -> list[Path]:
    """The files of all of many names, each once; of one that has the number of a UDIM tile those of all tiles.

    Every folder is listed once, and only names that are in one are looked for.
    """
    in_folder = {PurePosixPath(name.replace("\\", "/")).parent: name for name in names}
    places: set[Path] = set()
    for name in in_folder.values():
        with suppress(OSError, ValueError):  # a name that no file can have
            places |= {*_places(name, folders)}
    there = {key for place in places for path in place.glob("*") for key in _keys(path.name)}
    found: dict[Path, None] = {}
    for name in dict.fromkeys(names):
        if not there.isdisjoint(_keys(PurePosixPath(name.replace("\\", "/")).name)):
            found |= dict.fromkeys([*filter(None, [find(name, *folders)]), *udim_tiles(name, *folders).values()])
    return list(found)


def _keys(bare: str) -> frozenset[str]:
    """What a file's name may mean, the same for all UDIM tiles of a set."""
    return spellings(UDIM.sub("<UDIM>", bare))


def udim_tiles(name: str, *folders: Path) -> dict[int, Path]:
    """The files of a UDIM texture by tile; none where its name has no place for the tile's number."""
    if len(name) > LONGEST_NAME:
        return {}
    around = UDIM.split(PurePosixPath(name.replace("\\", "/")).name)
    if len(around) != 2:
        return {}
    pattern = re.compile("(1[0-9]{3})".join(map(re.escape, around)), re.IGNORECASE)
    try:
        for place in _places(name, folders):
            named = [(pattern.fullmatch(path.name), path) for path in sorted(place.glob("*"))]
            if found := {int(match[1]): path for match, path in named if match and inside(path, folders[-1])}:
                return found
    except (OSError, ValueError):  # a name that no file can have
        pass
    return {}
