"""`unscene pretrain`: learn an encoder from videos without labels."""

from __future__ import annotations

from dataclasses import fields
from typing import get_type_hints

from jsonargparse import ArgumentParser, Namespace

from unscene.cli import DATA, ENCODERS, placed
from unscene.cli.help import add_groups, field_defaults
from unscene.cli.settings_help import DISTURBANCES, of_methods
from unscene.methods.presets import METHODS
from unscene.methods.reads import check_read
from unscene.methods.settings import Settings
from unscene.train.config import RunConfig, asked, build, continue_config, describe

HELP = "learn an encoder from videos without labels"


_GROUPS = {
    "to begin with": (
        *("method", "preset", "encoder", "out", "epochs", "batch_size", "lr", "seed"),
        *("workers",),
    ),
    "the run": (
        *("max_steps", "save_every", "monitor", "threads", "precision", "devices"),
        *("accelerator", "sync_batchnorm", "encoder_options"),
    ),
    "what is read": ("frames", "stride", "size", "short_side", "flow"),
    "views": ("augmentation", "basic_on"),
    "optimiser": (
        *("optimizer", "momentum", "nesterov", "weight_decay", "clip_gradient", "schedule"),
        *("drops", "warmup"),
    ),
    "the contrast": (
        *("dim", "head", "temperature", "twin_momentum", "queue", "queue_of"),
        *("batch_negatives", "margin"),
    ),
    "DSM's disturbances": DISTURBANCES,
    "HDC": ("contrasts", "stages", "stage_weights", "sc_pool", "crop_first", "crop_reach"),
    "CMD and unscene": (
        *("tasks", "task_weights", "foretell", "motion_at", "motion_from", "motion_loss"),
        *("motion_frames", "motion_gap", "motion_negatives", "motion_reach", "motion_limit"),
        *("motion_corrected", "context_from", "predictor", "predictor_dim", "predictor_hidden"),
        *("scales", "side_encoders"),
    ),
}


def flags(parser: ArgumentParser) -> None:
    parser.usage = "%(prog)s DATA [flags]"
    parser.add_argument("data", nargs="?", type=str | None, help=DATA)
    texts = describe() | {
        "method": f"one of {', '.join(METHODS)}",
        "encoder": f"what is trained: one of {', '.join(ENCODERS)}, or a saved encoder, whose "
        "training goes on",
    }
    hints = get_type_hints(RunConfig) | get_type_hints(Settings)
    add_groups(parser, _GROUPS, hints, texts, field_defaults(RunConfig) | of_methods())


def run(values: Namespace) -> int:
    run, resume = asked(
        placed(values.as_dict(), "config", "out", "encoder"), RunConfig.out, build, continue_config
    )
    typed = (field.name for field in fields(Settings) if values.get(field.name) is not None)
    check_read(run.method, typed)
    from unscene.evaluate import monitor
    from unscene.train.pretrain import pretrain

    measures = {"decoupling": monitor.decoupling, "knn": monitor.neighbour}
    outcome = pretrain(run, resume=resume, monitor=measures.get(run.monitor))
    if outcome.account:
        print(outcome.account)
    return 0 if outcome.finished else 130
