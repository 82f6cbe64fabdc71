"""Moving scenes, biased in training, independent in the test: does motion get learnt, or the scene?

Every method trains for the same number of steps on the same footage without labels; `moco-time`
for as many as fit into DSM's time. Motion is read on scenes that training never showed, the scene
on scenes that it did ("leakage"). `supervised` learns the biased labels instead.

    python experiments/moving_scenes.py --seeds 0 1 2 --correlations 0.9
    python experiments/moving_scenes.py --methods random moco dsm --correlations 0 0.5 1

Rows go to experiments/moving_scenes.jsonl; what stands there already is not run again. The settings
are the demo's (unscene.demo).
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from unscene.demo import BUDGET, CLIPS, FOOTAGE, KS
from unscene.encoders import VideoEncoder, create_encoder, load_encoder
from unscene.evaluate.features import extract
from unscene.evaluate.probe import probe
from unscene.evaluate.retrieve import retrieve
from unscene.evaluate.rows import Row, read_rows, rows_of
from unscene.train.config import build
from unscene.train.pretrain import pretrain
from unscene.video.catalog import Catalog, open_catalog
from unscene.video.scenes import SPLITS, generate

HERE = Path(__file__).resolve().parent
OFF = {"warp": False, "flow_scaling": False, "shift": False}
# Name in the rows -> method and what is changed: the rows of the paper's Table 4.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("", {}),
    "moco": ("moco", {}),
    "dsm": ("dsm", {}),
    "dsm-triplet": ("dsm-triplet", {}),
    "moco+warp": ("dsm", OFF | {"warp": True}),
    "moco+disturb": ("dsm", {"warp": False}),
    "moco+warp+flow": ("dsm", {"shift": False}),
    "moco+warp+shift": ("dsm", {"flow_scaling": False}),
    "moco-time": ("moco", {}),
}


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    for correlation, seed in product(args.correlations, args.seeds):
        done = {
            (row["method"], row["test"]["correlation"], row["seed"], row["test"]["note"])
            for row in (read_rows(args.out) if args.out.exists() else [])
        }
        wanted = [m for m in args.methods if (m, correlation, seed, args.note) not in done]
        if not wanted:
            continue
        footage = args.work / f"footage-{correlation}-{seed}"
        spec = replace(FOOTAGE, correlation=correlation, seed=seed)
        generate(footage, spec, workers=1)
        catalogs = {split: open_catalog(footage / f"{split}.csv") for split in SPLITS}
        for method in wanted:
            run = args.work / f"{method}-{correlation}-{seed}-{args.note}"
            encoder = _encoder(method, run, catalogs["train"], seed, args)
            rows = _rows(method, encoder, catalogs, correlation, seed, args.note)
            with args.out.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)
            found = {(r.label, r.split, r.metric): r.value for r in rows}
            print(
                f"{method:<18} correlation {correlation} seed {seed}: motion "
                f"{found['motion', 'unseen', 'retrieval_r1']:.3f} (r1), "
                f"{found['motion', 'unseen', 'probe_top1']:.3f} (probe), scene "
                f"{found['scene', 'seen', 'retrieval_r1']:.3f}, {encoder.spec.trained_on}"[:160],
                flush=True,
            )


def _encoder(
    method: str, run: Path, train: Catalog, seed: int, args: argparse.Namespace
) -> VideoEncoder:
    """Train it, unless it was trained already."""
    if method == "random":
        torch.manual_seed(seed)
        encoder = create_encoder(BUDGET["encoder"])
        clip = {name: BUDGET[name] for name in ("frames", "stride", "size")}
        encoder.spec = replace(encoder.spec, **clip)
        return encoder
    if (run / "summary.json").exists():
        return load_encoder(run)
    shutil.rmtree(run, ignore_errors=True)  # cut off half way
    name, changes = METHODS[method]
    steps = args.steps
    if method == "moco-time":
        steps = _steps_in_the_time_of_dsm(run, args.steps)
    given = BUDGET | changes | json.loads(args.changes)
    given |= {"data": train.source, "out": str(run), "method": name, "seed": seed}
    pretrain(build(given | {"max_steps": steps}), catalog=train, report=lambda *_: None)
    return load_encoder(run)


def _steps_in_the_time_of_dsm(run: Path, steps: int) -> int:
    """MoCo's steps in the seconds that DSM took for its own, both as measured on this machine."""
    seconds = {
        name: json.loads((run.with_name(run.name.replace("moco-time", name)) / "summary.json")
        .read_text(encoding="utf-8"))["seconds"]
        for name in ("moco", "dsm")
    }  # fmt: skip
    return round(steps * seconds["dsm"] / seconds["moco"])


def _rows(
    method: str,
    encoder: VideoEncoder,
    catalogs: dict[str, Catalog],
    correlation: float,
    seed: int,
    note: str,
) -> list[Row]:
    features = {
        split: extract(encoder, catalog.videos, clips=CLIPS, batch_size=64, workers=1)
        for split, catalog in catalogs.items()
    }
    train, rows = features["train"], []
    for label, split in (("motion", "unseen"), ("scene", "seen")):
        query = features[split]
        scores = retrieve(query, train, label, ks=KS) | probe(train, query, label).scores
        scores |= {
            metric.replace("_", "_loo_"): found
            for metric, found in retrieve(query, query, label, ks=KS).items()
        }
        rows += rows_of(
            encoder.spec,
            scores,
            data="moving scenes",
            split=split,
            label=label,
            fingerprint=catalogs[split].fingerprint(),
            views=CLIPS,
            seed=seed,
            test={"correlation": correlation, "note": note},
        )
    return [replace(row, method=method, classes={}) for row in rows]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--correlations", type=float, nargs="+", default=[0.9])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--steps", type=int, default=BUDGET["max_steps"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--changes", default="{}", help="settings of all methods, as JSON")
    parser.add_argument("--note", default="", help="names the changes in the rows")
    parser.add_argument("--work", type=Path, default=Path("runs/moving_scenes"))
    parser.add_argument("--out", type=Path, default=HERE / "moving_scenes.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    main()
