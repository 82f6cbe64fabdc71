"""DSM (Triplet): DSM's views with a loss inside each video (arXiv 2009.05757, eq. 5).

    views     anchor, positive, negative as in DSM (triplet_views.py)
    encoder   any 3D backbone, global average pool; one network, gradient through all three views
    head      one linear layer, D = 128, L2 (default preset: two layers)
    loss      max(|a - p| - |a - n| + margin, 0), Euclidean; no other video takes part

Deviations from the paper:
- Eq. 5 is a sum over the batch; here it is the mean.
- The default preset applies the basic augmentation to all three views and uses AdamW and a
  two-layer head. `--preset paper` does not.
- `--preset official-code` takes the published code's numbers (weight decay, drops, no flow
  scaling). The inter-video term of its triplet run is not reproduced.
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
from unscene.methods.triplet_views import DISTURBED, DisturbanceSettings, TripletViews

TITLE = "DSM (Triplet)"


@dataclass(frozen=True, kw_only=True)
class Settings(DisturbanceSettings):
    """Disturbed views and the triplet loss.

    Attributes:
        head: "linear" (the DSM paper) or "mlp" (two layers, as MoCo v2).
        margin: of the triplet loss, eq. 5.
    """

    head: Literal["linear", "mlp"] = "linear"
    margin: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, ("margin",), lambda v: v >= 0, "must not be negative")


_OFFICIAL = {name: OFFICIAL_CODE[name] for name in ("weight_decay", "drops")}
PRESETS: dict[str, dict[str, Any]] = {
    "default": OURS | DISTURBED | {"head": "mlp", "basic_on": "all"},
    "paper": DISTURBED,
    "official-code": _OFFICIAL | DISTURBED | {"flow_scaling": False},
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
        # One pass for all three, so that batch norm treats them alike.
        a, p, n = self.embedder(torch.cat(list(views.values()))).chunk(3)
        loss = triplet(a, p, n, margin=self.settings.margin)
        return StepResult(loss, measure_similarities(a, p, n))
