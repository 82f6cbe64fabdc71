"""CPU seconds that a step of a method takes: what "equal time" is counted in.

The clock of a shared machine says who else was there; the process's own seconds hardly do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from unscene.methods.registry import create_method
from unscene.train.beginning import beginning
from unscene.train.config import build
from unscene.video.catalog import Video
from unscene.video.loading import Batch, WindowDataset

_STEPS = 5


def seconds_a_step(settings: dict[str, Any], videos: Sequence[Video]) -> float:
    """Reading a batch, its views, forward and backward; the median of a few steps.

    Args:
        settings: of the run, as `train.config.build` takes them.
        videos: what is read; at least a batch.
    """
    return median(each_step(settings, videos))


def each_step(settings: dict[str, Any], videos: Sequence[Video]) -> list[float]:
    """The seconds of those steps, one by one."""
    config = build(settings)
    torch.manual_seed(0)
    encoder = beginning(config.encoder, config.encoder_options)
    chosen = replace(config.settings, queue=config.settings.queue or 16)
    encoder = encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    method = create_method(config.method, encoder, chosen)
    data = WindowDataset(list(videos), method.sampler(), transforms=method.transforms())
    generator = torch.Generator().manual_seed(0)
    took = []
    for step in range(_STEPS + 1):
        began = time.process_time()
        read = [data[step, index % len(videos)] for index in range(chosen.batch_size)]
        method(Batch.of(read), generator).loss.backward()
        method.zero_grad()
        took.append(time.process_time() - began)
    return took[1:]  # the first step warms up
