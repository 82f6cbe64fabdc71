"""The audit: what all measures cost beside the forward passes that they need.

Clips of 16x112x112 through R3D-18. A stopwatch stands around the encoder, so that both numbers come
from one run and share whatever else the machine is doing; the ratio is all time over the time of as
many forward passes as were counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from harness import Options, Row, footage, peak_of

from unscene.audit.registry import known_measures
from unscene.audit.run import audit
from unscene.data.catalog import Catalog, Video
from unscene.data.listing import check_videos
from unscene.encoders import VideoEncoder, create_encoder

CLIPS, QUICK, BATCH, SMALL = 100, 8, 8, "r3d-narrow"
# A process of its own, whose peak is that of auditing the clips that it is given.
AUDIT = f"""
from audit import catalog_of, audit, create_encoder
idle()
audit(catalog_of(sys.argv[1:]), [create_encoder({SMALL!r})], batch_size={BATCH})
"""


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
        catalog = catalog_of(paths)
        begun = time.perf_counter()
        found = audit(catalog, [encoder], batch_size=BATCH)
        seconds = time.perf_counter() - begun
        few, peak = (_peak(paths[:n]) for n in (max(1, count // 3), count))
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
        f"peak of an audit above the idle process, {count} clips",
        peak,
        few,
        f"{max(1, count // 3)} clips",
        "MB",
        peak / few,
        "<= 1.1",
        1,
        f"all measures, {SMALL} at 16x112x112, batches of {BATCH}; each in a process of its own",
    )


def catalog_of(paths: list[str]) -> Catalog:
    """Two classes by turns: the measure that needs labels is to be paid for too."""
    videos = tuple(Video(path, label="ab"[k % 2]) for k, path in enumerate(paths))
    return check_videos(Catalog("benchmark", videos))


def _peak(paths: list[str]) -> float:
    idle, peak = peak_of(AUDIT, *paths)
    return peak - idle


def _note(measures: list[Any], what: str, clips: int, counted: int) -> str:
    each = ", ".join(f"{m.name} {m.forwards}" for m in measures if m.name in known_measures())
    wrong = "" if clips == counted else f"; counted {counted}, but {clips} were encoded"
    return f"{what}; batches of {BATCH}; forward passes: {each}{wrong}"
