"""`unscene evaluate`: an encoder and DATA in, rows of results out."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, get_args

from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog, report_skipped, require_columns
from unscene.device import pick_device
from unscene.encoders import load_encoder
from unscene.errors import UnsceneError
from unscene.evaluate.decoupling import decouple
from unscene.evaluate.decoupling import make_rows as decoupling_rows
from unscene.evaluate.features import Features, Mode, extract
from unscene.evaluate.overlap import find_overlap
from unscene.evaluate.probing import probe
from unscene.evaluate.retrieval import retrieve
from unscene.files import check_writable, write_text
from unscene.progress import count_progress
from unscene.results.rows import Row, read_rows, rows_of

Protocol = Literal["retrieve", "probe"]
# What a measurement finds; all else in a row says what was measured.
_FOUND = ("value", "ci95", "n", "seconds", "classes", "chance", "versions")
_FOUND_IN_TEST = ("chosen", "gallery", "left_out")


def evaluate(
    protocol: Protocol,
    data: str,
    encoder_path: str | Path,
    *,
    train: str | None = None,
    label: str = "label",
    mode: Mode = "video",
    clips: int = 10,
    apart: str | None = None,
    group: str | None = None,
    workers: int = 0,
    batch_size: int = 16,
    short_side: int = 0,
    device: str = "auto",
    out: Path | None = None,
) -> list[Row]:
    """Measure an encoder on labelled videos.

    Args:
        protocol: "retrieve" (recall at K and mean average precision by cosine) or "probe" (top-1 of
            logistic regression and of the nearest neighbours).
        data: the queries, or the test videos.
        encoder_path: as `load_encoder` takes it. The name of an architecture is an untrained
            encoder (seed 0) to compare with: "random" in the rows.
        train: the gallery, or the training set of the probe. Without it "retrieve" searches for
            every video among the others.
        label: column of the classes.
        mode: "video" (mean feature of `clips` windows) or "clip" (every window is a query, or one
            of the gallery; for "retrieve" only).
        clips: windows a video, averaged, in mode "video".
        apart: column; a query is never matched with videos of its own value there.
        group: column whose groups stay whole when the probe puts videos aside to choose by.
        workers: reading processes.
        batch_size: windows encoded at once.
        short_side: larger frames are shrunk to it while reading, 0: never. Faster where files are
            large; features change a little, so that rows say it.
        device: "auto" takes a GPU where there is one.
        out: .jsonl file that the rows are also added to. A measurement that is made again (same
            encoder, videos, protocol and settings) takes the place of its earlier rows.

    Raises:
        UnsceneError: no usable video, no such column, a probe without `train`, no class of the
            test in `train`, an encoder that cannot be loaded or whose features are not finite,
            `out` holds something else than rows.
        OSError: `out` cannot be written.
    """
    if protocol not in get_args(Protocol):
        raise UnsceneError(f"protocol {protocol!r}: must be one of {', '.join(get_args(Protocol))}")
    if protocol == "probe" and train is None:
        raise UnsceneError("a probe needs videos to learn from: give them with --train")
    if mode not in get_args(Mode):
        raise UnsceneError(f"mode {mode!r}: must be one of {', '.join(get_args(Mode))}")
    if protocol == "probe" and mode == "clip":
        raise UnsceneError("a probe reads one feature a video: leave out --mode clip")
    _check_numbers(clips, batch_size, workers, short_side)
    earlier = _earlier(out)
    encoder = load_encoder(encoder_path)
    where = pick_device(device)
    # All catalogs and labels before the first feature: a mistake should show at once.
    test = require_columns(data, label, apart)
    gallery = require_columns(train, label, apart, group) if train is not None else None
    if gallery is not None:
        for note in find_overlap(gallery, test, label):
            print(note, file=sys.stderr)

    def features(catalog: Catalog) -> Features:
        with count_progress(catalog.source, len(catalog)) as progress:
            found = extract(
                encoder,
                catalog.videos,
                mode=mode,
                clips=clips,
                batch_size=batch_size,
                workers=workers,
                device=where,
                short_side=short_side or None,
                progress=progress,
            )
        report_skipped(replace(catalog, videos=found.videos, skipped=found.skipped))
        return found

    query = features(test)
    known = query if gallery is None else features(gallery)
    settings: dict[str, object] = {"protocol": protocol, "mode": mode}
    if short_side:
        settings["short_side"] = short_side
    if protocol == "probe":
        probed = probe(known, query, label, group=group)
        scores = probed.scores
        settings |= {"group": group, "chosen": probed.chosen}
    else:
        scores = retrieve(query, known, label, apart=apart, device=where)
        settings |= {"apart": apart, "gallery": len(known.values)}
    fingerprints = [test.fingerprint()] + ([gallery.fingerprint()] if gallery else [])
    rows = rows_of(
        encoder.spec,
        scores,
        data=test.source,
        split=test.split if gallery else "leave-one-out",
        label=label,
        fingerprint="+".join(fingerprints),
        views=0 if mode == "clip" else clips,
        test=settings,
    )
    _add(out, earlier, rows)
    return rows


def evaluate_decoupling(
    data: str,
    encoder_path: str | Path,
    *,
    clips: int = 1,
    workers: int = 0,
    batch_size: int = 16,
    device: str = "auto",
    out: Path | None = None,
) -> list[Row]:
    """The decoupling score of an encoder, as above, on videos without labels; see `decouple`.

    Raises:
        UnsceneError: no usable video, nothing moves, an encoder that cannot be loaded, `out` holds
            something else than rows.
        OSError: `out` cannot be written.
    """
    _check_numbers(clips, batch_size, workers)
    earlier = _earlier(out)
    encoder, where = load_encoder(encoder_path), pick_device(device)
    catalog = open_catalog(data)
    report_skipped(catalog)
    with count_progress(catalog.source, len(catalog)) as progress:
        found = decouple(
            encoder,
            catalog.videos,
            clips=clips,
            batch_size=batch_size,
            workers=workers,
            device=where,
            progress=progress,
        )
    for reason, count in found.left_out.items():
        print(f"left out: {reason} ({count} windows)", file=sys.stderr)
    report_skipped(replace(catalog, skipped=found.skipped))
    rows = decoupling_rows(found, encoder.spec, catalog, split="all", clips=clips)
    _add(out, earlier, rows)
    return rows


def _check_numbers(clips: int, batch_size: int, workers: int, short_side: int = 0) -> None:
    for name, value, least in (
        ("clips", clips, 1),
        ("batch_size", batch_size, 1),
        ("workers", workers, 0),
        ("short_side", short_side, 0),
    ):
        if value < least:
            raise UnsceneError(f"{name} {value}: must be at least {least}")


def _earlier(out: Path | None) -> list[dict[str, Any]]:
    """The rows that `out` holds: what stands in its way should show before the work."""
    if out is None:
        return []
    check_writable(out)
    rows = read_rows(out) if out.exists() else []
    if not all(isinstance(row, dict) and "metric" in row for row in rows):
        raise UnsceneError(f"{out}: holds no rows of results, and is not overwritten; give another")
    return rows


def _add(out: Path | None, earlier: list[dict[str, Any]], rows: list[Row]) -> None:
    """Write the earlier rows and these; what was measured again is there once."""
    if out is not None:
        new = {_measured(asdict(row)): asdict(row) for row in rows}
        kept = [row for row in earlier if _measured(row) not in new]
        text = (json.dumps(row, ensure_ascii=False) + "\n" for row in [*kept, *new.values()])
        write_text(out, "".join(text))


def _measured(row: dict[str, Any]) -> str:
    """A row without what was found."""
    test = {k: v for k, v in row.get("test", {}).items() if k not in _FOUND_IN_TEST}
    rest = {k: v for k, v in row.items() if k not in _FOUND}
    return json.dumps(rest | {"test": test}, sort_keys=True)
