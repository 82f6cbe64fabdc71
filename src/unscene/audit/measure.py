"""What all measures of the audit share: what they are given, and what they hand on.

A measure sees the footage once, batch by batch, beside the others: nothing is decoded twice, and
memory is that of a batch.

    for batch in footage:
        for measure in measures:
            measure.see(batch)
    found = [measure.finish() for measure in measures]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.evaluate.bootstrap import Score
from unscene.video.loading import Batch


@dataclass(frozen=True)
class Measured:
    """What a measure found out about one model.

    Attributes:
        name: "reliance", "time", "swap", "where", "response" or "adversarial".
        scores: by name, the headline first; none if the measure does not apply.
        chance: for scores that have one, what a model that knows nothing would get.
        absent: why the measure (or a part of it) does not apply, in words; "" if it does.
        details: JSON types only: curves, classes, counts.
        pictures: PNG files by name, for the report.
        forwards: altered clips that were encoded for it.
    """

    name: str
    scores: Mapping[str, Score] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)
    absent: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    forwards: int = 0


class Measure(Protocol):
    """One question put to a model."""

    name: str

    def see(self, batch: Batch) -> None:
        """Take in a batch of windows: clips "clip" with their optical flow, and their videos."""

    def finish(self) -> Measured:
        """What was found, after all batches."""


class Watcher:
    """An encoder that is asked only, and counts the clips it is shown.

    Args:
        encoder: any (`encoders.foreign` makes one of other people's models).
        device: where it runs.
        batch_size: clips encoded at once.

    Attributes:
        forwards: clips encoded so far.
    """

    def __init__(
        self, encoder: VideoEncoder, *, device: torch.device | str = "cpu", batch_size: int = 16
    ) -> None:
        self.encoder = encoder.eval().to(device)
        self.device, self.batch_size = torch.device(device), batch_size
        self.forwards = 0

    @torch.inference_mode()
    def features(self, clips_BCTHW: Tensor) -> Tensor:
        """(B, D), float32 on the CPU. Raises UnsceneError if a feature is not finite."""
        parts = clips_BCTHW.split(self.batch_size)
        self.forwards += len(clips_BCTHW)
        features = torch.cat([self.encoder(part.to(self.device)).float().cpu() for part in parts])
        if not bool(features.isfinite().all()):
            raise UnsceneError(f"{self.encoder.spec.name}: its features are not finite numbers")
        return features

    @torch.inference_mode()
    def maps(self, clips_BCTHW: Tensor) -> Tensor:
        """(B, D, T', H', W'), float32 on the CPU."""
        parts = clips_BCTHW.split(self.batch_size)
        self.forwards += len(clips_BCTHW)
        return torch.cat([self.encoder.forward_maps(p.to(self.device)).float().cpu() for p in parts])
