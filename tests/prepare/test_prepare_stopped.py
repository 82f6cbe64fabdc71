"""Preparing that is cut off, killed or out of disk goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

import media
from preparing import BAD, SETTINGS, go, videos
from unscene.data.processes import run_in_processes
from unscene.errors import UnsceneError
from unscene.prepare import run as prepare
from unscene.prepare.inspect import inspect
from unscene.prepare.plan import make_plan

pytestmark = pytest.mark.slow


def test_what_a_killed_run_left_is_swept_away(data: Path, out: Path) -> None:
    # MPEG-4: libx264 does not always write the same bytes (experiments/LOG.md).
    mpeg4 = replace(SETTINGS, codec="mpeg4")
    go(data, out, mpeg4)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, alive = (out / "Run" / f".x.{pid}.tmp.mp4" for pid in (gone.pid, os.getpid()))
    left.touch()
    alive.touch()
    lines = (out / "prepare.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])["target"]
    assert "bytes" in json.loads(lines[-1])
    (out / "prepare.jsonl").write_text("\n".join(lines[:-1]) + "\n")  # begun, written, not recorded
    account = go(data, out, mpeg4)
    assert (account.done, account.stale) == (1, [])
    assert (out / last).exists()
    assert not list(out.rglob(".*.old"))  # what it had finished is what was made again
    assert (left.exists(), alive.exists()) == (False, True)


def test_two_processes_do_the_same(data: Path, out: Path, tmp_path: Path) -> None:
    go(data, out)
    plan = make_plan(data, tmp_path / "two", SETTINGS)
    account = prepare.run_plan(plan, prepare.inspect_plan(plan, workers=2), workers=2)
    assert (account.done, len(account.failed)) == (4, 1)
    # Not the same bytes: now and then libx264 decides a little otherwise (experiments/LOG.md).
    for name in videos(out):
        alone, together = (decoded(root / name) for root in (out, tmp_path / "two"))
        assert alone[0] == together[0]
        assert np.abs(alone[1] - together[1]).mean() < 2


def decoded(path: Path) -> tuple[list[int | None], np.ndarray]:
    """Presentation times and gray pictures."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pictures = [frame.to_ndarray(format="gray").astype(np.float32) for frame in frames]
    return [frame.pts for frame in frames], np.stack(pictures)


def _die(job: str) -> None:
    os._exit(1)


def test_a_process_that_dies_is_reported() -> None:
    with pytest.raises(UnsceneError, match=r"a worker process ended with status 1(.|\n)*a\.mp4"):
        list(run_in_processes(_die, ["a.mp4"], 1))


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def test_work_that_writes_nothing_is_cut_off() -> None:
    with closing(run_in_processes(_sleep, [0.0, *[600.0] * 5], 2, abandon=True)) as outcomes:
        assert next(outcomes)[0] == 0.0
        began = time.monotonic()
    assert time.monotonic() - began < 30
    assert sorted(job for job, _ in run_in_processes(_sleep, [0.0, 0.1], 2, abandon=True)) == [
        0.0,
        0.1,
    ]


def test_the_check_is_cut_off(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, object]] = []

    def noting(*args: object, **options: object) -> object:
        given.append(options)
        return run_in_processes(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(prepare, "run_in_processes", noting)
    prepare.inspect_files([str(data / "top.mp4")], workers=0)
    assert given == [{"abandon": True}]


def test_a_full_disk_stops_and_says_how_to_go_on(
    data: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = prepare.transcode, []

    def full(*args: object, **options: object) -> object:
        calls.append(args)
        if len(calls) > 2:
            raise UnsceneError("b.mp4: cannot be written (No space left on device)")
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(prepare, "transcode", full)
    with pytest.raises(UnsceneError, match=r"No space(.|\n)*2 of 5 files are finished and kept"):
        go(data, out)
    monkeypatch.undo()
    account = go(data, out)
    assert (account.done, account.already) == (2, 2)


def test_interrupted_from_within_and_continued(data: Path, out: Path) -> None:
    def interrupt(account: prepare.RunSummary) -> None:
        if account.done == 2:
            raise KeyboardInterrupt

    account = go(data, out, progress=interrupt)
    assert (account.stopped, account.done) == (True, 2)
    assert len(videos(out)) == 2
    assert go(data, out).already == 2


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_leaves_only_whole_files(name: str, tmp_path: Path, out: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for i in range(3):
        media.write(data / f"{i}.mp4", media.drift(20, (48, 64)), options=BAD)
    # Half a minute's work, so that it goes on when the signal comes, on any machine.
    long = media.write(data / "9.ts", media.drift(1500, (96, 128)), options={"preset": "ultrafast"})
    long.write_bytes(long.read_bytes() * 20)
    code = "import sys; from unscene.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "prepare", str(data), str(out), "--workers=2"]
    process = subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )

    def wait_for(there: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not there():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)

    record = out / "prepare.jsonl"
    wait_for(lambda: record.exists() and record.read_text().count('"bytes"') == 2 * 3)
    wait_for(lambda: any(out.glob(".9.*.tmp.mp4")))
    os.killpg(process.pid, signal.Signals[name])
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "stopped: 3 of 4 files are finished" in said
    assert sorted(path.name for path in out.iterdir()) == [
        *("0.mp4", "1.mp4", "2.mp4", "prepare.csv", "prepare.jsonl")
    ]
    assert all(inspect(out / f"{i}.mp4").frames == 20 for i in range(3))
