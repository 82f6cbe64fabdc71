"""Run one function on many files in parallel processes.

The processes come from a fork server that has already imported what they need, because threads of
the calling process (OpenCV, torch) do not survive a fork.
"""

from __future__ import annotations

import atexit
import errno
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.context import BaseContext, ForkServerContext, ForkServerProcess
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from multiprocessing.util import get_temp_dir
from typing import ClassVar, TypeVar
from weakref import WeakSet

from unscene.data.capacity import SHARED_MEMORY, count_open_files, free_shared_memory
from unscene.errors import UnsceneError
from unscene.progress import format_size
from unscene.signals import STOPS, defer_stops

Job = TypeVar("Job")
Result = TypeVar("Result")

_stop: Event | None = None  # set in worker processes only
_UNGUARDED = 71  # exit status of a worker that would start workers
_LONGEST_FOLDER = 70  # bytes of $TMPDIR: multiprocessing adds up to 32
_LESS_MEMORY = "Take fewer --workers, a smaller --batch_size, or a --short_side"


class Worker(ForkServerProcess):
    """A worker process of this package, as opposed to those of the program that uses it.

    Workers ignore Ctrl-C and SIGTERM, which reach all processes of a command at once: only the
    calling process decides when to stop.
    """

    known: ClassVar[WeakSet[Worker]] = WeakSet()  # all that were started and are still referred to
    dismissed = False  # by the calling process

    def start(self) -> None:
        super().start()
        self.known.add(self)

    def terminate(self) -> None:
        """End the process at once; SIGTERM, as torch and the executor send it, would not."""
        if self.exitcode is None:  # the executor sends it to those that have died, too
            self.dismissed = True
            self.kill()


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
                    with defer_stops():  # it may start a process
                        running[pool.submit(work, job)] = job
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    if isinstance(broken := future.exception(), BrokenProcessPool):
                        raise broken
                    yield running.pop(future), future
        except BrokenProcessPool as error:
            # The pool's own thread asks for exit statuses, too, and who asks second gets 255. So it
            # ends first; it would take the processes with it.
            kept = [*Worker.known]
            pool.shutdown()
            message = _describe_crash(list(running.values()))
            del kept
            raise UnsceneError(message) from error
        finally:
            if running:
                stop.set()
            try:
                pool.shutdown(cancel_futures=True)
            except KeyboardInterrupt:  # the second one
                kill_workers(list(Worker.known))
                raise


def start_fork_server(module: str) -> BaseContext:
    """Start a server without threads that has imported `module` and quickly forks workers.

    Where there are no fork servers (Windows), every worker starts from scratch.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(_UNGUARDED)  # this is a worker that runs the script which started it
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = _WorkerContext()
    context.set_forkserver_preload(["unscene.data.ignore_signals", module])
    _shorten_socket_paths()
    with _block_signals():
        forkserver.ensure_running()
    return context


def _shorten_socket_paths() -> None:
    """Choose a folder for the sockets of worker processes whose path is not too long for them.

    multiprocessing puts them below $TMPDIR, and the system allows 108 bytes (macOS: 104).
    """
    if len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_FOLDER:
        return
    before, tempfile.tempdir = tempfile.tempdir, "/tmp"
    try:
        get_temp_dir()  # the first call chooses, for this process and its workers
    except OSError as error:
        raise UnsceneError(
            f"TMPDIR {before}: is too long for the sockets of worker processes, and /tmp cannot be "
            f"written ({error.strerror}); set TMPDIR to a shorter path, or take --workers 0"
        ) from error
    finally:
        tempfile.tempdir = before


@contextmanager
def _block_signals() -> Iterator[None]:
    """Block Ctrl-C and SIGTERM in processes that start inside the block, until they unblock them.

    Before a new process has imported `ignore_signals`, Python itself would end it with a traceback,
    and the command with it.
    """
    # The tracker starts at first use, and would then unblock the signals.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
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


def kill_workers(processes: Iterable[BaseProcess] | None = None) -> None:
    """End worker processes at once; None: all daemons, which are those of loaders.

    At exit multiprocessing sends SIGTERM to its daemons, which ignore it, and waits for them.
    """
    if processes is None:
        processes = [process for process in multiprocessing.active_children() if process.daemon]
    for process in processes:
        if isinstance(process, Worker):
            process.terminate()


atexit.register(kill_workers)  # runs before that of multiprocessing, which registered earlier


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def explain_failure(error: BaseException) -> str | None:
    """Say why the processes that read videos cannot go on, and what to do; None: not their fault.

    Args:
        error: what the calling process or one of them raised.
    """
    number, text = getattr(error, "errno", None), str(error)
    if isinstance(error, MemoryError):
        return f"memory ran out while videos were read. {_LESS_MEMORY}"
    broken = isinstance(error, EOFError | ConnectionError)
    if broken:  # a dying process closes its files before it has ended
        wait_for_any([process.sentinel for process in Worker.known], timeout=1)
    if death := _explain_death(_LESS_MEMORY):
        return death
    # A process that cannot open a file to send breaks off.
    if broken or number == errno.EMFILE or "ancillary data" in text or "open files" in text:
        return (
            f"too many files are open: {count_open_files()[1]} are allowed here. Allow more "
            "(`ulimit -n 4096` before the command), or take fewer --workers; --workers 0 needs none"
        )
    if number == errno.ENOSPC or "shared memory" in text or "No space left" in text:
        free = free_shared_memory()
        left = "" if free is None else f" ({format_size(free)} are free in {SHARED_MEMORY})"
        return (
            f"shared memory is full{left}: reading processes hand over batches there. Give a "
            "container more (docker run --shm-size=8g), or take a smaller --batch_size or fewer "
            "--workers; --workers 0 needs none"
        )
    return f"{text}; try --workers 0" if "exited unexpectedly" in text else None


def _explain_death(less_memory: str) -> str | None:
    """Say why worker processes died; None if none did."""
    ended = [process for process in Worker.known if process.exitcode is not None]
    codes = {process.exitcode or 0 for process in ended if not process.dismissed} - {0}
    for process in ended:  # a later failure has causes of its own
        Worker.known.discard(process)
    if _UNGUARDED in codes:
        return (
            "worker processes run the calling script again, and it would start workers in turn: "
            'put what it does under `if __name__ == "__main__":`, or take workers=0'
        )
    if -signal.SIGKILL in codes:
        return f"a worker process was killed, most often because memory ran out. {less_memory}"
    if signals := [-code for code in codes if code < 0]:
        name = signal.Signals(signals[0]).name
        return f"a worker process crashed ({name}), most often in FFmpeg, on a damaged file"
    if codes:
        return f"a worker process ended with status {min(codes)}; what it said is above"
    return None


def _describe_crash(jobs: list[Job]) -> str:
    names = "\n".join(f"  {job}" for job in jobs)
    reason = _explain_death("Take fewer --workers") or "a worker process died"
    return f"{reason}. These files were being worked on:\n{names}"


def _start_worker(stop: Event, abandon: bool) -> None:
    global _stop
    _stop = stop
    end_with_parent()
    ignore_stops()
    if abandon:
        threading.Thread(target=_end_when_stopped, daemon=True).start()


def ignore_stops() -> None:
    """Let this worker process ignore Ctrl-C and SIGTERM."""
    for name in STOPS:
        signal.signal(name, signal.SIG_IGN)


def _end_when_stopped() -> None:
    # Not `_stop.wait()`: if this process were killed while waiting, setting the event would hang.
    while not should_stop():
        time.sleep(0.1)
    os._exit(0)
