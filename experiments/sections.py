"""What docs/results.md says, section by section: words, and which rows are drawn below them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BIASED = "Moving scenes, biased in training, independent in the test"
WITHOUT_LABELS = "The same without labels"
CORRELATIONS = "Where the place says nothing, half, or all"
_USUAL = {"note": ""}
_BIASED = _USUAL | {"correlation": 0.9}
_GENERATED = {"pretrain": "moving-scenes"}
_TRIED = (
    *("75-steps", "150-steps", "default-sgd", "default-linear", "tau1", "basic-anchor"),
    "128-px",
)
_LONGEST = ("brightened, 1000 steps", "brightened, 1000 steps, begun on moving-scenes")
_ASKED = ("retrieval_r1", "retrieval_r5", "retrieval_map", "probe_top1", "knn_top1")
# In tables and plots of moving scenes, in this order.
SYSTEMS = ("random", "moco", "hdc", "cmd", "dsm", "dsm-triplet", "unscene", "supervised")
PARTS = (
    *("moco", "moco-time", "moco+warp", "moco+warp+flow", "moco+warp+shift", "moco+disturb", "dsm"),
    *("dsm-time", "dsm-half-warp", "dsm-inside", "hdc-time"),
    *("cmd-motion-l2", "cmd-motion-l2-time", "cmd-motion-l2+residual"),
    *("dsm-triplet", "triplet-unwarped", "triplet-inside", "triplet-time", "triplet+codec"),
    *("triplet+stages", "triplet+scene"),
    *("triplet+future-nce", "triplet+future", "unscene-nce", "unscene-flat", "unscene"),
    "unscene+codec",
)
SWEPT = (
    *("random", "moco", "hdc", "cmd"),
    *("moco+warp", "moco+warp+flow", "moco+warp+shift", "moco+disturb", "dsm"),
    *("dsm-triplet", "unscene"),
)
# On real footage.
REAL = (
    *("random", "moco", "hdc", "cmd", "cmd-motion", "cmd-motion-l2", "dsm", "dsm-triplet"),
    *("unscene", "unscene+flow"),
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
        where: settings of the test that rows must have, each with its value or several.
        across: a setting of the test whose values are columns, so that each metric is a table; ""
            for tables whose columns are the metrics. Columns are in the order of `where`, if it
            names several values, else sorted.
        picture: file in docs/ that shows the same.
    """

    heading: str
    text: str
    files: tuple[str, ...]
    metrics: tuple[str, ...]
    methods: tuple[str, ...] = ()
    where: dict[str, Any] = field(default_factory=dict)
    across: str = ""
    picture: str = ""

    def about(self, row: dict[str, Any]) -> bool:
        """Whether a row is drawn."""
        test = row.get("test", {})
        return all(
            test.get(name) in value if isinstance(value, tuple) else test.get(name) == value
            for name, value in self.where.items()
        )


SECTIONS = (
    Section(
        BIASED,
        "1,000 training videos whose motion follows the place in nine of ten, each in a place of "
        "its own; 600 steps. Motion is asked of 800 videos in scenes that training never showed "
        "(chance 0.125), the scene of 160 in scenes that it did: the first should be high, the "
        "second says how much of the scene is kept. `supervised` learnt the motion labels of the "
        "training videos.",
        ("moving_scenes.jsonl.gz",),
        ("retrieval_r1", "probe_top1"),
        SYSTEMS,
        where=_BIASED,
    ),
    Section(
        WITHOUT_LABELS,
        "The decoupling score (`unscene evaluate decouple`) of those encoders on 100 videos of "
        "unseen scenes: how often the same motion in a disturbed scene is nearer than the same "
        "scene with another motion, for the disturbances that DSM trains on and for others. One of "
        "the others, another scene behind what moves, is what unscene's positives are made of.",
        ("moving_scenes.jsonl.gz",),
        ("decoupling_trained", "decoupling_untrained"),
        SYSTEMS,
        where=_BIASED,
        picture="results.png",
    ),
    Section(
        CORRELATIONS,
        "With none, half, nine tenths or all of the training videos' motion tied to the place, "
        "beside what falls together by chance (correlation 0, 0.5, 0.9, 1). `moco+...` are the "
        "rows of the DSM paper's Table 4. The first two tables ask for the motion in scenes that "
        "training never showed, the others for the scene.",
        ("moving_scenes.jsonl.gz",),
        ("retrieval_r1", "probe_top1"),
        SWEPT,
        where=_USUAL,
        across="correlation",
        picture="correlation.png",
    ),
    Section(
        "What each part does",
        "`moco+...` are the rows of the DSM paper's Table 4; `half-warp`: a warp that reaches half "
        "as far; `unwarped`: none; `inside`: negatives that do not run past the end of the video; "
        "`triplet+...` the parts of `unscene`, each alone beside DSM's triplet. `...-nce` "
        "foretells as CMD does, by finding the motion's feature, `cmd-motion-l2` and the others "
        "foretell its vectors; `unscene-flat` has one stage; `...+codec` scales the flow of "
        "vectors. At equal time, in CPU seconds: `moco-time` (1,800 steps) as long as `dsm`; "
        "`dsm-time` (840), `hdc-time` (1,080) and `cmd-motion-l2-time` (2,400) as long as "
        "`unscene`; `triplet-time` (1,500) as long as `unscene-nce`, twice as long as `unscene`.",
        ("moving_scenes.jsonl.gz",),
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
        ("moving_scenes.jsonl.gz",),
        ("retrieval_r1", "probe_top1"),
        OTHERS,
        where=_BIASED,
    ),
    Section(
        "What each costs",
        "CPU seconds of a step (reading 32 clips, views, forward, backward; one thread), clips a "
        "second of them, the peak memory of that process in GB, and the seconds to a recall at 1 "
        "of 0.5 for the motion, as trainings of 75, 150 and 600 steps bracket it (from 0 on where "
        "only 600 were run); empty where 600 steps do not reach it (experiments/costs.py; n counts "
        "steps, and is 1 for the peak and the goal). At R3D-18 and 112 x 112, against MoCo: "
        "experiments/LOG.md.",
        ("costs.jsonl.gz",),
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
        "three views only the anchor is augmented, as in the paper; 128-px: footage twice as wide, "
        "all in it twice as large and as fast, and views as before.",
        ("moving_scenes.jsonl.gz",),
        ("retrieval_r1", "probe_top1"),
        PARTS,
        where={"note": _TRIED},
        across="note",
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
        ("audit_controls.jsonl.gz",),
        ("audit/verdict", "audit/swap/motion_share", "audit/swap/order", "audit/time/motion"),
    ),
    Section(
        "The audit on real footage",
        "The same measures on ARID's 150 training videos, brightened, for encoders that learnt on "
        "moving scenes alone, at the stride they were trained with (2) and at 4 "
        "(experiments/audit_real.py).",
        ("audit_real.jsonl.gz",),
        ("audit/verdict", "audit/swap/motion_share", "audit/swap/order", "audit/time/motion"),
    ),
    Section(
        "The codec's vectors against computed flow",
        "Error against the known motion of moving scenes, in pixels, on what moves and on what is "
        "still (experiments/codec_flow.py; 112 x 112, GOP 12; costs are in the log). `held`: "
        "what a key frame does not say is taken from the frame after it. `still` claims that "
        "nothing moves.",
        ("codec_flow.jsonl.gz",),
        ("endpoint_error_px",),
    ),
    Section(
        "What moves, cut out",
        "How well a mask of what moves agrees with the pixels that do (intersection over union): "
        "by change against the median of the clip, as `views.background_swap` cuts, or where the "
        "codec's vectors or DIS fast are longer than a threshold, the best of seven "
        "(experiments/cut_out.py; 8 frames, H.264 as `unscene prepare` writes it).",
        ("cut_out.jsonl.gz",),
        ("iou",),
    ),
    Section(
        "How an encoder should search for its vectors",
        "How far vectors are from the motion, as x264 looks for them in different ways, as a share "
        "of how far they are with the hexagon that `unscene prepare` leaves it; `dis fast` is what "
        "DSM would compute (experiments/vectors.py; pixels are in its rows). On what moves and on "
        "what is still: against the known motion of moving scenes, without and with noise of 8 "
        "grey levels; and, of real files shrunk to 128 pixels, against DIS medium on the original, "
        "on a grid twice as fine.",
        ("vectors.jsonl.gz",),
        ("of_hexagon",),
        where={"stride": (1, 4)},
        across="stride",
    ),
    Section(
        "The same where fine grain pans",
        "How many vectors are right, where all moves by 4 to 24 pixels a frame.",
        ("vectors.jsonl.gz",),
        ("vectors_right",),
        where={"speed": (4, 8, 12, 16, 24)},
        across="speed",
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
        ("real_scenes.jsonl.gz",),
        ("retrieval_r1", "retrieval_r5", "retrieval_map", "probe_top1"),
        (*REAL, "supervised"),
        where=_GENERATED,
    ),
    Section(
        "The same with a few labels",
        "Those encoders fine-tuned on 1, 5 and 25 labelled videos of each of ARID's six classes "
        "(25: all of them), 100 steps, asked in other places; `random` begins from nothing.",
        ("few_labels.jsonl.gz",),
        ("finetune_top1",),
        SYSTEMS,
        where=_GENERATED,
        across="labels",
    ),
    Section(
        "Real footage, other scenes",
        "Pre-trained without labels for 1,000 steps on ARID's training part and the pools of "
        "UCF101 and HMDB51, brightened, with the table-tennis strokes (`all`, 346 videos, of which "
        "unscene takes the 184 that are long enough) or on those 184 (`long`); `begun on "
        "moving-scenes`: on generated footage first. ARID: six actions in the dark, asked in other "
        "places (n = 96), and leaving one scene out of the training part, where the place "
        "misleads. Table tennis: forehand or backhand, learnt on one side of the table and asked "
        "on the other.",
        ("real_scenes.jsonl.gz",),
        _ASKED,
        REAL,
        where={"pretrain": ("all", "long"), "note": _LONGEST},
    ),
    Section(
        "Real footage, then a few labels",
        "Those encoders fine-tuned on 1, 5 and 25 labelled videos of each class, as above (of "
        "`all` unscene takes the videos of `long`).",
        ("few_labels.jsonl.gz",),
        ("finetune_top1",),
        REAL,
        where={"pretrain": ("all", "long"), "note": _LONGEST},
        across="labels",
    ),
    Section(
        "Real footage, shorter trainings",
        "First looks, most with one seed: on ARID's training part alone (`arid6-train`: 200 steps, "
        "brightened 600) or on all (300 steps).",
        ("real_scenes.jsonl.gz",),
        _ASKED,
        REAL,
        where={"pretrain": ("all", "arid6-train", "tabletennis8"), "note": ("", "brightened")},
    ),
    Section(
        "The demo",
        "`unscene demo`, three seeds: the footage and settings of the first section, so that this "
        "is no further evidence beside it.",
        ("demo-2026-11-22.jsonl.gz",),
        ("retrieval_r1", "retrieval_loo_r1", "probe_top1"),
    ),
)
