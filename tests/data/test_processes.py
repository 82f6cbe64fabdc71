"""Worker processes when their command is stopped: while it starts, or without warning."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

_SIGNALLED = """
import os, signal
from multiprocessing import util
from unscene.data.processes import start_fork_server

before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
heard = []
for name in (signal.SIGINT, signal.SIGTERM):
    signal.signal(name, lambda number, frame: heard.append(number))
start = util.spawnv_passfds

def started(path, args, descriptors):
    number = start(path, args, descriptors)
    if any("forkserver" in str(arg) for arg in args):
        os.killpg(0, signal.{name})  # Python itself has hardly begun in the server
    return number

util.spawnv_passfds = started
worker = start_fork_server("json").Process(target=print, args=("worked",))
worker.start()
worker.join()
print("heard", *heard, "of", signal.{name}.value)
assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork server")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_to_a_fork_server_that_starts(name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _SIGNALLED.replace("{name}", name)],
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    worked, heard = run.stdout.splitlines()
    assert worked == "worked"
    number = heard.split()[-1]
    assert heard == f"heard {number} of {number}"  # once, by the calling process alone


_ENDING = """
import os, signal
from multiprocessing import forkserver
from unscene.data.catalog import Skipped
from unscene.data.loading import Item, ItemDataset, make_loader
from unscene.data.sequential import SequentialBatches
from unscene.data.processes import run_in_processes

class Empty(ItemDataset):
    def __len__(self):
        return 0
    def estimate_bytes(self, indices):
        return 0
    def __getitem__(self, key):
        return Item({}, 0, (Skipped(str(os.getpid()), "shows who reads"),))

def number(job):
    return os.getpid()

if __name__ == "__main__":
    batches = iter(make_loader(Empty(), SequentialBatches([9], 1), workers=2))
    reading = {next(batches).failures[0].path for _ in range(4)}
    preparing = run_in_processes(number, range(100), 2)
    working = {next(preparing)[1].result() for _ in range(4)}
    print(forkserver._forkserver._forkserver_pid, *reading, *working, flush=True)
    {end}
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "preparing.close()"])
def test_workers_end_with_their_command(end: str, tmp_path: Path) -> None:
    """The loader's ignore Ctrl-C and SIGTERM, so nothing else would end them."""
    script = tmp_path / "killed.py"
    script.write_text(_ENDING.replace("{end}", end))
    with (tmp_path / "out").open("w+") as out:  # a pipe would stay open as long as they live
        subprocess.run([sys.executable, script], stdout=out, timeout=60, check=False)
        out.seek(0)
        left = set(out.read().split())
    assert len(left) >= 4
    deadline = time.monotonic() + 20
    while (left := {one for one in left if _is_alive(one)}) and time.monotonic() < deadline:
        time.sleep(0.1)
    for one in left:
        os.kill(int(one), 9)
    assert left == set()


def _is_alive(process: str) -> bool:
    try:
        state = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # ended, though nobody has asked for its status yet
