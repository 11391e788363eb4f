"""Light: the material as glTF has it, environments, and views under a light."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import make_cube
from torch import Generator, Tensor

import texopt
from texopt import Light, Mesh, OptionError, View
from texopt.render.shading import DIELECTRIC
from texopt.system.srgb import to_linear, to_srgb


def random_unit(count: int, generator: Generator) -> Tensor:
    return F.normalize(torch.randn(count, 3, generator=generator, dtype=torch.float64), dim=-1)


def some(count: int = 64, lights: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Light]:
    """Base colours, normals, eyes on their side, roughness, metallic, light: of pixels, float64."""
    generator = Generator().manual_seed(seed)
    base, normal = torch.rand(count, 3, generator=generator, dtype=torch.float64), random_unit(count, generator)
    eye = F.normalize(normal + 0.9 * random_unit(count, generator), dim=-1)
    rough, metal = torch.rand(2, count, 1, generator=generator, dtype=torch.float64)
    toward = torch.stack([F.normalize(normal + 1.2 * random_unit(count, generator), dim=-1) for _ in range(lights)], 1)
    colors = torch.rand(count, lights, 3, generator=generator, dtype=torch.float64)
    environment = 0.1 * torch.randn(count, 9, 3, generator=generator, dtype=torch.float64)
    environment[:, 0] += 3
    return base, normal, eye, 0.1 + 0.9 * rough, metal, Light(toward, colors, environment)


def dark(count: int) -> Tensor:
    return torch.zeros(count, 9, 3, dtype=torch.float64)


def gltf(base: list[float], n: Tensor, v: Tensor, light: Tensor, roughness: float, metallic: float) -> list[float]:
    """The specification's appendix B, term by term, for one light of illuminance 1."""

    def dot(a: Tensor, b: Tensor) -> float:
        return float((a * b).sum())

    h = (v + light) / (v + light).norm()
    alpha = roughness * roughness
    cos_l, cos_v, cos_h, angle = dot(n, light), dot(n, v), dot(n, h), abs(dot(v, h))
    if cos_l <= 0:
        return [0.0] * 3
    d = alpha**2 / (math.pi * (cos_h**2 * (alpha**2 - 1) + 1) ** 2)
    g = 1.0
    for cosine in (cos_l, cos_v):
        g *= 2 * cosine / (cosine + math.sqrt(alpha**2 + (1 - alpha**2) * cosine**2))
    specular = d * g / (4 * cos_l * cos_v)
    found = []
    for color in base:
        metal = specular * (color + (1 - color) * (1 - angle) ** 5)
        share = 0.04 + (1 - 0.04) * (1 - angle) ** 5
        dielectric = (1 - share) * color / math.pi + share * specular
        found.append(((1 - metallic) * dielectric + metallic * metal) * cos_l)
    return found


def test_a_light_is_reflected_as_the_specification_has_it() -> None:
    base, normal, eye, rough, metal, light = some(lights=1)
    light = Light(light.directions, torch.ones_like(light.colors), dark(64))
    found = texopt.shade(base, normal, eye, rough, metal, light)
    for index in range(64):
        wanted = gltf(
            base[index].tolist(), normal[index], eye[index], light.directions[index, 0], float(rough[index]),
            float(metal[index]),
        )  # fmt: skip
        assert found[index].tolist() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_lights_add_up_and_scale() -> None:
    base, normal, eye, rough, metal, light = some()
    whole = texopt.shade(base, normal, eye, rough, metal, light)
    parts = [Light(light.directions[:, [index]], light.colors[:, [index]], dark(64)) for index in range(2)]
    parts.append(Light(light.directions[:, :0], light.colors[:, :0], 0.5 * light.environment))
    first, second, rest = (texopt.shade(base, normal, eye, rough, metal, part) for part in parts)
    assert torch.allclose(whole, first + second + 2 * rest)


def test_light_goes_both_ways_alike() -> None:
    base, normal, eye, rough, metal, light = some(lights=1)
    toward, white = light.directions[:, 0], torch.ones(64, 1, 3, dtype=torch.float64)
    there = texopt.shade(base, normal, eye, rough, metal, Light(toward[:, None], white, dark(64)))
    back = texopt.shade(base, normal, toward, rough, metal, Light(eye[:, None], white, dark(64)))
    both = ((normal * toward).sum(-1) > 0.01) & ((normal * eye).sum(-1) > 0.01)
    assert both.sum() > 30
    cosines = [(normal * one).sum(-1, keepdim=True) for one in (toward, eye)]
    assert torch.allclose((there / cosines[0])[both], (back / cosines[1])[both], rtol=1e-6)


def test_gradients() -> None:
    base, normal, eye, rough, metal, light = some(4)
    inputs = base, normal, eye, rough, metal, light.directions, light.colors, light.environment

    def shaded(*given: Tensor) -> Tensor:
        base, normal, eye, rough, metal, *light = given
        return texopt.shade(base, normal, eye, rough, metal, Light(*light))

    assert torch.autograd.gradcheck(shaded, [one.clone().requires_grad_() for one in inputs])


@pytest.mark.parametrize("metallic", [0.0, 1.0])
@pytest.mark.parametrize("roughness", [0.3, 0.6, 1.0])
def test_no_surface_gives_more_light_than_it_gets(roughness: float, metallic: float) -> None:
    """A white one in an even environment, and under lights from all around, which are the same. At grazing angles the
    specification's mix of diffuse and mirror gives up to a tenth more."""
    generator, count = Generator().manual_seed(1), 20_000
    one = torch.ones(1, 3, dtype=torch.float64)
    normal = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    for tilt in (0.0, 0.8, 1.3):
        eye = torch.tensor([[math.sin(tilt), 0.0, math.cos(tilt)]], dtype=torch.float64)
        even = Light(one[:, None][:, :0], one[:, None][:, :0], texopt.environment_of(one))
        found = float(texopt.shade(one, normal, eye, roughness, metallic, even)[0, 0])
        assert 0.4 < found < 1.02
        toward = random_unit(count, generator)
        lights = Light(toward[:, None], torch.full((count, 1, 3), 4 * math.pi, dtype=torch.float64), dark(count))
        rows = (values.expand(count, 3) for values in (one, normal, eye))
        assert float(texopt.shade(*rows, roughness, metallic, lights)[:, 0].mean()) < 1.15


def test_irradiance_is_the_integral_over_the_hemisphere() -> None:
    generator = Generator().manual_seed(2)
    environment = torch.randn(1, 9, 3, generator=generator, dtype=torch.float64)
    environment[:, 0] += 9  # bright enough all around
    toward, normal = random_unit(400_000, generator), random_unit(5, generator)
    from texopt.render.shading import harmonics

    radiance = harmonics(toward) @ environment[0]
    for one in normal:
        cosine = (toward @ one).clamp(min=0)[:, None]
        wanted = 4 * math.pi * (radiance * cosine).mean(0)
        assert torch.allclose(texopt.irradiance(environment, one[None])[0], wanted, rtol=0.02)
    even = texopt.environment_of(torch.full((1, 3), 0.25, dtype=torch.float64))
    assert torch.allclose(texopt.irradiance(even, normal[:1]), torch.full((1, 3), 0.25 * math.pi).double(), rtol=1e-5)


def test_colors_are_encoded_and_back() -> None:
    values = torch.linspace(0, 1, 101, dtype=torch.float64)
    assert torch.allclose(to_srgb(to_linear(values)), values, atol=1e-7)
    assert torch.allclose(to_linear(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([0.0, 0.21404, 1.0]), atol=1e-5)
    ends = torch.tensor([0.0, 1e-9, 1.0], requires_grad=True)
    (slope,) = torch.autograd.grad(to_srgb(to_linear(ends)).sum(), ends)
    assert torch.allclose(slope, torch.ones(3), atol=1e-3)
    assert float(to_srgb(torch.tensor(5.0))) == pytest.approx(1)


def test_a_moving_light_is_never_behind_what_is_seen() -> None:
    cameras = texopt.sample_sphere()(Generator().manual_seed(0), 50, 0)
    light = texopt.moving_light(tilt=(30.0, 60.0))(Generator().manual_seed(1), cameras)
    back = cameras.view[:, 2, :3].float()
    angle = torch.rad2deg(torch.acos((F.normalize(light.directions[:, 0], dim=-1) * back).sum(-1)))
    assert float(angle.min()) > 29.9
    assert float(angle.max()) < 60.1
    assert float(angle.std()) > 3


def painted_cube(size: int = 16) -> Mesh:
    """A cube in soft random colours."""
    grid = torch.rand(1, 3, 6, 6, generator=Generator().manual_seed(4))
    colors = F.interpolate(grid, (size, size), mode="bilinear")[0].permute(1, 2, 0)
    return make_cube((255 * colors).byte().numpy())


SIDE: dict[str, Any] = {"size": 64, "cameras": texopt.orbit(torch.tensor([25.0]), torch.tensor([30.0]))}


def seen(mesh: Mesh, change: object = None, **views: object) -> View:
    """A view of a mesh in its original colours, changed."""
    found: list[View] = []

    def keep(view: View) -> Tensor:
        found.append(view)
        return view.image.mean()

    size = mesh.maps[0].original.shape[0]
    texture = texopt.PixelTexture(size, start=mesh.originals()[0])
    goal = keep if change is None else texopt.on(keep, change)  # type: ignore[arg-type]
    texopt.optimize(mesh, texture, goal, steps=1, backbone="none", views=texopt.Views(**(SIDE | views)))
    return found[0]


def test_the_object_is_lit_and_what_is_behind_it_stays() -> None:
    plain, shaded = (seen(painted_cube(), change) for change in (None, texopt.lit()))
    behind = plain.mask.expand_as(plain.image) == 0
    assert torch.equal(plain.image[behind], shaded.image[behind])
    assert float((plain.image - shaded.image).detach().abs()[~behind].mean()) > 0.01
    assert float((plain.original - shaded.original).abs()[~behind].mean()) > 0.01
    assert shaded.image.requires_grad
    assert not shaded.original.requires_grad
    assert torch.equal(shaded.image, seen(painted_cube(), texopt.lit()).image)


def test_a_matt_face_shows_the_cosine() -> None:
    """Under a light alone, each of a cube's faces is its base colour times the cosine, but for what is reflected."""
    mesh = painted_cube()
    toward = F.normalize(torch.tensor([[[0.3, 0.9, 0.5]]]), dim=-1)
    light = Light(toward, torch.full((1, 1, 3), math.pi), torch.zeros(1, 9, 3))
    plain, shaded = seen(mesh), seen(mesh, texopt.lit(light, roughness=1.0))
    cosine = (plain.normal * toward[0, 0][:, None, None]).sum(1, keepdim=True).clamp(min=0)
    wanted = to_linear(plain.image) * cosine * (1 - DIELECTRIC)
    there = plain.mask.expand_as(wanted) > 0
    assert float(cosine[plain.mask > 0].unique().numel()) >= 3
    assert float((to_linear(shaded.image) - wanted)[there].detach().abs().max()) < 0.04


def test_the_back_of_a_sheet_is_lit_as_its_front() -> None:
    mesh = painted_cube()
    turned = replace(mesh, faces=mesh.faces[:, ::-1].copy(), face_uvs=mesh.face_uvs[:, ::-1].copy())
    light = Light(torch.tensor([[[0.3, 0.9, 0.5]]]), torch.full((1, 1, 3), 3.0), torch.zeros(1, 9, 3))
    one, other = (seen(which, texopt.lit(light)) for which in (mesh, turned))
    assert torch.allclose(one.image, other.image, atol=1e-5)


def test_base_colors_are_found_under_moving_light() -> None:
    """What is compared is lit, and what is found has no light in it."""
    mesh = painted_cube()
    texture = texopt.PixelTexture(16)

    def like_the_original(view: View) -> Tensor:
        return (view.image - view.original).square().mean()

    views = texopt.Views(size=64, background=texopt.backgrounds.plain())
    goal, descent = texopt.on(like_the_original, texopt.lit()), texopt.Descent(learning_rate=0.3)
    result = texopt.optimize(mesh, texture, goal, steps=150, backbone="none", views=views, descent=descent)
    painted = seen(result.textured()).original
    there = (seen(mesh).mask > 0).expand_as(painted)
    assert float((painted - seen(mesh).original)[there].abs().mean()) < 0.03


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: texopt.lit(roughness=1.2), "roughness has to be between 0 and 1"),
        (lambda: texopt.lit(metallic=-1), "metallic has to be between 0 and 1"),
        (lambda: Light(torch.zeros(1, 2, 3), torch.zeros(1, 1, 3), torch.zeros(1, 9, 3)), "colors is"),
        (lambda: Light(torch.zeros(1, 1, 3), torch.zeros(1, 1, 3), torch.zeros(9, 3)), "environment"),
        (lambda: Light([[[0, 0, 1]]], torch.zeros(1, 1, 3), torch.zeros(1, 9, 3)), "directions of a light"),  # type: ignore[arg-type]
        (lambda: texopt.lit(3), "light has to be"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_is_said(make: object, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        make()  # type: ignore[operator]


def test_a_light_of_another_number_of_views_is_said() -> None:
    light = Light(torch.ones(3, 1, 3), torch.ones(3, 1, 3), torch.zeros(3, 9, 3))
    with pytest.raises(OptionError, match="3 images, and the view has 1"):
        seen(painted_cube(), texopt.lit(light))


def test_a_function_has_to_return_lights_for_the_views() -> None:
    one = Light(torch.ones(1, 1, 3).double(), torch.ones(1, 1, 3).double(), torch.zeros(1, 9, 3).double())
    assert torch.isfinite(seen(painted_cube(), texopt.lit(lambda *_: one)).image).all()
    with pytest.raises(OptionError, match=r"return a texopt\.Light, not a NoneType"):
        seen(painted_cube(), texopt.lit(lambda *_: None))  # type: ignore[arg-type, return-value]


def test_what_shows_through_is_not_lit() -> None:
    mesh, found = painted_cube(), list[View]()
    clear = texopt.TransparentTexture(texopt.PixelTexture(16), texopt.PixelTexture(16, start=(0.0, 0.0, 0.0)))

    def keep(view: View) -> Tensor:
        found.append(view)
        return view.image.mean()

    for change in (lambda view: view, texopt.lit()):
        views = texopt.Views(**SIDE, background=texopt.backgrounds.plain(1.0))
        texopt.optimize(mesh, clear, texopt.on(keep, change), steps=1, backbone="none", views=views)
    plain, lit = (view.image.detach() for view in found)
    assert float((plain - lit).abs().max()) < 0.03  # opacity starts at 0.01
