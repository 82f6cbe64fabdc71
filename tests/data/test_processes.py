"""What stops a command comes while its fork server is still starting."""

from __future__ import annotations

import subprocess
import sys

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
