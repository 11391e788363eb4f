"""The fast OBJ reader against the slow one: the same results of the same text, and the same errors."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import obj_oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from texopt.errors import MeshError
from texopt.io.obj import lines
from texopt.io.obj.document import ObjFile, read_obj


def outcome(read: Any, path: Path) -> dict[str, Any] | str:
    try:
        result = read(path)
    except MeshError as error:
        return str(error)
    if isinstance(result, ObjFile):
        values = {field.name: getattr(result, field.name) for field in fields(result)}
        return values | {"colors": result.colors and (result.colors.rgb, result.colors.scale)}
    return dict(result)


def assert_same(text: str, block: int) -> dict[str, Any] | str:
    """Both readers make the same of a text; returns what."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        path = Path(folder) / "a.obj"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        expected, actual = outcome(obj_oracle.read_obj, path), outcome(read_obj, path)
    if isinstance(expected, str) or isinstance(actual, str):
        assert actual == expected
        return expected
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            assert actual[name].dtype == value.dtype, name
            np.testing.assert_array_equal(actual[name], value, err_msg=name, strict=True)
        elif name == "colors" and value is not None:
            np.testing.assert_array_equal(actual[name][0], value[0], err_msg=name, strict=True)
            assert actual[name][1] == value[1]
        else:
            assert actual[name] == value, name
    return expected


HEAD = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nvn 0 0 1\nvn 0 1 0\nvn 1 0 0\nvn 1 0 1\n"
BLOCKS = st.sampled_from([1, 2, 3, 4096])
PATTERNS = ["{}", "{}/{}", "{}//{}", "{}/{}/{}"]
FRAGMENTS = [
    *["/", "//", "/1", "1/1", "1", "0", "-1", "-", "+", "_", ".", "e5", "x", "f", "v", "#"],
    *("\\\n", "\n", "\r", " ", "  ", "\t", "\v", "\f", "\x1c", "\x1f", "\x85", "\xa0", "\u2003"),
    *("\x00", "\u0663", "\udce9"),
    *(" f ", " v ", " # ", " #1 2", " 1", " 1 2 3", " nan", " inf", " 1/1/1/1", " /1", " 1/2", " 9", " -9", " 1-2"),
    *(" 0/1", " 1/0", f" {2**31 - 1}", f" {2**31}", f" {10**25}", f" -{10**25}"),
]


@st.composite
def runs(draw: st.DrawFn) -> list[str]:
    """One to four lines of one key."""
    key = draw(st.sampled_from(["v", "vt", "vn", "f", "f", "f", "f", "usemtl", "o", "mtllib", "g", ""]))
    count = draw(st.integers(1, 4))
    if key in ("v", "vt", "vn"):
        width = draw(st.sampled_from({"v": [3, 3, 4, 6, 7], "vt": [1, 2, 3], "vn": [3]}[key]))
        number = st.floats(-1e3, 1e3) | st.integers(0, 300) | st.floats(0, 1)
        return [" ".join([key, *(str(draw(number)) for _ in range(width))]) for _ in range(count)]
    if key == "f":
        index = st.integers(1, 4) | st.integers(-4, -1)
        pattern = st.sampled_from(PATTERNS) if draw(st.booleans()) else st.just(draw(st.sampled_from(PATTERNS)))
        corner = st.tuples(pattern, index, index, index).map(lambda drawn: drawn[0].format(*drawn[1:]))
        return [" ".join(["f", *draw(st.lists(corner, min_size=1, max_size=5))]) for _ in range(count)]
    return [f"{key} {draw(st.sampled_from(['a', 'b c', '', '#']))}"] * (key != "" or draw(st.booleans()))


BODIES = st.lists(runs(), max_size=6).map(lambda some: [line for run in some for line in run])


@settings(max_examples=150, deadline=None)
@given(BODIES, BLOCKS, st.sampled_from(["\n", "\r\n"]))
def test_well_formed_files(body: list[str], block: int, end: str) -> None:
    assert not isinstance(assert_same((HEAD + "\n".join(body)).replace("\n", end), block), str)


@settings(max_examples=150, deadline=None)
@given(BODIES.filter(bool), BLOCKS, st.lists(st.tuples(st.floats(0, 1), st.sampled_from(FRAGMENTS)), max_size=2))
def test_files_with_something_put_in(body: list[str], block: int, put_in: list[tuple[float, str]]) -> None:
    """Whatever stands wherever: what becomes of it is the same, the error too."""
    text = "\n".join(body)
    for share, fragment in put_in:
        place = int(share * len(text))
        text = text[:place] + fragment + text[place:]
    assert_same(HEAD + text, block)


# each is taken at once with its neighbours if any one of the conditions for that is left out
@pytest.mark.parametrize(
    "text",
    [
        "",
        "\ufeff" + HEAD + "f 1 2 3",
        "f",
        "f\nf # f\nf 1",
        "f 1f 2 3",
        "f 1 2 3 f 1 2",
        "f 1/1/1/1 2 3",
        "f 1 /1 2 3",
        "f 1 2 3/ /1",
        "f 1 2 1-2",
        "f 1 2 3 -",
        "f -1 0 1",
        "f 1 2 -9",
        f"f 1 2 {2**31 - 1}",
        f"f 1 2 {2**31}",
        f"f 1 {10**25} -{10**25}",
        f"f 1 2 -{10**25}",
        "f 1 1_0 +3",
        "f 1 2\x1c3\x1d\x1e\x1f4\v3\f",
        "f 1 2\x852\xa03 \u0661",
        "v 1 2 3 4 5\nv 1 2 3\nv 1 2 3 4",
        "vt 0\nvt 0 625",
        "v 1 2 3\nv 1 2",
        "vn 1 2 3 vn\nvn 1 2",
        "v 1 2 3 v 2 3 4\nv 3 4 5 6 7 8",
        "v 0 0 0 0 0 nan\nv 0 0 0 1 1 1\nv 1 1 0 1 1 1\nf -1 -2 -3",
        "v 0 0 0 0 0 x\nv 0 0 0 1 1 1\nv 1 1 0 1 1 1\nf -1 -2 -3",
        "v 0 0 0\nv 0 0 0 0 0 0\nv 0 0 0 1 2 255\nv 1 1 0 1 300 -1 0.5\nf -1 -2 -3",
        "v 0 0 0 0.5 1.02 0\nv 1 0 0 1 1 1\nv 1 1 0\nf -1 -2 -3",
        "v 0 0 0 0.5 10.5 0\nv 1 0 0 1 1 1 # x\nv 1 1 0 1 1\nf -1 -2 -3",
        "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0.9 0.1 0\nf -4 -3 -2 -1",
        "f 1/0/1 2/-9/9 3/99999999999/0\nf 1//5 2//6 3//1\nvt 7 7",
        f"f 1/{10**25} 2/-{10**25} 3/1\nf 1/2/3 2/2/3 3/2/3",
    ],
)
@pytest.mark.parametrize("block", [1, 4096])
def test_files_that_are_easily_misread(text: str, block: int) -> None:
    assert_same(text, block)
    assert_same(HEAD + text, block)


@pytest.mark.parametrize("corner", PATTERNS)
@pytest.mark.parametrize("sign", [1, -1])
def test_usual_files_are_read_at_once(tmp_path: Path, corner: str, sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triangles and quads among each other, comments, tabs and double spaces are no reason to go line by line."""

    def never(*arguments: Any) -> Any:
        raise AssertionError("read line by line")

    head = "".join(f"v  {i} 0 {i * i} 0 0.5 1\nvt\t{i} 0 # a comment\nvn {i}e-1 1 0 \n" for i in range(1, 6))
    faces = [" ".join(corner.format(*[sign * i] * 3) for i in some) for some in ((1, 2, 3), (1, 2, 3, 4), (5, 4, 3))]
    path = tmp_path / "a.obj"
    path.write_text(head + "".join(f"f {face} \n s off\n" for face in faces))
    monkeypatch.setattr(lines, "_numbers", never)
    monkeypatch.setattr(lines, "_corner", never)
    actual, expected = read_obj(path), obj_oracle.read_obj(path)
    assert len(actual.corners) == 4
    np.testing.assert_array_equal(actual.corners, expected["corners"])
    np.testing.assert_array_equal(actual.vertices, expected["vertices"])
    assert actual.colors is not None
    np.testing.assert_array_equal(actual.colors.rgb, expected["colors"][0])
