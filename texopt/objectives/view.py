"""View: what an objective is given, one step's renderings."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.features.extractor import Activations, FeatureExtractor
from texopt.features.view_sizes import resized
from texopt.render.cameras import Cameras
from texopt.render.finish import PixelFinish
from texopt.render.fragments import Fragments
from texopt.render.surface import Geometry, Sharp


@dataclass(eq=False)
class View:
    """What an objective is given: one step's renderings.

    image: float32 [B,3,H,W] in [0,1], sRGB: the textured object over the step's background; differentiable.
    mask: float32 [B,1,H,W], 1 where the object is, without what of it is kept (materials, or a painted mask).
    original: as image, with the mesh's original texture, over the same background.
    features, original_features: activations by layer name, [B,C,h,w]. One forward pass of the network gives all the
        layers that the objective uses; the first use of a layer makes it one of them.
    extractor: the network the features are of.
    seams: float32 [2,N,3], or 4 with opacity, the texture's colours on the two sides of N random points on UV seams;
        differentiable.
    scale: pixels that one radius of the mesh spans in the middle of a view, averaged over the run's cameras that have
        this view's zoom.
    step, steps: of the run, for objectives that change with time.
    zoom: how many times closer than the run's other views this one looks; 1 but for close-ups.
    regions: from a text as of texopt.render.regions to that part of the mask; see `where`.
    frame: int64 [B], which of several pictures each image is of; see Cameras. frames: how many there are.
    alpha: float32 [B,1,H,W], opacity of the object at each pixel, 0 beside it; differentiable where textures have it,
        or the run has a shape, whose silhouettes cover pixels in part.
    cameras: that the renderings are of, None where they are of none. They see the part of the mesh that is optimised in
        the unit sphere, x = (point - center) / radius with `center, radius = mesh.normalization(optimized=True)`.
    lit: whether they are under light.
    geometry: what `fragments`, `position`, `normal`, `depth`, `to_camera` and `finish` are made of, None where there is
        no mesh.

    These are made when they are asked for. They belong to the image pixel by pixel: what transforms the image
    moves them too. Coordinates are the mesh's own, those of its file (a glTF scene's are its world's), not the unit
    sphere's. Gradients flow back through them to the vertices where the run has a shape, and through `finish` to a
    relief.
    """

    image: Tensor
    mask: Tensor
    original: Tensor
    features: Mapping[str, Tensor]
    original_features: Mapping[str, Tensor]
    extractor: FeatureExtractor
    seams: Tensor
    scale: float
    step: int = 0
    steps: int = 1
    zoom: float = 1.0
    regions: Callable[[str], Tensor] | None = None
    frame: Tensor = None  # type: ignore[assignment]  # zeros
    frames: int = 1
    alpha: Tensor = None  # type: ignore[assignment]  # the mask
    cameras: Cameras | None = None
    lit: bool = False
    geometry: Geometry | None = None
    _changed: dict[Any, View | None] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.frame is None:
            self.frame = torch.zeros(len(self.image), dtype=torch.int64)
        if self.alpha is None:
            self.alpha = self.mask

    def with_image(self, image: Tensor, *, original: Tensor | None = None, mask: Tensor | None = None) -> View:
        """The same view with another image, and the features of that: under a light, through a lens, in grey.

        Its original, mask and all else stay as they are unless they are given; `texopt.on` has objectives look at it.

        Args:
            image: float [B,3,H,W], as large as the view's own; of it, for the gradient to reach the texture.
            original: [B,3,H,W], that is compared with it, with its features.
            mask: [B,1,H,W] of 0 and 1.

        OptionError where a size is another.
        """
        changed: dict[str, Any] = {}
        for name, values in (("image", image), ("original", original), ("mask", mask)):
            if values is None:
                continue
            wanted = getattr(self, name).shape
            if not isinstance(values, Tensor) or values.shape != wanted:
                got = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
                raise OptionError(f"with_image takes {name} as large as the view's own, {list(wanted)}, not {got}")
            changed[name] = values
        for name, of in (("features", "image"), ("original_features", "original")):
            if of in changed:
                known = getattr(self, name)
                if not isinstance(known, Activations):
                    known = Activations(self.extractor, image, set(known), name == "features")
                changed[name] = known.of(changed[of])
        return replace(self, **changed)

    def at(self, size: float, layers: Iterable[str] = ()) -> View:
        """The same view drawn smaller: image, mask, original, alpha and their features; it has no geometry.

        size: of its sides, a share of those of this one, about: they are whole strides of the network. layers: of the
        features, that are known to be asked for; those of one pass through the network.
        """
        if size == 1:
            return self
        known = self._changed.get((size, "at"))
        if known is None:
            small, regions = partial(resized, share=size, stride=self.extractor.stride), self.regions

            def small_region(region: str) -> Tensor:
                assert regions
                return small(regions(region))

            image, original, wanted = small(self.image), small(self.original), set(layers)
            known = replace(
                self, image=image, mask=small(self.mask), original=original, alpha=small(self.alpha),
                features=Activations(self.extractor, image, wanted),
                original_features=Activations(self.extractor, original, set(wanted), False),
                regions=regions and small_region, scale=self.scale * size, geometry=None,
            )  # fmt: skip
            self._changed[size, "at"] = known
        return known

    def changed(self, change: Callable[[View], View]) -> View:
        """What a function makes of this view. It is called once, so that all who ask share the features.

        OptionError where it does not return a View.
        """
        key = change if isinstance(change, Hashable) else id(change)
        if key not in self._changed:
            made = change(self)
            if not isinstance(made, View):
                got = type(made).__name__
                raise OptionError(f"a change has to return a View, as view.with_image(...) does, not {got}")
            self._changed[key] = None if made is self else made  # no cycle, which would keep a step's memory
        return self._changed[key] or self

    @property
    def magnification(self) -> str:
        """A name for its zoom, its scale and whether it is lit; what an objective remembers is of each its own."""
        known = f"zoom {self.zoom:.6g}, scale {self.scale:.6g}"
        return f"{known}, lit" if self.lit else known

    @property
    def along(self) -> Tensor:
        """How far along the frames each image is, float32 [B]: 0 is the first, 1 the last."""
        return self.frame.to(self.image) / max(self.frames - 1, 1)

    @property
    def fragments(self) -> Fragments:
        """What the rasteriser found at every pixel: faces, barycentrics, UVs. Where the image was transformed, what it
        found at the nearest pixel."""
        return self.known_geometry().fragments

    @property
    def position(self) -> Tensor:
        """Which point of the surface each pixel shows: float32 [B,3,H,W], zeros where nothing is."""
        return self.known_geometry().position

    @property
    def normal(self) -> Tensor:
        """The surface's normal, as of Fragments.normal: float32 [B,3,H,W] of length 1, zeros where nothing is."""
        return self.known_geometry().normal

    @property
    def to_camera(self) -> Tensor:
        """From each pixel's point of the surface to the camera: float32 [B,3,H,W] of length 1, zeros where nothing
        is."""
        return self.known_geometry().to_camera

    @property
    def depth(self) -> Tensor:
        """How far the surface is from the camera along the line of sight, in the units of the mesh: float32 [B,1,H,W],
        zeros where nothing is. (`fragments.depth` is z/w.)"""
        return self.known_geometry().depth

    @property
    def finish(self) -> PixelFinish:
        """Shading normal, roughness and metal at each pixel: of a texopt.Relief, over those of the mesh's own maps."""
        return self.known_geometry().finish

    @property
    def original_finish(self) -> PixelFinish:
        """The same of the mesh's own maps."""
        return self.known_geometry().original_finish

    @property
    def sharp(self) -> Sharp | None:
        """Its images before silhouettes were smoothed; None where no shape is optimised, or the image was changed."""
        found = None if self.geometry is None else self.geometry.sharp
        return found if found is not None and found.smoothed is self.image else None

    def known_geometry(self) -> Geometry:
        """The geometry. OptionError where there is none."""
        if self.geometry is None:
            raise OptionError("this view knows no geometry; optimize() makes views that do")
        return self.geometry

    def detached(self) -> View:
        """The same without gradients: what keeps it keeps nothing of how it was computed."""
        image = self.image.detach()
        return replace(
            self, image=image, seams=self.seams.detach(), alpha=self.alpha.detach(),
            features=Activations(self.extractor, image, set(), False),
            original_features=Activations(self.extractor, self.original, set(), False),
            geometry=self.geometry and replace(self.geometry),
        )  # fmt: skip

    def where(self, region: str) -> Tensor:
        """The mask within a part of the surface: a material, or what is white in an image painted on the UVs."""
        if self.regions is None:
            raise OptionError("this view knows no regions; optimize() makes views that do")
        return self.mask * self.regions(region)
