"""Devices: by name, and how tensors come to them."""

from __future__ import annotations

import torch
from torch import Tensor

from texopt.errors import DependencyError


def resolve_device(name: str) -> torch.device:
    """A device by name; "auto" takes an accelerator that torch can use, else the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().split("\n")[0][:100]
        raise DependencyError(
            f"device {name!r} cannot be used here ({reason}); --device auto takes what is there"
        ) from None
    return device


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """The same on a device; to CUDA without waiting for it."""
    if values.device.type == "cpu" and device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
