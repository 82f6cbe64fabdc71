"""`unscene audit`: DATA and models in, audit.json and report.html out.

The videos are read once for all models that want the same windows. Every model is asked everything
while a batch is there; nothing larger than a batch of views is held, and what is kept of a window
is its feature and some numbers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from unscene.audit.footage import Footage
from unscene.audit.measures.adversarial import Adversarial
from unscene.audit.measures.base import Measure, Watcher, as_they_were
from unscene.audit.measures.reliance import Reliance
from unscene.audit.measures.response import Response
from unscene.audit.measures.swap import Swap
from unscene.audit.measures.time import Time
from unscene.audit.measures.where import Saliency
from unscene.audit.result import Audit, ModelAudit, Section, write_json
from unscene.audit.verdict import verdict
from unscene.data.catalog import Catalog, Skipped
from unscene.data.listing import check_videos, list_videos, require_columns
from unscene.device import pick_device
from unscene.encoders import VideoEncoder
from unscene.encoders.resolving import ResolvedEncoder, resolve_encoder
from unscene.errors import UnsceneError
from unscene.progress import count_progress, progress_bar

Kind = Callable[[Watcher, Footage], Measure]
# In the order of the report.
MEASURES: dict[str, Kind] = {
    "swap": Swap,
    "time": Time,
    "reliance": Reliance,
    "where": Saliency,
    "response": Response,
    "adversarial": Adversarial,
}


def audit(
    data: str | Catalog,
    encoders: Sequence[str | VideoEncoder | ResolvedEncoder],
    *,
    out: Path | None = None,
    label: str | None = None,
    measures: Sequence[str] = tuple(MEASURES),
    videos: int | None = None,
    clips: int = 1,
    seed: int = 0,
    workers: int = 0,
    batch_size: int = 8,
    device: str = "auto",
    heading: Section | None = None,
    extra_sections: Sequence[Section] = (),
) -> Audit:
    """Do these models watch the motion or the scene?

    Args:
        data: DATA, or a checked catalog.
        encoders: what `encoders.resolve_encoder` takes. Encoders that are passed in come back in
            their own mode and on their own device.
        out: folder for audit.json and report.html; None to write nothing.
        label: column of the classes. None: "label" where videos carry one, else none.
        measures: names from `MEASURES`.
        videos: at most so many, drawn by the seed; None: all.
        clips: uniformly spaced windows a video.
        seed: of all that is random.
        workers: reading processes.
        batch_size: windows read, and views encoded, at once.
        device: "auto" takes a GPU where there is one.
        heading: an introduction at the top of report.html. Its title becomes the title of the
            page; the headline of the audit follows as a section of its own.
        extra_sections: further sections of report.html, below the heading and above the audit.
            Colors, charts and films of the report can be used in them: `report.charts.lines` and
            `groups`, `report.charts.color(k)` for the k-th encoder, `html.pictures.film`.

    Raises:
        UnsceneError: no usable video, a model that cannot be opened or run, no such label column.
    """
    for name, value in (("videos", videos), ("clips", clips)):
        if value is not None and value < 1:
            raise UnsceneError(f"{name} {value}: must be at least 1")
    unknown = [name for name in measures if name not in MEASURES]
    if unknown or not measures:
        raise UnsceneError(
            f"measures {', '.join(unknown) or 'none'}: choose from {', '.join(MEASURES)}"
        )
    if not encoders:
        raise UnsceneError("nothing to audit: name a model with --encoder")
    where = pick_device(device)
    # Models before videos: a mistyped name should show at once.
    opened = _apart([resolve_encoder(encoder, seed=seed) for encoder in encoders])
    catalog = _catalog(data, videos, seed)
    footage = Footage(catalog, _label(catalog, label), clips, seed, workers, batch_size)
    with as_they_were([model.encoder for model in opened]):
        asked = [
            _Model(
                model,
                Watcher(model.encoder, device=where, batch_size=batch_size),
                footage,
                measures,
            )
            for model in opened
        ]
        failures = _ask(asked, footage)
        models = [model.finish() for model in asked]
    found = Audit(
        data=_described(footage, failures),
        configuration={
            "clips": clips,
            "seed": seed,
            "batch_size": batch_size,
            "videos": videos,
            "measures": list(measures),
            "device": str(where),
        },
        models=models,
    )
    if out is not None:
        _write(out, found, heading, extra_sections)
    return found


@dataclass
class _Model:
    """A model while it is being asked."""

    opened: ResolvedEncoder
    watcher: Watcher
    footage: Footage
    names: Sequence[str]
    seconds: float = 0.0
    measures: list[Measure] = field(init=False)

    def __post_init__(self) -> None:
        wanted = [MEASURES[name] for name in MEASURES if name in self.names]
        self.measures = [kind(self.watcher, self.footage) for kind in wanted]

    def finish(self) -> ModelAudit:
        found = []
        began = time.perf_counter()
        with progress_bar(
            f"{self.opened.name}: evaluating", len(self.measures), "measure"
        ) as shown:
            for measure in self.measures:
                found.append(measure.finish())
                shown.update()
        self.seconds += time.perf_counter() - began
        return ModelAudit(
            name=self.opened.name,
            note=self.opened.note,
            spec=self.watcher.spec,
            verdict=verdict(found),
            measures=found,
            trained=self.opened.trained,
            forwards=self.watcher.forwards,
            seconds=self.seconds,
        )


def _ask(models: Sequence[_Model], footage: Footage) -> dict[str, Skipped]:
    """Show every batch to every model; returns the files that could not be read, by path."""
    failures: dict[str, Skipped] = {}
    groups: dict[tuple[int, int, int], list[_Model]] = {}
    for model in models:
        spec = model.watcher.spec
        groups.setdefault((spec.frames, spec.stride, spec.size), []).append(model)
    total = len(footage.videos) * footage.clips * len(models)
    with progress_bar("audit", total, "clip") as shown:
        for group in groups.values():
            spec = group[0].watcher.spec
            # Failed windows count as done: a batch is smaller by them.
            for count, batch in zip(footage.sizes(), footage.batches(spec), strict=True):
                failures.update({failure.path: failure for failure in batch.failures})
                for model in group:
                    began = time.perf_counter()
                    if len(batch):
                        held = batch.to(model.watcher.device)
                        for measure in model.measures:
                            measure.see(held)
                    model.seconds += time.perf_counter() - began
                    shown.set_postfix_str(model.opened.name)
                    shown.update(count)
    if len(failures) == len({video.path for video in footage.videos}):
        causes = "; ".join(f"{s.path}: {s.reason}" for s in list(failures.values())[:3])
        raise UnsceneError(f"none of {len(footage.videos)} videos could be read; {causes}")
    return failures


def _apart(opened: Sequence[ResolvedEncoder]) -> list[ResolvedEncoder]:
    """Names that differ: a, a (2), a (3)."""
    found: list[ResolvedEncoder] = []
    for one in opened:
        name, count = one.name, 1
        while name in {other.name for other in found}:
            count += 1
            name = f"{one.name} ({count})"
        found.append(replace(one, name=name))
    return found


def _catalog(data: str | Catalog, videos: int | None, seed: int) -> Catalog:
    if isinstance(data, Catalog):
        catalog = data
    else:
        listed = list_videos(data)
        with count_progress(f"{data}: checking", len(listed)) as progress:
            catalog = check_videos(listed, progress)
    if not catalog.videos:
        raise UnsceneError(f"{catalog.source}: no video can be used.\n{catalog.summary()}")
    if catalog.skipped:
        print(f"{catalog.source}: {catalog.summary()}", file=sys.stderr)
    if videos is not None and videos < len(catalog):
        drawn = np.random.default_rng([seed, 0xC]).permutation(len(catalog))[:videos]
        catalog = replace(catalog, videos=tuple(catalog.videos[i] for i in sorted(drawn.tolist())))
    return catalog


def _label(catalog: Catalog, label: str | None) -> str | None:
    if label is not None:
        require_columns(
            catalog, label
        )  # raises where no video has it, and says which columns there are
        return label
    return "label" if any(video.label is not None for video in catalog.videos) else None


def _described(footage: Footage, failures: dict[str, Skipped]) -> dict[str, object]:
    catalog = footage.catalog
    skipped = {s.path: s for s in catalog.skipped} | failures
    classes = {footage.label_of(i) for i in range(len(catalog))} - {None}
    return {
        "source": catalog.source,
        "videos": sum(video.path not in failures for video in catalog.videos),
        "skipped": [{"path": s.path, "reason": s.reason} for s in skipped.values()],
        "fingerprint": catalog.fingerprint(),
        "label": footage.label,
        "classes": len(classes),
    }


def _write(
    out: Path, found: Audit, heading: Section | None, extra_sections: Sequence[Section]
) -> None:
    from unscene.audit.report.page import write_report

    write_json(out / "audit.json", found)
    write_report(out / "report.html", found, heading, extra_sections)
