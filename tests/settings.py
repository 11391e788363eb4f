"""Settings of `optimize` as tests vary them: one flat dictionary."""

from __future__ import annotations

from typing import Any

from texopt import Descent, Views

OF_VIEWS = {
    "view_size": "size", "views_per_step": "per_step", "cameras": "cameras", "background": "background",
    "transform": "transform", "coarse": "coarse", "common_scale": "common_scale",
}  # fmt: skip
OF_DESCENT = ("learning_rate", "optimizer", "schedule", "clip")


def grouped(**settings: Any) -> dict[str, Any]:
    """The arguments of `optimize`: what is of views and of the descent in the values that it takes."""
    views = {OF_VIEWS[name]: settings.pop(name) for name in OF_VIEWS if name in settings}
    descent = {name: settings.pop(name) for name in OF_DESCENT if name in settings}
    return settings | {"views": Views(**views), "descent": Descent(**descent)}
