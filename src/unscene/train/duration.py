"""How long a pre-training takes: reckoned before its first step on a CPU, measured after a few.

Before the first step only the encoder is timed, forward and backward with two clips. A step does
that at least once for every clip of a batch, and more besides (further views, a momentum encoder,
optical flow), so the run takes at least as long.
"""

from __future__ import annotations

import copy
import sys
import time
from datetime import datetime, timedelta
from typing import Any

import lightning as L
import torch
from tqdm import tqdm

from unscene.device import uses_gpu
from unscene.encoders import VideoEncoder, create_encoder
from unscene.progress import format_duration
from unscene.train.config import CPU, RunConfig
from unscene.train.module import PretrainModule

LONG = 24 * 3600.0  # seconds; a run that takes longer is warned about
_AT_LEAST = LONG / 2  # the same before the first step: what is reckoned then is about half
_SHORT = 10 * 3600.0  # what --max_steps is suggested for
_CLIPS = 2  # batch norm needs more than one value in each channel


def time_clip(encoder: VideoEncoder, frames: int, size: int) -> float:
    """Measure the seconds that an encoder needs for a clip, forward and backward, on the CPU.

    Args:
        encoder: stays as it is.
        frames, size: of the clip.
    """
    network = copy.deepcopy(encoder).cpu().train()
    shape = encoder.spec.channels, frames, size, size
    if encoder.input == "vectors":
        grid = encoder.flow_grid or size
        shape = 2, frames - 1, grid, grid
    clip = torch.rand(
        (_CLIPS, *shape),
        generator=torch.Generator().manual_seed(0),
    ).contiguous(memory_format=torch.channels_last_3d)
    spent = 0.0
    for _ in range(2):  # the first run allocates memory and prepares convolutions
        start = time.perf_counter()
        # Dropout, if there is some, must not change the run's own random numbers.
        with torch.random.fork_rng(devices=[]):
            network(clip).sum().backward()
        spent = time.perf_counter() - start
        if spent > 5:
            break
    return spent / _CLIPS


def warn_of_days(config: RunConfig, module: PretrainModule) -> list[str]:
    """Say before the first step if a run on a CPU takes about a day, or more, and what makes it
    hours.

    Args:
        config: of the run.
        module: before its first step.

    Returns:
        Lines to print; none if the run takes less, or computes on a GPU.
    """
    if uses_gpu(config.accelerator):
        return []
    settings, steps = module.settings, module.total_steps
    each = time_clip(module.method.encoder, settings.frames, settings.size)
    seconds = each * settings.batch_size * steps
    if seconds < _AT_LEAST:
        return []
    lines = [
        f"This run takes at least {format_duration(seconds)} on this CPU: the encoder alone needs "
        f"{each:.2g} s for a clip, and {steps:,} steps have {settings.batch_size} clips each. "
        "What makes it hours:"
    ]
    changes = _find_changes(config)
    if changes:
        encoder = module.method.encoder
        if "encoder" in changes:
            encoder = create_encoder(changes["encoder"])
        frames = changes.get("frames", settings.frames)
        each_small = time_clip(encoder, frames, changes.get("size", settings.size))
        step = settings.batch_size * each_small
        if step * steps > _AT_LEAST:
            changes["max_steps"] = _limit(step)
        flags = " ".join(f"--{name} {value}" for name, value in changes.items())
        least = format_duration(step * int(changes.get("max_steps", steps)))
        lines.append(f"  {flags}   at least {least}")
    most = _limit(each * settings.batch_size)
    return [*lines, f"  --max_steps {most}   at least {format_duration(_SHORT)}"]


def _find_changes(config: RunConfig) -> dict[str, Any]:
    """The values for a CPU that would make a run faster."""
    changes = {} if config.encoder == CPU["encoder"] else {"encoder": CPU["encoder"]}
    for name in ("size", "frames"):
        if getattr(config.settings, name) > CPU[name]:
            changes[name] = CPU[name]
    return changes


def _limit(step: float) -> int:
    """The number of steps that ten hours have, rounded down to two digits."""
    steps = max(1, int(_SHORT / step))
    digits = 10 ** max(0, len(str(steps)) - 2)
    return steps // digits * digits


class Estimate(L.Callback):
    """Prints once, after a few steps, how long the whole run takes.

    Args:
        total: steps of the whole run.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.steps = 0
        self.said = False
        self._first = 0.0

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.steps += 1
        now = time.perf_counter()
        if self.steps == 1:  # in which workers start and memory is allocated
            self._first = now
        spent, steps = now - self._first, self.steps - 1
        # Twenty fast steps, a few slow ones, or a single one of a minute.
        known = steps >= 20 or (steps >= 3 and spent > 10) or (steps and spent > 60)
        if self.said or not known:
            return
        self.said = True
        if trainer.is_global_zero:
            left = self.total - trainer.global_step
            for line in describe_rate(spent / steps, self.total, left, datetime.now().astimezone()):
                tqdm.write(line, file=sys.stderr)


def describe_rate(step: float, total: int, left: int, now: datetime) -> list[str]:
    """Say how long a run takes.

    Args:
        step: seconds of a step.
        total: steps of the whole run.
        left: steps that are left.
        now: the time.

    >>> describe_rate(1.5, 400, 380, datetime(2026, 11, 29, 12, 0))
    ['1.5 s a step: about 10 min 0 s for all 400 steps; done at 12:09']
    """
    end = now + timedelta(seconds=step * left)
    at = f"{end:%H:%M}" if end.date() == now.date() else f"{end:%H:%M on %A, %d %B}"
    whole = format_duration(step * total)
    lines = [f"{step:.2g} s a step: about {whole} for all {total:,} steps; done at {at}"]
    if step * total > LONG:
        lines.append(
            f"That is long. With --max_steps {_limit(step)} it is about "
            f"{format_duration(_SHORT)}; --size, --frames and a smaller --encoder make a step "
            "shorter. Ctrl-C saves and stops this run"
        )
    return lines
