"""What pre-training and fine-tuning share around Lightning: the trainer and the fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from unscene.config import RunOptions
from unscene.device import uses_gpu
from unscene.signals import Stopped
from unscene.train.callbacks import StopOnSignal
from unscene.train.metrics import Metrics
from unscene.train.preflight import Start, open_checkpoint


def is_first_process() -> bool:
    """Whether this is the run's first process, which writes and prints, or its only one."""
    return not getattr(rank_zero_only, "rank", 0)


def create_trainer(
    run: RunOptions,
    start: Start,
    callbacks: Sequence[L.Callback],
    *,
    total: int,
    clip_gradient: float,
) -> L.Trainer:
    """Create a trainer of `total` steps that leaves checkpoints, bar and stopping to callbacks.

    `clip_gradient` is the largest norm of the gradient; 0: no clipping.
    """
    gpu = uses_gpu(run.accelerator)
    precision = run.precision
    if precision == "auto":
        # On a CPU bf16 gave NaN in the backward pass of small 3D ResNets (methods.md, section 4).
        precision = "bf16-mixed" if gpu else "32-true"
    done = open_checkpoint(start.checkpoint).get("global_step", 0) if start.checkpoint else 0
    metrics = Metrics(Path(run.out) / "metrics.csv", before=done)
    return L.Trainer(
        accelerator=run.accelerator,
        devices=run.devices if gpu or run.devices != "auto" else 1,
        strategy="ddp" if start.processes > 1 else "auto",
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
def torch_threads(threads: int) -> Iterator[None]:
    """A context in which torch computes on so many processor threads; 0: as many as before.

    One thread more than there are free cores is worse than one less: in each small layer all
    threads wait for the one that shares its core with a reading process.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(
    trainer: L.Trainer, module: L.LightningModule, stop: StopOnSignal, checkpoint: Path | None
) -> None:
    """Train to the last step or the first Ctrl-C; a second one raises KeyboardInterrupt."""
    try:
        trainer.fit(module, ckpt_path=checkpoint, weights_only=False)
    except Stopped:  # the first one, while the run waited for data; it is saved
        pass
    except SystemExit:
        if stop.stopped:  # the second Ctrl-C, which Lightning turns into an exit
            raise KeyboardInterrupt from None
        raise
