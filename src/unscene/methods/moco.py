"""MoCo on video: two views of one clip against a queue (He et al. 2020; the DSM paper's baseline).

    views     anchor and positive: two crops of the same clip, basic augmentation on both
    encoder   any; the positive goes through a momentum twin
    head      linear (DSM paper) or two-layer (MoCo v2), D = 128
    loss      InfoNCE against K features of other videos; in the default preset also against the
              keys of the batch's other videos (experiments/LOG.md: a queue alone can be told from
              the positive by its age and its batch, and training collapsed on footage of one place)

Deviations: no shuffled batch norm. It needs several processes to do anything, and the papers that
use MoCo on video do not mention it; use SyncBN (`--sync_batchnorm`) where batches are small.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unscene.data.loading import Batch
from unscene.encoders import VideoEncoder
from unscene.methods.base import Embedder, Method, StepResult
from unscene.methods.contrastive import MomentumTwin, Queue, gather, info_nce
from unscene.methods.progress import rank1, similarities
from unscene.methods.settings import Settings
from unscene.video.sampling import ClipSampler, RandomClipSampler
from unscene.views.augment import make_view


class MoCo(Method):
    """The baseline, and with its hooks changed, DSM."""

    embedder: Embedder

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder, settings)
        self.twin = MomentumTwin(self.embedder)
        self.queue = Queue(settings.queue, settings.dim)

    def sampler(self) -> ClipSampler:
        return RandomClipSampler(self.settings.frames, self.settings.stride)

    def views(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        clip, size = batch.clips["clip"], self.settings.size
        return {
            name: make_view(clip, self.basic.draw(clip.sizes, generator), size=size)
            for name in ("anchor", "positive")
        }

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        anchor = self.embedder(views["anchor"])
        # One pass for all keys: alone, a batch of negatives would have the very thing that makes
        # them negative normalised away by batch norm.
        others = {name: view for name, view in views.items() if name != "anchor"}
        embedded = self.twin(torch.cat(list(others.values()))).chunk(len(others))
        keys = dict(zip(others, embedded, strict=True))
        negative = keys.get("negative")
        candidates, hidden = self._candidates(batch, keys["positive"])
        loss = info_nce(
            anchor,
            keys["positive"],
            candidates,
            temperature=self.settings.temperature,
            negative=negative,
            hidden=hidden,
        )
        metrics = similarities(anchor, keys["positive"], negative)
        metrics["rank1"] = rank1(anchor, keys["positive"], candidates, hidden)
        incoming = anchor if self.settings.queue_of == "anchor" else keys["positive"]
        self._incoming = incoming.detach()
        return StepResult(loss, metrics)

    def _candidates(self, batch: Batch, key: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features of other videos (K, D) and which of them an anchor must not see, bool (B, K)."""
        queue = self.queue.features.clone()
        if not self.settings.batch_negatives:
            return queue, None
        index = batch.index.to(key.device)
        own = index[:, None] == gather(index)[None]
        in_queue = own.new_zeros(len(index), len(queue))
        return torch.cat([queue, gather(key)]), torch.cat([in_queue, own], dim=1)

    def after_step(self) -> None:
        self.twin.follow(self.embedder, self.settings.twin_momentum)
        # Only now: the queue never holds the batch that is compared with it.
        self.queue.push(self._incoming)
