"""Distill: a frozen encoder of motion teaches an encoder of RGB by its features (MARS, CVPR 2019).

    views     taught    the clip, basic augmentation
              teacher   the same frames, crop and flip, without jitter and blur, of which the
                        teacher computes the flow
    encoder   any; the teacher is any other: a saved run, or a descriptor such as hof+mbh
    head      one linear layer from the encoder's features to the teacher's
    loss      teacher_weight x squared error of the teacher's features, beside the loss of another
              method (`--beside dsm`), which works as it does alone, on views of its own

Source: Crasto, Weinzaepfel, Alahari, Schmid, "MARS: Motion-Augmented RGB Stream for Action
Recognition", CVPR 2019: L = cross-entropy + alpha x mean squared error of the features, alpha = 50.

Deviations from MARS:
- No labels: instead of the cross-entropy, the loss of a method without labels, or none.
- Encoder and teacher may differ, so a linear layer takes one's features to the other's; it is
  discarded. MARS has two networks of one architecture.
- The teacher's features are standardized by their running mean and deviation: the error is a share
  of their variance, whatever the teacher. `--preset mars` takes them as they are, with alpha = 50.
- The teacher's input is DIS flow of the view without the camera's motion; MARS stores TV-L1 flow.
- `--teacher_loss cosine` is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unscene.config import require
from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.device import fp32_context
from unscene.encoders import VideoEncoder, resolve_encoder
from unscene.errors import UnsceneError
from unscene.methods.base import Method, Network, StepResult
from unscene.methods.contrastive import gather
from unscene.methods.registry import create_method, generates, resolve
from unscene.methods.settings import OURS, CommonSettings
from unscene.video.clip import Clip
from unscene.video.sampling import ClipSampler, RandomClipSampler
from unscene.views.augment import make_view
from unscene.views.color import ColorFactors

TITLE = "Distill"
_MEMORY = 100  # batches that mean and deviation of the teacher's features are over
_LEAST = 1e-6  # of a variance, of a feature that never changes


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """The teacher, and the method beside it.

    Attributes:
        teacher: encoder whose features are learned, as --encoder names it; it reads the frames of
            the clip, so take its `stride`.
        teacher_size: height and width of what the teacher reads, px; 0: its own. Flow of a smaller
            frame takes less time.
        teacher_loss: "mse" (the squared error, as MARS) or "cosine".
        teacher_scale: features of the teacher are "standardized", or "raw" (MARS).
        teacher_weight: weight of that loss; MARS's alpha.
        beside: method whose loss is added; "none": the teacher alone.
        beside_options: settings of that method which this one does not have.
    """

    drawn: ClassVar[tuple[str, ...]] = ("teacher", "beside", "beside_options")

    frames: int = 13
    stride: int = 2
    teacher: str = "hof+mbh"
    teacher_size: int = 0
    teacher_loss: Literal["mse", "cosine"] = "mse"
    teacher_scale: Literal["standardized", "raw"] = "standardized"
    teacher_weight: float = 1.0
    beside: str = "none"
    beside_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, ("teacher_weight",), lambda v: v > 0, "must be above 0")
        require(self, ("teacher_size",), lambda v: v >= 0, "must not be negative")
        require(self, ("beside",), lambda v: v != "distill", "name another method, or none")

    def fit(self, videos: int) -> Self:
        """Choose the settings that the method beside leaves open (the length of a queue)."""
        if self.beside == "none":
            return self
        before = resolve_beside(self)
        after = before.fit(videos)
        names = [one.name for one in fields(after)]
        found = {n: getattr(after, n) for n in names if getattr(after, n) != getattr(before, n)}
        return replace(self, beside_options=self.beside_options | found)


PRESETS: dict[str, dict[str, Any]] = {
    "default": OURS,
    "mars": OURS | {"teacher_scale": "raw", "teacher_weight": 50.0},
}


def resolve_beside(settings: Settings) -> CommonSettings:
    """The settings of the method beside: its own, on the clips of this one.

    Raises:
        UnsceneError: no such method or setting, or the method generates what it learns from.
    """
    s = settings
    if generates(s.beside):
        raise UnsceneError(f"beside {s.beside!r}: it generates what it learns from; name another")
    shared = {one.name: getattr(s, one.name) for one in fields(CommonSettings)}
    made = resolve(s.beside, "default", s.beside_options | shared)
    assert isinstance(made, CommonSettings)
    return made


class Student(Network):
    """The encoder, and a linear layer to the teacher's features, (B, C, T, H, W) -> (B, D)."""

    def __init__(self, encoder: VideoEncoder, dim: int) -> None:
        super().__init__(encoder)
        self.head = nn.Linear(encoder.dim, dim)

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        """Predict the teacher's features of a batch of clips."""
        predicted: Tensor = self.head(self.encoder(clip_BCTHW)).float()
        return predicted


class Distill(Method):
    """Regression of a teacher's features, beside the loss of another method.

    Raises:
        UnsceneError: no such teacher or one that is not trained, clips that it does not take, or a
            method beside that cannot train the encoder.
    """

    settings: Settings
    embedder: Student
    mean: Tensor
    square: Tensor
    batches: Tensor

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder, settings)
        dim = self.teacher.dim
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("square", torch.ones(dim))
        self.register_buffer("batches", torch.zeros(()))

    def _network(self, encoder: VideoEncoder) -> Student:
        s = self.settings
        resolved = resolve_encoder(s.teacher)
        if resolved.trained is False:
            raise UnsceneError(f"teacher {s.teacher}: {resolved.note}; name a trained encoder")
        self.teacher = resolved.encoder.requires_grad_(False).eval()
        if s.frames < self.teacher.minimum[0]:
            raise UnsceneError(
                f"teacher {s.teacher} takes clips of at least {self.teacher.minimum[0]} frames: "
                f"raise --frames {s.frames}"
            )
        if s.teacher_size and s.teacher_size < max(self.teacher.minimum[1:]):
            raise UnsceneError(
                f"teacher {s.teacher} takes frames of at least {max(self.teacher.minimum[1:])} px: "
                f"raise --teacher_size {s.teacher_size}"
            )
        self.beside: Method | None = None
        if s.beside != "none":
            self.beside = create_method(s.beside, encoder, resolve_beside(s))
        return Student(encoder, self.teacher.dim)

    @property
    def teacher_size(self) -> int:
        """Height and width of what the teacher reads."""
        return self.settings.teacher_size or self.teacher.spec.size

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the teacher, which stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def sampler(self) -> ClipSampler:
        if self.beside is not None:
            return self.beside.sampler()
        return RandomClipSampler(self.settings.frames, self.settings.stride)

    def transforms(self) -> dict[str, Callable[[Clip], Clip]]:
        return self.beside.transforms() if self.beside is not None else {}

    def vectors(self) -> dict[str, Callable[[Video], bool]]:
        return self.beside.vectors() if self.beside is not None else {}

    def refuses(self, video: Video) -> str | None:
        beside = self.beside.refuses(video) if self.beside is not None else None
        return super().refuses(video) or beside

    def views(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        clip = batch.clips["clip"]
        params = self.basic.draw(clip.sizes, generator)
        count = len(clip)
        plain = replace(params, color=ColorFactors.neutral(count), blur_sigma=torch.zeros(count))
        views = {
            "taught": make_view(clip, params, size=self.settings.size),
            "teacher": make_view(clip, plain, size=self.teacher_size),
        }
        return views | (self.beside.views(batch, generator) if self.beside is not None else {})

    def captions(self) -> dict[str, str]:
        own = {"taught": "the clip", "teacher": f"what {self.settings.teacher} reads of it"}
        return own | (self.beside.captions() if self.beside is not None else {})

    def aim(self) -> str:
        own = f"Training predicts the features of {self.settings.teacher}."
        return own if self.beside is None else f"{own} {self.beside.aim()}"

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        s = self.settings
        target = self._read_target(views["teacher"])
        predicted = self.embedder(views["taught"])
        with fp32_context(predicted.device):
            near = F.cosine_similarity(predicted, target).mean()
            error = F.mse_loss(predicted, target) if s.teacher_loss == "mse" else 1 - near
        metrics = {"taught": error.detach(), "taught_cosine": near.detach()}
        if self.beside is None:
            return StepResult(s.teacher_weight * error, metrics)
        others = {k: view for k, view in views.items() if k not in ("taught", "teacher")}
        beside = self.beside.loss(batch, others)
        return StepResult(beside.loss + s.teacher_weight * error, beside.metrics | metrics)

    def after_step(self) -> None:
        if self.beside is not None:
            self.beside.after_step()

    @torch.no_grad()
    def _read_target(self, view: Tensor) -> Tensor:
        """The teacher's features (B, D) of a view, standardized by their running statistics."""
        spec = self.teacher.spec

        def column(values: tuple[float, ...]) -> Tensor:
            return torch.tensor(values, device=view.device).view(-1, 1, 1, 1)

        pixels = view * column(self.basic.std) + column(self.basic.mean)
        with fp32_context(view.device):
            features = self.teacher((pixels - column(spec.mean)) / column(spec.std)).float()
        if self.settings.teacher_scale == "raw":
            return features
        if self.training:
            self._follow(features)
        variance = (self.square - self.mean.square()).clamp(min=_LEAST)
        return (features - self.mean) / variance.sqrt()

    def _follow(self, features: Tensor) -> None:
        """Let mean and mean square follow the features of a batch in all processes."""
        self.batches += 1
        share = 1 / self.batches.clamp(max=_MEMORY)
        self.mean.lerp_(gather(features.mean(dim=0)[None]).mean(dim=0), share)
        self.square.lerp_(gather(features.square().mean(dim=0)[None]).mean(dim=0), share)
