"""Where the time of an optimisation step goes: timers around what texopt.optim.loop calls, put there from outside."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch

from texopt import objectives
from texopt.features import FeatureExtractor
from texopt.optim import adam
from texopt.render import scene, seam_points
from texopt.texture import texture_set

CAMERAS, BACKGROUND = "cameras", "background"
VIEW, BACKWARD = "network: forward", "network: backward"
ORIGINAL = "network: forward of the original"
OBJECTIVE, GRADIENT = "objective: forward", "objective: backward"
TEXTURE, ADAM, REST = "texture: backward", "Adam", "rest"
CALLS = (  # (class or module, function, part)
    (scene.Scene, "rasterize", "rasterise"),
    (seam_points.Seams, "extend", "seams: points, and colours taken apart"),
    (seam_points.Seams, "split", "seams: points, and colours taken apart"),
    (texture_set.TextureSet, "sample", "texture: decode and look-up"),
    (texture_set.Surface, "sample", "original: look-up"),  # without the textures', which are within it
    (objectives.Objective, "__call__", OBJECTIVE),
    (adam.Adam, "step", ADAM),
    (torch.Tensor, "backward", GRADIENT),  # of the objective first, see _timed_network
)
PARTS = (
    CAMERAS, "rasterise", CALLS[1][2], BACKGROUND, CALLS[3][2], CALLS[4][2], VIEW, ORIGINAL, OBJECTIVE, GRADIENT,
    BACKWARD, TEXTURE, ADAM, REST,
)  # fmt: skip


class Clock:
    """Divides time over parts by name: of parts within parts the innermost, and REST where there is none.

    wait: called before it looks at the time; on a graphics card until that has done its work.
    """

    def __init__(self, wait: Callable[[], Any]) -> None:
        self.stack, self.wait = [REST], wait
        self.begin()

    def begin(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.wait()
        self.last = time.perf_counter()

    def end(self) -> Counter[str]:
        """Seconds by part since `begin`."""
        self._account()
        return self.seconds

    def _account(self) -> None:
        self.wait()
        now = time.perf_counter()
        self.seconds[self.stack[-1]] += now - self.last
        self.last = now

    def enter(self, part: str) -> None:
        self._account()
        self.stack.append(part)

    def leave(self) -> None:
        self._account()
        self.stack.pop()

    def become(self, part: str) -> None:
        """The innermost part ends, and another one takes its place."""
        self._account()
        self.stack[-1] = part

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time is that part's."""

        def call(*args: Any, **options: Any) -> Any:
            self.enter(part)
            try:
                return function(*args, **options)
            finally:
                self.leave()

        return call


def _timed_network(clock: Clock, forward: Callable[..., Any]) -> Callable[..., Any]:
    """FeatureExtractor.forward with timers. autograd goes backward in the reverse order of the operations: through the
    objective, until a layer's gradient is there, then through the network, until the image's is, then to the texture.
    """
    of_view, of_original = clock.timed(VIEW, forward), clock.timed(ORIGINAL, forward)

    def call(extractor: FeatureExtractor, image: torch.Tensor, *args: Any) -> dict[str, torch.Tensor]:
        if not (image.requires_grad and torch.is_grad_enabled()):
            return of_original(extractor, image, *args)  # type: ignore[no-any-return]
        image.register_hook(lambda _: clock.become(TEXTURE))
        found: dict[str, torch.Tensor] = of_view(extractor, image, *args)
        for values in found.values():
            values.register_hook(lambda _: clock.become(BACKWARD))
        return found

    return call


@contextmanager
def timers(clock: Clock) -> Iterator[None]:
    """What the loop calls is timed. A function that this version of texopt has not got is a part of the rest."""
    with ExitStack() as undo:
        for owner, name, part in CALLS:
            if hasattr(owner, name):
                undo.enter_context(mock.patch.object(owner, name, clock.timed(part, getattr(owner, name))))
        network = _timed_network(clock, FeatureExtractor.forward)
        undo.enter_context(mock.patch.object(FeatureExtractor, "forward", network))
        yield
