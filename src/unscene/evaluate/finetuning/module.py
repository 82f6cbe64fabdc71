"""A recogniser as a Lightning module: loss, data, and the choice of the best weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from unscene.data.catalog import Skipped, Video
from unscene.data.loading import Batch, ClipDataset, StepBatches, make_loader
from unscene.errors import UnsceneError
from unscene.evaluate.features import Features, extract
from unscene.evaluate.finetuning.classifier import Classifier
from unscene.evaluate.finetuning.config import FinetuneConfig
from unscene.train.optimizer import check_finite, optimisers, step_generator
from unscene.video.sampling import RandomClipSampler
from unscene.views.augment import BasicAugmentation, make_view

_VALIDATION_CLIPS = 3  # windows a video; as many as at the test would cost as much as training
_VALIDATIONS = 50  # at most, in a run of very short epochs


class FinetuneModule(L.LightningModule):
    """Everything is trained: encoder and classifier, by cross entropy on one window a video.

    As in pre-training, the videos, windows, views and dropout of a step are pure functions of the
    seed and the step, so that a resumed run is the unbroken one.

    Args:
        recogniser: with its spec set to the clips of this run.
        videos: that are trained on.
        config: resolved: frames, stride and size are those of the spec.
        fingerprint: of the training catalog; a checkpoint of another one is refused.
    """

    def __init__(
        self,
        recogniser: Classifier,
        videos: Sequence[Video],
        config: FinetuneConfig,
        fingerprint: str,
    ) -> None:
        super().__init__()
        self.recogniser, self.videos, self.config = recogniser, tuple(videos), config
        self.fingerprint = fingerprint
        spec = recogniser.spec
        basic = BasicAugmentation.of(config.augmentation, spec.size)
        self.basic = basic.normalised(spec.mean, spec.std)
        number = {name: i for i, name in enumerate(recogniser.names)}
        targets = torch.tensor([number[video.value(config.label)] for video in videos])
        self.register_buffer("targets", targets, persistent=False)
        self.targets: Tensor
        self.failures: dict[str, Skipped] = {}

    def epoch_steps(self, world: int = 1) -> int:
        """Steps that show every video once."""
        return StepBatches(len(self.videos), self.config.batch_size, world=world).epoch_steps

    def total_steps(self, world: int = 1) -> int:
        c = self.config
        return c.max_steps or max(c.epochs * self.epoch_steps(world), c.min_steps)

    def train_dataloader(self) -> DataLoader[Batch]:
        spec = self.recogniser.spec
        dataset = ClipDataset(
            self.videos,
            RandomClipSampler(spec.frames, spec.stride),
            seed=self.config.seed,
            short_side=self.config.short_side or None,
        )
        batches = StepBatches(
            len(self.videos),
            self.config.batch_size,
            seed=self.config.seed,
            rank=self.global_rank,
            world=self.trainer.world_size,
            position=lambda: self.trainer.global_step,
            steps=self.total_steps(self.trainer.world_size),
        )
        pin = self.device.type == "cuda"
        return make_loader(dataset, batches, workers=self.config.workers, pin_memory=pin)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        generator = step_generator(self, self.config.seed)
        clip = batch.clips["clip"]
        view = make_view(
            clip, self.basic.draw(clip.sizes, generator), size=self.recogniser.spec.size
        )
        logits = self.recogniser.logits(view, generator).float()
        wanted = self.targets[batch.index]
        loss = F.cross_entropy(logits, wanted)
        check_finite(loss, self, self.config.lr)
        for failure in batch.failures:
            self.failures.setdefault(failure.path, failure)
        hits = (logits.argmax(dim=1) == wanted).float().mean()
        self.log_dict({"loss": loss.detach(), "top1": hits}, batch_size=len(batch))
        return loss

    def configure_optimizers(self) -> Any:
        c, world = self.config, self.trainer.world_size
        return optimisers(
            c,
            self.recogniser.parameters(),
            self.total_steps(world),
            self.epoch_steps(world),
            drop_factor=c.drop_factor,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["training_videos"] = self.fingerprint

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint.get("training_videos") != self.fingerprint:
            raise UnsceneError(
                f"{self.config.train}: its videos or labels have changed since this run began; put "
                "back what it began with, or begin a new run in another --out"
            )


class Choice(L.Callback):
    """Scores videos that are not trained on, and keeps the weights that did best.

    They are scored when every epoch ends (every few, if epochs are so short that there would be
    more than 50 scores) and after the last step: top-1 of the mean class probabilities of three
    uniformly spaced windows; of equals the lower cross entropy wins. The weights are kept in memory
    and travel in the checkpoint, so that one file is a whole run.

    Args:
        videos: that choose; none: nothing is kept.
        every: steps between scores.
        total: steps of the run.

    Attributes:
        best: state of the recogniser at step `step`, None before the first score.
    """

    def __init__(self, videos: Sequence[Video], every: int, total: int) -> None:
        self.videos, self.every, self.total = tuple(videos), every, total
        self.best: dict[str, Tensor] | None = None
        self.step = -1
        self.scores = (-1.0, 0.0)  # top-1, minus cross entropy

    @classmethod
    def of(cls, module: FinetuneModule, videos: Sequence[Video], world: int) -> Choice:
        """With as many scores as epochs, and no more than there is a use for."""
        total, epoch = module.total_steps(world), module.epoch_steps(world)
        return cls(videos, epoch * -(-total // (epoch * _VALIDATIONS)), total)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "step": self.step, "scores": self.scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.step = state_dict["best"], state_dict["step"]
        self.scores = state_dict["scores"]

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        # One process scores and keeps; the others need no answer and wait at the next step.
        step = trainer.global_step
        if not self.videos or not trainer.is_global_zero:
            return
        if step % self.every and step != self.total:
            return
        assert isinstance(module, FinetuneModule)
        top1, entropy = self.score(module)
        for logger in trainer.loggers:
            logger.log_metrics({"validation_top1": top1, "validation_loss": entropy}, step - 1)
        if (top1, -entropy) > self.scores:
            self.scores, self.step = (top1, -entropy), step
            self.best = {
                name: value.detach().cpu().clone()
                for name, value in module.recogniser.state_dict().items()
            }

    def score(self, module: FinetuneModule) -> tuple[float, float]:
        """Top-1 and cross entropy; a video that cannot be read counts as missed."""
        config, names = module.config, module.recogniser.names
        try:
            found = predict(module.recogniser, self.videos, config, clips=_VALIDATION_CLIPS)
        except UnsceneError:  # none can be read any more: no reason to end the run
            return 0.0, float("inf")
        number = {name: i for i, name in enumerate(names)}
        wanted = torch.tensor([number[video.value(config.label)] for video in found.videos])
        hits = int((found.values.argmax(dim=1) == wanted).sum())
        entropy = F.nll_loss(found.values.clamp(min=1e-9).log(), wanted)
        return hits / len(self.videos), float(entropy)


def predict(
    recogniser: Classifier,
    videos: Sequence[Video],
    config: FinetuneConfig,
    *,
    clips: int,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Probabilities (N, K) of the classes: the mean over uniformly spaced windows of a video.

    Probabilities are averaged and not logits, as in the authors' code; the paper says only "mean of
    10 uniformly spaced clips". The recogniser stays on its device.

    Raises:
        UnsceneError: no video could be read.
    """
    return extract(
        recogniser,
        videos,
        clips=clips,
        batch_size=config.batch_size,
        workers=config.workers,
        device=recogniser.classifier.weight.device,
        short_side=config.short_side or None,
        progress=progress,
    )
