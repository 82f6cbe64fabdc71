"""Where the encoder looks: the energy of its last feature map, laid over the whole picture.

    file, start..end -> clips end to end -> maps (D, T', H', W') -> energy -> values of a grid

The encoder sees the center of the picture. Cells of the grid outside of it are 0.

Source: DSM paper, Figure 5 (`audit.saliency.energy`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from unscene.audit.saliency import energy, upsample
from unscene.data.catalog import Video
from unscene.data.loading import Batch, ClipDataset, limit_short_side
from unscene.encoders import VideoEncoder
from unscene.search.windows import WindowPlan, WindowSampler
from unscene.video.probe import probe
from unscene.views.augment import BasicAugmentation
from unscene.views.encoder_input import make_center_view, read_for_encoder

LONGEST = 30.0  # seconds that are looked at at once
_ROWS = 24  # of the grid, for the short side of the picture
_CLIPS = 4  # encoded at once


@dataclass(frozen=True)
class Look:
    """Where an encoder looks.

    Attributes:
        times: (T,), in seconds of the file.
        values: float32 (T, rows, columns), 0..1; 1 is the strongest of this stretch.
    """

    times: NDArray[np.float64]
    values: NDArray[np.float32]


def find_look(encoder: VideoEncoder, path: str, start: float, end: float, fps: float) -> Look:
    """Compute where an encoder looks in a stretch of a file.

    Args:
        encoder: with feature maps.
        path: of the file.
        start, end: in seconds.
        fps: of the file, as the index has it; 0: unknown.

    Raises:
        UnsceneError: the file cannot be read, or the encoder has no maps.
    """
    info = probe(path)
    spec = encoder.spec
    plan = WindowPlan.of(spec, None, None)
    clip = spec.frames * plan.stride_at(fps or info.fps) / info.fps
    low = max(0.0, min(start, info.duration - clip))
    count = math.ceil((min(end, low + LONGEST) - low) / clip)  # whole clips, to the end at least
    high = min(info.duration, low + max(1, count) * clip)
    video = Video(path, start=low, end=None if high >= info.duration else high, info=info)
    plan = WindowPlan(spec.frames, spec.stride, clip, clip)
    times, maps = [], []
    for begin, found in _read_maps(encoder, video, plan):
        step = clip / found.shape[0]
        times.append(low + begin + step * (np.arange(found.shape[0]) + 0.5))
        maps.append(found)
    if not maps:
        return Look(np.zeros(0), np.zeros((0, *_grid(info.height, info.width)), np.float32))
    every, saliency = np.concatenate(times), torch.cat(maps)
    order = np.argsort(every, kind="stable")
    kept = order[(every[order] >= start - clip) & (every[order] <= end + clip)]
    saliency = saliency[kept] - saliency.min()
    saliency /= saliency.max().clamp(min=1e-9)
    return Look(every[kept], _spread(saliency, info.height, info.width))


def _read_maps(
    encoder: VideoEncoder, video: Video, plan: WindowPlan
) -> list[tuple[float, torch.Tensor]]:
    """The start of each clip that can be read, and the energy (T', H', W') of its map."""
    size = encoder.spec.size
    sampler, transforms = read_for_encoder(encoder, WindowSampler(plan), size, centered=True)
    dataset = ClipDataset(
        [video],
        sampler,
        transforms=transforms,
        short_side=limit_short_side(0, size),
        replace_failed=False,
    )
    starts = plan.starts(video.duration)
    encoder.eval()
    device = next((tensor.device for tensor in encoder.parameters()), torch.device("cpu"))
    found = []
    for at in range(0, len(starts), _CLIPS):
        draws = range(at, min(at + _CLIPS, len(starts)))
        items = dataset.read_together([(draw, 0) for draw in draws])
        read = [(draw, item) for draw, item in zip(draws, items, strict=True) if item.clips]
        if not read:
            continue
        batch = Batch.of([item for _, item in read])
        with torch.inference_mode():
            view = make_center_view(encoder, batch.clips["clip"].to(device))
            maps = energy(encoder.forward_maps(view)).float().cpu()
        found += [(starts[draw], one) for (draw, _), one in zip(read, maps, strict=True)]
    return found


def _grid(height: int, width: int) -> tuple[int, int]:
    short = min(height, width)
    return round(_ROWS * height / short), round(_ROWS * width / short)


def _spread(saliency: torch.Tensor, height: int, width: int) -> NDArray[np.float32]:
    """Lay (T, H', W') of the center crop over a grid of the whole picture."""
    rows, columns = _grid(height, width)
    values = np.zeros((len(saliency), rows, columns), np.float32)
    side = max(1, round(_ROWS / BasicAugmentation.short_side))
    inner = upsample(saliency[None], (len(saliency), side, side))[0]
    top, left = (rows - side) // 2, (columns - side) // 2
    values[:, top : top + side, left : left + side] = inner.clamp(0, 1).numpy()
    return values
