"""Read a glTF document, .glb or .gltf, with all of its data, and check it once: nothing later meets what cannot be."""

from __future__ import annotations

import base64
import json
import math
import struct
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from texopt.errors import ImageError, MeshError
from texopt.io.gltf.check import check_data
from texopt.io.gltf.document import GltfFile
from texopt.io.gltf.schema import INSTANCING, LISTS, InvalidError, check_document, wrong
from texopt.system.images import inside

# extensions that a file may require: those that change what texopt reads, and those that it can ignore
UNDERSTOOD = {
    "KHR_mesh_quantization", "KHR_texture_transform", "EXT_texture_webp", INSTANCING, "KHR_lights_punctual",
    "KHR_animation_pointer", "KHR_xmp_json_ld",
}  # fmt: skip
COMPRESSION = {"KHR_draco_mesh_compression": "Draco", "EXT_meshopt_compression": "meshoptimizer"}
MOST_VALUES = 1_000_000  # of the JSON, against text that takes many times its size in memory
MOST_ENTRIES = 100_000  # of a list of the document
DEEPEST = 64  # levels of nesting; files have about a dozen
# an image of one white texel in the place of those that are missing
WHITE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg==")


def understood(extension: str) -> bool:
    """Whether texopt knows all that an extension means for what it does."""
    return extension in UNDERSTOOD or extension.startswith("KHR_materials_")


def read_gltf(path: Path) -> GltfFile:
    """A .glb or .gltf with all of its data. MeshError or ImageError where that cannot be done."""
    data = path.read_bytes()
    try:
        text, binary = _chunks(data) if data[:4] == b"glTF" else (data, None)
        document = _parsed(text)
        _check_version(path, document)
        _check_values(document)
        check_document(document)
        _check_extensions(path, document)
        file = GltfFile(path, document, [], [path])
        _load(file, binary)
        _forget_compression(file)
        check_data(file)
    except InvalidError as error:
        kind = path.suffix[1:].upper()
        raise MeshError(f"{path} is not a valid {kind} file: {error}; export it again") from None
    return file


def _chunks(data: bytes) -> tuple[bytes, bytes | None]:
    """The JSON and the binary chunk of a GLB."""
    if len(data) < 12:
        raise InvalidError(f"it is cut short: it has {len(data)} bytes, and a GLB begins with 12")
    _, version, length = struct.unpack_from("<4sII", data)
    if version == 1:  # whose JSON, which has no type, says so too
        return b'{"asset": {"version": "1.0"}}', None
    if version != 2:
        raise InvalidError(f"its version is {version}, and texopt reads 2")
    if length > len(data):
        raise InvalidError(f"it is cut short: it says {length:,} bytes and has {len(data):,}")
    found: dict[bytes, bytes] = {}
    offset = 12
    while offset + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, offset)
        offset += 8 + size
        if offset > length:
            raise InvalidError(f"it is cut short: a chunk ends at byte {offset:,} of {length:,}")
        found.setdefault(kind, data[offset - size : offset])
    if b"JSON" not in found:
        raise InvalidError("it has no JSON chunk")
    return found[b"JSON"], found.get(b"BIN\0")


def _parsed(text: bytes) -> Any:
    """JSON. InvalidError where it is none, or so much that it takes long to look at."""
    if sum(map(text.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise InvalidError(f"its JSON has more than {MOST_VALUES:,} values")

    def refused(constant: str) -> Any:
        raise InvalidError(f"its JSON has the number {constant}, which JSON does not have")

    try:
        return json.loads(text.decode("utf-8-sig"), parse_constant=refused)
    except UnicodeDecodeError as error:
        raise InvalidError(f"its JSON is not UTF-8 text at byte {error.start:,}") from None
    except json.JSONDecodeError as error:
        if error.pos == 0:
            raise InvalidError("it begins with neither glTF nor JSON") from None
        raise InvalidError(
            f"its JSON is broken or cut short at line {error.lineno:,}, column {error.colno:,} ({error.msg})"
        ) from None
    except RecursionError:
        raise InvalidError("its JSON is nested too deep") from None
    except ValueError:  # of digits that Python converts
        raise InvalidError("its JSON has a number of thousands of digits") from None


def _check_version(path: Path, document: Any) -> None:
    """MeshError for glTF 1.0, InvalidError for what is none."""
    if not isinstance(document, dict):
        raise wrong("the JSON", "an object", document)
    asset = document.get("asset", {})
    version = asset.get("version") if isinstance(asset, dict) else None
    old = version is None and any(isinstance(document.get(kind), dict) for kind in LISTS)
    if old or str(version).partition(".")[0] == "1":
        raise MeshError(f"{path} is glTF 1.0, which texopt does not read; convert it to 2.0, as with gltf-pipeline")
    if not isinstance(version, str) or version.partition(".")[0] != "2":
        raise InvalidError("asset.version is missing") if version is None else wrong("asset.version", '"2.0"', version)


def _check_values(document: dict[str, Any]) -> None:
    """InvalidError where values are too deep for what handles them later, too many, or nothing that JSON can hold."""
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            raise InvalidError("its JSON has a number beyond 1.8e308")
        inner = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list)))
        level = [value for values in inner for value in values]
        if not level:
            break
    else:
        raise InvalidError("its JSON is nested too deep")
    for kind in LISTS:
        entries = document.get(kind, [])
        if isinstance(entries, list) and len(entries) > MOST_ENTRIES:
            raise InvalidError(f"it has {len(entries):,} {kind}, more than {MOST_ENTRIES:,}")


def _check_extensions(path: Path, document: dict[str, Any]) -> None:
    required = document.get("extensionsRequired", [])
    for extension, what in COMPRESSION.items():
        if extension in required:
            raise MeshError(f"{path} is compressed with {what}, which texopt does not read; export it uncompressed")
    if "KHR_texture_basisu" in required:
        raise ImageError(f"{path} has KTX2 textures, which texopt does not read; export it with PNG or JPEG")
    if unknown := sorted({name for name in required if not understood(name)}):
        raise MeshError(f"{path} requires {', '.join(unknown)}, which texopt does not read; export without it")


def _load(file: GltfFile, binary: bytes | None) -> None:
    """Fetch the buffers, and the images as further ones."""
    fetched: dict[str, bytes] = {}

    def fetch(uri: str, place: str) -> bytes:
        if uri not in fetched:
            fetched[uri] = _fetch(file, uri, place)
        return fetched[uri]

    for index, buffer in enumerate(file.get("buffers")):
        if "uri" in buffer:
            try:
                file.buffers.append(fetch(buffer["uri"], f"buffers[{index}].uri"))
            except _MissingError as error:
                raise MeshError(f"{file.path} {error}") from None
        else:
            file.buffers.append((binary or b"") if index == 0 else b"")
    for index, image in enumerate(file.get("images")):
        if "bufferView" not in image:
            uri = image.pop("uri")
            try:
                data = fetch(uri, f"images[{index}].uri")
            except _MissingError as error:  # which matters where it is a colour
                file.missing[index], data = str(error), WHITE
            image["bufferView"] = file.add_view(data)
            if not uri.startswith("data:"):
                image.setdefault("name", PurePosixPath(unquote(uri)).stem)
    file.document["buffers"] = [{"byteLength": len(data)} for data in file.buffers]


class _MissingError(Exception):
    """Data that cannot be fetched."""


def _fetch(file: GltfFile, uri: str, place: str) -> bytes:
    """What a URI names: data in it, or a file beside the document or below it, and nowhere else."""
    folder = file.path.parent
    if uri.startswith("data:"):
        head, _, text = uri.partition(",")
        try:
            return base64.b64decode(text) if head.endswith(";base64") else unquote_to_bytes(text)
        except ValueError:
            raise _MissingError(f"has data in {place} that is not base64, as it says; export it again") from None
    named, put = f"names {unquote(uri)[:60]!r} ({place})", "put it there or export the mesh as .glb"
    if ":" in uri.split("/")[0]:
        raise _MissingError(f"{named}, which is no file beside it; texopt fetches nothing: export it as .glb")
    found = folder / unquote(uri)
    try:
        if not inside(found, folder):
            raise _MissingError(f"{named}, which is outside of its folder; {put}")
        if not found.is_file():
            raise _MissingError(f"{named}, which is not there; {put}")
        data = found.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:  # a name with a NUL; links in a circle
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no name of a file"
        raise _MissingError(f"{named}, which cannot be read ({reason}); {put}") from None
    file.files.append(found)
    return data


def _forget_compression(file: GltfFile) -> None:
    """Leave out compressed copies of data that is also there uncompressed: export would not keep them up to date."""
    document = file.document
    for view in file.get("bufferViews"):
        view.get("extensions", {}).pop("EXT_meshopt_compression", None)
    for mesh in file.get("meshes"):
        for primitive in mesh["primitives"]:
            position = primitive["attributes"].get("POSITION")
            draco = primitive.get("extensions", {}).pop("KHR_draco_mesh_compression", None)
            if draco is None or position is None:
                continue
            if "bufferView" not in document["accessors"][position]:
                raise MeshError(
                    f"{file.path} is compressed with Draco, which texopt does not read; export it uncompressed"
                )
    if "extensionsUsed" in document:
        document["extensionsUsed"] = [name for name in document["extensionsUsed"] if name not in COMPRESSION]
        if not document["extensionsUsed"]:
            del document["extensionsUsed"]
