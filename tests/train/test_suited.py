"""What is told of the videos before a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interrupted import silent
from unscene.train.pretrain import pretrain
from unscene.train.preview import preview
from unscene.train.suited import remarks
from unscene.video.catalog import Catalog
from unscene.video.listing import open_catalog
from unscene.video.scenes import ScenesReport


@pytest.fixture
def catalog(moving: ScenesReport) -> Catalog:
    """Eight videos of twelve frames."""
    return open_catalog(moving.train)


def test_nothing_where_all_is_well(catalog: Catalog) -> None:
    assert remarks(catalog, together=8, frames=4, stride=3) == []
    assert remarks(catalog, together=8, frames=12, stride=1) == []


def test_a_batch_that_is_not_full(catalog: Catalog) -> None:
    (said,) = remarks(catalog, together=9, frames=4, stride=1)
    assert said.startswith(f"{catalog.source}: 8 videos do not fill a batch of 9, ")
    assert "--batch_size" in said


def test_videos_that_are_shorter_than_a_clip(catalog: Catalog) -> None:
    assert {video.frames for video in catalog.videos} == {12}
    (said,) = remarks(catalog, together=8, frames=5, stride=3)
    assert "8 of 8 videos are shorter than the 13 frames that a clip of 5 at stride 3" in said
    assert "the shortest has 12" in said
    part = replace(catalog.videos[0], start=0.2, end=0.4)  # a segment, at 25 frames a second
    some = replace(catalog, videos=(part, *catalog.videos[1:]))
    (said,) = remarks(some, together=8, frames=3, stride=3)
    assert "1 of 8 videos are shorter than the 7 frames" in said
    assert "the shortest has 5" in said


def test_they_are_told_before_the_training(
    tiny: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain(tiny(tmp_path, max_steps=1, batch_size=9, stride=4), report=silent)
    told = capsys.readouterr().err
    assert "do not fill a batch of 9" in told
    assert "8 of 8 videos are shorter than the 13 frames" in told


def test_and_under_the_views(
    moving: ScenesReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    window = {"size": 32, "frames": 4, "stride": 4}
    preview(str(moving.train), tmp_path / "v.png", method="moco", overrides=window, videos=1)
    told = capsys.readouterr().err
    assert "8 of 8 videos are shorter than the 13 frames" in told
    assert "batch" not in told
