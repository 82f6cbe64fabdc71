"""`unscene pretrain`: learn an encoder from videos without labels."""

from __future__ import annotations

from dataclasses import fields
from typing import get_type_hints

from jsonargparse import ArgumentParser, Namespace

from unscene.commands import DATA
from unscene.methods.presets import METHODS
from unscene.methods.reads import check_read
from unscene.methods.settings import Settings
from unscene.train.config import RunConfig, asked, build, continue_config, describe

HELP = "learn an encoder from videos without labels"


def flags(parser: ArgumentParser) -> None:
    parser.add_argument("data", nargs="?", type=str | None, help=DATA)
    parser.add_argument(
        "--config", type=str | None, help="a config.yaml or recipe; flags given beside it win"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in --out from its last checkpoint"
    )
    defaults = RunConfig(data="")
    texts = describe()
    for owner, base in ((RunConfig, defaults), (Settings, None)):
        hints = get_type_hints(owner)
        for name, hint in hints.items():
            if name in ("data", "settings"):
                continue
            shown = f" (default: {getattr(base, name)})" if base is not None else " (see --preset)"
            text = texts.get(name, "") + shown
            if name == "method":
                text = f"one of {', '.join(METHODS)} (default: dsm)"
            parser.add_argument(f"--{name}", type=hint | None, default=None, help=text)


def run(values: Namespace) -> int:
    run, resume = asked(values.as_dict(), RunConfig.out, build, continue_config)
    typed = (field.name for field in fields(Settings) if values.get(field.name) is not None)
    check_read(run.method, typed)
    from unscene.evaluate import monitor
    from unscene.train.pretrain import pretrain

    measures = {"decoupling": monitor.decoupling, "knn": monitor.neighbour}
    outcome = pretrain(run, resume=resume, monitor=measures.get(run.monitor))
    if outcome.account:
        print(outcome.account)
    return 0 if outcome.finished else 130
