"""Which device computes, and where numbers must not be rounded whatever the precision."""

from __future__ import annotations

import os
from typing import Literal

import torch

from unscene.errors import UnsceneError


def fp32_context(device: torch.device) -> torch.autocast:
    """A context without autocast: pixels, geometry and products of cosines are made in fp32.

    bf16 has 8 bits: a cosine would be off by up to 0.004, a color by a level, and products written
    into fp32 tensors would fail.
    """
    return torch.autocast(device.type, enabled=False)


def pick_device(name: str) -> torch.device:
    """Return a device by its name; "auto" is a GPU if there is one.

    Raises:
        UnsceneError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UnsceneError(f"device {name!r}: {reason}; try --device cpu") from error


def uses_gpu(accelerator: str) -> bool:
    """Whether a training computes on a GPU: "auto" does where there is one."""
    return torch.cuda.is_available() and accelerator != "cpu"


def count_processes(devices: int | Literal["auto"], accelerator: str) -> int:
    """Count the processes of a training: what torchrun says, else one per device."""
    if "WORLD_SIZE" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    if devices == "auto":
        return torch.cuda.device_count() if uses_gpu(accelerator) else 1
    return int(devices)
