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


class TexoptError(Exception):
    """Base of all errors that a user can cause and mend."""


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
