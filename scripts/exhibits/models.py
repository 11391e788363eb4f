"""The article's parts on meshes. Every function writes OUT/NAME.png and returns the numbers of the README's table."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import torch
from exhibits.room import MESHES, STYLES, opened, photo, sheet, texopt_command
from PIL import Image

import texopt
from texopt.evaluation.surface import seam_ratio
from texopt.evaluation.views import Pictures
from texopt.mesh.finish import Finish
from texopt.render.look_up import look_up
from texopt.render.scene import Scene
from texopt.render.shading import lamp
from texopt.render.transforms import robust
from texopt.show.preview import draw, framed, lit
from texopt.show.video import write_video
from texopt.system.images import to_image

Numbers = dict[str, float]
CREATURE = MESHES / "creature.obj"


def stills(mesh: texopt.Mesh, size: int = 320, azimuths: tuple[float, ...] = (30.0, 210.0)) -> list[Image.Image]:
    """A mesh with its own textures, from some sides."""
    cameras = framed(mesh, azimuths, [12.0] * len(azimuths))
    return [to_image(one) for one in draw(Scene(mesh), cameras, size, mesh.originals())[0]]


def mesh_dream(out: Path) -> Numbers:
    """A layer's dream on the creature's own texture."""
    folder = out / "work" / "mesh_dream"
    texopt_command(
        "feature", CREATURE, "blocks.4:*", "--start", "original", "--steps", 60, "--distance", 0.4, 1.0,
        "--texture", "fourier", "--out", folder,
    )  # fmt: skip
    sheet([[*stills(texopt.load_mesh(CREATURE)), *stills(texopt.load_mesh(folder / "creature.obj"))]], cell=320).save(
        out / "mesh_dream.png"
    )
    lines = (folder / "history.csv").read_text().splitlines()
    return {"times as much": float(lines[-1].split(",")[-1]) / float(lines[1].split(",")[-1])}


def mesh_cut_out(out: Path) -> Numbers:
    """A knot of leaves: what a channel does not need becomes holes, in a glb with alphaMode MASK."""
    folder = out / "work" / "mesh_cut_out"
    texopt_command(
        "feature", MESHES / "torus_knot.obj", "blocks.4:30", "--transparent", "--steps", 150, "--format", "glb,png",
        "--out", folder,
    )  # fmt: skip
    preview = opened(folder / "preview.png")
    preview.crop((0, preview.height // 2, preview.width // 2, preview.height)).save(out / "mesh_cut_out.png")
    alpha = np.asarray(opened(folder / "torus_knot.png"))[..., 3]
    return {"share that is cut out": float((alpha < 128).mean()), "mean alpha": float(alpha.mean() / 255)}


def adversarial(out: Path) -> Numbers:
    """A creature that a network takes for a tiger from all around, and as it was."""
    mesh = texopt.load_mesh(CREATURE)
    index, start = texopt.class_index("tiger"), mesh.maps[0].original_at(512, 512)
    texture = texopt.PixelTexture(512, start=start)
    goal = texopt.change() + 0.003 * texopt.classified_as(index).below(0.5)
    result = texopt.optimize(
        mesh,
        texture,
        goal,
        steps=300,
        views=texopt.Views(size=224, per_step=2, transform=robust()),
        descent=texopt.Descent(learning_rate=0.1),
    )
    after = result.textured()
    shares = {}
    for name in ("efficientnet_lite0", "efficientnet_lite1"):
        network = texopt.load_backbone(name)
        shares[f"before, {name}"] = texopt.classified_share(mesh, index, backbone=network)
        shares[f"after, {name}"] = texopt.classified_share(after, index, backbone=network)
    sheet([[*stills(mesh), *stills(after)]], cell=320).save(out / "adversarial.png")
    return shares


def saliency(out: Path) -> Numbers:
    """What makes the adversarial creature, or a picture of it, a tiger: by gradient, guided and by occlusion."""
    before = out / "work" / "photo.png"
    before.parent.mkdir(parents=True, exist_ok=True)
    photo().save(before)
    mask = np.asarray(photo().convert("HSV"))[..., 1] > 110  # the creature is more colourful than its background
    row, numbers = [opened(before)], {}
    network = texopt.load_backbone("efficientnet_lite0")
    with torch.no_grad():
        pixels = torch.from_numpy(np.array(photo(224, 224))).permute(2, 0, 1)[None] / 255
        index = int(network(pixels, ["logits"])["logits"].argmax())
    canvas = texopt.canvas(before)
    cameras = texopt.whole(canvas)(torch.Generator(), 1, 0)
    for method in ("gradient", "guided", "occlusion"):
        file = out / "work" / f"saliency_{method}.png"
        texopt_command("saliency", before, index, "--method", method, "--out", file)
        row.append(opened(file))
        (found,) = texopt.saliency(canvas, texopt.logit(index), method=method, cameras=cameras, view_size=224)
        found = torch.nn.functional.interpolate(found[None, None], mask.shape, mode="bilinear")[0, 0].clamp(min=0)
        numbers[f"{method}: share on it"] = float(found[torch.from_numpy(mask)].sum() / found.sum())
    numbers["its share of the picture"] = float(mask.mean())
    sheet([row], [["picture", "gradient", "guided", "occlusion"]], 320).save(out / "saliency.png")
    return numbers


def mesh_saliency(out: Path) -> Numbers:
    """Where on a teapot's surface is what makes it one, by three methods; and how much more of it is on the spout."""
    source = MESHES / "teapot.obj"
    mesh, index = texopt.load_mesh(source), texopt.class_index("teapot")
    seen = Scene(mesh).rasterize(texopt.fixed_views(16), 256)
    along = torch.from_numpy(mesh.vertices[mesh.faces, 0].mean(1))[seen.face_id.clamp(min=0).long()]
    body = 2.0  # its radius; the spout is beyond it on one side, the handle on the other
    columns, labels, numbers = [stills(mesh)], ["the teapot"], {}
    for method in ("gradient", "guided", "occlusion"):
        file = out / "work" / f"saliency_{method}.glb"
        texopt_command("saliency", source, "teapot", "--method", method, "--out", file)
        columns.append(stills(texopt.load_mesh(file)))
        labels.append(method)
        goal = texopt.classified_as(index) if method == "occlusion" else texopt.logit(index)
        found = look_up(texopt.saliency(mesh, goal, method=method)[0][None].clamp(min=0), seen)[:, 0]
        mean = found[seen.mask].mean()
        for part, there in (("spout", along > body), ("handle", along < -body)):
            numbers[f"{method}: {part}, times the mean"] = float(found[seen.mask & there].mean() / mean)
    rows = [list(pair) for pair in zip(*columns, strict=True)]
    sheet(rows, [labels, [""] * len(labels)], 320).save(out / "mesh_saliency.png")
    return numbers


def cppn(out: Path) -> Numbers:
    """A channel by a network of coordinates, from the same weights ten times as large, and cppn.gif: on to another."""
    mesh = texopt.canvas(size=(256, 256))

    def excite(texture: texopt.CppnTexture, channel: int, steps: int) -> float:
        result = texopt.optimize(
            mesh,
            texture,
            texopt.channel("blocks.4", channel),
            steps=steps,
            views=texopt.Views(size=224, cameras=texopt.whole(mesh), transform=robust()),
            descent=texopt.Descent(learning_rate=0.08),
        )
        return result.history[-1].terms["loss"]

    first = texopt.CppnTexture(256, scale=0.7)
    loss = excite(first, 61, 350)
    last = texopt.CppnTexture(256, copy.deepcopy(first.network))
    excite(last, 17, 150)
    between = [to_image(texopt.blend_cppns(first, last, share).bake()) for share in torch.linspace(0, 1, 25).tolist()]
    write_video(out / "cppn.gif", [*between, *between[-2:0:-1]], 12.5)
    small, large, other = (
        to_image(first.bake(224, 224)),
        to_image(first.bake(2048, 2048)),
        to_image(last.bake(448, 448)),
    )
    sheet(
        [[small, large, large.crop((700, 700, 1300, 1300)), between[12], other]],
        [["224", "2048", "a part of 2048", "half way", "to another channel"]], 320,
    ).save(out / "cppn.png")  # fmt: skip
    reduced = np.asarray(large.resize((224, 224), Image.Resampling.BOX), float)
    return {"loss": loss, "2048 to 224, difference": float(np.abs(reduced - np.asarray(small, float)).mean() / 255)}


def mesh_cppn(out: Path) -> Numbers:
    """A channel on a creature by a network of positions, which knows no seams; below by a pyramid of the UVs."""
    rows, numbers = [], {}
    for kind in ("cppn", "pyramid"):
        folder = out / "work" / f"mesh_{kind}"
        texopt_command(
            "feature", CREATURE, "blocks.4:17", "--texture", kind, "--steps", 400, "--view-size", 224,
            "--distance", 0.5, 0.9, "--out", folder,
        )  # fmt: skip
        mesh = texopt.load_mesh(folder / "creature.obj")
        numbers[f"steps at seams to others, {kind}"] = seam_ratio(mesh, Pictures(mesh)) or 0.0
        lines = (folder / "history.csv").read_text().splitlines()
        numbers[f"loss, {kind}"] = float(np.mean([float(line.split(",")[2]) for line in lines[-50:]]))
        rows.append(stills(mesh, azimuths=(30.0, 120.0, 210.0, 300.0)))
    sheet(rows, cell=320).save(out / "mesh_cppn.png")
    return numbers


def _photographs(mesh: texopt.Mesh, folder: Path, count: int, side: int) -> Path:
    """Photographs of a mesh from all around, with a transforms.json as NeRF programs write it."""
    folder.mkdir(parents=True, exist_ok=True)
    cameras = texopt.fixed_views(count, 30.0)
    center, radius = mesh.normalization(optimized=True)
    scene, frames = Scene(mesh, optimized=True), []
    for number in range(count):
        one = cameras[number : number + 1]
        to_image(draw(scene, one, side, mesh.originals())[0][0]).save(folder / f"{number}.png")
        pose = torch.linalg.inv(one.view[0])
        pose[:3, 3] = pose[:3, 3] * radius + torch.from_numpy(center)
        frames.append({"file_path": f"{number}.png", "transform_matrix": pose.tolist()})
    file = folder / "transforms.json"
    file.write_text(json.dumps({"camera_angle_x": float(np.radians(30.0)), "w": side, "h": side, "frames": frames}))
    return file


def fit(out: Path) -> Numbers:
    """The texture from 40 photographs: one that was held out and the result; the true texture and the found one."""
    mesh, folder = texopt.load_mesh(CREATURE), out / "work" / "fit"
    cameras = _photographs(mesh, out / "work" / "photographs", 44, 512)
    texopt_command("fit", CREATURE, cameras, "--hold-out", 11, "--out", folder)
    found = texopt.load_mesh(folder / "creature.obj")
    scene, view = Scene(mesh, optimized=True), texopt.fixed_views(44, 30.0)[10:11]
    after = to_image(draw(scene, view, 512, found.originals())[0][0])
    before = opened(cameras.parent / "10.png")
    textures = [Image.fromarray(one.maps[0].original) for one in (mesh, found)]
    sheet([[before, after, *textures]], [["held-out photograph", "result", "texture", "found"]], 320).save(
        out / "fit.png"
    )

    def psnr(a: Image.Image, b: Image.Image) -> float:
        return float(
            -10 * np.log10(((np.asarray(a, float) - np.asarray(b.resize(a.size), float)) ** 2).mean() / 255**2)
        )

    return {"held-out view, dB": psnr(before, after)}


def relief(out: Path) -> Numbers:
    """Three paintings under a lamp at the left: their colours alone, and with the relief that `--relief` makes."""
    rows: list[list[Image.Image]] = [[], []]
    numbers = {}
    for painting in ("brush", "mosaic", "woodcut"):
        folder = out / "work" / f"relief_{painting}"
        texopt_command(
            "style", CREATURE, STYLES / f"{painting}.jpg", "--relief", 0.01, "--turntable", "gif",
            "--format", "obj,glb", "--out", folder,
        )  # fmt: skip
        texopt_command("evaluate", folder)
        found = json.loads((folder / "metrics.json").read_text())["numbers"]
        numbers |= {f"{painting} {name}": found[name]["result"] for name in ("style", "lit_style", "normal_seam")}
        mesh = texopt.load_mesh(folder / "creature.glb")
        scene, cameras = Scene(mesh), framed(mesh, [30.0], [12.0])
        light = lamp(azimuth=-60.0, elevation=25.0)
        shown = [lit(scene, mesh.originals(), finishes, light) for finishes in ([Finish()] * len(mesh.maps), None)]
        for row, picture in zip(rows, draw(scene, cameras, 420, *shown), strict=True):
            row.append(to_image(picture[0]))
    sheet(rows, cell=420).save(out / "relief.png")
    return numbers


def style_of_mesh(out: Path) -> Numbers:
    """The article's last section and texopt's main job: `texopt style`."""
    row, numbers = stills(texopt.load_mesh(CREATURE)), {}
    folder = out / "work" / "style_of_mesh"
    texopt_command("style", CREATURE, STYLES / "mosaic.jpg", "--out", folder)
    texopt_command("evaluate", folder)
    found = json.loads((folder / "metrics.json").read_text())["numbers"]
    numbers = {name: found[name]["result"] for name in ("style", "content", "seam")}
    sheet([[*row, *stills(texopt.load_mesh(folder / "creature.obj"))]], cell=320).save(out / "style_of_mesh.png")
    return numbers
