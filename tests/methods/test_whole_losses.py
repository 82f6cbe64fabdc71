"""Losses of whole methods while they train: what is added up, weighed how, of which views."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cmd_parts import method as cmd
from method_parts import B, batch, clips, method, views
from torch import Tensor, nn

from unscene.methods import triplet_views as dsm_file
from unscene.methods.contrastive import MomentumEncoder, Queue
from unscene.methods.moco import MoCo
from unscene.methods.motion_prediction import MotionPrediction
from unscene.methods.predictor import NormHead, TransformerPredictor
from unscene.methods.registry import resolve
from unscene.methods.unscene import Unscene
from unscene.views.background_swap import swap_background


@pytest.mark.parametrize(
    ("name", "others"), [("moco", ["positive"]), ("dsm", ["positive", "negative"])]
)
def test_moco_and_dsm_while_training(name: str, others: list[str]) -> None:
    """Equation 7: all keys in one pass of the momentum encoder, the negative among them."""
    model = method(name, temperature=0.3, batch_negatives=False).train()
    assert isinstance(model, MoCo)
    data = batch()
    shown = views(model, data)
    embedder, momentum_encoder = (
        copy.deepcopy(model.embedder),
        copy.deepcopy(model.momentum_encoder),
    )
    queue = model.queue.features.clone()
    found = model.loss(data, shown).loss
    anchor = embedder(shown["anchor"])
    keys = momentum_encoder(torch.cat([shown[other] for other in others])).chunk(len(others))
    near = [(anchor * key).sum(dim=1, keepdim=True) for key in keys]
    logits = torch.cat([*near, anchor @ queue.T], dim=1) / 0.3
    torch.testing.assert_close(found, F.cross_entropy(logits, torch.zeros(B, dtype=torch.long)))


def test_the_momentum_encoder_follows_by_its_momentum() -> None:
    """Parameters only: what batch norm has seen stays its own."""
    model = method("moco", key_momentum=0.9).train()
    assert isinstance(model, MoCo)
    data = batch()
    model.loss(data, views(model, data))
    with torch.no_grad():
        for parameter in model.embedder.parameters():
            parameter.add_(1.0)
    before = copy.deepcopy(model.momentum_encoder.network)
    model.after_step()
    for now, was, theirs in zip(
        model.momentum_encoder.network.parameters(),
        before.parameters(),
        model.embedder.parameters(),
        strict=True,
    ):
        torch.testing.assert_close(now, 0.9 * was + 0.1 * theirs)
    theirs_too = dict(model.embedder.named_buffers())
    for name, buffer in model.momentum_encoder.network.named_buffers():
        assert torch.equal(buffer, dict(before.named_buffers())[name]), name
        if name.endswith("running_mean"):
            assert not torch.equal(buffer, theirs_too[name]), name


def test_a_queue_begins_with_features_of_length_one() -> None:
    torch.testing.assert_close(Queue(5, 3).features.norm(dim=1), torch.ones(5))


def test_a_momentum_encoder_without_momentum_equals_its_original() -> None:
    original = nn.Linear(3, 2)
    momentum_encoder = MomentumEncoder(nn.Linear(3, 2))
    momentum_encoder.follow(original, 0.0)
    torch.testing.assert_close(
        momentum_encoder(torch.ones(1, 3)), original(torch.ones(1, 3)).detach()
    )


@pytest.mark.parametrize("name", ["dsm-triplet", "hdc", "unscene"])
def test_all_views_pass_together(name: str) -> None:
    """Apart, batch norm would take away the difference between kinds of views."""
    weights = {} if name == "dsm-triplet" else {"stage_weights": (0.5, 1.0)}
    model = method(name, **weights).train()
    passes: list[int] = []
    stem = next(m for m in model.embedder.encoder.modules() if isinstance(m, nn.Conv3d))
    stem.register_forward_hook(lambda _, given, __: passes.append(len(given[0])))
    data = batch()
    model.loss(data, views(model, data))
    assert passes == [3 * B]


def test_all_windows_of_motion_pass_together() -> None:
    prediction = MotionPrediction((8, 2, 2, 2), resolve("cmd", "default", _small("nce")))
    passes: list[int] = []
    stem = next(m for m in prediction.motion_encoder.modules() if isinstance(m, nn.Conv3d))
    stem.register_forward_hook(lambda _, given, __: passes.append(len(given[0])))
    windows = [torch.randn(B, 2, 4, 32, 32) for _ in range(3)]
    prediction(torch.randn(B, 8, 2, 2, 2), windows, torch.eye(B, dtype=torch.bool))
    assert passes == [3 * B]


def _small(loss: str) -> dict[str, Any]:
    return {
        "size": 32, "frames": 4, "dim": 8, "predictor_dim": 16, "predictor_hidden": 12,
        "side_encoders": "narrow", "motion_frames": 4, "motion_loss": loss,
    }  # fmt: skip


def test_foretelling_what_stands_still_is_finite() -> None:
    prediction = MotionPrediction((8, 2, 2, 2), resolve("cmd", "default", _small("l2")))
    nn.init.ones_(prediction.values.bias)
    still = [torch.zeros(B, 2, 4, 32, 32)]
    maps, own = torch.randn(B, 8, 2, 2, 2), torch.eye(B, dtype=torch.bool)
    loss, _ = prediction(maps, still, own)
    assert torch.isfinite(loss)
    assert loss > 1


# -- unscene ---------------------------------------------------------------------------------------


def unscene(**changes: Any) -> Unscene:
    model = method("unscene", stages=2, stage_weights=(0.5, 3.0, 1.0), **changes).eval()
    assert isinstance(model, Unscene)
    torch.manual_seed(1)
    nn.init.normal_(model.embedder.motion.values.weight)  # nothing is predicted at first
    return model


def test_what_unscene_adds_up() -> None:
    """Triplets of the last two stages, weighted 3 to 1, and the error of the predicted motion."""
    model = unscene(prediction_weight=0.3, margin=0.2)
    data = batch()
    shown = views(model, data)
    found = model.loss(data, shown)
    stacked = torch.cat([shown[name] for name in ("anchor", "positive", "negative")])
    triplets = []
    for stage, features in enumerate(model.embedder.encoder.forward_stages(stacked)[-2:]):
        pooled = model.embedder.over_time(features)
        a, p, n = model.embedder.embed("triplet", stage, pooled)[:, 0].chunk(3)
        further = (a - p).norm(dim=1) - (a - n).norm(dim=1) + 0.2
        triplets.append(further.clamp(min=0).mean())
    assert triplets[0] != triplets[1]
    expected = (3 * triplets[0] + triplets[1]) / 4 + 0.3 * found.metrics["motion"]
    torch.testing.assert_close(found.loss, expected)


def test_unscene_foretells_from_the_anchor() -> None:
    model = unscene()
    data = batch()
    shown = views(model, data)
    before = model.loss(data, shown).metrics["motion"]
    for name in ("negative", "positive"):
        changed = shown | {name: shown[name].flip(-1)}
        torch.testing.assert_close(model.loss(data, changed).metrics["motion"], before)
    changed = shown | {"anchor": shown["anchor"].flip(-1)}
    assert model.loss(data, changed).metrics["motion"] != before


# -- what is drawn for views -----------------------------------------------------------------------


def test_dsm_draws_as_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: dict[str, Any] = {}

    def recorded(name: str) -> Any:
        drawn = getattr(dsm_file, name)

        def draw(*values: Any, **named: Any) -> Tensor:
            passed[name] = named
            result: Tensor = drawn(*values, **named)
            return result

        return draw

    for name in ("draw_phi", "draw_offsets"):
        monkeypatch.setattr(dsm_file, name, recorded(name))
    views(method("dsm", flow_max=3.0, warp_reach=0.1, warp_points=4), batch())
    assert passed["draw_phi"] == {"maximum": 3.0}
    assert passed["draw_offsets"] == {"points": 4, "reach": 0.1}


def test_half_of_the_positives_get_another_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[Tensor] = []

    def record(view: Tensor, index: Tensor, which: Tensor, **named: Any) -> Tensor:
        chosen.append(which)
        assert named == {"std": model.basic.std}
        return swap_background(view, index, which, **named)

    monkeypatch.setattr(dsm_file, "swap_background", record)
    model = method("dsm", other_scene=0.5)
    for seed in range(60):
        views(model, batch(), seed)
    assert 0.35 < torch.cat(chosen).float().mean() < 0.65


@pytest.mark.parametrize(("size", "grid"), [(16, 32), (48, 48)])
def test_flow_is_as_fine_as_the_view(size: int, grid: int) -> None:
    (added,) = method("dsm", size=size).transforms().values()
    assert added.keywords["grid"] == grid  # type: ignore[attr-defined]


def test_a_key_frame_has_a_crop_of_its_own() -> None:
    """Even of the very picture that the clip shows."""
    model = cmd(tasks="context", augmentation="cmd")
    clip = clips(1, still=True)
    first = replace(
        clip, **{name: getattr(clip, name)[:, :1] for name in ("y", "u", "v")}, flow=None
    )
    shown = views(model, batch(clip=clip, key=first))
    assert not torch.allclose(shown["key"][:, :, 0], shown["anchor"][:, :, 0], atol=0.1)


# -- CMD's predictor -------------------------------------------------------------------------------


def predictor() -> TransformerPredictor:
    torch.manual_seed(0)
    made = TransformerPredictor(6, 16, (2, 2, 2), (1, 2, 2))
    for layer in made.modules():  # as they begin, their say is too small to be seen
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
    return made


def test_the_predictor_is_as_deep_as_theirs_and_drops() -> None:
    made = predictor()
    assert (len(made.encoder), len(made.decoder)) == (2, 4)
    maps = torch.randn(2, 6, 2, 2, 2)
    assert not torch.equal(made.train()(maps), made(maps))
    assert torch.equal(made.eval()(maps), made(maps))
    assert {m.p for m in made.modules() if isinstance(m, nn.Dropout)} == {0.1}
    assert {m.dropout for m in made.modules() if isinstance(m, nn.MultiheadAttention)} == {0.1}


def test_what_is_projected_begins_small() -> None:
    torch.manual_seed(0)
    made = TransformerPredictor(64, 64, (2, 2, 2), (1, 2, 2))
    assert made.project.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_positions_are_known_to_queries_and_keys_only() -> None:
    """Without them the decoder cannot know the position of a value; they are never a value."""
    made = predictor().eval()
    maps = torch.randn(2, 6, 2, 2, 2)
    turned = maps.flatten(2)[:, :, torch.randperm(8)].view_as(maps)
    assert not torch.allclose(made(maps), made(turned), atol=1e-4)
    with torch.no_grad():
        made.places.zero_()
    torch.testing.assert_close(made(maps), made(turned))
    same = torch.zeros_like(maps)  # tokens of zero: what is passed on holds no position
    with torch.no_grad():
        made.places.normal_()
        memory = made.project(same.flatten(2).mT)
        for layer in made.encoder:
            memory = layer(memory, made.places)
    torch.testing.assert_close(memory, memory[:, :1].expand_as(memory))


def test_the_decoder_knows_where_what_it_sees_stands() -> None:
    made = predictor().eval()
    layer = made.decoder[0]
    future, memory = torch.zeros(1, 4, 16), torch.randn(1, 8, 16)
    seen = layer(future, made.queries, memory, made.places)
    assert not torch.allclose(seen, layer(future, made.queries, memory, 0 * made.places))


def test_a_head_bends() -> None:
    head = NormHead(4, 3, 5).eval()
    x, y = torch.randn(2, 1, 4)
    raw = head.layers
    assert not torch.allclose(raw(x) + raw(y), raw(x + y), atol=1e-3)
