"""The options that the page offers: those that README.md names, with their help, and what becomes of their values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from texopt.cli.options.helps import helps
from texopt.cli.options.presets import preset_values
from texopt.cli.options.runs import StyleConfig
from texopt.cli.options.texts import listed

HELP = helps(StyleConfig) | {  # of what is chosen on the page, and typed in a command
    "only": "Materials to change. None chosen: all of them.",
    "mask": "An image painted on the UVs: where it is black, the texture stays.",
    "format": "What is written.",
}
OFFERED = (
    "preset", "strength", "style_scale", "keep_colors", "where", "direction", "texture_size", "only", "mask", "format",
)  # fmt: skip
FORMATS = ("obj", "glb", "png")
AS_PRESET = 0  # a texture size
SIZES = (256, 512, 1024, 2048, 4096, 8192)
RANGES = {"strength": (0.0, 1.0), "style_scale": (0.2, 3.0)}
DIRECTIONS = ("curvature", "curvature:across", "around:y", "along:y")
OF_THE_STUDIO = {"mesh", "style", "out", "together", "live", "host", "port", "threads", "device", "preset"}
_DEFAULTS = {
    field.name: field.default for field in dataclasses.fields(StyleConfig) if field.default is not dataclasses.MISSING
}
DEFAULTS: dict[str, Any] = {name: _DEFAULTS[name] for name in OFFERED} | {
    "format": ("obj", "glb"), "where": (), "only": (), "texture_size": AS_PRESET,
}  # fmt: skip


def choices(name: str, values: Sequence[Any]) -> list[tuple[str, Any]]:
    """What people can choose for an option: (what it is called, its value)."""
    usual: dict[str, tuple[str, Any]] = {
        "texture_size": ("as the preset has it", AS_PRESET), "direction": ("as they fall", ""),
    }  # fmt: skip
    first = [usual[name]] if name in usual else []
    return [*first, *((str(value), value) for value in values if value not in [one for _, one in first])]


def options(mesh: Path, style: tuple[Path, ...], shown: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run, as a config.yaml has them.

    Args:
        mesh, style: the inputs.
        shown: the form's values, by the names in OFFERED; texture_size AS_PRESET is as the preset has it.
        others: options that the form does not have, of a run that this one is like.
    """
    values = preset_values(shown["preset"]) | dict(others)
    for name in ("strength", "style_scale", "keep_colors", "direction"):
        values[name] = shown[name]
    if shown["texture_size"] != AS_PRESET:
        values["texture_size"] = shown["texture_size"]
    values |= {
        "mesh": mesh, "style": style, "where": tuple(shown["where"]), "only": ",".join(shown["only"]),
        "mask": str(shown["mask"] or ""), "format": ",".join(shown["format"]),
    }  # fmt: skip
    return _plain(values)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As a config.yaml has them; see LoopConfig.plain, which checks and resolves them again in the run."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        return [plain(one) for one in value] if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in values.items()}


def shown(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The form's values of a run's options, and those that the form does not have and differ from its preset's."""
    preset = preset_values(values["preset"])
    usual = _DEFAULTS | preset
    found = {name: values.get(name, usual[name]) for name in OFFERED}
    found["texture_size"] = AS_PRESET if found["texture_size"] == usual["texture_size"] else found["texture_size"]
    found |= {name: listed(found[name]) for name in ("only", "format")}
    others = {
        name: value
        for name, value in values.items()
        if name not in OF_THE_STUDIO and name not in OFFERED and value != usual[name]
    }
    return found, others


def described(values: Mapping[str, Any]) -> str:
    """The options of a run that are not the usual ones, in a few words: `draft, strength 0.7, keep colors`."""
    found, others = shown(values)
    preset = [] if found["preset"] == DEFAULTS["preset"] else [found["preset"]]
    unusual = {
        name: found[name] for name in OFFERED if name not in ("preset", "format") and found[name] != DEFAULTS[name]
    }
    return ", ".join([*preset, *(_words(*pair) for pair in (unusual | others).items())])


def listed_words(values: Mapping[str, Any]) -> str:
    """Options in a few words."""
    return ", ".join(_words(*pair) for pair in values.items())


def _words(name: str, value: Any) -> str:
    label = name.replace("_", " ")
    if isinstance(value, bool):
        return label if value else f"no {label}"
    if name == "mask":  # whose path says little
        return label
    return f"{label} {' '.join(map(str, value)) if isinstance(value, tuple) else value}"
