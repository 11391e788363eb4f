"""What the tests of the texture look-up share: random arguments, and a look-up with all of its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import texture_oracle as oracle
import torch
from torch import Tensor

MODES = ["nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear"]
BOUNDARIES = ["wrap", "clamp", "zero"]
SIZES = [
    ((16, 16), None),
    ((8, 32), None),
    ((12, 20), 2),
    ((1, 8), None),
    ((4, 1), None),
    ((7, 5), 0),
]  # and top levels

Arguments = dict[str, Any]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_arguments(
    seed: int,
    size: tuple[int, int],
    boundary_mode: str = "wrap",
    textures: int = 1,
    batch: int = 1,
    shape: tuple[int, int] = (9, 13),
    channels: int = 3,
) -> Arguments:
    """A texture, points in it and around it, and footprints from a hundredth of a texel to beyond all of it."""
    generator, cube = seeded(seed), boundary_mode == "cube"
    tex = torch.rand(textures, *([6] if cube else []), *size, channels, generator=generator) * 2 - 1
    uv = torch.rand(batch, *shape, 2, generator=generator) * (4 if boundary_mode == "wrap" else 1.6)
    uv -= 1.5 if boundary_mode == "wrap" else 0.3
    magnitude = 10 ** (3 * torch.rand(batch, *shape, 1, generator=generator) - 2.5)
    if cube:
        lengths = 10 ** torch.randn(batch, *shape, 1, generator=generator)
        uv = lengths * torch.randn(batch, *shape, 3, generator=generator)
        magnitude = magnitude * uv.norm(dim=-1, keepdim=True)
    uv_da = magnitude * torch.randn(batch, *shape, 6 if cube else 4, generator=generator)
    bias = 1.5 * torch.randn(batch, *shape, generator=generator)
    return {"tex": tex, "uv": uv, "uv_da": uv_da, "mip_level_bias": bias, "boundary_mode": boundary_mode}


def custom_stack(seed: int, tex: Tensor, levels: int) -> list[Tensor]:
    """Random levels, 1 upwards, that have nothing to do with the texture's own."""
    generator = seeded(seed)
    return [torch.randn(level.shape, generator=generator) for level in oracle.mip_pyramid(tex, levels)[1:]]


def random_cotangent(arguments: Arguments, seed: int = 0) -> Tensor:
    shape = (*arguments["uv"].shape[:3], arguments["tex"].shape[-1])
    return torch.randn(shape, generator=seeded(seed))


def outcome(
    texture: Callable[..., Tensor], arguments: Arguments, cotangent: Tensor, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """The look-up ("out") and, by the argument's name, its gradient to every tensor; zeros where there is none."""

    def leaf(value: Any) -> Any:
        if isinstance(value, list):
            return [leaf(v) for v in value]
        return value.detach().to(dtype).requires_grad_() if isinstance(value, Tensor) else value

    leaves = {name: leaf(value) for name, value in arguments.items()}
    out = texture(**leaves)
    out.backward(cotangent.to(dtype))
    results = {"out": out.detach()}
    for name, value in leaves.items():
        for i, tensor in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(tensor, Tensor):
                results[name + (f" {i}" if isinstance(value, list) else "")] = (
                    torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
                )
    return results


def assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Equal up to a tolerance, relative to the largest entry of each tensor where that is above one."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(1.0, float(value.abs().max()))
        torch.testing.assert_close(
            actual[name].double(), value.double(), rtol=0, atol=tolerance * scale, msg=lambda m, n=name: f"{n}: {m}"
        )
