"""Is the audit right about trained encoders whose behavior is known?

Two supervised encoders mark the ends: "scene" and "motion" learned labels of the scene or of the
motion, on generated footage where the two are independent. Between them are encoders that are
untrained, or trained without labels where motion and scene are 90 % correlated: random, moco, dsm,
dsm-triplet, unscene. All are audited on the same videos of new scenes.

    python experiments/audit_controls.py --seeds 0 1 2

Rows go to experiments/rows/audit_controls.jsonl.gz ("audit/verdict", "audit/swap/motion_share" and
so on). What is in that file is not run again. The settings are the demo's (unscene.demo.run).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from generated import biased, scenes, training
from trained import append, flags, rows_in

from unscene.audit.result import Audit
from unscene.audit.run import audit
from unscene.encoders import VideoEncoder
from unscene.encoders.resolving import ResolvedEncoder
from unscene.results.rows import Row, build_rows
from unscene.results.statistics import Score

TAUGHT = ("scene", "motion")
METHODS = ("scene", "random", "moco", "dsm", "dsm-triplet", "unscene", "motion")
ASKED = ("swap", "time", "reliance")
BATCH = 16  # decides which clips are paired


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    changes = json.loads(args.changes) | ({"max_steps": args.steps} if args.steps else {})
    runs, test = training(args.work, "", changes), {"note": args.note, "videos": args.videos}
    known = rows_in(args.out)
    for seed, method in product(args.seeds, args.methods):
        if runs.done(known, method, seed, batch_size=BATCH, **test):
            continue
        encoder = _encoder(method, seed, args, changes)
        unseen = scenes(args.work, 0.9, seed)["unseen"]
        found = audit(
            unseen,
            [ResolvedEncoder(encoder, method, "")],
            label="motion",
            measures=ASKED,
            videos=args.videos,
            seed=seed,
            batch_size=BATCH,
            baseline=False,  # one of the methods is "random"
        )
        rows = audit_rows(found, seed, data="moving scenes", split="unseen", test=test)
        append(args.out, rows, method)
        print(f"seed {seed} {method}: {found.models[0].verdict.sentence}", flush=True)


def _encoder(
    method: str, seed: int, args: argparse.Namespace, changes: dict[str, Any]
) -> VideoEncoder:
    if method not in TAUGHT:
        return biased(method, seed, args.work, args.note, changes)
    catalogs = scenes(args.work, 0.0, seed)
    runs = training(args.work, f"0.0-{args.note}{method}", changes)
    return runs.supervised(catalogs["train"], catalogs["seen"], method, seed)


def audit_rows(
    found: Audit, seed: int, *, data: str, split: str, test: dict[str, Any]
) -> list[Row]:
    """Rows of all scores of the audit of one encoder, the verdict included."""
    (model,) = found.models
    verdict = model.verdict
    scores = {
        f"audit/{measured.name}/{name}": replace(score, classes={})
        for measured in model.measures
        for name, score in measured.scores.items()
    }
    if verdict.value is not None and verdict.ci95 is not None:
        scores["audit/verdict"] = Score(verdict.value, verdict.ci95, verdict.n)
    return build_rows(
        model.spec,
        scores,
        data=data,
        split=split,
        label=found.data["label"] or "none",
        fingerprint=found.data["fingerprint"],
        views=1,
        seed=seed,
        test=test | {"batch_size": found.configuration["batch_size"]},
    )


def _arguments() -> argparse.Namespace:
    parser = flags("audit_controls", __doc__, methods=METHODS)
    parser.add_argument("--videos", type=int, default=200, help="drawn from the unseen ones")
    return parser.parse_args()


if __name__ == "__main__":
    main()
