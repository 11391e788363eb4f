"""Presets of `texopt style`: values of its options that belong together."""

from __future__ import annotations

import dataclasses
from typing import Any

from texopt.cli.options.runs import StyleConfig
from texopt.errors import OptionError

PRESETS: dict[str, dict[str, Any]] = {
    # a look at what will come, in seconds
    "draft": {"steps": 100, "texture_size": 512, "learning_rate": 0.12},
    "standard": {},
    # sharp from near: a third of the views look from six times closer
    "final": {"steps": 600, "texture_size": 4096, "close_ups": 0.33, "zoom": 6.0},
    # strokes and colours by Gram matrices alone, which keeps nothing of what the painting shows
    "gram": {"steps": 450, "learning_rate": 0.035, "style_weight": 1.0, "patch_weight": 0.0, "coarse": 0.0,
             "seam_weight": 10.0},
    # the baseline: Mordvintsev, Pezzotti, Schubert & Olah, "Differentiable Image Parameterizations", Distill 2018, and
    # lucid's notebook style_transfer_3d, on the default network and with relative distances of Gram matrices, for which
    # content's weight of 100 is about 0.25. Distances are 10 to 12 radii at a field of view of 10°.
    "distill-2018": {
        "steps": 400, "learning_rate": 0.05, "view_size": 512, "texture": "fourier", "start": "noise",
        "distance": (0.872, 1.046), "background": "black", "object_only": False, "content_loss": "l1",
        "content_weight": 0.25, "seam_weight": 0.0, "style_weight": 1.0, "patch_weight": 0.0, "coarse": 0.0,
    },
}  # fmt: skip


def preset_values(name: str) -> dict[str, Any]:
    """The options that a preset sets, those that only others set as they are by default, and its own name.

    OptionError for one that is not there.
    """
    if name not in PRESETS:
        raise OptionError(f"preset has to be one of {', '.join(PRESETS)}, not {name!r}")
    defaults = {field.name: field.default for field in dataclasses.fields(StyleConfig)}
    others = {option: defaults[option] for values in PRESETS.values() for option in values}
    return others | PRESETS[name] | {"preset": name}
