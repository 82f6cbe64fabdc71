"""`unscene audit`: videos and models in, audit.json and report.html out.

    videos -> batches of clips -> every measure of every model -> results -> verdicts -> report

Videos are read once for all models that take the same clips. Nothing larger than a batch of views
is held in memory; what is kept of a clip is its feature and a few numbers. Files are written at the
end, each whole or not at all: an audit that fails or is stopped leaves nothing behind.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from unscene.audit.extractor import FeatureExtractor, preserve_state
from unscene.audit.footage import Footage
from unscene.audit.measures.base import Measure
from unscene.audit.registry import find_measures, known_measures
from unscene.audit.report.page import render
from unscene.audit.report.words import ScoreWords
from unscene.audit.result import Audit, Measured, ModelAudit, Section, Verdict, write_json
from unscene.data.catalog import Catalog, Skipped
from unscene.data.listing import Data, check_videos, list_videos, require_columns
from unscene.data.loading import Batch
from unscene.device import pick_device
from unscene.encoders.resolving import ResolvedEncoder, resolve_encoder
from unscene.encoders.two_stream import TwoStream
from unscene.encoders.untrained import make_untrained_twin
from unscene.errors import UnsceneError, check_at_least
from unscene.files import check_free, write_text
from unscene.progress import count_progress, progress_bar

RESULT, PAGE = "audit.json", "report.html"  # the files of an audit


def audit(
    data: Data,
    encoders: object,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    label: str | None = None,
    measures: str | Sequence[str] | None = None,
    videos: int | None = None,
    clips: int = 1,
    seed: int = 0,
    workers: int = 0,
    batch_size: int = 8,
    baseline: bool = True,
    device: str = "auto",
    heading: Section | None = None,
    extra_sections: Sequence[Section] = (),
) -> Audit:
    """Audit video models: do they watch the motion or the scene?

    Args:
        data: as for `open_catalog`: a folder, a CSV, an official list, a list of videos, a catalog.
        encoders: a list of texts as `--encoder` takes them, or of models (see `load_encoder`), or
            one of them alone. The mode and the device of a `VideoEncoder` are restored; other
            models are left in evaluation mode.
        out: folder for audit.json and report.html; None to write nothing.
        overwrite: replace the results of an earlier audit in that folder.
        label: column of the classes. None: "label" if videos have one, else no classes.
        measures: one name or several: a measure of the package, or "package.module:Class" for a
            subclass of `measures.base.Measure` elsewhere; None: all of the package.
        videos: audit at most this many, chosen by the seed; None: all.
        clips: uniformly spaced clips per video.
        seed: of everything random.
        workers: processes that read videos.
        batch_size: clips read, and views encoded, at once.
        baseline: audit the untrained twin of each model too: the same architecture with random
            weights, on the same clips. A model that is untrained itself has none.
        device: "auto" takes a GPU if there is one.
        heading: an introduction at the top of report.html. Its title becomes the title of the
            page; the headline of the audit follows as a section of its own.
        extra_sections: further sections of report.html, between the heading and the verdicts.
            They can use the colors, charts and clips of the report: `report.charts.dot_chart` and
            `grouped_dots`, `report.charts.color(k)` for the k-th encoder, `html.pictures.film`.

    Raises:
        UnsceneError: no usable video, a model that cannot be loaded or run, no such label column,
            no such measure, or `out` holds an earlier audit or cannot be written.
    """
    check_at_least(1, videos=videos, clips=clips)
    listed = _list_encoders(encoders)
    if not listed:
        raise UnsceneError("nothing to audit: name a model with --encoder")
    folder = None if out is None else Path(out)
    if folder is not None:
        for name in (RESULT, PAGE):
            check_free(folder / name, overwrite=overwrite)
    if isinstance(measures, str):
        measures = [measures]
    names = list(known_measures()) if measures is None else list(measures)
    kinds = find_measures(names)
    where = pick_device(device)
    # Models before videos: a mistyped name should show at once.
    named = [explain_input(resolve_encoder(encoder, seed=seed)) for encoder in listed]
    resolved = _with_unique_names(named)
    catalog = _catalog(data, videos, seed)
    footage = Footage(catalog, _label(catalog, label), clips, seed, workers, batch_size)
    with preserve_state([model.encoder for model in resolved]):
        runs = [_Run(model, kinds, footage, where) for model in resolved]
        if baseline:
            _add_twins(runs, kinds)
        failures = _show(runs, footage)
        models = [run.compute() for run in runs]
    configuration = {
        "clips": clips,
        "seed": seed,
        "batch_size": batch_size,
        "videos": videos,
        "measures": names,
        "baseline": baseline,
        "device": str(where),
    }
    found = Audit(_describe(footage, failures), configuration, models)
    if folder is not None:
        # Rendered before anything is written: an error leaves no half results.
        page = render(found, heading, extra_sections, {kind.name: kind for kind in kinds})
        write_json(folder / RESULT, found)
        write_text(folder / PAGE, page)
    return found


class _Run:
    """The audit of one model and of its untrained twin, while it runs."""

    def __init__(
        self,
        resolved: ResolvedEncoder,
        kinds: Sequence[type[Measure]],
        footage: Footage,
        device: torch.device,
    ) -> None:
        self.resolved, self.footage = resolved, footage
        self.extractor = FeatureExtractor(
            resolved.encoder, device=device, batch_size=footage.batch_size
        )
        self.measures = [kind(self.extractor, footage) for kind in kinds]
        self.forwards: Counter[str] = Counter()  # by measure
        self.seconds = 0.0
        self.twin: _Run | None = None
        self.no_twin = "not wanted (--no-baseline)"

    def add_twin(self, kinds: Sequence[type[Measure]]) -> None:
        """Audit the untrained twin too, unless the model is untrained or cannot have one."""
        if self.resolved.trained is False:
            self.no_twin = "the model itself is untrained"
            return
        name, history = self.resolved.name, self.extractor.spec.trained_on
        # With the seed of a training from scratch, it is the network that the training began with.
        seed = int(history.get("seed", self.footage.seed))
        note = f"the architecture of {name} with random weights (seed {seed})"
        with self._twin_may_fail():
            encoder = make_untrained_twin(self.resolved.encoder, seed)
            twin = ResolvedEncoder(encoder, f"{name} (untrained twin)", note, trained=False)
            self.twin = _Run(twin, kinds, self.footage, self.extractor.device)

    @contextmanager
    def _twin_may_fail(self) -> Iterator[None]:
        """Go on without the twin if it fails.

        Random weights may give features that are not finite, and two networks may need more memory
        than there is.
        """
        try:
            yield
        except (UnsceneError, RuntimeError) as error:  # torch's, also out of memory
            reason = (str(error) or type(error).__name__).splitlines()[0]
            reason = reason.removeprefix(f"{self.extractor.spec.name}: ")
            self.twin, self.no_twin = None, reason
            print(f"{self.resolved.name} has no untrained twin: {reason}", file=sys.stderr)

    def update(self, batch: Batch) -> None:
        if self.twin is not None:
            with self._twin_may_fail():
                self.twin.update(batch)
        began = time.perf_counter()
        held = batch.to(self.extractor.device)
        for measure in self.measures:
            before = self.extractor.forwards
            measure.update(held)
            self.forwards[measure.name] += self.extractor.forwards - before
        self.seconds += time.perf_counter() - began

    def compute(self) -> ModelAudit:
        twin = None
        if self.twin is not None:
            with self._twin_may_fail():
                twin = self.twin.compute()
        began, found = time.perf_counter(), []
        title = f"{self.resolved.name}: evaluating"
        with progress_bar(title, len(self.measures), "measure") as shown:
            for measure in self.measures:
                before = self.extractor.forwards
                result = measure.compute()
                self.forwards[measure.name] += self.extractor.forwards - before
                found.append(replace(result, forwards=self.forwards[measure.name]))
                shown.update()
        self.seconds += time.perf_counter() - began
        verdict = judge(found, {measure.name: type(measure) for measure in self.measures})
        return ModelAudit(
            name=self.resolved.name,
            note=self.resolved.note,
            spec=self.extractor.spec,
            verdict=verdict if twin is None else compare(verdict, twin.verdict),
            measures=found,
            trained=self.resolved.trained,
            forwards=self.extractor.forwards,
            seconds=self.seconds,
            untrained_twin=None if twin is None else _without_pictures(twin),
            no_twin=self.no_twin if twin is None else "",
        )


def _add_twins(runs: Sequence[_Run], kinds: Sequence[type[Measure]]) -> None:
    for run in runs:
        run.add_twin(kinds)
    if any(run.twin is not None for run in runs):
        print(
            "An untrained network of the same architecture is audited on the same clips, as the "
            "yardstick. The audit takes about twice as long; --no-baseline leaves it out",
            file=sys.stderr,
        )


def compare(verdict: Verdict, twin: Verdict) -> Verdict:
    """Add to a verdict what the untrained twin scores."""
    own, other = verdict.score, twin.score
    if own is None or other is None or twin.measure != verdict.measure:
        return verdict
    text = ScoreWords("").text
    apart = max(own.ci95[0], other.ci95[0]) > min(own.ci95[1], other.ci95[1])
    said = (
        f" In one number: {text(own)}, and {text(other)} for its untrained twin"
        f"{'' if apart else '; the intervals overlap'}."
    )
    return replace(verdict, sentence=verdict.sentence + said)


def _without_pictures(model: ModelAudit) -> ModelAudit:
    return replace(model, measures=[replace(one, pictures={}) for one in model.measures])


def judge(
    measures: Sequence[Measured], kinds: Mapping[str, type[Measure]] | None = None
) -> Verdict:
    """Give the verdict on one model: motion or scene, in one number that needs no labels.

    The first measure of the report that judges and has scores gives it: "swap", or "time" where no
    motion can be segmented (the camera moves, one scene only). The sentence then says so. A measure
    of fewer than `FEWEST` files has no scores, and no verdict rests on it.

    Args:
        measures: the results.
        kinds: the classes of the measures by name; None: those of the package.
    """
    kinds = known_measures() if kinds is None else kinds
    judging = sorted(
        (one for one in measures if one.name in kinds and kinds[one.name].judges),
        key=lambda one: kinds[one.name].order,
    )
    reasons: list[str] = []
    for one in judging:
        if one.scores:
            found = kinds[one.name].verdict(one)
            missing = "".join(f" No verdict from {reason}." for reason in reasons)
            return replace(found, sentence=found.sentence + missing, coverage=one.coverage)
        reasons.append(f"{one.name}: {one.absent}")
    sentence = f"No verdict. {'; '.join(reasons) or 'Nothing measured'}."
    return Verdict(None, None, 0, "", sentence, "none")


def _show(runs: Sequence[_Run], footage: Footage) -> dict[str, Skipped]:
    """Show every batch to every model; returns the files that could not be read, by path."""
    failures: dict[str, Skipped] = {}
    groups: dict[tuple[int, int, int], list[_Run]] = {}
    for run in runs:
        spec = run.extractor.spec
        groups.setdefault((spec.frames, spec.stride, spec.size), []).append(run)
    total = len(footage.videos) * footage.clips * len(runs)
    with progress_bar("audit", total, "clip") as shown:
        for group in groups.values():
            batches = footage.batches(group[0].extractor.spec)
            # Clips that could not be read count as done: their batch is smaller.
            for count, batch in zip(footage.sizes(), batches, strict=True):
                failures.update({failure.path: failure for failure in batch.failures})
                for run in group:
                    if len(batch):
                        run.update(batch)
                    shown.set_postfix_str(run.resolved.name)
                    shown.update(count)
    if len(failures) == len({video.path for video in footage.videos}):
        causes = "; ".join(f"{s.path}: {s.reason}" for s in list(failures.values())[:3])
        raise UnsceneError(f"none of {len(footage.videos)} videos could be read; {causes}")
    return failures


def _list_encoders(encoders: object) -> list[object]:
    """One encoder or several, as a list. Modules (also nn.Sequential) are one encoder."""
    with_options = (
        isinstance(encoders, tuple) and len(encoders) == 2 and isinstance(encoders[1], Mapping)
    )
    several = isinstance(encoders, Iterable) and not isinstance(encoders, str | os.PathLike)
    if with_options or callable(encoders) or not several:
        return [encoders]
    return list(cast("Iterable[object]", encoders))


def explain_input(resolved: ResolvedEncoder) -> ResolvedEncoder:
    """Say of an encoder of motion vectors that an audit, which alters pixels, has none for it."""
    encoder = resolved.encoder
    reads = encoder.motion if isinstance(encoder, TwoStream) else encoder
    if reads.input != "vectors":
        return resolved
    note = "altered pixels have no motion vectors, so here it reads the flow of the pixels (DIS)"
    return replace(resolved, note=f"{resolved.note}; {note}")


def _with_unique_names(resolved: Sequence[ResolvedEncoder]) -> list[ResolvedEncoder]:
    """Models whose names differ: a, a (2), a (3)."""
    found: list[ResolvedEncoder] = []
    for one in resolved:
        name, count = one.name, 1
        while name in {other.name for other in found}:
            count += 1
            name = f"{one.name} ({count})"
        found.append(replace(one, name=name))
    return found


def _catalog(data: Data, videos: int | None, seed: int) -> Catalog:
    listed = list_videos(data)
    new = any(video.info is None for video in listed.videos)
    with count_progress(f"{listed.source}: checking", len(listed), show=new) as progress:
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
        require_columns(catalog, label)
        return label
    return "label" if any(video.label is not None for video in catalog.videos) else None


def _describe(footage: Footage, failures: dict[str, Skipped]) -> dict[str, object]:
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
