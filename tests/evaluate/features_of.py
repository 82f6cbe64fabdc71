"""Features made by hand, as if they had been extracted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unscene.data.catalog import Video
from unscene.evaluate.features import Features


def features(
    values: Tensor,
    labels: Sequence[str],
    *,
    owner: list[int] | None = None,
    files: Sequence[int] | None = None,
    **columns: list[str],
) -> Features:
    """One label (and one value of each column) a video; `owner` says whose each row is, `files`
    which file each video is a segment of (none: each its own)."""
    videos = tuple(
        Video(
            f"/nowhere/{files[i] if files else i}.mp4",
            label,
            start=float(i),
            end=i + 1.0,
            columns={k: v[i] for k, v in columns.items()},
        )
        for i, label in enumerate(labels)
    )
    return Features(values, videos, torch.tensor(owner or range(len(values))))
