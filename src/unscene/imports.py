"""Code from outside of this package: the module in `package.module:Name`, libraries of extras."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from unscene.errors import UnsceneError


def import_from_here(name: str) -> ModuleType:
    """Import a module from the current folder or from what is installed.

    The current folder counts as it does for `python -m`: people keep their models, methods and
    measures in the folder that they work in.

    Raises:
        ImportError: there is no such module, or it fails to import another one.
        ValueError: the name is empty.
    """
    folder = os.getcwd()  # noqa: PTH109 - sys.path holds text
    added = folder not in sys.path
    if added:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        if added:
            sys.path.remove(folder)


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a library that only some commands need, and that an extra of this package installs.

    Args:
        module: to import.
        extra: of pyproject.toml, such as "export".
        purpose: what needs it, for the message.

    Raises:
        UnsceneError: it is not installed, or fails to import; the message has the line that
            installs it.

    >>> import_extra("json", "export", "JSON").loads("[1]")
    [1]
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UnsceneError(
            f"{purpose} needs {module} ({error}): pip install 'unscene[{extra}]'"
        ) from error


def import_pandas() -> Any:
    """Import pandas, which no command needs. Raises UnsceneError if it is not installed."""
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise UnsceneError("to_pandas needs pandas: pip install pandas") from error
