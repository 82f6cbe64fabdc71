"""The report says what the rows say, and needs nothing but itself."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from unscene.demo.charts import Shot
from unscene.demo.report import DemoReport, Example, render, write_report
from unscene.demo.verdict import Verdict, judge, score
from unscene.html.document import percent, prose

Rows = list[dict[str, Any]]


def row(
    method: str, label: str, value: float, half: float = 0.05, **changes: Any
) -> dict[str, Any]:
    return {
        "method": method,
        "data": "train.csv",
        "split": "unseen" if label == "motion" else "seen",
        "label": label,
        "metric": "retrieval_r1",
        "value": value,
        "ci95": [value - half, value + half],
        "n": 160,
        "seed": 0,
        "seconds": 200.0,
        "steps": 1200,
        "versions": {"unscene": "0.1.0"},
    } | changes


def rows(dsm: float, moco: float, random: float = 0.2) -> Rows:
    values = {"random": random, "moco": moco, "dsm": dsm}
    return [row(method, "motion", value) for method, value in values.items()]


def verdict(dsm: float, moco: float, **facts: float) -> Verdict:
    return judge(rows(dsm, moco), facts)


def shot(motion: str = "left", scene: str = "scene 1") -> Shot:
    frames = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    return Shot(frames, motion, scene)


@pytest.fixture
def content() -> DemoReport:
    _, png = cv2.imencode(".png", np.zeros((8, 8, 3), dtype=np.uint8))
    found = {"moco": [shot("right"), shot()], "dsm": [shot(), shot()]}
    steps = [(step, {"loss": 5 / step, "triplet": 0.7}) for step in range(1, 60)]
    return DemoReport(
        rows=[*rows(0.78, 0.41), row("moco", "scene", 0.9), row("dsm", "scene", 0.5)],
        views_png=png.tobytes(),
        curves={"moco": [(s, {"loss": m["loss"]}) for s, m in steps], "dsm": steps},
        examples=[Example(shot(), found, {"moco": [False, True], "dsm": [True, True]})],
        footage=[shot("counterclockwise")],
        facts={"videos": 400, "correlation": 0.9, "chance": 0.125, "weather": "fair"},
        versions={"torch": "2.13.0"},
    )


class _Page(HTMLParser):
    """Tags must close in order; attributes are kept."""

    VOID = frozenset({"meta", "img", "br", "input", "line", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


# -- the verdict -------------------------------------------------------------------------------


def test_verdict_names_the_winner_only_if_intervals_are_apart() -> None:
    won, lost = verdict(0.78, 0.41), verdict(0.40, 0.60)
    assert (won.tone, lost.tone) == ("good", "bad")
    assert "more often than MoCo: 78 % to 41 %" in won.headline
    assert "MoCo beats DSM" in lost.headline
    ahead, behind = verdict(0.49, 0.44), verdict(0.44, 0.49)
    assert ahead.tone == behind.tone == "open"
    assert "overlap: not decided" in ahead.headline
    assert "not better than MoCo" in behind.headline
    assert len({v.meaning for v in (won, lost, ahead)}) == 3


def test_touching_intervals_decide_nothing() -> None:
    assert verdict(0.6, 0.5).tone == "open"
    assert verdict(0.625, 0.5).tone == "good"


def test_verdict_says_who_is_above_guessing() -> None:
    both = verdict(0.5, 0.4, chance=0.125).evidence
    one = verdict(0.5, 0.15, chance=0.125).evidence
    none = verdict(0.16, 0.15, chance=0.125).evidence
    assert any("Both methods are clearly above" in line for line in both)
    assert any("Only DSM is clearly above" in line for line in one)
    assert any("Neither method is clearly above" in line for line in none)


def test_verdict_admits_that_training_did_not_help() -> None:
    text = "does not clearly beat the untrained"
    assert not any(text in line for line in verdict(0.5, 0.4).evidence)
    assert any(text in line for line in judge(rows(0.25, 0.2, random=0.24), {}).evidence)


@pytest.mark.parametrize(
    ("dsm", "moco", "words"),
    [
        (0.5, 0.9, "leans on the scene less"),
        (0.9, 0.5, "did not let go"),
        (0.5, 0.52, "told apart"),
    ],
)
def test_verdict_on_the_scene(dsm: float, moco: float, words: str) -> None:
    scenes = [row("dsm", "scene", dsm), row("moco", "scene", moco)]
    assert words in judge(rows(0.7, 0.4) + scenes, {}).meaning[-1]


def test_no_verdict_without_both_methods() -> None:
    found = judge(rows(0.7, 0.4)[:2], {})
    assert found.headline == "No verdict: DSM was not measured."
    assert found.tone == "open"


def test_unequal_training_is_said() -> None:
    unequal = rows(0.7, 0.4)
    unequal[1]["steps"] = 600
    assert (
        "not trained alike: DSM 1200 steps with seed 0; MoCo 600 steps"
        in judge(unequal, {}).meaning[0]
    )
    assert "1200 steps each" in judge(rows(0.7, 0.4), {}).meaning[0]


def test_seeds_are_averaged_and_intervals_joined() -> None:
    two = [row("dsm", "motion", 0.6), row("dsm", "motion", 0.8, seed=1)]
    found = score(two, "dsm", "retrieval_r1", "motion", "unseen")
    assert found is not None
    assert (found.value, found.seeds) == (pytest.approx(0.7), 2)
    assert (found.low, found.high) == (pytest.approx(0.55), pytest.approx(0.85))
    assert score(two, "dsm", "retrieval_r1", "motion", "seen") is None


def test_numbers_as_text() -> None:
    assert [percent(v) for v in (0.125, 0.9, 0.784, 1.0)] == ["12.5 %", "90 %", "78.4 %", "100 %"]
    assert prose("DSM 78 % [71, 84] <b>") == "DSM 78\u00a0% [71,\u00a084] &lt;b&gt;"
    assert prose("`unscene views` <") == "<code>unscene views</code> &lt;"


# -- the page ----------------------------------------------------------------------------------


def test_page_is_well_formed_and_self_contained(content: DemoReport) -> None:
    text = render(content)
    page = _Page(text)
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "video"}
    for _, attributes in page.tags:
        for key in ("src", "href", "srcset", "data"):
            assert (attributes.get(key) or "data:").startswith("data:")
    assert "http:" not in text
    assert "https:" not in text
    assert not re.search(r"@import|url\(", text)


def test_every_picture_has_words_and_decodes(content: DemoReport) -> None:
    images = [a for tag, a in _Page(render(content)).tags if tag == "img"]
    assert len(images) == 1 + 1 + 1 + 4  # views, footage, query, neighbours
    for image in images:
        assert len(image["alt"] or "") > 10
        data = base64.b64decode((image["src"] or "").split(",", 1)[1], validate=True)
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
    assert sum("a hit" in (image["alt"] or "") for image in images) == 3
    assert sum("a miss" in (image["alt"] or "") for image in images) == 1


def test_charts_stand_where_the_rows_say(content: DemoReport) -> None:
    text = render(content)
    assert 'class="range" style="left:73.0%;width:10.00%"' in text  # DSM 0.78 +- 0.05
    assert 'class="chance" style="left:12.50%"' in text
    charts = [a["aria-label"] for tag, a in _Page(text).tags if tag == "svg"]
    assert len(charts) == 2
    assert "MoCo from 5.00 to" in (charts[0] or "")
    assert "MoCo" not in (charts[1] or "")  # it has no triplet to tell apart


def test_all_rows_and_facts_are_listed(content: DemoReport) -> None:
    text = render(content)
    assert text.count("<tr>") == 1 + len(content.rows)
    for words in ("2.13.0", "weather", "fair", "motion tied to scene", "90 %", "Guessing"):
        assert words in text.replace("\u00a0", " ")


def test_names_cannot_break_the_page(content: DemoReport) -> None:
    wild = DemoReport(
        rows=[row('<x"y>', "motion", 0.5), *content.rows],
        views_png=content.views_png,
        footage=[shot('"><script>alert(1)</script>', "a & b")],
        facts={"<i>": "</dl>"},
    )
    text = render(wild)
    assert "<script" not in text
    assert _Page(text).open == []


def test_a_bare_report_leaves_out_what_it_does_not_know(content: DemoReport) -> None:
    text = render(DemoReport(rows=rows(0.7, 0.4), views_png=content.views_png))
    assert "The training<" not in text
    assert "What the networks find" not in text
    assert 'class="chance"' not in text


def test_file_is_written(tmp_path: Path, content: DemoReport) -> None:
    path = tmp_path / "deep" / "report.html"
    write_report(path, content)
    assert path.read_text(encoding="utf-8") == render(content)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Shot(np.zeros((4, 8, 8, 3), dtype=np.float32), "a", "b"),
        lambda: Shot(np.zeros((8, 8, 3), dtype=np.uint8), "a", "b"),
        lambda: Example(shot(), {"dsm": [shot()]}, {"dsm": []}),
    ],
)
def test_wrong_content_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"uint8|hits"):
        wrong()
