"""The demo, shrunk until it takes seconds: the way through it is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unscene.demo import run as story
from unscene.results.rows import pick, read_rows
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
    monkeypatch.setattr(story, "_WORKERS", 0)
    small = {"max_steps": 2, "workers": 0, "batch_size": 4, "queue": 4, "size": 32}
    monkeypatch.setattr(story, "BUDGET", story.BUDGET | small)


@pytest.mark.usefixtures("tiny")
def test_the_demo_goes_from_footage_to_a_report_and_goes_on_where_it_was(
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
    assert drawn == ["dsm"]  # the views of what was trained
    rows = read_rows(out / "results.jsonl")
    assert {row["method"] for row in rows} == {"random", "moco", "dsm"}
    for method, steps in (("random", 0), ("moco", 2), ("dsm", 2)):
        (row,) = pick(rows, method=method, metric="retrieval_r1", split="unseen", label="motion")
        low, high = row["ci95"]
        assert 0 <= low <= row["value"] <= high <= 1
        assert (row["n"], row["seed"], row["steps"]) == (8, 3, steps)
        assert (row["seconds"] > 0) == (steps > 0)
    page = report.read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert "results.jsonl" in capsys.readouterr().out

    before = (out / "dsm" / "last.ckpt").stat().st_mtime_ns
    story.demo(out, seed=3)
    assert (out / "dsm" / "last.ckpt").stat().st_mtime_ns == before
    assert "already finished" in capsys.readouterr().out
