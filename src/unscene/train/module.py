"""A method as a Lightning module: optimiser, schedule, device placement, logging."""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from unscene.errors import UnsceneError
from unscene.methods.base import Method
from unscene.methods.settings import Settings
from unscene.video.catalog import Skipped, Video
from unscene.video.loading import Batch, StepBatches, WindowDataset, loader


class PretrainModule(L.LightningModule):
    """Args:
    method: what is trained.
    videos: of a checked catalog.
    seed: of windows and views.
    max_steps: optimiser steps, or None for `settings.epochs`.
    workers: reading processes.
    short_side: see `WindowDataset`.
    """

    def __init__(
        self,
        method: Method,
        videos: tuple[Video, ...],
        *,
        seed: int,
        max_steps: int | None,
        workers: int,
        short_side: int | None,
    ) -> None:
        super().__init__()
        self.method = method
        self.videos, self.seed, self.workers = videos, seed, workers
        self.short_side = short_side
        self.failures: dict[str, Skipped] = {}
        self._max_steps = max_steps

    @property
    def settings(self) -> Settings:
        return self.method.settings

    def epoch_steps(self, world: int = 1) -> int:
        """Steps that show every video once."""
        return StepBatches(len(self.videos), self.settings.batch_size, world=world).epoch_steps

    def total_steps(self, world: int = 1) -> int:
        return self._max_steps or self.settings.epochs * self.epoch_steps(world)

    def train_dataloader(self) -> DataLoader[Batch]:
        dataset = WindowDataset(
            self.videos,
            self.method.sampler(),
            transforms=self.method.transforms(),
            seed=self.seed,
            short_side=self.short_side,
        )
        batches = StepBatches(
            len(self.videos),
            self.settings.batch_size,
            seed=self.seed,
            rank=self.global_rank,
            world=self.trainer.world_size,
            position=lambda: self.trainer.global_step,
            steps=self.total_steps(self.trainer.world_size),
        )
        return loader(dataset, batches, workers=self.workers, pin_memory=self.device.type == "cuda")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # A generator of its own for every step and process: resuming needs no generator state.
        generator = torch.Generator()
        entropy = np.random.SeedSequence([self.seed, self.global_step, self.global_rank])
        generator.manual_seed(int(entropy.generate_state(1)[0]))
        result = self.method(batch, generator)
        if not torch.isfinite(result.loss):
            self._not_finite(result.loss)
        for failure in batch.failures:
            self.failures.setdefault(failure.path, failure)
        self.log_dict({"loss": result.loss.detach(), **result.metrics}, batch_size=len(batch))
        return result.loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        # Not in on_train_batch_end: callbacks, and so checkpoints, come before that hook.
        self.method.after_step()

    def configure_optimizers(self) -> Any:
        s = self.settings
        trained = [p for p in self.method.parameters() if p.requires_grad]
        optimizer: torch.optim.Optimizer
        if s.optimizer == "sgd":
            optimizer = torch.optim.SGD(
                trained, lr=s.lr, momentum=s.momentum, weight_decay=s.weight_decay
            )
        else:
            optimizer = torch.optim.AdamW(trained, lr=s.lr, weight_decay=s.weight_decay)
        world = self.trainer.world_size
        total, epoch = self.total_steps(world), self.epoch_steps(world)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: lr_factor(s, step, total, epoch)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "lr"},
        }

    def _not_finite(self, loss: Tensor) -> None:
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        raise UnsceneError(
            f"the loss became {loss.item()} at step {self.global_step} (learning rate {rate:.3g}). "
            f"Begin again in another --out with a smaller --lr (half of {self.settings.lr:g}), a "
            "longer --warmup, a higher --temperature, or --precision 32-true. What this run saved "
            "before is kept."
        )


class Schedule(Protocol):
    """The part of some settings that says how the learning rate goes."""

    @property
    def schedule(self) -> Literal["step", "cosine", "constant"]: ...
    @property
    def warmup(self) -> float: ...
    @property
    def drops(self) -> tuple[int, ...]: ...


def lr_factor(
    settings: Schedule, step: int, total: int, epoch_steps: int, *, drop_factor: float = 0.1
) -> float:
    """What the learning rate is multiplied by at a step: warm-up times schedule."""
    warm = settings.warmup * total
    rise = min(1.0, (step + 1) / warm) if warm >= 1 else 1.0
    if settings.schedule == "step":
        return rise * drop_factor ** sum(step >= drop * epoch_steps for drop in settings.drops)
    if settings.schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
    return rise
