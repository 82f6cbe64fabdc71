"""HDC trains: a run of a few steps, and two processes that do what one does."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hdc_parts import B, batch, method
from torch.nn.parallel import DistributedDataParallel

from unscene.data.loading import Batch
from unscene.encoders import load_encoder
from unscene.methods.contrastive import gather_with_gradient

pytestmark = pytest.mark.slow


def test_a_run_of_a_few_steps_leaves_an_encoder(tiny: Callable[..., Any], tmp_path: Path) -> None:
    from unscene.train.pretrain import pretrain  # see `process`

    outcome = pretrain(tiny(tmp_path, method="hdc", stages=2), report=lambda *_: None)
    assert outcome.finished
    spec = load_encoder(tmp_path).spec
    assert (spec.trained_on["method"], spec.trained_on["steps"]) == ("hdc", 4)
    assert spec.trained_on["settings"]["stage_weights"] == [0.25, 0.5, 1.0]
    assert json.loads((tmp_path / "summary.json").read_text())["finished"]
    state = torch.load(tmp_path / "last.ckpt", weights_only=False)["state_dict"]
    for name, value in load_encoder(tmp_path).state_dict().items():
        assert torch.equal(value, state[f"method.embedder.encoder.{name}"])
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert float(row["loss"]) == pytest.approx(float(row["spatial"]) + float(row["temporal"]))
        assert 0 <= float(row["temporal_rank1"]) <= 1


def test_gathering_alone_is_the_identity() -> None:
    features = torch.randn(2, 3, requires_grad=True)
    assert gather_with_gradient(features) is features


def train(rank: int, world: int) -> dict[str, Any]:
    """Three steps of this process's share of the batch; nothing is random but the weights."""
    model = method(augmentation="none")
    wrapped = DistributedDataParallel(model) if world > 1 else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(3):
        whole, size = batch(), B // world
        part = slice(rank * size, (rank + 1) * size)
        share = Batch({k: c[part] for k, c in whole.clips.items()}, whole.index[part])
        optimizer.zero_grad()
        loss = wrapped(share, torch.Generator()).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"losses": losses, "state": model.state_dict()}


def process(rank: int, world: int, folder: str) -> None:
    # Each process imports this file: what takes seconds to import is imported in its test.
    torch.set_num_threads(1)
    store = f"file://{Path(folder).absolute()}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    try:
        torch.save(train(rank, world), Path(folder) / f"{rank}.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def test_two_processes_give_the_loss_and_weights_of_one(tmp_path: Path) -> None:
    """Video 1 is in both halves: the two must know it for the same one."""
    torch.multiprocessing.spawn(process, (2, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    alone = train(0, 1)
    together = [sum(pair) / 2 for pair in zip(first["losses"], second["losses"], strict=True)]
    assert together == pytest.approx(alone["losses"], rel=1e-5)
    assert first["losses"] != second["losses"]
    for key, value in alone["state"].items():
        torch.testing.assert_close(first["state"][key], value, rtol=1e-4, atol=1e-5)
        assert torch.equal(first["state"][key], second["state"][key])
