"""Run: all that changes while the loop goes on, and so all that a checkpoint holds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor, nn

from texopt.errors import OptionError, OutputError, RankError
from texopt.objectives.terms import Objective
from texopt.optim import optimizers
from texopt.optim.checkpoint import Checkpoint
from texopt.optim.lbfgs import LBFGS
from texopt.optim.nan_guard import Guard
from texopt.optim.view_renderer import Known
from texopt.show.history import Ending, Step
from texopt.system import distributed
from texopt.system.readback import Late

log = logging.getLogger("texopt")

T = TypeVar("T")


class Terms(Mapping[str, float]):
    """Losses by name; those on a CUDA device are waited for when they are asked for."""

    def __init__(self, terms: Mapping[str, Tensor]) -> None:
        self._names, self._values = list(terms), Late(torch.stack([term.detach() for term in terms.values()]))

    def __getitem__(self, name: str) -> float:
        return self._values.values()[self._names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Run:
    """The state of a run, which goes on from a checkpoint if there is one.

    What a step changes before its end (random numbers, averages of the objective) is also known as it was after the
    last one, so that a run that is interrupted within a step loses only that step.

    Args:
        settings: of the run, that have to be the same when it goes on.
        textures: what is optimised. objective: with its state.
        known: about the run's views.

    Attributes:
        generator: of all that is random. history: a Step for each that is done.
        ending: how the run ended, see Ending; "stopped" until it has.
    """

    def __init__(
        self, settings: dict[str, Any], textures: nn.Module, objective: Objective, known: Known,
        checkpoint: Checkpoint | None,
    ) -> None:  # fmt: skip
        self.settings, self.textures, self.objective = settings, textures, objective
        self.generator = Generator().manual_seed(settings["seed"])
        self.known, self.checkpoint = known, checkpoint
        self.ending: Ending = "stopped"
        self._stop = distributed.Stop()
        self.history: list[Step] = []
        self._saved, self._whole, start = 0, True, 0.0
        found = checkpoint.read() if checkpoint else None
        if found:
            self._load_textures(found)
        self.optimizer = optimizers.make(settings["optimizer"], textures.parameters(), settings["learning_rate"])
        self._repeats = isinstance(self.optimizer, LBFGS)
        self.guard = Guard(self.optimizer)
        if found:
            self._load(found)
            start = found["seconds"]
        self._start = time.perf_counter() - start
        self._between = self._now()

    def report(self, terms: Mapping[str, Tensor]) -> None:
        """Add a step that is done to the history."""
        self.history.append(Step(self.step + 1, self.settings["steps"], self.seconds(), Terms(terms)))

    def seconds(self) -> float:
        """Since the start, without the time between a stop and a resume."""
        return time.perf_counter() - self._start

    @property
    def step(self) -> int:
        """How many steps are done."""
        return len(self.history)

    @contextmanager
    def to_its_end(self) -> Iterator[None]:
        """Around all steps: what ends them early is the run's ending, and a checkpoint has what there is."""
        try:
            yield
        except KeyboardInterrupt:
            self.ending = "stopped"
        except RankError as error:
            log.warning("%s", error)
            self.ending = "rank lost"
        finally:
            self.save()
        if self.step and self.guard.skipped == self.step:
            raise OptionError("the loss or its gradient is not finite from the first step on; mend the objective")

    def goes_on(self) -> bool:
        """Whether there is another step to take; if not, `ending` says why."""
        if self.step >= self.settings["steps"]:
            self.ending = "finished"
        elif self._stop.agreed():
            self.ending = "stopped"
        elif self.guard.hopeless:
            log.warning("the loss or its gradient stays infinite or NaN; the run ends with what it has")
            self.ending = "diverged"
        else:
            return True
        return False

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around the end of a step, within which the parts do not fit together, unless it is taken back."""
        self._whole = False
        try:
            yield
        except BaseException:
            if isinstance(self.optimizer, LBFGS) and self.optimizer.taken_back:
                self.rewind()
                self._whole = True
            raise
        self._between = self._now()
        self._whole = True

    def rewind(self) -> None:
        """Take back what a step that failed has changed."""
        self._restore(self._between)

    def again(self, evaluate: Callable[[], T]) -> T:
        """Evaluate as at the step's start, with the same random numbers; averages know only the first time."""
        after = self._now()
        self.rewind()
        try:
            return evaluate()
        finally:
            self._restore(after)

    def _restore(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        self.objective.load_state_dict(self._own(state["objective"]))

    def _own(self, state: T) -> T:
        """A copy of an objective's state, which may change in place, where it is needed more than once."""
        return deepcopy(state) if self._repeats else state

    def save_in_time(self) -> None:
        """Write a checkpoint if one is due."""
        if self.checkpoint and self.checkpoint.due():
            self.save()

    def save(self) -> None:
        """Write a checkpoint, as of the last whole step. Where it cannot be written, it says so and goes on."""
        new = self.step > self._saved and self.guard.skipped < self.step
        if not self.checkpoint or not new or not self._whole or distributed.rank():
            return
        try:
            self.checkpoint.write(self._state())
            self._saved = self.step
        except OutputError as error:
            log.warning("%s; the run goes on without a checkpoint", str(error).split(";")[0])

    def _now(self) -> dict[str, Any]:
        return {
            "generator": self.generator.get_state(), "objective": self._own(self.objective.state_dict()),
            "layers": sorted(self.known.layers), "original_layers": sorted(self.known.original_layers),
            "scales": dict(self.known.scales),
        }  # fmt: skip

    def _state(self) -> dict[str, Any]:
        names = list(self.history[0].terms)
        return {
            "step": self.step, "seconds": self.history[-1].seconds, "settings": self.settings,
            "textures": self._tensors(), "optimizer": optimizers.state_of(self.optimizer),
            "guard": self.guard.state_dict(), "names": names,
            "times": torch.tensor([step.seconds for step in self.history], dtype=torch.float64),
            "values": torch.tensor(
                [[step.terms[name] for name in names] for step in self.history], dtype=torch.float64
            ),
        } | self._between  # fmt: skip

    def _shared(self) -> dict[str, str]:
        """The first name of every tensor of the textures: a part that several of them have in common is one."""
        first: dict[int, str] = {}
        named = self.textures.state_dict(keep_vars=True)
        return {name: first.setdefault(id(tensor), name) for name, tensor in named.items()}

    def _tensors(self) -> dict[str, Tensor]:
        """The textures, what they share once."""
        named, shared = self.textures.state_dict(), self._shared()
        return {name: named[name] for name in dict.fromkeys(shared.values())}

    def _load_textures(self, state: dict[str, Any]) -> None:
        assert self.checkpoint
        path = self.checkpoint.path
        for name, value in self.settings.items():
            if state["settings"].get(name) != value:
                before = state["settings"].get(name)
                raise OptionError(f"{path} is of a run with {name} {before}, not {value}; delete it to start anew")
        shared, now = self._shared(), self.textures.state_dict(keep_vars=True)
        try:
            if state["textures"].keys() != set(shared.values()):
                raise KeyError
            loaded = {name: tensor.to(now[name].device) for name, tensor in state["textures"].items()}
            for name, tensor in loaded.items():
                loaded[name] = type(now[name])(tensor) if isinstance(now[name], nn.Parameter) else tensor
            self.textures.load_state_dict({name: loaded[first] for name, first in shared.items()}, assign=True)
        except (RuntimeError, KeyError):
            raise OptionError(f"{path} is of a run with other textures; delete it to start anew") from None

    def _load(self, state: dict[str, Any]) -> None:
        optimizers.load_state(self.optimizer, state["optimizer"])
        self.guard.load_state_dict(state["guard"])
        self.objective.load_state_dict(state["objective"])
        self.generator.set_state(state["generator"])
        self.known.layers, self.known.original_layers = set(state["layers"]), set(state["original_layers"])
        self.known.scales.update(state["scales"])
        rows = zip(state["times"].tolist(), state["values"].tolist(), strict=True)
        self.history = [
            Step(number + 1, self.settings["steps"], seconds, dict(zip(state["names"], values, strict=True)))
            for number, (seconds, values) in enumerate(rows)
        ]
        self._saved = self.step
