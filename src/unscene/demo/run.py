"""The whole story in minutes on a laptop: footage, MoCo and DSM, numbers, a report.

    OUT/footage/         moving scenes: train (motion and scene 90 % correlated), seen, unseen
    OUT/moco, OUT/dsm    two pre-training runs with the same budget
    OUT/views.png        what DSM trains on
    OUT/results.jsonl    every number, one row each
    OUT/report.html      what it all means

Stopped with Ctrl-C, it goes on where it was when called again. It opens no network.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog
from unscene.demo import story as story
from unscene.demo.report import DemoReport, write_report
from unscene.encoders import VideoEncoder, create_encoder, load_encoder
from unscene.evaluate.features import Features, extract
from unscene.evaluate.labels import score_labels
from unscene.preview.run import preview
from unscene.progress import count_progress
from unscene.results.rows import Row, read_rows, versions, write_rows
from unscene.synthetic.generate import SPLITS, MovingScenes, generate
from unscene.train.config import build
from unscene.train.engine import computing_on
from unscene.train.pretrain import pretrain_once

STEPS = 600
METHODS = ("moco", "dsm")
CLIPS = 2  # windows a video at test time
# On two cores one trains, and what it leaves of the other and of itself reads. Two threads for the
# training were half as fast here (experiments/LOG.md).
_WORKERS, _THREADS = 2, 1

FOOTAGE = MovingScenes(
    train_videos=1000,
    seen_videos=160,
    unseen_videos=800,
    correlation=0.9,
    shapes=("bar", "drop"),
    textures=("halves",),
    own_place=True,
)
# What a laptop's CPU can train in minutes, the same for both methods. experiments/LOG.md says how
# these were found; a real run takes the method's defaults.
BUDGET: dict[str, Any] = {
    "encoder": "r3d-narrow",
    "frames": 8,
    "stride": 2,
    "size": 36,
    "queue": 16,
    "batch_negatives": False,
    "twin_momentum": 0.95,
    "augmentation": "mild",
    "max_steps": STEPS,
    "workers": _WORKERS,
    "threads": _THREADS,
    "devices": 1,
    "accelerator": "cpu",
}


def demo(out: Path, *, seed: int = 0) -> Path:
    """Run the demo; returns the report's path."""
    started = time.perf_counter()
    _say(1, f"generating moving scenes in {out / 'footage'}")
    catalogs = _footage(out / "footage", seed)
    for number, method in enumerate(METHODS, start=2):
        _say(number, f"pre-training {method} for {STEPS} steps without labels")
        _train(method, out / method, catalogs["train"], seed)
    _say(4, "evaluating MoCo, DSM and a random encoder")
    rows: list[Row] = []
    features: dict[str, dict[str, Features]] = {}
    for method in ("random", *METHODS):
        encoder = _encoder(method, out, seed)
        features[method] = _features(method, encoder, catalogs)
        rows += score_labels(
            encoder.spec,
            features[method],
            catalogs,
            product(("motion", "scene"), ("seen", "unseen")),
            data="moving scenes, motion and scene 90 % correlated in training",
            views=CLIPS,
            seed=seed,
        )
    write_rows(out / "results.jsonl", rows)
    _say(5, "drawing the report")
    views = preview(
        str(out / "footage" / "train.csv"),
        out / "views.png",
        videos=3,
        method="dsm",
        overrides={k: BUDGET[k] for k in ("frames", "stride", "size", "augmentation")},
        seed=seed,
    )
    content = DemoReport(
        rows=read_rows(out / "results.jsonl"),
        views_png=views.read_bytes(),
        curves={method: story.curve(out / method / "metrics.csv") for method in METHODS},
        examples=story.examples(features, METHODS),
        footage=[story.shot(v) for v in story.one_per_motion(catalogs["train"].videos)],
        facts={
            "videos": len(catalogs["train"]),
            "test_videos": len(catalogs["unseen"]),
            "motions": len(FOOTAGE.motions),
            "scenes": FOOTAGE.scenes,
            "unseen_scenes": FOOTAGE.unseen_scenes,
            "correlation": FOOTAGE.correlation,
            "steps": STEPS,
            "minutes": round((time.perf_counter() - started) / 60, 1),
            "chance": 1 / len(FOOTAGE.motions),
            "chance_scene": 1 / FOOTAGE.scenes,
            "gallery": len(catalogs["train"]),
            "clips": CLIPS,
            "encoder": BUDGET["encoder"],
            "seed": seed,
        },
        versions=versions(),
    )
    report = out / "report.html"
    write_report(report, content)
    _table(rows)
    minutes = (time.perf_counter() - started) / 60
    print(f"\n{minutes:.1f} minutes. Report: {report}   numbers: {out / 'results.jsonl'}")
    return report


def _say(number: int, text: str) -> None:
    print(f"[{number}/5] {text}", flush=True)


def _footage(out: Path, seed: int) -> dict[str, Catalog]:
    spec = replace(FOOTAGE, seed=seed)
    with count_progress("footage", sum(map(spec.videos, SPLITS))) as progress:
        generate(out, spec, workers=2, progress=progress)
    return {split: open_catalog(out / f"{split}.csv") for split in SPLITS}


def _train(method: str, out: Path, catalog: Catalog, seed: int) -> None:
    config = build(
        {"data": catalog.source, "out": str(out), "method": method, "seed": seed} | BUDGET
    )
    if pretrain_once(config, catalog=catalog) is None:
        print(f"      {out}: already finished; delete the folder to train anew")


def _encoder(method: str, out: Path, seed: int) -> VideoEncoder:
    if method != "random":
        return load_encoder(out / method)
    torch.manual_seed(seed)
    return create_encoder(BUDGET["encoder"])


def _features(
    method: str, encoder: VideoEncoder, catalogs: dict[str, Catalog]
) -> dict[str, Features]:
    found: dict[str, Features] = {}
    before, total = 0, sum(len(catalog) for catalog in catalogs.values())
    with count_progress(f"features of {method}", total) as progress, computing_on(_THREADS):
        for split in SPLITS:
            found[split] = extract(
                encoder,
                catalogs[split].videos,
                clips=CLIPS,
                batch_size=64,
                workers=_WORKERS,
                progress=lambda done, total, before=before: progress(before + done, total),  # type: ignore[misc]
            )
            before += len(catalogs[split])
    return found


def _table(rows: list[Row]) -> None:
    print(f"\n{'':<10}{'motion, unseen scenes':>24}{'scene, seen scenes':>24}   (recall at 1)")
    for method in ("random", *METHODS):
        cells = []
        for label, split in (("motion", "unseen"), ("scene", "seen")):
            row = next(
                r
                for r in rows
                if (r.method, r.label, r.split, r.metric) == (method, label, split, "retrieval_r1")
            )
            low, high = row.ci95
            cells.append(f"{row.value:.2f} [{low:.2f}, {high:.2f}]")
        print(f"{method:<10}{cells[0]:>24}{cells[1]:>24}")
