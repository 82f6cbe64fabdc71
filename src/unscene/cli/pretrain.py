"""`unscene pretrain`: learn an encoder from videos without labels."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import get_type_hints

from jsonargparse import ArgumentParser, Namespace

from unscene.cli import DATA
from unscene.cli.help import (
    add_all_settings,
    add_fields,
    add_first_group,
    add_method_flags,
    check_values,
    chosen_method,
    describe_methods,
    field_defaults,
    names_suffice,
)
from unscene.config import OptimizerSettings, config_of_flags, describe
from unscene.methods.registry import check_read, find_method, setting_names
from unscene.train.config import (
    CPU,
    OWN,
    RunConfig,
    build,
    describe_cpu_defaults,
    find_cpu_defaults,
    flat,
)

HELP = "learn an encoder from videos without labels"
_FIRST = (*("method", "preset", "encoder", "out", "epochs", "batch_size", "lr", "seed", "workers"),)
_RUN = tuple(name for name in OWN if name not in (*_FIRST, "data"))


def flags(parser: ArgumentParser, arguments: Sequence[str]) -> None:
    """Add the flags: those of the run, and the settings that the chosen method reads."""
    parser.usage = "%(prog)s DATA [flags]"
    parser.add_argument("data", nargs="?", type=str | None, help=DATA)
    if names_suffice(arguments, (*OWN, "config", "resume")):
        # Names alone, so that a mistake is answered before torch is imported.
        _add_run_flags(parser, field_defaults(RunConfig), describe(RunConfig))
        add_all_settings(parser, _FIRST)
        return
    check_values(arguments)
    name = chosen_method(arguments)
    entry = find_method(name)
    from unscene.encoders import known_encoders  # the method has imported torch already

    texts = describe(RunConfig) | {
        "method": f"one of {describe_methods()}",
        "preset": f"where settings that are not given come from: {', '.join(entry.presets)}",
        "encoder": f"architecture to train: one of {', '.join(known_encoders())}, or a saved "
        "encoder or published checkpoint (FILE.pth), which is trained further",
    }
    small = " ".join(f"--{key} {value}" for key, value in CPU.items() if key != "side_encoders")
    parser.epilog = (
        f"Settings are those of {name}; --method X --help shows the settings of X. Where no GPU is "
        f"used and neither an encoder nor a preset is given, the defaults are {small}."
    )
    usual = entry.settings(**entry.presets["default"])
    defaults = field_defaults(RunConfig) | {
        key: f"default: {getattr(usual, key):.4g}" for key in ("epochs", "batch_size", "lr")
    }
    defaults["encoder"] += f", on a CPU {CPU['encoder']}"
    _add_run_flags(parser, defaults, texts)
    add_method_flags(parser, entry, entry.settings.names(), setting_names(), skip=_FIRST)


def _add_run_flags(parser: ArgumentParser, defaults: dict[str, str], texts: dict[str, str]) -> None:
    hints = get_type_hints(RunConfig) | get_type_hints(OptimizerSettings)
    texts = describe(OptimizerSettings) | texts
    add_first_group(parser, _FIRST, hints, texts, defaults)
    add_fields(parser.add_argument_group("the run"), _RUN, hints, texts, defaults)


def run(values: Namespace) -> int:
    typed = values.as_dict()
    config, resume = config_of_flags(typed, RunConfig.out, build, flat)
    entry = find_method(config.method)
    given = {*setting_names(), *(field.name for field in fields(entry.settings))}
    check_read(entry, sorted(name for name in given if values.get(name) is not None))
    # After the checks: looking for a GPU imports torch.
    if not (resume or values.config) and (chosen := find_cpu_defaults(typed)):
        print(describe_cpu_defaults(chosen), file=sys.stderr)
        config, _ = config_of_flags(typed | chosen, RunConfig.out, build, flat)
    from unscene.api import MEASURES
    from unscene.train.pretrain import pretrain

    outcome = pretrain(config, resume=resume, monitor=MEASURES.get(config.monitor))
    if outcome.account:
        print(outcome.account)
    if outcome.account and outcome.finished:
        print("\nnext:", *outcome.commands, sep="\n  ")
    return 0 if outcome.finished else 130
