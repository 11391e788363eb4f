"""Runs on several processes that torchrun starts, on this machine with gloo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import MESHES, STYLES
from torch import Tensor

from texopt import OptionError
from texopt.system import distributed

WORKER = """
import os, signal, sys
import torch
sys.path.insert(0, {tests!r})
from conftest import make_cube, make_network
import texopt
import texopt.texture.pyramid
from texopt.system import distributed

def last_words(step):
    if {dies} and step.number == 3 and distributed.rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if {stops} and step.number == 3 and distributed.rank() == 1:
        os.kill(os.getpid(), signal.SIGINT)

torch.set_num_threads(1)
torch.manual_seed(0)
device = distributed.local_device({device!r})
with distributed.joined(torch.device(device)):
    picture = texopt.system.images.to_image(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)))
    mesh = make_cube()
    mesh = type(mesh)(**{{**vars(mesh), "maps": (texopt.TextureMap(
        (torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(1)) * 255).byte().numpy()),)}})
    extractor = texopt.FeatureExtractor(
        make_network().eval(), style_layers=["act1", "act2"], content_layer="act1").to(device)
    texopt.texture.pyramid.BASE = 256  # so that it has details
    texture = texopt.PyramidTexture(512, start=(0.4, 0.5, 0.6))
    objective = texopt.style(picture) + texopt.content().below(0.3) + 10 * texopt.seam()
    result = texopt.optimize(
        mesh, texture, objective, steps=6, views=texopt.Views(size=64, per_step=2),
        descent=texopt.Descent(learning_rate=0.01), backbone=extractor, device=device, on_step=last_words,
        checkpoint=texopt.Checkpoint(sys.argv[2], seconds=0))
    if distributed.rank() == 0:
        rows = [list(step.terms.values()) for step in result.history]
        torch.save((texture.bake().cpu(), torch.tensor(rows), result.interrupted), sys.argv[1])
"""


def work(
    folder: Path, count: int, dies: bool = False, stops: bool = False, checkpoint: str = "", device: str = "cpu"
) -> tuple[Tensor, Tensor, bool]:
    """(the texture, the losses, whether it was interrupted) of a run of two views a step on some ranks.

    checkpoint: its name; by default another one for each number of ranks.
    """
    script, out = folder / "work.py", folder / f"{count}.pt"
    script.write_text(WORKER.format(tests=str(Path(__file__).parent), dies=dies, stops=stops, device=device))
    done = torchrun(count, str(script), str(out), str(folder / f"{checkpoint or count}.safetensors"))
    assert (done.returncode == 0) == (not dies), done.stderr[-3000:]
    found: tuple[Tensor, Tensor, bool] = torch.load(out)
    return found


def torchrun(count: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_two_ranks_of_one_view_are_one_of_two(tmp_path: Path) -> None:
    """Style, a weight that is found, seams, dense and sparse gradients: the same up to the order of sums."""
    (alone, losses, _), (together, their_losses, _) = work(tmp_path, 1), work(tmp_path, 2)
    assert losses.shape == their_losses.shape == (6, 4)
    torch.testing.assert_close(their_losses, losses, atol=1e-4, rtol=1e-4)
    changed = (alone - torch.tensor([0.4, 0.5, 0.6])[:, None, None]).abs().mean()
    assert (alone - together).abs().mean() < 1e-3 * changed


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_run_and_the_first_keeps_what_there_is(tmp_path: Path) -> None:
    texture, losses, interrupted = work(tmp_path, 2, dies=True)
    assert interrupted
    assert 2 <= len(losses) <= 3
    assert texture.isfinite().all()


@pytest.mark.slow
def test_what_a_dead_rank_has_ended_goes_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    whole, losses, _ = work(tmp_path, 1, checkpoint="whole")
    _, before, _ = work(tmp_path, 2, dies=True, checkpoint="run")
    resumed, their_losses, interrupted = work(tmp_path, 1, checkpoint="run")
    assert not interrupted
    assert torch.equal(their_losses[: len(before)], before)
    torch.testing.assert_close(their_losses, losses, atol=1e-4, rtol=1e-4)
    changed = (whole - torch.tensor([0.4, 0.5, 0.6])[:, None, None]).abs().mean()
    assert (whole - resumed).abs().mean() < 1e-3 * changed


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all_after_the_same_step(tmp_path: Path) -> None:
    _, losses, interrupted = work(tmp_path, 2, stops=True)
    assert interrupted
    assert 3 <= len(losses) <= 4


@pytest.mark.slow
def test_the_command_on_two_ranks_is_that_on_one(tmp_path: Path) -> None:
    """The first rank alone speaks and writes; views are divided, and made enough to be."""
    command = [
        "-m", "texopt", "style", str(MESHES / "creature.obj"), str(STYLES / "woodcut.jpg"), "--steps", "3",
        "--texture-size", "64", "--view-size", "64", "--format", "png", "--out",
    ]  # fmt: skip
    done = torchrun(2, *command, str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "views of a step: 2, as 2 ranks divide them" in done.stderr
    assert done.stdout.count("\n") == 1
    alone = subprocess.run(
        [sys.executable, *command, str(tmp_path / "one"), "--views-per-step", "2"], capture_output=True, text=True
    )
    assert alone.returncode == 0, alone.stderr
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}
    one, two = (torch.tensor(numbers(tmp_path / name / "history.csv")) for name in ("one", "two"))
    torch.testing.assert_close(one, two, atol=0.02, rtol=0.02)  # bfloat16


def numbers(path: Path) -> list[list[float]]:
    """The losses in a history.csv."""
    return [[float(value) for value in line.split(",")[2:]] for line in path.read_text().splitlines()[1:]]


def test_alone_nothing_is_divided() -> None:
    values = torch.rand(3, requires_grad=True)
    assert distributed.ranks() == 1
    assert distributed.summed(values) is values
    assert distributed.own(5) == slice(0, 5)
    assert not distributed.Stop().agreed()


def test_views_have_to_divide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "ranks", lambda: 4)
    monkeypatch.setattr(distributed, "rank", lambda: 2)
    assert distributed.own(8) == slice(4, 6)
    with pytest.raises(OptionError, match="6 views a step cannot be divided over 4 ranks; take --views-per-step 8"):
        distributed.own(6)
