"""How options are shown on the command line."""

from __future__ import annotations

import tyro


def option(metavar: str) -> object:
    """For Annotated: an option's value is shown as `metavar`, and its default unless there is none."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=_default)


def _default(text: str) -> str:
    return "" if text in ("None", "''", "") else f"(default: {text})"
