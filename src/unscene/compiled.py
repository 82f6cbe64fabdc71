"""Compiles loops with Numba that would take NumPy or torch many passes over the data.

The compiled code is cached beside the source file or, if that is not writable, in the user cache.
Importing Numba takes a second and 115 MB, so modules with compiled loops are imported when needed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit


def compiled(*signatures: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function for the argument types of `signatures` when its module is imported.

    The function releases the GIL. Products and sums may be fused, as in torch.
    """

    def compile_(loop: Callable[..., Any]) -> Callable[..., Any]:
        make: Any = partial(njit, list(signatures), nogil=True, fastmath={"contract"})
        try:
            found: Callable[..., Any] = make(cache=True)(loop)
        except RuntimeError:  # no folder for the cache is writable
            found = make()(loop)
        return found

    return compile_
