"""The memory that a run is said to take, and the sizes that are said to fit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import MESHES, STYLES, check_one_line, make_cube
from hypothesis import given, settings
from hypothesis import strategies as st

import texopt
from texopt import FeatureExtractor
from texopt.cli import memory_budget
from texopt.cli.memory_budget import GB, MB, ActivationSizes, Shape, estimate, parse_limit
from texopt.cli.options.runs import StyleConfig
from texopt.errors import OptionError
from texopt.system import memory

NETWORK = ActivationSizes(saved=330, kept=58)
PROCESS = 900 * MB
SHAPE = Shape(make_cube())

configs = st.builds(
    StyleConfig, mesh=st.just(Path("cube.obj")), style=st.just((Path("a.jpg"),)),
    steps=st.sampled_from([1, 10, 300]), texture_size=st.sampled_from([64, 512, 1024, 2048, 4096, 8192]),
    texture=st.sampled_from(["pyramid", "fourier", "pixel", "cppn"]),
    view_size=st.integers(1, 32).map(lambda n: 32 * n),
    views_per_step=st.integers(1, 4), close_ups=st.sampled_from([0.0, 0.3, 1.0]),
    start=st.sampled_from(["repainted", "noise", "original"]),
)  # fmt: skip


def total(config: StyleConfig, shape: Shape = SHAPE) -> int:
    return estimate(config, shape, NETWORK, PROCESS).total


LARGER: list[Callable[[StyleConfig], StyleConfig]] = [
    lambda config: replace(config, texture_size=min(2 * config.texture_size, 8192)),
    lambda config: replace(config, view_size=config.view_size + 32),
    lambda config: replace(config, views_per_step=config.views_per_step + 1),
    lambda config: replace(config, steps=2 * config.steps),
]


@settings(deadline=None, max_examples=60)
@given(configs, st.sampled_from(LARGER))
def test_whatever_is_larger_takes_no_less(config: StyleConfig, larger: Callable[[StyleConfig], StyleConfig]) -> None:
    assert total(larger(config)) >= total(config) > PROCESS


@settings(deadline=None, max_examples=20)
@given(configs, st.integers(1, 10**7))
def test_more_triangles_take_no_less(config: StyleConfig, triangles: int) -> None:
    shape = Shape(make_cube())
    shape.triangles = triangles
    few = total(config, shape)
    shape.triangles *= 2
    assert total(config, shape) >= few


@settings(deadline=None, max_examples=60)
@given(configs)
def test_what_views_touch_is_at_most_all_there_is(config: StyleConfig) -> None:
    dense = 12 * max(config.texture_size**2 - 1024**2, 0) * 4 / 3
    assert 0 <= SHAPE.touched(config) <= dense + 4096


def test_the_parts_of_the_largest_phase_add_up_to_the_total() -> None:
    found = estimate(StyleConfig(mesh=Path("a.obj"), style=(Path("a.jpg"),)), SHAPE, NETWORK, PROCESS)
    assert found.process + found.texture + sum(found.phases[found.phase].values()) == found.total
    assert replace(found, loaded=50 * GB).total == 50 * GB  # it has been taken already


@settings(deadline=None, max_examples=40)
@given(configs, st.integers(1000, 9000))
def test_the_sizes_that_are_named_fit(config: StyleConfig, limit: int) -> None:
    for other, text in memory_budget.alternatives(config, limit * MB, total):
        assert total(other) <= limit * MB
        for option, value in re.findall(r"--([a-z-]+) (\d+)", text):
            assert getattr(other, option.replace("-", "_")) == int(value)


@settings(deadline=None, max_examples=20)
@given(configs.filter(lambda config: config.texture_size > 64))
def test_the_largest_texture_that_fits_is_named(config: StyleConfig) -> None:
    half = replace(config, texture_size=config.texture_size // 2)
    if total(half) < total(config):
        named = [other for other, _ in memory_budget.alternatives(config, total(half), total)]
        assert half in named


@pytest.mark.parametrize(
    ("text", "size"),
    [("6GB", 6 * GB), ("6G", 6 * GB), ("6", 6 * GB), ("512MB", 512 * MB), (" 1.5 gb", 1.5 * GB), ("2GiB", 2**31)],
)
def test_limits_are_sizes_with_a_unit_or_gigabytes(text: str, size: float) -> None:
    assert parse_limit(text) == size


@pytest.mark.parametrize("text", ["", "much", "0", "-1GB", "6XB", "1e3", "GB", "1 2"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="size like 6GB"):
        parse_limit(text)


def test_activations_grow_with_the_network(extractor: FeatureExtractor) -> None:
    found = memory_budget.count_activations(extractor)
    assert found.kept == pytest.approx(4 * (8 / 4 + 12 / 16))  # two layers, of 8 and of 12 channels
    assert found.saved >= found.kept / 2


def test_a_run_that_does_not_fit_is_refused_before_it_starts(
    tmp_path: Path, small_network: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "resident", lambda: 900 * MB)
    monkeypatch.setattr(memory, "peak", lambda: 950 * MB)
    arguments = ["style", str(MESHES / "torus_knot.obj"), str(STYLES / "woodcut.jpg"), "--out", str(tmp_path / "out")]
    check_one_line([*arguments, "--texture-size", "8192", "--max-memory", "1.9GB"], "--texture-size 2048 would", capsys)
    check_one_line([*arguments, "--max-memory", "0.5GB"], "no size would fit", capsys)
    check_one_line([*arguments, "--max-memory", "plenty"], "size like 6GB", capsys)
    assert not (tmp_path / "out").exists()


def test_without_a_limit_too_little_memory_is_a_warning(
    extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = StyleConfig(mesh=Path("a.obj"), style=(Path("a.jpg"),))
    monkeypatch.setattr(memory, "available", lambda: 100 * GB)
    memory_budget.check(config, make_cube(), extractor)
    assert "the machine has" not in caplog.text
    monkeypatch.setattr(memory, "available", lambda: 1)
    memory_budget.check(config, make_cube(), extractor)
    assert "the machine has" in caplog.text


def test_the_machine_says_what_there_is() -> None:
    """On Linux as /proc has it, whatever the process that started this one had."""
    code = "from texopt.system import memory; print(memory.resident(), memory.peak(), memory.available())"
    block = np.ones(400 * MB, np.uint8)  # which a child does not have
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    now, most, may = map(int, done.stdout.split())
    assert 5 * MB < now <= most + MB  # counted at two moments, in pages
    assert most < len(block)
    assert now < may


@pytest.mark.parametrize("platform", ["win32", "darwin", "freebsd14"])
def test_other_systems_count_in_ways_of_their_own(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    used = SimpleNamespace(ru_maxrss=7 << 20 if platform == "darwin" else 7 << 10)
    monkeypatch.setitem(sys.modules, "resource", SimpleNamespace(getrusage=lambda who: used, RUSAGE_SELF=0))
    info = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=5 << 20, peak_wset=7 << 20))
    monkeypatch.setattr(memory.psutil, "Process", lambda: info)
    assert (memory.resident(), memory.peak()) == (5 << 20, 7 << 20)


RUN = """
import json, sys
from texopt.cli import memory_budget
from texopt.cli.main import main
from texopt.system import memory
check, found = memory_budget.check, []
memory_budget.check = lambda *a: found.append(check(*a))
assert main(sys.argv[1:]) == 0
print(json.dumps([found[0].total, memory.peak()]))  # getrusage would tell of pytest, where that has had more
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the numbers are of Linux")
@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes", [["--texture-size", "2048"], ["--texture-size", "512", "--view-size", "768"]], ids=["texture", "view"]
)
def test_a_run_takes_what_was_said(tmp_path: Path, sizes: list[str]) -> None:
    arguments = ["style", str(MESHES / "torus_knot.obj"), str(STYLES / "woodcut.jpg"), "--steps", "3", "--threads", "1"]
    root = str(Path(texopt.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments, "--out", str(tmp_path), *sizes],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": root},
    )  # fmt: skip
    said, taken = json.loads(done.stdout.splitlines()[-1])
    assert said == pytest.approx(taken, rel=0.25)
