"""Build the extension for Blender: DIR/texopt-blender-VERSION.zip, which Blender's preferences install from disk.

python scripts/blender.py [DIR], by default dist. The same bytes from the same files.
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "blender"


def build(folder: Path) -> Path:
    manifest = (SOURCE / "texopt" / "blender_manifest.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.*)"$', manifest, re.MULTILINE)[1]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"texopt-blender-{version}.zip"
    files = [*sorted((SOURCE / "texopt").glob("*.py")), SOURCE / "texopt" / "blender_manifest.toml", SOURCE / "LICENSE"]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            info = zipfile.ZipInfo(file.name)
            info.external_attr = 0o644 << 16
            archive.writestr(info, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return target


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
