"""The whole story in minutes on a laptop: footage, three methods, numbers, a report.

    OUT/footage/         generated videos: train (each motion mostly in its own scene), seen, unseen
    OUT/moco, OUT/dsm-triplet, OUT/unscene    pre-training runs of the same number of steps
    OUT/views.png        what unscene trains on
    OUT/results.jsonl    every number, one row each
    OUT/report.html      what the numbers say, examples, and the audit of the encoders
    OUT/audit.json       the numbers of that audit

Stopped with Ctrl-C, it continues where it was when called again. It opens no network.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from unscene.audit.run import PAGE, RESULT, audit
from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog
from unscene.demo import sections
from unscene.demo.findings import Finding, find, interval
from unscene.encoders import ResolvedEncoder, resolve_encoder
from unscene.evaluate.features import Features, extract
from unscene.evaluate.labels import score_labels
from unscene.files import check_free
from unscene.preview.run import preview
from unscene.progress import count_progress
from unscene.results.rows import UNTRAINED, Row, write_rows
from unscene.synthetic.generate import SPLITS, MovingScenes, generate
from unscene.train.config import build
from unscene.train.engine import torch_threads
from unscene.train.preflight import check_folder
from unscene.train.pretrain import pretrain_once

STEPS = 400
CLIPS = 2  # per video, at test time
ROWS, VIEWS, FOOTAGE_FOLDER = "results.jsonl", "views.png", "footage"  # names in OUT
AUDITED = 48  # videos
# On two cores one trains, and what it leaves of the other and of itself reads. Two threads for the
# training were half as fast here (experiments/LOG.md).
_WORKERS, _THREADS = 2, 1

FOOTAGE = MovingScenes(
    train_videos=1000,
    seen_videos=160,
    unseen_videos=800,
    correlation=0.9,
    shapes=("bar", "drop"),
    textures=("halves",),
    own_place=True,
)
# What a laptop's CPU can train in minutes, the same for all methods. experiments/LOG.md says how
# these were found; a real run takes the method's defaults.
BUDGET: dict[str, Any] = {
    "encoder": "r3d-narrow",
    "frames": 8,
    "stride": 2,
    "size": 36,
    "augmentation": "mild",
    "max_steps": STEPS,
    "workers": _WORKERS,
    "threads": _THREADS,
    "devices": 1,
    "accelerator": "cpu",
}
# What only one method reads.
METHODS: dict[str, dict[str, Any]] = {
    "moco": {"queue": 16, "batch_negatives": False, "key_momentum": 0.95},
    "dsm-triplet": {},
    "unscene": {"predictor_dim": 128},
}
TITLES = {
    UNTRAINED: "Untrained",
    "moco": "MoCo",
    "dsm-triplet": "DSM (Triplet)",
    "unscene": "unscene",
}
_LAST = len(METHODS) + 3  # the number of parts that are announced


def demo(out: Path, *, seed: int = 0) -> Path:
    """Run the demo; finished parts in `out` are kept.

    Args:
        out: folder of the demo.
        seed: of the footage and of all trainings.

    Returns:
        The path of the report.

    Raises:
        UnsceneError: `out` cannot be written, or holds results that are not of a demo.
    """
    started = time.perf_counter()
    check_folder(str(out))
    for name in (ROWS, VIEWS, RESULT, PAGE):  # those of an earlier call are replaced
        check_free(out / name, overwrite=(out / FOOTAGE_FOLDER).exists())
    _announce(1, f"generating moving scenes in {out / FOOTAGE_FOLDER}")
    catalogs = _generate(out / FOOTAGE_FOLDER, seed)
    for number, method in enumerate(METHODS, start=2):
        _announce(number, f"pre-training {TITLES[method]} for {STEPS} steps without labels")
        _train(method, out / method, catalogs["train"], seed)
    _announce(_LAST - 1, f"evaluating {', '.join(TITLES.values())}")
    encoders = {method: _resolve(method, out, seed) for method in TITLES}
    features = {method: _extract(one, catalogs) for method, one in encoders.items()}
    rows = _score(encoders, features, catalogs, seed)
    write_rows(out / ROWS, rows)
    _announce(_LAST, f"auditing the encoders on {AUDITED} videos of new scenes")
    findings = find(rows, TITLES)
    _report(out, encoders, features, catalogs, findings, seed)
    _print_table(findings)
    minutes = (time.perf_counter() - started) / 60
    report = out / PAGE
    print(f"\n{minutes:.1f} minutes. Report: {report}   numbers: {out / ROWS}")
    return report


def _announce(number: int, text: str) -> None:
    print(f"[{number}/{_LAST}] {text}", flush=True)


def _generate(out: Path, seed: int) -> dict[str, Catalog]:
    spec = replace(FOOTAGE, seed=seed)
    with count_progress("footage", sum(map(spec.videos, SPLITS))) as progress:
        generate(out, spec, workers=2, progress=progress)
    return {split: open_catalog(out / f"{split}.csv") for split in SPLITS}


def _train(method: str, out: Path, catalog: Catalog, seed: int) -> None:
    given = {"data": catalog.source, "out": str(out), "method": method, "seed": seed}
    if pretrain_once(build(given | BUDGET | METHODS[method]), catalog=catalog) is None:
        print(f"      {out}: already finished; delete the folder to train again")


def _resolve(method: str, out: Path, seed: int) -> ResolvedEncoder:
    encoder = BUDGET["encoder"] if method == UNTRAINED else out / method
    return resolve_encoder(f"{TITLES[method]}={encoder}", seed=seed)


def _extract(encoder: ResolvedEncoder, catalogs: Mapping[str, Catalog]) -> dict[str, Features]:
    """Features of all splits."""
    found: dict[str, Features] = {}
    before, total = 0, sum(len(catalog) for catalog in catalogs.values())
    with count_progress(f"features of {encoder.name}", total) as progress, torch_threads(_THREADS):
        for split in SPLITS:
            found[split] = extract(
                encoder.encoder,
                catalogs[split].videos,
                clips=CLIPS,
                batch_size=64,
                workers=_WORKERS,
                progress=lambda done, total, before=before: progress(before + done, total),  # type: ignore[misc]
            )
            before += len(catalogs[split])
    return found


def _score(
    encoders: Mapping[str, ResolvedEncoder],
    features: Mapping[str, dict[str, Features]],
    catalogs: Mapping[str, Catalog],
    seed: int,
) -> list[Row]:
    """The rows of all encoders: motion and scene, in training scenes and in new ones."""
    return [
        row
        for method, resolved in encoders.items()
        for row in score_labels(
            resolved.encoder.spec,
            features[method],
            catalogs,
            product(("motion", "scene"), ("seen", "unseen")),
            data="moving scenes, motion and scene 90 % correlated in training",
            views=CLIPS,
            seed=seed,
        )
    ]


def _report(
    out: Path,
    encoders: Mapping[str, ResolvedEncoder],
    features: Mapping[str, dict[str, Features]],
    catalogs: Mapping[str, Catalog],
    findings: Sequence[Finding],
    seed: int,
) -> None:
    """Write report.html and audit.json: the demo's own sections, then the audit."""
    clip = {name: BUDGET[name] for name in ("frames", "stride", "size", "augmentation")}
    views = preview(
        catalogs["train"].source,
        out / VIEWS,
        overwrite=True,
        videos=2,
        method="unscene",
        overrides=clip | METHODS["unscene"],
        seed=seed,
    )
    audit(
        catalogs["unseen"],
        list(encoders.values()),
        out=out,
        overwrite=True,
        label="motion",
        videos=AUDITED,
        seed=seed,
        workers=_WORKERS,
        baseline=False,  # the untrained network is one of the models
        device="cpu",
        heading=sections.heading(findings, FOOTAGE),
        extra_sections=[
            sections.footage_section(catalogs["train"].videos, FOOTAGE, len(catalogs["unseen"])),
            sections.examples_section(sections.choose_examples(features), findings),
            sections.training_section(findings, views),
            sections.limits_section(seed),
        ],
    )


def _print_table(findings: Sequence[Finding]) -> None:
    print(f"\n{'':<16}{'motion, new scenes':>24}{'scene, training scenes':>26}   (recall@1)")
    for one in findings:
        print(f"{one.title:<16}{interval(one.motion):>24}{interval(one.scene):>26}")
