"""`unscene demo`: the whole story."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from unscene.files import expand_home

HELP = "the whole story on generated footage, in minutes"


def flags(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=str, default="runs/demo", help="folder of the demo")
    parser.add_argument("--seed", type=int, default=0, help="decides footage and trainings")


def run(values: Namespace) -> None:
    from unscene.demo.run import demo

    demo(expand_home(values.out), seed=values.seed)
