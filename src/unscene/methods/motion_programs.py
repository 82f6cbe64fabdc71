"""Motion programs: viewings of one motion find each other, on generated flow (ours, no paper).

    views     anchor, positive   flow of one generated figure's motion program in two viewings, as
                                 an estimator would measure it (synthetic.contrasts)
              shifted, retimed, shuffled, mirrored   negatives of DSM's kind, each by a flag: the
                                 anchor's body and place, another motion
    encoder   any that reads flow; one for all views; no momentum encoder, no queue
    head      two layers, D = 64, L2
    loss      InfoNCE in both directions, among the viewings and negatives of all programs
              + telling: a linear layer tells from the feature what the body does (how fast each
                limb turns, going, crouching: synthetic.attributes); squared error. So motions
                that are alike have features that are alike, in other programs too

No video is read and no label: programs are generated in the workers, every step has new ones. What
was learned carries over to real footage because the encoder reads flow there, too.

Deviations from DSM's negatives: several of a kind may be on at a time, and all of them are
candidates of every anchor, not only of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unscene.config import require
from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.data.program_flow import ProgramDataset
from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.methods.base import Embedder, Method, StepResult
from unscene.methods.contrastive import (
    compute_rank1,
    gather,
    gather_with_gradient,
    info_nce,
    measure_similarities,
    same_sample_mask,
)
from unscene.methods.settings import ClipSettings
from unscene.synthetic.attributes import ATTRIBUTES
from unscene.synthetic.contrasts import Actions, Negatives, Sides
from unscene.views.augment import BasicAugmentation

TITLE = "Motion programs"
_LEAST_VARIANCE = 0.0025  # of a number in a batch; what varies less does not count fully
GENERATES = True
ENCODER = "motion-net"


@dataclass(frozen=True, kw_only=True)
class Settings(ClipSettings):
    """Viewings of generated programs, and their contrast.

    A clip has `frames` - 1 flows. `stride` and `size` are those of the clips that the encoder will
    read: flows are `stride` frames apart.

    Attributes:
        head: "linear" or "mlp" (two layers).
        temperature: tau of InfoNCE; the smaller, the more the nearest negatives count.
        telling: weight of the squared error in telling what the body does; 0: only the contrast.
        programs: number of programs that count as an epoch; every epoch has new ones.
        fps: frames per second of the footage that the encoder is for: flows are `stride` / fps
            seconds apart.
        grid: cells along each side in which flow is painted.
        flow_noise: factor of the noise of the flow, and of what is left of the camera's motion.
        actions: programs are like "whole" actions (gaits, crouches, several changes of pose), or
            "simple" ones of fewer parts.
        sides: bodies are seen from "all" sides and heights, near or far, or from the side only
            ("profile").
        mirrored: what a figure that faces the other side is: a "positive" like any other viewing, a
            "negative", or not there ("none").
        shifted: a negative is the anchor's viewing at another time.
        shifted_by: least and most seconds between the two.
        retimed: a negative is the anchor's viewing at another pace.
        retimed_by: least and largest factor between the two paces; a positive has up to 1.35.
        shuffled: number of parts of the anchor's viewing that change places in a negative; 0: none.
    """

    drawn: ClassVar[tuple[str, ...]] = (
        *("fps", "grid", "flow_noise", "actions", "sides", "mirrored", "shifted", "shifted_by"),
        *("retimed", "retimed_by", "shuffled"),
    )

    frames: int = 25
    stride: int = 2
    size: int = 160
    dim: int = 64
    head: Literal["linear", "mlp"] = "mlp"
    temperature: float = 0.1
    telling: float = 2.0
    programs: int = 6400
    fps: float = 30.0
    grid: int = 32
    flow_noise: float = 1.0
    actions: Actions = "whole"
    sides: Sides = "all"
    mirrored: Literal["positive", "negative", "none"] = "positive"
    shifted: bool = False
    shifted_by: tuple[float, float] = (0.5, 1.0)
    retimed: bool = False
    retimed_by: tuple[float, float] = (1.6, 2.5)
    shuffled: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, ("temperature", "fps"), lambda v: v > 0, "must be above 0")
        require(self, ("programs",), lambda v: v >= 2, "must be at least 2")
        require(self, ("frames",), lambda v: v >= 3, "two flows need 3 frames")
        require(self, ("grid",), lambda v: v >= 8, "must be at least 8")
        require(self, ("flow_noise", "telling"), lambda v: v >= 0, "must not be negative")
        remedy = "must be two numbers above 0, first <= second"
        require(self, ("shifted_by", "retimed_by"), lambda v: 0 < v[0] <= v[1], remedy)
        most = self.frames - 1
        parts = f"must be 0, or 2 to {most}, the flows of a clip"
        require(self, ("shuffled",), lambda v: v == 0 or 2 <= v <= most, parts)


PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "optimizer": "adamw",
        "lr": 2e-3,
        "weight_decay": 0.05,
        "schedule": "cosine",
        "warmup": 0.1,
        "epochs": 10,
        "batch_size": 64,
    }
}


class Teller(Embedder):
    """Encoder, head, and a layer that tells what a body does.

    Shape:
        forward: (B, C, T, H, W) -> embeddings (B, D) and numbers (B, A).
    """

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder, settings)
        self.tell = nn.Linear(encoder.dim, len(ATTRIBUTES))

    def forward(self, clip_BCTHW: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Compute embeddings, L2-normalized, and numbers."""
        feature = self.encoder(clip_BCTHW)
        feature = F.normalize(feature, dim=1) * feature.shape[1] ** 0.5
        return self.head(feature), self.tell(feature)


class MotionPrograms(Method):
    """InfoNCE of the viewings of generated motion programs.

    Raises:
        UnsceneError: the encoder reads RGB.
    """

    settings: Settings
    embedder: Teller
    takes_vectors = True

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder, settings)
        if encoder.input == "rgb":
            raise UnsceneError(
                f"{encoder.spec.name} reads RGB, and motion programs are flow: take --encoder "
                f"{ENCODER}, or --input flow with an architecture"
            )

    def _network(self, encoder: VideoEncoder) -> Teller:
        return Teller(encoder, self.settings)

    def _basic(self) -> BasicAugmentation:
        return BasicAugmentation.none(self.settings.size)

    def dataset(
        self, videos: Sequence[Video] = (), *, seed: int = 0, short_side: int = 0
    ) -> ProgramDataset:
        s = self.settings
        negatives = Negatives(
            s.shifted_by if s.shifted else None,
            s.retimed_by if s.retimed else None,
            s.shuffled,
            s.mirrored == "negative",
        )
        return ProgramDataset(
            s.programs,
            steps=s.frames - 1,
            rate=s.fps / s.stride,
            grid=s.grid,
            noise=s.flow_noise,
            actions=s.actions,
            sides=s.sides,
            same_side=s.mirrored != "positive",
            negatives=negatives,
            seed=seed,
        )

    def views(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        cells = self.encoder.flow_grid or self.settings.size
        return {name: _resize(clip.flow, cells) for name, clip in batch.clips.items()}

    def captions(self) -> dict[str, str]:
        return {
            "anchor": "the flow of a motion program",
            "positive": "the same program: another body, place and pace",
            "shifted": "the anchor at another time",
            "retimed": "the anchor at another pace",
            "shuffled": "the anchor, its parts in another order",
            "mirrored": "the anchor, facing the other side",
        }

    def aim(self) -> str:
        return "Training pulls the positive to the anchor and pushes all others away."

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        # One pass for all views, so that batch norm treats them alike.
        embeddings, told = self.embedder(torch.cat(list(views.values())))
        embedded = embeddings.chunk(len(views))
        anchor, positive, *others = embedded
        candidates = torch.cat([gather_with_gradient(one) for one in embedded])
        # The viewings of the same program, the query itself among them, are no negatives.
        same = same_sample_mask(batch.index.to(anchor.device), needs_others=not others)
        masked = [same, same, *(torch.zeros_like(same) for _ in others)]
        mask = torch.cat(masked, dim=1).repeat(2, 1)
        query, key = torch.cat([anchor, positive]), torch.cat([positive, anchor])
        loss = info_nce(query, key, candidates, temperature=self.settings.temperature, mask=mask)
        metrics = measure_similarities(anchor, positive, None)
        metrics["rank1"] = compute_rank1(query, key, candidates, mask)
        for name, other in zip(list(views)[2:], others, strict=True):
            metrics[name] = measure_similarities(anchor, positive, other)["triplet"]
        if self.settings.telling:
            error = measure_error(told, batch)
            metrics["telling_error"] = error.detach()
            loss = loss + self.settings.telling * error
        return StepResult(loss, metrics)


def measure_error(told: Tensor, batch: Batch) -> Tensor:
    """Squared error of what is told of anchors and positives, in deviations of the batch.

    Args:
        told: (V B, A), of anchors, positives and further views, in this order.
        batch: of B items with numbers (B, 2, A); deviations are those of all processes together.
    """
    assert batch.numbers is not None
    true = batch.numbers.transpose(0, 1).flatten(0, 1).to(told.device)
    variance, mean = torch.var_mean(gather(true), dim=0, correction=0)
    return F.mse_loss(told[: len(true)], (true - mean) / (variance + _LEAST_VARIANCE).sqrt())


def _resize(flow: Tensor | None, cells: int) -> Tensor:
    """Flow (B, P, G, G, 2) as encoders of flow read it: (B, 2, P, cells, cells)."""
    assert flow is not None
    field = flow.float().movedim(-1, 1)
    if field.shape[-1] == cells:
        return field
    flat = field.transpose(1, 2).flatten(0, 1)
    flat = F.interpolate(flat, size=(cells, cells), mode="bilinear", antialias=True)
    return flat.unflatten(0, (len(field), -1)).transpose(1, 2)
