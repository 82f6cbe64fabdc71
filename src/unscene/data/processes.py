"""Run one function on many files in parallel processes.

The processes come from a fork server that has already imported what they need, because threads of
the calling process (OpenCV, torch) do not survive a fork.
"""

from __future__ import annotations

import atexit
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
from multiprocessing.context import BaseContext, ForkServerContext, ForkServerProcess
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import TypeVar

from unscene.errors import UnsceneError

Job = TypeVar("Job")
Result = TypeVar("Result")

_stop: Event | None = None  # set in worker processes only


class Worker(ForkServerProcess):
    """A worker process of this package, as opposed to those of the program that uses it."""


class _WorkerContext(ForkServerContext):
    Process = Worker


def run_in_processes(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int, *, abandon: bool = False
) -> Generator[tuple[Job, Future[Result]], None, None]:
    """Yield every job with its outcome, in the order in which they end.

    Close the iterator (`contextlib.closing`) when leaving it early: no further job then starts, and
    `should_stop` returns True in the worker processes. A job is taken from `jobs` shortly before it
    starts.

    Args:
        work: a function at the top level of a module, or a partial of one.
        jobs: the arguments of `work`.
        workers: number of processes; 0: run in the calling process.
        abandon: when the iterator is closed, kill running jobs; only for jobs that write nothing.

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
    with ProcessPoolExecutor(workers, context, _start_worker, (stop, abandon)) as pool:
        waiting, running = iter(jobs), dict[Future[Result], Job]()
        try:
            while True:
                for job in islice(waiting, 2 * workers - len(running)):
                    running[pool.submit(work, job)] = job
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    if isinstance(future.exception(), BrokenProcessPool):
                        raise UnsceneError(_describe_crash(list(running.values())))
                    yield running.pop(future), future
        except BrokenProcessPool as error:  # while submitting
            raise UnsceneError(_describe_crash(list(running.values()))) from error
        finally:
            if running:
                stop.set()
            pool.shutdown(cancel_futures=True)


def start_fork_server(module: str) -> BaseContext:
    """Start a server without threads that has imported `module` and quickly forks workers.

    Where there are no fork servers (Windows), every worker starts from scratch.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = _WorkerContext()
    context.set_forkserver_preload(["unscene.data.ignore_signals", module])
    with _block_signals():
        forkserver.ensure_running()
    return context


@contextmanager
def _block_signals() -> Iterator[None]:
    """Block Ctrl-C and SIGTERM in processes that start inside the block, until they unblock them.

    Before a new process has imported `ignore_signals`, Python itself would end it with a traceback,
    and the command with it.
    """
    # The tracker starts at first use, and would then unblock the signals.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def count_cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def should_stop() -> bool:
    """Whether this worker process should end, because the caller closed the iterator."""
    return _stop is not None and _stop.is_set()


def end_with_parent() -> None:
    """Let this worker process end when the process that started it has died, however it died.

    A worker's parent in the operating system is the fork server, and that lives as long as its
    workers do. Without this, both would outlive a command that was killed.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _kill_workers() -> None:
    # At exit multiprocessing sends SIGTERM to its daemons and waits for them without end, but
    # those of a loader ignore it.
    for process in multiprocessing.active_children():
        if process.daemon and isinstance(process, Worker):
            process.kill()


atexit.register(_kill_workers)  # runs before that of multiprocessing, which registered earlier


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _describe_crash(jobs: list[Job]) -> str:
    names = "\n".join(f"  {job}" for job in jobs)
    return (
        "a worker process died: memory ran out, or FFmpeg crashed on one of these files. "
        f"Try fewer --workers, or remove the file:\n{names}"
    )


def _start_worker(stop: Event, abandon: bool) -> None:
    """Ignore Ctrl-C, after which the calling process stops the workers, but obey SIGTERM.

    If a worker died, the calling process ends the others by SIGTERM.
    """
    global _stop
    _stop = stop
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if abandon:
        threading.Thread(target=_end_when_stopped, daemon=True).start()


def _end_when_stopped() -> None:
    # Not `_stop.wait()`: if this process were killed while waiting, setting the event would hang.
    while not should_stop():
        time.sleep(0.1)
    os._exit(0)
