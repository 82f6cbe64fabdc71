"""ARID: six actions in the dark, trained with few labels per class, evaluated in other places.

The encoders of real_scenes.py (trained first if they do not exist) are fine-tuned on 1, 5 and 25
labeled videos of each class, all on the same videos and for the same number of steps, and evaluated
on arid6/test. `random` starts from an untrained encoder: what the labels alone achieve.

    python experiments/few_labels.py --pretrain moving-scenes --stride 4 --footage brightened

Rows go to experiments/rows/few_labels.jsonl.gz. What is in that file is not run again.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from real_scenes import SETTINGS, begin, encoder_of, note_of, real_flags, training_of
from trained import append, rows_in

from unscene.data.catalog import Catalog
from unscene.encoders import VideoEncoder, save_encoder
from unscene.evaluate.finetuning.config import build
from unscene.evaluate.finetuning.run import finetune
from unscene.results.rows import Row

STEPS = 100


def main() -> None:
    parser = real_flags("few_labels", __doc__)
    parser.add_argument("--labels", type=int, nargs="+", default=[1, 5, 25])
    args, tables = begin(parser)
    known, training = rows_in(args.out), training_of(args)
    about = {"pretrain": args.pretrain, "stride": args.stride, "note": note_of(args)}
    for seed, method, labels in product(args.seeds, args.methods, args.labels):
        if not training.done(known, method, seed, clips=args.clips, labels=labels, **about):
            encoder = encoder_of(method, seed, args, tables)
            rows = _rows(encoder, tables, labels, seed, args)
            append(args.out, rows, method)
            print(f"{method:<12} seed {seed}, {labels} labels: {rows[0].value:.3f}", flush=True)


def _rows(
    encoder: VideoEncoder,
    tables: dict[str, Catalog],
    labels: int,
    seed: int,
    args: argparse.Namespace,
) -> list[Row]:
    shared = {name: SETTINGS[name] for name in ("batch_size", "short_side", "workers")}
    train, test = tables["arid6-train"], tables["arid6-test"]
    with TemporaryDirectory(dir=args.work) as folder:
        save_encoder(encoder, Path(folder, "pretrained"))
        config = build(
            shared
            | {"data": test.source, "train": train.source, "encoder": f"{folder}/pretrained"}
            | {"out": f"{folder}/run", "labels": labels, "validation": 0.0, "seed": seed}
            | {"max_steps": STEPS, "min_steps": STEPS, "clips": args.clips}
            | {"accelerator": "cpu", "devices": 1}
        )
        found = finetune(config, train=train, test=test, report=lambda *_: None)
    about = {"pretrain": args.pretrain, "note": note_of(args), "labels": labels}
    return [
        replace(row, data="arid6", split="other places", test=row.test | about) for row in found
    ]


if __name__ == "__main__":
    main()
