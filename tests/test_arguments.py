"""Arguments of the drawing operations that cannot be: one sentence that begins with the argument's name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import texopt.raster as dr
from texopt import OptionError
from texopt.raster import portable

TRI = torch.tensor([[0, 1, 2]], dtype=torch.int32)
GOOD: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "rasterize": (dr.rasterize, {
        "ctx": dr.RasterizeContext(), "pos": torch.zeros(3, 4), "tri": TRI, "resolution": (4, 4),
        "ranges": torch.tensor([[0, 1]], dtype=torch.int32), "grad_db": True,
    }),
    "DepthPeeler": (dr.DepthPeeler, {
        "ctx": dr.RasterizeContext(), "pos": torch.zeros(1, 3, 4), "tri": TRI, "resolution": [4, 4], "grad_db": False,
    }),
    "interpolate": (dr.interpolate, {
        "attr": torch.zeros(1, 3, 2), "rast": torch.zeros(1, 4, 4, 4), "tri": TRI, "rast_db": torch.zeros(1, 4, 4, 4),
        "diff_attrs": [0, 1],
    }),
    "texture": (dr.texture, {
        "tex": torch.zeros(1, 8, 8, 3), "uv": torch.zeros(2, 4, 4, 2), "uv_da": torch.zeros(2, 4, 4, 4),
        "mip_level_bias": torch.zeros(2, 4, 4), "filter_mode": "auto", "boundary_mode": "wrap", "max_mip_level": 2,
    }),
    "antialias": (dr.antialias, {
        "color": torch.zeros(1, 4, 4, 3), "rast": torch.zeros(1, 4, 4, 4), "pos": torch.zeros(1, 3, 4), "tri": TRI,
        "topology_hash": dr.antialias_construct_topology_hash(TRI), "pos_gradient_boost": 1.0,
    }),
    "antialias_construct_topology_hash": (dr.antialias_construct_topology_hash, {"tri": TRI}),
    "texture_construct_mip": (dr.texture_construct_mip, {
        "tex": torch.zeros(1, 8, 8, 3), "max_mip_level": 2, "cube_mode": False,
    }),
    "mip_levels": (dr.mip_levels, {"height": 8, "width": 4}),
    "RasterizeContext": (dr.RasterizeContext, {"output_db": True, "device": "cpu"}),
    "RasterizeCudaContext": (dr.RasterizeCudaContext, {"device": None}),
    "RasterizeGLContext": (dr.RasterizeGLContext, {"output_db": False, "mode": "automatic", "device": "cpu"}),
    "set_log_level": (dr.set_log_level, {"level": 1}),
}  # fmt: skip
GOOD["portable"] = (portable.texture, GOOD["texture"][1])
OPTIONAL = {"ranges", "uv_da", "mip_level_bias", "max_mip_level", "topology_hash", "diff_attrs", "device"}


def wrong(name: str, good: Any) -> list[Any]:
    """What an argument cannot be that can be `good`."""
    found: list[Any] = [np.zeros((1, 3, 4), np.float32), {}, "nothing of this name", ["0"], torch.zeros((2,) * 6)]
    if isinstance(good, Tensor):
        other = torch.float16 if good.is_floating_point() else torch.int64
        found += [good.numpy(), good.tolist(), good.to("meta"), good[..., None], good.sum(), good.to_sparse(), 3, True]
        found += [good.to(torch.complex64)] + ([] if name == "uv" else [good.to(other)])
        found += [] if name in ("rast", "uv") else [good.flatten()]
    elif isinstance(good, bool):
        found += [None, 2, "True"]
    elif isinstance(good, (int, float)):
        found += [torch.ones(()), -1 if isinstance(good, int) else True, "1"]
    elif name == "resolution":
        found += [64, None, (64,), (4, 4, 4), (4.5, 4), ("4", "4"), (0, 4), torch.tensor(4), torch.ones(2) * 4, "44"]
    elif name == "diff_attrs":
        found += [torch.tensor([0, 1]), np.array([0]), [2], [-1], [0.5], [True], 0, "some"]
    elif isinstance(good, str) and name != "device":
        found += [None, 0]
    if name not in OPTIONAL and not isinstance(good, (bool, int, float)):
        found.append(None)
    return found


def taken(operation: str, name: str, value: Any, good: Any) -> bool:
    """Whether it is nothing wrong: portable.texture takes any floating type, on any device that is the texture's."""
    alike = isinstance(value, Tensor) and isinstance(good, Tensor) and value.shape == good.shape
    plain = alike and value.is_floating_point() and value.layout == torch.strided
    return operation == "portable" and plain and (name == "tex" or value.device.type == "cpu")


CASES = [
    pytest.param(operation, name, value, id=f"{operation}-{name}-{number}")
    for operation, (_, arguments) in GOOD.items()
    for name, good in arguments.items()
    for number, value in enumerate(wrong(name, good))
    if not taken(operation, name, value, good)
]


@pytest.mark.parametrize("operation", GOOD)
def test_the_right_arguments_are_taken(operation: str) -> None:
    call, arguments = GOOD[operation]
    call(**arguments)
    assert dr.get_log_level() == 1


@pytest.mark.parametrize(("operation", "name", "value"), CASES)
def test_a_wrong_argument_is_named_in_one_sentence(operation: str, name: str, value: Any) -> None:
    call, arguments = GOOD[operation]
    with pytest.raises(OptionError, match=rf"^{name}\b") as caught:
        call(**(arguments | {name: value}))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_what_a_numpy_array_has_to_become_is_said() -> None:
    with pytest.raises(OptionError, match=r"tri has to be a torch\.int32 tensor.*not a numpy array.*torch\.from_numpy"):
        dr.rasterize(dr.RasterizeContext(), torch.zeros(1, 3, 4), TRI.numpy(), (4, 4))  # type: ignore[arg-type]


@pytest.mark.parametrize("mip", [np.zeros(3), 3, [np.zeros((1, 4, 4, 3))], [torch.zeros(1, 2, 2, 3)], "auto"])
def test_a_wrong_mip_is_named(mip: Any) -> None:
    arguments = GOOD["texture"][1] | {"mip": mip}
    for call in (dr.texture, portable.texture):
        with pytest.raises(OptionError, match=r"^mip\b"):
            call(**arguments)


def test_indices_of_attributes_may_be_any_sequence() -> None:
    call, arguments = GOOD["interpolate"]
    for chosen in ([0, 1], (0, 1), range(2), "all", [np.int64(0), 1]):
        assert call(**(arguments | {"diff_attrs": chosen}))[1].shape == (1, 4, 4, 4)
    for none in ([], None):
        assert call(**(arguments | {"diff_attrs": none}))[1].shape == (1, 4, 4, 0)


# Levels of the log, and contexts of manual mode.


def test_the_log_level_is_what_was_set() -> None:
    try:
        for level in (0, 3, 2, 1):
            dr.set_log_level(level)
            assert dr.get_log_level() == level
    finally:
        dr.set_log_level(1)


def draw(ctx: dr.RasterizeContext) -> Tensor:
    pos = torch.tensor([[[-1.0, -1, 0, 1], [3, -1, 0, 1], [-1, 3, 0, 1]]])
    return dr.rasterize(ctx, pos, TRI, (4, 4))[0]


def test_a_manual_context_draws_between_set_and_release() -> None:
    ctx = dr.RasterizeGLContext(mode="manual")
    expected = draw(dr.RasterizeContext())
    for _ in range(2):
        with pytest.raises(OptionError, match=r"ctx .*set_context"):
            draw(ctx)
        with pytest.raises(OptionError, match=r"ctx .*set_context\(\) before"):
            ctx.release_context()
        ctx.set_context()
        ctx.set_context()  # as in OpenGL, where it is current already
        assert torch.equal(draw(ctx), expected)
        with dr.DepthPeeler(ctx, torch.zeros(1, 3, 4), TRI, (4, 4)) as peeler:
            peeler.rasterize_next_layer()
        ctx.release_context()
    with (
        dr.DepthPeeler(ctx, torch.zeros(1, 3, 4), TRI, (4, 4)) as peeler,
        pytest.raises(OptionError, match=r"ctx .*set_context"),
    ):
        peeler.rasterize_next_layer()


def test_a_manual_context_is_set_in_one_thread() -> None:
    ctx, said = dr.RasterizeGLContext(mode="manual"), []

    def elsewhere() -> None:
        for call in (lambda: draw(ctx), ctx.set_context, ctx.release_context):
            try:
                call()
            except OptionError as error:
                said.append(str(error))

    ctx.set_context()
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(said) == 3
    assert all("thread" in message for message in said)
    assert len(draw(ctx))
    ctx.release_context()


@pytest.mark.parametrize("call", ["set_context", "release_context"])
def test_an_automatic_context_is_set_by_nobody(call: str) -> None:
    ctx = dr.RasterizeGLContext()
    with pytest.raises(OptionError, match=f"{call}.*manual"):
        getattr(ctx, call)()
    draw(ctx)
