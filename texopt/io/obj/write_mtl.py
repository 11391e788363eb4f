"""Write MTL: new textures for what was optimised, everything else of the materials as it came."""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath

from texopt.errors import OutputError
from texopt.io.named_files import UDIM, find, udim_tiles
from texopt.io.obj.lines import key_and_rest
from texopt.io.obj.mtl import MtlMaterial, is_map, map_statement

log = logging.getLogger("texopt")

FINISH = {"norm", "map_bump", "bump", "pr", "map_pr", "pm", "map_pm"}  # keywords of relief, roughness and metal
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
        self.folder, self.source = folder, source
        self.taken: dict[str, bytes | None] = {name.lower(): None for name in taken}  # contents of what was brought
        self.lines = ["# texopt"]
        self.files: dict[Path, bytes] = {}

    def add(
        self, name: str, mtl: MtlMaterial | None, texture: str | None, tiled: bool, own_uvs: bool,
        cut_out: bool = False, finish: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        """A material of an MTL: with `texture` as its colour, or, if that is None, as it was.

        tiled: whether numbers in its files' names are UDIM tiles'.
        own_uvs: whether textures of other channels fit; they are left out where the UVs are new.
        cut_out: whether the texture's alpha is its opacity.
        finish: what is new of relief, roughness and metal, see FinishFiles.statements.
        """
        written = [line for line in mtl.lines if line.strip()] if mtl else []
        if mtl is None or not written:
            self.add_plain(name, texture, cut_out=cut_out, finish=finish)
            return
        self.lines += ["", f"newmtl {name}"]
        if texture is None:
            self.lines += [self._carried(line, mtl, tiled) for line in written]
            return
        replaced = {"kd", "map_kd", "tr", "d"}
        if mtl.texture and "map_ka" in mtl.maps and mtl.maps["map_ka"].name == mtl.texture.name:
            replaced.add("map_ka")
        replaced |= FINISH if finish else set()
        left_out = set() if own_uvs else set(mtl.maps) - replaced
        if left_out:
            log.info("material %s: %s are left out, as the UVs are new", name, ", ".join(sorted(left_out)))
        if cut_out:
            replaced.add("map_d")
        opacity = _opacity(written)
        self.lines += [self._carried(line, mtl, tiled) for line in written if _key(line) not in replaced | left_out]
        placed = mtl.texture.placing() + texture if mtl.texture and own_uvs else texture
        self.lines += ["Kd 1 1 1", f"d {opacity:g}" if opacity < 1 else "d 1.0", f"map_Kd {placed}"]
        self.lines += [f"map_d {placed}"] if cut_out else []
        self._add_finish(finish, placed.removesuffix(texture))

    def add_plain(
        self, name: str, texture: str | None, color: tuple[float, ...] = (0.8, 0.8, 0.8), cut_out: bool = False,
        finish: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        """A material that no MTL describes: a texture, or, if that is None, a colour."""
        plain = [f"Kd {' '.join(f'{x:g}' for x in color)}"]
        self.lines += ["", f"newmtl {name}", *DEFAULT]
        self.lines += plain if texture is None else ["Kd 1 1 1", "d 1.0", f"map_Kd {texture}"]
        self.lines += [f"map_d {texture}"] if cut_out and texture is not None else []
        self._add_finish(finish)

    def _add_finish(self, finish: dict[str, str] | None, placing: str = "") -> None:
        """Lines of relief, roughness and metal. placing: the options that say where maps are looked up."""
        for key, value in (finish or {}).items():
            self.lines.append(f"{key} {placing}{value}" if is_map(key.lower()) else f"{key} {value}")

    def bring(self, stem: str, contents: dict[str, bytes]) -> str:
        """Have files STEM + ENDING beside the MTL, contents by ending. Returns the stem, a free one like the given."""
        chosen, number = stem, 1
        while not all(self._is_free(chosen + ending, data) for ending, data in contents.items()):
            number += 1
            chosen = f"{stem}_{number}"
        for ending, data in contents.items():
            self.taken[(chosen + ending).lower()] = data
            if not (self.folder / (chosen + ending)).exists():
                self.files[self.folder / (chosen + ending)] = data
        return chosen

    def _is_free(self, name: str, data: bytes) -> bool:
        """Whether a file of that name would overwrite nothing but the same."""
        path = self.folder / name
        if name.lower() in self.taken:
            return self.taken[name.lower()] == data
        return not path.exists() or (path.is_file() and path.read_bytes() == data)

    def _carried(self, line: str, mtl: MtlMaterial, tiled: bool) -> str:
        """A line with the name that its texture has beside the export."""
        written = key_and_rest(line)[1]
        if _key(line) not in mtl.maps or not written:
            return line
        statement = map_statement(written)
        folders = mtl.folder or self.source, self.source
        for name, start in statement.names:
            if new := self._brought(name, folders, tiled):
                return line.rstrip()[: start - len(written)] + new
        log.warning("%s is missing beside the mesh; its line goes out as it is", statement.name)
        return line

    def _brought(self, name: str, folders: tuple[Path, Path], tiled: bool) -> str | None:
        """The name that a texture has beside the export, which it is brought to; None where it is missing."""
        tiles = udim_tiles(name, *folders) if tiled or "<UDIM>" in name else {}
        found = find(name, *folders)
        try:
            if tiles:
                bare = PurePosixPath(name.replace("\\", "/")).name
                (before, after), (number,) = UDIM.split(bare), UDIM.findall(bare)
                stem = before.rstrip("._-")
                joint = before[len(stem) :]
                ends = {f"{joint}{tile}{after}": path.read_bytes() for tile, path in tiles.items()}
                return f"{self.bring(stem, ends)}{joint}{number}{after}"
            if found is not None:
                return self.bring(found.stem, {found.suffix: found.read_bytes()}) + found.suffix
        except OSError as error:
            raise OutputError(f"{name}, a texture of the mesh, cannot be copied: {error.strerror or error}") from None
        return None

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def _opacity(lines: list[str]) -> float:
    """`d`, or one minus `Tr`; 1 where it is nothing sensible (some exporters write 0 for opaque)."""
    values = {}
    for line in lines:
        try:
            values[_key(line)] = float(line.split()[-1])
        except ValueError:
            continue
    opacity = values.get("d", 1 - values.get("tr", 0.0))
    return opacity if 0 < opacity <= 1 else 1.0
