"""The oracle of the texture look-up, held against finite differences and values known by hand."""

from __future__ import annotations

import pytest
import texture_oracle as oracle
import torch
from texture_cases import BOUNDARIES, MODES, custom_stack, random_arguments


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", [*BOUNDARIES, "cube"])
@pytest.mark.parametrize("custom", [False, True])
def test_oracle_passes_gradcheck(mode: str, boundary: str, custom: bool) -> None:
    arguments = random_arguments(20, (4, 4), boundary, shape=(1, 4))
    names = ["tex", "uv", "uv_da", "mip_level_bias"]
    inputs = [arguments[name] for name in names] + (custom_stack(0, arguments["tex"], 2) if custom else [])

    def texture(*inputs: torch.Tensor) -> torch.Tensor:
        mip = list(inputs[4:]) if custom else None
        return oracle.texture(
            **dict(zip(names, inputs[:4], strict=True)), mip=mip, filter_mode=mode, boundary_mode=boundary
        )

    assert torch.autograd.gradcheck(texture, [x.double().requires_grad_() for x in inputs], fast_mode=True)


def test_places_are_the_texel_centres_of_the_documented_faces() -> None:
    """The first texel of each face of two by two, on the cube: minimal s and t."""
    expected = [[2, 1, 1], [-2, 1, -1], [-1, 2, -1], [-1, -2, 1], [-1, 1, 2], [1, 1, -2]]
    assert (2 * oracle.places(2)[:, 0, 0]).tolist() == expected


def test_neighbours_beyond_the_borders_are_mutual() -> None:
    size = 4
    for face in range(6):
        for i in range(size):
            for row, column in ((-1, i), (size, i), (i, -1), (i, size)):
                other, y, x = oracle.neighbour(face, row, column, size)
                assert other != face
                beyond = [(-1, x)] * (y == 0) + [(size, x)] * (y == size - 1)
                beyond += [(y, -1)] * (x == 0) + [(y, size)] * (x == size - 1)
                own = (face, min(max(row, 0), size - 1), min(max(column, 0), size - 1))
                assert own in [oracle.neighbour(other, *b, size) for b in beyond]


@pytest.mark.parametrize(
    ("texel", "neighbour"),
    [
        ((0, 1, -1), (4, 1, 3)),  # +x's first column continues in +z's last, at the same height
        ((4, 2, 4), (0, 2, 0)),
        ((4, -1, 1), (2, 3, 1)),  # above +z is +y's last row (z grows along rows of +y)
        ((2, -1, 1), (5, 0, 2)),  # above +y is -z's first row, backwards
        ((1, 4, 0), (3, 3, 0)),  # below -x: -y's first column, row 0 (z = -1) at the other end
        ((0, 4, 0), (3, 0, 3)),  # below +x: -y's last column
    ],
)
def test_neighbours_known_by_hand(texel: tuple[int, int, int], neighbour: tuple[int, int, int]) -> None:
    assert oracle.neighbour(*texel, 4) == neighbour
