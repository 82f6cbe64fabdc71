"""Losses against loops, the queue's order, the formula of the momentum encoder."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unscene.methods.contrastive import Head, MomentumEncoder, Queue, gather, info_nce, triplet


def unit(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def slow_info_nce(a: Tensor, p: Tensor, q: Tensor, tau: float, n: Tensor | None) -> Tensor:
    losses = []
    for i in range(len(a)):
        good = torch.exp(sum(a[i, d] * p[i, d] for d in range(a.shape[1])) / tau)
        bad = torch.zeros((), dtype=a.dtype)
        if n is not None:
            bad = bad + torch.exp(sum(a[i, d] * n[i, d] for d in range(a.shape[1])) / tau)
        for j in range(len(q)):
            bad = bad + torch.exp(sum(a[i, d] * q[j, d] for d in range(a.shape[1])) / tau)
        losses.append(-torch.log(good / (good + bad)))
    return sum(losses) / len(losses)  # type: ignore[return-value]


@pytest.mark.parametrize("with_negative", [False, True])
@pytest.mark.parametrize("tau", [0.07, 1.0])
def test_info_nce_is_equation_7(with_negative: bool, tau: float) -> None:
    def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        a, p, n = (unit(3, 5, seed=s).requires_grad_() for s in (1, 2, 3))
        return a, p, unit(4, 5, seed=4), n if with_negative else None

    a, p, q, n = inputs()
    loss = info_nce(a, p, q, temperature=tau, negative=n)
    loss.backward()
    sa, sp, sq, sn = inputs()
    slow = slow_info_nce(sa, sp, sq, tau, sn)
    slow.backward()
    torch.testing.assert_close(loss, slow)
    torch.testing.assert_close(a.grad, sa.grad)
    torch.testing.assert_close(p.grad, sp.grad)
    if n is not None:
        torch.testing.assert_close(n.grad, sn.grad)


def test_info_nce_leaves_out_what_is_masked() -> None:
    a, p, q, n = (unit(4, 5, seed=s) for s in (1, 2, 3, 4))
    hidden = torch.eye(4, dtype=torch.bool)
    loss = info_nce(a, p, q, temperature=0.1, negative=n, mask=hidden)
    each = [
        slow_info_nce(a[i : i + 1], p[i : i + 1], q[~hidden[i]], 0.1, n[i : i + 1])
        for i in range(4)
    ]
    torch.testing.assert_close(loss, sum(each) / 4)


@pytest.mark.parametrize(("with_negative", "terms"), [(False, 1), (True, 2)])
def test_features_that_say_nothing_cost_the_log_of_the_candidates(
    with_negative: bool, terms: int
) -> None:
    same = torch.zeros(2, 4).index_fill_(1, torch.tensor([0]), 1.0)
    queue = same[:1].expand(6536, -1)
    loss = info_nce(same, same, queue, temperature=0.07, negative=same if with_negative else None)
    assert loss.item() == pytest.approx(math.log(6536 + terms), rel=1e-5)


def test_the_paper_temperature_is_almost_flat() -> None:
    """8.79 at uniform, 7.79 with perfect positives against orthogonal negatives."""
    a = torch.tensor([[1.0, 0.0]])
    orthogonal = torch.tensor([[0.0, 1.0]]).expand(6536, -1)
    assert info_nce(a, orthogonal[:1], orthogonal, temperature=1.0).item() == pytest.approx(
        8.79, abs=0.01
    )
    assert info_nce(a, a, orthogonal, temperature=1.0).item() == pytest.approx(7.79, abs=0.01)


def test_triplet_is_equation_5() -> None:
    def inputs() -> list[Tensor]:
        return [unit(6, 5, seed=s).requires_grad_() for s in (1, 2, 3)]

    a, p, n = inputs()
    loss = triplet(a, p, n, margin=0.5)
    loss.backward()
    sa, sp, sn = inputs()
    terms = []
    for i in range(6):
        near = math.sqrt(sum((sa[i, d] - sp[i, d]).item() ** 2 for d in range(5)))
        far = math.sqrt(sum((sa[i, d] - sn[i, d]).item() ** 2 for d in range(5)))
        terms.append(max(near - far + 0.5, 0.0))
    assert loss.item() == pytest.approx(sum(terms) / 6)
    assert any(terms)
    slow = torch.relu((sa - sp).norm(dim=1) - (sa - sn).norm(dim=1) + 0.5).mean()
    slow.backward()
    for fast, want in zip((a, p, n), (sa, sp, sn), strict=True):
        torch.testing.assert_close(fast.grad, want.grad)


def test_triplet_of_equal_points_has_a_finite_gradient() -> None:
    a = unit(2, 4).requires_grad_()
    triplet(a, a.detach().clone(), a.detach().clone(), margin=0.5).backward()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


def test_triplet_that_holds_by_the_margin_costs_nothing() -> None:
    a = unit(2, 4)
    assert triplet(a, a, -a, margin=0.5).item() == 0


def test_queue_keeps_the_last_k_in_order_when_k_is_no_multiple_of_b() -> None:
    queue, pushed = Queue(7, 2), []
    for step in range(9):
        batch = torch.full((3, 2), float(step)) + torch.tensor([[0.0], [0.1], [0.2]])
        queue.push(batch)
        pushed += list(batch)
        at = int(queue.position)
        ordered = torch.cat([queue.features[at:], queue.features[:at]])  # oldest first
        held = torch.stack(pushed[-7:])
        torch.testing.assert_close(ordered[-len(held) :], held)


def test_a_batch_larger_than_the_queue_leaves_its_last_rows() -> None:
    queue = Queue(4, 1)
    queue.push(torch.arange(3.0)[:, None])
    queue.push(torch.arange(10.0, 20.0)[:, None])
    assert sorted(queue.features[:, 0].tolist()) == [16, 17, 18, 19]


def test_queue_holds_no_graph_and_is_saved() -> None:
    queue = Queue(3, 2)
    queue.push(unit(2, 2).float().requires_grad_())
    assert not queue.features.requires_grad
    assert set(queue.state_dict()) == {"features", "position"}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_momentum_encoder_moves_by_the_formula_and_has_no_gradient() -> None:
    original = network()
    momentum_encoder = MomentumEncoder(original)
    before = copy.deepcopy(momentum_encoder.network)
    with torch.no_grad():
        for parameter in original.parameters():
            parameter.add_(torch.randn_like(parameter))
    momentum_encoder.follow(original, 0.9)
    for new, old, theirs in zip(
        momentum_encoder.network.parameters(),
        before.parameters(),
        original.parameters(),
        strict=True,
    ):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * theirs)
        assert not new.requires_grad
        assert new.data_ptr() != theirs.data_ptr()
    inputs = torch.randn(5, 3, requires_grad=True)
    assert not momentum_encoder(inputs).requires_grad


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_momentum_encoder_at_the_ends_of_momentum(momentum: float) -> None:
    original = network()
    momentum_encoder = MomentumEncoder(original)
    first = [p.clone() for p in momentum_encoder.network.parameters()]
    with torch.no_grad():
        for parameter in original.parameters():
            parameter.add_(1)
    momentum_encoder.follow(original, momentum)
    want = list(original.parameters()) if momentum == 0 else first
    for new, expected in zip(momentum_encoder.network.parameters(), want, strict=True):
        torch.testing.assert_close(new, expected)


@pytest.mark.parametrize(("kind", "layers"), [("linear", 1), ("mlp", 2)])
def test_head_normalises(kind: str, layers: int) -> None:
    head = Head(6, 4, kind)
    assert sum(isinstance(module, nn.Linear) for module in head.modules()) == layers
    out = head(torch.randn(3, 6) * 100)
    assert out.shape == (3, 4)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(3))


def test_gather_alone_is_the_identity() -> None:
    features = unit(2, 3)
    assert gather(features) is features
