"""Run `texopt style` with several sets of options and lay the results side by side: one picture, one table.

python scripts/compare.py MESH IMAGE "--preset draft" "--preset standard" "--strength 0.8" --out outputs/compare

Every argument after the painting is a set of options, in quotes. Writes compare.png (a row of eight views for each set,
and a row of close-ups with --close) and compare.md (what `texopt evaluate` measures, and the seconds).
"""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from texopt.cli import main as texopt

COLUMNS = ("style", "content", "seam", "spread", "sharpness")
LABEL = 40  # pixels
BACKGROUND, INK = (184, 184, 184), (20, 20, 20)


def run(command: list[str]) -> None:
    """A command of texopt; its error ends the program."""
    if code := texopt(command):
        sys.exit(code)


def rows_of(folder: Path, close: bool) -> list[Image.Image]:
    """The views after, and the close-ups after, of metrics.png: views before and after, close-ups before and after."""
    sheet = Image.open(folder / "metrics.png").convert("RGB")
    height = Image.open(folder / "preview.png").height // 2
    rest = (sheet.height - 2 * height) // 2
    after = sheet.crop((0, height, sheet.width, 2 * height))
    return [after, sheet.crop((0, sheet.height - rest, sheet.width, sheet.height))] if close else [after]


def labelled(text: str, rows: list[Image.Image]) -> Image.Image:
    out = Image.new("RGB", (rows[0].width, LABEL + sum(row.height for row in rows)), BACKGROUND)
    ImageDraw.Draw(out).text((12, 8), text, INK, ImageFont.load_default(22))
    top = LABEL
    for row in rows:
        out.paste(row, (0, top))
        top += row.height
    return out


def stacked(pictures: list[Image.Image]) -> Image.Image:
    out = Image.new("RGB", (pictures[0].width, sum(picture.height for picture in pictures)), BACKGROUND)
    top = 0
    for picture in pictures:
        out.paste(picture, (0, top))
        top += picture.height
    return out


def shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mesh", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("options", nargs="+", help="sets of options, each in quotes; '' for the defaults")
    parser.add_argument("--out", type=Path, default=Path("outputs/compare"))
    parser.add_argument("--close", action="store_true", help="show close-ups as well")
    arguments = parser.parse_args()

    table = [f"| options | {' | '.join(COLUMNS)} | seconds |", "|---" * (len(COLUMNS) + 2) + "|"]
    pictures, painting, original = [], {}, {}
    for number, options in enumerate(arguments.options):
        folder = arguments.out / f"{number}"
        start = time.perf_counter()
        run(["style", str(arguments.mesh), str(arguments.style), *shlex.split(options), "--out", str(folder)])
        seconds = time.perf_counter() - start
        run(["evaluate", str(folder)])
        numbers = json.loads((folder / "metrics.json").read_text())["numbers"]
        painting, original = ({name: numbers[name][key] for name in COLUMNS} for key in ("painting", "original"))
        values = " | ".join(shown(numbers[name]["result"]) for name in COLUMNS)
        table.append(f"| {options or 'defaults'} | {values} | {seconds:.0f} |")
        text = ", ".join(f"{name} {shown(numbers[name]['result'])}" for name in ("style", "content"))
        pictures.append(
            labelled(f"{options or 'defaults'}    {text}, {seconds:.0f} s", rows_of(folder, arguments.close))
        )
    for name, values in (("the painting", painting), ("the original", original)):
        table.append(f"| {name} | {' | '.join(shown(values[column]) for column in COLUMNS)} | |")
    stacked(pictures).save(arguments.out / "compare.png")
    (arguments.out / "compare.md").write_text("\n".join(table) + "\n")
    print("\n".join(table))
    print(arguments.out / "compare.png")


if __name__ == "__main__":
    main()
