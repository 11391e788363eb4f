"""Shape: vertices that are optimised. The preconditioner, faces that cross, gradients of drawings, and the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from conftest import MESHES, make_cube
from torch import Tensor

import texopt
from texopt import Mesh, MeshError, OptionError, Shape, View, raster
from texopt.mesh.crossings import crossing_faces
from texopt.mesh.large_steps import LargeSteps, place_edges
from texopt.mesh.normals import face_normals, normal_groups, smooth_normals
from texopt.mesh.shape import bounded
from texopt.mesh.topology import same_places
from texopt.optim.adam import Adam
from texopt.render.moved_scene import ShapedScene, smooth_corners
from texopt.render.scene import Scene

SIZE = 64
EIGHT = texopt.fixed_views(8)
EIGHT = replace(EIGHT, frame=torch.arange(8), frames=8)


def ball(fineness: int = 2, radius: float = 1.0, seam: bool = False) -> Mesh:
    """A sphere; with a seam, every face has vertices of its own."""
    made = trimesh.creation.icosphere(fineness, radius)
    vertices, faces = np.array(made.vertices), np.array(made.faces, np.int32)
    if seam:
        vertices, faces = vertices[faces].reshape(-1, 3), np.arange(faces.size, dtype=np.int32).reshape(-1, 3)
    return Mesh("ball", vertices, faces, vertices[:, :2] / 2 + 0.5)


def laplacian(edges: np.ndarray, count: int) -> np.ndarray:
    dense = np.zeros((count, count))
    for one, two in edges.tolist():
        dense[[one, two], [two, one]] -= 1
        dense[[one, two], [one, two]] += 1
    return dense


# Large steps.


@pytest.mark.parametrize("smoothness", [0.0, 0.3, 19.0, 500.0])
def test_the_system_is_solved(smoothness: float) -> None:
    mesh, generator = ball(), np.random.default_rng(0)
    edges, free = place_edges(mesh.faces), generator.random(len(mesh.vertices)) < 0.8
    wanted = np.zeros((len(free), 3))
    values = generator.normal(size=(int(free.sum()), 3))
    system = np.eye(len(free)) + smoothness * laplacian(edges, len(free))
    wanted[free] = np.linalg.solve(system[np.ix_(free, free)], values)
    given = generator.normal(size=wanted.shape)  # what is not free does not matter
    given[free] = values
    found = LargeSteps(edges, free, smoothness)(torch.from_numpy(given)).numpy()
    assert np.abs(found - wanted).max() < 2e-5 * np.abs(wanted).max()
    assert not found[~free].any()


def test_its_gradient_is_its_own_whatever_the_mesh() -> None:
    fan = np.array([[0, k, k + 1] for k in range(1, 12)])  # one place has many neighbours
    steps = LargeSteps(place_edges(fan), np.arange(13) != 4, 7.0)
    given = torch.randn(13, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(steps, [given])
    one, two = torch.randn(2, 13, 2, dtype=torch.float64)
    assert torch.allclose((steps(one) * two).sum(), (one * steps(two)).sum(), rtol=1e-12)


def test_the_same_digits_on_any_number_of_threads() -> None:
    mesh = ball(4)
    steps = LargeSteps(place_edges(mesh.faces), np.ones(len(mesh.vertices), bool), 19.0)
    given, found = torch.randn(len(mesh.vertices), 3), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(steps(given))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_what_all_places_do_is_done_whole() -> None:
    mesh = ball()
    steps = LargeSteps(place_edges(mesh.faces), np.ones(len(mesh.vertices), bool), 19.0)
    assert torch.allclose(steps(torch.ones(len(mesh.vertices), 3)), torch.ones(1), atol=1e-4)


# Shape.


def test_a_shape_begins_where_the_mesh_is_and_stays_within_its_bound() -> None:
    mesh = ball(radius=3.0)
    shape = Shape(mesh, bound=0.05, smoothness=0.0)
    assert not shape.displacements().any()
    same = shape.moved()
    assert np.array_equal(same.vertices, mesh.vertices)
    with torch.no_grad():
        shape.steps.copy_(torch.randn(shape.steps.shape) * 100)
    longest = 3.0 * float(shape.displacements().detach().norm(dim=1).max())
    assert 0.95 * 0.05 * 6 < longest <= 0.05 * 6 * (1 + 1e-6)


def test_the_bound_is_a_smooth_one() -> None:
    short = 1e-4 * torch.randn(50, 3, dtype=torch.float64)
    assert torch.allclose(bounded(short, 1.0), short, rtol=1e-6)
    long = 1e4 * torch.nn.functional.normalize(torch.randn(50, 3, dtype=torch.float64), dim=1)
    assert torch.allclose(bounded(long, 0.3), 0.3 * long / 1e4, rtol=1e-6)
    assert torch.autograd.gradcheck(
        lambda d: bounded(d, 0.3), [torch.randn(9, 3, dtype=torch.float64, requires_grad=True)]
    )
    assert torch.autograd.gradcheck(
        lambda d: bounded(d, 0.3), [torch.zeros(9, 3, dtype=torch.float64, requires_grad=True)]
    )


def test_vertices_at_one_place_move_together() -> None:
    whole, split = Shape(ball()), Shape(ball(seam=True))
    assert len(whole.steps) == len(split.steps)
    order = torch.from_numpy(same_places(whole.mesh.vertices))
    with torch.no_grad():
        split.steps.copy_(torch.randn(split.steps.shape))
        whole.steps.copy_(split.steps)
    corners = torch.from_numpy(whole.mesh.faces.reshape(-1)).long()
    assert torch.allclose(whole.displacements()[corners], split.displacements(), atol=1e-6)
    assert len(order) == len(whole.steps)


def test_what_is_kept_stays_and_so_does_its_border() -> None:
    cube = make_cube()
    maps = (cube.maps[0], replace(cube.maps[0], kept=True))
    mesh = replace(cube, maps=maps, face_map=np.array([0] * 10 + [1] * 2, np.int32))
    shape = Shape(mesh)
    with torch.no_grad():
        shape.steps.fill_(1.0)
    still = np.zeros(8, bool)
    still[mesh.faces[10:]] = True
    moved = shape.displacements().detach().numpy().any(1)
    assert np.array_equal(moved, ~still)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"bound": 0.0}, "bound"), ({"bound": -1.0}, "bound"), ({"bound": 2.0}, "bound"),
     ({"bound": float("nan")}, "bound"), ({"smoothness": -1.0}, "smoothness"),
     ({"smoothness": float("inf")}, "smoothness"), ({"mesh": 3}, "mesh")],
)  # fmt: skip
def test_shapes_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=rf"^{message} has to be"):
        Shape(**({"mesh": make_cube()} | change))


def test_a_mesh_without_a_surface_has_no_shape() -> None:
    flat = Mesh("line", [[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], [[0, 0], [1, 0], [0, 1]])  # type: ignore[arg-type]
    kept = replace(make_cube(), maps=(replace(make_cube().maps[0], kept=True),))
    for mesh in (flat, kept):
        with pytest.raises(MeshError, match="no surface"):
            Shape(mesh)


# Crossings.


def random_soup(generator: np.random.Generator, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of all sizes, some with corners in common."""
    vertices = generator.normal(size=(2 * count, 3)) * generator.choice([0.2, 1.0], (2 * count, 1))
    faces = np.stack([generator.permutation(2 * count)[:3] for _ in range(count)])
    return vertices, faces


def crossing_oracle(vertices: np.ndarray, faces: np.ndarray) -> set[tuple[int, int]]:
    """Each edge against each face, by solving for where it meets the face's plane."""

    def pierces(p: np.ndarray, q: np.ndarray, corners: np.ndarray) -> bool:
        system = np.stack([corners[1] - corners[0], corners[2] - corners[0], p - q], 1)
        u, v, t = np.linalg.solve(system, p - corners[0])
        return bool(min(u, v, 1 - u - v, t, 1 - t) > 1e-9)

    found = set()
    for one in range(len(faces)):
        for two in range(one + 1, len(faces)):
            common = set(faces[one]) & set(faces[two])
            if len(common) > 1:
                continue
            for edged, pierced in ((one, two), (two, one)):
                for k in range(3):
                    ends = faces[edged][[(k + 1) % 3, (k + 2) % 3]]
                    if not common & set(ends) and pierces(*vertices[ends], vertices[faces[pierced]]):
                        found.add((one, two))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_crossing_faces_are_those_of_all_pairs(seed: int) -> None:
    vertices, faces = random_soup(np.random.default_rng(seed))
    wanted = crossing_oracle(vertices, faces)
    assert len(wanted) > 50
    for size, place in ((1.0, 0.0), (1e-3, 0.0), (50.0, 1e3)):
        found = crossing_faces(size * vertices + place, faces)
        assert {(one, two) for one, two in found.tolist()} == wanted


def test_what_touches_does_not_cross() -> None:
    for mesh in (make_cube(), ball(3)):
        assert not len(crossing_faces(mesh.vertices, mesh.faces))
        twice = np.concatenate([mesh.faces, mesh.faces[:, ::-1]])  # both sides of every face
        assert not len(crossing_faces(mesh.vertices, twice))
    two = np.concatenate([make_cube().vertices, make_cube().vertices + np.array([2, 0, 0])])  # side by side
    assert not len(crossing_faces(two, np.concatenate([make_cube().faces, make_cube().faces + 8])))
    two[8:] -= (1, 0.5, 0.25)
    assert len(crossing_faces(two, np.concatenate([make_cube().faces, make_cube().faces + 8])))


def test_a_shape_takes_back_what_would_cross() -> None:
    mesh = ball(3)
    shape = Shape(mesh, bound=0.5, smoothness=0.0)
    with torch.no_grad():
        steps = 0.02 * torch.randn(shape.steps.shape)
        steps[:40] = 2 * torch.randn(40, 3)
        shape.steps.copy_(steps)
    whole = mesh.vertices + shape.radius * shape.displacements().detach().numpy()
    assert len(crossing_faces(whole, mesh.faces)) > 10
    moved = shape.moved()
    assert not len(crossing_faces(moved.vertices, mesh.faces))
    same = np.abs(moved.vertices - whole).max(1) < 1e-12
    assert same.mean() > 0.3  # far from there it is all as it was meant
    assert np.abs(moved.vertices - mesh.vertices).max() > 0.01


# Drawing.


def test_corner_normals_are_those_of_the_mesh_and_have_gradients() -> None:
    mesh = ball(1)
    groups = np.where(np.arange(len(mesh.faces))[:, None] % 3 == 0, -1, mesh.faces)
    corners = torch.from_numpy(mesh.vertices[mesh.faces])
    found = smooth_corners(corners, torch.from_numpy(groups).long())
    shared = smooth_normals(mesh.vertices, mesh.faces, groups)[groups]
    wanted = np.where(groups[..., None] < 0, face_normals(mesh.vertices, mesh.faces)[:, None], shared)
    assert np.abs(found.numpy() - wanted).max() < 1e-9
    few = corners[:4].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: smooth_corners(x, torch.from_numpy(groups[:4]).long()), [few])
    flat = torch.zeros(2, 3, 3, requires_grad=True)
    smooth_corners(flat, torch.tensor([[0, 1, 2], [-1, -1, -1]])).sum().backward()
    assert flat.grad is not None
    assert not flat.grad.any()


def test_normals_are_shared_across_uv_seams() -> None:
    mesh = ball(2, seam=True)
    mesh = replace(mesh, normals=mesh.vertices, face_normals=mesh.faces)
    _, first = normal_groups(mesh.vertices, mesh.faces, mesh.normals, mesh.face_normals)  # type: ignore[arg-type]
    assert len(first) == len(np.unique(same_places(mesh.vertices)))
    stretched = mesh.with_vertices(mesh.vertices * (1, 2, 3))
    expected = mesh.vertices / (1, 2, 3)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = stretched.normals[stretched.face_normals].reshape(-1, 3)  # type: ignore[index]
    assert np.degrees(np.arccos((found * expected).sum(1).clip(-1, 1))).max() < 12


def test_a_scene_that_has_not_moved_is_drawn_as_ever() -> None:
    mesh = replace(ball(), normals=ball().vertices, face_normals=ball().faces)
    plain = Scene(mesh, optimized=True).rasterize(EIGHT[:2], SIZE)
    shaped = ShapedScene(Shape(mesh)).rasterize(EIGHT[:2], SIZE)
    for name in ("face_id", "bary", "uv", "uv_da", "position", "normal", "view_direction"):
        assert torch.allclose(getattr(plain, name), getattr(shaped, name), atol=0.03 if name == "normal" else 1e-6), (
            name
        )


def silhouettes(mesh: Mesh, size: int = SIZE) -> Tensor:
    """How much of each pixel the mesh covers from EIGHT: float32 [8,1,H,W]."""
    mask = Scene(mesh).rasterize(EIGHT, 4 * size).mask[:, None].float()
    return torch.nn.functional.avg_pool2d(mask, 4)


def run(shape: Shape | None, mesh: Mesh, loss: Callable[[View], Tensor], steps: int = 40, **options: Any) -> Any:
    views = texopt.Views(cameras=EIGHT, size=SIZE, per_step=4, background=texopt.backgrounds.plain(0.0))
    given: dict[str, Any] = {
        "steps": steps, "views": views, "backbone": "none", "device": "cpu",
        "descent": texopt.Descent(learning_rate=0.1),
    }  # fmt: skip
    return texopt.optimize(mesh, texopt.PixelTexture(8), loss, shape=shape, **(given | options))


def stretched() -> Mesh:
    """An ellipsoid in the sphere that a ball is drawn in."""
    return ball(3).with_vertices(ball(3).vertices * (0.6, 1.0, 0.75))


def test_silhouettes_move_vertices_to_where_they_should_be() -> None:
    goals, mesh = silhouettes(stretched()), ball(3)

    def loss(view: View) -> Tensor:
        return (view.alpha - goals[view.frame]).square().mean()

    shape = Shape(mesh, bound=0.5)
    result = run(shape, mesh, loss)
    found, wanted = ShapedScene(shape).rasterize(EIGHT, SIZE).mask[:, None], goals > 0.5
    overlap = (found & wanted).sum((1, 2, 3)) / (found | wanted).sum((1, 2, 3))
    before = silhouettes(mesh) > 0.5
    assert float((before & wanted).sum() / (before | wanted).sum()) < 0.8
    assert float(overlap.min()) > 0.95
    assert np.array_equal(result.mesh.faces, mesh.faces)
    assert not len(crossing_faces(result.mesh.vertices, result.mesh.faces))


def test_light_moves_vertices_where_no_silhouette_is() -> None:
    """A wavy sheet is known by its shades."""
    side = 17
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    index = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.reshape(-1) for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    flat = np.stack([x.ravel(), y.ravel(), np.zeros(side * side)], 1)
    height = 0.08 * np.sin(4 * flat[:, 0]) * np.cos(3 * flat[:, 1])
    light = texopt.Light(
        torch.tensor([[[0.8, 0.3, 1.0]]]), torch.full((1, 1, 3), 3.0), texopt.environment_of(torch.full((1, 3), 0.2))
    )
    camera = texopt.orbit(torch.zeros(1), torch.zeros(1))
    views = texopt.Views(cameras=camera, size=SIZE, background=texopt.backgrounds.plain(0.0))
    seen: dict[str, Tensor] = {}

    def sheet(z: np.ndarray) -> Mesh:
        vertices = flat + np.stack([0 * z, 0 * z, z], 1)
        normals = smooth_normals(vertices, faces, faces)
        return Mesh("sheet", vertices, faces, flat[:, :2] / 2 + 0.5, normals=normals)

    def look(view: View) -> Tensor:
        seen["goal"] = view.image.detach()
        return view.image.mean()

    frozen = texopt.PixelTexture(8, start=(0.5, 0.5, 0.5))
    goal = sheet(height)
    texopt.optimize(
        goal, frozen, texopt.on(look, texopt.lit(light)), steps=1, views=views, backbone="none",
        descent=texopt.Descent(learning_rate=1e-6),
    )  # fmt: skip
    start = sheet(0 * height)
    shape = Shape(start, bound=0.1, smoothness=2.0)
    inner = torch.zeros(1, 1, SIZE, SIZE)
    inner[..., 20:44, 20:44] = 1
    result = texopt.optimize(
        start, frozen, texopt.on(lambda view: ((view.image - seen["goal"]) * inner).square().mean(), texopt.lit(light)),
        steps=60, views=views, backbone="none", shape=shape, descent=texopt.Descent(learning_rate=0.05),
    )  # fmt: skip
    losses = [step.terms["loss"] for step in result.history]
    assert losses[-1] < 0.1 * losses[0]


def test_a_view_without_a_shape_has_nothing_sharp_and_one_with_it_is_smoothed() -> None:
    mesh, seen = ball(), []
    for shape in (None, Shape(mesh)):
        run(shape, mesh, lambda view: (seen.append(view), view.image.mean())[1], steps=1)  # type: ignore[func-returns-value]
    plain, shaped = seen
    assert plain.sharp is None
    assert shaped.sharp is not None
    assert torch.equal(shaped.sharp.image[:, :1] > 0, plain.image[:, :1] > 0)
    between = (shaped.alpha > 0.01) & (shaped.alpha < 0.99)
    assert 0.01 < float(between.float().mean()) < 0.2
    assert shaped.with_image(shaped.image * 1.0).sharp is None
    assert shaped.alpha.requires_grad
    assert not shaped.original.requires_grad


def test_lit_silhouettes_have_the_gradient_of_the_lit_surface() -> None:
    """Moved outwards by a bit, the mean of a lit white ball before black grows by the light that it shows."""
    mesh = replace(ball(3), normals=ball(3).vertices, face_normals=ball(3).faces)
    light = texopt.Light(
        torch.zeros(1, 1, 3) + 1.0, torch.zeros(1, 1, 3), texopt.environment_of(torch.full((1, 3), 0.4))
    )
    values, slope, camera = [], 0.0, texopt.orbit(30.0, 20.0, radii=14.0)
    for size in (-0.01, 0.0, 0.01):
        shape = Shape(mesh, bound=1.0, smoothness=0.0)
        with torch.no_grad():
            ends = torch.zeros_like(shape.steps)
            ends[shape.place] = torch.from_numpy(mesh.vertices).float()
            shape.steps.copy_(size * ends / 2)
        seen: list[Tensor] = []

        def loss(view: View, seen: list[Tensor] = seen) -> Tensor:
            seen.append(view.image.mean())
            return seen[0]

        texopt.optimize(
            mesh, texopt.PixelTexture(8, start=(1.0, 1.0, 1.0)), texopt.on(loss, texopt.lit(light, roughness=1.0)),
            steps=1, views=texopt.Views(cameras=camera, size=128, background=texopt.backgrounds.plain(0.0)),
            backbone="none", shape=shape, descent=texopt.Descent(learning_rate=1e-9),
        )  # fmt: skip
        values.append(float(seen[0].detach()))
        if size == 0.0:
            assert shape.steps.grad is not None
            slope = float((shape.steps.grad * ends / 2).sum())
    assert slope == pytest.approx((values[2] - values[0]) / 0.02, rel=0.02)


# The loop.


def test_uniform_steps_keep_proportions() -> None:
    from texopt.mesh.shape import Uniform

    one = Uniform(torch.zeros(4, 3))
    optimizer = Adam([one], 0.1)
    gradient = torch.rand(4, 3)
    for _ in range(3):
        one.grad = gradient.clone()
        optimizer.step()
    assert torch.allclose(one.detach() / one.detach().min(), gradient / gradient.max(), rtol=1e-4)
    assert float(one.detach().abs().max()) == pytest.approx(0.3, rel=1e-4)


def test_a_run_with_a_shape_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    goals, mesh, ends = silhouettes(stretched()), ball(), []

    def loss(view: View) -> Tensor:
        return (view.alpha - goals[view.frame]).square().mean() + view.image.mean()

    for stop in (None, 3):
        shape, path = Shape(mesh, bound=0.3), tmp_path / f"{stop}.safetensors"

        def interrupt(step: texopt.Step, stop: int | None = stop) -> None:
            if step.number == stop:
                raise KeyboardInterrupt

        result = run(shape, mesh, loss, steps=6, checkpoint=path, on_step=interrupt)
        if stop:
            assert result.interrupted
            shape = Shape(mesh, bound=0.3)
            result = run(shape, mesh, loss, steps=6, checkpoint=path)
        ends.append(result.mesh.vertices)
    assert np.array_equal(*ends)
    assert not np.array_equal(ends[0], mesh.vertices)


def test_shapes_that_are_not_of_the_run() -> None:
    mesh = ball()
    for shape, message in ((Shape(ball()), "another mesh"), (3, "texopt.Shape")):
        with pytest.raises(OptionError, match=message):
            run(shape, mesh, lambda view: view.image.mean())  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="one mesh"):
        texopt.optimize(
            [mesh],
            [texopt.PixelTexture(8)],
            lambda view: view.image.mean(),
            shape=Shape(mesh),
            backbone="none",  # type: ignore[call-overload]
        )


# Outlines.


def colored(fragments: texopt.Fragments, generator: torch.Generator) -> Tensor:
    """Each face of a drawing in a colour of its own before another: float32 [B,3,H,W]."""
    palette = torch.rand(int(fragments.face_id.max()) + 2, 3, generator=generator)
    return palette[fragments.face_id.long() + 1].permute(0, 3, 1, 2)


@pytest.mark.parametrize("make", [make_cube, lambda: ball(0), lambda: texopt.load_mesh(MESHES / "torus_knot.obj")])
def test_outlines_are_smoothed_as_by_antialias(make: Callable[[], Mesh]) -> None:
    """Where faces are larger than pixels."""
    mesh = make()
    few = len(mesh.faces) < 100
    cameras = texopt.orbit(torch.tensor([33.0, 150.0]), torch.tensor([21.0, -40.0]), radii=13.0)
    fragments = ShapedScene(Shape(mesh)).rasterize(cameras, 96 if few else 512)
    image = colored(fragments, torch.Generator().manual_seed(0))
    found = fragments.scene.outline.smooth(image)  # type: ignore[union-attr]
    places = same_places(mesh.vertices)
    pos = fragments.scene.outline.pos.detach().float()  # type: ignore[union-attr]
    rast = torch.cat([fragments.bary, fragments.depth[..., None], fragments.face_id[..., None] + 1.0], -1)
    wanted = raster.antialias(
        image.permute(0, 2, 3, 1).contiguous(), rast, pos, torch.from_numpy(places[mesh.faces]).int()
    ).permute(0, 3, 1, 2)
    changed, apart = ((wanted - one).abs().amax(1) > 0.02 for one in (image, found))
    assert int(changed.sum()) > 200
    assert float((changed & apart).sum() / changed.sum()) < (0.05 if few else 0.25)  # where it finds one edge of two
    assert few or int(((found - image).abs().amax(1) > 0.02).sum()) > 2 * int(changed.sum())
    inside = torch.nn.functional.max_pool2d((fragments.face_id < 0).float(), 3, 1, 1) == 0
    if mesh.name == "cube":
        assert torch.equal(found.permute(0, 2, 3, 1)[inside], image.permute(0, 2, 3, 1)[inside])


def test_outlines_have_the_gradient_of_what_is_covered() -> None:
    """Of a sheet before a ball, and of the ball, however finely they are divided: where a random field pulls them."""
    mesh = ball(3)
    quad = np.array([[-0.9, -0.2, 1.2], [0.1, -0.3, 1.2], [0.2, 0.6, 1.2], [-0.8, 0.5, 1.2]])
    index = np.array([[0, 1, 2], [0, 2, 3]], np.int32) + len(mesh.vertices)
    mesh = Mesh(
        "both", np.concatenate([mesh.vertices, quad]), np.concatenate([mesh.faces, index]),
        np.zeros((len(mesh.vertices) + 4, 2)),
    )  # fmt: skip
    camera = texopt.orbit(10.0, 15.0, radii=14.0)
    generator = torch.Generator().manual_seed(3)
    direction = torch.nn.functional.interpolate(
        torch.randn(1, 3, 4, 4, 4, generator=generator), (9, 9, 9), mode="trilinear"
    )

    def covered(size: float, gradient: bool = False) -> Any:
        shape = Shape(mesh, bound=1.0, smoothness=0.0)
        grid = torch.from_numpy(mesh.vertices).float() / 1.3
        pull = torch.nn.functional.grid_sample(direction, grid[None, None, None], align_corners=True)[0, :, 0, 0].T
        place = torch.zeros_like(shape.steps)
        place[shape.place] = pull + 0.3 * grid
        with torch.no_grad():
            shape.steps.copy_(size * place)
        fragments = ShapedScene(shape).rasterize(camera, 192)
        sheet = (fragments.face_id >= len(mesh.faces) - 2)[:, None]
        image = torch.where(sheet, torch.tensor([1.0, 0.2, 0.0]).reshape(1, 3, 1, 1), 0.4 * fragments.mask[:, None])
        value = fragments.scene.outline.smooth(image).mean()  # type: ignore[union-attr]
        if gradient:
            value.backward()
            assert shape.steps.grad is not None
            return float((shape.steps.grad * place).sum())
        return float(value.detach())

    slope = (covered(0.01) - covered(-0.01)) / 0.02
    assert abs(slope) > 0.02
    assert covered(0.0, gradient=True) == pytest.approx(slope, rel=0.05)
