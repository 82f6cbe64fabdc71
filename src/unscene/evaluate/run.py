"""`unscene evaluate`: an encoder and DATA in, rows of results out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import torch

from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog, report_skipped, require_columns
from unscene.device import pick_device
from unscene.encoders import EncoderSpec, VideoEncoder, make_untrained_twin, resolve_encoder
from unscene.encoders.base import Input
from unscene.encoders.foreign import ForeignEncoder
from unscene.errors import UnsceneError, check_at_least
from unscene.evaluate.decoupling import decouple_together, make_decoupling_rows
from unscene.evaluate.features import Features, Mode, extract_together
from unscene.evaluate.overlap import find_overlap
from unscene.evaluate.probing import check_classes, probe
from unscene.evaluate.retrieval import check_search, retrieve
from unscene.progress import count_progress
from unscene.results.rows import Row, build_rows, check_rows_file, update_rows
from unscene.results.statistics import Score

Protocol = Literal["retrieve", "probe"]


def evaluate(
    protocol: Protocol,
    data: str,
    encoder: str | Path | VideoEncoder,
    *,
    train: str | None = None,
    label: str = "label",
    mode: Mode = "video",
    clips: int = 10,
    stride: int = 0,
    ks: Sequence[int] | None = None,
    apart: str | None = None,
    group: str | None = None,
    standardize: bool = False,
    reads: Input | None = None,
    baseline: bool = True,
    workers: int = 0,
    batch_size: int = 16,
    short_side: int = 0,
    device: str = "auto",
    out: Path | None = None,
) -> list[Row]:
    """Evaluate a frozen encoder on labeled videos.

    Args:
        protocol: "retrieve" (recall at K and mean average precision by cosine similarity) or
            "probe" (top-1 accuracy of logistic regression and of nearest neighbors).
        data: the queries, or the test videos: a folder, a CSV or an official split.
        encoder: an encoder, or what `resolve_encoder` takes: a saved run, the name of an
            architecture (untrained, seed 0: "random" in the rows), "hf:FOLDER" or
            "package.module:factory". "NAME=..." also names the rows.
        train: the gallery, or the training set of the probe. Without it, "retrieve" searches for
            each video among the others (leave one out).
        label: column of the classes.
        mode: "video": one feature per video, the mean over `clips` clips. For "retrieve" only:
            "clip", one feature per clip, in queries and gallery; "clip-order", the mean over
            `clips` clips of the last feature map, as in Clip Order. See `features`.
        clips: clips per video that are averaged.
        stride: distance of the frames of a clip, in frames of the video; 0: the encoder's.
        ks: values of K of recall; None: see `retrieve`.
        apart: a column; a query is never compared with videos of its own value there.
        group: a column; the probe's validation set holds whole groups of it.
        standardize: for "retrieve", see there; the probe always standardizes.
        reads: the input of an architecture, see `resolve_encoder`: "rgb", "flow" or "vectors".
        baseline: also evaluate an untrained network of the same architecture on the same clips.
            Videos are read once, but the encoder's part of the time doubles. Not done for an
            encoder that is itself untrained; where it cannot be done, that is said.
        workers: number of processes that read videos.
        batch_size: number of clips encoded at once.
        short_side: shrink larger frames to this short side, in pixels, while reading; 0: to four
            times the size of the view, but not below 480. Faster for large files. Features change a
            little, so the rows record it.
        device: "auto" is a GPU if there is one.
        out: .jsonl file to which the rows are added as well. Rows of an earlier measurement with
            the same encoder, videos, protocol and settings are replaced.

    Returns:
        One row per metric, see `retrieve` and `probe`. Then those of the untrained network: their
        method is "random", and `twin_of` is the run of the encoder.

    Raises:
        UnsceneError: no usable video, no such column, a probe without `train`, too few classes or
            videos, no class of the test set in `train`, an encoder that cannot be loaded or whose
            features are not finite, or `out` holds something other than rows or cannot be written.

    Source: DSM paper (Wang et al., AAAI 2021), section 4.4, for "retrieve".
    """
    _check_protocol(protocol, mode, train)
    check_at_least(1, clips=clips, batch_size=batch_size)
    check_at_least(0, workers=workers, short_side=short_side, stride=stride)
    if out is not None:
        check_rows_file(out)
    networks = _find_networks(encoder, baseline, reads)
    where = pick_device(device)
    # All catalogs and labels before the first feature: a mistake should show at once.
    test = require_columns(data, label, apart)
    gallery = require_columns(train, label, apart, group) if train is not None else None
    _check_videos(protocol, test, gallery, label, apart)
    read = partial(
        _extract_features,
        encoders=[network.encoder for network in networks],
        mode=mode,
        clips=clips,
        stride=stride,
        batch_size=batch_size,
        workers=workers,
        device=where,
        short_side=short_side,
    )
    queries = read(test)
    known = queries if gallery is None else read(gallery)
    measure = _choose_measure(protocol, label, group, ks, apart, standardize, where)
    given = {"short_side": short_side, "stride": stride, "standardize": standardize, "input": reads}
    given = {name: value for name, value in given.items() if value}
    rows: list[Row] = []
    for network, *features in zip(networks, queries, known, strict=True):
        scores, settings = measure(*features)
        rows += build_rows(
            network.spec,
            scores,
            data=test.source,
            split=test.split if gallery else "leave-one-out",
            label=label,
            fingerprint="+".join(one.fingerprint() for one in (test, gallery) if one),
            views=0 if mode == "clip" else clips,
            test={"protocol": protocol, "mode": mode} | given | settings,
            name=network.name,
            seed=network.seed,
            twin_of=rows[0].run if rows else "",
        )
    if out is not None:
        update_rows(out, rows)
    return rows


def evaluate_decoupling(
    data: str,
    encoder: str | Path | VideoEncoder,
    *,
    clips: int = 1,
    reads: Input | None = None,
    baseline: bool = True,
    workers: int = 0,
    batch_size: int = 16,
    device: str = "auto",
    out: Path | None = None,
) -> list[Row]:
    """Compute the decoupling score of an encoder on videos without labels; see `decouple`.

    Args:
        data, encoder, clips, reads, baseline, workers, batch_size, device, out: as for `evaluate`.

    Returns:
        Rows "decoupling_trained", "decoupling_untrained" and one for each pair of perturbations.
        Then those of the untrained network, as `evaluate` returns them.

    Raises:
        UnsceneError: no usable video, nothing moves, an encoder that cannot be loaded, or `out`
            holds something other than rows.
    """
    check_at_least(1, clips=clips, batch_size=batch_size)
    check_at_least(0, workers=workers)
    if out is not None:
        check_rows_file(out)
    networks = _find_networks(encoder, baseline, reads)
    where = pick_device(device)
    catalog = open_catalog(data)
    report_skipped(catalog)
    with count_progress(catalog.source, len(catalog)) as progress:
        found = decouple_together(
            [network.encoder for network in networks],
            catalog.videos,
            clips=clips,
            batch_size=batch_size,
            workers=workers,
            device=where,
            progress=progress,
        )
    for reason, count in found[0].left_out.items():
        print(f"left out: {reason} ({count} clips)", file=sys.stderr)
    report_skipped(replace(catalog, skipped=found[0].skipped))
    rows: list[Row] = []
    for network, one in zip(networks, found, strict=True):
        rows += make_decoupling_rows(
            one,
            network.spec,
            catalog,
            split="all",
            clips=clips,
            name=network.name,
            seed=network.seed,
            twin_of=rows[0].run if rows else "",
        )
    if out is not None:
        update_rows(out, rows)
    return rows


def _choose_measure(
    protocol: Protocol,
    label: str,
    group: str | None,
    ks: Sequence[int] | None,
    apart: str | None,
    standardize: bool,
    device: torch.device,
) -> Callable[[Features, Features], tuple[Mapping[str, Score], dict[str, object]]]:
    if protocol == "probe":
        return partial(_probe, label=label, group=group)
    return partial(
        _retrieve, label=label, ks=ks, apart=apart, standardize=standardize, device=device
    )


def _retrieve(
    query: Features,
    known: Features,
    *,
    label: str,
    ks: Sequence[int] | None,
    apart: str | None,
    standardize: bool,
    device: torch.device,
) -> tuple[Mapping[str, Score], dict[str, object]]:
    """Scores, and the settings that go into the rows."""
    scores = retrieve(
        query, known, label, ks=ks, apart=apart, standardize=standardize, device=device
    )
    return scores, {"apart": apart, "gallery": len(known.values)}


def _probe(
    query: Features, known: Features, *, label: str, group: str | None
) -> tuple[Mapping[str, Score], dict[str, object]]:
    probed = probe(known, query, label, group=group)
    return probed.scores, {"group": group, "chosen": probed.chosen}


def _extract_features(
    catalog: Catalog,
    *,
    encoders: Sequence[VideoEncoder],
    mode: Mode,
    clips: int,
    stride: int,
    batch_size: int,
    workers: int,
    device: torch.device,
    short_side: int,
) -> list[Features]:
    """Features of a catalog by each encoder, with a progress bar; videos that cannot be read are
    reported."""
    with count_progress(catalog.source, len(catalog)) as progress:
        found = extract_together(
            encoders,
            catalog.videos,
            mode=mode,
            clips=clips,
            stride=stride,
            batch_size=batch_size,
            workers=workers,
            device=device,
            short_side=short_side,
            progress=progress,
        )
    report_skipped(replace(catalog, videos=found[0].videos, skipped=found[0].skipped))
    return found


@dataclass(frozen=True)
class _Network:
    """An encoder and what its rows say about it.

    Attributes:
        encoder: to evaluate.
        spec: for the rows.
        name: of the rows: the NAME of NAME=ENCODER, if given.
        seed: of the weights, where the spec does not know it.
    """

    encoder: VideoEncoder
    spec: EncoderSpec
    name: str = ""
    seed: int = 0


def _find_networks(
    encoder: str | Path | VideoEncoder, baseline: bool, reads: Input | None
) -> list[_Network]:
    """The encoder and, as its yardstick, an untrained network of the same architecture."""
    resolved = resolve_encoder(encoder, reads=reads)
    model, spec = resolved.encoder, resolved.encoder.spec
    if isinstance(model, ForeignEncoder) and not spec.trained_on:
        spec = replace(spec, trained_on={"method": resolved.name})  # else "random"
    named = isinstance(encoder, str) and encoder.startswith(f"{resolved.name}=")
    networks = [_Network(model, spec, resolved.name if named else "")]
    if not baseline or not spec.trained_on:
        return networks
    # With the seed of a training from scratch, it is the network that the training started from.
    seed = int(spec.trained_on.get("seed", 0))
    try:
        twin = make_untrained_twin(model, seed)
    except UnsceneError as error:
        print(f"{error}. So the scores have no untrained network beside them", file=sys.stderr)
        return networks
    print(
        "An untrained network of the same architecture is evaluated on the same clips, as the "
        "yardstick. The encoder's part of the time doubles; --no-baseline leaves it out",
        file=sys.stderr,
    )
    return [*networks, _Network(twin, twin.spec, seed=seed)]


def _check_videos(
    protocol: str, test: Catalog, gallery: Catalog | None, label: str, apart: str | None
) -> None:
    """Print what both sets share; raise UnsceneError where no feature could give a score."""
    for note in find_overlap(gallery, test, label) if gallery else ():
        print(note, file=sys.stderr)
    if protocol == "retrieve":
        check_search(test.videos, (gallery or test).videos, label, apart)
    elif gallery:
        check_classes(gallery.videos, label)


def _check_protocol(protocol: str, mode: str, train: str | None) -> None:
    if protocol not in get_args(Protocol):
        raise UnsceneError(f"protocol {protocol!r}: must be one of {', '.join(get_args(Protocol))}")
    if protocol == "probe" and train is None:
        raise UnsceneError("a probe needs training videos: pass them with --train")
    if mode not in get_args(Mode):
        raise UnsceneError(f"mode {mode!r}: must be one of {', '.join(get_args(Mode))}")
    if protocol == "probe" and mode != "video":
        raise UnsceneError(f"a probe uses one feature per video: leave out --mode {mode}")
