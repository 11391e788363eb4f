"""The options of `texopt style` that say what becomes of a mesh, from the command line to the texture."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import check_one_line, make_cube
from fields import two_materials
from PIL import Image

from texopt.cli.main import main
from texopt.cli.options.presets import PRESETS, preset_values
from texopt.cli.options.runs import StyleConfig
from texopt.errors import OptionError
from texopt.io.export import export
from texopt.mesh.mesh import Mesh
from texopt.system.images import load_image, to_image, to_tensor

pytestmark = pytest.mark.usefixtures("little_written")

SMALL = ["--steps", "6", "--view-size", "32", "--texture-size", "64", "--format", "png", "--style-scale", "0.5"]


def soft(size: int, seed: int) -> torch.Tensor:
    values = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(values, (size, size), mode="bilinear")[0]


@pytest.fixture
def mesh(tmp_path: Path) -> str:
    path = tmp_path / "in" / "cube.obj"
    export(make_cube(), [soft(64, 0)], path)
    return str(path)


@pytest.fixture
def two(tmp_path: Path) -> str:
    """A mesh of two materials, left and Right."""
    path = tmp_path / "in" / "cube.obj"
    export(two_materials(), [soft(16, 0), soft(16, 1)], path)
    return str(path)


@pytest.fixture
def paintings(tmp_path: Path) -> list[str]:
    paths = [str(tmp_path / f"{name}.png") for name in ("red", "blue")]
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(3)) * 0.2
    for path, tint in zip(paths, ((0.7, 0.05, 0.1), (0.1, 0.05, 0.7)), strict=True):
        to_image(noise + torch.tensor(tint)[:, None, None]).save(path)
    return paths


def styled(out: Path, *arguments: str) -> Path:
    assert main(["style", *arguments, "--out", str(out), *SMALL]) == 0
    return out


def texture(folder: Path, name: str = "cube.png") -> torch.Tensor:
    return to_tensor(load_image(folder / name))


def used(image: torch.Tensor) -> torch.Tensor:
    """The texels of the cube's sides, a little inside."""
    return torch.cat([
        image[:, 4 + 32 * row : 28 + 32 * row, 4 + 21 * column : 17 + 21 * column].flatten(1)
        for row in range(2) for column in range(3)
    ], 1)  # fmt: skip


# strength


def test_strength_0_is_the_original(mesh: str, paintings: list[str], tmp_path: Path) -> None:
    after = used(texture(styled(tmp_path / "out", mesh, paintings[0], "--strength", "0")))
    assert (after - used(soft(64, 0))).abs().max() <= 4 / 255


@pytest.mark.slow
def test_strength_moves_away_from_the_original(mesh: str, paintings: list[str], tmp_path: Path) -> None:
    original = used(soft(64, 0))
    distances = []
    for strength in ("0.1", "0.3", "1"):
        after = used(texture(styled(tmp_path / strength, mesh, paintings[0], "--strength", strength)))
        distances.append(float((after - original).abs().mean()))
    assert all(b > 1.2 * a for a, b in pairwise(distances))
    assert distances[0] > 0.01


# several paintings


@pytest.mark.slow
def test_the_whole_share_is_the_painting_alone(mesh: str, paintings: list[str], tmp_path: Path) -> None:
    alone = styled(tmp_path / "alone", mesh, paintings[0])
    first = styled(tmp_path / "first", mesh, *paintings, "--blend", "1", "0")
    half = styled(tmp_path / "half", mesh, *paintings)
    assert (first / "cube.png").read_bytes() == (alone / "cube.png").read_bytes()
    assert (half / "cube.png").read_bytes() != (alone / "cube.png").read_bytes()
    red = [float(used(texture(folder))[0].mean() - used(texture(folder))[2].mean()) for folder in (alone, half)]
    assert red[0] > 2 * abs(red[1])


@pytest.mark.slow
@pytest.mark.parametrize("kept", [[], ["--keep-strokes"]], ids=["style", "colours"])
def test_every_material_takes_its_own_paintings_colour(
    kept: list[str], two: str, paintings: list[str], tmp_path: Path
) -> None:
    options = ["--content-weight", "0", "--seam-weight", "0", "--learning-rate", "0.3", "--where", "left", "not left"]
    out = tmp_path / "out"
    assert main(["style", two, *paintings, *options, *kept, "--out", str(out), *SMALL, "--steps", "60"]) == 0
    names = sorted(path.name for path in out.glob("cube*.png"))
    assert len(names) == 2
    left, right = (texture(out, next(name for name in names if part in name.lower())) for part in ("left", "right"))
    assert left[0].mean() > left[2].mean() + 0.1
    assert right[2].mean() > right[0].mean() + 0.1


# what is kept


@pytest.mark.slow
def test_the_originals_colours_are_kept(mesh: str, paintings: list[str], tmp_path: Path) -> None:
    mean = used(soft(64, 0)).mean(1)
    free, kept, strokes = (
        (used(texture(styled(tmp_path / f"out{index}", mesh, paintings[0], *options))).mean(1) - mean).abs().max()
        for index, options in enumerate(([], ["--keep-colors"], ["--keep-strokes"]))
    )
    assert kept < 0.3 * free
    assert strokes > 2 * kept  # the reverse


def test_keep_strokes_logs_colours(mesh: str, paintings: list[str], tmp_path: Path) -> None:
    out = styled(tmp_path / "out", mesh, paintings[0], "--keep-strokes")
    assert (out / "history.csv").read_text().startswith("step,seconds,colors,content,seam,loss")


def test_close_ups_run_and_strength_1_has_no_content(mesh: str, paintings: list[str], tmp_path: Path) -> None:
    options = ["--close-ups", "0.5", "--strength", "1", "--content-loss", "l1"]
    out = styled(tmp_path / "out", mesh, paintings[0], *options)
    assert (out / "history.csv").read_text().startswith("step,seconds,style,patches,seam,loss")


# config.yaml


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["blend", "where"])
def test_config_of_several_paintings_gives_the_same_bytes(
    kind: str, two: str, paintings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from another folder: paths are absolute."""
    Image.fromarray(np.eye(16, dtype=np.uint8).repeat(4, 0).repeat(4, 1) * 255).save(tmp_path / "paint.png")
    monkeypatch.chdir(tmp_path)
    here = [Path(path).name for path in paintings]
    values = {"blend": ["3", "1"], "where": ["left=paint.png,right", "not right, left=paint.png"]}[kind]
    out = styled(tmp_path / "out", "in/cube.obj", *here, f"--{kind}", *values)
    saved = yaml.safe_load((out / "config.yaml").read_text())
    assert saved["style"] == [str(Path(path).resolve()) for path in paintings]
    if kind == "where":
        paint = (tmp_path / "paint.png").resolve()
        assert saved["where"] == [f"left={paint},right", f"not right,left={paint}"]
    else:
        assert saved["blend"] == [3.0, 1.0]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = tmp_path / "again"
    assert main(["style", "--config", str(out / "config.yaml"), "--out", str(again)]) == 0
    for picture in out.glob("cube*.png"):
        assert (again / picture.name).read_bytes() == picture.read_bytes()


# presets


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[StyleConfig]:
    """What commands would be run with."""
    found: list[Any] = []
    monkeypatch.setattr("texopt.cli.commands.run", lambda command, config, *_: found.append(config) or 0)
    return found


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_sets_its_values_and_nothing_else(name: str, parsed: list[StyleConfig]) -> None:
    assert main(["style", "a.obj", "b.jpg"]) == 0
    assert main(["style", "a.obj", "b.jpg", "--preset", name]) == 0
    plain, preset = (vars(config) for config in parsed)
    assert preset["preset"] == name
    assert {key: preset[key] for key in PRESETS[name]} == PRESETS[name]
    assert {key for key in plain if plain[key] != preset[key]} <= set(PRESETS[name]) | {"preset"}
    assert set(PRESETS[name]) <= set(plain)


def test_explicit_options_win_over_a_preset_and_a_preset_over_a_config(
    parsed: list[StyleConfig], tmp_path: Path
) -> None:
    assert main(["style", "a.obj", "b.jpg", "--steps", "7", "--preset=final"]) == 0
    assert (parsed[0].steps, parsed[0].texture_size) == (7, 4096)
    assert main(["style", "a.obj", "b.jpg", "--preset", "draft", "--preset=final"]) == 0
    last = parsed.pop()
    assert (last.preset, last.steps) == ("final", PRESETS["final"]["steps"])
    file = tmp_path / "config.yaml"
    file.write_text("command: style\nmesh: c.obj\nstyle: [d.jpg, e.jpg]\nsteps: 11\nseed: 5\nview_size: 640\n")
    assert main(["style", "--config", str(file), "--preset", "draft", "--view-size", "96"]) == 0
    config = parsed[1]
    assert config.mesh == Path("c.obj")
    assert config.style == (Path("d.jpg"), Path("e.jpg"))
    assert (config.steps, config.seed, config.view_size) == (PRESETS["draft"]["steps"], 5, 96)
    assert config.preset == "draft"


def test_a_preset_that_a_config_names_is_meant(parsed: list[StyleConfig], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("mesh: c.obj\nstyle: [d.jpg]\npreset: final\nsteps: 11\n")
    assert main(["style", "--config", str(file)]) == 0
    assert (parsed[0].preset, parsed[0].texture_size, parsed[0].steps) == ("final", 4096, 11)


def test_a_preset_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OptionError, match="draft, standard, final, gram, distill-2018"):
        preset_values("fast")
    check_one_line(["style", "a.obj", "b.jpg", "--preset", "fast"], "preset has to be one of", capsys)
    check_one_line(["style", "a.obj", "b.jpg", "--preset"], "--preset needs a value", capsys)


# what cannot be


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strength", "1.5"], "strength has to be between 0"), (["--strength", "nan"], "strength"),
        (["--blend", "1"], "each of the 2 paintings"), (["--blend", "1", "-1"], "0 or more"),
        (["--blend", "0", "0"], "not all 0"), (["--where", "left"], "each of the 2 paintings; it names 1"),
        (["--where", "left", "head"], "no material 'head'"), (["--where", "left", ""], "a region is empty"),
        (["--where", "left", "missing.png"], "several textures"),
        (["--where", "left", "right=missing.png"], "missing.png does not exist"),
        (["--where", "left", "right", "--blend", "1", "1"], "take one of them"),
        (["--keep-colors", "--keep-strokes"], "take one of them"),
        (
            ["--style-weight", "0", "--patch-weight", "0", "--content-weight", "0", "--seam-weight", "0"],
            "not all 0",
        ),
        (["--clouds", "-1"], "clouds have to be between"),
        (["--coarse", "2"], "coarse has to be a share"),
        (["--close-ups", "1.5"], "share of close-ups"), (["--close-ups", "0.5", "--zoom", "1"], "zoom has to be"),
        (["--style-scale", "9"], "scale"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_refused_in_one_line(
    options: list[str], message: str, two: str, paintings: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    small = SMALL[:-2] if "--style-scale" in options else SMALL
    check_one_line(["style", two, *paintings, *small, *options], message, capsys)
    assert not (tmp_path / "outputs").exists()


def test_no_painting(mesh: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_one_line(["style", mesh], "there is no painting", capsys)


def test_an_odd_part_is_found_before_anything_is_computed(two: str, paintings: list[str]) -> None:
    from texopt.cli.style_recipe import check_style, style_objective
    from texopt.io.load import load_mesh

    config = StyleConfig(mesh=Path(two), style=tuple(map(Path, paintings)), where=("left", "nose"))
    loaded: Mesh = load_mesh(two)
    with pytest.raises(OptionError, match="nose"):
        style_objective(config, loaded, check_style(config))
