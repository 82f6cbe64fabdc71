"""A method as a Lightning module: data, steps, logging."""

from __future__ import annotations

from typing import Any

import lightning as L
from torch import Tensor
from torch.utils.data import DataLoader

from unscene.data.catalog import Skipped, Video
from unscene.data.loading import Batch, ItemDataset, StepBatches, make_loader
from unscene.methods.base import Method
from unscene.methods.settings import ClipSettings
from unscene.train.optimizer import check_finite_loss, create_optimizer, make_step_generator


class PretrainModule(L.LightningModule):
    """Args:
    method: what is trained.
    videos: of a checked catalog; none if the method generates what it learns from.
    seed: of clips and views.
    processes: that share each batch.
    max_steps: optimizer steps, or None for `settings.epochs`.
    workers: reading processes.
    short_side: see `loading.limit_short_side`.
    """

    def __init__(
        self,
        method: Method,
        videos: tuple[Video, ...],
        *,
        seed: int,
        processes: int,
        max_steps: int | None,
        workers: int,
        short_side: int,
    ) -> None:
        super().__init__()
        self.method = method
        self.videos, self.seed, self.workers = videos, seed, workers
        self.processes, self.short_side = processes, short_side
        self.failures: dict[str, Skipped] = {}
        batch_size = method.settings.batch_size
        self.items = len(self.dataset())  # of an epoch
        self.epoch_steps = StepBatches(self.items, batch_size, world=processes).epoch_steps
        self.total_steps = max_steps or method.settings.epochs * self.epoch_steps

    @property
    def settings(self) -> ClipSettings:
        return self.method.settings

    def dataset(self) -> ItemDataset:
        """What is read of the videos, or generated."""
        return self.method.dataset(self.videos, seed=self.seed, short_side=self.short_side)

    def train_dataloader(self) -> DataLoader[Batch]:
        batches = StepBatches(
            self.items,
            self.settings.batch_size,
            seed=self.seed,
            rank=self.global_rank,
            world=self.processes,
            position=lambda: self.trainer.global_step,
            steps=self.total_steps,
        )
        return make_loader(
            self.dataset(), batches, workers=self.workers, pin_memory=self.device.type == "cuda"
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        result = self.method(batch, make_step_generator(self, self.seed))
        check_finite_loss(result.loss, self, self.settings.lr, "a higher --temperature")
        for failure in batch.failures:
            self.failures.setdefault(failure.path, failure)
        self.log_dict({"loss": result.loss.detach(), **result.metrics}, batch_size=len(batch))
        return result.loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        # Not in on_train_batch_end: callbacks, and so checkpoints, come before that hook.
        self.method.after_step()

    def configure_optimizers(self) -> Any:
        return create_optimizer(
            self.settings,
            (p for p in self.method.parameters() if p.requires_grad),
            self.total_steps,
            self.epoch_steps,
        )
