"""The demo's part of the report shows what the rows and features say."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from test_findings import TITLES, findings

from pages import Page
from unscene.audit.result import Section
from unscene.data.catalog import Video
from unscene.data.listing import open_catalog
from unscene.demo import sections
from unscene.evaluate.features import Features
from unscene.synthetic.generate import MovingScenes, generate

FOOTAGE = MovingScenes(
    train_videos=4,
    seen_videos=2,
    unseen_videos=4,
    size=32,
    frames=26,
    motions=("left", "counterclockwise"),
    object_size=(8.0, 12.0),
    speed=(1.0, 2.0),
)
FOUND = findings((0.17, 0.19, 0.61, 0.8))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Video, ...]]:
    out = tmp_path_factory.mktemp("footage") / "scenes"
    generate(out, FOOTAGE)
    return {split: open_catalog(str(out / f"{split}.csv")).videos for split in ("train", "unseen")}


@pytest.fixture
def features(videos: dict[str, tuple[Video, ...]]) -> dict[str, dict[str, Features]]:
    """The nearest training video is the first for all but unscene: there, the one that matches."""
    eye, first = torch.eye(4), torch.eye(4)[[0, 0, 0, 0]]
    owner = torch.arange(4)
    return {
        method: {
            "train": Features(eye, videos["train"], owner),
            "unseen": Features(eye if method == "unscene" else first, videos["unseen"], owner),
        }
        for method in TITLES
    }


def page_of(section: Section) -> Page:
    page = Page(section.html)
    assert page.open == []
    return page


def test_examples_are_the_first_new_video_of_every_motion(
    features: dict[str, dict[str, Features]],
) -> None:
    chosen = sections.choose_examples(features)
    new = features["moco"]["unseen"].videos
    assert [example.query for example in chosen] == [new[0], new[1]]
    assert [example.query.value("motion") for example in chosen] == list(FOOTAGE.motions)
    assert [example.hit("moco") for example in chosen] == [True, False]
    assert [example.hit("unscene") for example in chosen] == [True, True]
    train = features["moco"]["train"].videos
    assert [example.nearest["unscene"] for example in chosen] == [train[0], train[1]]


def test_the_page_shows_every_example_and_counts_its_hits(
    features: dict[str, dict[str, Features]],
) -> None:
    section = sections.examples_section(sections.choose_examples(features), FOUND)
    images = [a for tag, a in page_of(section).tags if tag == "img"]
    assert len(images) == 2 * (1 + len(TITLES))
    for image in images:
        assert len(image["alt"] or "") > 10
        data = base64.b64decode((image["src"] or "").split(",", 1)[1], validate=True)
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
    assert sum("the same motion" in (image["alt"] or "") for image in images) == 5
    assert sum("another motion" in (image["alt"] or "") for image in images) == 3
    assert "in these 2 searches: Untrained 1, MoCo 1, DSM (Triplet) 1, unscene 2." in section.html


def test_the_heading_has_the_numbers_of_all_methods() -> None:
    section = sections.heading(FOUND, FOOTAGE)
    text = section.html.replace("\u00a0", " ")
    assert section.title.startswith("In new scenes, unscene finds the same motion in 80\u00a0%")
    assert text.count("<tr") == 1 + len(TITLES) + 1
    for words in ("80 %", "[77, 83]", "12.5 %", "Guessing", "600 steps", "800 and 800 test"):
        assert words in text
    page_of(section)


def test_footage_training_and_limits_are_well_formed(
    videos: dict[str, tuple[Video, ...]], tmp_path: Path
) -> None:
    _, png = cv2.imencode(".png", np.zeros((8, 8, 3), dtype=np.uint8))
    views = tmp_path / "views.png"
    views.write_bytes(png.tobytes())
    footage = sections.footage_section(videos["train"], FOOTAGE, 800)
    assert sum(tag == "img" for tag, _ in page_of(footage).tags) == len(FOOTAGE.motions)
    assert "90\u00a0% of the videos" in footage.html
    training = sections.training_section(FOUND, views)
    assert sum(tag == "li" for tag, _ in page_of(training).tags) == len(TITLES)
    assert training.html.count("Training took 60") == 3
    page_of(sections.limits_section(0))


def test_names_cannot_break_the_page(videos: dict[str, tuple[Video, ...]]) -> None:
    video = videos["train"][0]
    wild: dict[str, Any] = {"motion": '"><script>alert(1)</script>', "scene": "a & b"}
    section = sections.footage_section([Video(video.path, columns=wild)], FOOTAGE, 1)
    assert "<script" not in section.html
    page_of(section)
