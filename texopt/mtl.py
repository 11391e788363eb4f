"""Read Wavefront MTL: what texopt shows of a material, and the rest of it as it was written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from texopt.errors import MeshError
from texopt.wavefront import key_and_rest, read_lines


@dataclass
class MtlMaterial:
    """A material: its diffuse colour and the file of its diffuse texture, which are what texopt shows, and the rest."""

    color: tuple[float, float, float] = (0.8, 0.8, 0.8)
    texture: str | None = None
    folder: Path | None = field(default=None, compare=False)  # of the MTL file, which textures are relative to
    lines: list[str] = field(default_factory=list, compare=False)  # as written, from below newmtl to the next one
    maps: dict[str, str] = field(default_factory=dict, compare=False)  # file of every texture, by keyword in lower case


# texture options such as `-s 2 2 1 -clamp on`; what follows them is the file name, which may contain spaces
_VALUES = r"(?:on|off|[rgbmlz]|[-+.\d][-+.\deE]*(?:\s+[-+.\d][-+.\deE]*){0,2})"  # a word, or up to three numbers
_OPTION = rf"-[a-zA-Z]+\s+{_VALUES}\s+|-type\s+(?:sphere|cube_[a-z]+)\s+"
_OPTIONS_AND_FILE = re.compile(rf"(?:{_OPTION})*(.+)")


def _is_map(key: str) -> bool:
    return (key.startswith("map_") and key != "map_aat") or key in ("bump", "disp", "decal", "refl", "norm")


def read_mtl(path: Path) -> dict[str, MtlMaterial]:
    """Materials of an MTL file by name. MeshError where it is malformed."""
    materials: dict[str, MtlMaterial] = {}
    current = MtlMaterial()
    for number, line in enumerate(read_lines(path)):
        key, rest = key_and_rest(line)
        if key == "newmtl":
            current = materials.setdefault(rest, MtlMaterial(folder=path.parent))
            continue
        current.lines.append(line)
        if key == "Kd":
            try:
                numbers = [float(x) for x in rest.split()[:3]]
                red, green, blue = (min(max(x, 0.0), 1.0) for x in (numbers if len(numbers) != 1 else numbers * 3))
                if not np.isfinite(numbers).all():
                    raise ValueError
            except ValueError:
                raise MeshError(f"{path}, line {number + 1}: Kd needs three numbers, not {rest[:40]!r}") from None
            current.color = (red, green, blue)
        elif _is_map(key.lower()) and rest:
            file = _OPTIONS_AND_FILE.fullmatch(rest).group(1)  # type: ignore[union-attr]  # it matches any text
            current.maps[key.lower()] = file
            if key.lower() == "map_kd":
                current.texture = file
    return materials
