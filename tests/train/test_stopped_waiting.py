"""A run that waits is stopped at once, and one whose data fails is saved: between two steps its
state is whole, and it goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from interrupted import checkpoint, silent
from unscene.data.loading import ClipDataset
from unscene.errors import UnsceneError, VideoError
from unscene.train.pretrain import pretrain

Make = Callable[..., Any]
STEPS, BATCH = 4, 4


@contextmanager
def signalled(name: str = "SIGINT", after: float = 0.3) -> Iterator[Callable[[], None]]:
    """Yield what asks for a signal to this process, and holds it up much longer."""

    def hold() -> None:
        number = signal.Signals[name]
        threading.Timer(after, lambda: os.kill(os.getpid(), number)).start()
        time.sleep(60)

    began = time.monotonic()
    yield hold
    assert time.monotonic() - began < 50


def on_read(number: int, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Act before the video is read that comes after so many."""
    real, count = ClipDataset._read, 0

    def read(self: ClipDataset, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count > number:
            act()
        return real(self, *arguments)

    monkeypatch.setattr(ClipDataset, "_read", read)


@pytest.fixture(scope="module")
def unbroken(tiny: Make, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("unbroken")
    pretrain(tiny(out, max_steps=STEPS), report=silent)
    return checkpoint(out)["state_dict"]


@pytest.mark.parametrize(("step", "name"), [(0, "SIGINT"), (2, "SIGINT"), (2, "SIGTERM")])
def test_a_run_that_waits_for_data(
    step: int,
    name: str,
    tiny: Make,
    unbroken: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tiny(tmp_path, max_steps=STEPS)
    with signalled(name) as hold:
        on_read(step * BATCH + 1, hold, monkeypatch)
        outcome = pretrain(config, report=silent)
    assert (outcome.finished, outcome.steps) == (False, step)
    assert "continue with: unscene pretrain --resume" in outcome.account
    assert checkpoint(tmp_path)["global_step"] == step
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    assert pretrain(config, resume=True, report=silent).finished
    weights = checkpoint(tmp_path)["state_dict"]
    assert all(torch.equal(weights[key], unbroken[key]) for key in unbroken)


def test_a_second_signal_ends_it_at_once(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here during a step, which cannot be left otherwise."""

    def twice(step: int, total: int, metrics: dict[str, float]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        pretrain(tiny(tmp_path, max_steps=STEPS), report=twice)
    assert time.monotonic() - began < 50


def test_a_run_that_measures_on_the_side(tiny: Make, tmp_path: Path) -> None:
    with signalled() as hold:

        def measure(*_: object) -> dict[str, float]:
            hold()
            return {}

        config = tiny(tmp_path, max_steps=60, monitor="decoupling")
        outcome = pretrain(config, report=silent, monitor=lambda *_: measure)
    assert 0 < outcome.steps < 60
    assert checkpoint(tmp_path)["global_step"] == outcome.steps


def test_a_run_whose_data_fails(
    tiny: Make,
    unbroken: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise VideoError("disk", "is gone")

    config = tiny(tmp_path, max_steps=STEPS)
    on_read(2 * BATCH, fail, monkeypatch)
    with pytest.raises(UnsceneError, match="20 videos in a row could not be read"):
        pretrain(config, report=silent)
    assert f"{tmp_path}: step 2 is saved; continue with --resume" in capsys.readouterr().err
    assert (tmp_path / "encoder.safetensors").exists()
    monkeypatch.undo()
    pretrain(config, resume=True, report=silent)
    weights = checkpoint(tmp_path)["state_dict"]
    assert all(torch.equal(weights[key], unbroken[key]) for key in unbroken)
    # Before the first step there is nothing to save, and nothing that would be in the way.
    other = tmp_path / "other"
    on_read(0, fail, monkeypatch)
    with pytest.raises(UnsceneError, match="20 videos in a row"):
        pretrain(tiny(other, max_steps=STEPS), report=silent)
    assert not (other / "last.ckpt").exists()


def test_memory_is_said_before_the_run(
    tiny: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain(tiny(tmp_path, max_steps=1), report=silent)
    error = capsys.readouterr().err
    # 4 videos with 4 clips of 4 frames of 32 x 32, at 1.5 bytes per pixel
    assert "memory: a batch of clips takes up to 98.3 kB" in error
