"""Run `texopt style` with several sets of options and lay the results side by side: a picture a pair, and one table.

python scripts/compare.py MESH IMAGE "--preset gram" "--preset standard" --out outputs/compare
python scripts/compare.py --pairs scripts/pairs.txt "--preset gram" "--preset standard"

Every argument is a set of options, in quotes. A file of pairs has a mesh and a painting in each line. Writes a picture
for each pair, MESH_IMAGE.png (the painting, and a row of six views for each set; --close adds close-ups), and
compare.md: what `texopt evaluate` measures, and seconds of processor time, which a busy machine changes little.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from texopt.cli.main import main as texopt

COLUMNS = ("style", "coherence", "completeness", "content", "seam", "sharpness")
VIEWS = slice(1, 7)  # of the eight of a contact sheet
LABEL = 40  # pixels
BACKGROUND, INK = (184, 184, 184), (20, 20, 20)


def run(command: list[str]) -> None:
    """A command of texopt; its error ends the program."""
    if code := texopt(command):
        sys.exit(code)


def rows_of(folder: Path, close: bool) -> list[Image.Image]:
    """The views after, and the close-ups after, of metrics.png: views before and after, close-ups before and after."""
    sheet = Image.open(folder / "metrics.png").convert("RGB")
    side = Image.open(folder / "preview.png").height // 2
    after = sheet.crop((VIEWS.start * side, side, VIEWS.stop * side, 2 * side))
    if not close:
        return [after]
    rest = (sheet.height - 2 * side) // 2
    near = sheet.crop((0, sheet.height - rest, sheet.width, sheet.height))
    return [after, near.resize((after.width, rest * after.width // near.width))]


def beside(painting: Path, rows: Sequence[tuple[str, list[Image.Image]]]) -> Image.Image:
    """The painting, and to its right the rows of each set under a line of text."""
    width = rows[0][1][0].width
    heights = [LABEL + sum(row.height for row in pictures) for _, pictures in rows]
    small = Image.open(painting).convert("RGB")
    small.thumbnail((heights[0], heights[0]))
    out = Image.new("RGB", (small.width + width, sum(heights)), BACKGROUND)
    out.paste(small, (0, LABEL))
    top, draw = 0, ImageDraw.Draw(out)
    for text, pictures in rows:
        draw.text((small.width + 12, top + 8), text, INK, ImageFont.load_default(22))
        top += LABEL
        for picture in pictures:
            out.paste(picture, (small.width, top))
            top += picture.height
    return out


def shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def measured(mesh: Path, painting: Path, options: str, folder: Path) -> tuple[dict[str, Any], float]:
    """(the numbers of a run, its seconds of processor time). A run that is there is not run again."""
    note = folder / "compare.json"
    said = [str(mesh.resolve()), str(painting.resolve()), options]
    if note.is_file() and (known := json.loads(note.read_text()))["run"] == said:
        seconds = known["seconds"]
    else:
        start = time.process_time()
        run(["style", str(mesh), str(painting), *shlex.split(options), "--out", str(folder)])
        seconds = time.process_time() - start
        run(["evaluate", str(folder)])
        note.write_text(json.dumps({"run": said, "seconds": seconds}))
    return json.loads((folder / "metrics.json").read_text())["numbers"], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", metavar="[MESH IMAGE] OPTIONS", help="'' for the defaults")
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="pairs of a mesh and a painting, a line each")
    parser.add_argument("--out", type=Path, default=Path("outputs/compare"))
    parser.add_argument("--close", action="store_true", help="show close-ups as well")
    arguments = parser.parse_args()
    if arguments.pairs:
        lines = [shlex.split(line, comments=True) for line in arguments.pairs.read_text().splitlines()]
        pairs, sets = [(Path(mesh), Path(image)) for mesh, image in filter(None, lines)], arguments.inputs
    else:
        mesh, image, *sets = arguments.inputs
        pairs = [(Path(mesh), Path(image))]

    table = [f"| pair | options | {' | '.join(COLUMNS)} | seconds |", "|---" * (len(COLUMNS) + 3) + "|"]
    values: dict[str, list[list[float]]] = {options: [] for options in sets}
    for mesh, image in pairs:
        name, rows = f"{mesh.stem}_{image.stem}", []
        for number, options in enumerate(sets):
            folder = arguments.out / f"{name}_{number}"
            numbers, seconds = measured(mesh, image, options, folder)
            found = [numbers[column]["result"] for column in COLUMNS]
            values[options].append([*found, seconds])
            cells = " | ".join(map(shown, found))
            table.append(f"| {name} | {options or 'defaults'} | {cells} | {seconds:.0f} |")
            text = ", ".join(f"{column} {shown(value)}" for column, value in zip(COLUMNS, found, strict=True))
            rows.append((f"{options or 'defaults'}    {text}, {seconds:.0f} s", rows_of(folder, arguments.close)))
        for key, label in (("painting", "the painting"), ("original", "the original")):
            cells = " | ".join(shown(numbers[column][key]) for column in COLUMNS)
            table.append(f"| {name} | {label} | {cells} | |")
        beside(image, rows).save(arguments.out / f"{name}.png")
    for options, rows_of_numbers in values.items():
        means = [
            sum(known) / len(known) if (known := [value for value in column if value is not None]) else None
            for column in zip(*rows_of_numbers, strict=True)
        ]
        table.append(f"| mean | {options or 'defaults'} | {' | '.join(map(shown, means[:-1]))} | {means[-1]:.0f} |")
    (arguments.out / "compare.md").write_text("\n".join(table) + "\n")
    print("\n".join(table))
    print(arguments.out)


if __name__ == "__main__":
    main()
