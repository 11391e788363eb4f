"""Tables of numbers on the terminal, of one checkout or of two side by side."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

Cells = dict[str, dict[str, float]]  # numbers by row and column

AFTER, BEFORE = "after", "before"


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(title: str, sides: Mapping[str, Cells]) -> Table:
    """The numbers of AFTER; where there are some of BEFORE, these before them and the ratio after / before behind."""
    rows = list(dict.fromkeys(row for cells in sides.values() for row in cells))
    columns = list(dict.fromkeys(name for cells in sides.values() for row in cells.values() for name in row))
    out = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim", pad_edge=False)
    out.add_column("", no_wrap=True)
    both = BEFORE in sides
    for column in columns:
        for name in (f"{column}\n{BEFORE}", f"\n{AFTER}", "\nratio") if both else (column,):
            out.add_column(name, justify="right", style="cyan" if name == "\nratio" else None)
    for row in rows:
        texts = [row]
        for column in columns:
            after, before = (sides.get(side, {}).get(row, {}).get(column) for side in (AFTER, BEFORE))
            texts += [_text(before)] if both else []
            texts.append(_text(after))
            texts += [f"{after / before:.2f}" if after is not None and before else ""] if both else []
        out.add_row(*texts)
    return out


def show(title: str, sides: Mapping[str, Cells]) -> None:
    if any(sides.values()):
        console = Console(highlight=False)
        console.width = max(console.width, 120)  # where it is no terminal, rich takes 80
        console.print(table(title, sides))
        console.print()
