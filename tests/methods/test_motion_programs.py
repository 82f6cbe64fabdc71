"""Motion programs: viewings of one program find each other among those of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.data.loading import Batch
from unscene.encoders import create_encoder
from unscene.errors import UnsceneError
from unscene.methods.motion_programs import MotionPrograms
from unscene.methods.registry import create_method, find_method, generates, resolve
from unscene.synthetic.attributes import ATTRIBUTES

NAME = "motion-programs"


def make(encoder: str = "motion-net", **changes: Any) -> MotionPrograms:
    torch.manual_seed(0)
    options = {} if encoder == "motion-net" else {"input": "flow", "width": 8}
    settings = resolve(NAME, "default", {"frames": 9, "grid": 16} | changes)
    made = create_method(NAME, create_encoder(encoder, **options), settings)
    assert isinstance(made, MotionPrograms)
    return made


def batch_of(model: MotionPrograms, count: int = 3, seed: int = 0) -> Batch:
    dataset = model.dataset(seed=seed)
    return Batch.of([dataset[draw, draw] for draw in range(count)])


def test_the_registry_knows_that_it_generates_without_importing_it() -> None:
    assert generates(NAME)
    assert find_method(NAME).generates
    assert find_method(NAME).encoder == "motion-net"
    assert not generates("dsm")
    assert not find_method("dsm").generates


@pytest.mark.parametrize("encoder", ["motion-net", "r3d-narrow"])
def test_views_are_flow_on_as_many_cells_as_the_encoder_reads(encoder: str) -> None:
    model = make(encoder, size=48, shifted=True, retimed=True, shuffled=2, mirrored="negative")
    views = model.views(batch_of(model), torch.Generator())
    names = ["anchor", "positive", "shifted", "retimed", "mirrored", "shuffled"]
    assert list(views) == names
    cells = 32 if encoder == "motion-net" else 48
    assert all(view.shape == (3, 2, 8, cells, cells) for view in views.values())
    assert set(names) == set(model.captions())


def test_the_loss_is_infonce_among_the_other_programs() -> None:
    """Against the formula: 2 B queries, each with its positive and 2 (B - 1) negatives."""
    model = make(telling=0)
    batch = batch_of(model, 4)
    views = model.views(batch, torch.Generator())
    with torch.no_grad():
        found = model.loss(batch, views)
        z, _ = model.embedder(torch.cat([views["anchor"], views["positive"]]))
    assert torch.allclose(z.norm(dim=1), torch.ones(8))
    assert torch.allclose(found.loss, expected(z, torch.empty(0, 64)), atol=1e-5)
    assert set(found.metrics) == {"positive", "rank1"}


def test_negatives_are_candidates_of_every_query() -> None:
    model = make(shuffled=2, telling=0)
    batch = batch_of(model, 4)
    views = model.views(batch, torch.Generator())
    with torch.no_grad():
        found = model.loss(batch, views)
        z, _ = model.embedder(torch.cat(list(views.values())))
    assert torch.allclose(found.loss, expected(z[:8], z[8:]), atol=1e-5)
    assert 0 <= found.metrics["shuffled"] <= 1


def test_telling_adds_the_squared_error_of_anchors_and_positives() -> None:
    """Against NumPy: numbers with mean 0 and deviation 1 in the batch, negatives left out."""
    model = make(shuffled=2)
    batch = batch_of(model, 4)
    views = model.views(batch, torch.Generator())
    with torch.no_grad():
        found = model.loss(batch, views)
        z, told = model.embedder(torch.cat(list(views.values())))
    assert batch.numbers is not None
    assert batch.numbers.shape == (4, 2, len(ATTRIBUTES))
    true = np.concatenate([batch.numbers[:, 0].numpy(), batch.numbers[:, 1].numpy()])
    even = (true - true.mean(0)) / np.sqrt(true.var(0) + 0.0025)
    error = ((told[:8].numpy() - even) ** 2).mean()
    assert float(found.metrics["telling_error"]) == pytest.approx(error, rel=1e-4)
    assert torch.allclose(found.loss, expected(z[:8], z[8:]) + 2 * error, atol=1e-4)


def expected(z: Tensor, negatives: Tensor, temperature: float = 0.1) -> Tensor:
    losses = []
    for i in range(8):
        others = [z[j] for j in range(8) if j % 4 != i % 4]
        logits = torch.stack([z[i] @ one for one in (z[(i + 4) % 8], *others, *negatives)])
        losses.append(F.cross_entropy(logits[None] / temperature, torch.tensor([0])))
    return torch.stack(losses).mean()


def test_batches_are_a_function_of_seed_and_draw() -> None:
    first, again = (batch_of(make(), 2) for _ in range(2))
    for name, clip in first.clips.items():
        assert clip.flow is not None
        assert torch.equal(clip.flow, again.clips[name].flow)
    dataset = make().dataset()
    flows = [dataset[draw, 0].clips["anchor"].flow for draw in (0, 1)]  # another epoch
    other = make().dataset(seed=1)[0, 0].clips["anchor"].flow
    assert not torch.equal(flows[0], flows[1])
    assert not torch.equal(flows[0], other)


def test_a_few_steps_teach_it() -> None:
    """On one batch, the positive is soon nearer than all others."""
    model = make().train()
    batch = batch_of(model, 8)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    losses = []
    for _ in range(6):
        result = model(batch, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        losses.append(float(result.loss.detach()))
    assert losses[-1] < losses[0] - 0.3


def test_what_it_refuses() -> None:
    with pytest.raises(UnsceneError, match=r"r3d-narrow reads RGB.*--encoder motion-net"):
        create_method(NAME, create_encoder("r3d-narrow"), resolve(NAME))
    for wrong, said in (
        ({"shuffled": 1}, "shuffled 1: must be 0, or 2 to 24"),
        ({"retimed_by": (2.0, 1.0)}, "first <= second"),
        ({"frames": 2}, "two flows need 3 frames"),
        ({"warp": True}, "--warp changes nothing in motion-programs"),
    ):
        with pytest.raises(UnsceneError, match=said):
            resolve(NAME, "default", wrong)
