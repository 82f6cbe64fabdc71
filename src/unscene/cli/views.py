"""`unscene views`: look before you train."""

from __future__ import annotations

from typing import get_type_hints

from jsonargparse import ArgumentParser, Namespace

from unscene.cli import DATA
from unscene.cli.help import add_fields
from unscene.cli.settings_help import DISTURBANCES, of_methods
from unscene.errors import UnsceneError
from unscene.files import expand_home
from unscene.methods.presets import METHODS, PRESETS
from unscene.methods.settings import Settings
from unscene.train.config import RunConfig, describe

HELP = "picture of anchors, positives, negatives and flow"

# What changes nothing that is drawn, such as the optimiser, is left out.
_GROUPS = {
    "what is read": ("frames", "stride", "size", "flow"),
    "views": ("augmentation", "basic_on"),
    "DSM's disturbances": DISTURBANCES,
    "HDC": ("contrasts", "crop_first", "crop_reach"),
    "CMD and unscene": (
        *("tasks", "foretell", "motion_at", "motion_from", "motion_frames", "motion_gap"),
        *("motion_limit", "motion_corrected", "context_from"),
    ),
}


def flags(parser: ArgumentParser) -> None:
    parser.usage = "%(prog)s DATA [flags]"
    parser.add_argument("data", type=str, help=DATA)
    parser.add_argument("--out", type=str, default="views.png", help="the picture (.png)")
    parser.add_argument("--videos", type=int, default=4, help="how many videos to draw")
    parser.add_argument(
        "--method",
        type=str,
        default=RunConfig.method,
        help=f"whose views, one of {', '.join(METHODS)}",
    )
    parser.add_argument(
        "--preset", type=str, default="default", help=f"one of {', '.join(PRESETS)}"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides videos and views")
    hints, texts, usual = get_type_hints(Settings), describe(Settings), of_methods()
    for title, names in _GROUPS.items():
        add_fields(parser.add_argument_group(title), names, hints, texts, usual)


def run(values: Namespace) -> None:
    if values.seed < 0:
        raise UnsceneError(f"seed {values.seed}: must not be negative")
    from unscene.preview.run import preview

    overrides = {name: values[name] for names in _GROUPS.values() for name in names}
    path = preview(
        values.data,
        expand_home(values.out),
        videos=values.videos,
        method=values.method,
        preset=values.preset,
        overrides={k: v for k, v in overrides.items() if v is not None},
        seed=values.seed,
    )
    print(f"picture: {path}")
