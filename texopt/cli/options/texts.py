"""What the texts of options say: names with commas between, images, targets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


def listed(text: str) -> tuple[str, ...]:
    """What an option of several names says, with commas between."""
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def masks(text: str) -> Path | dict[str, Path] | None:
    """What --mask says: nothing, an image, or NAME=IMAGE pairs with commas between."""
    if not text:
        return None
    if "=" not in text or Path(text).exists():
        return Path(text)
    return {name: Path(image) for name, _, image in (part.partition("=") for part in listed(text))}


def painted(parts: Sequence[str]) -> list[Path]:
    """The images among parts of a mesh's surface, as --where and --direction name them."""
    if not parts:
        return []
    from texopt.render.regions import PAINTED

    names = [name.rpartition("=")[2].strip() for part in parts for name in part.removeprefix("not ").split(",")]
    return [Path(name) for name in names if Path(name).suffix.lower() in PAINTED]


def target_name(text: str) -> str:
    """A target as a part of a file's name."""
    return re.sub(r"[^\w.+-]+", "_", text.replace("*", "all").replace(":", "-"))
