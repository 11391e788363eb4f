"""What several tests share: small meshes, a small network, and a quiet, reproducible torch."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from texopt import FeatureExtractor, Mesh, TextureMap
from texopt.io.unwrapping.unwrap import unwrap_here

MESHES = Path(__file__).parent.parent / "meshes"
STYLES = MESHES / "styles"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="slow tests, too, and long repetitions to their end")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests are for --all, and for who asks for them."""
    if config.getoption("--all") or "slow" in config.option.markexpr:
        return
    skipped = pytest.mark.skip(reason="slow; --all runs it")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skipped)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """What a test has logged may quote names that are no Unicode, which xdist does not send."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]


@pytest.fixture(scope="session")
def everything(request: pytest.FixtureRequest) -> bool:
    """Whether long repetitions are for their whole length, or for a sample."""
    return bool(request.config.getoption("--all"))


def pytest_configure(config: pytest.Config) -> None:
    """Without -m gpu no test sees a graphics card: most compare digits, which only the CPU repeats."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Tests that draw random numbers draw the same ones every time, and leave torch as it was."""
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """The command takes the log over; a test that runs it gives it back."""
    log = logging.getLogger("texopt")
    handlers, propagate, level = log.handlers, log.propagate, log.level
    yield
    log.handlers, log.propagate = handlers, propagate
    log.setLevel(level)


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest) -> Iterator[None]:
    """What takes seconds and matters to few tests: an interpreter for each unwrapping (tests of that are marked), and
    many views to find which texels are seen."""
    with pytest.MonkeyPatch.context() as patch:  # of its own, so that a test's is undone when it was
        if "own_process" not in request.keywords:
            patch.setattr("texopt.io.unwrapping.unwrap._run_worker", unwrap_here)
        patch.setattr("texopt.render.reached.COVERAGE_VIEWS", 12)
        patch.setattr("texopt.render.reached.COVERAGE_SIZE", 128)
        yield


def slow(value: Any) -> Any:
    """A value of a parameter that only --all tries."""
    return pytest.param(value, marks=pytest.mark.slow)


def check_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command refuses, with exit code 2 and one line that has `message` in it."""
    from texopt.cli.main import main

    assert main(arguments) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("texopt: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in captured.err
    assert captured.out == ""


def make_cube(original: np.ndarray | None = None) -> Mesh:
    """A cube whose six sides have a sixth of the texture each, in three columns and two rows."""
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces, uvs, face_uvs = [], [], []
    for side, (a, b, c, d) in enumerate(quads):
        faces += [(a, b, c), (a, c, d)]
        left, low = (side % 3) / 3 + 0.02, (side // 3) / 2 + 0.02
        uvs += [(left, low), (left + 0.29, low), (left + 0.29, low + 0.46), (left, low + 0.46)]
        face_uvs += [(4 * side, 4 * side + 1, 4 * side + 2), (4 * side, 4 * side + 2, 4 * side + 3)]
    return Mesh(
        "cube", signs, np.array(faces, np.int32), np.array(uvs), np.array(face_uvs, np.int32), None, None,
        (TextureMap(np.full((1, 1, 3), 128, np.uint8) if original is None else original),),
    )  # fmt: skip


@pytest.fixture
def cube() -> Mesh:
    return make_cube()


def make_network(seed: int = 0) -> nn.Module:
    """Two convolutions with batch normalisation and a classifier: a stand-in for a pretrained network."""
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=False))
    network.add_module("bn1", nn.BatchNorm2d(8))
    network.add_module("act1", nn.ReLU(inplace=True))
    network.add_module("conv2", nn.Conv2d(8, 12, 3, stride=2, padding=1))
    network.add_module("act2", nn.ReLU(inplace=True))
    network.add_module("pool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flat", nn.Flatten())
    network.add_module("head", nn.Linear(12, 10))
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
                if name.endswith(("running_var", "bn1.weight")):
                    value.abs_().add_(0.5)
    return network


@pytest.fixture
def extractor() -> FeatureExtractor:
    return FeatureExtractor(
        make_network(), mean=(0.5,) * 3, std=(0.25,) * 3, style_layers=("act1", "act2"), content_layer="act2"
    )


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch, extractor: FeatureExtractor) -> None:
    """The commands look with the small network, whatever backbone they are told to take."""
    for module in ("commands.evaluation", "tasks.mesh_task", "tasks.picture_task"):
        monkeypatch.setattr(f"texopt.cli.{module}.load_backbone", lambda *_: extractor)


@pytest.fixture
def small_originals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textures that are made of vertex colours and the like are small."""
    monkeypatch.setattr("texopt.io.original_textures.SIZE", 128)


@pytest.fixture
def quick_runs(monkeypatch: pytest.MonkeyPatch, small_network: None) -> None:
    """Runs of the command with a small network, whose starts and pictures are small."""
    monkeypatch.setattr("texopt.show.preview.CELL", 32)
    monkeypatch.setattr("texopt.evaluation.views.VIEWS", 4)
    monkeypatch.setattr("texopt.texture.paintings.SIZE", 64)
    monkeypatch.setattr("texopt.texture.paintings.SAMPLES", 2048)


@pytest.fixture
def little_written(monkeypatch: pytest.MonkeyPatch, quick_runs: None) -> None:
    """Quick runs of the command that write little beside the texture."""
    monkeypatch.setattr("texopt.optim.result.loss_plot", lambda history: b"")
    monkeypatch.setattr("texopt.optim.result.viewer_html", lambda *parts: b"")
