"""A frozen encoder and videos in, feature vectors out.

mode "video"        one feature per video: the mean over uniformly spaced clips
mode "clip"         one feature per clip, and as many clips as fit into the video end to end: the
                    last feature map, adaptive max pooling to 2x7x7, flattened (DSM paper,
                    section 4.4)
mode "clip-order"   one feature per video: the last feature map, max pooling by 1x2x2, flattened
                    (9,216 numbers for C3D at 112 pixels), the mean over uniformly spaced clips (Xu
                    et al., "Clip Order", CVPR 2019; there with 10 clips of 16 frames at stride 1)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unscene.data.catalog import Skipped, Video, number_files
from unscene.data.loading import ClipDataset, limit_short_side, make_loader
from unscene.data.sequential import SequentialBatches
from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.results.rows import write_outcomes
from unscene.video.sampling import TiledClipSampler, UniformClipSampler
from unscene.views.encoder_input import center_view, make_center_view, read_for_encoder

Mode = Literal["video", "clip", "clip-order"]
POOLED = (2, 7, 7)  # T', H', W' of a feature in mode "clip"
_ROWS = 4096  # checked at once
_IN_MEMORY = 4 * 2**30  # bytes; larger arrays are a temporary file, mapped into memory


@dataclass(frozen=True)
class Features:
    """Features of the videos that could be read.

    Attributes:
        values: float32 (M, D).
        videos: N videos, in the order in which they were passed.
        owner: int64 (M,), the index of each row's video; 0..N-1 if M = N.
        skipped: videos that could not be read, and why.
        passed: all videos that were passed, where some could not be read.
    """

    values: Tensor
    videos: tuple[Video, ...]
    owner: Tensor
    skipped: tuple[Skipped, ...] = ()
    passed: tuple[Video, ...] = ()

    def labels(self, column: str) -> list[str]:
        """The value in a column of each row's video. Raises UnsceneError if a video has none."""
        values = [video.value(column) for video in self.videos]
        return [values[i] for i in self.owner.tolist()]

    def files(self) -> Tensor:
        """int64 (M,), the number of each row's file.

        Segments of one file are as little independent of each other as clips of one video. So this,
        and not `owner`, is the cluster of a bootstrap.
        """
        return torch.tensor(number_files(self.videos))[self.owner]

    def keep_outcomes(self, hits: NDArray[np.float64]) -> dict[str, Any]:
        """What `rows.Row` keeps of hits (M,), 1 or 0.

        Empty where videos have several rows: how many clips a video has depends on the encoder, so
        that methods could not be paired.
        """
        if len(self.owner) > len(self.videos):
            return {}
        known = {id(video): hit for video, hit in zip(self.videos, hits.tolist(), strict=True)}
        passed = self.passed or self.videos
        return write_outcomes([known.get(id(video)) for video in passed], number_files(passed))

    def check(self) -> None:
        """Raise UnsceneError if a feature is not finite: NaN would be nearest to everything."""
        for start in range(0, len(self.values), _ROWS):
            rows = slice(start, start + _ROWS)
            check_finite(self.values[rows], [self.videos[i] for i in self.owner[rows].tolist()])


def extract(
    encoder: VideoEncoder,
    videos: Sequence[Video],
    *,
    mode: Mode = "video",
    clips: int = 10,
    stride: int = 0,
    batch_size: int = 16,
    workers: int = 0,
    device: torch.device | str = "cpu",
    short_side: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Extract features of videos with a frozen encoder.

    Frames, size and normalization are those of `encoder.spec`: short side resized, center crop, no
    jitter. The encoder is moved to the device. It runs in evaluation mode, and returns to
    its own mode afterwards.

    Args:
        encoder: D-dimensional features.
        videos: N videos of a checked catalog.
        mode: "video", "clip" or "clip-order", see the head of this file.
        clips: clips per video in the modes with one feature per video.
        stride: distance of the frames of a clip, in frames of the video; 0: that of `encoder.spec`.
        batch_size: number of clips encoded at once.
        workers: number of processes that read videos; 0 reads in this one.
        device: computes the features.
        short_side: shrink larger frames to this short side, in pixels, while reading; 0: see
            `loading.limit_short_side`.
        progress: called as progress(done, total) in videos.

    Returns:
        Features of shape (N, D) in mode "video", (M, D * 2 * 7 * 7) for M clips in mode "clip",
        (N, the length of a map) in mode "clip-order"; fewer where videos cannot be read.

    Raises:
        UnsceneError: no video could be read, a feature is not finite, or the encoder does not take
            three channels.
    """
    return extract_together(
        [encoder],
        videos,
        mode=mode,
        clips=clips,
        stride=stride,
        batch_size=batch_size,
        workers=workers,
        device=device,
        short_side=short_side,
        progress=progress,
    )[0]


@torch.inference_mode()
def extract_together(
    encoders: Sequence[VideoEncoder],
    videos: Sequence[Video],
    *,
    mode: Mode = "video",
    clips: int = 10,
    stride: int = 0,
    batch_size: int = 16,
    workers: int = 0,
    device: torch.device | str = "cpu",
    short_side: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Features]:
    """Extract features of the same clips with several encoders; every video is read once.

    Args:
        encoders: take the same clips: frames, stride, size, normalization and input are those of
            the first.
        videos, mode, clips, stride, batch_size, workers, device, short_side, progress: as for
            `extract`.

    Returns:
        One for each encoder.

    Raises:
        UnsceneError: as `extract` does.
    """
    first, spec = encoders[0], encoders[0].spec
    center_view(first)  # before a file is opened: does it take three channels?
    stride = stride or spec.stride
    tiles, uniform = (
        TiledClipSampler(spec.frames, stride),
        UniformClipSampler(spec.frames, stride, clips),
    )
    drawn = tiles if mode == "clip" else uniform
    sampler, transforms = read_for_encoder(first, drawn, spec.size, centered=True)
    dataset = ClipDataset(
        videos,
        sampler,
        transforms=transforms,
        short_side=limit_short_side(short_side, spec.size),
        replace_failed=False,
    )
    draws = [_tiles(tiles, video) if mode == "clip" else clips for video in videos]
    stores = [_Store(draws, mean=mode != "clip") for _ in encoders]
    ends = np.cumsum(draws)
    skipped: dict[str, Skipped] = {}
    order = SequentialBatches(draws, batch_size, whole=first.input == "vectors")
    clips_read = np.cumsum([len(keys) for keys in order])
    batches = make_loader(dataset, order, workers=workers)
    with ExitStack() as modes:
        for encoder in encoders:
            modes.callback(encoder.train, encoder.training)
            encoder.eval().to(device)
        for done, batch in enumerate(batches):
            skipped.update({failure.path: failure for failure in batch.failures})
            if len(batch):
                view = make_center_view(first, batch.clips["clip"].to(device))
                for encoder, store in zip(encoders, stores, strict=True):
                    found = _encode(encoder, view, mode).float().cpu()
                    check_finite(found, [videos[i] for i in batch.index.tolist()])
                    store.add(batch.index, found)
            if progress is not None:
                read = int(np.searchsorted(ends, clips_read[done], side="right"))
                progress(read, len(videos))
    if stores[0].values is None:
        raise UnsceneError(
            f"none of {len(videos)} videos could be read; "
            + "; ".join(f"{s.path}: {s.reason}" for s in list(skipped.values())[:3])
        )
    return [store.features(videos, tuple(skipped.values())) for store in stores]


class _Store:
    """Collects the features of clips. Their videos come in order, and some fail."""

    def __init__(self, draws: Sequence[int], *, mean: bool) -> None:
        self.mean = mean
        self.counts = torch.zeros(len(draws), dtype=torch.long)
        rows = torch.ones(len(draws), dtype=torch.long) if mean else torch.tensor(draws)
        self.ends = rows.cumsum(0)
        self.starts = self.ends - rows
        self.values: Tensor | None = None

    def add(self, index: Tensor, found: Tensor) -> None:
        """Add features (B, D) of clips of the videos `index` (B,)."""
        if self.values is None:
            self.values = _allocate(int(self.ends[-1]), found.shape[1])
        for i, feature in zip(index.tolist(), found, strict=True):
            if self.mean:
                self.values[i] += feature
            else:
                self.values[self.starts[i] + self.counts[i]] = feature
            self.counts[i] += 1

    def features(self, videos: Sequence[Video], skipped: tuple[Skipped, ...]) -> Features:
        assert self.values is not None
        read = torch.nonzero(self.counts)[:, 0]
        kept = tuple(videos[i] for i in read.tolist())
        passed = tuple(videos) if len(kept) < len(videos) else ()
        if self.mean:
            values = self.values[read] / self.counts[read, None]
            return Features(values, kept, torch.arange(len(kept)), skipped, passed)
        owner = torch.arange(len(kept)).repeat_interleave(self.counts[read])
        values = self.values
        if len(owner) < len(values):  # clips that failed left gaps
            spans = [torch.arange(int(self.counts[i])) + self.starts[i] for i in read]
            values = values[torch.cat(spans)]
        return Features(values, kept, owner, skipped, passed)


def check_finite(values: Tensor, videos: Sequence[Video]) -> None:
    """Raise UnsceneError if one of the features (B, D) of B videos is not finite, or its norm."""
    bad = torch.nonzero(~values.float().norm(dim=1).isfinite())[:, 0]
    if len(bad):
        raise UnsceneError(
            f"{videos[int(bad[0])].path}: its feature is not finite ({len(bad)} of {len(values)} "
            "features are not), so it cannot be compared. Most often the training of the encoder "
            "has diverged: train again with a smaller --lr, or use weights that were saved earlier"
        )


def _tiles(sampler: TiledClipSampler, video: Video) -> int:
    assert video.info is not None, "the catalog is not checked"
    return sampler.count(video.duration, video.info.fps)


def _encode(encoder: VideoEncoder, view: Tensor, mode: Mode) -> Tensor:
    """Features (B, D') of clips, as a mode wants them."""
    if mode == "video":
        return encoder(view)
    maps = encoder.forward_maps(view)
    if mode == "clip":
        return F.adaptive_max_pool3d(maps, POOLED).flatten(1)
    cells = [min(2, side) for side in maps.shape[-2:]]  # a map of one cell stays as it is
    return F.max_pool3d(maps, (1, *cells)).flatten(1)


def _allocate(rows: int, dim: int) -> Tensor:
    """Zeros (rows, dim), in memory or, if they are large, in a file that is deleted with them."""
    if rows * dim * 4 <= _IN_MEMORY:
        return torch.zeros(rows, dim)
    with tempfile.TemporaryFile() as file:  # the mapping keeps it alive
        return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=(rows, dim)))
