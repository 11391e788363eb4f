"""Read Wavefront MTL: what texopt shows of a material, and the rest of it as it was written.

Format: D. Ramey, L. Rose, L. Tyerman, "MTL material format (Lightwave, OBJ)", v4.2, 1995.
"""

from __future__ import annotations

import logging
import math
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from texopt.errors import MeshError
from texopt.io.obj.lines import key_and_rest, read_lines
from texopt.system.srgb import linear_to_srgb

log = logging.getLogger("texopt")

MOST_UNKNOWN = 8  # options of a texture that nobody knows, in a line
PLACING = ("-o", "-s", "-t", "-clamp")  # options that say where a texture is looked up
NUMBERS = ("pr", "pm")  # keywords in lower case: roughness and metal
UNREAD = {"-t": {"0"}, "-mm": {"0", "1"}, "-cc": {"off"}}  # options that texopt does not apply, and what does nothing

# texture options such as `-s 2 2 1 -clamp on`; what follows them is the file name, which may contain spaces
_VALUES = r"(?:on|off|[rgbmlz]|[-+.\d][-+.\deE]*(?:\s+[-+.\d][-+.\deE]*){0,2})"  # a word, or up to three numbers
_OPTION = re.compile(rf"(-[a-zA-Z]+)\s+({_VALUES})\s+|(-type)\s+(sphere|cube_[a-z]+)\s+")
_UNKNOWN = re.compile(r"(-[a-zA-Z]\w*)\s+([^\s\"']\S*)\s+(?=\S)")
_BEHIND = re.compile(rf"\s(-[a-zA-Z]+)\s+({_VALUES})(?=\s|$)")
_COMMENT = re.compile(r"\s#")
_XYZ_TO_RGB = np.array([  # linear, of D65: IEC 61966-2-1
    [3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570],
])  # fmt: skip


@dataclass(frozen=True)
class MapStatement:
    """What a line says of a texture: `map_Kd -s 2 2 1 my skin.png`.

    names: what its file may be called, in this order, and where in the text behind the keyword each begins: as
        written, then without options that nobody knows, without options behind it or a comment, without quotes.
    options: each with its values.
    """

    names: tuple[tuple[str, int], ...]
    options: tuple[tuple[str, ...], ...] = ()

    @property
    def name(self) -> str:
        """The likeliest name where no file is found."""
        return self.names[-1][0]

    def _numbers(self, option: str, default: float) -> np.ndarray:
        """The first two values of an option."""
        values = next((values for key, *values in reversed(self.options) if key == option), [])
        found = np.full(2, default)
        for index, value in enumerate(values[:2]):
            with suppress(ValueError):
                found[index] = float(value)
        return np.where(np.isfinite(found), found, default)

    @property
    def scale(self) -> np.ndarray:
        """What UVs are multiplied with, float64 [2], as programs read -s."""
        return self._numbers("-s", 1.0)

    @property
    def offset(self) -> np.ndarray:
        """What is then added to them, float64 [2]."""
        return self._numbers("-o", 0.0)

    @property
    def clamped(self) -> bool:
        """Whether the texture does not repeat."""
        return [values for key, *values in self.options if key == "-clamp"][-1:] == [["on"]]

    @property
    def strength(self) -> float:
        """What the slopes of a bump map are multiplied with."""
        return float(self._numbers("-bm", 1.0)[0].clip(-100, 100))

    @property
    def unread(self) -> list[str]:
        """The options that texopt does not apply to colours."""
        return [key for key, *values in self.options if key in UNREAD and {*map(_plain, values)} - UNREAD[key]]

    def placing(self) -> str:
        """The options that say where it is looked up, as the beginning of another name's text."""
        return "".join(f"{' '.join(option)} " for option in self.options if option[0] in PLACING)


def _plain(value: str) -> str:
    """A number as short as it can be."""
    try:
        return f"{float(value):g}"
    except ValueError:
        return value


@dataclass
class MtlMaterial:
    """A material: its diffuse colour and the file of its diffuse texture, which are what texopt shows, and the rest."""

    color: tuple[float, float, float] = (0.8, 0.8, 0.8)
    texture: MapStatement | None = None
    name: str = field(default="", compare=False)
    folder: Path | None = field(default=None, compare=False)  # of the MTL file, which textures are relative to
    lines: list[str] = field(default_factory=list, compare=False)  # as written, from below newmtl to the next one
    maps: dict[str, MapStatement] = field(default_factory=dict, compare=False)  # textures, by keyword in lower case
    numbers: dict[str, float] = field(default_factory=dict, compare=False)  # those of NUMBERS that it has, in [0,1]


def is_map(key: str) -> bool:
    """Whether a keyword, in lower case, is of a texture's line."""
    return (key.startswith("map_") and key != "map_aat") or key in ("bump", "disp", "decal", "refl", "norm")


def map_statement(text: str) -> MapStatement:
    """What stands behind the keyword of a texture's line."""
    options: list[tuple[str, ...]] = []
    names: dict[str, int] = {}
    start = 0
    while True:
        known = _OPTION.match(text, start)
        found = known or (_UNKNOWN.match(text, start) if len(names) < MOST_UNKNOWN else None)
        if found is None:
            break
        if not known:
            names[text[start:]] = start  # a file may be called like an option
        key, values = (group for group in found.groups() if group is not None)
        options.append((key.lower(), *values.split()))
        start = found.end()
    name = text[start:]
    names[name] = start
    if comment := _COMMENT.search(name):
        name = name[: comment.start()].rstrip()
        names.setdefault(name, start)
    if behind := _BEHIND.search(name):
        options += [(key.lower(), *values.split()) for key, values in _BEHIND.findall(name)]
        name = name[: behind.start()].rstrip()
        names.setdefault(name, start)
    if name[:1] in ('"', "'") and name.find(name[0], 1) > 1:
        names.setdefault(name[1 : name.find(name[0], 1)], start)
    return MapStatement(tuple(names.items()), tuple(options))


def _color(values: list[str]) -> tuple[float, float, float]:
    """sRGB in [0,1] of `r g b` or `xyz x y z`; one number stands for all three. ValueError where it is none."""
    is_xyz = values[:1] == ["xyz"]
    numbers = [float(value) for value in (values[1:] if is_xyz else values)[:3]]
    if len(numbers) not in (1, 3) or not np.isfinite(numbers).all():
        raise ValueError
    color = np.array(numbers if len(numbers) == 3 else numbers * 3)
    if is_xyz:
        color = linear_to_srgb((_XYZ_TO_RGB @ color.clip(0, 10)).clip(0, 1))
    red, green, blue = color.clip(0, 1).tolist()
    return red, green, blue


def _number(key: str, text: str) -> dict[str, float]:
    """{key: the number in [0,1]}; nothing where it is none."""
    with suppress(ValueError, IndexError):
        value = float(text.split()[0])
        return {key: min(max(value, 0.0), 1.0)} if math.isfinite(value) else {}
    return {}


def read_mtl(path: Path) -> dict[str, MtlMaterial]:
    """Materials of an MTL file by name. MeshError where it is malformed."""
    materials: dict[str, MtlMaterial] = {}
    current = MtlMaterial()
    spectral: dict[str, int] = {}
    for number, line in enumerate(read_lines(path)):
        key, rest = key_and_rest(line)
        if key == "newmtl":
            current = materials.setdefault(rest, MtlMaterial(name=rest, folder=path.parent))
            continue
        current.lines.append(line)
        if key == "Kd":
            words = rest.partition("#")[0].split()
            spectral.pop(current.name, None)
            if words[:1] == ["spectral"]:
                spectral[current.name] = number
                continue
            try:
                current.color = _color(words)
            except ValueError:
                raise MeshError(
                    f"{path}, line {number + 1}: Kd needs three numbers from 0 to 1 (r g b), not {rest[:40]!r}; "
                    "mend the line"
                ) from None
        elif key.lower() in NUMBERS:
            current.numbers |= _number(key.lower(), rest)
        elif is_map(key.lower()) and rest:
            current.maps[key.lower()] = map_statement(rest)
            current.texture = current.maps.get("map_kd")
    for name, number in spectral.items():
        if name in materials and materials[name].texture is None:
            log.warning(
                "%s, line %d: a colour by its spectrum (Kd spectral) is not read; %s is taken as grey",
                path.name, number + 1, name,
            )  # fmt: skip
    return materials
