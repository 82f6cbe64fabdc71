"""Measures by name: found by lying in the folder `measures`, or named as package.module:Class."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from unscene.audit.measures import base
from unscene.audit.measures.base import Measure
from unscene.errors import UnsceneError, describe_unknown
from unscene.imports import import_from_here


@cache
def known_measures() -> dict[str, type[Measure]]:
    """The measures of the package by name, in the order of the report."""
    found = []
    for module in pkgutil.iter_modules([str(Path(base.__file__).parent)]):
        if module.name != "base":
            found += _own_measures(f"{base.__package__}.{module.name}")
    return {kind.name: kind for kind in sorted(found, key=lambda kind: kind.order)}


def find_measures(names: Sequence[str]) -> list[type[Measure]]:
    """Find measures by name, or by package.module:Class; in the order of the report.

    Raises:
        UnsceneError: no such measure, two of one name, or none at all.
    """
    known = known_measures()
    if not names:
        raise UnsceneError(f"no measures: choose from {', '.join(known)}")
    kinds: dict[str, type[Measure]] = {}
    for name in names:
        kind = _import_measure(name) if ":" in name else known.get(name)
        if kind is None:
            raise UnsceneError(
                f"{describe_unknown('measure', name, known)}, or package.module:Class"
            )
        if kinds.setdefault(kind.name, kind) is not kind:
            raise UnsceneError(f"measure {name!r}: another measure is called {kind.name!r} too")
    return sorted(kinds.values(), key=lambda kind: kind.order)


def _own_measures(module: str) -> list[type[Measure]]:
    """Measures that a module defines, not those it imports."""
    return [
        value
        for value in vars(importlib.import_module(module)).values()
        if isinstance(value, type) and issubclass(value, Measure) and value.__module__ == module
    ]


def _import_measure(text: str) -> type[Measure]:
    module, _, name = text.partition(":")
    try:
        kind = getattr(import_from_here(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnsceneError(f"measure {text!r}: {error}; write package.module:Class") from error
    if not (isinstance(kind, type) and issubclass(kind, Measure)):
        raise UnsceneError(
            f"measure {text!r}: must be a subclass of unscene.audit.measures.base.Measure"
        )
    lacking = [part for part in ("name", "words") if not hasattr(kind, part)]
    lacking += sorted(kind.__abstractmethods__)
    if lacking:
        raise UnsceneError(
            f"measure {text!r}: has no {' and no '.join(lacking)}, which "
            "unscene.audit.measures.base.Measure asks for"
        )
    return kind
