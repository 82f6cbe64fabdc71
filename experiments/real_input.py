"""Real footage from end to end: reading, preview, training, evaluation.

For every folder: how many videos can be used, a picture of its views, retrieval with an untrained
encoder, a short DSM pre-training, retrieval again. 200 steps on a CPU teach little: this shows that
real files work and how fast, not how good the method is. For `codecs`: which files can be read.
Only retrieval has an interval; for other numbers `ci95` repeats the value.

    python experiments/real_input.py            # rows in rows/real_input.jsonl.gz and a table
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from trained import DATA, ROWS, append, footage_here

from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog
from unscene.encoders import VideoEncoder, create_encoder, load_encoder
from unscene.errors import VideoError
from unscene.evaluate.features import extract
from unscene.evaluate.retrieval import retrieve
from unscene.preview.run import preview
from unscene.results.rows import Row
from unscene.results.statistics import Score
from unscene.train.config import build
from unscene.train.pretrain import Outcome, pretrain
from unscene.video.decode import read_clips
from unscene.video.sampling import Request, clip_offsets

STRIDES = {"arid6": 4, "tabletennis8": 1, "ucf101_pool": 4, "hmdb51_pool": 4}
ENDS = 20  # steps at either end of a run over which the loss is averaged


def main() -> None:
    args = _arguments()
    if not footage_here():
        return
    torch.set_num_threads(args.threads)
    table = [
        "| folder | used / skipped | recall@1 random | after DSM | n | loss | clips/s | waiting |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in args.folders:
        with tempfile.TemporaryDirectory() as temporary:
            found = _folder(name, Path(temporary), args)
        table.append(found[1])
        append(args.out, found[0])
    if args.codecs:
        found_rows, codecs = _codecs(DATA / "codecs")
        append(args.out, found_rows)
        table += ["", *codecs]
    print("\n".join(["", *table]))


def _folder(name: str, work: Path, args: argparse.Namespace) -> tuple[list[Row], str]:
    """Everything about one folder: its rows and its line of the table."""
    folder, stride = DATA / name, STRIDES[name]
    split = (folder / "train").is_dir()
    train = open_catalog(folder / "train" if split else folder)
    test = open_catalog(folder / "test") if split else None
    both = [catalog for catalog in (train, test) if catalog]
    print(*(f"\n{catalog.source}: {catalog.summary()}" for catalog in both), flush=True)
    clip = {"size": args.size, "frames": args.frames, "stride": stride}
    picture = preview(train.source, work / f"{name}.png", overrides=clip, seed=args.seed)
    print(f"views: {picture.name}, {picture.stat().st_size / 1e3:.0f} kB", flush=True)

    torch.manual_seed(args.seed)
    encoder = create_encoder("r3d-narrow")
    encoder.spec = replace(encoder.spec, **clip)
    before = _recall(encoder, train, test, args)
    given = {
        **{"data": train.source, "out": str(work / "run"), "encoder": "r3d-narrow", **clip},
        **{
            "max_steps": args.steps,
            "batch_size": args.batch_size,
            "key_momentum": 0.95,
            "augmentation": args.augmentation,
            "workers": 1,
        },
        **{"shift_range": (2, 10), "seed": args.seed, "accelerator": "cpu", "devices": 1},
    }
    losses: list[float] = []
    outcome = pretrain(
        build(given),
        catalog=train,
        report=lambda step, total, metrics: losses.append(metrics["loss"]),
    )
    print(outcome.account, flush=True)
    after = _recall(load_encoder(work / "run"), train, test, args)
    first, last = (sum(part) / len(part) for part in (losses[:ENDS], losses[-ENDS:]))
    rows = [
        _row(name, "random", "retrieval_r1", before, args, train, test),
        _row(name, "dsm", "retrieval_r1", after, args, train, test, outcome),
    ]
    rate = outcome.clips_per_second
    others = {"loss_first_20": first, "loss_last_20": last}
    others |= {"clips_per_second": rate, "waiting": outcome.waiting}
    for metric, value in others.items():
        number = Score(value, (value, value), len(train))
        rows.append(_row(name, "dsm", metric, number, args, train, test, outcome))
    used, skipped = sum(map(len, both)), sum(len(catalog.skipped) for catalog in both)
    return rows, (
        f"| {name} | {used} / {skipped} | {_cell(before)} | {_cell(after)} | {before.n} | "
        f"{first:.2f} -> {last:.2f} | {rate:.0f} | {outcome.waiting:.0%} |"
    )


def _cell(found: Score) -> str:
    return f"{found.value:.2f} [{found.ci95[0]:.2f}, {found.ci95[1]:.2f}]"


def _recall(
    encoder: VideoEncoder, train: Catalog, test: Catalog | None, args: argparse.Namespace
) -> Score:
    known = extract(encoder, train.videos, clips=args.clips)
    query = extract(encoder, test.videos, clips=args.clips) if test else known
    for skipped in {*known.skipped, *query.skipped}:
        print(f"  not read: {skipped.path}: {skipped.reason}")
    return retrieve(query, known, ks=(1,))["retrieval_r1"]


def _row(
    name: str,
    method: str,
    metric: str,
    found: Score,
    args: argparse.Namespace,
    train: Catalog,
    test: Catalog | None,
    outcome: Outcome | None = None,
) -> Row:
    searched = "test" if test else "leave-one-out"
    split = searched if metric.startswith("retrieval") else "train"
    return Row(
        method=method,
        data=name,
        split=split,
        label="label",
        metric=metric,
        value=found.value,
        ci95=found.ci95,
        n=found.n,
        seed=args.seed,
        seconds=round(outcome.seconds, 1) if outcome else 0.0,
        encoder="r3d-narrow",
        fingerprint=(test or train).fingerprint(),
        views=args.clips,
        steps=outcome.steps if outcome else 0,
        config={
            "size": args.size,
            "frames": args.frames,
            "stride": STRIDES[name],
            "augmentation": args.augmentation,
        },
    )


def _codecs(folder: Path) -> tuple[list[Row], list[str]]:
    """Open every file, then decode eight frames of it."""
    catalog = open_catalog(folder)
    read, vectors = Counter[str](), Counter[str]()
    failed = [(s.path, s.reason) for s in catalog.skipped]
    for video in catalog.videos:
        try:
            read_clips(video.path, Request(video.duration / 2, {"clip": clip_offsets(8, 2)}))
        except VideoError as error:
            failed.append((video.path, error.reason))
            continue
        assert video.info is not None  # of every video that a catalog holds
        read[video.info.codec] += 1
        vectors[video.info.codec] += video.info.vectors
    total = sum(read.values()) + len(failed)
    lines = ["| codec | files read | with motion vectors |", "|---|---|---|"]
    lines += [f"| {codec} | {count} | {vectors[codec]} |" for codec, count in read.most_common()]
    lines += ["", f"{sum(read.values())} of {total} files read. Not read:"]
    failed = [(str(Path(path).relative_to(folder.absolute())), why) for path, why in failed]
    lines += [f"- {path}: {why}" for path, why in failed]
    share = sum(read.values()) / total
    config = {"read": dict(read), "failed": dict(failed)}
    row = Row("none", "codecs", "all", "", "read", share, (share, share), total, 0, 0.0)
    return [replace(row, config=config, fingerprint=catalog.fingerprint())], lines


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    numbers = {"seed": 0, "steps": 200, "size": 56, "frames": 8, "batch_size": 16, "clips": 4}
    for name, default in {**numbers, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--augmentation", default="paper")
    parser.add_argument("--folders", nargs="*", choices=list(STRIDES), default=list(STRIDES))
    parser.add_argument("--no-codecs", dest="codecs", action="store_false")
    parser.add_argument("--out", type=Path, default=ROWS / "real_input.jsonl.gz")
    return parser.parse_args()


if __name__ == "__main__":
    main()
