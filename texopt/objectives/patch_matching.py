"""Patches: every piece of the surface looks like some piece of a painting, and all of the painting is used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from texopt.errors import OptionError
from texopt.features.view_sizes import resized
from texopt.objectives.gram_matrices import check_scale, check_toward, on_mesh, solid_cells
from texopt.objectives.terms import Objective, objective, positioned
from texopt.objectives.view import View
from texopt.system import distributed
from texopt.system.devices import to_device
from texopt.system.pictures import Painting, loaded, several
from texopt.texture.paintings import blend_shares

SIDE = 3  # cells of a layer, of a patch
SIZES = (1.0, 0.5, 0.25)  # of the view, at which it is looked at
CELLS = 256  # patches of a view that are compared in a step, at each size
MOST = 4096  # patches of the paintings, at each size
AXES = 128  # along which patches are compared, of the 9C that they have
ROUNDS = 2  # of finding them
RATE = 0.01  # of prices, a step
PARTS = 16  # of a product, so that its digits do not depend on how many threads it is divided over
SCORES = 2**22  # of patches against patches that are in memory at once


def all_patches(features: Tensor) -> Tensor:
    """Patches of SIDE x SIDE cells of features [B,C,h,w], by rows of cells: [B,(h-2)(w-2),9C]."""
    return F.unfold(features, SIDE).transpose(1, 2)


def whole_patches(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Which of all_patches of features of a size h, w see the object and nothing else: 0 and 1, [B,(h-2)(w-2)].

    mask: [B,1,H,W].
    """
    return F.unfold(solid_cells(mask, size), SIDE).amin(1)


def _parts(rows: Tensor) -> Tensor:
    """[M,K] -> [PARTS,m,K] with zeros at its end."""
    count = max(-(-len(rows) // PARTS), 1)
    return F.pad(rows, (0, 0, 0, PARTS * count - len(rows))).reshape(PARTS, count, rows.shape[1])


def in_parts(rows: Tensor, matrix: Tensor) -> Tensor:
    """The product of rows [M,K] and a matrix [K,L], whose digits do not depend on the number of threads: [M,L]."""
    return torch.bmm(_parts(rows), matrix.expand(PARTS, -1, -1)).flatten(0, 1)[: len(rows)]


def principal_axes(patches: Tensor, count: int) -> Tensor:
    """`count` orthonormal axes [K,count], along which products of patches [N,K] are nearly what they are: about the
    first eigenvectors of their second moments.

    By subspace iteration from random axes, always the same (Halko, Martinsson & Tropp, "Finding Structure with
    Randomness", 2011, algorithm 4.4). The small factorisation runs on one thread, so that its digits do not depend on
    how many there are.
    """
    axes = torch.randn(patches.shape[1], count, generator=Generator().manual_seed(0)).to(patches)
    threads = torch.get_num_threads()
    for _ in range(ROUNDS):
        axes = in_parts(patches.T.contiguous(), in_parts(patches, axes))
        torch.set_num_threads(1)
        try:
            axes = torch.linalg.qr(axes).Q
        finally:
            torch.set_num_threads(threads)
    return axes


def most_similar(rows: Tensor, patches: Tensor, prices: Tensor) -> Tensor:
    """For each of rows [M,K] the one of patches [N,K] whose product with it, less its price [N], is the largest.

    Returns int64 [M]. Memory is bounded: SCORES products at once.
    """
    parts, columns = _parts(rows), patches.T.expand(PARTS, -1, -1)
    found = [
        torch.baddbmm(-prices, some, columns).argmax(2)
        for some in parts.split(max(SCORES // (PARTS * len(patches)), 1), 1)
    ]
    return torch.cat(found, 1).flatten()[: len(rows)]


@dataclass(frozen=True, eq=False)
class Target:
    """The patches of paintings in one layer, at one size.

    mean, deviation: of the layer's channels over the paintings, [1,C,1,1]. patches: of what has mean 0 and deviation 1
    then, each of length 1, [N,9C]. axes: principal ones [9C,K], and along: the patches' coordinates there [N,K], by
    which they are searched. shares: of the surface that each is to be on, [N], 1 together. prices: [N].
    """

    mean: Tensor
    deviation: Tensor
    patches: Tensor
    axes: Tensor
    along: Tensor
    shares: Tensor
    prices: Tensor

    @staticmethod
    def of(maps: Sequence[Tensor], shares: Sequence[float], most: int = MOST) -> Target:
        """Of features [1,C,h,w] of paintings: about `most` patches, of each its share, random ones, always the same."""
        mean = torch.stack([share * one.mean((2, 3)) for one, share in zip(maps, shares, strict=True)]).sum(0)
        mean = mean[..., None, None]
        squares = [share * (one - mean).square().mean((2, 3)) for one, share in zip(maps, shares, strict=True)]
        deviation = torch.stack(squares).sum(0).sqrt().clamp(min=1e-6)[..., None, None]
        generator, rows, weights = Generator().manual_seed(0), [], []
        for one, share in zip(maps, shares, strict=True):
            found = all_patches((one - mean) / deviation)[0]
            some = torch.randperm(len(found), generator=generator)[: math.ceil(most * share)].sort().values
            rows.append(F.normalize(found[some.to(found.device)]))
            weights.append(torch.full((len(some),), share / max(len(some), 1)))
        weight, patches = torch.cat(weights).to(mean), torch.cat(rows)
        axes = principal_axes(patches, min(AXES, patches.shape[1]))
        along = in_parts(patches, axes)
        return Target(mean, deviation, patches, axes, along, weight, torch.zeros_like(weight))

    def most_similar(self, rows: Tensor) -> Tensor:
        """Which patch each of rows [M,9C] is most similar to, less its price: int64 [M]."""
        return most_similar(in_parts(rows, self.axes), self.along, self.prices)

    def rows(self, features: Tensor, chosen: Tensor) -> Tensor:
        """Patches of features [B,C,h,w] as those of the paintings are: [B*K,9C]. chosen: which of each, [B,K]."""
        columns = F.unfold((features - self.mean) / self.deviation, SIDE)
        chosen = chosen[:, None].expand(-1, columns.shape[1], -1)
        return F.normalize(columns.gather(2, chosen).transpose(1, 2).flatten(0, 1))


class Patches:
    """The loss of `patches`: a function of a View, with the paintings' patches and their prices as its state."""

    def __init__(
        self, images: Sequence[Image.Image], shares: Sequence[float], layers: Sequence[str] | None, scale: float,
        sizes: Sequence[float], rate: float, toward: float, where: str,
    ) -> None:  # fmt: skip
        self.images, self.shares, self.layers, self.scale = images, shares, layers, scale
        self.sizes, self.rate, self.toward, self.where = sizes, rate, toward, where
        self.reset()

    def reset(self) -> None:
        """Forget patches and prices: they are of a network and of a size of views."""
        self.targets: dict[str, dict[str, Target]] = {}
        self.known: dict[str, dict[str, Tensor]] = {}  # prices whose patches are yet to be found

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Prices, by the size of views, and by layer and size."""
        prices = {
            magnification: {name: one.prices for name, one in targets.items()}
            for magnification, targets in self.targets.items()
        }
        return self.known | prices

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        self.known = {magnification: dict(prices) for magnification, prices in state.items()}
        for magnification, targets in self.targets.items():
            prices = self.known.get(magnification, {})
            for name, target in targets.items():
                targets[name] = replace(target, prices=prices.get(name, torch.zeros_like(target.prices)))

    def prepare(self, view: View, layers: Sequence[str]) -> dict[str, Target]:
        """Targets by layer and size, of the paintings as large as they are on the mesh."""
        view.extractor.require(*layers)
        known = self.known.get(view.magnification, {})
        targets: dict[str, Target] = {}
        whole = [on_mesh(image, self.scale, view) for image in self.images]
        for size in self.sizes:
            with torch.no_grad():
                found = [view.extractor(resized(one, size, view.extractor.stride), layers) for one in whole]
            for layer in layers:
                maps = [positioned(one[layer], layer) for one in found]
                if min(side for one in maps for side in one.shape[2:]) >= SIDE:
                    target, name = Target.of(maps, self.shares), f"{layer} {size:g}"
                    prices = known.get(name, target.prices)
                    targets[name] = replace(target, prices=prices.to(target.prices))
        if not targets:
            raise OptionError(
                f"at a style scale of {self.scale:g} the painting is smaller on the object than a patch, {SIDE} cells "
                f"of {layers[0]}; take a larger one, or larger views"
            )
        return targets

    def __call__(self, view: View) -> Tensor:
        layers = self.layers or [name for name in [view.extractor.content_layer] if name]
        if not layers:
            raise OptionError("the backbone has no content layer of its own; name some: patches(image, layers=[...])")
        if view.magnification not in self.targets:
            self.targets[view.magnification] = self.prepare(view, layers)
        targets, generator, losses = self.targets[view.magnification], Generator().manual_seed(view.step), []
        for size in self.sizes:
            names = {layer: f"{layer} {size:g}" for layer in layers if f"{layer} {size:g}" in targets}
            if not names:  # the painting has no patch of this size
                continue
            small = view.at(size, names)
            mask = small.where(self.where) if self.where else small.mask
            for layer, name in names.items():
                features = positioned(small.features[layer], layer)
                if min(features.shape[2:]) < SIDE:
                    continue
                before = small.original_features[layer] if self.toward < 1 else None
                loss, targets[name] = self._compare(features, before, mask, targets[name], generator)
                losses.append(loss)
        if not losses:
            raise OptionError(f"views of {view.image.shape[3]} pixels are smaller than a patch; take larger ones")
        return torch.stack(losses).sum()

    def _compare(
        self, features: Tensor, before: Tensor | None, mask: Tensor, target: Target, generator: Generator
    ) -> tuple[Tensor, Target]:
        """(mean distance of random patches to their goals, the target with new prices)."""
        whole = whole_patches(mask, features.shape[2:])
        chance = to_device(torch.rand(whole.shape, generator=generator), whole.device)
        weights, chosen = (whole * (1 + chance)).topk(min(CELLS, whole.shape[1]))
        weights = (weights > 0).to(features.dtype).flatten()
        rows = target.rows(features, chosen)
        best = target.most_similar(rows.detach())
        count = distributed.averaged(weights.sum())
        used = distributed.averaged(torch.zeros_like(target.prices).index_add(0, best, weights))
        # what is on more of the surface than its share becomes dearer, the rest cheaper
        excess = used / count.clamp(min=1) / target.shares - 1
        prices = target.prices + self.rate * torch.where(count > 0, excess, 0.0)
        goals = target.patches[best]
        if before is not None:
            goals = F.normalize(torch.lerp(target.rows(before, chosen), goals, self.toward))
        distances = (1 - (rows * goals).sum(1)) * weights
        loss = distances.reshape(len(features), -1).sum(1).sum() / count.clamp(min=1)
        return loss, replace(target, prices=prices)


def patches(
    image: Painting | Sequence[Painting], layers: Sequence[str] | None = None, scale: float = 1.1, *,
    sizes: Sequence[float] = SIZES, rate: float = RATE, blend: Sequence[float] | None = None, toward: float = 1.0,
    where: str = "",
) -> Objective:  # fmt: skip
    """Be made of the pieces of a painting: of its stars, shapes and swirls, all of them in turn.

    Every patch of 3 x 3 cells of a layer's features is drawn to the one of the painting's that is most similar to it,
    1 - cosine of the two, after channels have the painting's mean 0 and deviation 1. The view is looked at in several
    sizes, as a patch of a smaller view is a larger piece of the surface. The loss is the sum over layers and sizes.

    Alone, most would choose the same few patches. So each has a price, that is added to its distance when one is
    chosen: it rises while views use a patch more than its share, and falls while they use it less. These are the dual
    potentials of semi-discrete optimal transport between the surface and the painting, by stochastic gradient steps
    (Genevay, Cuturi, Peyré & Bach, "Stochastic Optimization for Large-scale Optimal Transport", 2016; for textures
    Houdard, Leclaire, Papadakis & Rabin, "A Generative Model for Texture Synthesis based on Optimal Transport between
    Feature Distributions", 2021), and are remembered over views as style's averages are. Nearest patches of features:
    Li & Wand, "Combining Markov Random Fields and Convolutional Neural Networks for Image Synthesis", 2016; Kolkin et
    al., "Neural Neighbor Style Transfer", 2022; on surfaces Zhang et al., "ARF: Artistic Radiance Fields", 2022.

    Args:
        image: the painting, at least 16 pixels a side; or several. As of style.
        layers: of the backbone; its content layer by default.
        scale: length of the painting's shorter side on the object, in diameters of its bounding sphere.
        sizes: of the view, above 0 and at most 1.
        rate: of prices: how much one rises in a step for each time its share that it is used. 0 is without prices.
        blend: shares of several paintings, by default equal: of the surface that each is on.
        toward: of 0 to 1: goals are this far from the original's own patches (0) towards the painting's (1).
        where: the part of the surface that it is for, as texopt.render.regions names them; "" is all of it.

    OptionError for numbers that cannot be, and, when it first sees a view, for a painting that is smaller on the object
    than a patch at every size.
    """
    check_scale(scale)
    check_toward(toward)
    if not sizes or not all(0 < size <= 1 for size in sizes):
        raise OptionError(f"sizes have to be above 0 and at most 1, not {list(sizes)}")
    if not 0 <= rate <= 1:
        raise OptionError(f"the rate of prices has to be between 0 and 1, not {rate}")
    images = several(image)
    shares = blend_shares(len(images), blend)
    pictures = [loaded(one, min_size=16) for one in images]
    return objective(Patches(pictures, shares, layers, scale, sizes, rate, toward, where), "patches")
