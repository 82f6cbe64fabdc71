"""The same work for many files, in processes of their own.

Processes come from a fork server that has imported what they need: threads of the calling process
(OpenCV, torch) do not survive a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from multiprocessing.synchronize import Event
from typing import TypeVar

from unscene.errors import UnsceneError

Job = TypeVar("Job")
Result = TypeVar("Result")

_stop: Event | None = None  # of a working process


def run_in_processes(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int, *, abandon: bool = False
) -> Generator[tuple[Job, Future[Result]], None, None]:
    """Every job with its outcome, in the order in which they end. To be closed when left early.

    Jobs are drawn from `jobs` shortly before they begin. When the iterator is closed, `should_stop`
    turns true in the working processes and no further job begins.

    Args:
        work: a function of a module, or a partial of one.
        workers: processes; 0: the calling one.
        abandon: jobs that run when the iterator is closed are cut off: they write nothing.

    Raises:
        UnsceneError: a process died.
    """
    if workers == 0:
        for job in jobs:
            done: Future[Result] = Future()
            try:
                done.set_result(work(job))
            except Exception as error:
                done.set_exception(error)
            yield job, done
        return
    context = start_fork_server("unscene.prepare.run")
    stop = context.Event()
    with ProcessPoolExecutor(workers, context, _begin, (stop, abandon)) as pool:
        waiting, running = iter(jobs), dict[Future[Result], Job]()
        try:
            while True:
                for job in islice(waiting, 2 * workers - len(running)):
                    running[pool.submit(work, job)] = job
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    if isinstance(future.exception(), BrokenProcessPool):
                        raise UnsceneError(_died(list(running.values())))
                    yield running.pop(future), future
        except BrokenProcessPool as error:  # while submitting
            raise UnsceneError(_died(list(running.values()))) from error
        finally:
            if running:
                stop.set()
            pool.shutdown(cancel_futures=True)


def start_fork_server(module: str) -> BaseContext:
    """A server that has imported what workers need and has no threads forks them in no time; where
    there is none (Windows), each starts from nothing."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["unscene.data.ignore_signals", module])
    with _undisturbed():
        forkserver.ensure_running()
    return context


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A process that starts inside the block gets no Ctrl-C or SIGTERM before it says that it may
    (deaf.py): until then Python itself would end it with a traceback, and the command with it."""
    # Starts at first use, and then lets through what is held back here.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def count_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def should_stop() -> bool:
    """Asked in a working process: shall it end?"""
    return _stop is not None and _stop.is_set()


def _died(jobs: list[Job]) -> str:
    names = "\n".join(f"  {job}" for job in jobs)
    return (
        "a working process died: memory ran out, or FFmpeg crashed on one of these files. "
        f"Try fewer --workers, or leave the file out:\n{names}"
    )


def _begin(stop: Event, abandon: bool) -> None:
    """Ctrl-C is for the calling process, which then stops the others; where one of them died, it
    ends the rest by SIGTERM."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if abandon:
        threading.Thread(target=_end_when_stopped, daemon=True).start()


def _end_when_stopped() -> None:
    # Not `_stop.wait()`: were this process killed while it waits, setting the event would hang.
    while not should_stop():
        time.sleep(0.1)
    os._exit(0)
