"""Fine-tuning as a Lightning module: loss, data, and the selection of the best weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from unscene.data.catalog import Skipped, Video
from unscene.data.loading import Batch, ClipDataset, StepBatches, limit_short_side, make_loader
from unscene.encoders.checkpoints import SPEC
from unscene.errors import UnsceneError
from unscene.evaluate.features import Features, extract
from unscene.evaluate.finetuning.classifier import Classifier
from unscene.evaluate.finetuning.config import FinetuneConfig
from unscene.signals import Stopped, interruptible
from unscene.train.optimizer import check_finite_loss, create_optimizer, make_step_generator
from unscene.video.sampling import RandomClipSampler
from unscene.views.augment import BasicAugmentation
from unscene.views.encoder_input import make_encoder_view, read_for_encoder

_VALIDATION_CLIPS = 3  # per video; as many as in the test would cost as much as training
_VALIDATIONS = 50  # at most, in a run of very short epochs


class FinetuneModule(L.LightningModule):
    """Trains encoder and linear layer together, by cross entropy on one random clip per video.

    As in pre-training, the videos, clips, views and dropout of a step are pure functions of the
    seed and the step, so that a resumed run equals an unbroken one.

    Args:
        classifier: its spec has the frames, stride and size of this run.
        videos: the training videos.
        config: resolved: frames, stride and size are those of the spec.
        processes: that share each batch.
        fingerprint: of the training catalog; a checkpoint of another catalog is refused.

    Attributes:
        failures: videos that could not be read during training, by path.
    """

    def __init__(
        self,
        classifier: Classifier,
        videos: Sequence[Video],
        config: FinetuneConfig,
        processes: int,
        fingerprint: str,
    ) -> None:
        super().__init__()
        self.processes = processes
        self.classifier, self.videos, self.config = classifier, tuple(videos), config
        self.fingerprint = fingerprint
        spec = classifier.spec
        basic = BasicAugmentation.of(config.augmentation, spec.size)
        self.basic = basic.with_normalization(spec.mean, spec.std)
        number = {name: i for i, name in enumerate(classifier.names)}
        targets = torch.tensor([number[video.value(config.label)] for video in videos])
        self.register_buffer("targets", targets, persistent=False)
        self.targets: Tensor
        self.failures: dict[str, Skipped] = {}
        batches = StepBatches(len(self.videos), config.batch_size, world=processes)
        self.epoch_steps = batches.epoch_steps  # in which every video is seen once
        steps = max(config.epochs * self.epoch_steps, config.min_steps)
        self.total_steps = config.max_steps or steps
        self.register_load_state_dict_pre_hook(_rename_old_weights)

    def dataset(self) -> ClipDataset:
        """What is read of the videos."""
        spec = self.classifier.spec
        drawn = RandomClipSampler(spec.frames, spec.stride)
        sampler, transforms = read_for_encoder(self.classifier, drawn, spec.size)
        return ClipDataset(
            self.videos,
            sampler,
            transforms=transforms,
            seed=self.config.seed,
            short_side=limit_short_side(self.config.short_side, spec.size),
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        batches = StepBatches(
            len(self.videos),
            self.config.batch_size,
            seed=self.config.seed,
            rank=self.global_rank,
            world=self.processes,
            position=lambda: self.trainer.global_step,
            steps=self.total_steps,
        )
        pin = self.device.type == "cuda"
        return make_loader(self.dataset(), batches, workers=self.config.workers, pin_memory=pin)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        generator = make_step_generator(self, self.config.seed)
        clip = batch.clips["clip"]
        params = self.basic.draw(clip.sizes, generator)
        view = make_encoder_view(self.classifier, clip, params, size=self.classifier.spec.size)
        logits = self.classifier.logits(view, generator).float()
        targets = self.targets[batch.index]
        loss = F.cross_entropy(logits, targets)
        check_finite_loss(loss, self, self.config.lr)
        for failure in batch.failures:
            self.failures.setdefault(failure.path, failure)
        hits = (logits.argmax(dim=1) == targets).float().mean()
        self.log_dict({"loss": loss.detach(), "top1": hits}, batch_size=len(batch))
        return loss

    def configure_optimizers(self) -> Any:
        return create_optimizer(
            self.config,
            self.classifier.parameters(),
            self.total_steps,
            self.epoch_steps,
            drop_factor=self.config.drop_factor,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["training_videos"] = self.fingerprint
        spec = self.classifier.encoder.spec
        history = {
            "method": f"{spec.trained_on.get('method', 'random')}+finetuned",
            "steps": self.global_step,
            "data": self.fingerprint,
            "pretrained": spec.trained_on,
        }
        checkpoint[SPEC] = replace(spec, trained_on=history).to_json()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint.get("training_videos") != self.fingerprint:
            raise UnsceneError(
                f"{self.config.train}: its videos or labels have changed since this run began; "
                "restore them, or begin a new run in another --out"
            )


def _rename_old_weights(
    module: FinetuneModule, weights: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Checkpoints of version 0.1 call the classifier "recogniser" and its layer "classifier"."""
    for name in [name for name in weights if name.startswith(f"{prefix}recogniser.")]:
        weights[f"{prefix}classifier." + name.removeprefix(f"{prefix}recogniser.")] = weights.pop(
            name
        )
    _rename_linear_layer(weights, f"{prefix}classifier.classifier.")


def _rename_linear_layer(weights: dict[str, Tensor], old: str) -> None:
    for name in [name for name in weights if name.startswith(old)]:
        weights[old.removesuffix("classifier.") + "linear." + name.removeprefix(old)] = weights.pop(
            name
        )


class BestWeights(L.Callback):
    """Scores the validation videos during training, and keeps the weights with the best score.

    Videos are scored at the end of every epoch (of every few epochs, if they are so short that
    there would be more than 50 scores) and after the last step. The score is the top-1 accuracy of
    the mean class probabilities of three uniformly spaced clips; ties go to the lower cross
    entropy. The best weights are kept in memory and in the checkpoint, so that one file holds a
    whole run.

    Args:
        videos: the validation videos; empty: nothing is scored or kept.
        every: steps between scores.
        total: steps of the run.

    Attributes:
        best: state of the classifier at step `step`, None before the first score.
        due: the present step is to be scored; a run that was stopped meanwhile does so when it is
            resumed.
        scores: its top-1 accuracy and minus its cross entropy.
    """

    def __init__(self, videos: Sequence[Video], every: int, total: int) -> None:
        self.videos, self.every, self.total = tuple(videos), every, total
        self.best: dict[str, Tensor] | None = None
        self.step = -1
        self.due = False
        self.scores = (-1.0, 0.0)  # top-1, minus cross entropy

    @classmethod
    def of(cls, module: FinetuneModule, videos: Sequence[Video]) -> BestWeights:
        """Scores once per epoch, but at most 50 times in a run."""
        total, epoch = module.total_steps, module.epoch_steps
        return cls(videos, epoch * -(-total // (epoch * _VALIDATIONS)), total)

    @property
    def state_key(self) -> str:
        """Its name in checkpoints, which is that of version 0.1."""
        return "Choice"

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "step": self.step, "scores": self.scores, "due": self.due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.step = state_dict["best"], state_dict["step"]
        self.scores, self.due = state_dict["scores"], state_dict.get("due", False)
        if self.best is not None:
            _rename_linear_layer(self.best, "classifier.")

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.due:
            self.keep_best(trainer, module)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        # Only one process scores; the others wait for it at the next step.
        step = trainer.global_step
        if not self.videos or not trainer.is_global_zero:
            return
        self.due = not step % self.every or step == self.total
        if self.due and not trainer.should_stop:
            self.keep_best(trainer, module)

    def keep_best(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Score the present weights, and keep them if they are the best so far."""
        step = trainer.global_step
        assert isinstance(module, FinetuneModule)
        try:
            with interruptible():
                top1, entropy = self.score(module)
        except Stopped:
            trainer.should_stop = True  # saved as due
            return
        self.due = False
        for logger in trainer.loggers:
            logger.log_metrics({"validation_top1": top1, "validation_loss": entropy}, step - 1)
        if (top1, -entropy) > self.scores:
            self.scores, self.step = (top1, -entropy), step
            self.best = {
                name: value.detach().cpu().clone()
                for name, value in module.classifier.state_dict().items()
            }

    def score(self, module: FinetuneModule) -> tuple[float, float]:
        """Top-1 accuracy and cross entropy; a video that cannot be read counts as wrong."""
        config, names = module.config, module.classifier.names
        try:
            found = predict(module.classifier, self.videos, config, clips=_VALIDATION_CLIPS)
        except UnsceneError:  # none can be read any more, which should not end the run
            return 0.0, float("inf")
        number = {name: i for i, name in enumerate(names)}
        true = torch.tensor([number[video.value(config.label)] for video in found.videos])
        hits = int((found.values.argmax(dim=1) == true).sum())
        entropy = F.nll_loss(found.values.clamp(min=1e-9).log(), true)
        return hits / len(self.videos), float(entropy)


def predict(
    classifier: Classifier,
    videos: Sequence[Video],
    config: FinetuneConfig,
    *,
    clips: int,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Class probabilities of videos, each the mean over uniformly spaced clips.

    Probabilities are averaged and not logits, as in the authors' code of DSM; the paper says only
    "mean of 10 uniformly spaced clips". The classifier stays on its device.

    Args:
        classifier: K classes.
        videos: of a checked catalog.
        config: batch size, workers and `short_side` are used.
        clips: number of clips per video.
        progress: called as progress(done, total) in videos.

    Returns:
        Features of shape (N, K).

    Raises:
        UnsceneError: no video could be read.
    """
    return extract(
        classifier,
        videos,
        clips=clips,
        batch_size=config.batch_size,
        workers=config.workers,
        device=classifier.linear.weight.device,
        short_side=config.short_side,
        progress=progress,
    )
