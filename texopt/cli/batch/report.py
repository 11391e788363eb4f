"""What a batch leaves to look at: report.csv, report.html with every picture, and a few lines on the terminal."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.table import Table
from rich.text import Text

from texopt.cli.batch.folders import FAILED, Record, last_losses
from texopt.cli.batch.jobs import Job
from texopt.cli.batch.schedule import Outcome
from texopt.system.files import write_file

DONE, NOT_RUN = "done", "not run"
LISTED = 20  # failures on the terminal; report.csv has all


@dataclass
class Row:
    """A job and how it stands: done, failed or not run. losses: the last value of every term."""

    job: Job
    status: str = NOT_RUN
    seconds: float = 0.0
    attempts: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    error: str = ""


class Report:
    """The rows of a batch, in the order of its table."""

    def __init__(self, out: Path, jobs: Sequence[Job]) -> None:
        self.out, self.rows = out, {job.name: Row(job) for job in jobs}

    def found(self, job: Job, record: Record) -> None:
        """A job is done from before."""
        self._done(job, record.seconds, record.attempts)

    def ended(self, outcome: Outcome) -> None:
        """A job has ended now."""
        if outcome.error:
            self.rows[outcome.job.name] = Row(
                outcome.job, FAILED, outcome.seconds, outcome.attempts, error=outcome.error
            )  # fmt: skip
        else:
            self._done(outcome.job, outcome.seconds, outcome.attempts)

    def _done(self, job: Job, seconds: float, attempts: int) -> None:
        losses = last_losses(self.out / job.name)
        terms = {name: value for name, value in losses.items() if name not in ("step", "seconds")}
        self.rows[job.name] = Row(job, DONE, seconds, attempts, terms)

    def count(self, status: str) -> int:
        return sum(row.status == status for row in self.rows.values())

    def terms(self) -> list[str]:
        """Names of all losses, the sum of them last."""
        names = list(dict.fromkeys(name for row in self.rows.values() for name in row.losses))
        return sorted(names, key=lambda name: name == "loss")

    def to_csv(self) -> str:
        """A line a job: name, command, status, seconds, attempts, every loss, the error."""
        buffer, terms = io.StringIO(), self.terms()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["name", "command", "status", "seconds", "attempts", *terms, "error"])
        for row in self.rows.values():
            losses = [f"{row.losses[term]:.6g}" if term in row.losses else "" for term in terms]
            seconds = f"{row.seconds:.1f}" if row.attempts else ""
            writer.writerow(
                [row.job.name, row.job.command, row.status, seconds, row.attempts or "", *losses, row.error]
            )  # fmt: skip
        return buffer.getvalue()

    def to_html(self) -> str:
        """A page of all previews that links to every viewer; it works offline, and where the folder is moved to."""
        cards = "\n".join(_card(row) for row in self.rows.values())
        return _PAGE.format(title=html.escape(self.out.name), summary=html.escape(self.summary()), cards=cards)

    def write(self) -> None:
        """Write report.csv and report.html. OutputError where that cannot be."""
        write_file(self.out / "report.csv", self.to_csv().encode())
        write_file(self.out / "report.html", self.to_html().encode())

    def summary(self) -> str:
        """The batch in a line."""
        counts = [(self.count(status), status) for status in (DONE, FAILED, NOT_RUN)]
        return ", ".join(f"{count} {status}" for count, status in counts if count)

    def print_failures(self) -> None:
        """A table of what failed and why, to the terminal's error channel."""
        failed = [row for row in self.rows.values() if row.status == FAILED]
        if not failed:
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        for style in ("red", ""):
            table.add_column(overflow="fold", style=style)
        for row in failed[:LISTED]:
            table.add_row(Text(row.job.name), Text(row.error))
        if len(failed) > LISTED:
            table.add_row("...", f"and {len(failed) - LISTED} more, in report.csv")
        console = Console(stderr=True)
        if not console.is_terminal:
            console.width = 4096  # lines are lines in a file
        console.print(table)


def _card(row: Row) -> str:
    name, folder = html.escape(row.job.name), quote(row.job.name)
    if row.status == DONE:
        numbers = "  ".join(f"{term} {value:.3f}" for term, value in row.losses.items() if term != "loss")
        picture = f'<img src="{folder}/preview.png" loading="lazy" alt="">'
        links = f'<a href="{folder}/viewer.html">turn it</a> <a href="{folder}/">files</a>'
        body = f'<a href="{folder}/preview.png">{picture}</a><p>{html.escape(numbers)}</p><p>{links}</p>'
    elif row.status == FAILED:
        body = f'<p class="error">{html.escape(row.error)}</p><p><a href="{FAILED}/{folder}.txt">log</a></p>'
    else:
        body = "<p>not run yet</p>"
    return f'<article class="{row.status.replace(" ", "-")}"><h2>{name}</h2>{body}</article>'


_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; }}
header {{ display: flex; flex-wrap: wrap; gap: 1em; align-items: baseline; margin-bottom: 1em; }}
p a {{ margin-right: 1em; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 44em), 1fr)); gap: 1em; }}
article {{ border: 1px solid #8886; border-radius: 6px; padding: .7em; overflow-wrap: anywhere; }}
article.failed {{ border-color: #c33; }}
h1, h2 {{ margin: 0; font-size: 1.3em; }}
h2 {{ font-size: 1em; }}
p {{ margin: .4em 0 0; }}
img {{ width: 100%; min-height: 5em; margin-top: .4em; }}
.error {{ color: #c33; }}
</style>
<header><h1>{title}</h1><span>{summary}</span>
<input type="search" size="24" placeholder="part of a name, or failed" aria-label="show only"></header>
<main>
{cards}
</main>
<script>
document.querySelector("input").oninput = (event) => {{
  const wanted = event.target.value.toLowerCase();
  for (const card of document.querySelectorAll("article"))
    card.hidden = !(card.querySelector("h2").textContent.toLowerCase() + " " + card.className).includes(wanted);
}};
</script>
</html>
"""
