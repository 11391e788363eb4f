"""Stands for `texopt style ... --remote`: speaks its protocol and writes textures of one colour, at once.

python fake_texopt.py style MESH [MESH ... --style] IMAGE ... --out DIR [options] --remote

FAKE_TEXOPT in the environment says how it behaves: how many steps it takes, a tenth of a second each, and then with a
comma crash, error, old, lost (its folder is removed) or garbage. Previews are red, results green.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import threading
import time
import zlib
from itertools import pairwise
from pathlib import Path

RED, GREEN = (200, 30, 30), (30, 200, 30)


def png(color: tuple[int, int, int], side: int = 16) -> bytes:
    rows = (b"\0" + bytes(color) * side) * side
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def say(event: str, **values: object) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def textures(mesh: Path, only: set[str]) -> list[str]:
    """The files of a mesh's textures: of materials that share one, the first gives the name."""
    looks: dict[str, str] = {}
    name = ""
    for line in mesh.with_suffix(".mtl").read_text().splitlines():
        key, _, rest = line.partition(" ")
        if key == "newmtl":
            name = rest
            looks[name] = name
        elif key == "map_Kd":
            looks[name] = rest
    firsts: dict[str, str] = {}
    for name, look in looks.items():
        if not only or name in only:
            firsts.setdefault(look, name)
    if len(firsts) == 1:
        return [f"{mesh.stem}.png"]
    return [f"{mesh.stem}_{name}.png" for name in firsts.values()]


class Orders:
    """What has been said on standard input."""

    def __init__(self) -> None:
        self.paused, self.stopped = False, False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            word = line.strip()
            if word in ("pause", "resume"):
                self.paused = word == "pause"
                say("paused", paused=self.paused)
            self.stopped |= word == "stop"
        self.stopped = True


def main() -> int:
    words, way = sys.argv[2:], os.environ.get("FAKE_TEXOPT", "3")
    steps = int(way.partition(",")[0])
    way = way.partition(",")[2]
    if way == "old":
        lines = "╭─ Unrecognized options ─╮", "│ Unrecognized options: --remote │", "╰────────╯"
        sys.stderr.buffer.write("\n".join(lines).encode())
        return 2
    meshes = [Path(word) for word in words if word.endswith(".obj")]
    options = dict(pairwise(words))
    out = Path(options["--out"])
    only = set(options["--only"].split(",")) if "--only" in options else set()
    (out / ".remote").mkdir(parents=True)
    print("reading", file=sys.stderr)
    if way == "garbage":
        print("[1, 2]\nno JSON", flush=True)
    if way == "error":
        say("error", text="the mask is no image; give another")
        return 2
    orders = Orders()
    say("begin", folder=str(out), steps=steps, step=0)
    done = 0
    while done < steps and not orders.stopped:
        time.sleep(0.1)
        if orders.paused:
            continue
        done += 1
        say("step", step=done, steps=steps, terms={"loss": 1 / done}, steps_per_second=10.0, paused=False)
        files: dict[str, dict[str, str]] = {}
        for mesh in meshes:
            for name in textures(mesh, only):
                file = out / ".remote" / f"{mesh.stem}.{name}.{done}.png"
                file.write_bytes(png(RED))
                files.setdefault(mesh.stem, {})[name] = str(file)
        say("textures", step=done, files=files)
        if way == "crash" and done == 2:
            print("Traceback ...\nMemoryError: no more of it", file=sys.stderr)
            return 1
    shutil.rmtree(out / ".remote", ignore_errors=True)
    written = []
    for mesh in meshes:
        folder = out / mesh.stem if len(meshes) > 1 else out
        folder.mkdir(exist_ok=True)
        for name in textures(mesh, only):
            (folder / name).write_bytes(png(GREEN))
            written.append(str(folder / name))
    if way == "lost":
        shutil.rmtree(out)
    say("end", text=f"{written[0]} is written", interrupted=orders.stopped, folder=str(out), files=written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
