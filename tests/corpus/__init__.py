"""Malformed and hostile files, made by code, and what may come of each: a TexoptError or success.

A case is made in a folder of its own, beside which there is `outside`, with files that no mesh may reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from corpus import gltfs, objs, options, others, paths, pictures
from corpus.pieces import Case


def cases() -> Iterator[Case]:
    """All of them. Names are unique: KIND/WHAT."""
    return chain.from_iterable(kind.cases() for kind in (objs, gltfs, others, pictures, paths, options))
