"""What pre-training and fine-tuning share around Lightning: the checks, the devices, the fit."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from unscene.errors import UnsceneError
from unscene.train.callbacks import CHECKPOINT, StopOnSignal
from unscene.train.config import CONFIG, Precision
from unscene.train.metrics import Metrics
from unscene.train.preflight import check_processes


class Run(Protocol):
    """The part of a run's configuration that says where and on what it runs."""

    @property
    def out(self) -> str: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def accelerator(self) -> str: ...
    @property
    def devices(self) -> int | Literal["auto"]: ...
    @property
    def sync_batchnorm(self) -> bool: ...


def begin(run: Run, *, resume: bool) -> Path | None:
    """The checkpoint to continue from, or None for a new run; before anything is read.

    Raises:
        UnsceneError: OUT is a file or holds another run, nothing or nothing whole to resume, a run
            of another number of processes, no GPU.
    """
    checkpoint = Path(run.out) / CHECKPOINT
    if Path(run.out).is_file():
        raise UnsceneError(f"--out {run.out}: is a file; a run is a folder, name another")
    if resume and not checkpoint.exists():
        raise UnsceneError(
            f"{run.out}: no {CHECKPOINT} to resume from, nothing was saved yet; begin again with "
            f"--config {shlex.quote(str(Path(run.out) / CONFIG))} instead of --resume"
        )
    if resume:
        check_processes(checkpoint, world_size(run))
    elif checkpoint.exists():
        raise UnsceneError(
            f"{run.out}: already holds a run; continue it with --resume or give another --out"
        )
    if run.accelerator == "gpu" and not torch.cuda.is_available():
        raise UnsceneError("--accelerator gpu: no GPU is visible here; `unscene doctor` says more")
    return checkpoint if resume else None


def on_gpu(run: Run) -> bool:
    """Whether the run computes on a GPU."""
    return torch.cuda.is_available() and run.accelerator != "cpu"


def world_size(run: Run) -> int:
    """Processes of the run: what torchrun says, else the devices."""
    if "WORLD_SIZE" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    if run.devices == "auto":
        return torch.cuda.device_count() if on_gpu(run) else 1
    return int(run.devices)


def first() -> bool:
    """Whether this is the run's first process, the one that writes and speaks, or its only one."""
    return not getattr(rank_zero_only, "rank", 0)


def trainer(
    run: Run,
    callbacks: Sequence[L.Callback],
    *,
    total: int,
    resume: bool,
    clip_gradient: float = 0.0,
) -> L.Trainer:
    """A trainer of `total` steps that leaves checkpoints, bar and stopping to the callbacks.

    `clip_gradient` is the largest norm of the gradient, 0 for any.
    """
    gpu = on_gpu(run)
    precision = run.precision
    if precision == "auto":
        # On a CPU bf16 gave NaN in the backward pass of small 3D ResNets (methods.md, section 4).
        precision = "bf16-mixed" if gpu else "32-true"
    metrics = Metrics(Path(run.out) / "metrics.csv", resume=resume)
    return L.Trainer(
        accelerator=run.accelerator,
        devices=run.devices if gpu or run.devices != "auto" else 1,
        strategy="ddp" if world_size(run) > 1 else "auto",
        precision=precision,
        gradient_clip_val=clip_gradient or None,
        max_epochs=-1,
        max_steps=total,
        callbacks=list(callbacks),
        logger=[metrics, TensorBoardLogger(run.out, name="tensorboard", version="")],
        log_every_n_steps=max(1, min(50, total // 100)),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        sync_batchnorm=run.sync_batchnorm,
    )


@contextmanager
def computing_on(threads: int) -> Iterator[None]:
    """A context in which torch computes on so many processor threads; 0: as many as it had.

    One thread more than there are cores free is worse than one less: all wait in each small layer
    for the one that shares its core with a reading process.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(
    machine: L.Trainer, module: L.LightningModule, stop: StopOnSignal, checkpoint: Path | None
) -> None:
    """Train to the last step or the first Ctrl-C; a second one raises KeyboardInterrupt."""
    try:
        machine.fit(module, ckpt_path=checkpoint, weights_only=False)
    except SystemExit:
        if stop.stopped:  # the second Ctrl-C, which Lightning turns into an exit
            raise KeyboardInterrupt from None
        raise
