"""What this machine has left for batches on their way: memory, shared memory, open files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from unscene.progress import format_size

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

SHARED_MEMORY = "/dev/shm"  # where Linux keeps it
_OPEN_FILES = 1024  # wished for
PREFETCH = 2  # batches that each worker makes ready
_PER_WORKER, _MARGIN = 8, 100  # open files: pipes of each worker, tensors of batches on their way
_CGROUP = Path("/sys/fs/cgroup")


def free_shared_memory() -> int | None:
    """Bytes of shared memory that are free; None where it is not limited by itself."""
    try:
        found = os.statvfs(SHARED_MEMORY)
    except (OSError, AttributeError):
        return None
    return found.f_bavail * found.f_frsize


def free_memory() -> int | None:
    """Bytes of memory that this process can still take, also in a container; None if unknown."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return None
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        return min(free, limit - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return free


def count_open_files() -> tuple[int, int]:
    """How many files this process has open, and how many it may; 0 and a large number if unknown.

    Where it may open few, but is allowed to raise that limit, this raises it.
    """
    if resource is None:
        return 0, _OPEN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wished = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wished:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wished, hard))
        soft = wished
    folder = Path("/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd")
    return len(list(folder.iterdir())), soft if soft != resource.RLIM_INFINITY else 2**30


@dataclass(frozen=True)
class BatchMemory:
    """Bytes of batches on their way to the network.

    Attributes:
        largest: of one that holds the largest frames of all videos, to which the others are padded.
        usual: of the largest among the first few.

    >>> memory = BatchMemory(largest=400_000_000, usual=100_000_000)
    >>> format_size(memory.held(workers=2))
    '800 MB'
    """

    largest: int
    usual: int

    def held(self, workers: int) -> int:
        """Bytes of all batches that are held at the same time."""
        return self.largest + PREFETCH * workers * self.usual

    def fit_workers(self, workers: int) -> tuple[int, str]:
        """How many reading processes this machine can serve, and why, if those are fewer."""
        free = free_shared_memory()
        fitting = workers
        while free is not None and fitting and self.held(fitting) > free:
            fitting -= 1
        if free is not None and fitting < workers:
            return fitting, (
                f"shared memory: {format_size(free)} are free in {SHARED_MEMORY}, and {workers} "
                f"reading processes hold {format_size(self.held(workers))} of batches there: "
                f"{_describe_fewer(fitting)}. Give a container more (docker run --shm-size=8g), or "
                "take a smaller --batch_size"
            )
        opened, allowed = count_open_files()
        fitting = max(0, min(workers, (allowed - opened - _MARGIN) // _PER_WORKER))
        if fitting < workers:
            return fitting, (
                f"open files: {allowed} are allowed, too few for {workers} reading processes: "
                f"{_describe_fewer(fitting)}. `ulimit -n 4096` before the command allows more"
            )
        return workers, ""

    def describe(self, workers: int) -> str:
        """Say how much memory batches take, and what to do where that is more than is free."""
        held, free = self.held(workers), free_memory()
        said = (
            f"memory: a batch of clips takes up to {format_size(self.largest)}, "
            f"all that are held at a time {format_size(held)}"
        )
        if free is None or held < free:
            return said
        return f"{said}, and {format_size(free)} are free: lower --batch_size or --workers"


def _describe_fewer(workers: int) -> str:
    return f"only {workers} read" if workers else "none is started, as by --workers 0"
