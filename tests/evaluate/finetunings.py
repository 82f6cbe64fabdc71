"""Fine-tunings of a few steps, on videos of two brightnesses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from media import write
from unscene.data.catalog import Video
from unscene.evaluate.finetuning.config import FinetuneConfig

Make = Callable[..., FinetuneConfig]
TINY: dict[str, Any] = {
    "encoder": "r3d-narrow",
    "encoder_options": {"width": 4, "stages": 2},
    "frames": 4,
    "stride": 1,
    "size": 16,
    "batch_size": 4,
    "max_steps": 4,
    "clips": 2,
    "workers": 0,
    "accelerator": "cpu",
}
BRIGHTNESS = {"dark": 60, "bright": 170}


def films(root: Path, counts: dict[str, int]) -> Path:
    """Class folders of noisy videos whose brightness is their class (other classes: in between)."""
    rng = np.random.default_rng(len(str(root.name)))
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for k in range(count):
            level = BRIGHTNESS.get(name, 115)
            frames = [level + rng.integers(-30, 31, (16, 16)) for _ in range(8)]
            write(root / name / f"{k}.mp4", [frame.astype(np.uint8) for frame in frames])
    return root


def paths(videos: Sequence[Video]) -> set[str]:
    return {video.path for video in videos}
