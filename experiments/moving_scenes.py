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
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from trained import METHODS, Training, append, known

from unscene.demo import BUDGET, CLIPS, FOOTAGE, KS
from unscene.encoders import VideoEncoder
from unscene.evaluate.decouple import decouple
from unscene.evaluate.decouple import rows as decoupling_rows
from unscene.evaluate.features import extract
from unscene.evaluate.probe import probe
from unscene.evaluate.retrieve import retrieve
from unscene.evaluate.rows import Row, rows_of
from unscene.video.catalog import Catalog, open_catalog
from unscene.video.scenes import SPLITS, generate

HERE = Path(__file__).resolve().parent
DECOUPLED = 100  # videos; each is encoded 11 times


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    settings = BUDGET | json.loads(args.changes) | {"max_steps": args.steps}
    for correlation, seed in product(args.correlations, args.seeds):
        done = known(args.out, "correlation", "note")
        wanted = [m for m in args.methods if (m, seed, correlation, args.note) not in done]
        if not wanted:
            continue
        footage = args.work / f"footage-{correlation}-{seed}"
        generate(footage, replace(FOOTAGE, correlation=correlation, seed=seed), workers=1)
        catalogs = {split: open_catalog(footage / f"{split}.csv") for split in SPLITS}
        training = Training(args.work, f"{correlation}-{args.note}", settings)
        for method in wanted:
            encoder = training.encoder(method, catalogs["train"], seed)
            rows = _rows(encoder, catalogs, correlation, seed, args.note)
            append(args.out, rows, method)
            found = {(r.label, r.split, r.metric): r.value for r in rows}
            print(
                f"{method:<18} correlation {correlation} seed {seed}: motion "
                f"{found['motion', 'unseen', 'retrieval_r1']:.3f} (r1), "
                f"{found['motion', 'unseen', 'probe_top1']:.3f} (probe), scene "
                f"{found['scene', 'seen', 'retrieval_r1']:.3f}",
                flush=True,
            )


def _rows(
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
    rows += decoupled(encoder, catalogs["unseen"], correlation, seed, note)
    return [replace(row, classes={}) for row in rows]


def decoupled(
    encoder: VideoEncoder, unseen: Catalog, correlation: float, seed: int, note: str
) -> list[Row]:
    """Rows of the decoupling score (evaluate.decouple), on some of the unseen scenes' videos."""
    some = replace(unseen, videos=unseen.videos[:DECOUPLED])
    rows = decoupling_rows(decouple(encoder, some.videos), encoder.spec, some, split="unseen")
    test = {"correlation": correlation, "note": note}
    return [replace(row, data="moving scenes", seed=seed, test=row.test | test) for row in rows]


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
