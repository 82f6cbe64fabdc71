"""Saliency: known maps get the scores that they must get."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from seeing import (
    Known,
    Maps,
    brightness,
    constant,
    edges,
    measure_once,
    measured,
    motion,
    no_maps,
    noise,
    read,
)
from sklearn.metrics import roc_auc_score

from media import texture, write
from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.where import Saliency
from unscene.audit.moving import find_moving, find_outlier_motion
from unscene.audit.result import Measured
from unscene.audit.saliency import (
    auc,
    class_cam,
    energy,
    grad_cam,
    share,
    similarity,
    upsample,
)
from unscene.data.listing import open_catalog
from unscene.data.loading import Batch
from unscene.encoders.foreign import adapt
from unscene.errors import UnsceneError
from unscene.synthetic.generate import MovingScenes, generate


def where(maps: Maps, footage: Footage, size: int = 64) -> Measured:
    return measure_once(Saliency, maps, footage, size=size)


# -- the scores ----------------------------------------------------------------------------------


def test_auc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    values, inside = rng.integers(0, 20, 500).astype(float), rng.random(500) < 0.2
    found = auc(torch.from_numpy(values), torch.from_numpy(inside))
    assert found == pytest.approx(roc_auc_score(inside, values))
    # A pixel that is half inside counts half for each side.
    weight = rng.random(500)
    both = roc_auc_score(
        np.repeat([1, 0], 500), np.tile(values, 2), sample_weight=np.r_[weight, 1 - weight]
    )
    assert auc(torch.from_numpy(values), torch.from_numpy(weight)) == pytest.approx(both)


def test_auc_of_equals_is_chance_and_of_nothing_unknown() -> None:
    mask = (torch.arange(12) < 3).float()
    assert auc(torch.ones(12), mask) == 0.5
    assert auc(mask, mask) == 1.0
    assert auc(-mask, mask) == 0.0
    assert np.isnan(auc(mask, torch.zeros(12)))
    assert np.isnan(auc(mask, torch.ones(12)))


def test_share_of_saliency() -> None:
    mask = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert share(torch.ones(4), mask) == 0.25
    assert share(torch.tensor([3.0, 1.0, 0.0, 0.0]), mask) == 0.75
    assert share(torch.zeros(4), mask) == 0.25


def test_energy_is_the_mean_of_what_is_never_negative() -> None:
    maps = torch.rand(2, 5, 2, 3, 3)
    torch.testing.assert_close(energy(maps), maps.mean(dim=1))


def test_energy_of_normalised_tokens_finds_the_odd_one() -> None:
    tokens = torch.nn.functional.layer_norm(torch.randn(1, 1, 1, 1, 8).expand(1, 2, 4, 4, 8), (8,))
    tokens = tokens.clone()
    tokens[0, 1, 2, 3] = -tokens[0, 1, 2, 3]  # of the same norm and mean as all others
    found = energy(tokens.movedim(-1, 1))
    assert int(found.argmax()) == 1 * 16 + 2 * 4 + 3
    assert found.min() >= 0


def test_grad_cam_shows_the_channel_that_speaks_for_the_score() -> None:
    maps = torch.rand(2, 3, 2, 4, 4)
    logit = grad_cam(maps, lambda m: 2 * m[:, 1].mean(dim=(1, 2, 3)) - m[:, 2].mean(dim=(1, 2, 3)))
    torch.testing.assert_close(logit, ((2 * maps[:, 1] - maps[:, 2]) / 32).clamp(min=0))
    with torch.inference_mode():
        found = grad_cam(maps, similarity(torch.tensor([0.0, 1.0, 0.0])))
    # More of channel 1 brings the feature nearer to the query, more of the others moves it away.
    ahead = (maps[:, 1] > 0.9) & (maps[:, 0] < 0.2) & (maps[:, 2] < 0.2)
    behind = (maps[:, 1] < 0.2) & (maps[:, 0] > 0.6) & (maps[:, 2] > 0.6)
    assert not found.isnan().any()
    assert (found[behind] == 0).all()
    assert ahead.sum() == 0 or found[ahead].min() > found.mean()


def test_upsampling_keeps_places() -> None:
    small = torch.zeros(1, 2, 4, 4)
    small[0, 1, 3, 0] = 1
    large = upsample(small, (8, 16, 16))[0]
    frame, row, column = np.unravel_index(int(large.argmax()), large.shape)
    assert frame >= 6
    assert row >= 12
    assert column <= 3


# -- controls on moving scenes ---------------------------------------------------------------------


def test_a_map_of_motion_lies_on_what_moves(scenes: Footage) -> None:
    found = where(motion, scenes)
    scores = found.scores
    assert scores["auc"].value > 0.9
    assert scores["auc"].ci95[0] > 0.85
    assert scores["share"].ci95[0] > 3 * found.scores["share"].chance
    assert scores["gain"].ci95[0] > 0.35  # frozen, it sees nothing
    assert scores["frozen"].value == 0.5
    assert scores["elsewhere"].value < 0.65
    assert scores["auc"].n == 16
    assert found.forwards == 2 * 16


@pytest.mark.slow
def test_maps_that_know_nothing_are_at_chance(scenes: Footage) -> None:
    flat = where(constant, scenes)
    assert flat.scores["auc"].value == 0.5
    assert flat.scores["gain"].value == 0
    assert flat.scores["share"].value == pytest.approx(flat.scores["share"].chance, abs=1e-6)
    random = where(noise, scenes)
    assert random.scores["auc"].value == pytest.approx(0.5, abs=0.04)
    light = where(brightness, scenes)
    assert light.scores["auc"].ci95[0] < 0.5 < light.scores["auc"].ci95[1]


def test_a_map_of_looks_gains_nothing_from_motion(scenes: Footage) -> None:
    """It finds the object in a still frame, too; `frozen` shows that motion plays no part."""
    found = where(edges, scenes).scores
    assert found["auc"].ci95[0] > 0.55
    assert abs(found["gain"].value) < 0.05
    assert where(motion, scenes).scores["gain"].ci95[0] > found["gain"].ci95[1]


def test_what_moves_at_the_maps_resolution_is_the_ceiling(scenes: Footage) -> None:
    def coarse(clip: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool3d(motion(clip), (4, 16, 16))

    found = where(coarse, scenes)
    assert found.details["map"] == [2, 4, 4]
    assert found.scores["auc"].value < found.scores["ceiling"].value < 0.99
    assert found.scores["auc"].value > 0.75


def test_pictures_are_of_different_classes(scenes: Footage) -> None:
    found = where(motion, scenes)
    shown = found.details["shown"]
    assert len({entry["label"] for entry in shown}) == len(shown) == 4
    assert len(found.pictures) == 16
    sizes = {
        name: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape
        for name, data in found.pictures.items()
    }
    assert sizes["film-1.png"] == sizes["video-1.png"] == sizes["moves-1.png"] == (112, 8 * 112, 3)
    again = where(constant, scenes)
    assert [e["video"] for e in again.details["shown"]] == [e["video"] for e in shown]
    json.dumps(found.details, allow_nan=False)


# -- what cannot be scored -------------------------------------------------------------------------


def test_a_model_without_maps_says_so(scenes: Footage) -> None:
    found = where(no_maps, scenes)
    assert found.absent == "this model has no maps"
    assert not found.scores


def test_still_footage_has_no_motion_to_look_at(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"{name}.mp4", [texture(64, 64, seed=ord(name))] * 20)
    footage = Footage(open_catalog(tmp_path), batch_size=2)
    found = where(motion, footage)
    assert not found.scores
    assert found.absent == "no clip can be scored (nothing moves in 2)"
    assert found.details["left_out"] == {"nothing moves": 2}


def test_before_a_moving_camera_flow_shows_what_moves(tmp_path: Path) -> None:
    """A picture pans to the left, a patch on it moves to the right."""
    ground, patch = texture(64, 160), 255 - texture(20, 20, seed=1)
    frames = []
    for t in range(20):
        frame = ground[:, 2 * t : 2 * t + 64].copy()
        frame[22:42, 4 + t : 24 + t] = patch
        frames.append(frame)
    write(tmp_path / "pan.mp4", frames)
    write(tmp_path / "again.mp4", frames)
    footage = Footage(open_catalog(tmp_path), batch_size=2)
    extractor = FeatureExtractor(Known(motion, size=64))
    (batch,) = footage.batches(extractor.spec)
    moves = find_moving(extractor, batch)
    assert not moves.fixed.any()
    assert moves.why == ("", "")
    truth = torch.zeros(64, 64)
    # The view cuts 1/16 off every edge and enlarges the rest.
    rows = slice(round((22 - 4) * 64 / 56), round((42 - 4) * 64 / 56))
    assert 0.02 < float(moves.area[0]) < 0.3
    truth[rows] = 1
    assert float((moves.mask[0].mean(dim=0) * truth).sum() / moves.mask[0].mean(dim=0).sum()) > 0.8


def test_a_camera_alone_moves_nothing() -> None:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    zoom = torch.stack([0.2 * x + 0.1, 0.2 * y - 0.05], dim=-1).expand(2, 3, 32, 32, 2)
    assert find_outlier_motion(zoom).abs().max() == 0
    moved = zoom.clone()
    moved[:, :, 8:16, 8:16, 0] += 0.3
    mask = find_outlier_motion(moved)
    assert mask.shape == (2, 4, 32, 32)
    assert mask[:, :, 8:16, 8:16].min() == 1
    assert mask.sum() == 2 * 4 * 64


def test_flow_is_needed(scenes: Footage) -> None:
    extractor = FeatureExtractor(Known(motion))
    batch = read(scenes, extractor.spec)[0]
    bare = Batch({"clip": replace(batch.clips["clip"], flow=None)}, batch.index)
    with pytest.raises(UnsceneError, match="flow"):
        find_moving(extractor, bare)


@pytest.mark.parametrize("seed", [1])
def test_the_order_of_maps_holds_over_seeds(seed: int, tmp_path: Path) -> None:
    spec = MovingScenes(train_videos=8, seen_videos=0, unseen_videos=0, frames=20, seed=seed)
    made = generate(tmp_path / "scenes", spec)
    footage = Footage(open_catalog(made.train), batch_size=4)
    aucs = [where(maps, footage, size=48).scores["auc"].value for maps in (motion, edges, constant)]
    assert aucs[0] > aucs[1] > aucs[2] == 0.5


# -- models with classes ---------------------------------------------------------------------------


class Classifier(torch.nn.Module):
    """Two classes, by what moves and by how bright it is.

    Args:
        kind: of its maps: "first" with channels first, "last" with channels last, "tokens", or
            "class": tokens of which it reads the first alone.
    """

    def __init__(self, favourite: int, kind: str = "first") -> None:
        super().__init__()
        self.kind, self.norm, self.early = kind, torch.nn.Identity(), torch.nn.Identity()
        self.mix = torch.nn.Conv3d(2, 2, 1, bias=False)
        self.fc = torch.nn.Linear(2, 2)
        with torch.no_grad():
            self.mix.weight.copy_(torch.eye(2)[:, :, None, None, None])
            self.fc.weight.copy_(torch.eye(2))
            self.fc.bias.zero_()[favourite] = 100

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        maps = self.mix(torch.cat([motion(clip), brightness(clip)], dim=1))
        if self.kind == "first":
            return self.fc(maps.mean(dim=(2, 3, 4)))
        last = maps.movedim(1, -1)
        if self.kind == "last":
            return self.fc(self.norm(last).mean(dim=(1, 2, 3)))
        tokens = last.flatten(1, 3)
        if self.kind == "tokens":
            return self.fc(self.norm(tokens).mean(dim=1))
        tokens = self.early(tokens)
        return self.fc(self.norm(torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1))[:, 0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["first", "last", "tokens"])
def test_grad_cam_of_a_model_with_logits(scenes: Footage, kind: str) -> None:
    aucs = []
    for favourite in (0, 1):
        encoder = adapt(Classifier(favourite, kind), frames=8, stride=2, size=64)
        extractor = FeatureExtractor(encoder)
        found = measured(Saliency(extractor, scenes), scenes, extractor)
        assert found.scores["class"].chance == 0.5
        assert found.forwards == 3 * 16
        aucs.append(found.scores["class"].value)
    # Of the same map, what speaks for the class of motion lies on what moves.
    assert aucs[0] > 0.9
    assert aucs[1] < 0.7


@pytest.mark.parametrize("kind", ["last", "tokens"])
def test_grad_cam_does_not_hang_on_the_order_of_axes(kind: str) -> None:
    clips = torch.rand(2, 3, 8, 16, 16)
    found = [
        class_cam(adapt(Classifier(0, k), frames=8, stride=2, size=16), clips)
        for k in ("first", kind)
    ]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].max() > 0
    torch.testing.assert_close(*found)


def test_a_class_token_alone_says_nothing_of_places_after_the_last_layer() -> None:
    clips = torch.rand(1, 3, 8, 16, 16)
    for layer, says in ((None, False), ("norm", False), ("early", True)):
        encoder = adapt(Classifier(0, "class"), frames=8, stride=2, size=16, layer=layer)
        assert encoder.forward_maps(clips).shape == (1, 2, 8, 16, 16)
        found = class_cam(encoder, clips)
        assert (found is not None) == says


def test_logits_that_are_no_numbers_stop_the_audit() -> None:
    broken = Classifier(0)
    broken.fc.weight.data.fill_(float("nan"))
    encoder = adapt(broken, frames=8, stride=2, size=16)
    with pytest.raises(UnsceneError, match="class maps are not finite"):
        class_cam(encoder, torch.rand(1, 3, 8, 16, 16))


def test_without_logits_there_is_no_class(scenes: Footage) -> None:
    extractor = FeatureExtractor(Known(motion))
    clips = torch.rand(2, 3, 8, 64, 64)
    assert class_cam(extractor.encoder, clips) is None
    assert "class" not in where(motion, scenes).scores
