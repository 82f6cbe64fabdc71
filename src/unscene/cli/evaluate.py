"""`unscene evaluate`: scores of an encoder, by one of four protocols."""

from __future__ import annotations

from functools import partial
from typing import Any, get_type_hints

from jsonargparse import ArgumentParser, Namespace

from unscene.cli import DATA, DEVICE, ENCODER, WORKERS
from unscene.cli.help import (
    add_class_groups,
    add_first_group,
    command_parser,
    field_defaults,
    plain,
)
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
    width = max((len(row.metric) for row in rows), default=0)
    for row in rows:
        low, high = row.ci95
        chance = "" if row.chance is None else f"  chance {row.chance:.3f}"
        measured = f"{row.value:.3f}  [{low:.3f}, {high:.3f}]  n = {row.n}"
        print(f"{row.metric:<{width}}  {measured}{chance}")
    if values.protocol != "finetune" and given.out:  # fine-tuning has printed its folder
        print(f"rows: {expand_home(given.out)}")


def _frozen_flags(parser: ArgumentParser, protocol: str) -> None:
    role = {"retrieve": "queries", "probe": "test videos", "decouple": "videos"}[protocol]
    parser.add_argument("data", type=str, help=f"{role}: {DATA}")
    parser.add_argument("--encoder", type=str, help=ENCODER, required=True)
    if protocol == "retrieve":
        parser.add_argument("--train", type=str | None, help="gallery; without it, leave one out")
        parser.add_argument(
            "--mode",
            type=str,
            default="video",
            help="video: one feature per video, the mean over --clips; clip: one feature per clip "
            "(DSM); clip-order: the mean over --clips of the last feature map (Clip Order)",
        )
        parser.add_argument(
            "--apart",
            type=str | None,
            help="do not compare videos with equal values in this column",
        )
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
            "--short_side", type=int, default=0, help="shrink larger frames while reading; 0: never"
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
