"""Pre-training: a folder of videos in, an encoder out.

OUT/config.yaml            the run, resolved; `--config` takes it back
OUT/encoder.safetensors    the encoder, as of the last checkpoint
OUT/encoder.json
OUT/last.ckpt              everything `--resume` needs
OUT/videos.csv             the videos, if Python passed a list of them
OUT/metrics.csv            the numbers of the run, by step; also under OUT/tensorboard. A
                           resumed run keeps the rows of the steps before its checkpoint
OUT/summary.json           videos used, videos skipped and why, steps, time; a resumed run includes
                           its earlier parts
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L

from unscene.config import CONFIG, as_plain, continue_config, read_config, save_config
from unscene.data.catalog import Catalog
from unscene.data.csv_table import write_csv
from unscene.data.listing import open_catalog
from unscene.encoders import VideoEncoder
from unscene.encoders.weights import FACTORY
from unscene.errors import UnsceneError
from unscene.methods.base import Method
from unscene.methods.registry import create_method, find_method
from unscene.methods.settings import ClipSettings
from unscene.progress import format_duration
from unscene.train import engine
from unscene.train.callbacks import Progress, Report, Saver, StopOnSignal, write_summary
from unscene.train.config import RunConfig, build, flat
from unscene.train.duration import Estimate, warn_of_days
from unscene.train.metrics import silence_lightning
from unscene.train.module import PretrainModule
from unscene.train.monitor import Measure, Monitor
from unscene.train.preflight import (
    CHECKPOINT,
    Start,
    begin,
    check_networks,
    check_same_videos,
    describe_pitfalls,
    describe_reading,
    find_compatible_videos,
    identify_videos,
    make_initial_encoder,
)

SUMMARY, VIDEO_LIST = "summary.json", "videos.csv"
_SAVE_AT_LEAST = 500  # steps


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Attributes:
        out: its folder.
        steps: optimizer steps in all, of this run and those it continued.
        finished: False if it was stopped before its last step.
        seconds: spent in training steps, this run and those it continued.
        clips_per_second: over all of those.
        waiting: share of them spent waiting for data, 0..1.
        account: the text shown at the end; empty in all processes but the first.
        commands: what to type next, with the paths of this run.
    """

    out: Path
    steps: int
    finished: bool
    seconds: float
    clips_per_second: float
    waiting: float
    account: str
    commands: tuple[str, ...] = ()


def pretrain(
    config: RunConfig,
    *,
    resume: bool = False,
    catalog: Catalog | None = None,
    report: Report | None = None,
    monitor: Callable[[Catalog, ClipSettings, int], Measure] | None = None,
) -> Outcome:
    """Pre-train an encoder, or continue a pre-training.

    Args:
        config: the run.
        resume: continue from OUT/last.ckpt.
        catalog: videos; not given: `config.data` is opened.
        report: called as report(step, total, metrics) after every step, instead of a progress bar.
        monitor: makes the measure for the monitoring from the videos, the settings and the seed.

    Raises:
        UnsceneError: no usable video, an unknown name, OUT holds another run, nothing to resume,
            other videos or processes than the resumed run started with, no labels for
            --monitor knn, a loss that is not finite, a full disk.
    """
    entry = find_method(config.method)
    start = begin(config, resume=resume)
    encoder = make_initial_encoder(
        config, resume
    )  # before any file is opened: can it take these clips?
    history = encoder.spec.trained_on
    listed = catalog
    if entry.generates:
        catalog = Catalog(entry.title, ())
    else:
        catalog = open_catalog(config.data if catalog is None else catalog)
    method, catalog = _create_method(config, encoder, catalog, resume)
    config = replace(config, settings=method.settings)
    _print_pitfalls(config, start, catalog, method)
    if start.checkpoint is not None:
        check_same_videos(start.checkpoint, catalog)
    monitor = monitor if catalog.videos else None  # it scores training videos
    if monitor is not None and config.monitor == "knn":
        _check_labels(catalog)
    module = PretrainModule(
        method,
        catalog.videos,
        seed=config.seed,
        processes=start.processes,
        max_steps=config.max_steps,
        workers=config.workers,
        short_side=config.short_side,
    )
    if start.checkpoint is not None:
        check_networks(start.checkpoint, module)
    elif engine.is_first_process():
        with engine.torch_threads(config.threads):
            for line in warn_of_days(config, module):
                print(line, file=sys.stderr)
    if listed is not None and listed.source == str(Path(config.out, VIDEO_LIST).absolute()):
        _save_list(Path(config.data), catalog, start)
    measure = monitor(catalog, config.settings, config.seed) if monitor is not None else None
    trainer, progress, watch = _fit(config, start, module, catalog, report, measure, history)
    return _conclude(config, module, catalog, trainer, progress, watch)


def _fit(
    config: RunConfig,
    start: Start,
    module: PretrainModule,
    catalog: Catalog,
    report: Report | None,
    measure: Measure | None,
    history: dict[str, Any],
) -> tuple[L.Trainer, Progress, Monitor | None]:
    """Train to the end or the first Ctrl-C."""
    stop, watch = StopOnSignal(), None
    with stop.listening(), silence_lightning(), engine.torch_threads(config.threads):
        progress = Progress(module.total_steps, report)
        callbacks: list[L.Callback] = [stop, progress, _saver(config, module, catalog, history)]
        if measure is not None:
            watch = Monitor(measure)
            progress.beside = watch.latest
            callbacks.insert(1, watch)  # before the bar: its time is not waiting for data
        if report is None:
            callbacks.append(Estimate(module.total_steps))
        trainer = engine.create_trainer(
            config,
            start,
            callbacks,
            total=module.total_steps,
            clip_gradient=config.settings.clip_gradient,
        )
        if trainer.is_global_zero:
            save_config(config.out, flat(config), "unscene pretrain")
        engine.fit(trainer, module, stop, start.checkpoint)
    return trainer, progress, watch


def pretrain_once(
    config: RunConfig, *, catalog: Catalog | None = None, report: Report | None = None
) -> Outcome | None:
    """Pre-train, or continue where `config.out` was stopped; None if it was finished before.

    Args:
        config, catalog, report: as `pretrain` takes them.

    Raises:
        UnsceneError: OUT holds a run of another configuration, or what `pretrain` raises.
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM; saved; another call continues the run.
    """
    out = Path(config.out)
    resume = (out / CHECKPOINT).exists()
    if resume:
        config = continue_config(build, flat, read_config(out / CONFIG), flat(config))
        if _finished(out / SUMMARY):
            return None
    outcome = pretrain(config, resume=resume, catalog=catalog, report=report)
    if not outcome.finished:
        print(outcome.account)
        raise KeyboardInterrupt
    return outcome


def _finished(summary: Path) -> bool:
    """A run that was cut off before its first account has none."""
    return summary.exists() and json.loads(summary.read_text(encoding="utf-8"))["finished"]


def _create_method(
    config: RunConfig, encoder: VideoEncoder, catalog: Catalog, resume: bool
) -> tuple[Method, Catalog]:
    """Create the method, with weights as the seed draws them, and find the videos it can use.

    Settings that are open (the length of the queue) are fitted to the number of those videos. Only
    the method tells which they are, so it is created again, from the seed, if it refuses so many
    that its settings no longer fit.
    """
    before = config.settings.fit(len(catalog))
    method = create_method(config.method, encoder, before)
    catalog = find_compatible_videos(catalog, method)
    after = config.settings.fit(len(catalog))
    if after != before:
        method = create_method(config.method, make_initial_encoder(config, resume), after)
    return method, catalog


def _print_pitfalls(config: RunConfig, start: Start, catalog: Catalog, method: Method) -> None:
    dataset = method.dataset(catalog.videos, seed=config.seed, short_side=config.short_side)
    together = config.settings.batch_size * start.processes
    if engine.is_first_process():
        if catalog.videos:
            for sentence in describe_pitfalls(catalog, method, together=together):
                print(sentence, file=sys.stderr)
        for sentence in describe_reading(config, dataset, config.settings.batch_size, start):
            print(sentence, file=sys.stderr)


def _check_labels(catalog: Catalog) -> None:
    names = {video.label for video in catalog.videos} - {None}
    if len(names) < 2:
        found = f"all are {names.pop()!r}" if names else "no video has one"
        raise UnsceneError(
            f"--monitor knn looks for the nearest video of the same label, and in {catalog.source} "
            f"{found}: give class folders or a CSV with the column label, of two classes at least, "
            "or --monitor decoupling, which needs none"
        )


def _save_list(table: Path, catalog: Catalog, start: Start) -> None:
    """Write the videos that were passed as a list as the CSV that config.yaml names."""
    if not start.resumes and table.exists():
        raise UnsceneError(f"{table}: is there already; move it away or give another out")
    if engine.is_first_process():
        write_csv(table, ["path"], [{"path": video.path} for video in catalog.videos])


def _saver(
    config: RunConfig, module: PretrainModule, catalog: Catalog, history: dict[str, Any]
) -> Saver:
    """What saves the checkpoint, and the encoder with its history."""
    return Saver(
        Path(config.out),
        config.save_every or max(module.epoch_steps, _SAVE_AT_LEAST),
        {
            "method": config.method,
            "preset": config.preset,
            "seed": config.seed,
            **(_describe_videos(catalog) if catalog.videos else {}),
            "settings": as_plain(config.settings),
            **({"began": history} if history else {}),
        },
        identify_videos(catalog),
    )


def _describe_videos(catalog: Catalog) -> dict[str, Any]:
    return {"data": catalog.fingerprint(), "videos": len(catalog)}


def _conclude(
    config: RunConfig,
    module: PretrainModule,
    catalog: Catalog,
    trainer: L.Trainer,
    progress: Progress,
    watch: Monitor | None,
) -> Outcome:
    out = Path(config.out)
    steps = trainer.global_step
    finished = steps >= progress.total
    seconds = progress.seconds
    failures = list(module.failures.values())
    lines = [
        f"{'finished' if finished else 'stopped'} after {steps} of {progress.total} steps "
        f"({steps * config.settings.batch_size * module.processes / module.items:.1f} epochs)",
        catalog.summary() if catalog.videos else f"{catalog.source}: generated, no video was read",
    ]
    if failures:
        lines.append(f"{len(failures)} videos failed during training and were replaced by others:")
        lines += [f"  {failure.path}: {failure.reason}" for failure in failures[:10]]
    rate = progress.clips / max(seconds, 1e-9)
    lines += [
        f"{format_duration(seconds)}, {rate:.1f} clips/s, "
        f"{progress.waiting:.0%} of it waiting for data",
        *([watch.summary(seconds)] if watch and watch.latest else []),
        f"encoder: {out / 'encoder.safetensors'} (and .json)",
        f"run:     {out} (config.yaml, metrics.csv, tensorboard/, {CHECKPOINT})",
    ]
    if not finished:
        lines.append(f"continue with: unscene pretrain --resume --out {shlex.quote(str(out))}")
    summary: dict[str, Any] = {
        "steps": steps,
        "total_steps": progress.total,
        "finished": finished,
        "seconds": round(seconds, 3),
        "clips_per_second": round(rate, 3),
        "waiting": round(progress.waiting, 4),
        "monitor": {"seconds": round(watch.spent, 3), **watch.latest} if watch else None,
        "videos": len(catalog),
        "skipped": [{"path": s.path, "reason": s.reason} for s in catalog.skipped],
        "failed": [{"path": s.path, "reason": s.reason} for s in failures],
    }
    if trainer.is_global_zero:
        write_summary(out / SUMMARY, summary)
    account = "\n".join(lines) if trainer.is_global_zero else ""
    commands = tuple(_suggest(config.data, out, catalog, module.method.encoder))
    return Outcome(out, steps, finished, seconds, rate, progress.waiting, account, commands)


def _suggest(data: str, out: Path, catalog: Catalog, encoder: VideoEncoder) -> list[str]:
    """What to type after a run."""
    factory = encoder.spec.options.get(FACTORY)  # which only the caller may name
    text = f"{factory}@{out}" if factory else str(out)
    data = data or "VIDEOS"  # the run needed none
    videos, run = shlex.quote(data), shlex.quote(text)
    labeled = len({video.label for video in catalog.videos} - {None}) > 1
    call = f"unscene.embed({json.dumps(data)}, {json.dumps(text)})"
    return [
        f"unscene evaluate {'retrieve' if labeled else 'decouple'} {videos} --encoder {run}",
        f"unscene audit {videos} --encoder {run} --out {shlex.quote(str(out / 'audit'))}",
        f"python -c {shlex.quote(f'import unscene; print({call}.values.shape)')}",
    ]
