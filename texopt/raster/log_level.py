"""How much the drawing operations say, as of nvdiffrast's set_log_level."""

from __future__ import annotations

import logging

from texopt.errors import OptionError
from texopt.raster.arguments import described, whole

LEVELS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
DEFAULT = 1

log = logging.getLogger("texopt.raster")


def set_log_level(level: int) -> None:
    """How much the logger "texopt.raster" lets through: 0 all, 1 (the default) warnings, 2 errors, 3 what is fatal.

    As of nvdiffrast. The operations have nothing to say at 1 and above: what is wrong is an error.
    """
    if (number := whole(level)) is None or not 0 <= number < len(LEVELS):
        raise OptionError(f"level has to be 0, 1, 2 or 3, not {described(level)}")
    log.setLevel(LEVELS[number])


def get_log_level() -> int:
    """What set_log_level has set."""
    return LEVELS.index(log.level) if log.level in LEVELS else DEFAULT
