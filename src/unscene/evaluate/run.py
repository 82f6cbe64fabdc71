"""`unscene evaluate`: an encoder and DATA in, rows of results out."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from tqdm import tqdm

from unscene.encoders import VideoEncoder, load_encoder
from unscene.errors import UnsceneError
from unscene.evaluate.features import Features, extract
from unscene.evaluate.probe import linear_probe
from unscene.evaluate.retrieve import recall
from unscene.evaluate.rows import Row, write_rows
from unscene.video.catalog import Catalog, Skipped, Video, open_catalog

Protocol = Literal["retrieve", "probe"]
KS = (1, 5, 10, 20, 50)  # those that the gallery is large enough for are reported


def evaluate(
    protocol: Protocol,
    data: str,
    encoder_path: Path,
    *,
    train: str | None = None,
    label: str = "label",
    clips: int = 10,
    workers: int = 0,
    batch_size: int = 16,
    out: Path | None = None,
) -> list[Row]:
    """Measure a saved encoder on labelled videos.

    Args:
        protocol: "retrieve" (recall at K, cosine, one feature a video) or "probe" (top-1 of a
            linear probe).
        data: the queries, or the test videos.
        encoder_path: as `load_encoder` takes it.
        train: the gallery, or the training set of the probe. Without it "retrieve" searches for
            every video among the others.
        label: column of the classes.
        clips: windows a video, averaged.
        workers: reading processes.
        batch_size: windows encoded at once.
        out: .jsonl file that the rows are also written to.

    Raises:
        UnsceneError: no usable video, no such label column, a probe without `train`, an encoder
            that cannot be loaded.
    """
    if protocol not in get_args(Protocol):
        raise UnsceneError(f"protocol {protocol!r}: must be one of {', '.join(get_args(Protocol))}")
    if protocol == "probe" and train is None:
        raise UnsceneError("a probe needs videos to learn from: give them with --train")
    for name, value in (("clips", clips), ("batch_size", batch_size)):
        if value < 1:
            raise UnsceneError(f"{name} {value}: must be at least 1")
    encoder = load_encoder(encoder_path)
    # All catalogs and labels before the first feature: a mistake should show at once.
    test = _labelled(data, label)
    gallery = _labelled(train, label) if train is not None else None

    def features(catalog: Catalog) -> Features:
        return _features(encoder, catalog, clips, workers, batch_size)

    query = features(test)
    known = query if gallery is None else features(gallery)
    labels, known_labels = query.labels(label), known.labels(label)
    scores: list[tuple[str, float, tuple[float, float], int]]
    if protocol == "probe":
        probe = linear_probe(known.values, known_labels, query.values, labels)
        scores = [("probe_top1", probe.value, probe.ci95, probe.n)]
    else:
        found = recall(
            query.values, labels, known.values, known_labels, ks=KS, leave_one_out=gallery is None
        )
        scores = [(f"retrieval_r{r.k}", r.value, r.ci95, r.n) for r in found]
    rows = _rows(encoder, test, gallery, label, clips, scores)
    if out is not None:
        write_rows(out, rows)
    return rows


def _labelled(data: str, label: str) -> Catalog:
    """The videos that carry the label; those without it are skipped, unless none has it."""
    catalog = open_catalog(data)
    with_label = [video for video in catalog.videos if _has(video, label)]
    if not with_label:
        columns = {name for video in catalog.videos for name in video.columns}
        if any(video.label is not None for video in catalog.videos):
            columns.add("label")
        raise UnsceneError(
            f"{data}: no label column {label!r}; "
            + (
                f"its columns are {', '.join(sorted(columns))}"
                if columns
                else "its videos carry no labels: use class folders or a CSV (path,label)"
            )
        )
    without = [video for video in catalog.videos if not _has(video, label)]
    skipped = tuple(Skipped(v.path, f"has no value in column {label!r}") for v in without)
    catalog = replace(catalog, videos=tuple(with_label), skipped=catalog.skipped + skipped)
    _tell(catalog)
    return catalog


def _has(video: Video, label: str) -> bool:
    return (video.label if label == "label" else video.columns.get(label)) is not None


def _features(
    encoder: VideoEncoder, catalog: Catalog, clips: int, workers: int, batch_size: int
) -> Features:
    quiet = not sys.stderr.isatty()
    with tqdm(
        total=len(catalog), desc=catalog.source, unit="video", mininterval=30 if quiet else 0.2
    ) as bar:
        found = extract(
            encoder,
            catalog.videos,
            clips=clips,
            batch_size=batch_size,
            workers=workers,
            progress=lambda done, total: bar.update(done - bar.n),
        )
    _tell(replace(catalog, videos=found.videos, skipped=found.skipped))
    return found


def _tell(catalog: Catalog) -> None:
    if catalog.skipped:
        print(f"{catalog.source}: {catalog.account()}", file=sys.stderr)


def _rows(
    encoder: VideoEncoder,
    test: Catalog,
    gallery: Catalog | None,
    label: str,
    clips: int,
    scores: list[tuple[str, float, tuple[float, float], int]],
) -> list[Row]:
    spec, history = encoder.spec, encoder.spec.trained_on
    fingerprints = [test.fingerprint()] + ([gallery.fingerprint()] if gallery else [])
    return [
        Row(
            method=str(history.get("method", "random")),
            data=test.source,
            split=Path(test.source).stem if gallery else "leave-one-out",
            label=label,
            metric=metric,
            value=value,
            ci95=interval,
            n=count,
            seed=int(history.get("seed", 0)),
            seconds=float(history.get("seconds", 0.0)),
            encoder=spec.name,
            fingerprint="+".join(fingerprints),
            views=clips,
            steps=int(history.get("steps", 0)),
            config=dict(history.get("settings", {})),
        )
        for metric, value, interval, count in scores
    ]
