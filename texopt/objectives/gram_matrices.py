"""Style: Gram matrices of the object's features, averaged over views, against those of a painting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.autograd.function import once_differentiable

from texopt.errors import OptionError
from texopt.features.view_sizes import whole_strides
from texopt.objectives.terms import Objective, objective, positioned
from texopt.objectives.view import View
from texopt.system import distributed
from texopt.system.images import to_tensor
from texopt.system.pictures import Painting, loaded, several
from texopt.texture.paintings import blend_shares

PARTS = 16  # of a sum over positions
DECAY = 0.95  # of a moving average, a step
SOLID = 0.99  # share of a feature's cell that the object has to cover for the cell to count


def solid_cells(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Which cells of a feature map see the object and nothing else: [B,1,H,W] -> [B,1,h,w] of 0 and 1."""
    return (covered_shares(mask, size) >= SOLID).to(mask.dtype)


def covered_shares(mask: Tensor, size: Sequence[int]) -> Tensor:
    """The share of each cell of a feature map that the object covers: [B,1,H,W] -> [B,1,h,w]."""
    height, width = size
    if mask.shape[2] % height or mask.shape[3] % width:
        return F.interpolate(mask, (height, width), mode="area")
    return F.avg_pool2d(mask, (mask.shape[2] // height, mask.shape[3] // width))  # the same, three times as fast


def cell_weights(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Which cells of a feature map see the object and nothing else.

    mask [B,1,H,W] -> [B,1,h,w] of 0 and 1; where an image has no such cell, the covered shares of its cells.
    """
    share = covered_shares(mask, size)
    solid = (share >= SOLID).to(mask.dtype)
    return torch.where(solid.sum((2, 3), keepdim=True) > 0, solid, share)


def scaled(image: Image.Image, side: float, stride: int) -> Image.Image:
    """An image with its shorter side `side` pixels long, both rounded to whole strides of the network."""
    scale = side / min(image.size)
    width, height = (whole_strides(length * scale, stride) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def on_mesh(image: Image.Image, scale: float, view: View) -> Tensor:
    """A painting as large as it is in a view of the mesh: [1,3,H,W] on the view's device.

    scale: length of its shorter side, in diameters of the mesh.
    """
    side = scale * 2 * view.scale  # pixels
    if view.zoom > 1:  # no larger than it is: what it does not show, close-ups cannot
        side = min(side, max(side / view.zoom, min(image.size)))
    return to_tensor(scaled(image, side, view.extractor.stride))[None].to(view.image.device)


class _SecondMoments(torch.autograd.Function):
    """Σ w f fᵀ of features [B,C,H,W] and weights [B,1,H,W]: [C,C]. Features with their channels last are not copied,
    and as the sum is symmetric its gradient is a single product."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weights: Tensor | None) -> Tensor:  # type: ignore[override]
        rows = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
        weighted = rows if weights is None else rows * weights.permute(0, 2, 3, 1).reshape(-1, 1)
        ctx.shape = features.shape
        ctx.save_for_backward(weighted)
        # in parts, so that the digits do not depend on how many threads the product is divided over
        parts = math.gcd(len(rows), PARTS)
        left, right = (values.reshape(parts, -1, rows.shape[1]) for values in (weighted, rows))
        return torch.bmm(left.transpose(1, 2), right).sum(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:  # type: ignore[override]
        (weighted,) = ctx.saved_tensors
        batch, channels, height, width = ctx.shape
        parts = math.gcd(len(weighted), PARTS)
        products = torch.bmm(weighted.reshape(parts, -1, channels), (grad + grad.T).expand(parts, -1, -1))
        return products.reshape(batch, height, width, channels).permute(0, 3, 1, 2), None


def gram_matrix(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """Second moments of features over positions: G = Σ w f fᵀ / Σ w.

    features [B,C,H,W], weights [B,1,H,W] (without gradient) or None (all 1) -> [C,C], over all positions of the whole
    batch. Gatys, Ecker & Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, equation 3,
    divided by the number of positions; weights leave out the background, which is no part of the object's style.
    """
    moments: Tensor = _SecondMoments.apply(features, weights)
    if weights is None:
        return moments / (features.numel() / features.shape[1])
    return moments / weights.sum().clamp(min=1e-6)


def gram_matrices(features: Mapping[str, Tensor], layers: Iterable[str], mask: Tensor) -> dict[str, Tensor]:
    """Gram matrices of layers over the cells of a mask [B,1,H,W], of the views of all ranks together.

    Where nothing is in the mask they are zeros.
    """
    layers = list(layers)
    weights = [cell_weights(mask, features[layer].shape[2:]) for layer in layers]
    sums: list[Tensor] = [
        _SecondMoments.apply(features[layer], weight) for layer, weight in zip(layers, weights, strict=True)
    ]
    counts = torch.stack([weight.sum() for weight in weights])
    if distributed.ranks() > 1:  # all at once
        shapes = [moments.shape for moments in sums]
        flat = distributed.summed(torch.cat([*(moments.flatten() for moments in sums), counts]))
        *parts, counts = flat.split([*(shape.numel() for shape in shapes), len(layers)])
        sums = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
    counts = counts.clamp(min=1e-6)
    return {layer: moments / count for layer, moments, count in zip(layers, sums, counts, strict=True)}


class GramEMA:
    """Moving averages of Gram matrices, one a layer.

    E ← d·E + (1 - d)·G; the loss is given G + stop_gradient(E - G): the value of the average over many views, the
    gradient of the current one. So a single view a step can stand for the whole object, whose sides may differ while
    their average has the style. d grows from 0 to `decay` as t / (t + 1), which makes E the plain mean at first.
    Mordvintsev et al., "Differentiable Image Parameterizations", Distill 2018, style transfer to 3D.

    state: E by layer, float32 [C,C]. count: updates so far.
    """

    def __init__(self, decay: float = DECAY) -> None:
        if not 0.0 <= decay < 1.0:
            raise OptionError(f"the decay of the Gram average has to be in [0, 1), not {decay}")
        self.decay = decay
        self.state: dict[str, Tensor] = {}
        self.count = torch.zeros(())

    def update(self, grams: dict[str, Tensor], seen: Tensor | None = None) -> dict[str, Tensor]:
        """Take the current views' Gram matrices in; return the averages, with the current ones' gradient.

        seen: 0 if the views show nothing, which changes nothing, as do matrices that are not finite; else 1.
        """
        seen = self.count.new_ones(()) if seen is None else seen
        seen = seen * torch.stack([gram.detach().sum() for gram in grams.values()]).isfinite().all()
        count = self.count.to(seen)
        taken = seen * (1 - (count / (count + 1)).clamp(max=self.decay))
        self.count = count + seen
        averaged = {}
        for layer, gram in grams.items():
            value = gram.detach()
            before = self.state.get(layer, value).to(value)
            moved = torch.where(count > 0, torch.lerp(before, value, taken), value)
            self.state[layer] = torch.where(seen > 0, moved, before)
            averaged[layer] = gram + (self.state[layer] - value)
        return averaged

    def state_dict(self) -> dict[str, Any]:
        return {"state": dict(self.state), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state, self.count = dict(state["state"]), state["count"]


class Style:
    """The loss of `style`: a function of a View, with targets and Gram averages for each magnification as its state."""

    def __init__(
        self, images: Sequence[Image.Image], shares: Sequence[float], layers: Sequence[str] | None, scale: float,
        decay: float, toward: float, where: str, object_only: bool,
    ) -> None:  # fmt: skip
        self.images, self.shares, self.layers, self.scale, self.decay = images, shares, layers, scale, decay
        self.toward, self.where, self.object_only = toward, where, object_only
        self.targets: dict[str, dict[str, Tensor]] = {}
        self.averages: dict[str, GramEMA] = {}
        self.original_averages: dict[str, GramEMA] = {}

    def reset(self) -> None:
        """Forget targets and averages: they are of a network and a size of views."""
        self.targets, self.averages, self.original_averages = {}, {}, {}

    def state_dict(self) -> dict[str, Any]:
        """For every magnification the targets and both averages."""
        return {
            magnification: [
                targets,
                self.averages[magnification].state_dict(),
                self.original_averages[magnification].state_dict(),
            ]
            for magnification, targets in self.targets.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reset()
        for magnification, (targets, average, original) in state.items():
            self._take(magnification, targets)
            self.averages[magnification].load_state_dict(average)
            self.original_averages[magnification].load_state_dict(original)

    def _take(self, magnification: str, targets: dict[str, Tensor]) -> None:
        self.targets[magnification] = targets
        self.averages[magnification], self.original_averages[magnification] = GramEMA(self.decay), GramEMA(self.decay)

    def prepare(self, view: View) -> dict[str, Tensor]:
        """Gram matrices of the paintings as large as they are on the mesh, weighted with their shares."""
        layers = self.layers or view.extractor.style_layers
        if not layers:
            raise OptionError("the backbone has no style layers of its own; name some: style(image, layers=[...])")
        view.extractor.require(*layers)
        mixed = {layer: torch.zeros(()) for layer in layers}
        for image, share in zip(self.images, self.shares, strict=True):
            with torch.no_grad():
                features = view.extractor(on_mesh(image, self.scale, view))
            for layer in layers:
                mixed[layer] = mixed[layer].to(view.image.device) + share * gram_matrix(
                    positioned(features[layer], layer)
                )
        return mixed

    def __call__(self, view: View) -> Tensor:
        if view.magnification not in self.targets:
            self._take(view.magnification, self.prepare(view))
        goals = {layer: target.to(view.image.device) for layer, target in self.targets[view.magnification].items()}
        mask = view.where(self.where) if self.where else view.mask
        seen = distributed.averaged(mask.sum()).sign()
        if not self.object_only:
            mask = torch.ones_like(mask)
        averages = self.averages[view.magnification].update(gram_matrices(view.features, goals, mask), seen)
        if self.toward < 1:
            originals = gram_matrices(view.original_features, goals, mask)
            originals = self.original_averages[view.magnification].update(originals, seen)
            goals = {layer: torch.lerp(originals[layer], goal, self.toward) for layer, goal in goals.items()}
        losses = [F.l1_loss(averages[layer], goal) / goal.abs().mean() for layer, goal in goals.items()]
        return torch.stack(losses).sum() * seen


def style(
    image: Painting | Sequence[Painting], layers: Sequence[str] | None = None, scale: float = 1.1,
    decay: float = DECAY, *, blend: Sequence[float] | None = None, toward: float = 1.0, where: str = "",
    object_only: bool = True,
) -> Objective:  # fmt: skip
    """Look like a painting: the relative L1 distance of Gram matrices, summed over layers.

    Σ_l |E_l - G*_l|₁ / |G*_l|₁, with G* of the painting and E the moving average (GramEMA) of the object's, over
    foreground positions only. 0 is the painting's own texture statistics. Close-ups (View.zoom) have averages and
    targets of their own: the painting as large as it is there, or as large as its pixels allow.

    Args:
        image: the painting, at least 16 pixels a side; or several. A file, a Pillow image, or what else
            texopt.system.pictures.loaded takes: float [3,H,W] in [0,1], uint8 [H,W,3].
        layers: of the backbone; its own style layers by default.
        scale: length of the painting's shorter side on the object, in diameters of its bounding sphere, whatever the
            cameras and the size of the views. Smaller values give finer strokes.
        decay: of the moving average, per step.
        blend: shares of several paintings, by default equal: G* is the mean of theirs.
        toward: of 0 to 1: how far G* is from the original's own statistics (0) towards the painting's (1).
        where: the part of the surface that it is for, as texopt.render.regions names them; "" is all of it.
        object_only: False takes the background in as well, as the published method does.
    """
    check_scale(scale)
    check_toward(toward)
    GramEMA(decay)  # says what it cannot be
    images = several(image)
    shares = blend_shares(len(images), blend)
    pictures = [loaded(one, min_size=16) for one in images]
    return objective(Style(pictures, shares, layers, scale, decay, toward, where, object_only), "style")


def check_scale(scale: float) -> None:
    """OptionError for a size of the painting, in diameters of the mesh, that cannot be."""
    if not 0.05 <= scale <= 8.0:
        raise OptionError(f"the style's scale has to be between 0.05 and 8 diameters, not {scale}")


def check_toward(toward: float) -> None:
    """OptionError for a share of the way from the original to the painting that cannot be."""
    if not 0 <= toward <= 1:
        raise OptionError(f"toward has to be between 0 (the original) and 1 (the painting), not {toward}")
