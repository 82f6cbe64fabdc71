"""Values from files and flags -> what the fields of a dataclass want. Imports no torch."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from unscene.errors import UnsceneError


def typed(owner: type, values: dict[str, Any]) -> dict[str, Any]:
    """Values as the fields of a dataclass want them, from a file, where 1e-3 is read as a text.

    Raises:
        UnsceneError: naming the field, its value and what it takes.
    """
    hints = get_type_hints(owner)
    return {name: _typed(name, value, hints[name]) for name, value in values.items()}


def _typed(name: str, value: Any, hint: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        parts = [part for part in get_args(hint) if part is not NoneType]
        if value is None or value in get_args(parts[-1]):  # int | Literal["auto"]
            return value
        hint = parts[0]
    try:
        if get_origin(hint) is tuple:
            kind = get_args(hint)[0]
            numbers = tuple(_typed(name, item, kind) for item in _sequence(value))
            if Ellipsis not in get_args(hint) and len(numbers) != len(get_args(hint)):
                raise ValueError
            return numbers
        if get_origin(hint) is Literal:
            if value not in get_args(hint):
                raise ValueError
        elif hint is float and not isinstance(value, bool):
            return float(value)
        elif hint is int and not isinstance(value, bool):
            number = int(value)
            if not isinstance(value, str) and number != value:
                raise ValueError
            return number
        elif not isinstance(value, get_origin(hint) or hint) or hint in (int, float):
            raise ValueError
    except (TypeError, ValueError):
        raise UnsceneError(f"{name} {value!r}: must be {kind_of(hint)}") from None
    return value


def _sequence(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError
    return value


def kind_of(hint: Any) -> str:
    """A type hint in words."""
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) is tuple:
        count = "" if Ellipsis in get_args(hint) else f"{len(get_args(hint))} "
        if get_args(hint)[0] is float:
            return f"a list of {count}numbers, such as [0.5, 1]"
        return f"a list of {count}whole numbers, such as [2, 20]"
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}
    return words.get(hint, 'a table such as {"width": 16}')
