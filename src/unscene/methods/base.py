"""What a method is: views, encoder, head, loss.

A method draws the windows it needs (`sampler`), says what workers add to them (`transforms`), turns
a batch into a loss (`forward`) and does what follows an optimiser step (`after_step`). It knows
nothing about devices, epochs or files: that is the trainer's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from unscene.data.catalog import Video
from unscene.data.loading import Batch, ClipDataset
from unscene.device import fp32_context
from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.methods.contrastive import Head
from unscene.methods.settings import Settings
from unscene.video.clip import Clip
from unscene.video.sampling import ClipSampler
from unscene.views.augment import BasicAugmentation


@dataclass(frozen=True)
class StepResult:
    """A loss to minimise and numbers to log (detached scalars)."""

    loss: Tensor
    metrics: dict[str, Tensor]


class Network(nn.Module):
    """What a method trains: the encoder, and what it needs beside it."""

    def __init__(self, encoder: VideoEncoder) -> None:
        super().__init__()
        self.encoder = encoder


class Embedder(Network):
    """Encoder and head: normalised clips (B, C, T, H, W) -> embeddings (B, D)."""

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder)
        self.head = Head(encoder.dim, settings.dim, settings.head)

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        return self.head(self.encoder(clip_BCTHW))


class Method(nn.Module):
    """Base of all methods.

    Args:
        encoder: what is to be trained.
        settings: resolved settings.

    Raises:
        UnsceneError: an encoder of other than RGB.
    """

    embedder: Network

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        if encoder.spec.channels != 3:
            raise UnsceneError(
                f"{encoder.spec.name} takes {encoder.spec.channels} channels; views have 3"
            )
        basic = BasicAugmentation.of(settings.augmentation, settings.size)
        self.basic = basic.with_normalization(encoder.spec.mean, encoder.spec.std)
        self.embedder = self._network(encoder)

    def _network(self, encoder: VideoEncoder) -> Network:
        """The encoder with what this method puts beside it: one head, if nothing else is said."""
        return Embedder(encoder, self.settings)

    @property
    def encoder(self) -> VideoEncoder:
        return self.embedder.encoder

    def sampler(self) -> ClipSampler:
        """The windows a training item is made of."""
        raise NotImplementedError

    def transforms(self) -> dict[str, Callable[[Clip], Clip]]:
        """What a worker does with each named clip; picklable."""
        return {}

    def vectors(self) -> dict[str, Callable[[Video], bool]]:
        """Of which videos the vectors are read that the sampler asks for beside a named clip's
        frames; of all where nothing is said. Picklable."""
        return {}

    def learns_from_vectors(self) -> Callable[[Video], bool]:
        """Tells of which videos the codec's vectors are what the method learns from."""
        request = self.sampler().draw(3600.0, 25.0, np.random.default_rng(0))
        asked, of = {*request.motion, *request.motion_only}, self.vectors()
        return lambda video: any(name not in of or of[name](video) for name in asked)

    def dataset(
        self, videos: Sequence[Video], *, seed: int = 0, short_side: int | None = None
    ) -> ClipDataset:
        """What the method reads of checked videos, see ClipDataset."""
        return ClipDataset(
            videos,
            self.sampler(),
            transforms=self.transforms(),
            vectors=self.vectors(),
            seed=seed,
            short_side=short_side,
        )

    def refuses(self, video: Video) -> str | None:
        """Why the method cannot learn from a checked video; None if it can."""
        return None

    def views(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The views of a batch by name ("anchor", "positive", "negative"), (B, C, T, H, W)."""
        raise NotImplementedError

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        """What the views of a batch cost."""
        raise NotImplementedError

    def forward(self, batch: Batch, generator: torch.Generator) -> StepResult:
        """Views and loss of a batch; all that is random comes from `generator` (a CPU generator).

        Views are made in fp32 whatever the precision of the networks.
        """
        with fp32_context(batch.index.device):
            views = self.views(batch, generator)
        with _drawing_from(generator, batch.index.device):
            return self.loss(batch, views)

    def after_step(self) -> None:
        """Called after every optimiser step."""


@contextmanager
def _drawing_from(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """What layers draw by themselves (dropout) comes from `generator` too; torch's own state is
    left as it was."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
