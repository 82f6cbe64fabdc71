"""How the dataclasses of this room print: shapes and dtypes instead of numbers."""

from __future__ import annotations

from dataclasses import fields

from torch import Tensor


def describe(owner: object) -> str:
    """`__repr__` of a dataclass of tensors: what one wants to read in a debugger."""
    parts = []
    for field in fields(owner):  # type: ignore[arg-type]
        value = getattr(owner, field.name)
        if isinstance(value, Tensor):
            dtype = str(value.dtype).removeprefix("torch.")
            parts.append(f"{field.name}={dtype}{list(value.shape)}")
        elif value is not None:
            parts.append(f"{field.name}={value!r}")
    return f"{type(owner).__name__}({', '.join(parts)})"
