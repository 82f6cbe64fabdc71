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
Choices for the views are listed in triplet_views.py.

`--preset official-code` does what the authors' code does, which is not what the paper says: another
warp on another view, negatives from anywhere in the video, no flow scaling, gradient through the
negative, a queue of keys (docs/methods.md 1.5 has the table). What it leaves out: weights begin
otherwise there (Xavier with gain sqrt 2, batch norm N(1, 0.02)); a batch shares its bumps, which
shift by whole pixels; a negative that runs past the end continues at frame 1 whatever the stride;
hue turns in HSV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unscene.methods import moco
from unscene.methods.settings import OURS
from unscene.methods.triplet_views import (
    DISTURBED,
    OFFICIAL_VIEWS,
    PAPER_VIEWS,
    DisturbanceSettings,
    TripletViews,
)

TITLE = "DSM"


@dataclass(frozen=True, kw_only=True)
class Settings(DisturbanceSettings, moco.Settings):
    """Disturbed views, with MoCo's head, queue and momentum encoder."""


PRESETS: dict[str, dict[str, Any]] = {
    "default": OURS | moco.QUEUE_OURS | DISTURBED | {"basic_on": "all"},
    "paper": moco.PAPER | PAPER_VIEWS,
    "official-code": moco.OFFICIAL_CODE | OFFICIAL_VIEWS,
}


class DSM(TripletViews, moco.MoCo):
    """DSM, eq. 7."""

    settings: Settings
