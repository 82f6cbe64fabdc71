"""Videos -> features and motion strength of their windows, in order, one pass over each file.

Batches of windows that lie side by side are read together, so an hour is decoded about once however
much the windows overlap. What the encoder reads, pixels or the codec's vectors, and how a clip is
resized and cropped, is as everywhere else (`views.encoder_input`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from unscene.data.catalog import Video
from unscene.data.loading import Batch, ClipDataset, Item, limit_short_side, make_loader
from unscene.encoders import VideoEncoder
from unscene.evaluate.features import check_finite
from unscene.motion.strength import measure_strength
from unscene.search.windows import WindowPlan, WindowSampler
from unscene.views.augment import BasicAugmentation
from unscene.views.encoder_input import center_view, make_center_view, read_for_encoder


@dataclass(frozen=True)
class Embedded:
    """Windows of one video that were embedded together.

    Attributes:
        video: position of the video.
        number: int64 (N,), numbers of the windows in the video, ascending. Windows that could not
            be read are missing.
        vectors: float32 (N, D).
        motion: float32 (N,), see `motion.strength`.
        reasons: why windows could not be read.
        last: no more windows of this video follow.
    """

    video: int
    number: NDArray[np.int64]
    vectors: NDArray[np.float32]
    motion: NDArray[np.float32]
    reasons: tuple[str, ...]
    last: bool


def embed_windows(
    encoder: VideoEncoder,
    videos: Sequence[Video],
    plan: WindowPlan,
    *,
    first: Sequence[int] | None = None,
    batch_size: int = 16,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Embedded]:
    """Embed the windows of videos in order.

    Args:
        encoder: D-dimensional features; it is moved to the device and put into evaluation mode.
        videos: of a checked catalog.
        plan: how they are cut into windows.
        first: number of the first window to embed of each video; None: 0.
        batch_size: clips read and encoded at once.
        workers: processes that read; 0: this one.
        device: computes the features.

    Yields:
        Windows of one video at a time, in order.

    Raises:
        UnsceneError: a feature is not finite, or the encoder does not take three channels.
    """
    center_view(encoder)  # before a file is opened: does it take three channels?
    sampler, transforms = read_for_encoder(
        encoder, WindowSampler(plan), encoder.spec.size, centered=True
    )
    dataset = _WindowDataset(
        videos,
        sampler,
        plan=plan,
        transforms=transforms,
        short_side=limit_short_side(0, encoder.spec.size),
        replace_failed=False,
    )
    batches = _WindowBatches(videos, plan, first or [0] * len(videos), batch_size)
    encoder.eval().to(device)
    for wanted, batch in zip(batches, make_loader(dataset, batches, workers=workers), strict=True):
        vectors = np.zeros((0, encoder.dim), np.float32)
        if len(batch):
            with torch.inference_mode():
                view = make_center_view(encoder, batch.clips["clip"].to(device))
                found = encoder(view).float().cpu()
            check_finite(found, [videos[i] for i in batch.index.tolist()])
            vectors = found.numpy()
        yield from _by_video(videos, plan, wanted, batch, vectors)


def _by_video(
    videos: Sequence[Video],
    plan: WindowPlan,
    wanted: Sequence[tuple[int, int]],
    batch: Batch,
    vectors: NDArray[np.float32],
) -> Iterator[Embedded]:
    """Average the clips of each window, and part a batch by its videos."""
    draws, strength = (
        (torch.zeros(2, 0) if batch.numbers is None else batch.numbers.T).double().numpy()
    )
    for index in dict.fromkeys(index for _, index in wanted):
        video, own = videos[index], batch.index.numpy() == index
        clips = len(plan.clip_starts(_fps(video)))
        number, window = np.unique(draws[own].astype(np.int64) // clips, return_inverse=True)
        share = np.zeros((len(number), int(own.sum())), np.float32)
        share[window, np.arange(share.shape[1])] = 1
        share /= np.maximum(share.sum(1, keepdims=True), 1)
        end = max(draw for draw, i in wanted if i == index) // clips + 1
        yield Embedded(
            index,
            number,
            share @ vectors[own],
            share @ strength[own].astype(np.float32),
            tuple(dict.fromkeys(f.reason for f in batch.failures if f.path == video.path)),
            last=end == plan.count(video.duration),
        )


def _fps(video: Video) -> float:
    assert video.info is not None, "the catalog is not checked"
    return video.info.fps


class _WindowDataset(ClipDataset):
    """Clips of windows; `numbers` of an item are its draw and its motion strength."""

    def __init__(self, videos: Sequence[Video], *args: object, plan: WindowPlan, **kw: object):
        super().__init__(videos, *args, **kw)  # type: ignore[arg-type]
        self.plan = plan

    def read_together(self, keys: Sequence[tuple[int, int]]) -> list[Item]:
        items = super().read_together(keys)
        return [self._measure(draw, item) for (draw, _), item in zip(keys, items, strict=True)]

    def _measure(self, draw: int, item: Item) -> Item:
        if not item.clips:
            return item
        clip, fps = item.clips["clip"], _fps(self.videos[item.index])
        strength = measure_strength(clip, self.plan.stride_at(fps) / fps)
        if clip.flow is not None:  # of the center crop, which is a little less high than the frame
            strength /= BasicAugmentation.short_side
        return replace(item, numbers=torch.tensor([draw, strength], dtype=torch.float64))


class _WindowBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (draw, video) in order. The clips of a window are not parted."""

    def __init__(
        self, videos: Sequence[Video], plan: WindowPlan, first: Sequence[int], batch_size: int
    ) -> None:
        self.batches: list[list[tuple[int, int]]] = []
        for index, video in enumerate(videos):
            clips = len(plan.clip_starts(_fps(video)))
            for window in range(first[index], plan.count(video.duration)):
                if not self.batches or len(self.batches[-1]) + clips > batch_size:
                    self.batches.append([])
                self.batches[-1] += [(window * clips + clip, index) for clip in range(clips)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        yield from self.batches
