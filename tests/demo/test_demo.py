"""The demo, shrunk until it takes seconds: the way through it is the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pages import Page
from unscene.demo import run as story
from unscene.results.rows import read_rows
from unscene.synthetic.generate import MovingScenes

pytestmark = pytest.mark.slow

TINY = MovingScenes(
    train_videos=16,
    seen_videos=8,
    unseen_videos=8,
    size=32,
    frames=26,
    scenes=2,
    unseen_scenes=2,
    object_size=(8.0, 12.0),
    speed=(1.0, 2.0),
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "FOOTAGE", TINY)
    monkeypatch.setattr(story, "STEPS", 2)
    monkeypatch.setattr(story, "CLIPS", 1)
    monkeypatch.setattr(story, "AUDITED", 8)
    monkeypatch.setattr(story, "_WORKERS", 0)
    small = {"max_steps": 2, "workers": 0, "batch_size": 4, "size": 32}
    monkeypatch.setattr(story, "BUDGET", story.BUDGET | small)
    monkeypatch.setitem(story.METHODS, "moco", story.METHODS["moco"] | {"queue": 4})


@pytest.mark.usefixtures("tiny")
def test_the_demo_goes_from_footage_to_a_report_and_continues_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    preview = story.preview

    def spied(*given: Any, **named: Any) -> Path:
        drawn.append(named["method"])
        return preview(*given, **named)

    monkeypatch.setattr(story, "preview", spied)
    out = tmp_path / "demo"
    report = story.demo(out, seed=3)
    assert drawn == ["unscene"]  # the views of what was trained
    rows = read_rows(out / "results.jsonl")
    steps = {"random": 0, "moco": 2, "dsm-triplet": 2, "unscene": 2}
    assert {row["method"] for row in rows} == set(steps)
    for method, made in steps.items():
        wanted = {"method": method, "metric": "retrieval_r1", "split": "unseen", "label": "motion"}
        (row,) = (row for row in rows if row.items() >= wanted.items())
        low, high = row["ci95"]
        assert 0 <= low <= row["value"] <= high <= 1
        assert (row["n"], row["seed"], row["steps"]) == (8, 3, made)
        assert (row["seconds"] > 0) == (made > 0)
    printed = capsys.readouterr().out
    assert [line[:5] for line in printed.splitlines() if line.startswith("[")] == [
        f"[{number}/6]" for number in range(1, 7)
    ]
    assert "results.jsonl" in printed
    _check_page(report.read_text(encoding="utf-8"))
    audited = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert [model["name"] for model in audited["models"]] == list(story.TITLES.values())
    assert [model["trained"] for model in audited["models"]] == [False, True, True, True]

    before = (out / "unscene" / "last.ckpt").stat().st_mtime_ns
    story.demo(out, seed=3)
    assert (out / "unscene" / "last.ckpt").stat().st_mtime_ns == before
    assert "already finished" in capsys.readouterr().out


def _check_page(text: str) -> None:
    """It stands alone, and its pictures have words."""
    page = Page(text)
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "video"}
    for tag, attributes in page.tags:
        for key in ("src", "srcset", "data"):
            assert (attributes.get(key) or "data:").startswith("data:")
        assert tag != "img" or len(attributes["alt"] or "") > 10
    assert not re.search(r"https?:|@import|url\(", text)
    titles = ("The footage", "What the encoders find", "What the methods learn from", "At a glance")
    places = [text.index(f"<h2>{title}") for title in titles]
    assert places == sorted(places)
    for title in story.TITLES.values():
        assert title in text
