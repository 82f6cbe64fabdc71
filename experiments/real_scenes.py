"""Real footage, other scenes: is an action found again where it was never filmed?

Pre-trained without labels on arid6/train and the other real folders together (`--pretrain all`), or
on the folder that is asked about alone; then

    arid6            six actions in the dark. Test videos, filmed in other places, are searched for
                     among the training videos and probed; and each training video among those of
                     *other scenes* (leave one scene out), which gives more videos to score.
    tabletennis8     forehand or backhand, learnt on one side of the table, asked on the other.

    python experiments/real_scenes.py --seeds 0 1 2       # rows in real_scenes.jsonl
    python experiments/real_scenes.py --pretrain arid6-train --stride 4
    python experiments/real_scenes.py --pretrain tabletennis8 --stride 1
    python experiments/real_scenes.py --pretrain arid6-train --stride 4 --footage brightened

`--footage` says what is read, in training and in the evaluation: the files as they are, or what
`unscene prepare` makes of them, as they are lit or brightened.
What stands in the file already is not run again. Labels are read in the evaluation only.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from trained import DATA, METHODS, Training, append, flags, footage_here, known

from unscene.encoders import VideoEncoder
from unscene.evaluate.bootstrap import Score
from unscene.evaluate.features import Features, extract
from unscene.evaluate.probe import probe
from unscene.evaluate.retrieve import retrieve
from unscene.evaluate.rows import Row, rows_of
from unscene.video import prepare
from unscene.video.catalog import Catalog, open_catalog
from unscene.video.prepare_plan import make_plan
from unscene.video.transcode import Recipe

SETTINGS: dict[str, Any] = {
    **{"encoder": "r3d-narrow", "frames": 8, "size": 56, "batch_size": 16},
    **{"twin_momentum": 0.95, "shift_range": (2, 10), "short_side": 112, "workers": 1},
    **{"accelerator": "cpu", "devices": 1},
}
KS = (1, 5, 10)


def main() -> None:
    args = _arguments()
    if not footage_here():
        return
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    args.note = args.note or ("" if args.footage == "original" else args.footage)
    place = _footage(args)
    settings = SETTINGS | {"stride": args.stride, "max_steps": args.steps}
    settings |= json.loads(args.changes)
    training = Training(args.work, f"{args.pretrain}-{args.stride}-{args.note}", settings)
    tables = {name: open_catalog(_table(name, place, args.work)) for name in _TABLES}
    for seed in args.seeds:
        for method in args.methods:
            setting = (args.pretrain, args.stride, args.note)
            if (method, seed, *setting) in known(args.out, "pretrain", "stride", "note"):
                continue
            encoder = training.encoder(method, tables[args.pretrain], seed)
            rows = _rows(encoder, tables, seed, args)
            append(args.out, rows, method)
            shown = [f"{r.data} {r.split} {r.value:.3f}" for r in rows if r.metric.endswith("r1")]
            print(f"{method:<12} seed {seed}: {', '.join(shown)}", flush=True)


def _rows(
    encoder: VideoEncoder, tables: dict[str, Catalog], seed: int, args: argparse.Namespace
) -> list[Row]:
    def features(name: str) -> Features:
        videos = tables[name].videos
        return extract(encoder, videos, clips=args.clips, workers=1, short_side=112)

    measured: list[tuple[str, str, str, dict[str, Score]]] = []
    if args.pretrain != "tabletennis8":
        train, test = features("arid6-train"), features("arid6-test")
        measured += [
            ("arid6", "other places", "label", retrieve(test, train, ks=KS)),
            ("arid6", "other places", "label", probe(train, test, group="scene").scores),
            ("arid6", "leave one scene out", "label", retrieve(train, train, ks=KS, apart="scene")),
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
            measured.append(("tabletennis8", split, "stroke", scores))
    return [
        row
        for data, split, label, scores in measured
        for row in rows_of(
            encoder.spec,
            scores,
            data=data,
            split=split,
            label=label,
            fingerprint=tables[args.pretrain].fingerprint(),
            views=args.clips,
            seed=seed,
            test={"pretrain": args.pretrain, "note": args.note},
        )
    ]


def _of(features: Features, column: str, value: str) -> Features:
    """The videos with one value in a column."""
    rows = [i for i, found in enumerate(features.labels(column)) if found == value]
    videos = tuple(features.videos[i] for i in rows)
    return replace(
        features, values=features.values[rows], videos=videos, owner=torch.arange(len(rows))
    )


def _footage(args: argparse.Namespace) -> Path:
    """The folder of the real folders, prepared if that is asked for."""
    if args.footage == "original":
        return DATA
    place: Path = args.work / args.footage
    recipe = Recipe(short_side=80, brighten=args.footage == "brightened")
    for name in ("arid6", "tabletennis8", "ucf101_pool", "hmdb51_pool"):
        plan = make_plan(DATA / name, place / name, recipe)
        prepare.run(plan, prepare.check_plan(plan, workers=1), workers=1)
    return place


def _arid(place: Path, part: str) -> list[dict[str, str]]:
    """Columns label and scene; in the training part the scene is in the name: Class_scene_take."""
    rows = []
    for path in sorted((place / "arid6" / part).rglob("*.mp4")):
        pieces = path.stem.split("_")
        scene = pieces[1] if len(pieces) == 3 else "elsewhere"
        rows.append({"path": str(path), "label": path.parent.name, "scene": scene})
    return rows


def _tennis(place: Path) -> list[dict[str, str]]:
    """Columns side, hand and stroke, from folders side_hand_stroke_shot."""
    rows = []
    for path in sorted((place / "tabletennis8").glob("*/*.*")):
        side, hand, stroke = path.parent.name.split("_")[:3]
        rows.append(
            {"path": str(path), "label": path.parent.name, "side": side, "hand": hand}
            | {"stroke": stroke}
        )
    return rows


def _all(place: Path) -> list[dict[str, str]]:
    pools = [p for name in ("ucf101_pool", "hmdb51_pool") for p in (place / name).glob("*/*.*")]
    paths = [row["path"] for row in _arid(place, "train") + _tennis(place)]
    return [{"path": path} for path in paths + sorted(map(str, pools))]


_TABLES: dict[str, Callable[[Path], list[dict[str, str]]]] = {
    "all": _all,
    "arid6-train": partial(_arid, part="train"),
    "arid6-test": partial(_arid, part="test"),
    "tabletennis8": _tennis,
}


def _table(name: str, place: Path, work: Path) -> Path:
    """One of the tables above as a CSV, which is DATA."""
    rows, path = _TABLES[name](place), work / f"{place.name}-{name}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def _arguments() -> argparse.Namespace:
    parser = flags("real_scenes", __doc__, methods=METHODS)
    parser.set_defaults(methods=["random", "moco", "dsm"], steps=300)
    parser.add_argument("--pretrain", choices=["all", "arid6-train", "tabletennis8"], default="all")
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument(
        "--footage", choices=["original", "prepared", "brightened"], default="original"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
