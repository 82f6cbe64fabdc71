"""Progress bars and durations."""

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
    """Make a progress bar on stderr; if stderr is not a terminal, print a line every 30 seconds."""
    from tqdm import tqdm  # imported late: the command line starts faster

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
    """Yield a function progress(done, total) that moves a progress bar."""
    with progress_bar(title, total, unit, show=show) as shown:
        yield lambda done, _: shown.update(done - shown.n)


def format_duration(seconds: float) -> str:
    """Format seconds as text.

    >>> format_duration(100), format_duration(4000), format_duration(200_000)
    ('1 min 40 s', '1 h 6 min', '2 days 7 h')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} days {hours % 24} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def format_size(count: float) -> str:
    """Format a number of bytes as text.

    >>> format_size(512), format_size(2.5e9)
    ('512 B', '2.5 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
