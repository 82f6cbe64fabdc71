"""Functions of the public face that bring several rooms together."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from unscene.config import CONFIG, continue_config, read_config
from unscene.data.catalog import Catalog
from unscene.data.listing import Data, list_videos
from unscene.errors import UnsceneError, check_known
from unscene.evaluate import monitor
from unscene.methods.registry import check_read, find_method, setting_names
from unscene.train.callbacks import Report
from unscene.train.config import OWN, RunConfig, build, find_cpu_defaults, flat
from unscene.train.pretrain import VIDEO_LIST, Outcome
from unscene.train.pretrain import pretrain as run_pretraining

MEASURES = {"decoupling": monitor.measure_decoupling, "knn": monitor.measure_knn}


def pretrain(
    data: Data | None = None,
    *,
    method: str = RunConfig.method,
    encoder: str | PathLike[str] | None = None,
    out: str | PathLike[str] = "runs/pretrain",
    resume: bool = False,
    report: Report | None = None,
    **settings: Any,
) -> Outcome:
    """Train an encoder on videos without labels.

    The run is the one of `unscene pretrain`: it writes the encoder, a checkpoint and its metrics to
    `out`.

    Args:
        data: as for `open_catalog`: a folder, a CSV, an official list, a list of videos, a catalog.
            A list of videos is written to `out`/videos.csv, so that the run can be resumed. Not
            for "motion-programs", which generates what it learns from.
        method: "moco", "dsm", "dsm-triplet", "hdc", "cmd", "unscene", "motion-programs", or
            package.module:Class.
        encoder: architecture to train, or a saved encoder, which is trained further. None: r3d18;
            without a GPU, r3d-narrow on 8 frames of 56 pixels; motion-net of "motion-programs".
        out: folder of the run.
        resume: continue the run in `out` from its last checkpoint.
        report: called as report(step, total, metrics) after every step, instead of a progress bar.
        **settings: of the run and of the method, by the names of the flags: preset, max_steps,
            batch_size, frames, warp ... A setting that the method does not read is refused.

    Returns:
        Folder, steps and speed of the run. `load_encoder(outcome.out)` loads the encoder.

    Raises:
        UnsceneError: no usable video, an unknown name, a setting that the method does not read,
            `out` holds another run, or there is nothing to resume.

    Example::

        outcome = unscene.pretrain("videos/", method="unscene", out="runs/mine", max_steps=1000)
        encoder = unscene.load_encoder(outcome.out)
    """
    catalog, source = None, ""
    if data is None:
        pass
    elif isinstance(data, str | PathLike):
        source = fspath(data)
    elif isinstance(data, Catalog):
        catalog, source = data, data.source
    else:
        source = str(Path(out, VIDEO_LIST).absolute())
        catalog = replace(list_videos(data), source=source, root=None)
    given = settings | {
        "data": source,
        "method": method,
        "out": fspath(out),
    }
    if encoder is not None:
        given["encoder"] = fspath(encoder)
    entry = find_method(method)
    check_known("setting", settings, {*OWN, *entry.settings.names(), *setting_names()})
    check_read(entry, (name for name in settings if name not in OWN))
    config = build(given if resume else given | find_cpu_defaults(given))
    if resume:
        saved = Path(config.out) / CONFIG
        if not saved.exists():
            raise UnsceneError(f"{config.out}: holds no run to resume (no {CONFIG})")
        config = continue_config(build, flat, read_config(saved), given)
    return run_pretraining(
        config,
        resume=resume,
        catalog=catalog,
        report=report,
        monitor=MEASURES.get(config.monitor),
    )
