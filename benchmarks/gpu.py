"""DSM on a GPU: clips a second, memory, model FLOPs utilization, waiting for data.

    python benchmarks/run.py --only gpu

takes at most ten minutes on any GPU that torch knows (CUDA or ROCm): the most important comes
first, and what has not begun after seven minutes is left out. Without a GPU it says so and measures
nothing. A step is that of `unscene pretrain`: views, both encoders, loss, backward, optimizer,
momentum encoder, queue.

    fast        bf16 autocast, channels last: as `unscene pretrain` computes on a GPU
    plain       fp32 (TF32 where torch uses it unasked), contiguous
    compiled    fast, and both encoders by torch.compile

FLOPs are those of all convolutions and products of a step, counted by torch's flop counter, and the
peak is measured: the best rate of square products in bf16. Data sheets promise more than that.
"""

from __future__ import annotations

import gc
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from harness import Options, Row, footage, memory, turns, waiting_row
from torch.utils.flop_counter import FlopCounterMode

from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.encoders import create_encoder
from unscene.methods.moco import MoCo
from unscene.methods.registry import create_method, resolve
from unscene.train import config as run_config
from unscene.train.optimizer import create_optimizer
from unscene.train.preflight import use_channels_last
from unscene.train.pretrain import pretrain
from unscene.video.probe import probe

SECONDS = 7 * 60.0  # nothing is begun later
_COMPILING = 150.0  # seconds that a compilation may take
WAITING_STEPS, QUEUE = 40, 4096


@dataclass(frozen=True)
class Size:
    """What is trained: an encoder, its clips, and as many of them a step as fit into memory."""

    encoder: str
    size: int
    frames: int = 16
    batch: int = 32

    @property
    def name(self) -> str:
        return f"gpu.{self.encoder}-{self.size}"


SIZES = (Size("r3d18", 112), Size("i3d", 112), Size("r3d18", 224), Size("i3d", 224))


@dataclass(frozen=True)
class Variant:
    """How a step is computed."""

    precision: torch.dtype = torch.bfloat16
    channels_last: bool = True
    backend: str = ""  # of torch.compile; none: not compiled


FAST, PLAIN = Variant(), Variant(torch.float32, channels_last=False)


@dataclass(frozen=True)
class Measured:
    """Seconds and floating-point operations of a step, clips in it, peak memory in GB."""

    seconds: float
    flops: int
    clips: int
    gigabytes: float

    @property
    def rate(self) -> float:
        """Clips a second."""
        return self.clips / self.seconds


@dataclass(frozen=True)
class Bench:
    """What all measurements share.

    Attributes:
        device: that computes.
        paths, kind: of the videos, and what they are.
        repetitions: steps that are timed.
        workers: reading processes of a run.
        backend: of torch.compile.
        deadline: on the monotonic clock; nothing is begun later.
    """

    device: torch.device
    paths: list[str]
    kind: str
    repetitions: int
    workers: int
    backend: str = "inductor"
    deadline: float = float("inf")

    def has(self, seconds: float) -> bool:
        """Whether so much time is left."""
        return time.monotonic() + seconds < self.deadline


def run(options: Options) -> Iterator[Row]:
    if not torch.cuda.is_available():
        print("gpu: torch finds no GPU here; nothing is measured", file=sys.stderr)
        return
    deadline = time.monotonic() + SECONDS
    with footage(12) as (paths, kind):
        yield from measure_all(
            SIZES,
            Bench(
                torch.device("cuda"),
                paths,
                kind,
                options.times(20, 5),
                max(1, len(os.sched_getaffinity(0)) - 1),
                deadline=deadline,
            ),
        )


def measure_all(sizes: tuple[Size, ...], bench: Bench) -> Iterator[Row]:
    """Rows of every size: the plain steps first, then runs, then compiled steps."""
    peak = measure_peak(bench.device)
    fitting: list[tuple[Size, Measured]] = []
    for size in sizes:
        if bench.has(30):
            fits, plain = measure_fitting(size, PLAIN, bench)
            fast = measure_step(fits, FAST, bench)
            fitting.append((fits, fast))
            yield from _compare_precision(fits, fast, plain, peak, bench)
    for fits, _ in fitting:
        if bench.has(60):
            yield measure_waiting(fits, bench)
    for fits, fast in fitting:
        if bench.has(_COMPILING):
            compiled = measure_step(fits, replace(FAST, backend=bench.backend), bench)
            yield from _compare_compiled(fits, compiled, fast, peak, bench)


def measure_peak(device: torch.device) -> float:
    """FLOP/s of products of square bf16 matrices, of the size that has most."""
    best = 0.0
    for side in (2048, 4096, 8192) if device.type == "cuda" else (256, 512):
        left, right = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
        (seconds,) = turns(_finished(partial(torch.matmul, left, right), device), repetitions=20)
        best = max(best, 2 * side**3 / seconds)
    return best


def measure_fitting(size: Size, variant: Variant, bench: Bench) -> tuple[Size, Measured]:
    """Measure a step, of half the clips as often as memory does not suffice."""
    while True:
        try:
            return size, measure_step(size, variant, bench)
        except torch.OutOfMemoryError:
            if size.batch <= 2:
                raise
            size = replace(size, batch=size.batch // 2)


def measure_step(size: Size, variant: Variant, bench: Bench) -> Measured:
    """Time the steps of a DSM training whose batch is on the device already."""
    _free(bench.device)
    step, count = _prepare_step(size, variant, bench)
    flops = count()
    # The first two compile and choose algorithms.
    (seconds,) = turns(_finished(step, bench.device), repetitions=bench.repetitions, warm=2)
    return Measured(seconds, flops, size.batch, _peak_memory(bench.device))


def _prepare_step(
    size: Size, variant: Variant, bench: Bench
) -> tuple[Callable[[], None], Callable[[], int]]:
    """A step, and a function that makes one and counts its operations before compilation."""
    torch.manual_seed(0)
    encoder = create_encoder(size.encoder)
    if variant.channels_last:
        use_channels_last(encoder)
    given = {"frames": size.frames, "size": size.size, "queue": QUEUE, "batch_size": size.batch}
    settings = resolve("dsm", "default", given)
    method = create_method("dsm", encoder, settings).to(bench.device)
    assert isinstance(method, MoCo)
    optimizer = create_optimizer(settings, method.embedder.parameters(), 1000, 1000)["optimizer"]
    videos = [Video(path, info=probe(path)) for path in bench.paths]
    data = method.dataset(videos)
    items = [data[draw, index] for draw in range(-(-size.batch // len(videos))) for index in
             range(len(videos))]  # fmt: skip
    batch = Batch.of(items[: size.batch]).to(bench.device)
    steps = itertools.count()

    def step() -> None:
        generator = torch.Generator().manual_seed(next(steps))
        with torch.autocast(
            bench.device.type, variant.precision, enabled=variant.precision != torch.float32
        ):
            loss = method(batch, generator).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step()

    def count() -> int:
        with FlopCounterMode(display=False) as counter:
            step()
        if variant.backend:
            for network in (method.embedder, method.momentum_encoder.network):
                network.encoder.compile(backend=variant.backend)
        return int(counter.get_total_flops())

    return step, count


def measure_waiting(size: Size, bench: Bench) -> Row:
    """A run of `unscene pretrain`, files included."""
    _free(bench.device)
    steps = WAITING_STEPS if bench.device.type == "cuda" else 3
    with tempfile.TemporaryDirectory(prefix="unscene-bench-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        # As many names as a batch has clips: each video is in it once.
        for number, path in zip(range(2 * size.batch), itertools.cycle(bench.paths), strict=False):
            (data / f"{number}{Path(path).suffix}").symlink_to(path)
        given = {
            **{"data": str(data), "out": str(Path(folder) / "run"), "method": "dsm"},
            **{"encoder": size.encoder, "frames": size.frames, "size": size.size},
            **{"batch_size": size.batch, "max_steps": steps, "workers": bench.workers},
            "accelerator": "auto" if bench.device.type == "cuda" else "cpu",
        }
        outcome = pretrain(run_config.build(given), report=lambda step, total, metrics: None)
    note = f"{outcome.clips_per_second:.1f} clips/s from files; {_describe(size, bench)}"
    return waiting_row(f"{size.name}-waiting", outcome, bench.workers, note)


def _compare_precision(
    size: Size, fast: Measured, plain: Measured, peak: float, bench: Bench
) -> Iterator[Row]:
    note = _describe(size, bench)
    base = Row(
        name=size.name,
        what="a DSM step in bf16 with channels last, batch on the device",
        ours=fast.rate,
        alternative=plain.rate,
        against="fp32, contiguous",
        unit="clips/s",
        ratio=fast.rate / plain.rate,
        target="",
        repetitions=bench.repetitions,
        note=note,
    )
    yield base
    yield replace(
        base,
        name=f"{size.name}-memory",
        what="peak memory of this step",
        ours=fast.gigabytes,
        alternative=plain.gigabytes,
        unit="GB",
        ratio=fast.gigabytes / plain.gigabytes,
    )
    yield _utilization(base, fast, peak)


def _compare_compiled(
    size: Size, compiled: Measured, fast: Measured, peak: float, bench: Bench
) -> Iterator[Row]:
    base = Row(
        name=f"{size.name}-compiled",
        what=f"the same with encoders compiled ({bench.backend})",
        ours=compiled.rate,
        alternative=fast.rate,
        against="not compiled",
        unit="clips/s",
        ratio=compiled.rate / fast.rate,
        target="",
        repetitions=bench.repetitions,
        note=f"peak memory {compiled.gigabytes:.1f} GB; {_describe(size, bench)}",
    )
    yield base
    yield _utilization(base, compiled, peak)


def _utilization(base: Row, measured: Measured, peak: float) -> Row:
    each = measured.flops / measured.clips / 1e9
    return replace(
        base,
        name=f"{base.name}-flops",
        what="model FLOPs utilization of this step",
        ours=measured.flops / measured.seconds / 1e12,
        alternative=peak / 1e12,
        against="square products in bf16",
        unit="TFLOP/s",
        ratio=measured.flops / measured.seconds / peak,
        note=f"{each:.1f} GFLOP a clip, views not counted; {base.note}",
    )


def _describe(size: Size, bench: Bench) -> str:
    device = "CPU"
    if bench.device.type == "cuda":
        device = torch.cuda.get_device_name(bench.device)
    return (
        f"DSM default preset, {size.encoder}, {size.frames}x{size.size}x{size.size}, batch "
        f"{size.batch}, {device}, {bench.kind}"
    )


def _finished(call: Callable[[], Any], device: torch.device) -> Callable[[], None]:
    """A call that returns when the device has computed what it was given."""

    def wait() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return wait


def _free(device: torch.device) -> None:
    """Give back the memory of the last step, and forget its peak."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak_memory(device: torch.device) -> float:
    """GB: on a GPU of its tensors, on a CPU of the whole process so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return memory("VmHWM") / 1e3
