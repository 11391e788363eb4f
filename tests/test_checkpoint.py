"""Checkpoints: a run that stopped, wherever, goes on as if it had not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_cube
from torch import Tensor, nn

import texopt
from texopt import Checkpoint, FeatureExtractor, FourierTexture, OptionError, PixelTexture, PyramidTexture, Step, View
from texopt.cli.main import main
from texopt.objectives import colors
from texopt.optim.checkpoint import NAME, read
from texopt.render.cameras import with_close_ups
from texopt.system.images import to_image

STEPS = 7


class Stopped(Exception):  # noqa: N818
    pass


class Wandering(nn.Module):
    """A loss that remembers what it has seen, in a buffer, as nn.Modules do."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.mean: Tensor

    def reset(self) -> None:
        self.mean = torch.zeros(())

    def forward(self, view: View) -> Tensor:
        self.mean = 0.9 * self.mean + view.image.detach().mean()
        return (view.image.mean() - self.mean).square()


def original() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)


def objective() -> texopt.Objective:
    picture = to_image(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)))
    terms: Any = texopt.style(picture) + 0.5 * texopt.content().below(0.3) + texopt.objective(Wandering())
    return terms + colors(picture) + 10 * texopt.seam()  # type: ignore[no-any-return]


def optimized(
    extractor: FeatureExtractor, texture: nn.Module, checkpoint: Any = None, stop: Callable[[Step], None] | None = None
) -> texopt.Result:
    far = texopt.sample_sphere()
    near = texopt.sample_sphere(distance=(0.3, 0.4))

    def closer(*arguments: Any) -> texopt.Cameras:
        from dataclasses import replace

        return replace(near(*arguments), zoom=2.0)

    return texopt.optimize(
        make_cube(original()),
        texture,
        objective(),
        steps=STEPS,
        views=texopt.Views(size=64, cameras=with_close_ups(far, closer, 0.4)),
        descent=texopt.Descent(learning_rate=0.05),
        backbone=extractor,
        device="cpu",
        on_step=stop,
        checkpoint=checkpoint,
    )


def stop_after(number: int, error: type[BaseException] = Stopped) -> Callable[[Step], None]:
    def stop(step: Step) -> None:
        if step.number == number:
            raise error

    return stop


TEXTURES: dict[str, Callable[[], nn.Module]] = {
    "pyramid": lambda: PyramidTexture(64, start=(0.4, 0.5, 0.6)),
    "pyramid with details": lambda: PyramidTexture(2048, start=(0.4, 0.5, 0.6)),
    "fourier": lambda: FourierTexture(64),
    "pixel": lambda: PixelTexture(64),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", TEXTURES)
def test_a_run_that_stopped_after_any_step_goes_on_bit_for_bit(
    extractor: FeatureExtractor, tmp_path: Path, kind: str
) -> None:
    """Stopped by Ctrl-C, by an error, or (the checkpoint of an earlier step is all there is) by the power."""
    make = TEXTURES[kind]
    whole = optimized(extractor, make())
    for number in (1, 4) if kind != "pyramid" else range(1, STEPS):
        path = tmp_path / f"{number}.safetensors"
        if number % 2:
            with pytest.raises(Stopped):
                optimized(extractor, make(), Checkpoint(path, seconds=0), stop_after(number))
        else:
            stopped = optimized(extractor, make(), path, stop_after(number, KeyboardInterrupt))
            assert stopped.interrupted
            assert len(stopped.history) == number
        assert read(path)["step"] == number
        resumed = optimized(extractor, make(), path)
        assert [step.number for step in resumed.history] == list(range(1, STEPS + 1))
        for before, after in zip(whole.history, resumed.history, strict=True):
            assert list(before.terms) == list(after.terms)
            np.testing.assert_array_equal(list(before.terms.values()), list(after.terms.values()))  # NaN and all
        assert torch.equal(whole.texture.bake(), resumed.texture.bake())
        seconds = [step.seconds for step in resumed.history]
        assert seconds == sorted(seconds)


@pytest.mark.slow
def test_within_a_step_only_that_step_is_lost(extractor: FeatureExtractor, tmp_path: Path) -> None:
    calls = 0

    def once(view: View) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return view.image.mean()

    def go(checkpoint: Path | None) -> texopt.Result:
        return texopt.optimize(
            make_cube(),
            PixelTexture(32),
            once,
            steps=5,
            views=texopt.Views(size=32),
            backbone=extractor,
            checkpoint=checkpoint,
        )

    path = tmp_path / "run.safetensors"
    assert len(go(path).history) == 3
    resumed = go(path)
    assert len(resumed.history) == 5
    assert torch.equal(resumed.image, go(None).image)


@pytest.mark.slow
def test_a_finished_run_gives_its_result_again(extractor: FeatureExtractor, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    first = optimized(extractor, PixelTexture(32), path)
    again = optimized(extractor, PixelTexture(32), path, stop_after(1))
    assert torch.equal(first.image, again.image)
    assert len(again.history) == STEPS
    anew = optimized(extractor, PixelTexture(32), Checkpoint(path, resume=False), stop_after(1, KeyboardInterrupt))
    assert len(anew.history) == 1
    assert read(path)["step"] == 1


def test_what_no_run_can_go_on_from(extractor: FeatureExtractor, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    optimized(extractor, PixelTexture(32), path, stop_after(2, KeyboardInterrupt))
    with pytest.raises(OptionError, match="is of a run with other textures; delete it to start anew"):
        optimized(extractor, PixelTexture(64), path)
    with pytest.raises(OptionError, match=r"the run had the terms style, .*, not red; start it again"):
        texopt.optimize(
            make_cube(),
            PixelTexture(32),
            texopt.objective(lambda view: view.image.mean(), "red"),
            steps=STEPS,
            views=texopt.Views(size=64),
            descent=texopt.Descent(learning_rate=0.05),
            backbone=extractor,
            checkpoint=path,
        )
    with pytest.raises(OptionError, match="is of a run with view_size 64, not 32; delete it to start anew"):
        texopt.optimize(
            make_cube(),
            PixelTexture(32),
            view_mean,
            steps=STEPS,
            views=texopt.Views(size=32),
            backbone=extractor,
            descent=texopt.Descent(learning_rate=0.05),
            checkpoint=path,
        )
    with pytest.raises(OptionError, match="seconds between checkpoints have to be 0 or more"):
        Checkpoint(path, seconds=-1)


def view_mean(view: View) -> Tensor:
    return view.image.mean()


def test_a_damaged_checkpoint_is_refused_and_nothing_else_happens(extractor: FeatureExtractor, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    optimized(extractor, PixelTexture(8), path, stop_after(2, KeyboardInterrupt))
    data = path.read_bytes()
    random = np.random.default_rng(0)
    for size in [0, 1, 7, 8, 9, *random.integers(10, len(data), 20).tolist(), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(OptionError, match="is no checkpoint, or a damaged one; start the run again"):
            read(path)
    header = 8 + int.from_bytes(data[:8], "little")
    for place in random.integers(0, header, 200).tolist():
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << int(random.integers(8)))]) + data[place + 1 :])
        try:
            read(path)
        except OptionError as error:
            assert "damaged" in str(error)  # noqa: PT017


def test_a_checkpoint_that_cannot_be_written_leaves_the_run_alone(
    extractor: FeatureExtractor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    result = optimized(extractor, PixelTexture(32), tmp_path / "file" / "run.safetensors")
    assert len(result.history) == STEPS
    assert "the run goes on without a checkpoint" in caplog.text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("details", [False, True])
def test_a_run_that_goes_on_lets_go_of_the_file(
    extractor: FeatureExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    details: bool,
) -> None:  # fmt: skip
    """Windows replaces and removes no file that a process has in its memory; neither does the system here."""

    def refusing(change: Callable[..., None]) -> Callable[..., None]:
        def changed(*paths: Any, **options: Any) -> None:
            if any(str(path) in Path("/proc/self/maps").read_text() for path in paths):
                raise PermissionError(13, "The process cannot access the file because it is being used")
            change(*paths, **options)

        return changed

    path = tmp_path / "run.safetensors"
    make = TEXTURES["pyramid with details" if details else "pixel"]
    for name in ("replace", "unlink"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    with pytest.raises(Stopped):
        optimized(extractor, make(), Checkpoint(path, seconds=0), stop_after(2))
    optimized(extractor, make(), Checkpoint(path, seconds=0))
    assert "cannot write" not in caplog.text
    state = read(path)
    assert state["step"] == STEPS
    path.unlink()


@pytest.mark.usefixtures("small_network")
def test_a_checkpoint_that_cannot_be_removed_takes_nothing_from_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path.name == NAME:
            raise PermissionError(13, "it is being used")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    out = tmp_path / "out"
    arguments = ["image", "--target", "act2:1", "--size", "64", "--steps", "2", "--checkpoint-seconds", "0"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"image.png", "loss.png", "history.csv", "config.yaml", NAME}
    said = capsys.readouterr()
    assert f"{NAME} cannot be removed (it is being used); the run is done and does not need it" in said.err
    assert said.out.startswith(str(out / "image.png"))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_rows_of_zeros_take_no_space(tmp_path: Path, share: float) -> None:
    from texopt.system.pages import empty_zeros

    values = empty_zeros(1 << 15, 16, 3)
    rows = torch.rand(len(values)) < share
    values[rows] = torch.randn(int(rows.sum()), 16, 3)
    values[-1, -1, -1] = -0.0
    path = tmp_path / "rows.safetensors"
    Checkpoint(path).write({"step": 1, "values": values, "same": values[:], "other": {0.5: [values[:2], None]}})
    found = read(path)
    assert torch.equal(found["values"].view(torch.int32), values.view(torch.int32))
    assert torch.equal(found["other"][0.5][0], values[:2])
    assert path.stat().st_size < (2.2 * share if share < 0.5 else 2) * 4 * values.numel() + 20000
