"""`unscene evaluate`: scores of an encoder, by one of four protocols."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_type_hints

from jsonargparse import ArgumentParser, Namespace

from unscene.cli import DATA, DEVICE, ENCODER, INPUT, WORKERS
from unscene.cli.help import (
    add_class_groups,
    add_first_group,
    command_parser,
    field_defaults,
    plain,
)
from unscene.config import DEFAULT_ENCODER
from unscene.files import expand_home

HELP = "evaluate an encoder: retrieval, probes, fine-tuning, decoupling score"

_PROTOCOLS = {
    "retrieve": "retrieval: is a video of the same class among the nearest?",
    "probe": "logistic regression and nearest neighbors on frozen features",
    "finetune": "train encoder and classifier on some labels, then test",
    "decouple": "decoupling score, without labels: is the same motion nearer than the same scene?",
}

# Flags of a fine-tuning that most people need; the others follow in groups.
_FIRST = (
    *("train", "encoder", "out", "label", "labels", "preset", "epochs", "batch_size", "lr"),
    *("seed", "workers"),
)


def flags(parser: ArgumentParser) -> None:
    below = parser.add_subcommands(dest="protocol", title="protocols", metavar="PROTOCOL")
    for name, text in _PROTOCOLS.items():
        sub = command_parser(below, name, f"unscene evaluate {name}", text)
        _finetune_flags(sub) if name == "finetune" else _frozen_flags(sub, name)


def run(values: Namespace) -> None:
    given = values[values.protocol]
    if values.protocol == "finetune":
        rows = _finetune(given.as_dict())
    else:
        rows = _frozen(values.protocol, given)
    print(_format_scores(rows), end="")
    if values.protocol == "finetune":  # which has printed its folder
        _point_to_baseline(rows)
    elif given.out:
        print(f"rows: {expand_home(given.out)}")


def _format_scores(rows: Sequence[Any]) -> str:
    """A line for each metric: the encoder, an untrained network beside it, and chance."""
    from unscene.results.rows import UNTRAINED

    ours = [row for row in rows if not row.twin_of]
    if not ours:  # in all processes but the first
        return ""
    twins = {row.metric: row for row in rows if row.twin_of}
    heading = ours[0].name or ours[0].method
    if heading == UNTRAINED:
        heading = "untrained"
    lines = [["metric", heading, *(["untrained"] if twins else []), "chance", "n"]]
    for row in ours:
        cells = [row, *([twins[row.metric]] if twins else [])]
        chance = "" if row.chance is None else f"{row.chance:.3f}"
        lines.append([row.metric, *map(_format_score, cells), chance, str(row.n)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in lines
    ]
    note = "[95 % confidence interval]"
    if twins:
        note += "; untrained: an untrained network of the same architecture, by the same protocol"
    return "".join(f"{line.rstrip()}\n" for line in [*text, note])


def _point_to_baseline(rows: Sequence[Any]) -> None:
    """Say how to fine-tune an untrained network too, which is not done unasked: it takes hours."""
    from unscene.results.rows import UNTRAINED

    if rows and rows[0].method != UNTRAINED and not rows[-1].twin_of:
        out = shlex.quote(str(rows[0].config["out"]))
        print(
            "An untrained network of the same architecture, the yardstick of these numbers, takes "
            f"as long again:\n  unscene evaluate finetune --resume --out {out} --baseline true"
        )


def _format_score(row: Any) -> str:
    low, high = row.ci95
    return f"{row.value:.3f} [{low:.3f}, {high:.3f}]"


def _frozen_flags(parser: ArgumentParser, protocol: str) -> None:
    role = {"retrieve": "queries", "probe": "test videos", "decouple": "videos"}[protocol]
    parser.add_argument("data", type=str, help=f"{role}: {DATA}")
    parser.add_argument("--encoder", type=str, default=DEFAULT_ENCODER, help=ENCODER)
    reads: Any = Literal["rgb", "flow", "vectors"] | None
    parser.add_argument("--input", dest="reads", type=reads, help=INPUT)
    if protocol == "retrieve":
        _retrieve_flags(parser)
    if protocol == "probe":
        parser.add_argument("--train", type=str | None, help="training set")
        parser.add_argument(
            "--group", type=str | None, help="column whose groups are validated whole"
        )
    if protocol != "decouple":
        parser.add_argument("--label", type=str, default="label", help="column of the classes")
        parser.add_argument(
            "--stride", type=int, default=0, help="of the frames of a clip; 0: the encoder's"
        )
        parser.add_argument(
            "--short_side",
            type=int,
            default=0,
            help="shrink larger frames to this short side while reading; 0: to 4 times the view",
        )
    parser.add_argument(
        "--no-baseline",
        dest="baseline",
        action="store_false",
        help="leave out the untrained network of the same architecture, which doubles the "
        "encoder's part of the time",
    )
    clips = 1 if protocol == "decouple" else 10
    parser.add_argument("--clips", type=int, default=clips, help="clips per video")
    parser.add_argument("--workers", type=int, default=2, help=WORKERS)
    parser.add_argument("--batch_size", type=int, default=16, help="clips per batch")
    parser.add_argument("--device", type=str, default="auto", help=DEVICE)
    parser.add_argument(
        "--out",
        type=str | None,
        help="add the rows to this .jsonl file; rows of the same encoder, videos and settings are "
        "replaced",
    )


def _retrieve_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--train", type=str | None, help="gallery; without it, leave one out")
    parser.add_argument(
        "--mode",
        type=str,
        default="video",
        help="video: one feature per video, the mean over --clips; clip: one feature per clip "
        "(DSM); clip-order: the mean over --clips of the last feature map (Clip Order)",
    )
    parser.add_argument(
        "--ks",
        nargs="+",
        type=int,
        help="values of K of recall (default: those of 1 5 10 20 50 up to half the number of "
        "classes)",
    )
    parser.add_argument(
        "--apart",
        type=str | None,
        help="do not compare videos with equal values in this column",
    )
    parser.add_argument(
        "--standardize",
        action="store_true",
        help="compare features less the gallery's mean, divided by its deviation; histograms (hof, "
        "mbh) often gain by it",
    )


def _frozen(protocol: Any, given: Namespace) -> list[Any]:
    from unscene.evaluate.run import evaluate, evaluate_decoupling

    measure: Any = evaluate_decoupling if protocol == "decouple" else partial(evaluate, protocol)
    values = given.as_dict()
    data, encoder, out = (values.pop(name) for name in ("data", "encoder", "out"))
    return measure(data, encoder, out=expand_home(out) if out else None, **values)


def _finetune_flags(parser: ArgumentParser) -> None:
    from unscene.config import describe
    from unscene.evaluate.finetuning.config import PRESETS, FinetuneConfig

    parser.usage = "%(prog)s DATA --train TRAIN --encoder ENCODER [flags]"
    parser.add_argument("data", nargs="?", type=str | None, help=f"the test: {DATA}")
    hints, texts = get_type_hints(FinetuneConfig), describe(FinetuneConfig)
    usual = field_defaults(FinetuneConfig)
    usual |= {name: f"default: {plain(value)}" for name, value in PRESETS["default"].items()}
    add_first_group(parser, _FIRST, hints, texts, usual)
    rest = [name for name in hints if name not in (*_FIRST, "data")]
    add_class_groups(parser, FinetuneConfig, rest, usual)


def _finetune(values: dict[str, Any]) -> list[Any]:
    from unscene.config import config_of_flags
    from unscene.evaluate.finetuning.config import FinetuneConfig, build, flat

    config, resume = config_of_flags(values, FinetuneConfig.out, build, flat)
    from unscene.evaluate.finetuning.run import finetune

    return finetune(config, resume=resume)
