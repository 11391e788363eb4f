"""Write MTL: new textures for what was optimised, everything else of the materials as it came."""

from __future__ import annotations

import logging
from pathlib import Path

from texopt.errors import OutputError
from texopt.mtl import MtlMaterial

log = logging.getLogger("texopt")

DEFAULT = ["Ks 0 0 0", "illum 1"]


def _key(line: str) -> str:
    words = line.split(None, 1)
    return words[0].lower() if words else ""


class MtlWriter:
    """Materials one after another, and the files that they bring along.

    Args:
        folder: where the MTL will stand.
        source: the mesh's own folder, which textures of other channels are copied from.
        taken: file names that are the export's own.
    """

    def __init__(self, folder: Path, source: Path, taken: set[str]) -> None:
        self.folder, self.source, self.taken = folder, source, {name.lower() for name in taken}
        self.lines = ["# texopt"]
        self.copies: dict[Path, Path] = {}  # where to: where from

    def add(self, name: str, mtl: MtlMaterial | None, texture: str | None, own_uvs: bool = True) -> None:
        """A material: with `texture` as its colour, or, if that is None, as it was.

        own_uvs: whether textures of other channels fit; they are left out where the UVs are new.
        """
        self.lines += ["", f"newmtl {name}"]
        written = [line for line in mtl.lines if line.strip()] if mtl else []
        if mtl is None or not written:
            plain = ["Kd 0.8 0.8 0.8"] if texture is None else ["Kd 1 1 1", "d 1.0", f"map_Kd {texture}"]
            self.lines += DEFAULT + plain
            return
        if texture is None:
            self.lines += [self._carried(line, mtl) for line in written]
            return
        replaced = {"kd", "map_kd", "tr", "d"}
        if mtl.maps.get("map_ka") == mtl.maps.get("map_kd"):
            replaced.add("map_ka")
        left_out = set() if own_uvs else set(mtl.maps) - {"map_kd"}
        if left_out - replaced:
            log.info("material %s: %s are left out, as the UVs are new", name, ", ".join(sorted(left_out - replaced)))
        opacity = _opacity(written)
        self.lines += [self._carried(line, mtl) for line in written if _key(line) not in replaced | left_out]
        self.lines += ["Kd 1 1 1", f"d {opacity:g}" if opacity < 1 else "d 1.0", f"map_Kd {texture}"]

    def _carried(self, line: str, mtl: MtlMaterial) -> str:
        """A line with the name that its texture has beside the export."""
        from texopt.readers.obj import find

        name = mtl.maps.get(_key(line))
        if name is None or name not in line:
            return line
        found = find(name, mtl.folder or self.source, self.source)
        if found is None:
            log.warning("%s is missing beside the mesh; its line goes out as it is", name)
            return line
        target = self.folder / found.name
        number = 1
        while target.name.lower() in self.taken or self.copies.get(target, found) != found:
            number += 1
            target = self.folder / f"{found.stem}_{number}{found.suffix}"
        self.copies[target] = found
        start = line.rindex(name)
        return line[:start] + target.name

    def files(self) -> dict[Path, bytes]:
        """The contents of the textures that come along."""
        try:
            return {to: come.read_bytes() for to, come in self.copies.items() if to.resolve() != come.resolve()}
        except OSError as error:
            raise OutputError(f"a texture of the mesh cannot be copied: {error}") from None

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def _opacity(lines: list[str]) -> float:
    """`d`, or one minus `Tr`; 1 where it is nothing sensible (some exporters write 0 for opaque)."""
    opacity = 1.0
    for line in lines:
        try:
            value = float(line.split()[-1])
        except (ValueError, IndexError):
            continue
        if _key(line) in ("d", "tr"):
            opacity = value if _key(line) == "d" else 1 - value
    return opacity if 0 < opacity <= 1 else 1.0
