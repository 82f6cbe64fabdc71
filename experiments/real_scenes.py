"""Real footage: is an action recognized in places where it was never filmed?

Encoders are pre-trained without labels on arid6/train and the other real folders together
(`--pretrain all`; `unscene` and CMD skip videos that are shorter than clip and future; `--pretrain
long` are the others), on one of the evaluated folders only, or on generated footage (`--pretrain
moving-scenes`: the encoders of moving_scenes.py, from the folder `--scenes`). With `--begun` they
are pre-trained on generated footage first and on real footage after that, by the same method.

    arid6            six actions in the dark. Test videos, filmed in other places, are searched for
                     among the training videos and classified by a probe; and each training video
                     is searched for among those of *other scenes* (leave one scene out), which
                     gives more videos to score.
    tabletennis8     forehand or backhand, trained on one side of the table, tested on the other.

    python experiments/real_scenes.py --seeds 0 1 2       # rows in rows/real_scenes.jsonl.gz
    python experiments/real_scenes.py --pretrain arid6-train --stride 4 --steps 200
    python experiments/real_scenes.py --pretrain tabletennis8 --stride 1
    python experiments/real_scenes.py --pretrain arid6-train --stride 4 --steps 600 \
        --footage brightened

`--footage` selects what is read, in training and in the evaluation: the files as they are, or the
output of `unscene prepare`, with or without brightening. What is in the file of rows is not run
again; `--note` keeps other settings apart. Labels are read in the evaluation only.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from generated import biased, biased_run
from generated import training as generated
from real_tables import LIT, catalogs
from trained import METHODS, Training, append, flags, footage_here, rows_in

from unscene.data.catalog import Catalog
from unscene.encoders import VideoEncoder
from unscene.evaluate.features import Features, extract
from unscene.evaluate.probing import probe
from unscene.evaluate.retrieval import retrieve
from unscene.results.rows import Row, build_rows
from unscene.results.statistics import Score

SETTINGS: dict[str, Any] = {
    **{"encoder": "r3d-narrow", "frames": 8, "size": 56, "batch_size": 16},
    **{"key_momentum": 0.95, "shift_range": (2, 10), "short_side": 112, "workers": 1},
    **{"accelerator": "cpu", "devices": 1},
}
STEPS = 300
KS = (1, 5, 10)
GENERATED = "moving-scenes"


def main() -> None:
    args, tables = begin(real_flags("real_scenes", __doc__))
    known, training = rows_in(args.out), training_of(args)
    about = {"pretrain": args.pretrain, "stride": args.stride, "note": note_of(args)}
    for seed, method in product(args.seeds, args.methods):
        if training.done(known, method, seed, clips=args.clips, **about):
            continue
        encoder = encoder_of(method, seed, args, tables)
        rows = _rows(encoder, tables, seed, args)
        append(args.out, rows, method)
        shown = [f"{r.data} {r.split} {r.value:.3f}" for r in rows if r.metric.endswith("r1")]
        print(f"{method:<12} seed {seed}: {', '.join(shown)}", flush=True)


def begin(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, dict[str, Catalog]]:
    """The flags and the tables. Ends the experiment with a message if there is no footage."""
    args = parser.parse_args()
    if not footage_here():
        raise SystemExit
    torch.set_num_threads(args.threads)
    return args, catalogs(args.footage, args.work)


def encoder_of(
    method: str, seed: int, args: argparse.Namespace, tables: dict[str, Catalog]
) -> VideoEncoder:
    """The encoder that the flags ask for; its clips have the stride of the flags."""
    training = training_of(args)
    if args.pretrain == GENERATED:
        encoder = biased(method, seed, args.scenes)
        encoder.spec = replace(encoder.spec, stride=args.stride)
        return encoder
    if args.begun and method != "random":
        first = biased_run(method, seed, args.scenes)
        training = replace(training, settings=training.settings | {"encoder": str(first)})
    return training.encoder(method, tables[args.pretrain], seed)


def training_of(args: argparse.Namespace) -> Training:
    """The training of the encoders that the flags ask for."""
    if args.pretrain == GENERATED:
        given_too = {"changes": args.changes != "{}", "steps": args.steps is not None}
        for name, given in (given_too | {"begun": args.begun}).items():
            if given:
                raise SystemExit(f"--{name}: use it with moving_scenes.py, which trains them")
        return generated(args.scenes, "0.9-")
    settings = SETTINGS | {"stride": args.stride, "max_steps": args.steps or STEPS}
    name = f"{args.pretrain}-{args.stride}-{note_of(args)}"
    return Training(args.work, name, settings | json.loads(args.changes))


def note_of(args: argparse.Namespace) -> str:
    """The note of the rows: what is different from the first runs."""
    note = args.note or ("" if args.footage == "original" else args.footage)
    return f"{note}, begun on {GENERATED}" if args.begun else note


def _rows(
    encoder: VideoEncoder, tables: dict[str, Catalog], seed: int, args: argparse.Namespace
) -> list[Row]:
    def features(name: str) -> Features:
        videos = tables[name].videos
        return extract(encoder, videos, clips=args.clips, workers=1, short_side=112)

    def fingerprint(name: str, *sides: Features) -> str:
        return "+".join(replace(tables[name], videos=side.videos).fingerprint() for side in sides)

    # With the fingerprints of the queries and, where it is different, of the gallery.
    measured: list[tuple[str, str, str, str, dict[str, Score]]] = []
    if args.pretrain != "tabletennis8":
        train, test = features("arid6-train"), features("arid6-test")
        places = fingerprint("arid6-test", test) + "+" + fingerprint("arid6-train", train)
        scenes = fingerprint("arid6-train", train)
        apart = retrieve(train, train, ks=KS, apart="scene")
        measured += [
            ("arid6", "other places", "label", places, retrieve(test, train, ks=KS)),
            ("arid6", "other places", "label", places, probe(train, test, group="scene").scores),
            ("arid6", "leave one scene out", "label", scenes, apart),
        ]
    if args.pretrain != "arid6-train":
        strokes = features("tabletennis8")
        left, right = (_of(strokes, "side", side) for side in ("left", "right"))
        for split, query, gallery in (
            ("left, from right", left, right),
            ("right, from left", right, left),
        ):
            scores = retrieve(query, gallery, "stroke", ks=KS)
            scores |= probe(gallery, query, "stroke").scores
            both = fingerprint("tabletennis8", query, gallery)
            measured.append(("tabletennis8", split, "stroke", both, scores))
    return [
        row
        for data, split, label, videos, scores in measured
        for row in build_rows(
            encoder.spec,
            scores,
            data=data,
            split=split,
            label=label,
            fingerprint=videos,
            views=args.clips,
            seed=seed,
            test={"pretrain": args.pretrain, "note": note_of(args)},
        )
    ]


def _of(features: Features, column: str, value: str) -> Features:
    """The videos with one value in a column."""
    rows = [i for i, found in enumerate(features.labels(column)) if found == value]
    videos = tuple(features.videos[i] for i in rows)
    return replace(
        features, values=features.values[rows], videos=videos, owner=torch.arange(len(rows))
    )


def real_flags(name: str, text: str | None) -> argparse.ArgumentParser:
    """The flags that choose the encoder and the footage it is evaluated on."""
    parser = flags(name, text, methods=METHODS)
    parser.set_defaults(methods=["random", "moco", "dsm"])
    parser.add_argument(
        "--pretrain",
        choices=["all", "long", "arid6-train", "tabletennis8", GENERATED],
        default="all",
    )
    parser.add_argument("--begun", action="store_true", help=f"continue those of {GENERATED}")
    parser.add_argument("--scenes", type=Path, default=Path("runs", "moving_scenes"))
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--footage", choices=LIT, default="original")
    return parser


if __name__ == "__main__":
    main()
