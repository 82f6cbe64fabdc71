"""Fine-tuning: a pre-trained encoder and some labels in, a classifier and its accuracy out.

Encoder and linear layer are trained together (methods.md 1.6, action recognition and limited
labels), with the numbers of `finetuning.config`.

OUT/config.yaml                      the resolved configuration, for `--config`
OUT/last.ckpt                        everything `--resume` needs: the last weights, and the best
OUT/metrics.csv                      loss, training and validation top-1 by step; also tensorboard/
OUT/encoder.safetensors, .json       the chosen weights (best in validation, else the last):
OUT/classifier.safetensors, .json    see `classifier.load_classifier`
OUT/results.jsonl                    top-1 (and top-5) accuracy on the test videos as rows
OUT/untrained/                       with `baseline`: the same run of an untrained network
OUT/per_class.json                   top-1 accuracy and number of test videos of every class
OUT/confusion.csv, .png              confusion matrix
OUT/summary.json                     labels, steps, seconds, skipped videos and why
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unscene.config import CONFIG, as_plain, check_same, read_config, save_config
from unscene.data.catalog import Catalog, Skipped
from unscene.device import uses_gpu
from unscene.encoders import EncoderSpec, VideoEncoder, make_untrained_twin, save_encoder
from unscene.encoders.foreign import ForeignEncoder
from unscene.encoders.weights import FACTORY
from unscene.evaluate.features import Features
from unscene.evaluate.finetuning.classifier import Classifier, save_classifier
from unscene.evaluate.finetuning.config import FinetuneConfig, build, flat
from unscene.evaluate.finetuning.data import FinetuneData, prepare_data
from unscene.evaluate.finetuning.module import BestWeights, FinetuneModule, predict
from unscene.evaluate.finetuning.results import score_accuracy, write_results
from unscene.progress import count_progress, format_duration
from unscene.results.rows import Row, build_rows, training_settings
from unscene.train import engine
from unscene.train.callbacks import Checkpoints, Progress, Report, StopOnSignal
from unscene.train.metrics import silence_lightning
from unscene.train.preflight import (
    CHECKPOINT,
    Start,
    begin,
    check_clips,
    check_networks,
    describe_reading,
    open_initial_encoder,
    use_channels_last,
)

_SAVE_AT_LEAST = 50  # steps between checkpoints, where epochs are shorter


def finetune(
    config: FinetuneConfig,
    *,
    resume: bool = False,
    train: Catalog | None = None,
    test: Catalog | None = None,
    report: Report | None = None,
) -> list[Row]:
    """Fine-tune an encoder, or resume a run, then score the test videos with the chosen weights.

    Args:
        config: settings of the run.
        resume: continue from OUT/last.ckpt. A run that has made all its steps is scored again.
        train, test: checked catalogs, to use in place of `config.train` and `config.data`.
        report: called as report(step, total, metrics) after every step, in place of progress bars.

    Returns:
        Rows "finetune_top1" and, for ten classes or more, "finetune_top5": the share of test
        videos whose class is (among) the most probable. Classes that are not in the training set
        count as wrong. With `config.baseline`, those of the untrained network follow: their
        `twin_of` is the run of the first. `row.config` holds the resolved settings and, under
        "pretrained", the settings and seed of the encoder's own training. Method, steps and seconds
        are those of that training ("random" without any); `row.seed` is that of this run. The list
        is empty in all processes but the first.

    Raises:
        UnsceneError: no usable video, no such label column, only one class, no class in both
            training and test set, an encoder that cannot be loaded or needs larger clips, OUT
            holds another run, nothing to resume, a loss that is not finite, a full disk.
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM. The run is saved; `resume` continues it.

    Source: DSM paper, section 4.3 (action recognition) and its limited labels.
    """
    rows = _finetune(config, resume=resume, train=train, test=test, report=report)
    twin = _find_baseline(config)
    if twin is None:
        return rows
    return rows + _finetune(
        twin,
        resume=(Path(twin.out) / CHECKPOINT).exists(),
        train=train,
        test=test,
        report=report,
        twin_of=rows[0].run if rows else "",
    )


def _find_baseline(config: FinetuneConfig) -> FinetuneConfig | None:
    """The same run of an untrained network; None if it is not wanted, or this run is that one."""
    if not config.baseline:
        return None
    encoder = open_initial_encoder(config.encoder, config.encoder_options, config.input)
    if not _find_history(encoder):
        return None
    out = Path(config.out) / "untrained"
    _print(f"now the yardstick, an untrained network of the same architecture, in {out}")
    # Not its name: the encoder may have a normalization or options of its own.
    save_encoder(make_untrained_twin(encoder, config.seed), out / "initial")
    initial = str(out / "initial")
    if factory := encoder.spec.options.get(FACTORY):  # which only the caller may name
        initial = f"{factory}@{initial}"
    return replace(config, encoder=initial, encoder_options={}, out=str(out), baseline=False)


def _find_history(encoder: VideoEncoder) -> dict[str, Any]:
    """What is known of the training before; of a model from outside, its name. Empty if it is
    untrained."""
    unknown = {"method": encoder.spec.name} if isinstance(encoder, ForeignEncoder) else {}
    return encoder.spec.trained_on or unknown


def _finetune(
    config: FinetuneConfig,
    *,
    resume: bool,
    train: Catalog | None,
    test: Catalog | None,
    report: Report | None,
    twin_of: str | None = None,
) -> list[Row]:
    """Fine-tune one network; `twin_of` is given for an untrained one."""
    start = begin(config, resume=resume)
    torch.manual_seed(config.seed)
    encoder = open_initial_encoder(config.encoder, config.encoder_options, config.input)
    before = _find_history(encoder) if twin_of is None else {}
    config, encoder.spec = _resolve_clips(config, encoder)
    if resume:
        saved = flat(build(read_config(Path(config.out) / CONFIG)))
        check_same(saved, flat(config), saved)
    data = prepare_data(config, train, test)
    torch.manual_seed(config.seed)  # the linear layer must not depend on earlier draws
    classifier = Classifier(encoder, data.names, config.dropout)
    use_channels_last(classifier)
    module = FinetuneModule(
        classifier, data.training, config, start.processes, data.train.fingerprint()
    )
    facts = _fit(module, data, start, report)
    if not facts:
        return []
    encoder.spec = replace(encoder.spec, trained_on=_describe_training(before, config, data, facts))
    save_classifier(classifier, Path(config.out))
    found = _score(classifier, data, config, show=report is None)
    rows = build_rows(
        replace(encoder.spec, trained_on=_describe_for_rows(before, config, data)),
        score_accuracy(found, data.names, config.label, data.classes()),
        data=data.test.source,
        split=data.test.split,
        label=config.label,
        fingerprint=f"{data.test.fingerprint()}+{data.train.fingerprint()}",
        views=config.clips,
        test={"protocol": "finetune"} | facts,
        twin_of=twin_of or "",
    )
    failed = tuple(module.failures.values())
    write_results(Path(config.out), data, found, rows, facts, failed)
    _print(
        f"{facts['steps']} steps in {format_duration(facts['seconds'])}; the weights are those of "
        f"step {facts['chosen_step']}",
        *_list_unread(failed, "failed during training and were replaced by others"),
        *_list_unread(found.skipped, "of the test set could not be read and do not count"),
        f"run: {config.out} (encoder, classifier, confusion.png, results.jsonl)",
    )
    return rows


def _fit(
    module: FinetuneModule, data: FinetuneData, start: Start, report: Report | None
) -> dict[str, Any]:
    """Train and load the chosen weights into the module. Returns facts for rows and summary; in all
    processes but the first, {}."""
    config = module.config
    if start.checkpoint is not None:
        check_networks(start.checkpoint, module)
    stop, progress = StopOnSignal(), Progress(module.total_steps, report, "fine-tuning")
    best = BestWeights.of(module, data.validation)
    saver = Checkpoints(Path(config.out), config.save_every or max(best.every, _SAVE_AT_LEAST))
    with stop.listening(), silence_lightning(), engine.torch_threads(config.threads):
        # Validation runs before the checkpoint that holds its outcome, and before the progress bar
        # measures how long a step waits for data.
        callbacks = [stop, best, progress, saver]
        trainer = engine.create_trainer(
            config,
            start,
            callbacks,
            total=progress.total,
            clip_gradient=config.clip_gradient,
        )
        if trainer.is_global_zero:
            reading = describe_reading(config, module.dataset(), config.batch_size, start)
            _print(*data.notes, *reading)
            save_config(config.out, flat(config), "unscene evaluate finetune")
        engine.fit(trainer, module, stop, start.checkpoint)
    steps = trainer.global_step
    if steps < progress.total or stop.stopped:
        if trainer.is_global_zero:
            _print(
                f"stopped after {steps} of {progress.total} steps; continue with: "
                f"unscene evaluate finetune --resume --out {shlex.quote(config.out)}"
            )
        raise KeyboardInterrupt
    if not trainer.is_global_zero:
        return {}
    if best.due:  # the run was stopped while it scored its last step
        best.keep_best(trainer, module)
        saver.save(trainer, module)
    if best.best is not None:
        module.classifier.load_state_dict(best.best)
    return {
        "steps": steps,
        "chosen_step": steps if best.best is None else best.step,
        "validation_top1": None if best.best is None else best.scores[0],
        "seconds": round(saver.seconds, 3),
        "classes": len(data.names),
        "training_videos": len(data.training),
        "validation_videos": len(data.validation),
    }


def _resolve_clips(
    config: FinetuneConfig, encoder: VideoEncoder
) -> tuple[FinetuneConfig, EncoderSpec]:
    """The configuration and the encoder's spec, both with the frames, stride and size of this
    run: those of the configuration where it has them, else those of the encoder."""
    spec = encoder.spec
    clip = {
        name: getattr(spec, name) if getattr(config, name) is None else getattr(config, name)
        for name in ("frames", "stride", "size")
    }
    check_clips(encoder, config.encoder, clip["frames"], clip["size"])
    return replace(config, **clip), replace(spec, **clip)


def _describe_training(
    before: dict[str, Any], config: FinetuneConfig, data: FinetuneData, facts: dict[str, Any]
) -> dict[str, Any]:
    return {
        "method": f"{before.get('method', 'random')}+finetuned",
        "preset": config.preset,
        "seed": config.seed,
        "data": data.train.fingerprint(),
        "videos": len(data.training),
        "settings": as_plain(config),
        "pretrained": before,
    } | facts


def _describe_for_rows(
    before: dict[str, Any], config: FinetuneConfig, data: FinetuneData
) -> dict[str, Any]:
    """What rows say about the training: method, steps and seconds are those of pre-training."""
    kept = {name: before[name] for name in ("method", "steps", "seconds") if name in before}
    seed = {name: before[name] for name in ("seed",) if name in before}
    return kept | {
        "seed": config.seed,
        "data": data.train.fingerprint(),
        "settings": as_plain(config) | {"pretrained": seed | training_settings(before)},
        "pretrained": before,
    }


def _score(
    classifier: Classifier, data: FinetuneData, config: FinetuneConfig, *, show: bool
) -> Features:
    """Class probabilities of the test videos that can be read."""
    # Lightning has moved it to the CPU.
    classifier.to("cuda" if uses_gpu(config.accelerator) else "cpu")
    with count_progress("test", len(data.test), show=show) as progress:
        return predict(classifier, data.test.videos, config, clips=config.clips, progress=progress)


def _list_unread(skipped: Sequence[Skipped], what: str) -> list[str]:
    head = [f"{len(skipped)} videos {what}:"] if skipped else []
    return head + [f"  {s.path}: {s.reason}" for s in skipped[:10]]


def _print(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr)
