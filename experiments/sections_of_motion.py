"""The sections of docs/results.md on encoders of motion, figures and the camera."""

from __future__ import annotations

from sections import DESCRIBED, Section

MOTION = "motion.jsonl.gz"
DISTILLED = "distill.jsonl.gz"
FIGURES = "figures.jsonl.gz"
LADDER = "ladder.jsonl.gz"
CAMERA = "moving_camera.jsonl.gz"
CAMERA_LINES = ("hof", "hof-camera-in", "hof+mbh", "hof+mbh-camera-in")

SECTIONS_OF_MOTION: tuple[Section, ...] = (
    Section(
        "The encoder of motion that comes with the package",
        "`motion`: `motion-net`, trained by the flow of generated figures only (`unscene pretrain "
        "--config motion`), three seeds, and the same network untrained. Files as they are, four "
        "clips a video, raw features. Settings were chosen on `leave one scene out`, so there the "
        "numbers are optimistic.",
        (MOTION, DESCRIBED),
        ("retrieval_r1", "retrieval_map", "probe_top1"),
        where={"note": "", "correlation": (0.9, None)},
    ),
    Section(
        "The encoder of motion, standardized features",
        "As above; features less the mean of the gallery, divided by its deviation.",
        (MOTION, DESCRIBED),
        ("retrieval_r1", "retrieval_map"),
        where={"note": "", "correlation": (0.9, None), "standardize": True},
    ),
    Section(
        "The encoder of motion, differences from flow histograms",
        "Of the same videos, in pairs; intervals over videos and seeds.",
        (MOTION, DESCRIBED),
        ("retrieval_r1", "probe_top1"),
        where={"note": "", "correlation": (0.9, None)},
        against="hof+mbh",
    ),
    Section(
        "The encoder of motion, differences, standardized features",
        "As above.",
        (MOTION, DESCRIBED),
        ("retrieval_r1",),
        where={"note": "", "correlation": (0.9, None), "standardize": True},
        against="hof+mbh",
    ),
    Section(
        "An encoder of motion teaches an encoder of RGB",
        "`distill`: r3d-narrow, 13 frames at 56 pixels, 400 steps of 16 clips, learns what "
        "`motion` says of the same frames (`pretrain --method distill`), on the 346 real videos of "
        "`all`, brightened, without labels. `moco`: the same encoder, clips, videos and number of "
        "steps; `random`: untrained. Three seeds, raw features (experiments/distill.py).",
        (DISTILLED, DESCRIBED),
        ("retrieval_r1", "retrieval_map", "probe_top1"),
        where={"note": "brightened, 400 steps"},
    ),
    Section(
        "An encoder of motion teaches an encoder of RGB, differences from MoCo",
        "Of the same videos, in pairs; intervals over videos and seeds.",
        (DISTILLED,),
        ("retrieval_r1", "probe_top1"),
        where={"note": "brightened, 400 steps"},
        against="moco",
    ),
    Section(
        "Generated figures, the hard benchmark",
        "16 motion programs (chance 0.062), correlation 0.9; 160 videos in new scenes, 400 "
        "training videos, three seeds of the footage, two clips a video, raw features. `motion` "
        "and `motion-vectors` are the encoders that come with the package, `distill` and `moco` "
        "those of the section on distillation, which saw real footage only "
        "(experiments/figures.py). `random` is untrained.",
        (FIGURES,),
        ("retrieval_r1", "retrieval_map", "probe_top1"),
        where={"note": ""},
    ),
    Section(
        "Generated figures, standardized features",
        "As above; features less the mean of the gallery, divided by its deviation.",
        (FIGURES,),
        ("retrieval_r1", "retrieval_map"),
        where={"note": "", "standardize": True},
    ),
    Section(
        "Generated figures, differences from flow histograms",
        "Of the same videos, in pairs. Raw features.",
        (FIGURES,),
        ("retrieval_r1", "probe_top1"),
        where={"note": ""},
        against="hof+mbh",
    ),
    Section(
        "Generated figures, learned with labels",
        "Histograms of flow over time of 3200 labeled videos, tested in new scenes, three seeds: "
        "exact flow with the camera standing, and DIS flow that is read from the videos "
        "(experiments/supervised_figures.py). `figures-relations`: two figures, four relations.",
        ("supervised_figures.jsonl.gz",),
        (
            *("exact/logistic_top1", "exact/network_top1"),
            *("dis/logistic_top1", "dis/network_top1"),
        ),
    ),
    Section(
        "What each step of the generator of motion programs brings",
        "`motion-net`, 300 steps of 32 programs each, three seeds, evaluated on the codec's "
        "vectors. `rung-simple`: programs of few parts, seen from the side; `rung-whole`: whole "
        "actions; `rung-sides`: from all sides; `rung-telling`: and telling what the body does. "
        "`random`: untrained. Raw features (experiments/ladder.py).",
        (LADDER,),
        ("retrieval_r1", "retrieval_map", "probe_top1"),
        where={"note": ""},
    ),
    Section(
        "What each step of the generator brings, standardized features",
        "As above.",
        (LADDER,),
        ("retrieval_r1", "retrieval_map"),
        where={"note": "", "standardize": True},
    ),
    Section(
        "What each step of the generator brings, differences from the untrained network",
        "Of the same videos, in pairs; intervals over videos and seeds. Raw features.",
        (LADDER,),
        ("retrieval_r1", "probe_top1"),
        where={"note": ""},
        against="random",
    ),
    Section(
        "Do encoders have the same order on generated and on real footage?",
        "Rank correlation of scores on generated footage (new scenes) with scores on ARID, over "
        "the encoders that have both; the last column has their number. Intervals are from drawing "
        "encoders with replacement. Which encoders: experiments/rank.py.",
        ("rank.jsonl.gz",),
        ("spearman", "kendall"),
    ),
    Section(
        "The camera: estimated and true",
        "Generated footage whose camera is known, 8 videos of 16 frames for each motion of the "
        "camera, H.264. Mean distance between the estimated and the true flow of the scene, over "
        "the frame, per step. Moving scenes have 64 pixels, figures 112. `none`: the camera taken "
        "to stand still, so this is how far it moves. `dis`: a similarity fitted to DIS flow "
        "(medium). `vectors`: to the codec's vectors, where there are some.",
        (CAMERA,),
        ("camera_error_px",),
        ("none", "dis", "vectors"),
        where={"camera": ("still", "pan", "zoom", "rotation", "shake", "all")},
        across="camera",
    ),
    Section(
        "Flow histograms with the camera in and out",
        "`hof` and `hof+mbh` of flow without the camera's motion, and of the same flow with it "
        "(`-camera-in`), on the files of ARID as they are. Raw features.",
        (CAMERA,),
        ("retrieval_r1", "retrieval_map", "probe_top1"),
        CAMERA_LINES,
        where={"note": ""},
    ),
    Section(
        "Flow histograms with the camera in and out, standardized features",
        "As above; features less the mean of the gallery, divided by its deviation.",
        (CAMERA,),
        ("retrieval_r1", "retrieval_map"),
        CAMERA_LINES,
        where={"note": "", "standardize": True},
    ),
    Section(
        "Trained under a moving camera, with it in and out",
        "1,000 moving scenes whose camera pans, zooms, turns and shakes, correlation 0.9; 120 "
        "steps of 16 clips, three seeds. With `-camera-out`, flow scaling leaves the camera's "
        "motion as it is, and what is predicted moves against the scene (`--camera out`). "
        "`triplet` is DSM (Triplet).",
        (CAMERA,),
        ("retrieval_r1", "retrieval_r5", "probe_top1"),
        ("unscene-camera-in", "unscene-camera-out", "triplet-camera-in", "triplet-camera-out"),
        where={"note": "moving camera"},
    ),
)
