"""Reading processes that die, cannot send or cannot start: one plain sentence, and nobody waits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no fork server, no /dev/shm"),
]

# Each fault happens in a reading process, at the fourth batch.
_READING = """
import os, resource, signal, sys, time
import torch
from unscene.data import loading
from unscene.data.capacity import BatchMemory
from unscene.data.loading import Item, ItemDataset, make_loader
from unscene.data.sequential import SequentialBatches
from unscene.errors import UnsceneError, VideoError
from unscene.video.clip import Clip

class Gray(ItemDataset):
    def __len__(self):
        return 0
    def __init__(self, fault):
        self.fault = fault
    def estimate_bytes(self, indices):
        return 0
    def __getitem__(self, key):
        draw, index = key
        if index >= 3:
            exec(self.fault)
        y, u = torch.zeros(4, 64, 64).byte(), torch.zeros(4, 32, 32).byte()
        return Item({"clip": Clip(y, u, u.clone(), torch.zeros(4).double())}, index)

def main():
    {before}
    for fault in {faults}:
        try:
            loader = make_loader(Gray(fault), SequentialBatches([1] * 40, 1), workers=2)
            print("read", sum(len(batch) for batch in loader))
        except UnsceneError as error:
            print(type(error).__name__, error)

if __name__ == "__main__":
    main()
"""


def read(
    folder: Path,
    *faults: str,
    before: str = "pass",
    under: tuple[str, ...] = (),
    guarded: bool = True,
    **environment: str,
) -> tuple[list[str], str]:
    """The outcome of reading with each fault, and what is on stderr."""
    script = folder / "reading.py"
    text = _READING.replace("{faults}", repr(faults)).replace("{before}", before)
    script.write_text(text if guarded else text.replace('if __name__ == "__main__":', "if True:"))
    run = subprocess.run(
        [*under, sys.executable, script],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines(), run.stderr


def test_what_went_wrong_is_said_in_one_sentence(tmp_path: Path) -> None:
    faults = {
        "os.kill(os.getpid(), signal.SIGKILL)": "ReadingError a worker process was killed, most",
        "os.kill(os.getpid(), signal.SIGSEGV)": "ReadingError a worker process crashed (SIGSEGV)",
        'raise VideoError("a.mp4", "has Error: 5")': "VideoError a.mp4: has Error: 5",
        "raise MemoryError": "ReadingError memory ran out while videos were read. Take fewer",
        "pass": "read 40",
    }
    said, error = read(tmp_path, *faults)
    assert len(said) == len(faults), error
    for found, start in zip(said, faults.values(), strict=True):
        assert found.startswith(start)
    assert "--workers" in said[0]
    assert "Traceback" not in error


ALL_WORKERS = "BatchMemory.fit_workers = lambda memory, workers: (workers, '')"


def test_too_few_open_files(tmp_path: Path) -> None:
    few = "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"
    said, error = read(tmp_path, "pass", before=few)
    assert said == ["read 40"]
    assert "open files: 64 are allowed, too few for 2 reading processes" in error
    # Where they run out after all: in a process that reads, when it sends.
    fewer = "resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir('/proc/self/fd')),) * 2)"
    [said], _ = read(tmp_path, fewer, before=ALL_WORKERS)
    assert said.startswith("ReadingError too many files are open")
    assert "ulimit -n" in said


def small_shared_memory(size: str) -> tuple[str, ...]:
    """What runs a command with so much shared memory, as in a container."""
    shell = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
    under = ("unshare", "-m", "bash", "-c", shell, "bash")
    if shutil.which("unshare") is None or subprocess.run([*under, "true"], check=False).returncode:
        pytest.skip("needs the right to mount")
    return under


def test_too_little_shared_memory(tmp_path: Path) -> None:
    under = small_shared_memory("64k")
    counts = "loading.estimate_memory = lambda *_: BatchMemory(25_000, 25_000)"
    said, error = read(tmp_path, "pass", before=counts, under=under)
    assert said == ["read 40"]
    assert "shared memory: 65.5 kB are free in /dev/shm, and 2 reading processes hold" in error
    assert "docker run --shm-size" in error
    # Where it runs out after all: another program may take it meanwhile.
    fill = "open('/dev/shm/other', 'wb').write(bytes(50_000))"
    [said], error = read(tmp_path, "pass", before=f"{ALL_WORKERS}; {fill}", under=under)
    assert said.startswith("ReadingError shared memory is full (")
    assert "docker run --shm-size" in said
    assert "--workers 0" in said
    assert "Traceback" not in error


def test_a_long_folder_for_temporary_files(tmp_path: Path) -> None:
    """Sockets lie there, whose paths may have 108 bytes."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    assert read(tmp_path, "pass", TMPDIR=str(folder)) == (["read 40"], "")


def test_a_script_without_main(tmp_path: Path) -> None:
    [said], error = read(tmp_path, "pass", guarded=False)
    assert said.startswith("ReadingError worker processes run the calling script again")
    assert 'if __name__ == "__main__":' in said
    assert "Traceback" not in error


_PREPARING = """
from unscene.data.processes import run_in_processes
from unscene.errors import UnsceneError
try:
    list(run_in_processes(print, ["a.mp4"], 1))
except UnsceneError as error:
    print(error)
"""


def test_a_script_without_main_that_prepares(tmp_path: Path) -> None:
    script = tmp_path / "preparing.py"
    script.write_text(_PREPARING)
    run = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.startswith("worker processes run the calling script again")
    assert "Traceback" not in run.stderr


_STARTING = """
import os, signal
from multiprocessing import popen_forkserver
from unscene.data.loading import ItemDataset, make_loader
from unscene.data.sequential import SequentialBatches
from unscene.data.processes import run_in_processes
from unscene.signals import handle_stops, interrupt

class Nothing(ItemDataset):
    def __len__(self):
        return 0
    def estimate_bytes(self, indices):
        return 0
    def __getitem__(self, key):
        return 1 / 0

start = popen_forkserver.Popen._launch
def launch(self, process):
    popen_forkserver.Popen._launch = start
    os.killpg(0, signal.{name})  # the process does not know yet what it is to do
    start(self, process)

def nothing(job):
    pass

if __name__ == "__main__":
    for begin in (
        lambda: next(iter(make_loader(Nothing(), SequentialBatches([9], 1), workers=2))),
        lambda: list(run_in_processes(nothing, ["a", "b"], 2)),
    ):
        popen_forkserver.Popen._launch = launch
        with handle_stops(interrupt):
            try:
                begin()
            except KeyboardInterrupt:
                print("interrupted")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_processes_start(name: str, tmp_path: Path) -> None:
    script = tmp_path / "starting.py"
    script.write_text(_STARTING.replace("{name}", name))
    run = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )
    assert (run.stdout, run.stderr) == ("interrupted\n" * 2, "")
