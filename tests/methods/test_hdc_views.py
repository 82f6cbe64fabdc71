"""HDC: its presets, its views and its windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hdc_parts import batch, method, views

from unscene.errors import UnsceneError
from unscene.methods.registry import resolve
from unscene.synthetic.generate import ScenesReport
from unscene.video.sampling import RandomClipSampler, TwoClipSampler, clip_duration


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
    kind = RandomClipSampler if contrasts == "spatial" else TwoClipSampler
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
    from unscene.preview import run as preview_module  # see `process`

    page: dict[str, Any] = {}

    def draw(path: Path, sheets: Any, titles: dict[str, str], **words: str) -> None:
        page.update(words, titles=titles, views=sheets[0].views)
        path.touch()

    monkeypatch.setattr(preview_module.page, "draw_page", draw)
    size = {"size": 32, "frames": 4, "stride": 1, "crop_first": crop_first}
    out = tmp_path / "views.png"
    preview_module.preview(str(moving.train), out, videos=1, method="hdc", overrides=size)
    assert list(page["titles"]) == list(page["views"]) == ["anchor", "positive", "second"]
    assert page["titles"]["second"].endswith(
        "its own crop and color" if crop_first else "the same crop and color"
    )
    assert page["heading"] == "What HDC learns from"
    assert "pulls both other views to the anchor" in page["caption"]
    assert "pushes other videos away" in page["caption"]
    assert len(page["caption"]) <= 195  # 200 fit, and real sizes are longer


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("fps", [5.0, 23.976, 30.0])
@pytest.mark.parametrize("length", [1, 31, 100, 4000])
@pytest.mark.parametrize("reach", [0, 40, 250])
def test_two_windows_lie_inside_the_video_and_the_reach(
    fps: float, length: int, reach: int
) -> None:
    sampler, room = TwoClipSampler(16, 2, reach), max(0, length - 31)
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
    sampler, generator = TwoClipSampler(16, 2, reach=50), rng(0)
    drawn = [sampler.draw(20.0, 25.0, generator) for _ in range(400)]
    apart = np.array([d.offsets["second"][0] - d.offsets["clip"][0] for d in drawn])
    assert abs((apart > 0).mean() - 0.5) < 0.1
    assert np.abs(apart).max() > 40
    at = np.array([d.at for d in drawn])
    room = 20 - clip_duration(16, 2, 25.0) - 1 / 25
    assert at.min() < 0.05 * room
    assert at.max() > 0.9 * room
    assert sampler.draw(20.0, 25.0, rng(3)) == sampler.draw(20.0, 25.0, rng(3))
    with pytest.raises(UnsceneError, match="reach -1"):
        TwoClipSampler(reach=-1)
