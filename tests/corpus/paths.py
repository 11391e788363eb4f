"""What is no file, and files that name others: where they are not theirs to read, and over the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from corpus.gltfs import separate
from corpus.others import PLY
from corpus.pieces import ERROR, MTL, OBJ, PNG, SUCCESS, Case, file_of

OUTSIDE = [
    "../outside/secret{0}",
    "../../x/../outside/secret{0}",
    "{1}/secret{0}",
    "./../outside/secret{0}",
    "sub/../../outside/secret{0}",
    "..\\outside\\secret{0}",
    "link{0}",
    "links/secret{0}",
    "loop{0}",
    "/etc/hostname",
    "/dev/zero",
    "/dev/stdin",
    "fifo{0}",
    "zero{0}",
    "/proc/self/environ",
    "folder{0}",
    "~/secret{0}",
    "$HOME/secret{0}",
    "file:///etc/hostname",
    "file://{1}/secret{0}",
    "http://127.0.0.1:9/secret{0}",
    "https://localhost/secret{0}",
    "ftp://localhost/secret{0}",
    "//localhost/secret{0}",
    "C:\\secret{0}",
    "chain{0}",
]
SPECIAL = (
    "a directory",
    "a FIFO",
    "a link to /dev/zero",
    "a link to nothing",
    "a loop of links",
    "a link to a directory",
    "nothing",
    "a socket",
    "empty",
    "a long name",
)


def _traps(folder: Path, ending: str) -> None:
    """Links, pipes and devices that names in OUTSIDE lead to."""
    outside = folder.parent / "outside"
    (folder / "sub").mkdir()
    (folder / f"folder{ending}").mkdir()
    os.symlink(outside / f"secret{ending}", folder / f"link{ending}")
    os.symlink(f"link{ending}", folder / f"chain{ending}")
    os.symlink(outside, folder / "links")
    os.symlink(f"loop{ending}", folder / f"loop{ending}")
    os.symlink("/dev/zero", folder / f"zero{ending}")
    os.mkfifo(folder / f"fifo{ending}")


def _named(kind: str, name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        ending = {"mtllib": ".mtl", "buffers": ".bin"}.get(kind, ".png")
        _traps(folder, ending)
        uri = name.format(ending, folder.parent / "outside")
        if kind in ("images", "buffers"):
            return separate(folder, uri, kind)
        if kind == "ply":
            return file_of("a.ply", PLY.replace("element vertex", f"comment TextureFile {uri}\nelement vertex"))(folder)
        if kind == "mtllib":
            return file_of("a.obj", OBJ.replace("a.mtl", uri))(folder)
        return file_of("a.obj", OBJ, a_mtl=MTL.replace("skin.png", uri))(folder)

    return make


def _special(what: str, ending: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"a{ending}"
        if what == "a directory":
            path.mkdir()
        elif what == "a FIFO":
            os.mkfifo(path)
        elif what == "a link to /dev/zero":
            path.symlink_to("/dev/zero")
        elif what == "a link to nothing":
            path.symlink_to("gone")
        elif what == "a loop of links":
            path.symlink_to(path.name)
        elif what == "a link to a directory":
            path.symlink_to(folder)
        elif what == "a socket":
            os.mknod(path, 0o140644)
        elif what == "empty":
            path.touch()
        elif what == "a long name":
            path = folder / ("x" * 5000 + ending)
        return path

    return make


def _linked(folder: Path) -> Path:
    """A mesh that is a link: its files are those beside the link."""
    file_of("b.obj", OBJ, a_mtl=MTL, skin_png=PNG)(folder)
    (folder / "a.obj").symlink_to("b.obj")
    return folder / "a.obj"


def _inner(folder: Path) -> Path:
    """A texture behind a link that stays inside."""
    file_of("a.obj", OBJ, a_mtl=MTL)(folder)
    (folder / "textures").mkdir()
    (folder / "textures" / "real.png").write_bytes(PNG)
    (folder / "skin.png").symlink_to("textures/real.png")
    return folder / "a.obj"


def _crowded(folder: Path) -> Path:
    """Many folders beside a mesh whose texture is missing."""
    for number in range(2000):
        (folder / f"folder {number}").mkdir()
    return file_of("a.obj", OBJ, a_mtl=MTL)(folder)


def cases() -> Iterator[Case]:
    for kind in ("mtllib", "map_Kd", "images", "buffers", "ply"):
        for name in OUTSIDE:
            ends = SUCCESS if kind in ("mtllib", "ply") else ERROR
            yield Case(f"outside/{kind} {name.format('', '')}", "mesh", _named(kind, name), ends)
    for what in SPECIAL:
        for ending, entry in (
            (".obj", "mesh"),
            (".glb", "mesh"),
            (".ply", "mesh"),
            (".png", "image"),
            (".yaml", "config"),
            (".csv", "table"),
            (".pth", "weights"),
            (".safetensors", "weights"),
            (".obj", "info"),
        ):
            yield Case(f"special/{what} as {ending} {entry}", entry, _special(what, ending), ERROR)
    yield Case("special/a link to a mesh", "mesh", _linked, SUCCESS)
    yield Case("special/a link to a texture below", "mesh", _inner, SUCCESS)
    yield Case("special/many folders", "mesh", _crowded, ERROR)
    for entry in ("info", "mesh"):
        yield Case(
            f"info/no texture {entry}", entry, file_of("a.obj", OBJ, a_mtl=MTL), SUCCESS if entry == "info" else ERROR
        )
    yield Case(
        "info/bad UTF-8", "info", file_of("a.obj", OBJ.encode().replace(b"skin", b"\xff\x1b[2J"), a_mtl=MTL), SUCCESS
    )
