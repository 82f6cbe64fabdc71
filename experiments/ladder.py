"""What does each step of the generator of motion programs bring, on real and on generated footage?

    python experiments/ladder.py --seeds 0 1 2

A rung is a training of `motion-net` by `motion-programs` (300 steps of 32 programs; otherwise the
recipe of `motion`) that has one thing more than the rung before it:

    rung-simple    programs of few parts, bodies seen from the side
    rung-whole     programs like whole actions
    rung-sides     bodies seen from all sides and heights
    rung-telling   the encoder also tells what the body does: the recipe of `motion`
    rung-clean     that recipe without noise and without the rest of the camera's motion

`random` is untrained. ARID and the generated figures (figures.py) are read as motion vectors of the
codec, all encoders in one pass. Rows go to experiments/rows/ladder.jsonl.gz; what is in that file
is not run again.
"""

from __future__ import annotations

import argparse
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import torch
from figures import extract_figures, figures, read_at_own_rate, score_figures
from real_scenes import extract_places, score_places
from real_tables import catalogs
from trained import ROWS, append_and_show, footage_here, rows_in

from unscene.encoders import VideoEncoder, load_encoder, make_untrained_twin
from unscene.train.config import build
from unscene.train.pretrain import SUMMARY, pretrain

CLIPS = 4  # a video, as in real_scenes.py
SETTINGS: dict[str, Any] = {
    **{"method": "motion-programs", "encoder": "motion-net", "lr": 0.002, "temperature": 0.1},
    **{"frames": 25, "stride": 2, "size": 160, "precision": "bf16-mixed", "threads": 1},
    **{"workers": 1, "accelerator": "cpu", "devices": 1},
}
RUNGS: dict[str, dict[str, Any]] = {
    "rung-simple": {"actions": "simple", "sides": "profile", "telling": 0.0},
    "rung-whole": {"actions": "whole", "sides": "profile", "telling": 0.0},
    "rung-sides": {"actions": "whole", "sides": "all", "telling": 0.0},
    "rung-telling": {"actions": "whole", "sides": "all", "telling": 2.0},
    "rung-clean": {"actions": "whole", "sides": "all", "telling": 2.0, "flow_noise": 0.0},
}


def train(rung: str, seed: int, args: argparse.Namespace) -> VideoEncoder:
    """The encoder of a rung, which reads vectors; it is trained if it is not in `work`."""
    run = args.work / f"{rung}-{args.steps}-{args.batch_size}-{seed}"
    if not (run / SUMMARY).exists():
        shutil.rmtree(run, ignore_errors=True)
        budget = {"max_steps": args.steps, "batch_size": args.batch_size}
        given = SETTINGS | RUNGS[rung] | budget | {"seed": seed, "out": str(run)}
        pretrain(build(given), report=lambda *_: None)
    encoder = load_encoder(run).eval()
    encoder.read_flow_of_clips("vectors")
    return encoder


def main() -> None:
    args = _arguments()
    torch.set_num_threads(1)
    known = {(row["method"], row["seed"]) for row in rows_in(args.out)}
    wanted = [one for one in product(args.seeds, args.rungs) if one[::-1] not in known]
    encoders = [(seed, rung, train(rung, seed, args)) for seed, rung in wanted]
    for seed in args.seeds:
        if encoders and ("random", seed) not in known:
            encoders.append((seed, "random", make_untrained_twin(encoders[0][2], seed)))
    test = {"note": ""}
    if encoders and footage_here():
        tables = catalogs("original", args.work)
        found = extract_places([encoder for *_, encoder in encoders], tables, CLIPS)
        for (seed, rung, _), (spec, features) in zip(encoders, found, strict=True):
            for apart in ({}, {"standardize": True}):
                rows = score_places(spec, features, tables, CLIPS, seed, test | apart)
                append_and_show(args.out, rows, method=rung)
    for seed in args.seeds:
        own = [(rung, read_at_own_rate(one)) for at, rung, one in encoders if at == seed]
        if own:
            footage, names = figures(args.footage, seed), {id(one): rung for rung, one in own}
            described = extract_figures([one for _, one in own], footage)
            score_figures(args.out, described, footage, seed, names)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rungs", nargs="+", choices=list(RUNGS), default=list(RUNGS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--work", type=Path, default=Path("runs", "ladder"))
    parser.add_argument("--footage", type=Path, default=Path("runs", "figures"))
    parser.add_argument("--out", type=Path, default=ROWS / "ladder.jsonl.gz")
    return parser.parse_args()


if __name__ == "__main__":
    main()
