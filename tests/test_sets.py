"""`texopt style` of several meshes, which share a painting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_cube
from PIL import Image
from settings import grouped

import texopt
from texopt import FeatureExtractor, View
from texopt.cli.main import main
from texopt.cli.options.runs import StyleConfig
from texopt.cli.options.saved import from_yaml
from texopt.io.export import export
from texopt.mesh.common_scale import common_radii

SMALL = ["--steps", "3", "--texture-size", "32", "--view-size", "64", "--style-scale", "0.5"]


def cube_file(path: Path, size: float = 1.0) -> Path:
    cube = make_cube()
    export(
        replace(cube, vertices=size * cube.vertices),
        [torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))],
        path,
    )
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two meshes and a painting."""
    painting = tmp_path / "painting.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(painting)
    return [str(cube_file(tmp_path / "one.obj")), str(cube_file(tmp_path / "two.obj", 2.0)), str(painting)]


@pytest.mark.usefixtures("little_written")
def test_a_set_has_a_folder_for_each_mesh(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, painting = files
    out = tmp_path / "out"
    assert main(["style", one, two, "--style", painting, *SMALL, "--out", str(out)]) == 0
    assert "each of the 2 meshes" in capsys.readouterr().out
    for name in ("one", "two"):
        written = {file.name for file in (out / name).iterdir()}
        assert {"config.yaml", f"{name}.obj", f"{name}.png", "preview.png"} <= written
    assert not (out / "checkpoint.safetensors").exists()
    history = (out / "one" / "history.csv").read_text().splitlines()
    assert len(history) == 1 + 2 * 3  # as many steps for each as it would have alone
    values = from_yaml("style", out / "config.yaml")
    assert values["together"] == (Path(two),)
    assert main(["evaluate", str(out / "two")]) == 0

    again = tmp_path / "again"
    assert main(["style", one, painting, "--together", two, *SMALL, "--out", str(again)]) == 0
    for name in ("one/one.png", "two/two.png"):
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_options_may_stand_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[StyleConfig] = []
    monkeypatch.setattr("texopt.cli.commands.run", lambda _, config, *_others: seen.append(config) or 0)
    main(["style", "a.obj", "b.obj", "c.obj", "--steps", "7", "--style", "p.png", "q.png", "--blend", "1", "2"])
    main(["style", "a.obj", "--style", "p.png"])
    (several, alone) = seen
    assert (several.mesh, several.together) == (Path("a.obj"), (Path("b.obj"), Path("c.obj")))
    assert (several.style, several.steps, several.blend) == ((Path("p.png"), Path("q.png")), 7, (1.0, 2.0))
    assert (alone.mesh, alone.style, alone.together) == (Path("a.obj"), (Path("p.png"),), ())


@pytest.mark.usefixtures("small_network")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["gone.obj"], "gone.obj does not exist; nothing was started"),
        (["other/one.obj"], "two meshes of the set are named one"),
        (["--live"], "--live is for one mesh"),
        (["--close-ups=0.3"], "--close-ups (and --preset final) is for one mesh"),
        (["--keep-colors"], "--keep-colors"),
    ],
)
def test_what_a_set_cannot_be(
    files: list[str], more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, painting = files
    (tmp_path / "other").mkdir()
    cube_file(tmp_path / "other" / "one.obj")
    extra = [str(tmp_path / name) for name in more if name.endswith(".obj")]
    options = [name for name in more if name.startswith("--")]
    out = tmp_path / "out"
    assert main(["style", one, two, *extra, "--style", painting, *options, *SMALL, "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_paintings_have_to_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["style", "a.obj", "--style"]) == 2
    assert "after all meshes" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("little_written")
def test_a_set_that_was_stopped_goes_on(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, painting = files
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert main(["style", one, two, "--style", painting, *SMALL, "--out", str(whole)]) == 0

    def stop(self: object, step: texopt.Step) -> None:
        if step.number == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("texopt.show.progress.ProgressBar.__call__", stop)
        main(["style", one, two, "--style", painting, *SMALL, "--checkpoint-seconds", "0", "--out", str(stopped)])
    assert (stopped / "checkpoint.safetensors").exists()
    assert main(["resume", str(stopped)]) == 0
    for name in ("one/one.png", "two/two.png"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.usefixtures("small_network")
def test_a_row_of_a_table_is_a_set(files: list[str], tmp_path: Path) -> None:
    from texopt.cli.batch.table import read_rows
    from texopt.cli.options.saved import field_values

    table = tmp_path / "jobs.csv"
    table.write_text(f"mesh,together,style\none.obj,two.obj three.obj,{files[2]}\n")
    ((_, row, convert),) = read_rows(table)
    values = field_values("style", row, "row", convert)
    assert values["together"] == (Path("two.obj"), Path("three.obj"))


def test_common_scale_draws_meshes_in_their_sizes(extractor: FeatureExtractor) -> None:
    cube = make_cube()
    half, tiny = (replace(cube, vertices=size * cube.vertices) for size in (0.5, 0.01))
    assert common_radii([cube, half]) == [cube.normalization()[1]] * 2
    assert common_radii([cube, tiny])[1] == pytest.approx(4 * tiny.normalization()[1])
    areas: list[float] = []

    def look(view: View) -> torch.Tensor:
        areas.append(float(view.mask.mean()))
        return view.image.mean()

    textures = [texopt.PixelTexture(16) for _ in range(2)]
    options = {
        "steps": 2,
        "view_size": 256,
        "backbone": extractor,
        "cameras": texopt.orbit(torch.tensor([30.0]), torch.tensor([20.0])),
    }
    texopt.optimize([cube, half], textures, look, **grouped(common_scale=True, **options))  # type: ignore[call-overload]
    texopt.optimize([cube, half], textures, look, **grouped(**options))  # type: ignore[call-overload]
    assert areas[1] / areas[0] == pytest.approx(0.25, rel=0.03)
    assert areas[3] == pytest.approx(areas[2], rel=0.01)
