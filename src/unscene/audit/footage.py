"""The videos of an audit: batches of clips, with the other tempos that measures need.

    video     |------------------------------------------------------------|
    clip                      x   x   x   x                                     (stride 4, T = 4)
    slow                        x x x x                                         half the stride
    fast                  x       x       x       x                             twice the stride
    shifted                           x   x   x   x                             half a window off

All four have T frames and come from one pass over the file. "slow" is missing at stride 1, where no
frames lie between two frames of the clip. If a video is too short for one of the others, that one
repeats the frames of "clip"; see `find_distinct`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from unscene.data.catalog import Catalog, Video, number_files
from unscene.data.loading import Batch, ClipDataset, make_loader
from unscene.encoders import EncoderSpec
from unscene.errors import UnsceneError, check_at_least
from unscene.evaluate.decoupling_views import ShiftedClipSampler
from unscene.motion.flow import add_flow
from unscene.video.sampling import Request
from unscene.views.augment import BasicAugmentation, make_view

_LEAST_GRID = 32  # of optical flow: the least that DIS takes


@dataclass(frozen=True)
class Footage:
    """The videos of an audit, and how they are read.

    Attributes:
        catalog: checked videos.
        label: column of the classes ("label", or a column of a CSV), None if there are none.
        clips: uniformly spaced clips per video.
        seed: of everything random.
        workers: processes that read videos.
        batch_size: clips per batch.
        short_side: in pixels; frames are shrunk to this short side while reading. None: three times
            the input size of the encoder.
    """

    catalog: Catalog
    label: str | None = None
    clips: int = 1
    seed: int = 0
    workers: int = 0
    batch_size: int = 8
    short_side: int | None = None

    def __post_init__(self) -> None:
        check_at_least(1, clips=self.clips)
        check_at_least(2, batch_size=self.batch_size)
        check_at_least(0, workers=self.workers)

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.sizes())

    def sizes(self) -> list[int]:
        """Number of clips requested for each batch."""
        order = _Mixed(len(self.catalog), self.clips, self.batch_size, self.seed)
        return [len(keys) for keys in order]

    @property
    def videos(self) -> tuple[Video, ...]:
        """The videos that `Batch.index` refers to."""
        return self.catalog.videos

    @cached_property
    def files(self) -> NDArray[np.int64]:
        """The file of each of the N videos, (N,): segments of one file are not independent."""
        return np.array(number_files(self.videos), dtype=np.int64)

    def file_of(self, batch: Batch) -> NDArray[np.int64]:
        """The file of each of the B clips of a batch, (B,)."""
        found: NDArray[np.int64] = self.files[batch.index.cpu().numpy()]
        return found

    def label_of(self, index: int) -> str | None:
        """The class of a video, None if it has none."""
        if self.label is None:
            return None
        video = self.videos[index]
        return video.label if self.label == "label" else video.columns.get(self.label)

    def batches(self, spec: EncoderSpec) -> Iterator[Batch]:
        """Read clips as an encoder takes them, in random order.

        Args:
            spec: of the encoder: number of frames, stride and size.

        Yields:
            Batches on the CPU. Their clips are "clip" (with DIS optical flow on a grid of the size
            of the view, at least 32), "shifted", "fast" and, if the stride allows it, "slow". A
            file that cannot be read is in `Batch.failures`, and its batch is smaller or empty.
        """
        flow = partial(add_flow, source="dis", grid=max(_LEAST_GRID, spec.size))
        dataset = ClipDataset(
            self.videos,
            TempoClipSampler(spec.frames, spec.stride, self.clips),
            transforms={"clip": flow},
            seed=self.seed,
            short_side=self.short_side or 3 * spec.size,
            replace_failed=False,
        )
        order = _Mixed(len(self.videos), self.clips, self.batch_size, self.seed)
        yield from make_loader(dataset, order, workers=self.workers)


@dataclass(frozen=True)
class TempoClipSampler(ShiftedClipSampler):
    """`count` uniformly spaced clips, each with the other tempos; see the module docstring.

    "clip" and "shifted" are those of `decoupling_views.ShiftedClipSampler`. "slow" lies in the
    middle of "clip". "fast" lies around it, moved as far as the ends of the video require.
    """

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request:
        drawn = super().draw(duration, fps, rng, number)
        clip = drawn.offsets["clip"]
        made = {"clip": clip, "shifted": drawn.offsets.get("shifted", clip)}
        middle = (clip[0] + clip[-1]) / 2
        if self.stride > 1:
            made["slow"] = self._around(middle, self.stride // 2)
        # The first and last frame of the video, as offsets. Times in files are rounded, hence the
        # tolerance of a thousandth of a frame.
        first = -math.floor(drawn.at * fps + 1e-3)
        last = math.floor((duration - drawn.at) * fps - 1 + 1e-3)
        fast = self._around(middle, 2 * self.stride)
        late = max(0, first - fast[0])
        early = max(0, fast[-1] + late - last)
        fast = tuple(offset + late - early for offset in fast)
        made["fast"] = fast if fast[0] >= first else clip
        begin = min(offsets[0] for offsets in made.values())
        return Request(
            max(0.0, drawn.at + begin / fps),
            {name: tuple(o - begin for o in offsets) for name, offsets in made.items()},
        )

    def _around(self, middle: float, stride: int) -> tuple[int, ...]:
        begin = round(middle - (self.frames - 1) * stride / 2)
        return tuple(begin + stride * k for k in range(self.frames))


class _Mixed(Sampler[list[tuple[int, int]]]):
    """Batches of (draw, index): every clip of every video once, in random order."""

    def __init__(self, videos: int, clips: int, batch_size: int, seed: int) -> None:
        # Draw by draw: two clips of one video are nearly always in different batches.
        rng = np.random.default_rng([seed, 0xF])
        self.keys = [(draw, int(i)) for draw in range(clips) for i in rng.permutation(videos)]
        self.count = -(-len(self.keys) // batch_size)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        # Of nearly equal size: a single clip in the last one would have no background donor.
        ends = np.linspace(0, len(self.keys), self.count + 1).round().astype(int).tolist()
        for first, end in pairwise(ends):
            yield self.keys[first:end]


def make_augmentation(spec: EncoderSpec) -> BasicAugmentation:
    """DSM's augmentation with the input size and normalization of an encoder.

    Raises:
        UnsceneError: the encoder does not take 3 channels.
    """
    if spec.channels != 3:
        raise UnsceneError(f"{spec.name}: takes {spec.channels} channels; videos have 3")
    paper = BasicAugmentation.paper(spec.size)
    own = BasicAugmentation(spec.size, rotation=paper.rotation, jitter=paper.jitter)
    return own.with_normalization(spec.mean, spec.std)


def center_view(batch: Batch, spec: EncoderSpec, name: str = "clip") -> Tensor:
    """The test view of clips: short side resized, center crop, normalized.

    Args:
        batch: of `Footage.batches`, on any device.
        name: which clips of the batch.

    Returns:
        float32 (B, 3, T, size, size) on the batch's device.
    """
    clip = batch.clips[name]
    return make_view(clip, make_augmentation(spec).center(clip.sizes.cpu()), size=spec.size)


def find_distinct(batch: Batch, name: str) -> Tensor:
    """Which clips of this name differ from "clip": bool (B,), on the CPU.

    False where the video is too short for it, and where nothing changes in the video at all.
    """
    if name not in batch.clips:
        return torch.zeros(len(batch), dtype=torch.bool)
    other = batch.clips[name].y != batch.clips["clip"].y
    return other.flatten(1).any(dim=1).cpu()
