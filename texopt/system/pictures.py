"""Pictures as a caller gives them: a file, a Pillow image, a tensor or an array."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from texopt.errors import OptionError
from texopt.system.images import load_image, opaque

Painting = str | os.PathLike[str] | Image.Image | Tensor | np.ndarray


def several(images: Painting | Sequence[Painting]) -> list[Painting]:
    """One or several as several."""
    return list(images) if isinstance(images, (list, tuple)) else [images]  # type: ignore[list-item]


def loaded(image: Painting, min_size: int = 1) -> Image.Image:
    """A painting as a Pillow image, RGB of 8 bits a channel; what is transparent lies over white.

    image: a file; a Pillow image of any mode; a tensor [C,H,W] or an array [H,W,C] of 1, 3 or 4 channels, float in
        [0,1] or uint8 of 0 to 255.

    ImageError for a file that is no image, or a side under `min_size` pixels; OptionError for anything else.
    """
    if isinstance(image, (str, os.PathLike)):
        return load_image(image, min_size)
    if isinstance(image, (Tensor, np.ndarray)):
        image = _picture(image)
    if not isinstance(image, Image.Image):
        raise OptionError(f"{FORMS}, not {type(image).__name__}")
    return opaque(image, "a painting", min_size)


FORMS = "a painting is a file, a Pillow image, a float tensor [3,H,W] in [0,1] or a uint8 array [H,W,3]"


def _picture(values: Tensor | np.ndarray) -> Image.Image:
    """A tensor [C,H,W] or an array [H,W,C] as an image."""
    array = values.detach().cpu().movedim(0, -1).numpy() if isinstance(values, Tensor) and values.ndim == 3 else values
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise OptionError(f"{FORMS}, not {type(values).__name__} {list(values.shape)}")
    if array.dtype != np.uint8:
        if array.dtype.kind != "f" or not (array.min() >= 0 and array.max() <= 1):
            said = f"{array.min():.3g} to {array.max():.3g} of {array.dtype}"
            raise OptionError(f"colours of a painting are float in [0,1] or uint8 of 0 to 255, not {said}")
        array = np.round(array * 255.0).astype(np.uint8)
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
