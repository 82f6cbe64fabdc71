"""Two processes do what one does: same loss for the same global batch, identical queues."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import ddp_worker
import pytest
import torch

from tiny_runs import command
from unscene.encoders import load_encoder

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("method", ["dsm", "cmd", "unscene", "motion-programs"])
def test_two_processes_give_the_loss_and_weights_of_one(method: str, tmp_path: Path) -> None:
    torch.multiprocessing.spawn(ddp_worker.main, (2, method, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    alone = ddp_worker.train(method, 0, 1)
    together = [sum(pair) / 2 for pair in zip(first["losses"], second["losses"], strict=True)]
    assert together == pytest.approx(alone["losses"], rel=1e-5)
    assert first["losses"] != second["losses"]  # each saw its own half
    # Not only equal: the same bytes, in the order of the ranks, as one process would push.
    for key in ("queue.features", "queue.position") if method == "dsm" else ():
        assert torch.equal(first["state"][key], second["state"][key])
    for key, value in alone["state"].items():
        torch.testing.assert_close(first["state"][key], value, rtol=1e-4, atol=1e-5)
        assert torch.equal(first["state"][key], second["state"][key])


def test_two_devices_from_the_command_line(flags: Callable[..., list[str]], tmp_path: Path) -> None:
    """The processes save together and end together; the account is that of both."""
    line = flags(tmp_path / "run", devices=2, max_steps=3, save_every=2, batch_size=2)
    done = command(line, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished after 3 of 3 steps") == 1
    out = tmp_path / "run"
    assert load_encoder(out).spec.trained_on["steps"] == 3
    assert json.loads((out / "summary.json").read_text())["finished"]
    state = torch.load(out / "last.ckpt", weights_only=False)["state_dict"]
    # Two processes of two clips fill the queue of six in a step and a half.
    assert int(state["method.queue.position"]) == (3 * 4) % 6
    assert not list(out.glob(".*"))
