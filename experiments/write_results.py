"""docs/results.md and docs/results.png, drawn from the rows of the experiments.

python experiments/write_results.py
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import fill
from typing import Any

from unscene.evaluate.results import Table, collect, markdown, plot, tables
from unscene.evaluate.seeds import Cell
from unscene.files import write_text

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"

INTRO = """# Results

Drawn from the rows in `experiments/` by `experiments/write_results.py`; nothing here is typed.
Cells are means over seeds with 95 % intervals. One seed has the bootstrap interval over its test
videos; two seeds have one that covers both of theirs. Three or more have Student's t over seeds and
the mean of their bootstrap intervals, added in quadrature, wherever seeds were asked about the same
videos (real footage), or rows do not say that they were not (codec's vectors): what these videos
leave open, further seeds do not close. On moving scenes each seed has videos of its own; there
Student's t holds both, and is only kept from being narrower than the mean of the bootstrap
intervals divided by the root of the number of seeds. All encoders are r3d-narrow on two CPU cores,
trained for the same number of steps, without labels where nothing else is said. What was tried and
did not work is in [log.md](log.md).
"""
_USUAL = {"note": ""}
_BIASED = _USUAL | {"correlation": 0.9}
_GENERATED = {"pretrain": "moving-scenes"}
# In tables and plots of moving scenes, in this order.
SYSTEMS = ("random", "moco", "hdc", "cmd", "dsm", "dsm-triplet", "unscene", "supervised")
PARTS = (
    *("moco", "moco-time", "moco+warp", "moco+warp+flow", "moco+warp+shift", "moco+disturb", "dsm"),
    *("cmd-motion-l2", "cmd-motion-l2-time", "cmd-motion-l2+residual"),
    *("dsm-triplet", "triplet-time", "triplet+codec", "triplet+stages", "triplet+scene"),
    *("triplet+future-nce", "triplet+future", "unscene-nce", "unscene-flat", "unscene"),
)
# The other two systems without this or with that, in the order of their papers' ablations.
OTHERS = (
    *("hdc", "hdc-entangled", "hdc-spatial", "hdc-temporal", "hdc-one-stage", "hdc-equal"),
    *("hdc-crop-last", "hdc-3d"),
    *("cmd", "cmd-context", "cmd-motion", "cmd-present", "cmd-l2", "cmd-linear", "cmd-any"),
    *("cmd-flow", "cmd-difference"),
)


@dataclass(frozen=True)
class Section:
    """A heading, what stands below it, and the rows that are drawn.

    Attributes:
        methods: in this order, those of them that there are rows of; empty: all.
        where: settings of the test that rows must have.
        but: and those that they must not have all.
    """

    heading: str
    text: str
    files: tuple[str, ...]
    metrics: tuple[str, ...]
    methods: tuple[str, ...] = ()
    where: dict[str, Any] = field(default_factory=dict)
    but: dict[str, Any] = field(default_factory=dict)

    def tables(self) -> list[Table]:
        paths = [HERE / name for name in self.files if (HERE / name).exists()]
        rows = [row for row in collect(paths) if self._about(row.get("test", {}))] if paths else []
        rows.sort(key=lambda row: float(row.get("test", {}).get("correlation", 0)))
        found = tables(rows, self.metrics) if rows else []
        if not self.methods:
            return found
        chosen = [
            replace(table, lines={n: line for m in self.methods for n, line in _of(m, table)})
            for table in found
        ]
        return [table for table in chosen if table.lines]

    def _about(self, test: dict[str, Any]) -> bool:
        has = all(test.get(name) == value for name, value in self.where.items())
        return has and not (self.but and all(test.get(k) == v for k, v in self.but.items()))


def _of(method: str, table: Table) -> list[tuple[str, dict[str, Cell]]]:
    """The lines of a method: more than one where settings tell them apart."""
    return [(n, line) for n, line in table.lines.items() if n.partition(", ")[0] == method]


SECTIONS = (
    Section(
        "Moving scenes, biased in training, independent in the test",
        "1,000 training videos whose motion follows the place in nine of ten, each in a place of "
        "its own; 600 steps. Motion is asked of 800 videos in scenes that training never showed "
        "(chance 0.125), the scene of 160 in scenes that it did: the first should be high, the "
        "second says how much of the scene is kept. `supervised` learnt the motion labels of the "
        "training videos.",
        ("moving_scenes.jsonl",),
        ("retrieval_r1", "probe_top1"),
        SYSTEMS,
        where=_BIASED,
    ),
    Section(
        "The same without labels",
        "The decoupling score (`unscene evaluate decouple`) of those encoders on 100 videos of "
        "unseen scenes: how often the same motion in a disturbed scene is nearer than the same "
        "scene with another motion, for the disturbances that DSM trains on and for others. One of "
        "the others, another scene behind what moves, is what unscene's positives are made of.",
        ("moving_scenes.jsonl",),
        ("decoupling_trained", "decoupling_untrained"),
        SYSTEMS,
        where=_BIASED,
    ),
    Section(
        "Where the place says nothing, half, or all",
        "The same with none, half or all of the training videos' motion tied to the place, beside "
        "what falls together by chance (correlation 0, 0.5, 1).",
        ("moving_scenes.jsonl",),
        ("retrieval_r1", "probe_top1"),
        SYSTEMS,
        where=_USUAL,
        but=_BIASED,
    ),
    Section(
        "What each part does",
        "`moco+...` are the rows of the DSM paper's Table 4, `triplet+...` the parts of `unscene`, "
        "each alone beside DSM's triplet. `...-nce` foretells as CMD does, by finding the motion's "
        "feature, `cmd-motion-l2` and the others foretell its vectors; `unscene-flat` has one "
        "stage. `moco-time` trained as long as `dsm` did by the clock, the others by CPU seconds: "
        "`triplet-time` as long as `unscene-nce`, "
        "twice as long as `unscene`, and `cmd-motion-l2-time` as long as `unscene`.",
        ("moving_scenes.jsonl",),
        ("retrieval_r1", "probe_top1"),
        PARTS,
        where=_BIASED,
    ),
    Section(
        "What HDC's and CMD's parts do",
        "HDC with both contrasts in one (entangled), either alone, on the last stage only, with "
        "all stages weighed alike, cut after augmentation instead of before, and its spatial "
        "contrast pooled over time too. CMD with either task alone, foretelling the motion of the "
        "clip itself (present), vectors instead of features (l2), with a linear predictor instead "
        "of the transformer, with any frame instead of key frames as context, and with computed "
        "flow or frame differences as motion.",
        ("moving_scenes.jsonl",),
        ("retrieval_r1", "probe_top1"),
        OTHERS,
        where=_BIASED,
    ),
    Section(
        "What each costs",
        "CPU seconds of a step (reading 32 clips, views, forward, backward; one thread), clips a "
        "second of them, the peak memory of that process in GB, and the seconds to a recall at 1 "
        "of 0.5 for the motion, as trainings of 75, 150 and 600 steps bracket it; empty where 600 "
        "steps do not reach it (experiments/costs.py; n counts steps, and is 1 for the peak and "
        "the goal). At R3D-18 and 112 x 112, against MoCo: docs/log.md.",
        ("costs.jsonl",),
        (
            *("cpu_seconds_a_step", "clips_a_cpu_second", "peak_gb"),
            "cpu_seconds_to_recall_0.5",
        ),
    ),
    Section(
        "With fewer steps, and with other settings",
        "The same footage. 75 and 150 steps instead of 600 (a schedule of its own for each; what a "
        "step costs is in the log); default-sgd: SGD with 0.05 instead of AdamW; default-linear: "
        "the paper's head of one layer; tau1: the paper's temperature of 1; basic-anchor: of the "
        "three views only the anchor is augmented, as in the paper.",
        ("moving_scenes.jsonl",),
        ("retrieval_r1", "probe_top1"),
        PARTS,
        but=_USUAL,
    ),
    Section(
        "The audit of encoders whose answer is known",
        "`unscene audit` on 200 videos of unseen scenes (experiments/audit_controls.py). `scene` "
        "and `motion` were taught these labels, so they stand at the ends; the others are those "
        "from above. The verdict is the weaker of two shares: swap/motion_share, how often what "
        "moves in one video over the background of another is nearer to the motion's video than "
        "to the background's, and swap/order, how often it is nearer to that video than to its "
        "frames in random order. A coin has 0.5 for both; an untrained network has more in order "
        "and less in the others.",
        ("audit_controls.jsonl",),
        ("audit/verdict", "audit/swap/motion_share", "audit/swap/order", "audit/time/motion"),
    ),
    Section(
        "The audit on real footage",
        "The same measures on ARID's 150 training videos, brightened, for encoders that learnt on "
        "moving scenes alone, at the stride they were trained with (2) and at 4 "
        "(experiments/audit_real.py).",
        ("audit_real.jsonl",),
        ("audit/verdict", "audit/swap/motion_share", "audit/swap/order", "audit/time/motion"),
    ),
    Section(
        "The codec's vectors against computed flow",
        "Error against the known motion of moving scenes, in pixels, on what moves and on what is "
        "still (experiments/codec_flow.py; 112 x 112, GOP 12; costs are in the log). `held`: "
        "what a key frame does not say is taken from the frame after it. `still` claims that "
        "nothing moves.",
        ("codec_flow.jsonl",),
        ("endpoint_error_px",),
    ),
    Section(
        "Learnt from generated footage, asked of real footage",
        "The encoders of the first section, trained without labels on moving scenes alone, as "
        "they are. ARID: six actions filmed in the dark, the files as they are "
        "or brightened (`unscene prepare --brighten true`), 8 frames at stride 4; videos from "
        "other places are searched for among the 150 of the training part (n = 96), and these "
        "among those of other scenes (n = 150), where the place misleads, and where chance is "
        "lower, since a query's own scene holds most of its class: each lies in two to four of "
        "eleven. Features that find places find one class, and are below chance. Intervals hold "
        "other videos and seeds, not other places. Table tennis: forehand or backhand, learnt on "
        "one side of the table and asked on the other.",
        ("real_scenes.jsonl",),
        ("retrieval_r1", "retrieval_r5", "retrieval_map", "probe_top1"),
        SYSTEMS,
        where=_GENERATED,
    ),
    Section(
        "The same with a few labels",
        "Those encoders fine-tuned on 1, 5 and 25 labelled videos of each of ARID's six classes "
        "(25: all of them), 100 steps, asked in other places; `random` begins from nothing (at "
        "56 x 56 as well; with 400 steps where the heading says so).",
        ("few_labels.jsonl",),
        ("finetune_top1",),
        SYSTEMS,
    ),
    Section(
        "Real footage, other scenes",
        "Pre-trained on ARID's training part alone (`arid6-train`: 200 steps, brightened 600), or "
        "with the pools of UCF101 and HMDB51 and the table-tennis strokes (`all`: 300 steps or as "
        "many as the heading says; `long`: what is long enough for unscene, which sees no more of "
        "`all` than that). Steps are the same within a table. ARID: six actions in the "
        "dark, asked in other places (n = 96), and leaving one scene out of the training "
        "part, where the place misleads. Table tennis: forehand or backhand, learnt on one side "
        "of the table and asked on the other.",
        ("real_scenes.jsonl",),
        ("retrieval_r1", "retrieval_r5", "retrieval_map", "probe_top1", "knn_top1"),
        but=_GENERATED,
    ),
    Section(
        "The demo",
        "`unscene demo`, three seeds: the footage and settings of the first section, so that this "
        "is no further evidence beside it.",
        ("demo-2026-11-22.jsonl",),
        ("retrieval_r1", "retrieval_loo_r1", "probe_top1"),
    ),
)


def page() -> tuple[str, list[list[Table]]]:
    """The page, and the tables of each section."""
    parts, found = [INTRO], []
    for section in SECTIONS:
        found.append(section.tables())
        if found[-1]:
            parts.append(
                f"## {section.heading}\n\n{fill(section.text, 100, break_on_hyphens=False)}\n"
            )
            parts.append(markdown(found[-1]))
    return "\n".join(parts), found


if __name__ == "__main__":
    text, (systems, decoupled, *_) = page()
    write_text(DOCS / "results.md", text)
    plot([*systems[:2], *decoupled[:1]], DOCS / "results.png")
