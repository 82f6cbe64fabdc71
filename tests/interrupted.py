"""What tests of interrupted runs do to them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Report = Callable[[int, int, dict[str, float]], None]


def silent(step: int, total: int, metrics: dict[str, float]) -> None:
    pass


def at(wanted: int, act: Callable[[], None]) -> Report:
    def report(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == wanted:
            act()

    return report


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def crash() -> None:
    raise RuntimeError("power cut")


def checkpoint(out: Path) -> dict[str, Any]:
    return torch.load(out / "last.ckpt", weights_only=False)
