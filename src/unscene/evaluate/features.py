"""A frozen encoder and videos -> one feature vector a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.video.catalog import Skipped, Video
from unscene.video.loading import InOrder, WindowDataset, loader
from unscene.video.sampling import UniformWindows
from unscene.views.augment import BasicAugmentation, make_view


@dataclass(frozen=True)
class Features:
    """Features of the videos that could be read.

    Attributes:
        values: float32 (N, D), mean over the windows of a video.
        videos: the N videos, in the order they were given.
        skipped: videos that could not be read, and why.
    """

    values: Tensor
    videos: tuple[Video, ...]
    skipped: tuple[Skipped, ...] = ()

    def labels(self, column: str) -> list[str]:
        return [video.value(column) for video in self.videos]


@torch.inference_mode()
def extract(
    encoder: VideoEncoder,
    videos: Sequence[Video],
    *,
    clips: int = 10,
    batch_size: int = 16,
    workers: int = 0,
    device: torch.device | str = "cpu",
    short_side: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Features of `clips` uniformly spaced windows a video, averaged (DSM's "video" protocol).

    Windows and size are those in `encoder.spec`: short side resized, centre crop, no jitter. The
    encoder is in evaluation mode meanwhile, and back in its own mode after.

    Raises:
        UnsceneError: no video could be read.
    """
    spec = encoder.spec
    mean, std = _triple(spec.mean), _triple(spec.std)
    basic = BasicAugmentation(spec.size, random=False, mean=mean, std=std)
    dataset = WindowDataset(
        videos,
        UniformWindows(spec.frames, spec.stride, clips),
        short_side=short_side,
        replace_failed=False,
    )
    was_training = encoder.training
    encoder.eval().to(device)
    sums = torch.zeros(len(videos), encoder.dim)
    counts = torch.zeros(len(videos))
    skipped: dict[str, Skipped] = {}
    batches = loader(dataset, InOrder(len(videos), batch_size, clips), workers=workers)
    try:
        for done, batch in enumerate(batches, start=1):
            skipped.update({failure.path: failure for failure in batch.failures})
            if len(batch):
                clip = batch.clips["clip"].to(device)
                view = make_view(clip, basic.center(clip.sizes), size=spec.size)
                sums.index_add_(0, batch.index, encoder(view).float().cpu())
                counts.index_add_(0, batch.index, torch.ones(len(batch)))
            if progress is not None:
                progress(min(done * batch_size // clips, len(videos)), len(videos))
    finally:
        encoder.train(was_training)
    read = torch.nonzero(counts)[:, 0]
    if not len(read):
        raise UnsceneError(
            f"none of {len(videos)} videos could be read; "
            + "; ".join(f"{s.path}: {s.reason}" for s in list(skipped.values())[:3])
        )
    return Features(
        values=sums[read] / counts[read, None],
        videos=tuple(videos[i] for i in read.tolist()),
        skipped=tuple(skipped.values()),
    )


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) != 3:
        raise UnsceneError(f"the encoder takes {len(values)} channels; videos have 3")
    return values[0], values[1], values[2]
