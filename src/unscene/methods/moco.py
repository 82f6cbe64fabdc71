"""MoCo on video: two views of one clip against a queue (He et al. 2020; the DSM paper's baseline).

    views     anchor and positive: two crops of the same clip, basic augmentation on both
    encoder   any; the positive goes through a momentum encoder
    head      linear (DSM paper) or two-layer (MoCo v2), D = 128
    loss      InfoNCE against K features of other videos; in the default preset also against the
              keys of the batch's other videos (experiments/LOG.md: features of a queue differ from
              the positive in age and in batch, and an anchor can tell them apart by that alone;
              training collapsed on footage of one place)

Deviations: no shuffled batch norm. It only has an effect with several processes, and the papers
that use MoCo on video do not mention it; use SyncBN (`--sync_batchnorm`) where batches are small.

`--preset official-code` does what DSM's public code does for this baseline. What it leaves out:
there, batch norm of the momentum encoder uses running statistics that are never updated; the
negative's video is drawn from all videos (here, the next one of the batch); weights begin otherwise
(Xavier with gain sqrt 2, batch norm N(1, 0.02)); hue turns in HSV.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from unscene.config import require
from unscene.data.loading import Batch
from unscene.encoders import VideoEncoder
from unscene.methods.base import Embedder, Method, StepResult
from unscene.methods.contrastive import (
    MomentumEncoder,
    Queue,
    compute_rank1,
    gather,
    info_nce,
    measure_similarities,
    same_sample_mask,
)
from unscene.methods.settings import OURS, CommonSettings
from unscene.video.sampling import ClipSampler, RandomClipSampler

TITLE = "MoCo"


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Head, queue and momentum encoder.

    Attributes:
        head: "linear" (the DSM paper) or "mlp" (two layers, as MoCo v2).
        temperature: tau of InfoNCE; the smaller, the more the nearest negatives count.
        key_momentum: m, the share of itself that the momentum encoder keeps at every step.
        queue: K, how many earlier embeddings are negatives; 0 takes an eighth of the videos, at
            most 4096. A queue that holds earlier keys of the videos it is compared with makes
            false negatives of them.
        queue_of: whose features fill the queue: "anchor" (DSM) or "key" (MoCo).
        batch_negatives: use the keys of the batch's other videos as negatives too. They come from
            the same weights and forward pass as the positive. Features in the queue do not, so the
            network can tell those from the positive by that alone.
        trained_negative: the trained network embeds the negative, with gradient, as in the DSM
            authors' code; false: the momentum encoder does. `moco`, which has no negative of its
            own, then takes a clip of another video as one.
    """

    drawn: ClassVar[tuple[str, ...]] = ("trained_negative",)

    head: Literal["linear", "mlp"] = "linear"
    temperature: float = 0.07
    key_momentum: float = 0.99
    queue: int = 6536
    queue_of: Literal["anchor", "key"] = "anchor"
    batch_negatives: bool = False
    trained_negative: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, ("temperature",), lambda v: v > 0, "must be above 0")
        require(self, ("queue",), lambda v: v >= 0, "must not be negative")
        require(self, ("key_momentum",), lambda v: 0 <= v <= 1, "must lie in 0..1")

    def fit(self, videos: int) -> Self:
        """Choose the length of a queue that was left open (0)."""
        return self if self.queue else replace(self, queue=max(1, min(4096, videos // 8)))


# The DSM paper's own (methods.md 1.3 to 1.5); tau = 1 "for simplicity".
PAPER: dict[str, Any] = {"temperature": 1.0}
# What the DSM authors' public code does instead (methods.md 1.5, [C]).
OFFICIAL_CODE: dict[str, Any] = {
    "temperature": 0.07,
    "key_momentum": 0.999,
    "weight_decay": 1e-4,
    "drops": (120, 160, 200),
    "epochs": 240,
    "queue": 16384,
    "queue_of": "key",
    "trained_negative": True,
    "augmentation": "dsm-code",
}
# Temperature and queue that trained best in the trials of experiments/LOG.md; the two-layer head
# made no difference there.
QUEUE_OURS: dict[str, Any] = {
    "head": "mlp",
    "temperature": 0.1,
    "queue": 0,
    "queue_of": "key",
    "batch_negatives": True,
}
PRESETS: dict[str, dict[str, Any]] = {
    "default": OURS | QUEUE_OURS,
    "paper": PAPER | {"queue_of": "key"},
    "official-code": OFFICIAL_CODE,
}


class MoCo(Method):
    """The baseline; DSM adds its views and its negative."""

    settings: Settings
    embedder: Embedder
    takes_vectors = True

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder, settings)
        self.momentum_encoder = MomentumEncoder(self.embedder)
        self.queue = Queue(settings.queue, settings.dim)
        self.register_load_state_dict_pre_hook(_rename_old_weights)

    def sampler(self) -> ClipSampler:
        return RandomClipSampler(self.settings.frames, self.settings.stride)

    def views(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        clip = batch.clips["clip"]
        names = ["anchor", "positive"] + ["negative"] * self.settings.trained_negative
        views = {name: self.show(clip, self.basic.draw(clip.sizes, generator)) for name in names}
        if "negative" in views:
            same_sample_mask(batch.index)  # refuses a batch of one video
            views["negative"] = views["negative"].roll(1, 0)  # each has the next one's clip
        return views

    def captions(self) -> dict[str, str]:
        return super().captions() | {"negative": "a clip of another video"}

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        anchor = self.embedder(views["anchor"])
        # One pass for all keys: in a batch of negatives alone, batch norm would normalize away the
        # very thing that makes them negative.
        trained = {"anchor"} | ({"negative"} if self.settings.trained_negative else set())
        others = {name: view for name, view in views.items() if name not in trained}
        embedded = self.momentum_encoder(torch.cat(list(others.values()))).chunk(len(others))
        keys = dict(zip(others, embedded, strict=True))
        negative = keys.get("negative")
        if negative is None and "negative" in views:
            negative = self.embedder(views["negative"])
        candidates, mask = self._candidates(batch, keys["positive"])
        loss = info_nce(
            anchor,
            keys["positive"],
            candidates,
            temperature=self.settings.temperature,
            negative=negative,
            mask=mask,
        )
        metrics = measure_similarities(anchor, keys["positive"], negative)
        metrics["rank1"] = compute_rank1(anchor, keys["positive"], candidates, mask)
        incoming = anchor if self.settings.queue_of == "anchor" else keys["positive"]
        self._incoming = incoming.detach()
        return StepResult(loss, metrics)

    def _candidates(self, batch: Batch, key: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features of other videos (K, D), and a mask of those of the same video, bool (B, K)."""
        queue = self.queue.features.clone()
        if not self.settings.batch_negatives:
            return queue, None
        index = batch.index.to(key.device)
        same_video = index[:, None] == gather(index)[None]
        in_queue = same_video.new_zeros(len(index), len(queue))
        return torch.cat([queue, gather(key)]), torch.cat([in_queue, same_video], dim=1)

    def after_step(self) -> None:
        self.momentum_encoder.follow(self.embedder, self.settings.key_momentum)
        # Only now: the queue never holds the batch that is compared with it.
        self.queue.push(self._incoming)


def _rename_old_weights(module: MoCo, weights: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Checkpoints of version 0.1 call the momentum encoder "twin"."""
    for name in [name for name in weights if name.startswith(f"{prefix}twin.")]:
        renamed = prefix + "momentum_encoder." + name.removeprefix(f"{prefix}twin.")
        weights[renamed] = weights.pop(name)
