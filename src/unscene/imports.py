"""Code from outside of this package: the module in `package.module:Name`."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType


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
