"""Generated footage, biased in training and unbiased in the test: what do methods learn?

Every method trains for the same number of steps on the same footage without labels; `moco-time` for
as many CPU seconds as DSM, `triplet-time` for as many as unscene-nce, twice those of unscene. The
motion is evaluated in new scenes, the scene in training scenes ("leakage"). `supervised` trains
with the biased motion labels instead, for as many steps: how much of the scene do labels let in?

    python experiments/moving_scenes.py --seeds 0 1 2 --correlations 0.9
    python experiments/moving_scenes.py --methods random moco dsm --correlations 0 0.5 1
    python experiments/moving_scenes.py --methods dsm-triplet triplet+codec --note 128-px \
        --footage '{"size": 128, "object_size": [40, 60], "speed": [4, 8]}'

Rows go to experiments/rows/moving_scenes.jsonl.gz. What is in that file is not run again. The
settings are the demo's (unscene.demo.run).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from generated import STEPS, scenes, training
from trained import METHODS, append, flags, rows_in

from unscene.data.catalog import Catalog
from unscene.demo.run import CLIPS
from unscene.encoders import EncoderSpec, VideoEncoder
from unscene.evaluate.decoupling import decouple, make_decoupling_rows
from unscene.evaluate.features import Features, extract
from unscene.evaluate.labels import score_labels
from unscene.results.rows import Row

DECOUPLED = 100  # videos; each is encoded 11 times


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    changes = json.loads(args.changes) | {"max_steps": args.steps}
    for correlation, seed in product(args.correlations, args.seeds):
        runs, rows = training(args.work, f"{correlation}-{args.note}", changes), rows_in(args.out)
        footage = json.loads(args.footage)
        test = {"correlation": correlation, "note": args.note}
        if footage:
            test["footage"] = json.dumps(footage)
        wanted = [m for m in args.methods if not runs.done(rows, m, seed, **test)]
        if not wanted:
            continue
        catalogs = scenes(args.work, correlation, seed, args.note if footage else "", footage)
        for method in wanted:
            if method == "supervised":
                encoder = runs.supervised(catalogs["train"], catalogs["unseen"], "motion", seed)
            else:
                encoder = runs.encoder(method, catalogs["train"], seed)
            measured = _rows(encoder, catalogs, seed, test)
            append(args.out, measured, method)
            found = {(r.label, r.split, r.metric): r.value for r in measured}
            print(
                f"{method:<18} correlation {correlation} seed {seed}: motion "
                f"{found['motion', 'unseen', 'retrieval_r1']:.3f} (r1), "
                f"{found['motion', 'unseen', 'probe_top1']:.3f} (probe), scene "
                f"{found['scene', 'seen', 'retrieval_r1']:.3f}",
                flush=True,
            )


def _rows(
    encoder: VideoEncoder, catalogs: dict[str, Catalog], seed: int, test: dict[str, Any]
) -> list[Row]:
    features = {
        split: extract(encoder, catalog.videos, clips=CLIPS, batch_size=64, workers=1)
        for split, catalog in catalogs.items()
    }
    rows = score_scenes(encoder.spec, features, catalogs, seed, test)
    return rows + decoupled(encoder, catalogs["unseen"], seed, test)


def score_scenes(
    spec: EncoderSpec,
    features: dict[str, Features],
    catalogs: dict[str, Catalog],
    seed: int,
    test: dict[str, Any],
) -> list[Row]:
    """Rows of the motion in new scenes and of the scene in training scenes."""
    rows = score_labels(
        spec,
        features,
        catalogs,
        (("motion", "unseen"), ("scene", "seen")),
        data="moving scenes",
        views=CLIPS,
        seed=seed,
        test=test,
        standardize=bool(test.get("standardize")),
    )
    return [replace(row, classes={}) for row in rows]


def decoupled(encoder: VideoEncoder, unseen: Catalog, seed: int, test: dict[str, Any]) -> list[Row]:
    """Rows of the decoupling score (evaluate.decouple), on some of the unseen scenes' videos."""
    some = replace(unseen, videos=unseen.videos[:DECOUPLED])
    rows = make_decoupling_rows(decouple(encoder, some.videos), encoder.spec, some, split="unseen")
    known: dict[str, Any] = {"data": "moving scenes", "seed": seed, "classes": {}}
    return [replace(row, **known, test=row.test | test) for row in rows]


def _arguments() -> argparse.Namespace:
    parser = flags("moving_scenes", __doc__, methods=[*METHODS, "supervised"])
    parser.set_defaults(steps=STEPS)
    parser.add_argument("--correlations", type=float, nargs="+", default=[0.9])
    parser.add_argument(
        "--footage", default="{}", help="changes of the footage, as JSON; --note names them"
    )
    args = parser.parse_args()
    if args.footage != "{}" and not args.note:
        parser.error("--footage: name its changes with --note")
    return args


if __name__ == "__main__":
    main()
