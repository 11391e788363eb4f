"""The contexts that `rasterize` is given: they hold settings, as the CPU kernels keep nothing between calls."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import torch

from texopt.errors import OptionError
from texopt.raster.arguments import described, flag, one_of

if TYPE_CHECKING:
    from texopt.raster.rasterization import DepthPeeler


class RasterizeContext:
    """Stands where nvdiffrast's contexts do.

    Args:
        output_db: whether `rasterize` returns the derivatives of the barycentrics.
        device: None or the CPU.

    The CPU kernels keep nothing between calls; one context may be used by several threads, except for depth peeling.
    """

    def __init__(self, output_db: bool = True, device: torch.device | str | None = None) -> None:
        self.output_db = flag("output_db", output_db)
        try:
            good = device is None or torch.device(device).type == "cpu"
        except (RuntimeError, TypeError):
            good = False
        if not good:
            got = device if isinstance(device, torch.device) else described(device)
            raise OptionError(f"device has to be the CPU, where texopt.raster draws, not {got}")
        self.active_depth_peeler: DepthPeeler | None = None

    def check_current(self) -> None:
        """OptionError where nothing can be drawn with it now."""


class RasterizeCudaContext(RasterizeContext):
    """A RasterizeContext that is made as nvdiffrast's of that name is."""

    def __init__(self, device: torch.device | str | None = None) -> None:
        super().__init__(device=device)


class RasterizeGLContext(RasterizeContext):
    """A RasterizeContext that is made as nvdiffrast's of that name is.

    Args:
        output_db, device: as of RasterizeContext.
        mode: "automatic", or "manual", where what draws stands between set_context and release_context. There is no
            OpenGL here that these would switch; that they are called in that order is checked, so that a program which
            runs here runs there.
    """

    def __init__(
        self, output_db: bool = True, mode: str = "automatic", device: torch.device | str | None = None
    ) -> None:
        super().__init__(output_db, device)
        self.mode = one_of("mode", mode, ("automatic", "manual"))
        self._thread: int | None = None  # that it is set in

    def set_context(self) -> None:
        """Have this thread draw with the context, until release_context. OptionError where another thread does, or the
        mode is not manual."""
        self._check_manual("set_context")
        if self._thread not in (None, threading.get_ident()):
            raise OptionError("ctx is set in another thread; call its release_context() there first")
        self._thread = threading.get_ident()

    def release_context(self) -> None:
        """Give the context back. OptionError where this thread has not set it, or the mode is not manual."""
        self._check_manual("release_context")
        if self._thread != threading.get_ident():
            raise OptionError("ctx is not set in this thread; call its set_context() before release_context()")
        self._thread = None

    def check_current(self) -> None:
        """OptionError where it is of manual mode and not set in this thread."""
        if self.mode == "manual" and self._thread != threading.get_ident():
            raise OptionError("ctx is of mode 'manual' and not set in this thread; call its set_context() first")

    def _check_manual(self, what: str) -> None:
        if self.mode != "manual":
            raise OptionError(f"{what}() is for contexts of mode 'manual'; this ctx is of mode {self.mode!r}")
