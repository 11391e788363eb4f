#!/usr/bin/env python
"""Time Mitsuba 3 on the CPU at what texopt does in a step: a textured view, and its gradient to the texture.

    DRJIT_LIBLLVM_PATH=.../libLLVM.so.19.1 python scripts/benchmark_mitsuba.py MESH.obj [--texture PNG] [--picture PNG]

Prints JSON: milliseconds, medians of wall-clock times. Needs `pip install mitsuba` (texopt itself does not) and a
libLLVM of version 16 or newer: Debian's libllvm19, say. scripts/benchmark --mitsuba PYTHON shows it beside texopt.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


def median_ms(function: Callable[[], object], repeat: int) -> float:
    for _ in range(3):  # compile, allocate
        function()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def measure_mitsuba(
    mesh_path: Path, size: int, texture_size: int, repeat: int, texture: Path | None = None, picture: Path | None = None
) -> dict[str, float]:
    """Times of Mitsuba 3, llvm_ad_rgb: albedo at one sample per pixel; {} where it or a libLLVM for it is missing.

    "render" is `mi.render` with the aov integrator; "rays" is barer and faster: rays through the pixels' centres, no
    sampler, no film, Dr.Jit's bilinear texture. Neither has mipmaps. Every step starts from a new texture, as an
    optimiser's does. texture: what to draw, by default noise. picture: where to save the two views.
    """
    if importlib.util.find_spec("mitsuba") is None:
        return {}
    import drjit as dr
    import mitsuba as mi
    import numpy as np

    # before 16 LLVM's x86 backend lacks an instruction that Dr.Jit uses, and aborts the process
    if not dr.has_backend(dr.JitBackend.LLVM) or dr.detail.llvm_version()[0] < 16:
        return {}
    mi.set_variant("llvm_ad_rgb")
    pixels = np.random.default_rng(0).random((texture_size, texture_size, 3), np.float32)
    if texture is not None:
        bitmap = mi.Bitmap(str(texture)).convert(mi.Bitmap.PixelFormat.RGB, mi.Struct.Type.Float32, srgb_gamma=True)
        pixels = np.array(bitmap.resample([texture_size, texture_size]))
    shape: dict[str, Any] = {"type": "obj", "filename": str(mesh_path), "face_normals": True}
    points = mi.traverse(mi.load_dict(shape))["vertex_positions"].numpy().reshape(-1, 3)
    center = (points.min(0) + points.max(0)) / 2
    radius = float(np.linalg.norm(points - center, axis=1).max())
    shape["to_world"] = mi.ScalarTransform4f().scale(1 / radius).translate((-center).tolist())
    shape["bsdf"] = {"type": "diffuse", "reflectance": {"type": "bitmap", "data": mi.TensorXf(pixels), "raw": True}}
    angle = 1.5 * math.pi * (1 + math.sqrt(5))  # as texopt.fixed_views(3)[1:2]
    film = {"type": "hdrfilm", "width": size, "height": size, "component_format": "float32", "rfilter": {"type": "box"}}
    sensor = {"type": "perspective", "fov": 10.0, "near_clip": 1.0, "far_clip": 100.0, "film": film}
    eye = [11 * math.sin(angle), 0, 11 * math.cos(angle)]
    sensor["to_world"] = mi.ScalarTransform4f().look_at(eye, target=[0, 0, 0], up=[0, 1, 0])
    albedo = {"type": "aov", "aovs": "albedo:albedo"}
    scene = mi.load_dict({"type": "scene", "integrator": albedo, "mesh": shape, "sensor": sensor})
    params = mi.traverse(scene)

    def render(image: Any) -> Any:
        params["mesh.bsdf.reflectance.data"] = image
        params.update()
        return mi.render(scene, params, spp=1)[:, :, -3:]

    def rays(image: Any) -> Any:
        pixel = dr.arange(mi.UInt32, size * size)
        position = (mi.Point2f(pixel % size, pixel // size) + 0.5) / size
        ray, _ = scene.sensors()[0].sample_ray(0, 0, position, 0)
        hit = scene.ray_intersect(ray, ray_flags=mi.RayFlags.UV, coherent=True)
        dr.eval(hit.uv, hit.t)  # else the backward pass traces them again
        color = mi.Texture2f(image, wrap_mode=dr.WrapMode.Repeat).eval(hit.uv)
        return mi.TensorXf(dr.ravel(dr.select(hit.is_valid(), mi.Color3f(color), 0)), (size, size, 3))

    def step(draw: Callable[[Any], Any], backward: bool) -> Any:
        image = mi.TensorXf(pixels)
        dr.set_grad_enabled(image, backward)
        result = draw(image)
        if backward:
            dr.backward(dr.sum(result))
        result = dr.grad(image) if backward else result
        dr.eval(result)
        dr.sync_thread()
        return result

    times: dict[str, float] = {}
    for name, draw in (("render", render), ("rays", rays)):
        for backward in (False, True):
            key = f"Mitsuba {name} {size}², look up {texture_size}²{', backward' if backward else ''}"
            times[key] = median_ms(partial(step, draw, backward), repeat)
        if picture is not None:
            view = (np.array(step(draw, False)).clip(0, 1) * 255).round().astype(np.uint8)
            mi.Bitmap(view).write(str(picture.with_stem(f"{picture.stem}-{name}")))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("mesh", type=Path)
    parser.add_argument("--texture", type=Path, help="what to draw; noise without it")
    parser.add_argument("--picture", type=Path, help="save the views there, with the way's name added")
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args()
    times = measure_mitsuba(options.mesh, 512, 1024, options.repeat, options.texture, options.picture)
    print(json.dumps(times, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
