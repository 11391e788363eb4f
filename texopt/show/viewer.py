"""viewer.html: the textured model, before and after, in one page that opens anywhere without a network."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Sequence
from importlib import resources

import numpy as np
from PIL import Image

from texopt.mesh.vertex_buffers import IndexedPart, unit_parts
from texopt.mesh.wrapping import first_period
from texopt.system.images import png_of

LARGE = 200_000  # vertices; from here on coordinates are rounded to 16 bits, which no screen shows
RESTART = 0xFFFF  # the 16-bit index that stands for no vertex in WebGL 2
MAX_SIDE = 4096  # of textures, what every graphics card takes
MAX_TEXELS = 4 * MAX_SIDE**2  # of all textures together, what a telephone's memory takes
LOSSLESS = 1024**2  # texels; larger images are JPEG


def _array(values: np.ndarray) -> dict[str, str]:
    """A JavaScript typed array: its class and its bytes in base64."""
    data = values.astype(values.dtype.newbyteorder("<"), order="C").tobytes()
    return {"type": f"{values.dtype.name.capitalize()}Array", "data": base64.b64encode(data).decode("ascii")}


def _rounded(values: np.ndarray, dtype: type[np.signedinteger]) -> np.ndarray:
    """Values [N,3] in [-1,1] as integers [N,4] over their full range: graphics cards want multiples of four bytes."""
    padded = np.pad(values.clip(-1, 1), ((0, 0), (0, 1)))
    return (padded * np.iinfo(dtype).max).round().astype(dtype)


def _geometry(part: IndexedPart, large: bool) -> dict[str, dict[str, str] | None]:
    """Positions, UVs, normals and triangles of a part in the unit sphere, as the page reads them."""
    positions = part.positions
    uvs = part.uvs - first_period(part.uvs, part.wrap)  # small numbers are exact
    fine = large and uvs.min() >= 0 and uvs.max() <= 1
    normals = None
    if part.normals is not None:
        lengths = np.linalg.norm(part.normals, axis=1, keepdims=True)
        normals = _array(_rounded(part.normals / np.where(lengths > 0, lengths, 1), np.int8))
    return {
        "positions": _array(_rounded(positions, np.int16) if large else positions.astype(np.float32)),
        "uvs": _array((uvs * 0xFFFF).round().astype(np.uint16) if fine else uvs.astype(np.float32)),
        "normals": normals,
        "triangles": _array(part.triangles.astype(np.uint16 if len(positions) <= RESTART else np.uint32)),
    }


def _max_side(images: Sequence[Image.Image]) -> int:
    """The longest side, a power of two, with which all images together stay within MAX_TEXELS."""
    side = MAX_SIDE
    while sum(min(image.width, side) * min(image.height, side) for image in images) > MAX_TEXELS:
        side //= 2
    return side


def _data_uri(image: Image.Image, side: int) -> str:
    """An image, no longer than `side`: PNG up to LOSSLESS texels, else JPEG of quality 92 with full colour."""
    image = image.convert("RGB")
    if max(image.size) > side:
        image = image.resize((min(image.width, side), min(image.height, side)), Image.Resampling.BOX)
    if image.width * image.height <= LOSSLESS:
        kind, data = "png", png_of(image)
    else:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=92, subsampling=0)
        kind, data = "jpeg", buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def viewer_html(
    title: str, parts: Sequence[IndexedPart], before: Sequence[Image.Image], after: Sequence[Image.Image]
) -> bytes:
    """A page that shows the model from any side, with its textures before and after.

    It is one file without references to others, opens from a disk in any browser with WebGL 2, and is the same for the
    same input, byte for byte. Textures are shown as they are, without light. Its first view is that of `orbit(30, 15,
    fov_y=25)`.

    Args:
        title: plain text.
        parts: one for each material, in one system of coordinates.
        before: one sRGB image of any size for each part; those of more than 1024² texels become JPEG, and all are
            scaled down to what fits a graphics card (4096 a side, and fewer the more of them there are).
        after: likewise.

    Returns:
        HTML in UTF-8.

    Raises:
        ValueError: where there are not as many images as parts.
    """
    if not len(parts) == len(before) == len(after) > 0:
        raise ValueError(
            f"a viewer needs an image before and one after for each part; got {len(parts)} parts, "
            f"{len(before)} images before and {len(after)} after"
        )
    large = sum(len(part.positions) for part in parts) >= LARGE
    side = _max_side([*before, *after])
    uris = [_data_uri(image, side) for image in (*before, *after)]
    images = list(dict.fromkeys(uris))  # each once: parts may share them, and a texture may stay as it was
    model = {
        "parts": [
            {**_geometry(part, large), "wrap": part.wrap, "before": images.index(old), "after": images.index(new)}
            for part, old, new in zip(unit_parts(parts), uris, uris[len(parts) :], strict=False)
        ],
        "images": images,
    }
    template = resources.files("texopt.show").joinpath("viewer.html").read_text("utf-8")
    head, body, tail = re.split(r"{{title}}|{{model}}", template)
    page = "".join([head, html.escape(title), body, json.dumps(model, separators=(",", ":")), tail])
    return page.encode("utf-8", "backslashreplace")  # names of files may be no Unicode
