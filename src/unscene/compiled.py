"""Loops for which NumPy and torch take many passes, compiled by Numba in one.

The result is kept beside the file with the loop (or, where that cannot be written, in the user's
cache). Importing Numba takes a second and 115 MB: modules with such loops are imported when needed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit


def compiled(*signatures: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile for the argument types of `signatures` when the module is imported.

    Other threads run on meanwhile. Products and sums may be fused, as torch's are.
    """

    def compile_(loop: Callable[..., Any]) -> Callable[..., Any]:
        make: Any = partial(njit, list(signatures), nogil=True, fastmath={"contract"})
        try:
            found: Callable[..., Any] = make(cache=True)(loop)
        except RuntimeError:  # there is no folder to keep the result in
            found = make()(loop)
        return found

    return compile_
