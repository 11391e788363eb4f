"""The article's parts on images. Every function writes OUT/NAME.png and returns the numbers of the README's table."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from exhibits.room import STYLES, on_checks, opened, photo, sheet, texopt_command
from PIL import Image

import texopt
from texopt.evaluation import evaluate_image
from texopt.objectives.targets import parse_target
from texopt.render.fragments import Fragments
from texopt.render.look_up import look_up
from texopt.render.transforms import robust
from texopt.system.images import resized, to_image, to_tensor

Numbers = dict[str, float]

LAYERS = {
    "blocks.1": (3, 9, 14, 20),
    "blocks.2": (5, 17, 22, 31),
    "blocks.4": (17, 30, 61, 90),
    "blocks.6": (12, 55, 130, 250),
}


def features(out: Path) -> Numbers:
    """Four channels of each of four layers, from edges to parts of objects."""
    rows, gains = [], []
    for layer, channels in LAYERS.items():
        mesh = texopt.canvas(size=(224, 224), frames=len(channels))
        textures = [
            texopt.FourierTexture(256, generator=torch.Generator().manual_seed(i)) for i in range(len(channels))
        ]
        result = texopt.optimize(
            mesh,
            textures,
            texopt.by_frame([texopt.channel(layer, channel) for channel in channels]),
            steps=160,
            views=texopt.Views(size=224, per_step=len(channels), cameras=texopt.whole(mesh), transform=robust()),
        )
        gains.append(result.history[0].terms["loss"] - result.history[-1].terms["loss"])
        rows.append([to_image(texture.bake(224, 224)) for texture in textures])
    labels = [[f"{layer}:{channel}" for channel in channels] for layer, channels in LAYERS.items()]
    sheet(rows, labels).save(out / "features.png")
    return {f"gain of {layer}": gain for layer, gain in zip(LAYERS, gains, strict=True)}


def diversity(out: Path) -> Numbers:
    """One channel four times: alike, and with a weight on being different."""
    rows, numbers = [], {}
    for weight in (0.0, 10.0):
        folder = out / "work" / f"diversity_{weight:g}"
        texopt_command(
            "image", "--target", "blocks.4:61", "--frames", 4, "--diversity", weight, "--size", 224, "--steps", 160,
            "--out", folder,
        )  # fmt: skip
        images = [opened(folder / f"image_{number}.png") for number in range(1, 5)]
        rows.append(images)
        extractor = texopt.load_backbone("efficientnet_lite1")
        with torch.no_grad():
            seen = torch.stack([to_tensor(one) for one in images])
            maps = extractor(seen, ["blocks.3"])["blocks.3"].flatten(2)
        grams = torch.nn.functional.normalize((maps @ maps.transpose(1, 2)).flatten(1), dim=1)
        numbers[f"similarity at {weight:g}"] = float((grams @ grams.T).triu(1).sum() / 6)
    sheet(rows).save(out / "diversity.png")
    return numbers


def _apart(images: list[Image.Image]) -> float:
    """One minus the correlation of an image with the next: how far things move."""
    grey = [np.asarray(one.convert("L").reduce(4), float).ravel() for one in images]
    return 1 - float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairwise(grey)]))


def interpolation(out: Path) -> Numbers:
    """From one channel to another in six frames, without and with a part that all share."""
    rows, numbers, layer, ends = [], {}, "blocks.4", (17, 30)
    network = texopt.load_backbone("efficientnet_lite0")
    for share, name in (("--no-share", "alone"), ("--share", "shared")):
        folder = out / "work" / f"interpolation{share}"
        texopt_command(
            "interpolate", *(f"{layer}:{index}" for index in ends), "--frames", 6, "--size", 192, "--steps", 160, share,
            "--out", folder,
        )  # fmt: skip
        images = [opened(folder / f"image_{number}.png") for number in range(1, 7)]
        rows.append(images)
        numbers[f"{name}: 1 - correlation"] = _apart(images)
        steps = [np.abs(np.asarray(a, float) - np.asarray(b, float)).mean() for a, b in pairwise(images)]
        numbers[f"{name}: pixels apart"] = float(np.mean(steps))
        for image, index, end in zip((images[0], images[-1]), ends, ("first", "last"), strict=True):
            with torch.no_grad():
                found = network(to_tensor(image)[None], [layer])[layer][:, index].mean()
            numbers[f"{name}: activation of the {end}"] = float(found)
    sheet(rows, cell=192).save(out / "interpolation.png")
    (out / "interpolation.gif").write_bytes((folder / "image.gif").read_bytes())
    return numbers


class RgbTexture(torch.nn.Module):
    """What one would write first, to compare with: red, green and blue of every texel, before a sigmoid.

    All that a texture has to have is `sample` and `bake`. start: [3,H,W] in [0,1], or None for noise.
    """

    def __init__(self, size: int, start: torch.Tensor | None = None) -> None:
        super().__init__()
        noise = 0.01 * torch.randn(3, size, size, generator=torch.Generator().manual_seed(0))
        self.values = torch.nn.Parameter(
            noise if start is None else resized(start, size, size).clamp(0.01, 0.99).logit()
        )

    def sample(self, fragments: Fragments) -> torch.Tensor:
        return look_up(self.values.sigmoid(), fragments)

    def bake(self, height: int | None = None, width: int | None = None) -> torch.Tensor:
        side = self.values.shape[1]
        return resized(self.values.detach().sigmoid(), height or side, width or side)


def _fine(image: Image.Image) -> float:
    """The share of an image's power that is above half of the highest frequency it can have, along rows or columns."""
    grey = np.asarray(image.convert("L"), float)
    window = np.hanning(image.height)[:, None] * np.hanning(image.width)
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    rows, columns = (np.abs(np.fft.fftfreq(side)) for side in grey.shape)
    return float(power[np.maximum(rows[:, None], columns) > 0.25].sum() / power.sum())


def _painted(size: int) -> tuple[Image.Image, Image.Image, texopt.Mesh, texopt.Objective]:
    """A photo, a painting, the photo as a mesh, and the loss of the one in the other's style."""
    before, painting = photo(size, size), opened(STYLES / "brush.jpg")
    mesh = texopt.canvas(before)
    style = texopt.style(painting, scale=1 / (2 * mesh.normalization()[1]), decay=0.0)
    return before, painting, mesh, style + 4.0 * texopt.content()


def style_transfer(out: Path) -> Numbers:
    """The same network, loss, rate and steps in four parameterisations: from noise, and in the painting's colours."""
    size = 256
    before, painting, mesh, goal = _painted(size)
    judge = texopt.load_backbone("efficientnet_lite1")
    kinds = {
        "RGB": RgbTexture, "pixel": texopt.PixelTexture, "fourier": texopt.FourierTexture,
        "pyramid": texopt.PyramidTexture,
    }  # fmt: skip
    rows, labels, numbers = [], [], {}
    for name, start in (("noise", None), ("repainted", texopt.repainted(mesh, painting)[0])):
        rows.append([before if start is None else to_image(start)])
        labels.append(["photo" if start is None else "the photo in the painting's colours"])
        for kind, make in kinds.items():
            texture = make(size, start=start)
            texopt.optimize(
                mesh,
                texture,
                goal,
                steps=400,
                views=texopt.Views(size=size, cameras=texopt.whole(mesh)),
                descent=texopt.Descent(schedule="constant"),
            )
            image = to_image(texture.bake())
            found = {one.name: one.result for one in evaluate_image(image, before, [painting], judge).numbers}
            found["fine"] = _fine(image)
            numbers |= {f"{name}, {kind}: {key}": value for key, value in found.items()}
            rows[-1].append(image)
            labels[-1].append(f"{kind}: " + ", ".join(f"{key} {value:.2f}" for key, value in found.items()))
    numbers["photo: fine"] = _fine(before)
    sheet(rows, labels, 320).save(out / "style_transfer.png")
    return numbers


def optimizers(out: Path) -> Numbers:
    """The same style transfer by several optimisers, each with the default rate and as many looks at the image."""
    size, looks, images, labels, numbers = 256, 200, [], [], {}
    _, painting, mesh, goal = _painted(size)
    start = texopt.repainted(mesh, painting)[0]
    for name in ("adam", "rmsprop", "adagrad", "momentum", "sgd", "lbfgs"):
        texture = texopt.FourierTexture(size, start=start)
        steps = looks // 5 if name == "lbfgs" else looks
        result = texopt.optimize(
            mesh,
            texture,
            goal,
            steps=steps,
            views=texopt.Views(size=size, cameras=texopt.whole(mesh)),
            descent=texopt.Descent(optimizer=name),
        )
        images.append(to_image(texture.bake()))
        numbers[name] = result.history[-1].terms["loss"]
        labels.append(f"{name}: loss {numbers[name]:.2f}")
    numbers["at the start"] = result.history[0].terms["loss"]
    sheet([images[:3], images[3:]], [labels[:3], labels[3:]], 320).save(out / "optimizers.png")
    return numbers


def _near_the_middle(view: texopt.View) -> torch.Tensor:
    """One minus the mean opacity, which counts by the square of the distance from the middle."""
    height, width = view.alpha.shape[2:]
    y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    return 1 - (view.alpha[:, 0] * (x**2 + y**2)).flatten(1).mean(1).clamp(max=1)


def _either_or(view: texopt.View) -> torch.Tensor:
    """More and more in the course of a run: opacities that are near 0 or 1. At least 0, where all are a half."""
    return 1 - 4 * view.step / view.steps * (view.alpha * (1 - view.alpha)).flatten(1).mean(1)


def transparency(out: Path) -> Numbers:
    """Two neurons and a class, with what they do not need left out; below, their opacity."""
    images, alphas, numbers = [], [], {}
    targets = ("blocks.4:61@center", "blocks.5:55@center", "daisy")
    for target in targets:
        mesh = texopt.canvas(size=(224, 224))
        texture = texopt.TransparentTexture(texopt.FourierTexture(256), 256)
        texopt.optimize(
            mesh,
            texture,
            parse_target(target) * _near_the_middle * _either_or,
            steps=350,
            views=texopt.Views(size=224, cameras=texopt.whole(mesh), transform=robust()),
        )
        image = to_image(texture.bake(224, 224))
        images.append(on_checks(image))
        alphas.append(image.getchannel("A"))
        alpha = np.asarray(alphas[-1]) / 255
        numbers[f"{target}: mean opacity"] = float(alpha.mean())
        numbers[f"{target}: share under 0.1 or above 0.9"] = float(((alpha < 0.1) | (alpha > 0.9)).mean())
    sheet([images, alphas], [targets, [""] * len(targets)]).save(out / "transparency.png")
    return numbers


def large(out: Path) -> Numbers:
    """12 megapixels in the style of a woodcut, in crops, and what memory that takes at most."""
    before, folder = out / "work" / "large.png", out / "work" / "large"
    before.parent.mkdir(parents=True, exist_ok=True)
    photo(1536, 2048).resize((4096, 3072), Image.Resampling.LANCZOS).save(before)
    command = [
        sys.executable, "-m", "texopt", "image", str(before), "--style", str(STYLES / "woodcut.jpg"), "--steps", "450",
        "--style-scale", "0.2", "--strength", "0.7", "--out", str(folder),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    image = opened(folder / "image.png")
    parts = [image.crop((left, top, left + 512, top + 512)) for left, top in ((1100, 900), (2900, 1200))]
    labels = [f"{image.width} x {image.height}", "512 x 512 of it, one to one", "and elsewhere"]
    sheet([[image, *parts]], [labels], 512).save(out / "large.png")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    return {"GB at most": peak, "megapixels": image.width * image.height / 1e6}


def tile(out: Path) -> Numbers:
    """Textures of a style alone that go on across their borders: each four times."""
    images, numbers = [], {}
    for name in ("mosaic", "woodcut", "brush"):
        folder = out / "work" / f"tile_{name}"
        texopt_command(
            "image", "--style", STYLES / f"{name}.jpg", "--tileable", "--size", 256, "--steps", 250, "--out", folder
        )
        texopt_command("evaluate", folder)
        found = json.loads((folder / "metrics.json").read_text())["numbers"]
        numbers |= {f"{name}: {key}": found[key]["result"] for key in ("style", "border")}
        one = opened(folder / "image.png")
        four = Image.new("RGB", (2 * one.width, 2 * one.height))
        for place in range(4):
            four.paste(one, (place % 2 * one.width, place // 2 * one.height))
        images.append(four)
    sheet([images], cell=448).save(out / "tile.png")
    return numbers


def dream(out: Path) -> Numbers:
    """What layers see in a picture, amplified."""
    before = out / "work" / "photo.png"
    before.parent.mkdir(parents=True, exist_ok=True)
    photo().save(before)
    images, numbers = [opened(before)], {}
    for layer in ("blocks.2", "blocks.4", "blocks.5"):
        folder = out / "work" / f"dream_{layer}"
        texopt_command("image", before, "--target", f"{layer}:*", "--steps", 60, "--octaves", 3, "--out", folder)
        images.append(opened(folder / "image.png"))
        lines = (folder / "history.csv").read_text().splitlines()
        numbers[f"{layer}, times as much"] = float(lines[-1].split(",")[-1]) / float(lines[1].split(",")[-1])
    sheet([images], [["photo", "blocks.2:*", "blocks.4:*", "blocks.5:*"]], 448).save(out / "dream.png")
    return numbers


def inversion(out: Path) -> Numbers:
    """What layers of growing depth know of a picture."""
    before = out / "work" / "photo.png"
    before.parent.mkdir(parents=True, exist_ok=True)
    photo(224, 224).save(out / "work" / "small.png")
    goal = opened(out / "work" / "small.png")
    images, numbers = [goal], {}
    layers = ("blocks.0", "blocks.2", "blocks.4", "blocks.6")
    for layer in layers:
        folder = out / "work" / f"inversion_{layer}"
        texopt_command(
            "image", out / "work" / "small.png", "--invert", layer, "--smooth", 1.0, "--steps", 250, "--out", folder
        )
        images.append(opened(folder / "image.png"))
        difference = np.asarray(images[-1], float) - np.asarray(goal, float)
        numbers[f"error of {layer}"] = float(np.sqrt((difference**2).mean()) / 255)
    sheet([images], [["photo", *layers]]).save(out / "inversion.png")
    return numbers
