"""viewer.html: the textured model, before and after, in one page that opens anywhere without a network.

Where the model has a finish, the page shows it under a lamp; the template's {{if lit}} sections are for this.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
from PIL import Image

from texopt.mesh.finish import Finish
from texopt.mesh.vertex_buffers import IndexedPart, unit_parts
from texopt.mesh.wrapping import first_period
from texopt.system.images import png_of

LARGE = 200_000  # vertices; from here on coordinates are rounded to 16 bits, which no screen shows
RESTART = 0xFFFF  # the 16-bit index that stands for no vertex in WebGL 2
MAX_SIDE = 4096  # of textures, what every graphics card takes
MAX_TEXELS = 4 * MAX_SIDE**2  # of all textures together, what a telephone's memory takes
LOSSLESS = 1024**2  # texels; larger images are JPEG
MAX_RELIEF_SIDE = 2048  # of normal maps, which stay lossless: JPEG's blocks would be seen in every highlight

# {{if lit}}, lines of the page that has a lamp, perhaps {{else}} and lines of the one that has none, and {{end}}
_EITHER = re.compile(r"{{if lit}}\n(.*?)(?:{{else}}\n(.*?))?{{end}}\n", re.DOTALL)

# what another page is made of: its model, and what it calls the two sides
_MODEL = re.compile(r'(<script type="application/json" id="model">)(.*?)(</script>)', re.DOTALL)
_LABELS = re.compile(r"<span>Before</span><span>After</span>")
_BUTTONS = re.compile(r'(<button data-key="[ba]" title=")[^"]*(">)(?:Before|After)(</button>)')


def _array(values: np.ndarray) -> dict[str, str]:
    """A JavaScript typed array: its class and its bytes in base64."""
    data = values.astype(values.dtype.newbyteorder("<"), order="C").tobytes()
    return {"type": f"{values.dtype.name.capitalize()}Array", "data": base64.b64encode(data).decode("ascii")}


def _rounded(values: np.ndarray, dtype: type[np.signedinteger]) -> np.ndarray:
    """Values [N,3] in [-1,1] as integers [N,4] over their full range: graphics cards want multiples of four bytes."""
    padded = np.pad(values.clip(-1, 1), ((0, 0), (0, 1)))
    return (padded * np.iinfo(dtype).max).round().astype(dtype)


def _geometry(part: IndexedPart, large: bool, lit: bool) -> dict[str, dict[str, str] | None]:
    """Positions, UVs, normals and triangles of a part in the unit sphere, as the page reads them.

    Normals are rounded to 8 bits, or under light to 16, as highlights show the steps of 8.
    """
    positions = part.positions
    uvs = part.uvs - first_period(part.uvs, part.wrap)  # small numbers are exact
    fine = large and uvs.min() >= 0 and uvs.max() <= 1
    normals = None
    if part.normals is not None:
        lengths = np.linalg.norm(part.normals, axis=1, keepdims=True)
        normals = _array(_rounded(part.normals / np.where(lengths > 0, lengths, 1), np.int16 if lit else np.int8))
    return {
        "positions": _array(_rounded(positions, np.int16) if large else positions.astype(np.float32)),
        "uvs": _array((uvs * 0xFFFF).round().astype(np.uint16) if fine else uvs.astype(np.float32)),
        "normals": normals,
        "triangles": _array(part.triangles.astype(np.uint16 if len(positions) <= RESTART else np.uint32)),
    }


def _max_side(images: Sequence[Image.Image], reliefs: Sequence[Image.Image] = ()) -> int:
    """The longest side, a power of two, with which all images and normal maps together stay within MAX_TEXELS."""

    def texels(side: int) -> int:
        limits = [(image, side) for image in images] + [(image, min(side, MAX_RELIEF_SIDE)) for image in reliefs]
        return sum(min(image.width, limit) * min(image.height, limit) for image, limit in limits)

    side = MAX_SIDE
    while texels(side) > MAX_TEXELS:
        side //= 2
    return side


def _data_uri(image: Image.Image, side: int, lossless: bool = False) -> str:
    """An image, no longer than `side`: PNG if it is to be lossless or up to LOSSLESS texels, else JPEG of quality 92
    with full colour."""
    image = image.convert("RGB")
    if max(image.size) > side:
        image = image.resize((min(image.width, side), min(image.height, side)), Image.Resampling.BOX)
    if lossless or image.width * image.height <= LOSSLESS:
        kind, data = "png", png_of(image)
    else:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=92, subsampling=0)
        kind, data = "jpeg", buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _surface(finish: Finish) -> Image.Image:
    """Roughness and metal in one RGB image, in green and blue as glTF has them, as large as the larger of the two."""
    maps = [Image.fromarray(values) for values in (finish.roughness, finish.metallic)]
    size = max(one.width for one in maps), max(one.height for one in maps)
    rough, metal = (one.resize(size, Image.Resampling.BILINEAR) for one in maps)
    return Image.merge("RGB", [Image.new("L", size), rough, metal])


def _finish_maps(finish: Finish | None) -> tuple[Image.Image, Image.Image]:
    """(normals, roughness and metal) of a finish, or of a plain one."""
    finish = finish or Finish()
    return Image.fromarray(finish.normal), _surface(finish)


def _finish_uris(maps: tuple[Image.Image, Image.Image], side: int) -> list[str]:
    return [_data_uri(maps[0], min(side, MAX_RELIEF_SIDE), lossless=True), _data_uri(maps[1], side)]


def _page(title: str, model: dict[str, Any], lit: bool) -> str:
    """The template, filled in."""
    template = resources.files("texopt.show").joinpath("viewer.html").read_text("utf-8")
    template = _EITHER.sub(lambda match: match[1] if lit else match[2] or "", template)
    head, body, tail = re.split(r"{{title}}|{{model}}", template)
    return "".join([head, html.escape(title), body, json.dumps(model, separators=(",", ":")), tail])


def viewer_html(
    title: str,
    parts: Sequence[IndexedPart],
    before: Sequence[Image.Image],
    after: Sequence[Image.Image],
    finishes_before: Sequence[Finish | None] = (),
    finishes_after: Sequence[Finish | None] = (),
) -> bytes:
    """A page that shows the model from any side, with its textures before and after.

    It is one file without references to others, opens from a disk in any browser with WebGL 2, and is the same for the
    same input, byte for byte. Its first view is that of `orbit(30, 15, fov_y=25)`.

    Textures are shown as they are, without light. Where any finish is given, all are shown under a light that can be
    turned off, as `shade` has it: an even environment of 0.35 and a lamp of 0.8, as those of `moving_light`, 45 degrees
    off the line of sight. Whoever looks holds the lamp: it stays where a slider has put it, at first at the upper left,
    while the model turns.

    Args:
        title: plain text.
        parts: one for each material, in one system of coordinates.
        before: one sRGB image of any size for each part; those of more than 1024² texels become JPEG, and all are
            scaled down to what fits a graphics card (4096 a side, and fewer the more of them there are).
        after: likewise.
        finishes_before: one for each part, or None where the surface is plain; empty if all are. Normals stay lossless
            and are scaled down to 2048 texels a side.
        finishes_after: likewise.

    Returns:
        HTML in UTF-8.

    Raises:
        ValueError: where there are not as many images as parts, or other numbers of finishes.
    """
    if not len(parts) == len(before) == len(after) > 0:
        raise ValueError(
            f"a viewer needs an image before and one after for each part; got {len(parts)} parts, "
            f"{len(before)} images before and {len(after)} after"
        )
    for when, finishes in (("before", finishes_before), ("after", finishes_after)):
        if len(finishes) not in (0, len(parts)):
            raise ValueError(f"a viewer needs a finish {when} for each of {len(parts)} parts, or none: {len(finishes)}")
    plain = [None] * len(parts)
    finishes = [*(finishes_before or plain), *(finishes_after or plain)]
    lit = any(finish is not None for finish in finishes)
    maps = [_finish_maps(finish) for finish in finishes] if lit else []
    side = _max_side([*before, *after, *(surface for _, surface in maps)], [relief for relief, _ in maps])
    uris = [_data_uri(image, side) for image in (*before, *after)]
    finish_uris = [_finish_uris(pair, side) for pair in maps]
    # each once: parts may share them, and a texture may stay as it was
    images = list(dict.fromkeys([*uris, *itertools.chain(*finish_uris)]))
    large = sum(len(part.positions) for part in parts) >= LARGE
    shown: list[dict[str, Any]] = [
        {**_geometry(part, large, lit), "wrap": part.wrap, "before": images.index(old), "after": images.index(new)}
        for part, old, new in zip(unit_parts(parts), uris, uris[len(parts) :], strict=False)
    ]
    at = [[images.index(uri) for uri in pair] for pair in finish_uris]
    for part, old, new in zip(shown, at, at[len(parts) :], strict=False):
        part["finishes"] = {"before": old, "after": new}
    page = _page(title, {"parts": shown, "images": images}, lit)
    return page.encode("utf-8", "backslashreplace")  # names of files may be no Unicode


def _shapes(model: dict[str, Any]) -> list[list[Any]]:
    return [[part[name] for name in ("positions", "uvs", "triangles")] for part in model["parts"]]


def _lit(model: dict[str, Any]) -> bool:
    return "finishes" in model["parts"][0]


def _images_after(model: dict[str, Any]) -> list[str]:
    """The new texture of each part."""
    return [model["images"][part["after"]] for part in model["parts"]]


def _finishes_after(model: dict[str, Any]) -> list[str]:
    """Normals, and roughness and metal, of each part in turn; of a plain surface where the page knows none."""
    if not _lit(model):
        return _finish_uris(_finish_maps(None), MAX_SIDE) * len(model["parts"])
    return [model["images"][at] for part in model["parts"] for at in part["finishes"]["after"]]


def compared_html(left: str, right: str, labels: tuple[str, str]) -> str:
    """A page with the textures of one viewer's model as before, and those of another one's as after.

    It has light if one of the two has.

    Args:
        left, right: pages that `viewer_html` has made, of one mesh.
        labels: what the two are called.

    Raises:
        ValueError: for pages of different meshes, or that are no such pages.
    """
    found = [_MODEL.search(page) for page in (left, right)]
    if not all(found):
        raise ValueError("this is no page of a model")
    first, second = (json.loads(match[2]) for match in found if match)
    if _shapes(first) != _shapes(second):
        raise ValueError("these are not of the same mesh")
    frame, base = (left, first) if _lit(first) and not _lit(second) else (right, second)
    count, images = len(base["parts"]), [uri for one in (first, second) for uri in _images_after(one)]
    parts = [part | {"before": at, "after": at + count} for at, part in enumerate(base["parts"])]
    if _lit(base):
        for at, part in enumerate(parts):
            places = {"before": 2 * (count + at), "after": 2 * (2 * count + at)}
            part["finishes"] = {side: [place, place + 1] for side, place in places.items()}
        images += [uri for one in (first, second) for uri in _finishes_after(one)]
    model = json.dumps({"parts": parts, "images": images}, separators=(",", ":"))
    page = _MODEL.sub(lambda match: match[1] + model + match[3], frame)
    names = [html.escape(name) for name in labels]
    page = _LABELS.sub(lambda _: f"<span>{names[0]}</span><span>{names[1]}</span>", page)
    sides = iter((names[0], "Left", names[1], "Right"))
    return _BUTTONS.sub(lambda match: match[1] + next(sides) + match[2] + next(sides) + match[3], page)
