"""How far it is and how long it takes: bars and durations, the same everywhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def progress_bar(
    title: str, total: int, unit: str = "video", *, initial: int = 0, show: bool = True
) -> tqdm[Any]:
    """A bar on stderr; where no one watches, a line every half minute, not a log full of bars."""
    from tqdm import tqdm  # here: the command line answers before it needs one

    return tqdm(
        total=total,
        initial=initial,
        desc=title,
        unit=unit,
        mininterval=0.2 if sys.stderr.isatty() else 30,
        dynamic_ncols=True,
        disable=not show,
    )


@contextmanager
def count_progress(
    title: str, total: int, unit: str = "video", *, show: bool = True
) -> Iterator[Callable[[int, int], None]]:
    """A bar that is moved by calling what is handed out as progress(done, total)."""
    with progress_bar(title, total, unit, show=show) as shown:
        yield lambda done, _: shown.update(done - shown.n)


def format_duration(seconds: float) -> str:
    """Seconds in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
