"""How often a mesh is taken for a class: from views, and in front of backgrounds, that no optimisation has seen."""

from __future__ import annotations

import torch
from torch import Generator

from texopt.errors import OptionError
from texopt.evaluation.views import BATCH
from texopt.features.backbones import DEFAULT, as_extractor, class_number
from texopt.features.extractor import FeatureExtractor
from texopt.features.view_sizes import Size, check_stride, sides
from texopt.mesh.mesh import Mesh
from texopt.optim.loop import check_run
from texopt.render.backgrounds import Background, composite, smooth_noise
from texopt.render.cameras import Sampler, sample_sphere
from texopt.render.look_up import look_up
from texopt.render.scene import Scene

SEED = 2**32 + 1  # that is no run's by chance


@torch.no_grad()
def classified_share(
    mesh: Mesh, index: int | str, views: int = 100, *, backbone: str | FeatureExtractor = DEFAULT,
    view_size: Size = 256, cameras: Sampler | None = None, background: Background | None = None, seed: int = SEED,
) -> float:  # fmt: skip
    """The share of random views of a mesh, with its own textures, whose highest logit is that of a class.

    Athalye, Engstrom, Ilyas & Kwok, "Synthesizing Robust Adversarial Examples", ICML 2018, section 3: "adversariality".

    Args:
        mesh: result.textured(), or any.
        index: of the class, or its name, as of texopt.logit.
        views: how many.
        backbone: the network that judges: its name or a FeatureExtractor.
        view_size: as of Views.
        cameras: as of Views.
        background: as of Views.
        seed: of cameras and backgrounds; another than the run's.
    """
    check_run(1, seed)
    number = class_number(index)
    extractor = as_extractor(backbone)
    check_stride(view_size, extractor.stride)
    scene, textures, generator = Scene(mesh, optimized=True), mesh.originals(), Generator().manual_seed(seed)
    sample, behind = cameras or sample_sphere(), background or smooth_noise()
    hits, (height, width) = 0, sides(view_size)
    for start in range(0, views, BATCH):
        count = min(BATCH, views - start)
        fragments = scene.rasterize(sample(generator, count, start), height, width)
        image = composite(
            look_up(textures, fragments), fragments.mask[:, None], behind(generator, count, height, width)
        )
        logits = extractor(image, ["logits"])["logits"]
        if not 0 <= number < logits.shape[1]:
            raise OptionError(f"the network has classes 0 to {logits.shape[1] - 1}, not {number}")
        hits += int((logits.argmax(1) == number).sum())
    return hits / views
