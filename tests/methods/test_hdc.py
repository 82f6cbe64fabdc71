"""HDC: its loss against slow loops for every ablation, its views, its windows, two processes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unscene.encoders import VideoEncoder, create_encoder, load_encoder
from unscene.encoders.base import EncoderSpec
from unscene.errors import UnsceneError
from unscene.methods.contrast import gather_with_gradient, info_nce
from unscene.methods.hdc import HDC
from unscene.methods.presets import resolve
from unscene.methods.registry import create_method
from unscene.video.clip import ClipBatch
from unscene.video.loading import Batch
from unscene.video.sampling import RandomWindow, TwoWindows, span
from unscene.video.scenes import ScenesReport

SMALL: dict[str, Any] = {
    "size": 32, "frames": 4, "stride": 1, "dim": 8, "stages": 2, "stage_weights": [0.3, 2.0],
    "batch_size": 4,
}  # fmt: skip
B, T, SIDE = 4, 4, 40
PARTNER = {"spatial": "positive", "temporal": "second", "entangled": "second"}


def method(*, pool: str = "max", **changes: Any) -> HDC:
    """Batch norm in evaluation mode, so that views may be encoded one by one."""
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=8, stages=2, pool=pool)
    made = create_method("hdc", encoder, resolve("hdc", "default", SMALL | changes)).eval()
    assert isinstance(made, HDC)
    return made


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


def clips(seed: int, count: int = B) -> ClipBatch:
    generator = torch.Generator().manual_seed(seed)

    def plane(side: int) -> Tensor:
        shape = (count, T, side, side)
        return torch.randint(40, 200, shape, dtype=torch.uint8, generator=generator)

    flags = torch.zeros(count, dtype=torch.bool)
    sizes = torch.tensor([[SIDE, SIDE]] * count)
    return ClipBatch(plane(SIDE), plane(SIDE // 2), plane(SIDE // 2), sizes, flags, flags)


def batch(index: tuple[int, ...] = (0, 1, 2, 1)) -> Batch:
    """Four clips; by default the second and the fourth are of the same video."""
    named = {"clip": clips(1, len(index)), "second": clips(2, len(index))}
    return Batch(named, torch.tensor(index))


def views(model: HDC, data: Batch) -> dict[str, Tensor]:
    return model.views(data, torch.Generator().manual_seed(7))


def result(model: HDC, data: Batch) -> Any:
    return model(data, torch.Generator().manual_seed(7))


# -- the loss ----------------------------------------------------------------------------------


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
        info_nce(a[r], p[r], q[r], temperature=0.1, negative=p[r - 1], hidden=hidden)
        for r in range(3)
    ]
    turned = p.roll(1, dims=0)
    together = info_nce(a, p, q, temperature=0.1, negative=turned, hidden=hidden)
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
    same = torch.allclose(before[contrast], after[contrast], rtol=1e-6)
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


# -- settings and views ------------------------------------------------------------------------


def test_presets() -> None:
    for preset, tau in (("default", 0.1), ("paper", 0.07)):
        s = resolve("hdc", preset)
        assert (s.contrasts, s.stages, s.stage_weights) == ("both", 3, (0.25, 0.5, 1.0))
        assert (s.sc_pool, s.crop_first, s.frames) == ("2d", True, 16)
        assert (s.head, s.dim, s.temperature) == ("mlp", 128, tau)
    with pytest.raises(UnsceneError, match=r"hdc has no preset 'official-code'.* default, paper"):
        resolve("hdc", "official-code")


@pytest.mark.parametrize(
    ("contrasts", "names"),
    [
        ("both", ["anchor", "positive", "second"]),
        ("spatial", ["anchor", "positive"]),
        ("temporal", ["anchor", "second"]),
        ("entangled", ["anchor", "second"]),
    ],
)
def test_each_contrast_reads_and_draws_what_it_needs(contrasts: str, names: list[str]) -> None:
    model = method(contrasts=contrasts)
    assert list(views(model, batch())) == names
    kind = RandomWindow if contrasts == "spatial" else TwoWindows
    assert isinstance(model.sampler(), kind)


def test_cropped_first_each_window_is_augmented_by_itself() -> None:
    data = batch()
    alike = replace(data, clips=dict.fromkeys(data.clips, data.clips["clip"]))
    for crop_first in (True, False):
        got = views(method(crop_first=crop_first), alike)
        assert torch.equal(got["anchor"], got["second"]) != crop_first
        assert not torch.allclose(got["anchor"], got["positive"])
    plain = views(method(augmentation="none"), data)
    assert torch.equal(plain["anchor"], plain["positive"])  # the same window
    assert not torch.allclose(plain["anchor"], plain["second"])  # another one


@pytest.mark.parametrize("crop_first", [True, False])
def test_the_picture_names_every_view(
    crop_first: bool, moving: ScenesReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unscene.train import preview as preview_module  # see `process`

    page: dict[str, Any] = {}

    def draw(path: Path, sheets: Any, titles: dict[str, str], **words: str) -> None:
        page.update(words, titles=titles, views=sheets[0].views)
        path.touch()

    monkeypatch.setattr(preview_module.picture_page, "draw", draw)
    size = {"size": 32, "frames": 4, "stride": 1, "crop_first": crop_first}
    out = tmp_path / "views.png"
    preview_module.preview(str(moving.train), out, videos=1, method="hdc", overrides=size)
    assert list(page["titles"]) == list(page["views"]) == ["anchor", "positive", "second"]
    assert page["titles"]["second"].endswith("anew" if crop_first else "alike")
    assert page["heading"] == "What HDC learns from"
    assert "pulls both other views towards the anchor" in page["caption"]
    assert "pushes other videos away" in page["caption"]
    assert len(page["caption"]) <= 195  # 200 fit, and real sizes are longer


# -- windows -----------------------------------------------------------------------------------


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("fps", [5.0, 23.976, 30.0])
@pytest.mark.parametrize("length", [1, 31, 100, 4000])
@pytest.mark.parametrize("reach", [0, 40, 250])
def test_two_windows_lie_inside_the_video_and_the_reach(
    fps: float, length: int, reach: int
) -> None:
    sampler, room = TwoWindows(16, 2, reach), max(0, length - 31)
    for seed in range(40):
        request = sampler.draw(length / fps, fps, rng(seed))
        starts = {name: offsets[0] for name, offsets in request.offsets.items()}
        assert set(starts) == {"clip", "second"}
        for name, offsets in request.offsets.items():
            assert offsets == tuple(starts[name] + 2 * i for i in range(16))
        assert min(starts.values()) == 0
        assert max(starts.values()) <= min(reach, room)
        first = round(request.at * fps)  # the frame nearest to `at`
        assert 0 <= first + max(starts.values()) <= room


def test_two_windows_come_in_either_order_from_the_whole_video() -> None:
    sampler, generator = TwoWindows(16, 2, reach=50), rng(0)
    drawn = [sampler.draw(20.0, 25.0, generator) for _ in range(400)]
    apart = np.array([d.offsets["second"][0] - d.offsets["clip"][0] for d in drawn])
    assert abs((apart > 0).mean() - 0.5) < 0.1
    assert np.abs(apart).max() > 40
    at = np.array([d.at for d in drawn])
    room = 20 - span(16, 2, 25.0) - 1 / 25
    assert at.min() < 0.05 * room
    assert at.max() > 0.9 * room
    assert sampler.draw(20.0, 25.0, rng(3)) == sampler.draw(20.0, 25.0, rng(3))
    with pytest.raises(UnsceneError, match="reach -1"):
        TwoWindows(reach=-1)


# -- training ----------------------------------------------------------------------------------


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
