"""What an audit reads: every window once, with its other tempos."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from media import pan, texture, write
from unscene.audit.footage import (
    Footage,
    TempoClipSampler,
    center_view,
    find_distinct,
    make_augmentation,
)
from unscene.data.listing import open_catalog
from unscene.data.loading import Batch
from unscene.encoders import EncoderSpec
from unscene.errors import UnsceneError
from unscene.evaluate.decoupling_views import ShiftedClipSampler
from unscene.video.decode import read_clips

FPS = 25.0
SPEC = EncoderSpec("any", {}, 1, frames=4, stride=2, size=32)


@pytest.mark.parametrize("total", [7, 8, 10, 14, 15, 16, 20, 31, 60])
@pytest.mark.parametrize(("stride", "count"), [(1, 1), (2, 1), (3, 2)])
def test_windows_lie_inside_the_video(total: int, stride: int, count: int, tmp_path: Path) -> None:
    path = write(tmp_path / "pan.mp4", pan(total))
    for number in range(count):
        rng = np.random.default_rng(0)
        request = TempoClipSampler(4, stride, count).draw(total / FPS, FPS, rng, number)
        plain = ShiftedClipSampler(4, stride, count).draw(total / FPS, FPS, rng, number)
        begins = {name: request.at * FPS + o[0] for name, o in request.offsets.items()}
        for name, offsets in plain.offsets.items():
            assert math.isclose(begins[name], plain.at * FPS + offsets[0], abs_tol=1e-6)
        assert ("slow" in begins) == (stride > 1)
        clips = read_clips(path, request)
        fits = total > 3 * stride
        for name, clip in clips.items():
            assert len(clip) == 4
            if fits:  # and does not loop
                assert (clip.times.diff() > 0).all(), name
        strides = {name: set(np.diff(o).tolist()) for name, o in request.offsets.items()}
        assert strides["clip"] == {stride}
        if stride > 1:
            assert strides["slow"] == {stride // 2}
            low, high = request.offsets["clip"][0], request.offsets["clip"][-1]
            assert low <= request.offsets["slow"][0] <= request.offsets["slow"][-1] <= high
        # A frame's time is rounded: where the window just fits it may be left out.
        if total > 6 * stride + 2:
            assert strides["fast"] == {2 * stride}
        if total <= 6 * stride:
            assert request.offsets["fast"] == request.offsets["clip"]


def test_slow_and_fast_share_the_middle_of_the_clip() -> None:
    request = TempoClipSampler(4, 4).draw(4.0, FPS, np.random.default_rng(0))
    middles = {name: (o[0] + o[-1]) / 2 for name, o in request.offsets.items()}
    assert middles["slow"] == middles["fast"] == middles["clip"] != middles["shifted"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k in range(5):
        write(tmp_path / f"{k}.mp4", pan(40, (48, 64), (2, 1 - k)))
    return tmp_path


def test_every_window_once_in_even_batches(folder: Path) -> None:
    footage = Footage(open_catalog(folder), clips=2, batch_size=4)
    batches = list(footage.batches(SPEC))
    assert [len(batch) for batch in batches] == footage.sizes() == [3, 4, 3]
    assert len(footage) == 3
    index = torch.cat([batch.index for batch in batches]).tolist()
    assert sorted(index) == sorted([*range(5)] * 2)
    assert index[:5] != sorted(index[:5])
    again = torch.cat([batch.index for batch in footage.batches(SPEC)]).tolist()
    other = torch.cat([b.index for b in replace(footage, seed=1).batches(SPEC)]).tolist()
    assert again == index != other
    for batch in batches:
        assert set(batch.clips) == {"clip", "shifted", "slow", "fast"}
        flow = batch.clips["clip"].flow
        assert flow is not None
        assert flow.shape == (len(batch), 3, 32, 32, 2)
        assert all(find_distinct(batch, name).all() for name in ("shifted", "slow", "fast"))
        assert not find_distinct(batch, "clip").any()


def test_what_a_short_or_still_video_cannot_show(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", pan(40))
    write(tmp_path / "b.mp4", pan(7))
    write(tmp_path / "c.mp4", [texture(48, 48)] * 40)
    (batch,) = Footage(open_catalog(tmp_path)).batches(SPEC)
    order = batch.index.argsort()
    assert find_distinct(batch, "fast")[order].tolist() == [True, False, False]
    assert find_distinct(batch, "shifted")[order].tolist() == [True, False, False]
    assert find_distinct(batch, "slow")[order].tolist() == [True, True, False]
    (batch,) = Footage(open_catalog(tmp_path)).batches(replace(SPEC, stride=1))
    assert find_distinct(batch, "slow").tolist() == [False] * 3


def test_files_that_fail_are_named(folder: Path) -> None:
    catalog = open_catalog(folder)
    (folder / "2.mp4").write_bytes(b"gone")
    footage = Footage(catalog, clips=2, batch_size=10)
    (batch,) = footage.batches(SPEC)
    assert sorted(batch.index.tolist()) == [0, 0, 1, 1, 3, 3, 4, 4]
    assert {failure.path for failure in batch.failures} == {str(folder / "2.mp4")}
    assert footage.sizes() == [10]


def test_labels(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", pan(20))
    shutil.copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    (tmp_path / "list.csv").write_text("path,label,place\na.mp4,run,gym\nb.mp4,,street\n")
    catalog = open_catalog(tmp_path / "list.csv")
    for column, expected in (
        ("label", ["run", None]),
        ("place", ["gym", "street"]),
        (None, [None] * 2),
    ):
        footage = Footage(catalog, label=column)
        assert [footage.label_of(i) for i in range(2)] == expected


def test_views_are_as_the_encoder_wants_them(folder: Path) -> None:
    (batch,) = Footage(open_catalog(folder)).batches(SPEC)
    view = center_view(batch, SPEC)
    plain = center_view(batch, replace(SPEC, mean=(0.0,) * 3, std=(1.0,) * 3))
    assert view.shape == (5, 3, 4, 32, 32)
    assert 0 <= plain.min() < plain.max() <= 1
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (SPEC.mean, SPEC.std))
    assert torch.allclose(view, (plain - mean) / std, atol=1e-5)
    assert not torch.equal(center_view(batch, SPEC, "fast"), view)
    with pytest.raises(UnsceneError, match="takes 2 channels"):
        make_augmentation(replace(SPEC, mean=(0.0, 0.0), std=(1.0, 1.0)))


def test_large_frames_are_shrunk_while_reading(tmp_path: Path) -> None:
    write(tmp_path / "large.mp4", pan(20, (240, 320)))
    catalog = open_catalog(tmp_path)

    def size(footage: Footage) -> list[int]:
        (batch,) = footage.batches(SPEC)
        assert isinstance(batch, Batch)
        found: list[int] = batch.clips["clip"].sizes[0].tolist()
        return found

    assert size(Footage(catalog)) == [96, 128]
    assert size(Footage(catalog, short_side=48)) == [48, 64]


@pytest.mark.parametrize("wrong", [{"clips": 0}, {"batch_size": 1}, {"workers": -1}])
def test_mistakes(wrong: dict[str, int], folder: Path) -> None:
    with pytest.raises(UnsceneError, match="must be at least"):
        Footage(open_catalog(folder), **wrong)
