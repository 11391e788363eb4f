"""texopt: optimise the texture of a 3D mesh through renderings of it.

    import texopt
    mesh = texopt.load_mesh("spot.obj")
    objective = texopt.style("starry-night.jpg") + 8 * texopt.content()
    result = texopt.optimize(mesh, texopt.FourierTexture(1024), objective, steps=300)
    result.export("outputs/spot.obj")

The names below are imported when they are first used, so that `import texopt` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "cameras": ("Cameras", "fixed_views", "look_at", "orbit", "perspective", "sample_sphere"),
    "errors": (
        "DependencyError", "ImageError", "MeshError", "OptionError", "OutputError", "TexoptError", "WeightsError",
    ),
    "features": ("FeatureExtractor", "class_index", "load_backbone"),
    "mesh": ("Mesh", "load_mesh"),
    "objectives": (
        "GramEMA", "Objective", "channel", "content", "direction", "gram_matrix", "logit", "neuron", "objective",
        "style", "total_variation",
    ),
    "loop": ("Step", "optimize"),
    "render": ("Fragments", "View", "composite", "rasterize"),
    "result": ("Result",),
    "texture": ("FourierTexture", "PixelTexture"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE_OF)

if TYPE_CHECKING:
    from texopt.cameras import Cameras, fixed_views, look_at, orbit, perspective, sample_sphere
    from texopt.errors import (
        DependencyError, ImageError, MeshError, OptionError, OutputError, TexoptError, WeightsError,
    )  # fmt: skip
    from texopt.features import FeatureExtractor, class_index, load_backbone
    from texopt.mesh import Mesh, load_mesh
    from texopt.objectives import (
        GramEMA, Objective, channel, content, direction, gram_matrix, logit, neuron, objective, style, total_variation,
    )  # fmt: skip
    from texopt.loop import Step, optimize
    from texopt.render import Fragments, View, composite, rasterize
    from texopt.result import Result
    from texopt.texture import FourierTexture, PixelTexture


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        value = getattr(importlib.import_module(f"texopt.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'texopt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
