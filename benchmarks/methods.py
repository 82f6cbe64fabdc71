"""What a step of each method costs, against MoCo's: time of reading, views and passes; memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from harness import Options, Row, footage, peak_of, turns

from unscene.data.catalog import Video
from unscene.data.loading import Batch, ClipDataset
from unscene.encoders import create_encoder
from unscene.methods.base import Method
from unscene.methods.registry import create_method, resolve
from unscene.video.probe import probe

BATCH = 4
OTHERS = ("dsm", "dsm-triplet", "hdc", "cmd", "cmd-motion", "unscene")
# Ablations: of which method, and what is changed.
ABLATIONS = {"cmd-motion": ("cmd", {"tasks": "motion"})}
# A process of its own, whose peak is that of two steps.
STEPS = """
from methods import Side
idle()
side = Side.of(sys.argv[1], sys.argv[2:])
side.step()
side.step()
"""


@dataclass
class Side:
    """One method with a batch of its own windows."""

    method: Method
    data: ClipDataset
    batch: Batch

    @classmethod
    def of(cls, name: str, paths: list[str]) -> Side:
        torch.manual_seed(0)
        encoder = create_encoder("r3d18").to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        of, changes = ABLATIONS.get(name, (name, {}))
        method = create_method(of, encoder, resolve(of, "default", {"queue": 64} | changes))
        data = method.dataset([Video(path, info=probe(path)) for path in paths])
        return cls(method, data, Batch.of([data[0, index] for index in range(BATCH)]))

    def read(self) -> None:
        """One item, as a worker reads it."""
        self.data[0, 0]

    def step(self) -> None:
        """Views, forward and backward."""
        self.method(self.batch, torch.Generator().manual_seed(0)).loss.backward()
        self.method.zero_grad()


def run(options: Options) -> Iterator[Row]:
    with footage(BATCH) as (paths, kind):
        moco = Side.of("moco", paths)
        threads = os.environ.get("OMP_NUM_THREADS", "?")
        note = f"default presets, R3D-18, 16x112x112, batch {BATCH}, {threads} thread(s), {kind}"
        _, base = peak_of(STEPS, "moco", *paths)
        for name in OTHERS:
            side = Side.of(name, paths)
            yield _row(name, "step", side.step, moco.step, options.times(5), note)
            yield _row(name, "read", side.read, moco.read, options.times(9), note)
            _, peak = peak_of(STEPS, name, *paths)
            yield _against(name, "memory", peak, base, "MB", 1, note)


def _row(
    name: str,
    part: str,
    ours: Callable[[], None],
    theirs: Callable[[], None],
    repetitions: int,
    note: str,
) -> Row:
    seconds, against = turns(ours, theirs, repetitions=repetitions)
    return _against(name, part, seconds, against, "s", repetitions, note)


def _against(
    name: str, part: str, ours: float, moco: float, unit: str, repetitions: int, note: str
) -> Row:
    what = {
        "step": "views, forward, backward of",
        "read": "reading an item of",
        "memory": "peak of a process that makes two steps of",
    }[part]
    return Row(
        name=f"methods.{name}-{part}",
        what=f"{what} {name}",
        ours=ours,
        alternative=moco,
        against="moco",
        unit=unit,
        ratio=ours / moco,
        target="",
        repetitions=repetitions,
        note=note,
    )
