"""What a method is: views, encoder, head, loss.

A method says which clips it needs (`sampler`) and what workers add to them (`transforms`), turns a
batch into a loss (`forward`) and acts after an optimizer step (`after_step`). It knows nothing
about devices, epochs or files, which are the trainer's.

To add a method, write one file in this folder, or a module of your own, with TITLE, Settings,
PRESETS and a subclass of `Method` (see `registry`). A method that needs no videos sets GENERATES
and overrides `dataset`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from unscene.data.catalog import Video
from unscene.data.loading import Batch, ClipDataset, ItemDataset, limit_short_side
from unscene.device import fp32_context
from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.methods.contrastive import Head
from unscene.methods.settings import ClipSettings
from unscene.video.clip import Clip, ClipBatch
from unscene.video.sampling import ClipSampler
from unscene.views.augment import BasicAugmentation, ViewParameters
from unscene.views.encoder_input import make_encoder_view, read_for_encoder


@dataclass(frozen=True)
class StepResult:
    """A loss to minimize, and numbers to log (detached scalars)."""

    loss: Tensor
    metrics: dict[str, Tensor]


class Network(nn.Module):
    """What a method trains: the encoder, and the networks beside it."""

    def __init__(self, encoder: VideoEncoder) -> None:
        super().__init__()
        self.encoder = encoder


class Embedder(Network):
    """Encoder and head: normalized clips (B, C, T, H, W) -> embeddings (B, D).

    The head is linear, unless the settings have a field `head`.
    """

    def __init__(self, encoder: VideoEncoder, settings: ClipSettings) -> None:
        super().__init__(encoder)
        self.head = Head(encoder.dim, settings.dim, getattr(settings, "head", "linear"))

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        """Compute the embeddings of a batch of clips, (B, D), L2-normalized."""
        return self.head(self.encoder(clip_BCTHW))


class Method(nn.Module):
    """Base of all methods.

    Args:
        encoder: what is to be trained.
        settings: resolved settings.

    Raises:
        UnsceneError: an encoder that does not take RGB, or that reads motion vectors where the
            method needs pixels.
    """

    embedder: Network
    # Whether its views are made by `show` alone, so that they may be of motion vectors.
    takes_vectors: ClassVar[bool] = False

    def __init__(self, encoder: VideoEncoder, settings: ClipSettings) -> None:
        super().__init__()
        self.settings = settings
        if encoder.spec.channels != 3:
            raise UnsceneError(
                f"{encoder.spec.name} takes {encoder.spec.channels} channels; views have 3"
            )
        if encoder.input == "vectors" and not self.takes_vectors:
            raise UnsceneError(
                "this method needs pixels, and the encoder reads motion vectors: --input flow "
                "computes flow from pixels instead"
            )
        self.basic = self._basic().with_normalization(encoder.spec.mean, encoder.spec.std)
        self.embedder = self._network(encoder)

    def _basic(self) -> BasicAugmentation:
        """The basic augmentation, of a preset that methods without videos do not have."""
        settings: Any = self.settings  # CommonSettings, where there is no other augmentation
        return BasicAugmentation.of(settings.augmentation, settings.size)

    def _network(self, encoder: VideoEncoder) -> Network:
        """The encoder with the networks beside it: by default one head."""
        return Embedder(encoder, self.settings)

    @property
    def encoder(self) -> VideoEncoder:
        """The encoder that is trained."""
        return self.embedder.encoder

    def sampler(self) -> ClipSampler:
        """The clips that a training item is made of."""
        raise NotImplementedError

    def transforms(self) -> dict[str, Callable[[Clip], Clip]]:
        """What a worker does with each named clip; must be picklable."""
        return {}

    def vectors(self) -> dict[str, Callable[[Video], bool]]:
        """For which videos the motion vectors of a named clip are read, if the sampler wants them.

        A clip without a name here: for all videos. Must be picklable.
        """
        return {}

    def learns_from_vectors(self) -> Callable[[Video], bool]:
        """Return a function that tells whether the method learns from a video's motion vectors."""
        if self.encoder.input == "vectors":
            return lambda video: True
        request = self.sampler().draw(3600.0, 25.0, np.random.default_rng(0))
        names, usable = {*request.motion, *request.motion_only}, self.vectors()
        return lambda video: any(name not in usable or usable[name](video) for name in names)

    def dataset(
        self, videos: Sequence[Video], *, seed: int = 0, short_side: int = 0
    ) -> ItemDataset:
        """Return the dataset of what the method reads of checked videos, see ClipDataset.

        A method that generates what it learns from gets no videos.
        """
        sampler, transforms, vectors = self.sampler(), self.transforms(), self.vectors()
        if self.encoder.input == "vectors":
            sampler, transforms = read_for_encoder(self.encoder, sampler, self.settings.size)
            vectors = {}
        return ClipDataset(
            videos,
            sampler,
            transforms=transforms,
            vectors=vectors,
            seed=seed,
            short_side=limit_short_side(short_side, self.settings.size),
        )

    def refuses(self, video: Video) -> str | None:
        """Say why the method cannot learn from a checked video; None if it can."""
        lacking = video.info.without_vectors if video.info is not None else None
        if self.encoder.input == "vectors" and lacking:
            return f"{lacking}: `unscene prepare`, or --input flow"
        return None

    def show(
        self, clip: ClipBatch, params: ViewParameters, **disturbances: Tensor | None
    ) -> Tensor:
        """Make the view of clips that the encoder reads, see `make_encoder_view`."""
        return make_encoder_view(
            self.encoder, clip, params, size=self.settings.size, **disturbances
        )

    def views(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Make the views of a batch by name ("anchor", "positive" ...), each (B, C, T, H, W)."""
        raise NotImplementedError

    def captions(self) -> dict[str, str]:
        """Say what each view shows, by the name of the view, for the picture of `unscene views`."""
        return {"anchor": "the clip", "positive": "the same clip with another crop and color"}

    def aim(self) -> str:
        """Say in one sentence what training does with the views."""
        return "Training pulls the positive to the anchor and pushes other videos away."

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        """Compute the loss of the views of a batch."""
        raise NotImplementedError

    def forward(self, batch: Batch, generator: torch.Generator) -> StepResult:
        """Make views and compute the loss; everything random comes from `generator`, on the CPU.

        Views are made in fp32 whatever the precision of the networks.
        """
        with fp32_context(batch.index.device):
            views = self.views(batch, generator)
        with _seeded_from(generator, batch.index.device):
            return self.loss(batch, views)

    def after_step(self) -> None:
        """Called after every optimizer step."""


@contextmanager
def _seeded_from(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """A context in which layers that draw (dropout) are seeded from `generator`.

    Torch's own state is restored.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
