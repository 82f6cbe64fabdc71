"""Ctrl-C and SIGTERM: a training saves its step before it ends, and nothing waits for them in vain.

A training that is asked to stop (`request_stop`) ends after its step. Where it only waits for data,
or measures something on the side (`interruptible`), `Stopped` is raised there at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A training was asked to stop while it was between two steps; its state is whole.

    Neither an Exception, which somebody may catch, nor a KeyboardInterrupt, for which Lightning
    ends the process.
    """


_requested = False
_inside = 0  # nested blocks of `interruptible`


def request_stop() -> None:
    """Raise Stopped in the present `interruptible` block, or else at the start of the next one."""
    global _requested
    _requested = True
    if _inside:
        raise Stopped


def forget_request() -> None:
    """Undo `request_stop`, for the next training of this process."""
    global _requested, _inside
    _requested, _inside = False, 0


@contextmanager
def interruptible() -> Iterator[None]:
    """A context that a request to stop leaves at once, by Stopped."""
    global _inside
    _inside += 1  # before the check: a signal in between would be missed
    try:
        if _requested:
            raise Stopped
        yield
    finally:
        _inside -= 1


@contextmanager
def handle_stops(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Call `handler` on Ctrl-C and SIGTERM inside the block.

    Only the main thread can; in others the block changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.signal(name, handler) for name in STOPS}
    try:
        yield
    finally:
        for name, earlier in before.items():
            if earlier is not None:  # else it was not set from Python
                signal.signal(name, earlier)


@contextmanager
def defer_stops() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM take effect after the block, and a second one at once.

    For work that must not be left half done, such as starting a process: it would be left without
    what it is to do, and say so in a traceback.
    """
    before = {name: signal.getsignal(name) for name in STOPS}
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        if noted and callable(handler):
            handler(number, frame)
        noted.append(number)

    with handle_stops(note):
        yield
    if noted:
        signal.raise_signal(noted[0])


def interrupt(number: int, frame: FrameType | None) -> None:
    """A handler that makes SIGTERM what Ctrl-C is: a KeyboardInterrupt."""
    raise KeyboardInterrupt
