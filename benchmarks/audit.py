"""The audit: what all measures cost beside the forward passes that they need.

Clips of 16x112x112 through R3D-18. A stopwatch stands around the encoder, so that both numbers come
from one run and share whatever else the machine is doing; the ratio is all time over the time of as
many forward passes as were counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from harness import Options, Row, footage, forget_peak, memory

from unscene.audit.run import MEASURES, audit
from unscene.encoders import VideoEncoder, create_encoder
from unscene.video.catalog import Catalog, Video, check

CLIPS, QUICK, BATCH, FEW = 100, 8, 8, 4


class Watched(VideoEncoder):
    """An encoder with a stopwatch."""

    def __init__(self, encoder: VideoEncoder) -> None:
        super().__init__(encoder.spec, stage_dims=encoder.stage_dims, minimum=encoder.minimum)
        self.inner = encoder
        self.seconds, self.clips = 0.0, 0

    def _stages(self, clip_BCTHW: torch.Tensor) -> list[torch.Tensor]:
        begun = time.perf_counter()
        stages = self.inner.forward_stages(clip_BCTHW)
        self.seconds += time.perf_counter() - begun
        self.clips += len(clip_BCTHW)
        return stages


def run(options: Options) -> Iterator[Row]:
    count = options.times(CLIPS, QUICK)
    torch.manual_seed(0)
    encoder = Watched(create_encoder("r3d18"))
    with footage(count) as (paths, what):
        # Classes by turns: the measure that needs labels is to be paid for too.
        videos = tuple(Video(path, label="ab"[k % 2]) for k, path in enumerate(paths))
        catalog = check(Catalog("benchmark", videos))
        idle = memory()
        with torch.inference_mode():
            encoder(torch.zeros(BATCH, 3, 16, 112, 112))
        alone = _peak() - idle
        audit(replace(catalog, videos=catalog.videos[:BATCH]), [encoder], batch_size=BATCH)
        batch = _peak() - idle
        some = replace(catalog, videos=catalog.videos[: FEW * BATCH])
        audit(some, [encoder], batch_size=BATCH)
        few = _peak() - idle
        encoder.seconds, encoder.clips = 0.0, 0
        begun = time.perf_counter()
        found = audit(catalog, [encoder], batch_size=BATCH)
        seconds = time.perf_counter() - begun
        peak = _peak() - idle
    counted = found.models[0].forwards
    yield Row(
        "audit.all",
        f"audit of {len(catalog)} clips, all measures",
        seconds,
        encoder.seconds,
        f"{counted} forward passes",
        "s",
        seconds / encoder.seconds,
        "<= 6",
        1,
        _note(found.models[0].measures, what, encoder.clips, counted),
    )
    yield Row(
        "audit.memory",
        f"peak of that audit above the idle process, {len(catalog)} clips",
        peak,
        few,
        f"an audit of {len(some)} clips",
        "MB",
        peak / few,
        "<= 1.1",
        1,
        f"the process that encodes; a first audit of {BATCH} clips {batch:.0f} MB, a forward pass "
        f"of them {alone:.0f} MB; the allocator keeps what was freed",
    )


def _peak() -> float:
    """MB since the last call."""
    peak = memory("VmHWM")
    forget_peak()
    return peak


def _note(measures: list[Any], what: str, clips: int, counted: int) -> str:
    each = ", ".join(f"{m.name} {m.forwards}" for m in measures if m.name in MEASURES)
    wrong = "" if clips == counted else f"; counted {counted}, but {clips} were encoded"
    return f"{what}; batches of {BATCH}; forward passes: {each}{wrong}"
