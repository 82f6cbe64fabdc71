"""unscene: what its parts change, that each can be left out, and that it trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unscene.data.listing import open_catalog
from unscene.data.loading import Batch
from unscene.encoders import create_encoder
from unscene.errors import UnsceneError
from unscene.methods.base import Method
from unscene.methods.registry import create_method, keep_read, resolve
from unscene.preview.run import preview
from unscene.synthetic.generate import ScenesReport
from unscene.train.config import build
from unscene.train.pretrain import pretrain
from unscene.views.background_swap import segment_motion, swap_background

SMALL: dict[str, Any] = {
    "size": 32, "frames": 4, "stride": 1, "dim": 8, "batch_size": 4, "predictor_dim": 16,
    "predictor_hidden": 12, "side_encoders": "narrow", "motion_frames": 3, "motion_negatives": 1,
    "shift_range": [1, 2], "augmentation": "mild",
}  # fmt: skip
PLAIN = {"other_scene": 0.0, "prediction_weight": 0.0, "stages": 1, "head": "linear"}


def method(name: str = "unscene", **changes: Any) -> Method:
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=8)
    settings = resolve(name, "default", keep_read(name, SMALL | changes))
    return create_method(name, encoder, settings)


def read(model: Method, moving: ScenesReport) -> Batch:
    catalog = open_catalog(str(moving.train))
    data = model.dataset(catalog.videos)
    return Batch.of([data[0, index] for index in range(4)])


def result(model: Method, batch: Batch) -> Any:
    return model(batch, torch.Generator().manual_seed(3))


def test_without_its_parts_it_is_the_triplet(moving: ScenesReport) -> None:
    """Only where space is pooled before the head, and time after: a mean does not mind."""
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=8, pool="avg")
    bare = create_method("unscene", encoder, resolve("unscene", "default", SMALL | PLAIN)).eval()
    settings = resolve(
        "dsm-triplet", "default", keep_read("dsm-triplet", SMALL | {"head": "linear"})
    )
    plain = create_method("dsm-triplet", encoder, settings).eval()
    plain.embedder.head.load_state_dict(bare.embedder.heads["triplet0"].state_dict())  # type: ignore[union-attr, operator, index]
    batch = read(plain, moving)
    assert set(batch.clips) == set(read(bare, moving).clips)
    torch.testing.assert_close(result(bare, batch).loss, result(plain, batch).loss)


@pytest.mark.parametrize("loss", ["l2", "nce"])
def test_stages_and_foretelling_add_to_the_loss(loss: str, moving: ScenesReport) -> None:
    predictor = {"l2": "linear", "nce": "transformer"}[loss]
    model = method(other_scene=0.0, motion_loss=loss, predictor=predictor)
    batch = read(model, moving)
    others = {"other0"} if loss == "nce" else set()
    assert {"clip", "shifted", "motion"} | others == set(batch.clips)
    found = result(model, batch)
    ranked = {"motion_rank1"} if loss == "nce" else set()
    assert {"triplet", "motion"} | ranked <= set(found.metrics)
    found.loss.backward()
    heads = [name for name, p in model.named_parameters() if "heads" in name and p.grad is not None]
    assert {name.split(".")[2] for name in heads} == {"triplet0", "triplet1"}
    assert any(p.grad is not None for p in model.embedder.motion.parameters())  # type: ignore[union-attr]


def test_the_positive_takes_what_moves_to_another_scene(moving: ScenesReport) -> None:
    model = method(other_scene=1.0, prediction_weight=0.0, warp=False)
    batch = read(model, moving)
    here = method(other_scene=0.0, prediction_weight=0.0, warp=False)
    moved, stayed = (
        m.views(batch, torch.Generator().manual_seed(5))["positive"] for m in (model, here)
    )
    mask = segment_motion(stayed).mask.expand_as(stayed)
    inside, outside = mask == 1, mask == 0
    assert inside.any()
    assert torch.equal(moved[inside], stayed[inside])
    changed = (moved - stayed).abs().amax(dim=(1, 2))  # (B, h, w)
    assert (changed.flatten(1).amax(dim=1) > 0.1).sum() >= 3
    elsewhere_scene = segment_motion(stayed).scene.roll(1, 0).expand_as(stayed)
    fixed = segment_motion(stayed).fixed.view(-1, 1, 1, 1, 1).expand_as(outside)
    torch.testing.assert_close(moved[outside & fixed], elsewhere_scene[outside & fixed])


def test_a_clip_keeps_its_scene_where_it_must(moving: ScenesReport) -> None:
    model = method(other_scene=0.0, prediction_weight=0.0)
    view = read(model, moving)
    anchor = model.views(view, torch.Generator().manual_seed(5))["anchor"]
    every, none = torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)
    assert torch.equal(swap_background(anchor, torch.arange(4), none), anchor)
    assert torch.equal(swap_background(anchor, torch.zeros(4), every), anchor)  # all of one video
    assert not torch.equal(swap_background(anchor, torch.arange(4), every), anchor)


def test_videos_whose_motion_cannot_be_predicted_are_refused(moving: ScenesReport) -> None:
    video = open_catalog(str(moving.train)).videos[0]
    assert video.info is not None
    vp9 = replace(video, info=replace(video.info, codec="vp9", vectors=False))
    assert method().refuses(video) is None
    assert "vp9 carries no motion vectors" in str(method().refuses(vp9))
    assert "frames, and" in str(method(frames=64, stride=4).refuses(video))
    assert method(prediction_weight=0.0).refuses(vp9) is None
    assert method(motion_from="flow").refuses(vp9) is None
    assert "--flow auto" in str(method(prediction_weight=0.0, flow="codec").refuses(vp9))
    assert "--flow auto" in str(method("dsm", flow="codec").refuses(vp9))


def test_one_video_is_enough(moving: ScenesReport) -> None:
    model = method()
    several = read(model, moving)
    alone = replace(several, index=torch.zeros_like(several.index))
    assert torch.isfinite(result(model, alone).loss)


def test_what_it_cannot_be_without() -> None:
    with pytest.raises(UnsceneError, match="unscene needs a negative"):
        method(shift=False, flow_scaling=False)
    with pytest.raises(UnsceneError, match=r"other_scene 1.5: must lie in 0..1"):
        method(other_scene=1.5)


def test_the_predicted_motion_may_be_computed_flow(moving: ScenesReport) -> None:
    """Where something moves, it says what the codec's vectors say."""
    shown = []
    for source in ("vectors", "flow"):
        model = method(motion_from=source, other_scene=0.0)
        shown.append(model.views(read(model, moving), torch.Generator().manual_seed(5))["motion"])
    vectors, flow = shown
    assert vectors.shape == flow.shape
    moves = vectors.norm(dim=1, keepdim=True) > 0.02
    assert 0.01 < moves.float().mean() < 0.9
    assert (F.cosine_similarity(vectors, flow, dim=1)[:, None][moves]).median() > 0.5


@pytest.mark.parametrize(
    ("flow", "source"), [("dis", "vectors"), ("codec", "vectors"), ("dis", "flow")]
)
def test_it_trains(flow: str, source: str, moving: ScenesReport, tmp_path: Path) -> None:
    given = SMALL | {
        "data": str(moving.train), "out": str(tmp_path / "run"), "method": "unscene",
        "max_steps": 2, "encoder": "r3d-narrow", "encoder_options": {"width": 8}, "workers": 0,
        "accelerator": "cpu", "flow": flow, "motion_from": source,
    }  # fmt: skip
    assert pretrain(build(given), report=lambda *_: None).finished


@pytest.mark.parametrize("source", ["vectors", "flow"])
def test_its_picture_shows_what_is_to_be_predicted(
    source: str, moving: ScenesReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page: dict[str, Any] = {}

    def draw(path: Path, sheets: Any, titles: dict[str, str], **words: str) -> None:
        page.update(words, titles=titles, flows=sheets[0].flows)
        path.touch()

    monkeypatch.setattr("unscene.preview.page.draw_page", draw)
    small = {"size": 32, "frames": 4, "stride": 1, "motion_frames": 3, "shift_range": (1, 2)}
    small |= {"motion_from": source}
    preview(str(moving.train), tmp_path / "v.png", method="unscene", videos=1, overrides=small)
    assert list(page["titles"]) == ["anchor", "positive", "negative", "flow", "motion"]
    flow, shown = page["flows"]["motion"]
    assert flow.shape == (3, 32, 32, 2)
    assert shown.shape == (4, 32, 32, 3)
    assert np.abs(flow).max() > 0
    assert page["caption"].startswith("Training pulls the positive to the anchor")
    assert len(page["caption"]) <= 200  # longer ones are cut
