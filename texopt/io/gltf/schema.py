"""What texopt reads of a glTF document, as a table: those parts of the JSON schemas in the "glTF 2.0 Specification".

What is not in it may be anything, as texopt can do without (names, filters, alpha modes, ...). Lists may be empty,
where the specification wants them left out: many exporters write them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class InvalidError(Exception):
    """Something of a document is not as the specification has it. The message says where, in the format's terms."""


def wrong(place: str, expected: str, value: Any) -> InvalidError:
    """Of a value at a place: "accessors[3].type has to be ..., not ..."."""
    shown = json.dumps(value)
    return InvalidError(f"{place} has to be {expected}, not {shown if len(shown) <= 40 else shown[:37] + '...'}")


# kinds of single values; their check returns the value as it counts, and raises InvalidError


@dataclass(frozen=True)
class Integer:
    """0 or more; 2.0 is 2, as in JSON schemas."""

    what: str = "an integer of 0 or more"

    def check(self, value: Any, place: str, _: Mapping[str, Any]) -> int:
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if type(whole) is not int or whole < 0:
            raise wrong(place, self.what, value)
        return whole


@dataclass(frozen=True)
class Index:
    """Of an entry in one of the document's lists."""

    kind: str

    def check(self, value: Any, place: str, document: Mapping[str, Any]) -> int:
        count = len(document.get(self.kind, []))
        index = Integer(f"the index of one of its {count} {self.kind}").check(value, place, document)
        if index >= count:
            raise InvalidError(f"{place} is {index}, and there are {count} {self.kind}")
        return index


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: Sequence[Any]

    def check(self, value: Any, place: str, _: Mapping[str, Any]) -> Any:
        if isinstance(value, (list, dict, bool)) or value not in self.values:
            raise wrong(place, f"one of {', '.join(map(str, self.values))}", value)
        return self.values[self.values.index(value)]


@dataclass(frozen=True)
class Text:
    def check(self, value: Any, place: str, _: Mapping[str, Any]) -> str:
        if not isinstance(value, str):
            raise wrong(place, "a text", value)
        return value


@dataclass(frozen=True)
class Number:
    def check(self, value: Any, place: str, _: Mapping[str, Any]) -> float:
        try:
            if type(value) in (int, float) and math.isfinite(float(value)):
                return value  # type: ignore[no-any-return]
        except OverflowError:  # an integer that no float holds
            pass
        raise wrong(place, "a number", value)


@dataclass(frozen=True)
class Numbers:
    """So many of them."""

    count: int

    def check(self, value: Any, place: str, document: Mapping[str, Any]) -> list[float]:
        if not isinstance(value, list) or len(value) != self.count:
            raise wrong(place, f"{self.count} numbers", value)
        return [Number().check(number, f"{place}[{index}]", document) for index, number in enumerate(value)]


# kinds of values that hold others


@dataclass(frozen=True)
class ListOf:
    item: Spec


@dataclass(frozen=True)
class Record:
    """An object with some known fields. rest: of the others."""

    fields: Mapping[str, Spec] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    rest: Spec | None = None


@dataclass(frozen=True)
class Textures:
    """Anything, in which objects under keys that end with Texture and have an index are references to textures."""


Leaf = Integer | Index | Choice | Text | Number | Numbers
Spec = Leaf | ListOf | Record | Textures

COMPONENT_TYPES = (5120, 5121, 5122, 5123, 5125, 5126)
ACCESSOR_TYPES = ("SCALAR", "VEC2", "VEC3", "VEC4", "MAT2", "MAT3", "MAT4")
GLOSSY = "KHR_materials_pbrSpecularGlossiness"
INSTANCING = "EXT_mesh_gpu_instancing"

COUNT, NUMBER, TEXT = Integer(), Number(), Text()
ACCESSOR, VIEW, MATERIAL, NODE = Index("accessors"), Index("bufferViews"), Index("materials"), Index("nodes")
IMAGE, TEXTURE = Index("images"), Index("textures")
ATTRIBUTES = Record(rest=ACCESSOR)
TRANSFORM = Record({"offset": Numbers(2), "rotation": NUMBER, "scale": Numbers(2), "texCoord": COUNT})
TEXTURE_INFO = Record(
    {"index": TEXTURE, "texCoord": COUNT, "extensions": Record({"KHR_texture_transform": TRANSFORM})}, ("index",)
)
MATERIALS = Record(
    {
        "pbrMetallicRoughness": Record(
            {"baseColorFactor": Numbers(4), "baseColorTexture": TEXTURE_INFO, "metallicRoughnessTexture": TEXTURE_INFO},
            rest=Textures(),
        ),
        "emissiveFactor": Numbers(3),
        "emissiveTexture": TEXTURE_INFO,
        "extensions": Record(
            {GLOSSY: Record({"diffuseFactor": Numbers(4), "diffuseTexture": TEXTURE_INFO}, rest=Textures())},
            rest=Textures(),
        ),
    },
    rest=Textures(),
)
PRIMITIVE = Record(
    {
        "attributes": ATTRIBUTES, "indices": ACCESSOR, "material": MATERIAL, "mode": COUNT,
        "targets": ListOf(ATTRIBUTES),
        "extensions": Record(
            {"KHR_materials_variants": Record({"mappings": ListOf(Record({"material": MATERIAL}))})}
        ),
    },
    ("attributes",),
)  # fmt: skip
SPARSE = Record(
    {
        "count": COUNT,
        "indices": Record(
            {"bufferView": VIEW, "byteOffset": COUNT, "componentType": Choice((5121, 5123, 5125))},
            ("bufferView", "componentType"),
        ),
        "values": Record({"bufferView": VIEW, "byteOffset": COUNT}, ("bufferView",)),
    },
    ("count", "indices", "values"),
)
ANIMATION = Record(
    {
        "samplers": ListOf(Record({"input": ACCESSOR, "output": ACCESSOR}, ("input", "output"))),
        "channels": ListOf(Record({"target": Record({"node": NODE})}, ("target",))),
    },
    ("samplers", "channels"),
)
LISTS: dict[str, Record] = {
    "scenes": Record({"nodes": ListOf(NODE)}),
    "nodes": Record({
        "mesh": Index("meshes"), "skin": Index("skins"), "camera": Index("cameras"), "children": ListOf(NODE),
        "matrix": Numbers(16), "rotation": Numbers(4), "scale": Numbers(3), "translation": Numbers(3),
        "weights": ListOf(NUMBER),
        "extensions": Record({INSTANCING: Record({"attributes": ATTRIBUTES}, ("attributes",))}),
    }),
    "meshes": Record({"primitives": ListOf(PRIMITIVE), "weights": ListOf(NUMBER)}, ("primitives",)),
    "skins": Record({"joints": ListOf(NODE), "inverseBindMatrices": ACCESSOR, "skeleton": NODE}, ("joints",)),
    "animations": ANIMATION,
    "cameras": Record(),
    "materials": MATERIALS,
    "textures": Record({
        "source": IMAGE, "sampler": Index("samplers"), "extensions": Record(rest=Record({"source": IMAGE})),
    }),
    "samplers": Record(),
    "images": Record({"uri": TEXT, "bufferView": VIEW}),
    "accessors": Record({
        "bufferView": VIEW, "byteOffset": COUNT, "componentType": Choice(COMPONENT_TYPES), "count": COUNT,
        "type": Choice(ACCESSOR_TYPES), "sparse": SPARSE,
    }, ("componentType", "count", "type")),
    "bufferViews": Record({
        "buffer": Index("buffers"), "byteOffset": COUNT, "byteLength": COUNT, "byteStride": COUNT,
        "extensions": Record(),
    }, ("buffer", "byteLength")),
    "buffers": Record({"uri": TEXT}),
}  # fmt: skip
DOCUMENT = Record(
    {"extensionsUsed": ListOf(TEXT), "extensionsRequired": ListOf(TEXT)}
    | {kind: ListOf(record) for kind, record in LISTS.items()}
    | {"scene": Index("scenes")}
)


def leaves(value: Any, spec: Spec, place: str = "") -> Iterator[tuple[Leaf, Any, Any, str]]:
    """Every single value that a spec knows within a value: (its spec, what holds it, its key there, where it is).

    InvalidError where what should hold others does not.
    """
    if isinstance(spec, Textures):
        yield from _textures(value, place)
        return
    items: Iterator[tuple[Any, Spec, str]]
    if isinstance(spec, ListOf):
        if not isinstance(value, list):
            raise wrong(place, "a list", value)
        items = ((index, spec.item, f"{place}[{index}]") for index in range(len(value)))
    else:
        assert isinstance(spec, Record)
        if not isinstance(value, dict):
            raise wrong(place or "the JSON", "an object", value)
        inner = place and place + "."
        for name in spec.needs:
            if name not in value:
                raise InvalidError(f"{inner}{name} is missing")
        known = [(name, spec.fields[name]) for name in spec.fields if name in value]
        if spec.rest is not None:
            known += [(name, spec.rest) for name in value if name not in spec.fields and name != "extras"]
        items = ((name, kind, f"{inner}{name}") for name, kind in known)
    for key, kind, at in items:
        if isinstance(kind, (ListOf, Record, Textures)):
            yield from leaves(value[key], kind, at)
        else:
            yield kind, value, key, at


def _textures(value: Any, place: str) -> Iterator[tuple[Leaf, Any, Any, str]]:
    todo = [(value, place)]
    while todo:
        item, at = todo.pop()
        if isinstance(item, list):
            todo += [(inner, f"{at}[{index}]") for index, inner in enumerate(item)]
        elif isinstance(item, dict) and at.endswith("Texture") and "index" in item:
            yield from leaves(item, TEXTURE_INFO, at)
        elif isinstance(item, dict):  # extras' words mean something to others
            todo += [(inner, f"{at}.{key}") for key, inner in item.items() if key != "extras"]


def check_document(document: dict[str, Any]) -> None:
    """InvalidError unless a document is as the table has it. Integers that are written as 2.0 become such."""
    for kind in LISTS:  # first, as indices are into them
        if not isinstance(document.get(kind, []), list):
            raise wrong(kind, "a list", document[kind])
    for spec, holder, key, place in leaves(document, DOCUMENT):
        holder[key] = spec.check(holder[key], place, document)
    for index, image in enumerate(document.get("images", [])):
        if "uri" not in image and "bufferView" not in image:
            raise InvalidError(f"images[{index}] has neither uri nor bufferView")
