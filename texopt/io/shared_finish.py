"""The one finish of materials that share a texture."""

from __future__ import annotations

import logging

import numpy as np

from texopt.io.raw import RawMesh
from texopt.mesh.finish import Finish

log = logging.getLogger("texopt")

MAPS = ("normal", "roughness", "metallic")
LISTED = 5  # names in a message


def shared_finish(raw: RawMesh, faces: np.ndarray, file: str) -> Finish | None:
    """The finish of the materials of some faces (indices), which one texture shows; None where none has any.

    That of the first material which has one. Where others differ from it that is told in a line, as they become one.
    """
    used = [int(index) for index in np.unique(raw.face_material[faces])] if raw.finishes else []
    found = [(index, finish) for index in used if (finish := raw.finishes[index]) is not None]
    if not found:
        return None
    first, taken = found[0]
    differ = [kind for kind in MAPS if any(not _same(raw.finishes[index], taken, kind) for index in used)]
    if differ:
        names = [raw.label(index) for index in used]
        listed = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
        log.warning(
            "%s: %s share a texture and differ in %s; what %s has is taken for all of them",
            file, listed, ", ".join(differ), raw.label(first),
        )  # fmt: skip
    return taken


def _same(finish: Finish | None, other: Finish, kind: str) -> bool:
    return np.array_equal(getattr(finish or Finish(), kind), getattr(other, kind))
