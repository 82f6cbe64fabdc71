"""What is reported about the videos before a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interrupted import silent
from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog
from unscene.encoders import create_encoder
from unscene.methods.base import Method
from unscene.methods.registry import create_method, keep_read, resolve
from unscene.preview.run import preview
from unscene.synthetic.generate import ScenesReport
from unscene.train.preflight import describe_pitfalls
from unscene.train.pretrain import pretrain


@pytest.fixture
def catalog(moving: ScenesReport) -> Catalog:
    """Eight videos of twelve frames."""
    return open_catalog(moving.train)


@pytest.fixture
def method() -> Callable[..., Method]:
    """method(frames, stride): MoCo with such clips, or another."""

    def make(frames: int, stride: int, name: str = "moco", **given: Any) -> Method:
        given = {"frames": frames, "stride": stride, "size": 32, "queue": 16} | given
        return create_method(
            name, create_encoder("r3d-narrow"), resolve(name, "default", keep_read(name, given))
        )

    return make


Make = Callable[..., Method]


def test_nothing_where_all_is_well(catalog: Catalog, method: Make) -> None:
    assert describe_pitfalls(catalog, method(4, 3), together=8) == []
    assert describe_pitfalls(catalog, method(12, 1), together=8) == []


def test_a_batch_that_is_not_full(catalog: Catalog, method: Make) -> None:
    (said,) = describe_pitfalls(catalog, method(4, 1), together=9)
    assert said.startswith(f"{catalog.source}: a batch of 9 clips shows some of the 8 videos ")
    assert "--batch_size" in said


def test_videos_that_are_shorter_than_a_clip(catalog: Catalog, method: Make) -> None:
    assert {video.frames for video in catalog.videos} == {12}
    (said,) = describe_pitfalls(catalog, method(5, 3), together=8)
    assert "8 of 8 videos are shorter than the 13 frames that a clip of 5 at stride 3" in said
    assert "the shortest has 12" in said
    part = replace(catalog.videos[0], start=0.2, end=0.4)  # a segment, at 25 frames a second
    some = replace(catalog, videos=(part, *catalog.videos[1:]))
    (said,) = describe_pitfalls(some, method(3, 3), together=8)
    assert "1 of 8 videos are shorter than the 7 frames" in said
    assert "the shortest has 5" in said


@pytest.mark.parametrize(
    ("name", "given", "reported"),
    [
        ("cmd", {}, True),
        ("cmd", {"motion_from": "flow"}, False),
        ("cmd", {"tasks": "context"}, False),
        ("unscene", {}, True),
        ("dsm", {}, False),
        ("dsm", {"flow": "codec"}, True),
        ("dsm", {"flow": "auto"}, False),  # which takes DIS for them
    ],
)
def test_vectors_that_are_no_measure_of_motion(
    catalog: Catalog, method: Make, name: str, given: dict[str, Any], reported: bool
) -> None:
    learner = method(2, 1, name, **given)
    assert describe_pitfalls(catalog, learner, together=8) == []
    info = catalog.videos[3].info
    assert info is not None
    assert info.exact
    crossed = replace(catalog.videos[3], info=replace(info, exact=False))
    some = replace(catalog, videos=(*catalog.videos[:3], crossed, *catalog.videos[4:]))
    said = describe_pitfalls(some, learner, together=8)
    assert len(said) == reported
    if reported:
        assert "the motion vectors of 1 of 8 videos may not point to the previous frame" in said[0]
        assert crossed.path in said[0]
        assert "`unscene prepare`" in said[0]


def test_they_are_reported_before_the_training(
    tiny: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain(tiny(tmp_path, max_steps=1, batch_size=9, stride=4), report=silent)
    printed = capsys.readouterr().err
    assert "a batch of 9 clips shows some of the 8 videos" in printed
    assert "8 of 8 videos are shorter than the 13 frames" in printed


def test_and_under_the_views(
    moving: ScenesReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    window = {"size": 32, "frames": 4, "stride": 4}
    preview(str(moving.train), tmp_path / "v.png", method="moco", overrides=window, videos=1)
    printed = capsys.readouterr().err
    assert "8 of 8 videos are shorter than the 13 frames" in printed
    assert "batch" not in printed
