"""The demo's report: one HTML file that opens offline; its sentences are drawn from the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from unscene.demo import charts as parts
from unscene.demo.charts import Shot
from unscene.demo.verdict import Verdict, judge, score
from unscene.files import write_text
from unscene.html.document import document, paragraph, percent, prose, section
from unscene.html.pictures import PAUSE, data_uri


@dataclass(frozen=True)
class Example:
    """One query and what every method found for it.

    Attributes:
        query: from the unseen scenes.
        neighbours: by method, nearest first.
        hits: by method, for every neighbour whether it shows the query's motion.
    """

    query: Shot
    neighbours: dict[str, list[Shot]]
    hits: dict[str, list[bool]]

    def __post_init__(self) -> None:
        for method, shots in self.neighbours.items():
            if len(self.hits.get(method, ())) != len(shots):
                raise ValueError(f"{method}: {len(shots)} neighbours need as many hits")


@dataclass(frozen=True)
class DemoReport:
    """Everything the report tells.

    Attributes:
        rows: as `evaluate.rows.read_rows` gives them: retrieval_r1 of label "motion" in split
            "unseen" and of "scene" in "seen" make the verdict and the chart; all go to the table.
            Several seeds of a method become one number as `evaluate.seeds.cell` has it.
        views_png: the picture of `unscene views`.
        curves: by method, (step, metrics) as logged: "loss", "triplet" ...
        examples: sample retrievals.
        footage: some training videos, as moving thumbnails.
        facts: numbers of the run. Known names, all optional: videos, test_videos, motions, scenes,
            unseen_scenes, correlation (0..1), steps, minutes, chance (of motion retrieval, 0..1),
            chance_scene, gallery, clips, encoder, seed; others are listed as they are.
        versions: of the software, by name.
    """

    rows: Sequence[Mapping[str, Any]]
    views_png: bytes
    curves: Mapping[str, Sequence[tuple[int, Mapping[str, float]]]] = field(default_factory=dict)
    examples: Sequence[Example] = ()
    footage: Sequence[Shot] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def write_report(path: Path, content: DemoReport) -> None:
    """Write the report whole or not at all."""
    write_text(path, render(content))


def render(content: DemoReport) -> str:
    """The report as HTML."""
    verdict = judge(content.rows, content.facts)
    body = "\n".join(
        (
            _opening(verdict),
            _footage(content),
            _views(content),
            _comparison(content),
            _curves(content),
            _retrievals(content),
            _meaning(content, verdict),
            _measured(content),
        )
    )
    return document(f"unscene demo: {verdict.headline}", body)


def _opening(verdict: Verdict) -> str:
    lines = "".join(f"<li>{prose(line)}</li>" for line in verdict.evidence)
    return (
        '<header>\n<p class="kicker">unscene demo · does it watch the motion or the scene?</p>\n'
        f'<h1 class="{verdict.tone}">{prose(verdict.headline)}</h1>\n'
        f'<ul class="evidence">{lines}</ul>\n</header>'
    )


def _footage(content: DemoReport) -> str:
    facts = content.facts
    text = (
        "Every video shows one object that moves over a background. The motion is what we want "
        "to find again; the background is the scene."
    )
    if "correlation" in facts:
        share = percent(float(facts["correlation"]))
        text += (
            f" In training each motion plays in its own scene {share} of the time, as skiing "
            "happens on snow: a network can get far by looking at the background alone. The test "
            "videos break that tie: their motions play in scenes that training never showed. A "
            "scene is a kind of place, and every video shows another place of its kind."
        )
    counts = [
        f"{facts[key]} {words}"
        for key, words in (
            ("videos", "training videos without labels"),
            ("test_videos", "test videos"),
            ("motions", "motions"),
            ("scenes", "training scenes"),
            ("unseen_scenes", "new scenes"),
        )
        if key in facts
    ]
    shots = "".join(parts.figure(shot) for shot in content.footage)
    return section(
        "The footage",
        paragraph(text),
        paragraph(", ".join(counts) + ".") if counts else "",
        f'<div class="shots wide">{shots}</div>{PAUSE}' if shots else "",
    )


def _views(content: DemoReport) -> str:
    alt = (
        "Filmstrips of several training videos. For each: the anchor, the positive with its scene "
        "warped by a bent grid, the negative with its motion disturbed, and the flow in colours."
    )
    return section(
        "What the network is asked",
        paragraph(
            "No labels: the task is made from the video itself. The positive keeps the motion and "
            "bends the scene like rubber; the negative keeps the scene and breaks the motion. The "
            "network must put anchor and positive side by side and the negative far away. "
            "Remembering the background does not help with that; following the motion does."
        ),
        paragraph(
            "Read it from left to right: a grid that went through the same treatment, frames in "
            "order of time, and one row of pixels over time. There, steady motion draws steady "
            "lines, and in the negative they break."
        ),
        f'<div class="scroll"><img class="picture" src="{data_uri(content.views_png)}" '
        f'alt="{escape(alt)}"></div>',
    )


def _comparison(content: DemoReport) -> str:
    rows, facts = content.rows, content.facts
    charts = "".join(
        parts.bars(
            title,
            note,
            {name: score(rows, name, "retrieval_r1", label, split) for name in parts.METHODS},
            facts.get(chance),
        )
        for title, note, label, split, chance in (
            (
                "Same motion found, in new scenes",
                "Share of test videos whose nearest training video shows the same motion. "
                "Higher is better.",
                "motion",
                "unseen",
                "chance",
            ),
            (
                "Same scene found, in known scenes",
                "Share of test videos whose nearest training video plays in the same scene: how "
                "much the network sees scenery. Not a score to win.",
                "scene",
                "seen",
                "chance_scene",
            ),
        )
    )
    return section(
        "The comparison",
        f'<div class="pair">{charts}</div>',
        paragraph(
            "Dots are measured values, lines their 95 % intervals, the dashed line is guessing."
        ),
        f"<details><summary>All {len(rows)} numbers</summary>{parts.table(rows)}</details>",
    )


def _curves(content: DemoReport) -> str:
    loss = parts.curves("Training loss", content.curves, "loss")
    triplet = parts.curves(
        "Positive nearer than negative", content.curves, "triplet", share=True, chance=0.5
    )
    rank = parts.curves(
        "Positive nearer than all in the queue", content.curves, "rank1", share=True
    )
    charts = loss + (triplet or rank)
    if not charts:
        return ""
    return section(
        "The training",
        f'<div class="pair">{charts}</div>',
        paragraph(
            "The losses of two methods are not comparable with each other: DSM's has one more "
            "negative to tell apart, the disturbed clip."
            + (
                " The second chart is about that negative, which MoCo does not have."
                * bool(triplet)
            )
        ),
    )


def _retrievals(content: DemoReport) -> str:
    cards = []
    for number, example in enumerate(content.examples, start=1):
        query = parts.figure(example.query)
        columns = []
        for method, shots in example.neighbours.items():
            found = "".join(
                parts.figure(shot, hit=hit)
                for shot, hit in zip(shots, example.hits[method], strict=True)
            )
            columns.append(
                f'<div class="found"><h4>{escape(parts.spoken(method))}</h4>'
                f'<div class="shots">{found}</div></div>'
            )
        cards.append(
            f'<article class="example"><div class="query"><h4>Query {number}</h4>{query}</div>'
            f"{''.join(columns)}</article>"
        )
    if not cards:
        return ""
    return section(
        "What the networks find",
        paragraph(
            "A test video from a new scene, and the nearest training videos. ✓ same motion, "
            "✗ another motion. The scene of a neighbour can never be the query's: it is new."
        ),
        "".join(cards),
    )


def _meaning(content: DemoReport, verdict: Verdict) -> str:
    measured = score(content.rows, "dsm", "retrieval_r1", "motion", "unseen")
    seeds = measured.seeds if measured else 1
    limits = (
        "The footage is generated: one object, clean motions, a scene bias set by hand. It shows "
        "the mechanism, not how well this works on yours; `unscene pretrain` and `unscene "
        "evaluate` tell that.",
        "The network is small and its training short: compare nothing here with published work.",
        "Intervals come from resampling the test videos"
        + (
            f", of each of {seeds} seeds, joined."
            if seeds > 1
            else ". They do not cover what another random start of the training would change."
        ),
    )
    items = "".join(f"<li>{prose(limit)}</li>" for limit in limits)
    return section(
        "What it means",
        *(paragraph(line) for line in verdict.meaning),
        f"<h3>Limits</h3><ul>{items}</ul>",
    )


def _measured(content: DemoReport) -> str:
    return section(
        "How it was measured",
        paragraph(
            "A frozen encoder turns each video into one vector. For every test video the nearest "
            "training video by cosine is looked up (recall@1); in the table, retrieval_loo looks "
            "among the other test videos instead. Labels are used for scoring only. "
            "Untrained is a network of the same architecture with random weights."
        ),
        parts.facts(content.facts, content.rows, content.versions),
    )
