"""What --help says of the settings of methods, wherever a command takes them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields

from unscene.cli.help import plain
from unscene.methods.presets import METHODS, resolve
from unscene.methods.reads import READS
from unscene.methods.settings import Settings

DISTURBANCES = (
    *("warp", "warp_points", "warp_reach", "flow_scaling", "flow_max", "shift"),
    *("shift_range", "shift_loops", "other_scene"),
)


def of_methods() -> dict[str, str]:
    """Of every setting, the methods that read it, if not all do, and what they take for it."""
    presets = {method: resolve(method) for method in METHODS}
    told = {}
    for field in fields(Settings):
        values = defaultdict(list)
        for method in METHODS:
            if field.name in READS[method]:
                values[plain(getattr(presets[method], field.name))].append(method)
        usual, *others = sorted(values, key=lambda value: -len(values[value]))
        readers = [method for method in METHODS if field.name in READS[method]]
        of = "" if len(readers) == len(METHODS) else f"of {', '.join(readers)}; "
        differing = [f"; {', '.join(values[value])}: {value}" for value in others]
        told[field.name] = f"{of}default: {usual}{''.join(differing)}"
    return told
