"""The mesh that options name."""

from __future__ import annotations

from texopt.cli.options.runs import RunConfig
from texopt.cli.options.texts import listed, masks
from texopt.io.load import load_mesh
from texopt.mesh.mesh import Mesh


def load(config: RunConfig) -> Mesh:
    """The mesh of a run, with what its options leave out of it."""
    return load_mesh(
        config.mesh, config.unwrap, only=listed(config.only), skip=listed(config.skip), mask=masks(config.mask),
        texture_size=config.texture_size,
    )  # fmt: skip


def described(mesh: Mesh, sizes: list[int]) -> str:
    """The textures of a run in a few words."""
    kept = len(mesh.maps) - len(sizes)
    several = f"{min(sizes)}² to {max(sizes)}²" if min(sizes) < max(sizes) else f"{sizes[0]}²"
    text = f"texture {several}" if len(sizes) == 1 else f"{len(sizes)} textures of {several}"
    return text + (f" ({kept} kept)" if kept else "")
