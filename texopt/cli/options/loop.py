"""The options of everything that is optimised."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from texopt.cli.options.shown import option


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.resolve())
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """What everything that is optimised has."""

    out: Annotated[Path | None, option("DIR")] = None
    """Folder for the results. Default: outputs/ and the names of the inputs."""
    steps: int = 300
    """Steps of gradient descent."""
    views_per_step: int = 1
    """Renderings a step."""
    learning_rate: float = 0.05
    """About how far values move in a step, at its highest."""
    optimizer: Literal["adam", "adamw", "sgd", "momentum", "nesterov", "rmsprop", "adagrad", "lbfgs"] = "adam"
    """What takes the steps. A learning rate means the same to all of them, about; lbfgs is for whole images."""
    schedule: Literal["auto", "warmup-cosine", "constant", "linear", "exponential", "staircase"] = "auto"
    """How the learning rate changes in the course of the run. auto: warmup-cosine, but constant for lbfgs."""
    clip: Annotated[float | None, option("FLOAT")] = None
    """The most that the norm of all gradients may be. Default: anything."""
    coarse: float = 0.0
    """Share of the steps, at the start, with views of half the size: quicker, and large things first."""
    backbone: str = "efficientnet_lite0"
    """The pretrained network; `texopt backbones` lists them."""
    weights: Annotated[Path | None, option("FILE")] = None
    """A file with weights for it (.safetensors or .pth), for machines that cannot download."""
    timelapse: Annotated[str, option("NAMES")] = ""
    """Write a video of the optimisation: gif, mp4, or both with a comma."""
    seed: int = 0
    """Of everything random; the same seed on the same machine gives the same texture."""
    checkpoint_seconds: float = 30.0
    """Seconds between checkpoints, from which `texopt resume DIR` goes on; 0: after every step."""
    threads: Annotated[int | None, option("N")] = None
    """Processor threads. Default: one a core. The result is the same."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, mps."""
    raster: Literal["auto", "cpu", "nvdiffrast"] = "auto"
    """What draws: cpu, nvdiffrast (on CUDA, where it is installed), auto."""

    def name(self) -> str:
        """What its folder is named after, beside the mesh."""
        raise TypeError(f"{type(self).__name__} is not of a command")

    def files(self) -> dict[str, list[Path]]:
        """The files that the options name, by option."""
        return {"weights": [self.weights] if self.weights else []}

    def plain(self) -> dict[str, Any]:
        """The options as text, numbers and lists, paths made absolute so that they hold from anywhere."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
