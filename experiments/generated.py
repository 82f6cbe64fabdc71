"""Generated footage as in the demo, and the encoders that methods train on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from trained import Training

from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog
from unscene.demo.run import BUDGET, FOOTAGE
from unscene.demo.run import METHODS as OWN
from unscene.encoders import VideoEncoder
from unscene.synthetic.generate import SPLITS, generate

STEPS = 600  # the demo makes fewer


def scenes(
    work: Path, correlation: float, seed: int, name: str = "", changes: dict[str, Any] | None = None
) -> dict[str, Catalog]:
    """The splits "train", "seen" and "unseen"; they are generated if they are not in `work`.

    Args:
        name: of the changes, in the name of the folder.
        changes: to the demo's footage.
    """
    out = work / "-".join(filter(None, ("footage", name, f"{correlation}", f"{seed}")))
    spec = replace(FOOTAGE, correlation=correlation, seed=seed, **(changes or {}))
    generate(out, spec, workers=1)
    return {split: open_catalog(out / f"{split}.csv") for split in SPLITS}


def training(work: Path, name: str, changes: dict[str, Any] | None = None) -> Training:
    """With the demo's settings and `STEPS`; `name` as in the folders of runs, `changes` to them."""
    return Training(work, name, BUDGET | OWN["moco"] | {"max_steps": STEPS} | (changes or {}))


def biased(
    method: str, seed: int, work: Path, note: str = "", changes: dict[str, Any] | None = None
) -> VideoEncoder:
    """The encoder that a method trains where motion and scene are 90 % correlated."""
    runs = training(work, f"0.9-{note}", changes)
    return runs.encoder(method, scenes(work, 0.9, seed)["train"], seed)


def biased_run(method: str, seed: int, work: Path) -> Path:
    """The folder of that encoder."""
    biased(method, seed, work)
    return training(work, "0.9-").folder(method, seed)
