"""Whether a glTF document holds together: nodes that are trees, data where it says, accessors of the right types.

Its table of values (texopt.io.gltf.schema) has been checked before, so that indices are some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np

from texopt.io.gltf.document import COMPONENTS, SHAPES, GltfFile, element_sizes
from texopt.io.gltf.schema import INSTANCING, InvalidError

CLAIMS = 16, 1 << 24  # bytes that accessors may stand for: so many times those that are there, and so many more
MOST_ZEROS = 2**22  # elements that an accessor may have without data, against files that claim to be huge
TYPES = {  # of attributes: "Meshes: Overview" in the specification, and EXT_mesh_gpu_instancing
    "POSITION": ("VEC3",), "NORMAL": ("VEC3",), "TEXCOORD": ("VEC2",), "COLOR": ("VEC3", "VEC4"),
    "JOINTS": ("VEC4",), "WEIGHTS": ("VEC4",), "TRANSLATION": ("VEC3",), "ROTATION": ("VEC4",), "SCALE": ("VEC3",),
}  # fmt: skip
UNSIGNED = (5121, 5123, 5125)  # component types


def check_data(file: GltfFile) -> None:
    """InvalidError where a document does not hold together."""
    _check_nodes(file)
    for index, view in enumerate(file.get("bufferViews")):
        end, size = view.get("byteOffset", 0) + view["byteLength"], len(file.buffers[view["buffer"]])
        if end > size:
            raise InvalidError(
                f"bufferViews[{index}] ends at byte {end:,} of buffers[{view['buffer']}], which has {size:,}"
            )
    _check_claims(file)
    for index, entry in enumerate(file.get("accessors")):
        _check_accessor(file, entry, f"accessors[{index}]")

    @cache
    def largest(accessor: int) -> int:
        values = file.accessor(accessor, raw=True)
        return int(values.max()) if values.size else -1

    for number, mesh in enumerate(file.get("meshes")):
        for index, primitive in enumerate(mesh["primitives"]):
            _check_primitive(file, primitive, f"meshes[{number}].primitives[{index}]", largest)
    for index, skin in enumerate(file.get("skins")):
        if "inverseBindMatrices" in skin:
            place, joints = f"skins[{index}].inverseBindMatrices", len(skin["joints"])
            _check_type(file, skin["inverseBindMatrices"], ("MAT4",), place)
            if (count := file.count(skin["inverseBindMatrices"])) < joints:
                raise InvalidError(f"{place} has {count} matrices for {joints} joints")
    _check_shown(file, largest)


def _check_nodes(file: GltfFile) -> None:
    """InvalidError unless nodes are trees, each of which the scene shows once."""
    nodes = file.get("nodes")
    parent: dict[int, int] = {}
    for index, node in enumerate(nodes):
        for child in node.get("children", []):
            if child in parent:
                raise InvalidError(f"nodes[{child}] has two parents, nodes[{parent[child]}] and nodes[{index}]")
            parent[child] = index
    ended: set[int] = set()  # nodes whose ancestors come to an end
    for start in range(len(nodes)):
        line: dict[int, None] = {}
        at: int | None = start
        while at is not None and at not in ended:
            if at in line:
                raise InvalidError(f"nodes[{at}] is below itself: its nodes are no tree")
            line[at] = None
            at = parent.get(at)
        ended.update(line)
    todo, seen = file.roots(), set[int]()
    while todo:
        index = todo.pop()
        if index in seen:
            raise InvalidError(f"nodes[{index}] is in its scene twice: its nodes are no tree")
        seen.add(index)
        todo += nodes[index].get("children", [])


def _check_claims(file: GltfFile) -> None:
    """InvalidError where accessors stand for much more data than there is: together, as each may be read."""
    times, more = CLAIMS
    claimed = 0
    for entry in file.get("accessors"):
        columns, rows = SHAPES[entry["type"]]
        item = columns * rows * np.dtype(COMPONENTS[entry["componentType"]]).itemsize
        claimed += (entry["count"] + entry.get("sparse", {}).get("count", 0)) * item
    if claimed > times * sum(map(len, file.buffers)) + more:
        raise InvalidError(f"its accessors stand for {claimed:,} bytes, which are not there")


def _check_accessor(file: GltfFile, entry: dict[str, Any], place: str) -> None:
    shape = SHAPES[entry["type"]]
    if "bufferView" in entry:
        _check_elements(file, entry, entry["componentType"], entry["count"], shape, place)
    elif entry["count"] > MOST_ZEROS:
        raise InvalidError(f"{place} has {entry['count']:,} elements and no bufferView")
    if sparse := entry.get("sparse"):
        where, count = sparse["indices"], sparse["count"]
        _check_elements(file, where, where["componentType"], count, (1, 1), f"{place}.sparse.indices")
        _check_elements(file, sparse["values"], entry["componentType"], count, shape, f"{place}.sparse.values")
        rows = file.elements(where, COMPONENTS[where["componentType"]], count, (1, 1))
        if count and rows.max() >= entry["count"]:
            raise InvalidError(
                f"{place}.sparse.indices go up to {rows.max():,}, and it has {entry['count']:,} elements"
            )


def _check_elements(
    file: GltfFile, entry: dict[str, Any], kind: int, count: int, shape: tuple[int, int], place: str
) -> None:
    """InvalidError where elements reach beyond their buffer view."""
    number = entry["bufferView"]
    view = file.document["bufferViews"][number]
    _, size = element_sizes(COMPONENTS[kind], shape)
    stride = view.get("byteStride") or size
    if stride < size:
        raise InvalidError(
            f"bufferViews[{number}].byteStride is {stride}, and an element of {place} takes {size} bytes"
        )
    end = entry.get("byteOffset", 0) + stride * (count - 1) + size if count else 0
    if end > view["byteLength"]:
        raise InvalidError(
            f"{place} has {count:,} elements that end at byte {end:,} of bufferViews[{number}], "
            f"which has {view['byteLength']:,}"
        )


def _check_type(file: GltfFile, accessor: int, types: Iterable[str], place: str) -> None:
    kind = file.document["accessors"][accessor]["type"]
    if kind not in types:
        raise InvalidError(f"accessors[{accessor}].type has to be {' or '.join(types)} for {place}, not {kind}")


def _check_unsigned(file: GltfFile, accessor: int, place: str) -> None:
    kind = file.document["accessors"][accessor]["componentType"]
    if kind not in UNSIGNED:
        raise InvalidError(
            f"accessors[{accessor}].componentType has to be {' or '.join(map(str, UNSIGNED))} for {place}, not {kind}"
        )


def _check_attributes(file: GltfFile, attributes: dict[str, int], place: str, count: int | None = None) -> int | None:
    """InvalidError where attributes are of a wrong type or differ in length. Returns how many elements they have.

    count: that others have which belong to them.
    """
    for name, accessor in attributes.items():
        here, length = f"{place}.{name}", file.count(accessor)
        _check_type(file, accessor, TYPES.get(name.partition("_")[0], SHAPES), here)
        if name.startswith("JOINTS_"):
            _check_unsigned(file, accessor, here)
        if count is not None and length != count:
            raise InvalidError(f"{here} has {length:,} elements, and what is before it {count:,}")
        count = length
    return count


def _check_primitive(file: GltfFile, primitive: dict[str, Any], place: str, largest: Callable[[int], int]) -> None:
    attributes = primitive["attributes"]
    count = _check_attributes(file, attributes, f"{place}.attributes")
    for index, target in enumerate(primitive.get("targets", [])):
        _check_attributes(file, target, f"{place}.targets[{index}]", count)
    if "indices" in primitive:
        _check_type(file, primitive["indices"], ("SCALAR",), f"{place}.indices")
        _check_unsigned(file, primitive["indices"], f"{place}.indices")
        if "POSITION" in attributes and (most := largest(primitive["indices"])) >= file.count(attributes["POSITION"]):
            raise InvalidError(f"{place}.indices go up to {most:,}, out of range of its {count:,} vertices")


def _check_shown(file: GltfFile, largest: Callable[[int], int]) -> None:
    """InvalidError where nodes show a mesh with joints that their skin has not, or copies of it that are none."""

    @cache
    def last_joint(mesh: int) -> int:
        parts = (primitive["attributes"].items() for primitive in file.document["meshes"][mesh]["primitives"])
        return max((largest(one) for part in parts for name, one in part if name.startswith("JOINTS_")), default=-1)

    for index, node in enumerate(file.get("nodes")):
        if "mesh" in node and "skin" in node:
            joints = len(file.document["skins"][node["skin"]]["joints"])
            if (last := last_joint(node["mesh"])) >= joints:
                raise InvalidError(f"nodes[{index}].skin has {joints} joints, and its mesh asks for joint {last}")
        if instancing := node.get("extensions", {}).get(INSTANCING):
            _check_attributes(file, instancing["attributes"], f"nodes[{index}].extensions.{INSTANCING}.attributes")
