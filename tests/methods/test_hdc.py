"""HDC: its loss against slow loops for every ablation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hdc_parts import SMALL, batch, method, result, views
from torch import Tensor, nn

from unscene.data.loading import Batch
from unscene.encoders import VideoEncoder
from unscene.encoders.base import EncoderSpec
from unscene.errors import UnsceneError
from unscene.methods.contrastive import info_nce
from unscene.methods.hdc import HDC
from unscene.methods.registry import resolve

PARTNER = {"spatial": "positive", "temporal": "second", "entangled": "second"}


class Pointwise(VideoEncoder):
    """Two stages that see every pixel and frame alone: what is permuted stays permuted."""

    def __init__(self) -> None:
        super().__init__(
            EncoderSpec("pointwise", {}, dim=6), stage_dims=(5, 6), minimum=(1, 1, 1), pool="avg"
        )
        self.first, self.second = nn.Conv3d(3, 5, 1), nn.Conv3d(5, 6, 1)

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        shallow = self.first(clip_BCTHW).relu()
        return [shallow, self.second(shallow).sigmoid()]


def pointwise(**changes: Any) -> HDC:
    torch.manual_seed(0)
    return HDC(Pointwise(), resolve("hdc", "default", SMALL | changes))


def slow_nce(a: Tensor, b: Tensor, index: list[int], tau: float) -> list[Tensor]:
    """-log of the share of the own pair among it and those of other videos, both ways."""
    terms = []
    for query, key in ((a, b), (b, a)):
        for i in range(len(index)):
            own = torch.exp((query[i] * key[i]).sum() / tau)
            others = [
                torch.exp((query[i] * key[j]).sum() / tau)
                for j in range(len(index))
                if index[j] != index[i]
            ]
            terms.append(-torch.log(own / (own + sum(others))))
    return terms


def slow_loss(model: HDC, data: Batch) -> Tensor:
    s, index = model.settings, data.index.tolist()
    maps = {k: model.encoder.forward_stages(v) for k, v in views(model, data).items()}
    total = torch.zeros(())
    for contrast in ["spatial", "temporal"] if s.contrasts == "both" else [s.contrasts]:
        for stage in range(s.stages):
            depth = stage - s.stages
            head = model.embedder.heads[f"{contrast}{stage}"]
            sides = []
            for name in ("anchor", PARTNER[contrast]):
                over_space = maps[name][depth].flatten(3)
                largest = model.encoder.pool == "max"
                sides.append(over_space.amax(3) if largest else over_space.mean(3))
            if contrast == "spatial" and s.sc_pool == "2d":
                moments = [[side[:, :, t] for side in sides] for t in range(sides[0].shape[2])]
            else:
                moments = [[side.mean(2) for side in sides]]
            terms: list[Tensor] = []
            for a, b in moments:
                terms += slow_nce(head(a), head(b), index, s.temperature)
            total = total + s.stage_weights[depth] * sum(terms) / len(terms)
    return total


def test_what_is_logged_is_of_the_deepest_stage_that_learns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[Tensor] = []
    contrast = HDC._contrast

    def watching(self: HDC, *sides: Tensor) -> tuple[Tensor, Tensor]:
        found.append(torch.tensor(float(len(found))))  # distinct
        return contrast(self, *sides)[0], found[-1]

    monkeypatch.setattr(HDC, "_contrast", watching)
    for weights, deepest in (([1, 1], 1), ([1, 0], 0)):
        found.clear()
        metrics = result(method(stage_weights=weights, contrasts="spatial"), batch()).metrics
        assert metrics["spatial_rank1"] == found[deepest]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pool": "avg"},
        {"contrasts": "spatial"},
        {"contrasts": "temporal"},
        {"contrasts": "entangled"},
        {"stages": 1},
        {"stage_weights": [1, 1]},
        {"stage_weights": [1, 0]},  # not the last
        {"sc_pool": "3d"},
        {"crop_first": False},
        {"temperature": 0.5, "head": "linear"},
    ],
    ids=str,
)
def test_the_loss_is_the_slow_loop_in_every_ablation(changes: dict[str, Any]) -> None:
    model, data = method(**changes), batch()
    fast, slow = result(model, data).loss, slow_loss(model, data)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
    trained = list(model.parameters())
    for got, want in zip(
        torch.autograd.grad(fast, trained), torch.autograd.grad(slow, trained), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-5)


def test_rows_of_info_nce_know_nothing_of_each_other() -> None:
    generator = torch.Generator().manual_seed(0)
    a, p, q = (F.normalize(torch.randn(3, n, 5, generator=generator), dim=-1) for n in (4, 4, 6))
    hidden = torch.rand(4, 6, generator=generator) < 0.3
    each = [
        info_nce(a[r], p[r], q[r], temperature=0.1, negative=p[r - 1], mask=hidden)
        for r in range(3)
    ]
    turned = p.roll(1, dims=0)
    together = info_nce(a, p, q, temperature=0.1, negative=turned, mask=hidden)
    torch.testing.assert_close(together, sum(each) / 3)


@pytest.mark.parametrize(("contrasts", "partner"), [("spatial", "positive"), ("both", "second")])
@pytest.mark.parametrize("sc_pool", ["2d", "3d"])
def test_only_the_spatial_contrast_in_2d_pairs_time_steps(
    contrasts: str, partner: str, sc_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = pointwise(contrasts=contrasts, sc_pool=sc_pool), batch()
    drawn = views(model, data)
    before = result(model, data).metrics
    drawn[partner] = drawn[partner][:, :, [2, 0, 3, 1]]
    monkeypatch.setattr(model, "views", lambda *_: drawn)
    after = result(model, data).metrics
    contrast = "spatial" if contrasts == "spatial" else "temporal"
    same = torch.allclose(before[contrast], after[contrast], rtol=1e-5)
    assert same == (contrast == "temporal" or sc_pool == "3d")


def test_both_permuted_alike_are_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = pointwise(), batch()
    before = result(model, data).loss
    permuted = {k: v[:, :, [2, 0, 3, 1]] for k, v in views(model, data).items()}
    monkeypatch.setattr(model, "views", lambda *_: permuted)
    torch.testing.assert_close(result(model, data).loss, before)


@pytest.mark.parametrize("stages", [1, 2])
def test_hierarchy_reaches_early_stages_by_a_way_of_its_own(stages: int) -> None:
    model = pointwise(stages=stages)
    encoder = model.encoder
    assert isinstance(encoder, Pointwise)
    nn.init.zeros_(encoder.second.weight)  # no way back from the last stage
    result(model, batch()).loss.backward()
    assert encoder.second.weight.grad is not None
    assert encoder.first.weight.grad is not None
    assert encoder.second.weight.grad.any()
    assert bool(encoder.first.weight.grad.any()) == (stages == 2)


@pytest.mark.parametrize(
    ("changes", "heads"),
    [
        ({}, {"spatial0", "spatial1", "temporal0", "temporal1"}),
        ({"contrasts": "spatial"}, {"spatial0", "spatial1"}),
        ({"contrasts": "temporal", "stages": 1}, {"temporal0"}),
        ({"contrasts": "entangled"}, {"entangled0", "entangled1"}),
    ],
)
def test_heads_are_those_of_the_contrasts_and_stages(
    changes: dict[str, Any], heads: set[str]
) -> None:
    model = method(**changes)
    names = [name for name, _ in model.named_parameters() if ".encoder." not in name]
    assert {name.split(".")[2] for name in names} == heads
    assert {name.split(".")[1] for name in names} == {"heads"}


def test_a_batch_of_one_video_is_refused() -> None:
    for index in ((3,), (3, 3, 3)):
        with pytest.raises(UnsceneError, match="--batch_size of 2 or more"):
            result(method(), batch(index))


def test_what_contradicts_is_refused() -> None:
    with pytest.raises(UnsceneError, match="r3d-narrow has 2; pass --stages 2"):
        method(stages=3, stage_weights=[1, 1, 1])
    with pytest.raises(UnsceneError, match="--contrasts temporal"):
        method(contrasts="entangled", crop_first=False)
