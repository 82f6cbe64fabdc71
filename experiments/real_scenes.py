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
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from generated import biased, biased_run
from generated import training as generated
from real_tables import LIT, catalogs
from trained import METHODS, Training, append, flags, footage_here, rows_in

from unscene.data.catalog import Catalog
from unscene.encoders import EncoderSpec, VideoEncoder
from unscene.evaluate.features import Features, extract_together
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
_Scores = dict[str, Score]
EVALUATED = ("arid6-train", "arid6-test", "tabletennis8")


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
    left_out = {"tabletennis8": ("arid6-train", "arid6-test"), "arid6-train": ("tabletennis8",)}
    evaluated = {k: v for k, v in tables.items() if k not in left_out.get(args.pretrain, ())}
    ((spec, features),) = extract_places([encoder], evaluated, args.clips)
    test = {"pretrain": args.pretrain, "note": note_of(args)}
    return score_places(spec, features, tables, args.clips, seed, test)


def extract_places(
    encoders: Sequence[VideoEncoder], tables: dict[str, Catalog], clips: int
) -> list[tuple[EncoderSpec, dict[str, Features]]]:
    """Features of the evaluated tables, for encoders that take the same clips."""
    found: list[dict[str, Features]] = [{} for _ in encoders]
    for name in EVALUATED:
        if name in tables:
            videos = tables[name].videos
            of_all = extract_together(
                encoders, videos, clips=clips, workers=1, short_side=max(112, encoders[0].spec.size)
            )
            for features, own in zip(of_all, found, strict=True):
                own[name] = features
    return [(encoder.spec, own) for encoder, own in zip(encoders, found, strict=True)]


def score_places(
    spec: EncoderSpec,
    features: dict[str, Features],
    tables: dict[str, Catalog],
    clips: int,
    seed: int,
    test: dict[str, Any],
) -> list[Row]:
    """Rows of all tests whose features there are. The probe always standardizes features, so it is
    left out where `test` asks for standardized ones."""

    def fingerprint(name: str, *sides: Features) -> str:
        return "+".join(replace(tables[name], videos=side.videos).fingerprint() for side in sides)

    standardize = bool(test.get("standardize"))
    search = partial(retrieve, ks=KS, standardize=standardize)

    def classify(
        known: Features, query: Features, label: str = "label", group: str | None = None
    ) -> _Scores:
        return {} if standardize else probe(known, query, label, group=group).scores

    # With the fingerprints of the queries and, where it is different, of the gallery.
    measured: list[tuple[str, str, str, str, _Scores]] = []
    if "arid6-train" in features:
        train, query = features["arid6-train"], features["arid6-test"]
        places = fingerprint("arid6-test", query) + "+" + fingerprint("arid6-train", train)
        apart = search(train, train, apart="scene")
        measured += [
            ("arid6", "other places", "label", places, search(query, train)),
            ("arid6", "other places", "label", places, classify(train, query, group="scene")),
            ("arid6", "leave one scene out", "label", fingerprint("arid6-train", train), apart),
        ]
    if "tabletennis8" in features:
        strokes = features["tabletennis8"]
        left, right = (_of(strokes, "side", side) for side in ("left", "right"))
        for split, query, gallery in (
            ("left, from right", left, right),
            ("right, from left", right, left),
        ):
            scores = search(query, gallery, "stroke")
            scores |= classify(gallery, query, "stroke")
            both = fingerprint("tabletennis8", query, gallery)
            measured.append(("tabletennis8", split, "stroke", both, scores))
    return [
        row
        for data, split, label, videos, scores in measured
        for row in build_rows(
            spec,
            scores,
            data=data,
            split=split,
            label=label,
            fingerprint=videos,
            views=clips,
            seed=seed,
            test=test,
        )
    ]


def _of(features: Features, column: str, value: str) -> Features:
    """The videos with one value in a column."""
    rows = [i for i, found in enumerate(features.labels(column)) if found == value]
    videos = tuple(features.videos[i] for i in rows)
    return replace(
        features,
        values=features.values[rows],
        videos=videos,
        owner=torch.arange(len(rows)),
        passed=(),  # of these alone
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
