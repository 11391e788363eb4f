"""Make the bundled style pictures (brush, mosaic, woodcut, shapes, facets, agate) from code alone.

All are original pictures, drawn with fixed seeds; nothing is loaded. scripts/styles has a module for each, which names
the ideas that it uses.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from styles.agate import make_agate
from styles.brush import make_brush
from styles.facets import make_facets
from styles.mosaic import make_mosaic
from styles.shapes import make_shapes
from styles.woodcut import make_woodcut

MAKERS = {
    "brush": make_brush, "mosaic": make_mosaic, "woodcut": make_woodcut, "shapes": make_shapes, "facets": make_facets,
    "agate": make_agate,
}  # fmt: skip


def main() -> None:
    """Write the style pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parent.parent / "meshes" / "styles"
    parser.add_argument("--out", type=Path, default=default, help="folder for the pictures")
    parser.add_argument("--only", choices=tuple(MAKERS), help="make just this one")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, make in MAKERS.items():
        if args.only in (None, name):
            path = args.out / f"{name}.jpg"
            make().save(path, quality=88, optimize=True)
            print(f"{path}: {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
