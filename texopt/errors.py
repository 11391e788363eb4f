"""What texopt raises when something outside of it is wrong.

TexoptError
├── MeshError        a mesh file that cannot be read, or geometry that cannot be textured
├── ImageError       a style image or a mesh's texture that cannot be read
├── OptionError      a value that an option or argument cannot take (also a ValueError)
├── WeightsError     pretrained weights that are missing or do not fit the network
├── DependencyError  an optional package or a device that is not there
├── RankError        another process of a run on several has died
└── OutputError      a result that cannot be written

Every message is one line that says what is wrong and what to do about it; the command line prints it and exits with 2.
Anything else that escapes texopt is a defect of texopt.
"""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST = 1000  # characters of a message


def printable(text: str) -> str:
    """A text from outside as one line that does nothing to a terminal: controls and what is no Unicode escaped."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class TexoptError(Exception):
    """Base of all errors that a user can cause and mend."""

    def __str__(self) -> str:
        text = super().__str__()  # which may quote any file
        return printable(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 120]} ... {text[-100:]}")


class MeshError(TexoptError):
    """A mesh file that cannot be read, or geometry that cannot be textured."""


class ImageError(TexoptError):
    """An image file that cannot be read or is too small to use."""


class OptionError(TexoptError, ValueError):
    """An option or argument outside of what it can be."""


class WeightsError(TexoptError):
    """Pretrained weights that are missing, unreadable or made for another network."""


class DependencyError(TexoptError):
    """An optional package or a device that this machine does not have."""


class RankError(TexoptError):
    """Another process of a run on several has died or cannot be reached."""


class OutputError(TexoptError):
    """A result that cannot be written where it was asked for."""
