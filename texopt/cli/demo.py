"""texopt demo: `texopt style` with the bundled creature and the bundled brush strokes."""

from __future__ import annotations

from pathlib import Path

from texopt.errors import MeshError

MESH, STYLE = "creature.obj", "brush.jpg"


def demo_inputs() -> list[str]:
    """A mesh and a painting: of the installed package (setup.py puts them there), or of the repository."""
    package = Path(__file__).parent.parent
    places = ((package / "demo", package / "demo"), (package.parent / "meshes", package.parent / "meshes" / "styles"))
    for meshes, styles in places:
        if (meshes / MESH).is_file() and (styles / STYLE).is_file():
            return [str(meshes / MESH), str(styles / STYLE)]
    raise MeshError(f"the demo's {MESH} and {STYLE} are not installed; run: pip install --force-reinstall texopt")
