"""`unscene views`: look before you train."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from unscene.commands import DATA
from unscene.errors import UnsceneError
from unscene.files import place
from unscene.methods.presets import METHODS, PRESETS
from unscene.train.config import RunConfig

HELP = "picture of anchors, positives, negatives and flow"


def flags(parser: ArgumentParser) -> None:
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
    parser.add_argument("--size", type=int, default=112, help="side of a view in pixels")
    parser.add_argument("--frames", type=int, default=16, help="frames of a clip")
    parser.add_argument(
        "--stride",
        type=int,
        default=4,
        help="distance of neighbouring frames, in frames of the video",
    )
    parser.add_argument(
        "--flow", type=str, help="of DSM and unscene: auto, dis (if nothing is said) or codec"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides videos and views")


def run(values: Namespace) -> None:
    if values.seed < 0:
        raise UnsceneError(f"seed {values.seed}: must not be negative")
    from unscene.train.preview import preview

    overrides = {name: values[name] for name in ("size", "frames", "stride", "flow")}
    path = preview(
        values.data,
        place(values.out),
        videos=values.videos,
        method=values.method,
        preset=values.preset,
        overrides={k: v for k, v in overrides.items() if v is not None},
        seed=values.seed,
    )
    print(f"picture: {path}")
