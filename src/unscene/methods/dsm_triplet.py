"""DSM (Triplet): DSM's views with a loss inside each video (arXiv 2009.05757, eq. 5).

    views     anchor, positive, negative as in DSM (triplet_views.py)
    encoder   any 3D backbone, global average pool; one network, gradient through all three views
    head      one linear layer, D = 128, L2 (default preset: two layers)
    loss      max(|a - p| - |a - n| + margin, 0), Euclidean; no other video takes part

Deviations from the paper:
- Eq. 5 is a sum over the batch; here it is the mean.
- The default preset applies the basic augmentation to all three views and uses AdamW and a
  two-layer head. `--preset paper` does not.

`--preset official-code` does what the authors' code does: its views (dsm.py also lists what is left
out), a second term whose negatives are the batch's in reverse order, and a pass for each view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from unscene.config import require
from unscene.data.loading import Batch
from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.methods.base import Embedder, StepResult
from unscene.methods.contrastive import measure_similarities, triplet
from unscene.methods.moco import OFFICIAL_CODE
from unscene.methods.settings import OURS
from unscene.methods.triplet_views import (
    DISTURBED,
    OFFICIAL_VIEWS,
    PAPER_VIEWS,
    DisturbanceSettings,
    TripletViews,
)

TITLE = "DSM (Triplet)"


@dataclass(frozen=True, kw_only=True)
class Settings(DisturbanceSettings):
    """Disturbed views and the triplet loss.

    Attributes:
        head: "linear" (the DSM paper) or "mlp" (two layers, as MoCo v2).
        margin: of the triplet loss, eq. 5.
        other_negatives: add the loss with the negatives of the batch in reverse order, those of
            other videos (the authors' code).
        passes: "one" for all three views, so that batch norm treats them alike, or "three" (the
            authors' code).
    """

    head: Literal["linear", "mlp"] = "linear"
    margin: float = 0.5
    other_negatives: bool = False
    passes: Literal["one", "three"] = "one"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, ("margin",), lambda v: v >= 0, "must not be negative")


_OFFICIAL: dict[str, Any] = {
    **{name: OFFICIAL_CODE[name] for name in ("weight_decay", "drops", "epochs", "augmentation")},
    **{"other_negatives": True, "passes": "three"},
}
PRESETS: dict[str, dict[str, Any]] = {
    "default": OURS | DISTURBED | {"head": "mlp", "basic_on": "all"},
    "paper": PAPER_VIEWS,
    "official-code": _OFFICIAL | OFFICIAL_VIEWS,
}


class DSMTriplet(TripletViews):
    """DSM (Triplet), eq. 5.

    Raises:
        UnsceneError: neither temporal disturbance is on, so that there is no negative.
    """

    settings: Settings
    embedder: Embedder

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder, settings)
        if not self.has_negative:
            raise UnsceneError("dsm-triplet needs a negative: --flow_scaling true or --shift true")

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        s = self.settings
        if s.passes == "three":
            a, p, n = (self.embedder(view) for view in views.values())
        else:
            a, p, n = self.embedder(torch.cat(list(views.values()))).chunk(3)
        loss = triplet(a, p, n, margin=s.margin)
        if s.other_negatives:
            loss = loss + triplet(a, p, n.flip(0), margin=s.margin)
        return StepResult(loss, measure_similarities(a, p, n))
