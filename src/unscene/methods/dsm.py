"""DSM: decoupling the scene and the motion (arXiv 2009.05757, AAAI 2021).

    views     anchor    a = b(c1)   basic augmentation
              positive  p = s(c2)   spatial local disturbance: one thin-plate warp for all frames
              negative  n = t(c3)   temporal local disturbance: shifted (eq. 4), flow scaled (eq. 3)
    encoder   any 3D backbone, global average pool; keys from a momentum encoder
    head      one linear layer, D = 128, L2 (default preset: two layers)
    loss      InfoNCE with the intra-video negative and a queue of anchors (eq. 7)

Each row of Table 4 is one flag away: `--warp`, `--flow_scaling`, `--shift` (false or true). Without
both temporal disturbances there is no negative of the same video. The other loss of the paper,
eq. 5, is the method `dsm-triplet`.

Deviations from the paper:
- The default preset fills the queue with keys instead of anchors, fits its length to the videos and
  takes the batch's other videos as negatives too (experiments/LOG.md has the evidence), applies the
  basic augmentation to all three views, and uses AdamW, a two-layer head and tau = 0.1.
  `--preset paper` does none of this.
- Positives and negatives go through the momentum encoder in one batch (experiments/LOG.md).
- `--preset official-code` takes the published code's numbers (tau, m, weight decay, drops, no flow
  scaling). Its local bump warps on the anchor and its negatives from anywhere in the video (ours
  start within `shift_range`) are not reproduced.
Choices for the views are listed in triplet_views.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unscene.methods import moco
from unscene.methods.settings import OURS
from unscene.methods.triplet_views import DISTURBED, DisturbanceSettings, TripletViews

TITLE = "DSM"


@dataclass(frozen=True, kw_only=True)
class Settings(DisturbanceSettings, moco.Settings):
    """Disturbed views, with MoCo's head, queue and momentum encoder."""


PRESETS: dict[str, dict[str, Any]] = {
    "default": OURS | moco.QUEUE_OURS | DISTURBED | {"basic_on": "all"},
    "paper": moco.PAPER | DISTURBED,
    # The code has no flow scaling; its negative is the clip at another time.
    "official-code": moco.OFFICIAL_CODE | DISTURBED | {"flow_scaling": False},
}


class DSM(TripletViews, moco.MoCo):
    """DSM, eq. 7."""

    settings: Settings
