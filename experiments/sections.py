"""The sections of docs/results.md: their text, and which rows are drawn below it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BIASED = "Generated footage: biased in training, unbiased in the test"
WITHOUT_LABELS = "The same encoders, evaluated without labels"
STANDARDIZED = "Descriptors that need no training, with standardized features"
CORRELATIONS = "How much the scene tells about the motion in training"
DESCRIBED = "descriptors.jsonl.gz"
_USUAL = {"note": ""}
_BIASED = _USUAL | {"correlation": 0.9}
_GENERATED = {"pretrain": "moving-scenes"}
_TRIED = (
    *("75-steps", "150-steps", "default-sgd", "default-linear", "tau1", "basic-anchor"),
    "128-px",
)
_LONGEST = ("brightened, 1000 steps", "brightened, 1000 steps, begun on moving-scenes")
_ALL = ("retrieval_r1", "retrieval_r5", "retrieval_map", "probe_top1", "knn_top1")
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


# Headings of columns.
HEADINGS = {
    "retrieval_r1": "recall@1",
    "retrieval_r5": "recall@5",
    "retrieval_map": "mAP",
    "retrieval_loo_r1": "recall@1, leave one out",
    "probe_top1": "linear probe, top-1",
    "knn_top1": "k-NN, top-1",
    "finetune_top1": "fine-tuned, top-1",
    "decoupling_trained": "decoupling, DSM's disturbances",
    "decoupling_untrained": "decoupling, other disturbances",
    "audit/verdict": "verdict",
    "audit/swap/motion_share": "motion share",
    "audit/swap/order": "order",
    "audit/time/motion": "motion over time",
    "spearman": "Spearman's coefficient",
    "kendall": "Kendall's coefficient",
    "exact/logistic_top1": "logistic regression, exact flow",
    "exact/network_top1": "network, exact flow",
    "dis/logistic_top1": "logistic regression, DIS flow of the videos",
    "dis/network_top1": "network, DIS flow of the videos",
    "endpoint_error_px": "endpoint error, pixels",
    "camera_error_px": "error of the camera, pixels of the frame",
    "iou": "intersection over union",
    "of_hexagon": "error relative to hexagon",
    "vectors_right": "share of correct vectors",
    "cpu_seconds_a_step": "CPU seconds per step",
    "clips_a_cpu_second": "clips per CPU second",
    "peak_gb": "peak memory, GB",
    "cpu_seconds_to_recall_0.5": "CPU seconds to recall@1 of 0.5",
}


@dataclass(frozen=True)
class Section:
    """A heading, the text below it, and the rows that are drawn.

    Attributes:
        heading: of the section.
        text: one paragraph.
        files: in experiments/rows/.
        metrics: of the rows; the columns, unless `across` is given.
        methods: the lines, in this order, as far as there are rows; empty: all methods. Untrained
            encoders are always shown.
        where: settings of the test that rows must have, each with one value or several. Rows of
            standardized features are shown only where they are asked for.
        across: a setting of the test whose values are the columns; each metric is then a table of
            its own. Columns are in the order of `where` if it has several values, otherwise sorted.
        picture: file in docs/ that shows the same numbers.
        against: a method. The tables are of the differences from it, video by video.
    """

    heading: str
    text: str
    files: tuple[str, ...]
    metrics: tuple[str, ...]
    methods: tuple[str, ...] = ()
    where: dict[str, Any] = field(default_factory=dict)
    across: str = ""
    picture: str = ""
    against: str = ""

    def matches(self, row: dict[str, Any]) -> bool:
        """Whether a row belongs to this section."""
        test = row.get("test", {})
        return all(
            test.get(name) in value if isinstance(value, tuple) else test.get(name) == value
            for name, value in ({"standardize": None} | self.where).items()
        )


SECTIONS = (
    Section(
        BIASED,
        "1,000 generated training videos. Each has a background of its own, and its scene is one "
        "of eight kinds of background. In nine of ten videos, the scene determines the motion. All "
        "methods train for 600 steps. The motion is evaluated on 800 videos in new scenes (chance "
        "0.125) and should be recognized. The scene is evaluated on 160 videos in training scenes: "
        "how much of the scene do the features keep? `supervised` is trained with the motion "
        "labels of the training videos.",
        ("moving_scenes.jsonl.gz", DESCRIBED),
        ("retrieval_r1", "probe_top1"),
        SYSTEMS,
        where=_BIASED,
    ),
    Section(
        WITHOUT_LABELS,
        "The decoupling score (`unscene evaluate decouple`) on 100 videos of new scenes: how often "
        "a clip is more similar to the same motion in a disturbed scene than to the same scene "
        "with another motion. It is computed for the disturbances that DSM trains with, and for "
        "others. One of the others replaces the background, as the positives of `unscene` do.",
        ("moving_scenes.jsonl.gz", DESCRIBED),
        ("decoupling_trained", "decoupling_untrained"),
        SYSTEMS,
        where=_BIASED,
        picture="results.png",
    ),
    Section(
        CORRELATIONS,
        "The share of training videos whose scene determines the motion is 0, 0.5, 0.9 or 1; in "
        "the others scene and motion are independent. `moco+...` are the rows of Table 4 of the "
        "DSM paper. The first two tables are about the motion in new scenes, the others about the "
        "scene in training scenes.",
        ("moving_scenes.jsonl.gz", DESCRIBED),
        ("retrieval_r1", "probe_top1"),
        SWEPT,
        where=_USUAL,
        across="correlation",
        picture="correlation.png",
    ),
    Section(
        "Ablations of DSM and unscene",
        "`moco+...` are the rows of Table 4 of the DSM paper. `half-warp` warps half as far, "
        "`unwarped` not at all; `inside` shifts clips only within the video. "
        "`triplet+...` adds one part of `unscene` to DSM's triplet loss. `...-nce` predicts the "
        "future motion as CMD does, by finding its feature; `cmd-motion-l2` and the others predict "
        "the motion vectors themselves. `unscene-flat` uses one stage; `...+codec` scales optical "
        "flow that comes from motion vectors. `...-time` trains for as many CPU seconds as another "
        "method: `moco-time` (1,800 steps) as `dsm`; `dsm-time` (840), `hdc-time` (1,080) and "
        "`cmd-motion-l2-time` (2,400) as `unscene`; `triplet-time` (1,500) as `unscene-nce`, twice "
        "as long as `unscene`.",
        ("moving_scenes.jsonl.gz", DESCRIBED),
        ("retrieval_r1", "probe_top1"),
        PARTS,
        where=_BIASED,
    ),
    Section(
        "Ablations of HDC and CMD",
        "HDC: both contrasts in one (`entangled`), only one of them (`spatial`, `temporal`), only "
        "the last stage, all stages with equal weight, cropped after augmentation instead of "
        "before it, and the spatial contrast pooled over time as well (`3d`). CMD: only one task "
        "(`context`, `motion`), predicting the motion of the clip itself (`present`), vectors "
        "instead of features (`l2`), a linear predictor instead of the transformer, any frame "
        "instead of key frames as context, and computed flow or frame differences as motion.",
        ("moving_scenes.jsonl.gz", DESCRIBED),
        ("retrieval_r1", "probe_top1"),
        OTHERS,
        where=_BIASED,
    ),
    Section(
        "Cost of each method",
        "CPU seconds of one training step (reading 32 clips, views, forward, backward; one "
        "thread), clips per CPU second, peak memory of the process, and CPU seconds until recall@1 "
        "of the motion is 0.5. The last number is bracketed by trainings of 75, 150 and 600 steps "
        "(it begins at 0 where only 600 were run) and empty where 600 steps do not reach the goal "
        "(experiments/costs.py; n is the number of steps measured, and 1 for memory and goal). For "
        "R3D-18 at 112 x 112, relative to MoCo, see experiments/LOG.md.",
        ("costs.jsonl.gz",),
        (
            *("cpu_seconds_a_step", "clips_a_cpu_second", "peak_gb"),
            "cpu_seconds_to_recall_0.5",
        ),
    ),
    Section(
        "Fewer steps and other settings",
        "Footage as in the first section. `75-steps`, `150-steps`: instead of 600, each with its "
        "own learning rate schedule. `default-sgd`: SGD with learning rate 0.05 instead of AdamW. "
        "`default-linear`: the paper's head of one layer. `tau1`: the paper's temperature of 1. "
        "`basic-anchor`: only the anchor of the three views is augmented, as in the paper. "
        "`128-px`: footage twice as wide, with everything in it twice as large and as fast, and "
        "views as before.",
        ("moving_scenes.jsonl.gz", DESCRIBED),
        ("retrieval_r1", "probe_top1"),
        PARTS,
        where={"note": _TRIED},
        across="note",
    ),
    Section(
        "The audit of encoders whose answer is known",
        "`unscene audit` on 200 videos of new scenes (experiments/audit_controls.py). `scene` and "
        "`motion` are trained with these labels, so they should be at the two ends; the others are "
        "the encoders of the first section. The verdict is the lower of two shares. The motion "
        "share is how often a moving object pasted onto another background is more similar to "
        "the video of the motion than to the video of the background. The order is how often it is "
        "more similar to the video of the motion than to the same frames in random order. Guessing "
        "gives 0.5 for both. Here, an untrained network scores higher in order and lower in the "
        "others.",
        ("audit_controls.jsonl.gz", DESCRIBED),
        ("audit/verdict", "audit/swap/motion_share", "audit/swap/order", "audit/time/motion"),
    ),
    Section(
        "The audit on real footage",
        "The measures of the previous section on the 150 training videos of ARID, brightened, for "
        "encoders that were trained on generated footage only, at the stride of their training (2) "
        "and at 4 (experiments/audit_real.py).",
        ("audit_real.jsonl.gz", DESCRIBED),
        ("audit/verdict", "audit/swap/motion_share", "audit/swap/order", "audit/time/motion"),
    ),
    Section(
        "Motion vectors compared with computed optical flow",
        "Error relative to the known motion of generated footage, in pixels, where it moves and "
        "where it is still (experiments/codec_flow.py; 112 x 112 pixels, one key frame in 12; "
        "experiments/LOG.md has the costs). `held`: key frames take the motion of the next frame. "
        "`still` predicts no motion at all.",
        ("codec_flow.jsonl.gz",),
        ("endpoint_error_px",),
    ),
    Section(
        "Masks of what moves",
        "Agreement of a mask with the pixels that move (intersection over union). `median`: change "
        "relative to the median of the clip, as in `views.background_swap`. `codec`, `dis`: motion "
        "vectors or DIS (fast) longer than a threshold, the best of seven (experiments/cut_out.py; "
        "8 frames, H.264 as `unscene prepare` writes it).",
        ("cut_out.jsonl.gz",),
        ("iou",),
    ),
    Section(
        "How a video encoder should search for motion vectors",
        "Error of the motion vectors that x264 writes with different search settings, divided by "
        "the error with hexagon search, the setting of `unscene prepare`; `dis fast` is the flow "
        "that DSM would compute (experiments/vectors.py; its rows have pixels). On generated "
        "footage, without noise and with noise of 8 gray levels, the reference is the known "
        "motion. On real files, shrunk to 128 pixels, it is DIS (medium) of the original on a grid "
        "twice as fine. The label of a table says whether it is about moving or about still "
        "pixels.",
        ("vectors.jsonl.gz",),
        ("of_hexagon",),
        where={"stride": (1, 4)},
        across="stride",
    ),
    Section(
        "How a video encoder should search when the camera pans",
        "Share of correct motion vectors, for the same search settings, on a texture that moves by "
        "4 to 24 pixels per frame.",
        ("vectors.jsonl.gz",),
        ("vectors_right",),
        where={"speed": (4, 8, 12, 16, 24)},
        across="speed",
    ),
    Section(
        "Trained on generated footage, evaluated on real footage",
        "The encoders of the first section, trained without labels on generated footage only. "
        "ARID has six actions filmed in the dark. Files are as they are, or brightened "
        "(`unscene prepare --brighten true`); 8 frames at stride 4. Other places: the test videos, "
        "filmed in other places, are searched for in the 150 videos of the training part (n = 96). "
        "Leave one scene out: the training videos are searched for among those of other scenes (n "
        "= 150). There the scene misleads, and chance is lower, because a query's own scene holds "
        "most of its class: each class occurs in two to four of eleven scenes. Features that "
        "recognize scenes find the wrong class and are below chance. The intervals cover other "
        "videos and seeds, not other places. Table tennis: forehand or backhand, trained on one "
        "side of the table and evaluated on the other.",
        ("real_scenes.jsonl.gz", DESCRIBED),
        ("retrieval_r1", "retrieval_r5", "retrieval_map", "probe_top1"),
        (*REAL, "supervised"),
        where=_GENERATED,
    ),
    Section(
        "Trained on generated footage, fine-tuned with few labels",
        "The encoders of the first section, fine-tuned for 100 steps on 1, 5 and 25 labeled videos "
        "of each of the six classes of ARID (25: all of them) and evaluated in other places; "
        "`random` starts from an untrained encoder.",
        ("few_labels.jsonl.gz",),
        ("finetune_top1",),
        SYSTEMS,
        where=_GENERATED,
        across="labels",
    ),
    Section(
        "Pre-trained on real footage",
        "Pre-trained without labels for 1,000 steps on the training part of ARID and the pools of "
        "UCF101 and HMDB51, brightened, with the table tennis strokes. `all`: 346 videos, of which "
        "`unscene` uses the 184 that are long enough. `long`: those 184. `begun on moving-scenes`: "
        "first pre-trained on generated footage. ARID and table tennis are evaluated as above.",
        ("real_scenes.jsonl.gz", DESCRIBED),
        _ALL,
        REAL,
        where={"pretrain": ("all", "long"), "note": _LONGEST},
    ),
    Section(
        "Pre-trained on real footage, fine-tuned with few labels",
        "The encoders of the previous section, fine-tuned on 1, 5 and 25 labeled videos of each "
        "class, as above (of `all`, `unscene` uses the videos of `long`).",
        ("few_labels.jsonl.gz",),
        ("finetune_top1",),
        REAL,
        where={"pretrain": ("all", "long"), "note": _LONGEST},
        across="labels",
    ),
    Section(
        "Pre-trained on real footage for fewer steps",
        "First trials, most of them with one seed: on the training part of ARID only "
        "(`arid6-train`: 200 steps, brightened 600) or on all videos (300 steps).",
        ("real_scenes.jsonl.gz", DESCRIBED),
        _ALL,
        REAL,
        where={"pretrain": ("all", "arid6-train", "tabletennis8"), "note": ("", "brightened")},
    ),
    Section(
        STANDARDIZED,
        "Retrieval as `unscene evaluate retrieve --standardize` does it: features less the mean of "
        "the gallery, divided by its deviation. Otherwise the largest numbers of a histogram "
        "decide alone. Generated footage as in the first section, real footage as above.",
        (DESCRIBED,),
        ("retrieval_r1", "retrieval_r5", "retrieval_map"),
        where={"standardize": True, "correlation": (0.9, None)},
    ),
    Section(
        "Differences from flow histograms, video by video",
        "How much each descriptor differs from `hof+mbh` on the same videos (`unscene results "
        "--against hof+mbh`); an interval without 0 means that the two differ. The encoders of the "
        "sections above have no such rows: they were evaluated before rows held the outcome of "
        "each video, and their weights were not kept. Generated footage as in the first section, "
        "raw features, real footage as it is and brightened.",
        (DESCRIBED,),
        ("retrieval_r1", "probe_top1"),
        where={"correlation": (0.9, None), "note": ("", "brightened")},
        against="hof+mbh",
    ),
    Section(
        "The demo of version 0.1",
        "`unscene demo` as it was on 2026-11-22, three seeds. Footage and settings are those of "
        "the first section, so these numbers are no further evidence.",
        ("demo-2026-11-22.jsonl.gz",),
        ("retrieval_r1", "retrieval_loo_r1", "probe_top1"),
    ),
)
