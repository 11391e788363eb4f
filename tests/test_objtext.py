"""OBJ lines from arrays: they read back as the same numbers, and are those that formatting one by one gives."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from texopt.io.obj import rows as row_lines
from texopt.io.obj.document import ObjFile, read_obj
from texopt.io.obj.rows import face_lines, normal_lines, uv_lines, vertex_lines


def read(*lines: list[str]) -> ObjFile:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.obj"
        path.write_text("\n".join(line for some in lines for line in some) + "\n")
        return read_obj(path)


def rows(width: int, dtype: type) -> st.SearchStrategy[np.ndarray]:
    shapes = array_shapes(min_dims=1, max_dims=1, max_side=9).map(lambda shape: (shape[0] - 1, width))
    return shapes.flatmap(lambda shape: arrays(dtype, shape, elements=st.floats(-1e6, 1e6, width=32)))


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_lines, "_BLOCK", 4)
        yield


@settings(max_examples=60, deadline=None)
@given(rows(3, np.float32))
def test_vertices_read_back_as_they_were(vertices: np.ndarray) -> None:
    read_back = read(vertex_lines(vertices)).vertices
    np.testing.assert_array_equal(read_back.astype(np.float32), vertices)


@settings(max_examples=60, deadline=None)
@given(rows(3, np.float64), rows(2, np.float64), rows(3, np.float64))
def test_numbers_read_back_to_their_digits(vertices: np.ndarray, uvs: np.ndarray, normals: np.ndarray) -> None:
    obj = read(vertex_lines(vertices), uv_lines(uvs), normal_lines(normals))
    np.testing.assert_allclose(obj.vertices, vertices, rtol=5e-9)
    np.testing.assert_allclose(obj.uvs, uvs, rtol=5e-7)
    np.testing.assert_allclose(obj.normals, normals, rtol=5e-6)
    assert len(obj.vertices) + len(obj.uvs) + len(obj.normals) == len(obj.lines) - (obj.lines == [""])


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9])
def test_lines_are_formatted_one_by_one(count: int) -> None:
    values = np.random.default_rng(count).normal(size=(count, 3)) * 10.0 ** np.arange(-6, 9, 6)
    assert vertex_lines(values) == [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in values.tolist()]
    assert uv_lines(values[:, :2]) == [f"vt {x:.7g} {y:.7g}" for x, y, _ in values.tolist()]
    assert normal_lines(values) == [f"vn {x:.6g} {y:.6g} {z:.6g}" for x, y, z in values.tolist()]


@st.composite
def triangles(draw: st.DrawFn) -> np.ndarray:
    """Indices [F,3,3] of vertex, uv and normal, of which the normal may be -1."""
    count = draw(st.integers(0, 12))
    indices = draw(arrays(np.int32, (count, 3, 3), elements=st.integers(0, 10)))
    without = draw(st.sampled_from(["none", "all", "any"]))
    if without != "none":
        chosen = draw(arrays(bool, (count, 3))) if without == "any" else np.ones((count, 3), bool)
        indices[:, :, 2][chosen] = -1
    return indices


HEAD = ["v 0 0 0\nvt 0 0\nvn 0 0 1"] * 11


@settings(max_examples=100, deadline=None)
@given(triangles())
def test_faces_read_back_as_they_were(corners: np.ndarray) -> None:
    lines = face_lines(*np.moveaxis(corners, 2, 0))
    assert all(isinstance(line, str) for line in lines)
    np.testing.assert_array_equal(read(HEAD, lines).corners, corners)
    if (corners[:, :, 2] < 0).all():
        assert face_lines(corners[:, :, 0], corners[:, :, 1], None) == lines


def test_face_line() -> None:
    faces, uvs = np.array([[0, 1, 2]]), np.array([[3, 4, 5]])
    assert face_lines(faces, uvs, np.array([[6, -1, 8]])) == ["f 1/4/7 2/5 3/6/9"]
    assert face_lines(faces, uvs, None) == ["f 1/4 2/5 3/6"]
