"""Methods by name: found by lying in this folder, or named as package.module:Class.

A method is a module with four names: TITLE (its name in sentences), Settings (a dataclass on top of
`CommonSettings`), PRESETS (settings by preset, "default" among them), and one subclass of `Method`.
A file of this folder that sets TITLE is a method; its name is the file's, with - for _. A module
that sets GENERATES generates what it learns from, and its runs take no DATA; ENCODER names the
architecture that it trains if none is given.

This file imports no torch. Modules of methods do: they are imported when a method is needed.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from unscene.config import RENAMED, convert_values
from unscene.errors import UnsceneError, check_known, describe_unknown
from unscene.imports import import_from_here
from unscene.methods.settings import ClipSettings

if TYPE_CHECKING:
    from unscene.encoders import VideoEncoder
    from unscene.methods.base import Method

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class MethodEntry:
    """A method and what is known of it.

    Attributes:
        name: as `--method` takes it.
        title: its name in sentences.
        settings: the class of its settings.
        presets: settings by preset.
        method: its class.
        generates: it learns from what it generates, and reads no videos.
        encoder: architecture that it trains if none is given; None: the usual one.
    """

    name: str
    title: str
    settings: type[ClipSettings]
    presets: Mapping[str, Mapping[str, Any]]
    method: type[Method]
    generates: bool = False
    encoder: str | None = None

    def reads(self, setting: str) -> bool:
        """Whether the method reads a setting."""
        return setting in self.settings.names()

    @property
    def needs_vectors(self) -> bool:
        """Whether it skips videos without motion vectors, with its default settings."""
        settings = self.settings(**self.presets["default"])
        return str(getattr(settings, "motion_from", None)).startswith("vectors")


@cache
def known_methods() -> tuple[str, ...]:
    """Names of the methods of this folder; nothing is imported."""
    return tuple(sorted(path.stem.replace("_", "-") for path in _folder_files("TITLE")))


@cache
def generates(name: str) -> bool:
    """Whether a method generates what it learns from; of those of this folder none is imported.

    >>> generates("motion-programs"), generates("dsm"), generates("unknown")
    (True, False, False)
    """
    if ":" in name:
        return find_method(name).generates
    return name in {path.stem.replace("_", "-") for path in _folder_files("GENERATES")}


@cache
def setting_names() -> frozenset[str]:
    """Settings of all methods of this folder, read off their source: nothing is imported."""
    files = [*_FOLDER.glob("*.py"), Path(importlib.import_module("unscene.config").__file__ or "")]
    classes = [
        node
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Settings")
    ]
    return frozenset(
        line.target.id
        for node in classes
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        if "ClassVar" not in ast.unparse(line.annotation)
    )


def _folder_files(name: str) -> Iterable[Path]:
    """Files of this folder that set a name at their top level."""
    for path in _FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        targets = [t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            yield path


@cache
def find_method(name: str) -> MethodEntry:
    """Find a method by its name, or by package.module:Class.

    Raises:
        UnsceneError: no such method, a module that cannot be imported, or one that lacks a part.
    """
    if ":" in name:
        module_name, _, wanted = name.partition(":")
        try:
            module = import_from_here(module_name)
        except (ImportError, ValueError) as error:
            raise UnsceneError(
                f"method {name!r}: cannot import {module_name} ({error}); give "
                "package.module:Class of a module that Python can import from here"
            ) from error
        return _entry(name, module, wanted)
    if name not in known_methods():
        raise UnsceneError(
            f"{describe_unknown('method', name, known_methods())}, or package.module:Class"
        )
    return _entry(name, importlib.import_module(f"unscene.methods.{name.replace('-', '_')}"))


def _entry(name: str, module: ModuleType, wanted: str | None = None) -> MethodEntry:
    from unscene.methods.base import Method

    lacking = [part for part in ("TITLE", "Settings", "PRESETS") if not hasattr(module, part)]
    if lacking:
        raise UnsceneError(
            f"method {name!r}: {module.__name__} has no {' and no '.join(lacking)}; a method is a "
            "module with TITLE, Settings, PRESETS and a subclass of unscene.methods.base.Method"
        )
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Method)
        if (value.__module__ == module.__name__ if wanted is None else value.__name__ == wanted)
    ]
    if len(own) != 1:
        raise UnsceneError(
            f"method {name!r}: {module.__name__} has {len(own)} subclasses of Method "
            f"{'of its own' if wanted is None else f'called {wanted}'}, and one is needed"
        )
    return MethodEntry(
        name,
        module.TITLE,
        module.Settings,
        module.PRESETS,
        own[0],
        generates=getattr(module, "GENERATES", False),
        encoder=getattr(module, "ENCODER", None),
    )


def resolve(
    method: str, preset: str = "default", overrides: Mapping[str, Any] | None = None
) -> ClipSettings:
    """Return the settings of a method: its defaults, changed by the preset, then by `overrides`.

    Args:
        method: a name, or package.module:Class.
        preset: "default", or another of the method's presets.
        overrides: settings by name; None means not given.

    Raises:
        UnsceneError: unknown method or preset, a setting that nobody or only another method reads,
            or a value out of range.

    Example:
        >>> resolve("dsm-triplet", overrides={"frames": 8}).frames
        8
    """
    entry = find_method(method)
    if preset not in entry.presets:
        others = {name for other in known_methods() for name in find_method(other).presets}
        if preset in others:
            raise UnsceneError(
                f"{method} has no preset {preset!r}; it has: {', '.join(entry.presets)}"
            )
        check_known("preset", [preset], entry.presets)
    given = {
        RENAMED.get(key, key): value
        for key, value in (overrides or {}).items()
        if value is not None
    }
    check_read(entry, given)
    return replace(entry.settings(**entry.presets[preset]), **convert_values(entry.settings, given))


def check_read(entry: MethodEntry, names: Iterable[str]) -> None:
    """Refuse settings that a method never reads: a flag that changes nothing is a mistake.

    Raises:
        UnsceneError: names the setting and the methods that read it.
    """
    for name in names:
        if entry.reads(name):
            continue
        others = [other for other in known_methods() if find_method(other).reads(name)]
        if not others:
            check_known("setting", [name], entry.settings.names())
        raise UnsceneError(
            f"--{name} changes nothing in {entry.name}, which never reads it; "
            f"it is for {', '.join(others)}. Leave it out, or take another --method"
        )


def keep_read(
    method: str, values: Mapping[str, Any], further: Iterable[str] = ()
) -> dict[str, Any]:
    """Leave out the settings that other methods read and this one does not.

    A file that was written for another method, or by an earlier version, holds such settings.

    Args:
        method: a name, or package.module:Class.
        values: settings by name.
        further: names that are no settings of methods, for the hint about a mistyped name.

    Raises:
        UnsceneError: a setting that no method reads.
    """
    entry = find_method(method)
    known = setting_names().union(entry.settings.names())
    check_known("setting", values, [*further, *sorted(known)])
    return {name: value for name, value in values.items() if entry.reads(name)}


def create_method(name: str, encoder: VideoEncoder, settings: ClipSettings) -> Method:
    """Create a method by its name, or by package.module:Class."""
    return find_method(name).method(encoder, settings)
