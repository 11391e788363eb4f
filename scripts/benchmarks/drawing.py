"""Tasks for worker.py: milliseconds of drawing, of files, of the first call, and of parts of a step by themselves."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import texopt
import texopt.raster as dr
from texopt.io.export import export
from texopt.render.look_up import look_up
from texopt.render.scene import Scene


def median_ms(function: Callable[[], object], repeat: int) -> float:
    function()  # compile, allocate
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def drawing(mesh: str, repeat: int) -> dict[str, float]:
    """Times of drawing one mesh: the operations of texopt.raster, then a step's use of them."""
    loaded = texopt.load_mesh(mesh)
    scene, camera = Scene(loaded), texopt.fixed_views(3)[1:2]
    clip = camera.project(scene.vertices.double()).float().contiguous()
    context, tri, uvs, uv_tri = dr.RasterizeContext(), scene.faces, scene.uvs, scene.face_uvs
    times: dict[str, float] = {}
    for size in (512, 2048):
        times[f"rasterise {size}²"] = median_ms(
            lambda size=size: dr.rasterize(context, clip, tri, (size, size)), repeat
        )
    rast, rast_db = dr.rasterize(context, clip, tri, (512, 512))
    uv, uv_da = dr.interpolate(uvs, rast, uv_tri, rast_db, "all")
    seen = (rast[..., 3:] > 0).float().expand(-1, -1, -1, 3).contiguous()
    for size in (1024, 4096):
        tex = torch.rand(1, size, size, 3, requires_grad=True)

        def draw(tex: torch.Tensor = tex) -> None:
            rast, rast_db = dr.rasterize(context, clip, tri, (512, 512))
            uv, uv_da = dr.interpolate(uvs, rast, uv_tri, rast_db, "all")
            torch.autograd.grad(dr.texture(tex, uv, uv_da), tex, seen)

        times[f"rasterise 512², trilinear look-up {size}², backward"] = median_ms(draw, repeat)
        times[f"  of it the mip stack {size}²"] = median_ms(lambda tex=tex: dr.texture_construct_mip(tex), repeat)
        out = dr.texture(tex, uv, uv_da)  # whose gradient, where nothing is seen, is that of the mip stack alone
        times[f"  of it the mip stack's gradient {size}²"] = median_ms(
            lambda tex=tex, out=out: torch.autograd.grad(out, tex, torch.zeros_like(out), retain_graph=True), repeat
        )
    color = torch.rand(1, 512, 512, 3)
    topology = dr.antialias_construct_topology_hash(tri)
    vertices = clip.clone().requires_grad_()
    rast, rast_db = dr.rasterize(context, vertices, tri, (512, 512))
    image = dr.antialias(color, rast, vertices, tri, topology)
    times["antialias 512²"] = median_ms(lambda: dr.antialias(color, rast, clip, tri, topology), repeat)
    times["  its gradient to the vertices"] = median_ms(
        lambda: torch.autograd.grad(image, vertices, color, retain_graph=True), repeat
    )
    times["gradient of barycentrics to the vertices 512²"] = median_ms(
        lambda: torch.autograd.grad(rast, vertices, torch.ones_like(rast), retain_graph=True), repeat
    )
    image = loaded.originals([(1024, 1024)])[0].requires_grad_()

    def step() -> None:
        fragments = scene.rasterize(camera, 512)
        image.grad = None
        (look_up(image, fragments) * fragments.mask[:, None]).sum().backward()

    times["the same in a step: images with their rows last, masks, sums"] = median_ms(step, repeat)
    return times


def torus(triangles: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """vertices float32 [V,3], UVs float32 [V,2], faces int32 [F,3] of a torus of about so many triangles."""
    around, across = round((2 * triangles) ** 0.5), round((triangles / 8) ** 0.5)
    a, b = (2 * torch.pi * torch.arange(n) / n for n in (around, across))
    ring = 0.7 + 0.3 * b.cos()
    x, y, z = a.cos()[:, None] * ring, a.sin()[:, None] * ring, (0.3 * b.sin()).expand(around, -1)
    index = torch.arange(around * across).reshape(around, across)
    right, down, both = index.roll(-1, 0), index.roll(-1, 1), index.roll((-1, -1), (0, 1))
    tri = torch.stack([index, right, both, index, both, down], -1).reshape(-1, 3).int()
    uvs = torch.stack([a[:, None].expand(-1, across), b.expand(around, -1)], -1) / (2 * torch.pi)
    return torch.stack([x, y, z], -1).reshape(-1, 3), uvs.reshape(-1, 2), tri


def growth(repeat: int) -> dict[str, float]:
    """Times of rasterising a torus of more and more triangles at 512²."""
    times: dict[str, float] = {}
    camera = texopt.fixed_views(3)[1:2]
    for triangles in (10_000, 100_000, 1_000_000):
        vertices, _, tri = torus(triangles)
        clip = camera.project(vertices.double()).float().contiguous()
        times[f"rasterise {len(tri):,} triangles, 512²"] = median_ms(
            lambda clip=clip, tri=tri: dr.rasterize(dr.RasterizeContext(), clip, tri, (512, 512)), repeat
        )
    return times


def files() -> dict[str, float]:
    """Times of importing and exporting a mesh of a million triangles, with normals and a 1024² texture, once each."""
    vertices, uvs, tri = (values.numpy() for values in torus(1_000_000))
    mesh = texopt.Mesh(
        "million", vertices.astype("f8"), tri, uvs.astype("f8"), tri, vertices.astype("f8"), tri,
        (texopt.TextureMap(np.full((1, 1, 3), 128, np.uint8)),),
    )  # fmt: skip
    image = torch.rand(3, 1024, 1024)
    times: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        times[name] = 1000 * (time.perf_counter() - start)
        return result

    with tempfile.TemporaryDirectory() as folder:
        for ending in ("obj", "glb"):
            path = Path(folder, f"million.{ending}")
            timed(f"{len(tri):,} triangles to {ending}", lambda path=path: export(mesh, image, path))
            again = timed(f"  read {ending}", lambda path=path: texopt.load_mesh(path))
            copy = Path(folder, f"again.{ending}")
            timed(
                f"  {ending} as it came, with a new texture", lambda again=again, copy=copy: export(again, image, copy)
            )
    return times


FIRST_CALL = """
import time, torch
start = time.perf_counter()
import texopt.raster as dr
pos = torch.tensor([[[-1.0, -1, 0, 1], [1, -1, 0, 1], [0, 1, 0, 1]]])
tri = torch.tensor([[0, 1, 2]], dtype=torch.int32)
rast, rast_db = dr.rasterize(dr.RasterizeContext(), pos, tri, (64, 64))
uv, uv_da = dr.interpolate(torch.rand(1, 3, 2), rast, tri, rast_db, "all")
dr.texture(torch.rand(1, 64, 64, 3, requires_grad=True), uv, uv_da).sum().backward()
print(time.perf_counter() - start)
"""


def first_call() -> dict[str, float]:
    """Times until a fresh process has drawn a triangle and has the gradient of its texture, after `import torch`."""
    times: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("compiling the kernels", "with compiled kernels"):
            run = subprocess.run(
                [sys.executable, "-c", FIRST_CALL],
                env=os.environ | {"NUMBA_CACHE_DIR": folder}, capture_output=True, text=True, check=True,
            )  # fmt: skip
            times[f"import, rasterise, look up, backward; {name}"] = 1000 * float(run.stdout)
    return times


def parts(repeat: int) -> dict[str, float]:
    """Times of the other parts of a step: texture, network."""
    times: dict[str, float] = {}
    for size in (1024, 2048):
        texture = texopt.FourierTexture(size)
        adam = torch.optim.Adam(texture.parameters())

        def decode(texture: texopt.FourierTexture = texture, adam: torch.optim.Adam = adam) -> None:
            adam.zero_grad()
            texture.decode().sum().backward()
            adam.step()

        times[f"Fourier decode {size}², backward, Adam"] = median_ms(decode, max(repeat // 3, 3))
    extractor = texopt.load_backbone()
    extractor.require(*extractor.style_layers)
    for size in (384, 512):
        image = torch.rand(1, 3, size, size, requires_grad=True)
        times[f"network {size}², forward, backward"] = median_ms(
            lambda image=image: sum(values.sum() for values in extractor(image).values()).backward(), repeat
        )
    a = torch.rand(1024, 1024)
    times["matmul 1024³"] = median_ms(lambda: a @ a, repeat)
    return times
