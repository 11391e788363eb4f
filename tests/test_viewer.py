"""The page that shows a model: what is in it. How it looks is tested in tests/interop."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from texopt.mesh.finish import Finish
from texopt.mesh.mesh import Mesh
from texopt.mesh.vertex_buffers import IndexedPart, indexed_part
from texopt.show import viewer
from texopt.show.viewer import compared_html, viewer_html

OUTSIDE = r"(?i)https?:|//\w|url\(|@import|\bsrc=|fetch|XMLHttp|WebSocket|import\(|console\."  # what a page may ask for


def plain(color: tuple[int, int, int], width: int = 1, height: int = 1) -> Image.Image:
    return Image.new("RGB", (width, height), color)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def random_part(vertices: int, normals: bool, seed: int = 0) -> IndexedPart:
    """Triangles far from the origin, with UVs that repeat."""
    random = np.random.default_rng(seed)
    directions = random.normal(size=(vertices, 3))
    return IndexedPart(
        random.normal(size=(vertices, 3)) * [30, 5, 1] + [1000, -20, 3],
        random.uniform(-2, 2, (vertices, 2)),
        directions / np.linalg.norm(directions, axis=1, keepdims=True) if normals else None,
        random.integers(0, vertices, (vertices + 1, 3)).astype(np.int32),
    )


def model_of(page: bytes) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="model">(.*?)</script>', page.decode())
    assert match
    model: dict[str, Any] = json.loads(match[1])
    return model


def decoded(array: dict[str, str], columns: int) -> np.ndarray:
    """What WebGL makes of a typed array: integers that are not indices span [-1,1] or [0,1]."""
    kind = np.dtype(array["type"].removesuffix("Array").lower()).newbyteorder("<")
    values = np.frombuffer(base64.b64decode(array["data"]), kind)
    values = values.reshape(-1, columns + columns % 2 if kind.kind == "i" else columns)[:, :columns]
    return values if kind.kind == "f" or (columns == 3 and kind.kind == "u") else values / np.iinfo(kind).max


def decoded_image(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


@pytest.mark.parametrize(("large", "tolerance"), [(10**9, 2e-7), (0, 2e-5)], ids=["exact", "rounded"])
@pytest.mark.parametrize("normals", [False, True])
def test_geometry_is_in_the_page(large: int, tolerance: float, normals: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "LARGE", large)
    parts = [random_part(50, normals), random_part(40, normals, seed=1)]
    images = [plain((1, 2, 3))] * 2
    shown = model_of(viewer_html("x", parts, images, images))["parts"]
    points = np.concatenate([part.positions for part in parts])
    center = (points.min(0) + points.max(0)) / 2
    radius = np.linalg.norm(points - center, axis=1).max()
    for part, data in zip(parts, shown, strict=True):
        np.testing.assert_allclose(decoded(data["positions"], 3), (part.positions - center) / radius, atol=tolerance)
        shift = decoded(data["uvs"], 2) - part.uvs
        np.testing.assert_allclose(shift, np.broadcast_to(shift[0].round(), shift.shape), atol=1e-6)
        np.testing.assert_array_equal(decoded(data["triangles"], 3), part.triangles)
        if part.normals is None:
            assert data["normals"] is None
        else:
            np.testing.assert_allclose(decoded(data["normals"], 3), part.normals, atol=0.5 / 127 + 1e-6)


def test_large_meshes_take_half_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    part = random_part(3000, normals=True)
    part = IndexedPart(part.positions, part.uvs % 1, part.normals, part.triangles)
    exact = model_of(viewer_html("x", [part], [plain((0, 0, 0))], [plain((0, 0, 0))]))["parts"][0]
    monkeypatch.setattr(viewer, "LARGE", 3000)
    rounded = model_of(viewer_html("x", [part], [plain((0, 0, 0))], [plain((0, 0, 0))]))["parts"][0]
    for name, bytes_each in (("positions", (12, 8)), ("uvs", (8, 4)), ("normals", (4, 4))):
        sizes = tuple(len(base64.b64decode(each[name]["data"])) / 3000 for each in (exact, rounded))
        assert sizes == bytes_each, name
    np.testing.assert_allclose(decoded(rounded["uvs"], 2), part.uvs, atol=0.51 / 65535)


@pytest.mark.parametrize(("vertices", "kind"), [(65535, "Uint16Array"), (65536, "Uint32Array")])
def test_no_index_is_the_one_that_restarts(vertices: int, kind: str) -> None:
    part = random_part(vertices, normals=False)
    part.triangles[0] = (0, 1, vertices - 1)
    data = model_of(viewer_html("x", [part], [plain((0, 0, 0))], [plain((0, 0, 0))]))["parts"][0]
    assert data["triangles"]["type"] == kind
    np.testing.assert_array_equal(decoded(data["triangles"], 3), part.triangles)


def test_every_part_has_its_images_and_shared_ones_are_there_once(cube: Mesh) -> None:
    part = indexed_part(cube)
    before = [noise(7, 5), plain((9, 8, 7)), plain((255, 0, 0))]
    after = [noise(16, 16), plain((9, 8, 7)), noise(7, 5)]
    model = model_of(viewer_html("x", [part] * 3, before, after))
    assert len(model["images"]) == 4
    for data, old, new in zip(model["parts"], before, after, strict=True):
        for index, image in ((data["before"], old), (data["after"], new)):
            np.testing.assert_array_equal(decoded_image(model["images"][index]), image)


def test_large_images_are_jpeg_in_full_color(cube: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "LOSSLESS", 64 * 64)
    stripes = np.zeros((64, 65, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)  # halved colour would make both violet
    image = Image.fromarray(stripes)
    model = model_of(viewer_html("x", [indexed_part(cube)], [image], [image.crop((0, 0, 64, 64))]))
    jpeg, png = (decoded_image(uri) for uri in model["images"])
    assert (jpeg.format, png.format) == ("JPEG", "PNG")
    assert np.abs(np.asarray(jpeg).astype(int) - stripes).mean() < 10


def test_images_fit_a_graphics_card(cube: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "MAX_SIDE", 64)
    monkeypatch.setattr(viewer, "MAX_TEXELS", 4 * 64 * 64)
    part = indexed_part(cube)
    model = model_of(viewer_html("x", [part] * 2, [noise(100, 20), noise(20, 20)], [noise(64, 64), noise(8, 8)]))
    assert [decoded_image(uri).size for uri in model["images"]] == [(64, 20), (20, 20), (64, 64), (8, 8)]
    model = model_of(viewer_html("x", [part] * 3, [noise(64, 64)] * 3, [noise(64, 64)] * 3))
    assert [decoded_image(uri).size for uri in model["images"]] == [(32, 32)]


def test_title_is_text(cube: Mesh) -> None:
    title = '</title><script>alert("1")</script> & {{model}} {{title}}'
    page = viewer_html(title, [indexed_part(cube)], [plain((0, 0, 0))], [plain((0, 0, 0))]).decode()
    assert f"<title>{html.escape(title)}</title>" in page
    assert "alert(&quot;1&quot;)" in page
    assert 'alert("1")' not in page
    assert page.count("<script") == 2


def test_page_refers_to_nothing_outside(cube: Mesh) -> None:
    page = viewer_html("x", [indexed_part(cube)], [plain((0, 0, 0))], [plain((0, 0, 0))]).decode()
    frame = page.replace(json.dumps(model_of(page.encode()), separators=(",", ":")), "")
    assert len(frame) < len(page)
    assert not re.search(OUTSIDE, frame)
    assert re.findall(r'href="([^"]*)"', frame) == ["data:,"]
    assert "default-src 'none'" in frame
    for placeholder in ("{{title}}", "{{model}}"):
        assert placeholder not in page


def test_same_input_same_bytes(cube: Mesh) -> None:
    pages = [viewer_html("x", [indexed_part(cube)], [noise(9, 9)], [noise(40, 30)]) for _ in range(2)]
    assert pages[0] == pages[1]


def test_one_image_for_each_part(cube: Mesh) -> None:
    part, image = indexed_part(cube), plain((0, 0, 0))
    for parts, before, after in ([part], [image], []), ([part], [image] * 2, [image]), ([], [], []):
        with pytest.raises(ValueError, match="an image before and one after for each part"):
            viewer_html("x", parts, before, after)


def test_two_results_of_a_mesh_are_laid_over_each_other() -> None:
    parts = [random_part(10, True), random_part(12, False, seed=1)]
    grey, colors = plain((90, 90, 90)), [plain((200, 0, 0)), plain((0, 200, 0)), plain((0, 0, 200))]
    pages = [
        viewer_html("a mesh", parts, [grey, grey], after).decode()
        for after in ([colors[0], colors[1]], [colors[2], colors[0]])
    ]
    page = compared_html(pages[0], pages[1], ("strength 0.2", "<b>"))
    model, alone = model_of(page.encode()), model_of(pages[1].encode())
    shown = [
        [decoded_image(model["images"][part[side]]).getpixel((0, 0)) for part in model["parts"]]
        for side in ("before", "after")
    ]
    assert shown == [[(200, 0, 0), (0, 200, 0)], [(0, 0, 200), (200, 0, 0)]]
    assert model["parts"][1]["triangles"] == alone["parts"][1]["triangles"]
    assert "<span>strength 0.2</span><span>&lt;b&gt;</span>" in page
    assert ">Left</button>" in page
    assert ">Right</button>" in page
    other = viewer_html("a mesh", [random_part(10, True, seed=2), parts[1]], [grey] * 2, [grey] * 2).decode()
    for wrong in (other, "<p>"):
        with pytest.raises(ValueError, match=r"mesh|page"):
            compared_html(pages[0], wrong, ("", ""))


def finish(side: int = 4, metal: int = 0) -> Finish:
    random = np.random.default_rng(side)
    return Finish(
        random.integers(0, 256, (side, side, 3), np.uint8), random.integers(0, 256, (2 * side, side), np.uint8),
        np.full((1, 1), metal, np.uint8),
    )  # fmt: skip


def test_without_a_finish_there_is_no_light(cube: Mesh) -> None:
    given = "x", [indexed_part(cube)], [noise(9, 9)], [noise(8, 8)]
    page = viewer_html(*given)
    assert viewer_html(*given, [None], [None]) == viewer_html(*given, [], [None]) == page
    assert b'id="lamp"' not in page
    assert b"Shading" in page


def test_finishes_are_in_the_page(cube: Mesh) -> None:
    parts, images, own = [indexed_part(cube)] * 2, [plain((0, 0, 0))] * 2, finish(metal=77)
    page = viewer_html("x", parts, images, images, (), [None, own])
    assert page == viewer_html("x", parts, images, images, [None, None], [None, own])
    assert b"{{" not in page
    model = model_of(page)
    normal, surface = (
        np.asarray(decoded_image(model["images"][at])) for at in model["parts"][1]["finishes"]["after"]
    )  # fmt: skip
    np.testing.assert_array_equal(normal, own.normal)
    np.testing.assert_array_equal(surface[..., 1], own.roughness)
    assert (surface[..., 2] == 77).all()
    smooth = model["parts"][1]["finishes"]["before"]
    assert model["parts"][0]["finishes"] == {"before": smooth, "after": smooth}
    pixels = [decoded_image(model["images"][at]).getpixel((0, 0)) for at in smooth]
    assert pixels == [(128, 128, 255), (0, Finish().roughness[0, 0], 0)]
    assert len(model["images"]) == 5


def test_light_needs_finer_normals() -> None:
    part, image = random_part(50, normals=True), plain((0, 0, 0))
    normals = model_of(viewer_html("x", [part], [image], [image], [finish()]))["parts"][0]["normals"]
    np.testing.assert_allclose(decoded(normals, 3), part.normals, atol=0.5 / 32767 + 1e-6)


def test_normal_maps_are_lossless(cube: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "LOSSLESS", 4)
    monkeypatch.setattr(viewer, "MAX_RELIEF_SIDE", 8)
    image, own, large = plain((0, 0, 0)), finish(8), finish(16)
    model = model_of(viewer_html("x", [indexed_part(cube)], [image], [image], [own], [large]))
    maps = {
        side: [decoded_image(model["images"][at]) for at in at] for side, at in model["parts"][0]["finishes"].items()
    }
    assert [one.format for one in maps["before"]] == ["PNG", "JPEG"]
    np.testing.assert_array_equal(maps["before"][0], own.normal)
    assert [one.format for one in maps["after"]] == ["PNG", "JPEG"]
    assert [one.size for one in maps["after"]] == [(8, 8), (16, 32)]


def test_finishes_leave_room_for_colours(cube: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Normal maps count as large as they are shown, and sides are halved until all fits. Its roughness is 32 x 16."""
    part, image, own = indexed_part(cube), noise(16, 16), finish(16)
    for room, sides in ((16 * 16 * 3 + 8 * 8 + 2, (16, 8)), (16 * 16 * 3 + 8 * 8 + 1, (8, 8))):
        monkeypatch.setattr(viewer, "MAX_SIDE", 32)
        monkeypatch.setattr(viewer, "MAX_RELIEF_SIDE", 8)
        monkeypatch.setattr(viewer, "MAX_TEXELS", room)
        model = model_of(viewer_html("x", [part], [image], [image], [None], [own]))
        shown, relief = model["parts"][0]["after"], model["parts"][0]["finishes"]["after"][0]
        assert tuple(decoded_image(model["images"][at]).width for at in (shown, relief)) == sides


def test_one_finish_for_each_part(cube: Mesh) -> None:
    part, image = indexed_part(cube), plain((0, 0, 0))
    for before, after in (([None] * 2, []), ([], [finish()] * 2), ([finish()], [None] * 3)):
        with pytest.raises(ValueError, match=r"a finish (before|after) for each of 1 parts"):
            viewer_html("x", [part], [image], [image], before, after)


def test_results_with_and_without_a_finish_are_compared() -> None:
    parts, own, other = [random_part(10, True), random_part(12, False, seed=1)], finish(4), finish(5)
    grey, red = plain((90, 90, 90)), plain((200, 0, 0))
    plain_page, first, second = (
        viewer_html("a mesh", parts, [grey] * 2, [red, grey], [], finishes).decode()
        for finishes in ([], [own, None], [None, other])
    )

    def normals_of(page: str) -> list[list[tuple[int, ...]]]:
        model = model_of(page.encode())
        return [
            [decoded_image(model["images"][part["finishes"][side][0]]).size for part in model["parts"]]
            for side in ("before", "after")
        ]

    none, a, b = (1, 1), (4, 4), (5, 5)
    for left, right, expected in (
        (first, second, [[a, none], [none, b]]),
        (plain_page, second, [[none, none], [none, b]]),
        (first, plain_page, [[a, none], [none, none]]),
    ):
        page = compared_html(left, right, ("one", "two"))
        assert normals_of(page) == expected
        assert 'id="lamp"' in page
        assert "<span>one</span><span>two</span>" in page
        model = model_of(page.encode())
        assert decoded_image(model["images"][model["parts"][0]["after"]]).getpixel((0, 0)) == (200, 0, 0)
    assert 'id="lamp"' not in compared_html(plain_page, plain_page, ("one", "two"))


def test_page_with_light_refers_to_nothing_outside(cube: Mesh) -> None:
    page = viewer_html("x", [indexed_part(cube)], [plain((0, 0, 0))], [plain((0, 0, 0))], [finish()]).decode()
    frame = page.replace(json.dumps(model_of(page.encode()), separators=(",", ":")), "")
    assert not re.search(OUTSIDE, frame)
