"""Views: what is rendered in a step of a run, and from where."""

from __future__ import annotations

from dataclasses import dataclass

from texopt.errors import OptionError
from texopt.features.view_sizes import Size, sides, whole_strides
from texopt.render.backgrounds import Background
from texopt.render.cameras import Cameras, Sampler
from texopt.render.transforms import Transform

MOST = 256  # views a step


@dataclass(frozen=True, kw_only=True)
class Views:
    """The renderings that a run looks at, as `optimize` takes them.

    Attributes:
        cameras: a sampler, a function (generator, number of views, views before them) -> Cameras, by default
            sample_sphere(), from all around; or Cameras, of which each is looked from in turn, in a random order. A
            sampler that does not see everything may say what it sees in an attribute `coverage`, a function from a
            Scene to Fragments: the result has the rest filled, as of Cameras.
        size: pixels a side of a rendering, or its (height, width), from 32 to 4096; multiples of the network's stride,
            which is 32 of most (FeatureExtractor.stride).
        per_step: renderings a step, from 1 to 256; under torchrun they are divided over the processes.
        background: behind the object, a new one every step, see texopt.backgrounds; by default smooth noise.
        transform: of the rendered views before the objective sees them, see texopt.transforms; none by default.
        coarse: share of the steps, at the start, with views of half the size, which take a quarter of the time: they
            lay out what is large (Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017,
            section 6).
        common_scale: draw several meshes in their sizes to one another, the largest as large as one alone is drawn. A
            painting is then as large on all of them as on the largest. Without it each is drawn as if it was alone.

    OptionError where one of them is outside of what it can be.
    """

    cameras: Sampler | Cameras | None = None
    size: Size = 384
    per_step: int = 1
    background: Background | None = None
    transform: Transform | None = None
    coarse: float = 0.0
    common_scale: bool = False

    def __post_init__(self) -> None:
        sides(self.size)
        if not 1 <= self.per_step <= MOST:
            raise OptionError(f"views_per_step has to be between 1 and {MOST}, not {self.per_step}")
        if not 0 <= self.coarse <= 1:
            raise OptionError(f"coarse has to be a share of the steps, between 0 and 1, not {self.coarse}")

    def size_of(self, step: int, steps: int, stride: int) -> tuple[int, int]:
        """(height, width) of the views of a step, from 0 on, in whole strides of a network."""
        height, width = sides(self.size)
        if step >= self.coarse_steps(steps):
            return height, width
        return whole_strides(height / 2, stride), whole_strides(width / 2, stride)

    def coarse_steps(self, steps: int) -> int:
        """How many of a run's steps look at views of half the size."""
        return round(self.coarse * steps)
