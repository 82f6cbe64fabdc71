"""Fine-tuning on videos of two brightnesses: it learns, tests and accounts."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetunings import Make, films

from interrupted import checkpoint, silent
from unscene.config import read_config
from unscene.data.catalog import Video
from unscene.data.listing import open_catalog
from unscene.encoders import create_encoder, load_encoder, save_encoder
from unscene.evaluate.features import Features
from unscene.evaluate.finetuning.classifier import Classifier, load_classifier
from unscene.evaluate.finetuning.config import build, flat
from unscene.evaluate.finetuning.data import prepare_data
from unscene.evaluate.finetuning.module import predict
from unscene.evaluate.finetuning.results import score_accuracy
from unscene.evaluate.finetuning.run import finetune
from unscene.results.rows import read_rows
from unscene.video.clip import ClipBatch
from unscene.video.decode import read_clips
from unscene.video.sampling import UniformClipSampler
from unscene.views.augment import BasicAugmentation, make_view

pytestmark = pytest.mark.slow

# -- learning -----------------------------------------------------------------------------------


def test_it_learns_what_is_trivially_different(make: Make, tmp_path: Path) -> None:
    losses: list[float] = []
    config = make(tmp_path, max_steps=60, lr=1e-2, batch_size=8)
    rows = finetune(config, report=lambda step, total, metrics: losses.append(metrics["loss"]))
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    (row,) = rows
    assert (row.metric, row.value, row.n, row.ci95[1]) == ("finetune_top1", 1.0, 4, 1.0)
    assert row.classes == {"bright": 1.0, "dark": 1.0}
    assert (row.method, row.seed, row.steps, row.seconds) == ("random", 0, 0, 0.0)
    assert (row.encoder, row.label, row.split, row.views) == ("r3d-narrow", "label", "test", 2)
    assert row.config == flat(config) | {"pretrained": {}}
    assert (row.test["training_videos"], row.test["validation_videos"]) == (8, 0)
    assert [record["value"] for record in read_rows(tmp_path / "results.jsonl")] == [1.0]
    lines = (tmp_path / "confusion.csv").read_text().splitlines()
    assert lines[1:] == ["bright,2,0", "dark,0,2"]
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
    table = json.loads((tmp_path / "per_class.json").read_text())
    assert table == {"bright": {"top1": 1.0, "n": 2}, "dark": {"top1": 1.0, "n": 2}}
    assert not list(tmp_path.glob(".*"))


def test_everything_is_trained_and_saved(make: Make, tmp_path: Path) -> None:
    config = make(tmp_path, seed=3)
    finetune(config, report=silent)
    torch.manual_seed(3)
    fresh = create_encoder("r3d-narrow", width=4, stages=2)
    tuned = load_encoder(tmp_path)
    for (name, before), after in zip(fresh.named_parameters(), tuned.parameters(), strict=True):
        assert not torch.equal(before, after), name
    spec = tuned.spec
    assert (spec.frames, spec.stride, spec.size) == (4, 1, 16)
    assert spec.trained_on["method"] == "random+finetuned"
    assert (spec.trained_on["steps"], spec.trained_on["seed"]) == (4, 3)
    state = checkpoint(tmp_path)["state_dict"]  # no validation: the last weights are the chosen
    classifier = load_classifier(tmp_path)
    assert classifier.names == ("bright", "dark")
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, state[f"classifier.{name}"]), name


def test_same_seed_same_bytes_whatever_the_workers(make: Make, tmp_path: Path) -> None:
    def outcome(name: str, **changes: Any) -> tuple[bytes, bytes]:
        finetune(make(tmp_path / name, max_steps=2, validation=0.25, **changes), report=silent)
        weights = [tmp_path / name / f"{stem}.safetensors" for stem in ("encoder", "classifier")]
        return weights[0].read_bytes(), weights[1].read_bytes()

    first = outcome("a")
    assert outcome("b", workers=1) == first
    assert outcome("c", seed=1)[1] != first[1]


def test_the_config_file_repeats_the_run(make: Make, tmp_path: Path) -> None:
    finetune(make(tmp_path / "a", labels=3, drops=(1, 2)), report=silent)
    saved = read_config(tmp_path / "a" / "config.yaml")
    assert flat(build(saved)) == saved
    finetune(build(saved | {"out": str(tmp_path / "b")}), report=silent)
    one, other = (checkpoint(tmp_path / name)["state_dict"] for name in "ab")
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_pretrained_encoder_is_where_it_begins(make: Make, tmp_path: Path) -> None:
    torch.manual_seed(9)
    encoder = create_encoder("r3d-narrow", width=4, stages=2)
    history = {"method": "dsm", "seed": 7, "steps": 70, "seconds": 9.5, "settings": {"lr": 0.1}}
    encoder.spec = replace(encoder.spec, frames=3, stride=2, size=24, trained_on=history)
    encoder.spec = replace(encoder.spec, mean=(0.1, 0.2, 0.3))
    save_encoder(encoder, tmp_path / "dsm")
    given = {"encoder": str(tmp_path / "dsm"), "encoder_options": None}
    clip = ("frames", "stride", "size")
    config = make(tmp_path / "run", **given, **dict.fromkeys(clip), max_steps=1, lr=1e-9, seed=3)
    (row,) = finetune(config, report=silent)
    assert (row.method, row.seed, row.steps, row.seconds) == ("dsm", 3, 70, 9.5)
    assert (row.config["frames"], row.config["stride"], row.config["size"]) == (3, 2, 24)
    assert row.config["pretrained"] == {"seed": 7, "lr": 0.1}
    tuned = load_encoder(tmp_path / "run")
    assert (tuned.spec.frames, tuned.spec.size, tuned.spec.mean) == (3, 24, (0.1, 0.2, 0.3))
    assert tuned.spec.trained_on["method"] == "dsm+finetuned"
    assert tuned.spec.trained_on["pretrained"] == history
    for before, after in zip(encoder.parameters(), tuned.parameters(), strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=1e-6)


# -- the test -----------------------------------------------------------------------------------


def test_probabilities_are_the_mean_over_ten_windows(make: Make, tmp_path: Path) -> None:
    config = make(tmp_path, clips=10)
    data = prepare_data(config)
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=4, stages=2)
    encoder.spec = replace(encoder.spec, frames=4, stride=1, size=16)
    classifier = Classifier(encoder, data.names, dropout=0.9)
    found = predict(classifier, data.test.videos, config, clips=10)
    assert classifier.training  # as it was
    classifier.eval()
    basic = BasicAugmentation.none(16)
    for video, got in zip(data.test.videos, found.values, strict=True):
        assert video.info is not None
        total = torch.zeros(2)
        for number in range(10):
            request = UniformClipSampler(4, 1, 10).draw(
                video.duration, video.info.fps, np.random.default_rng(0), number
            )
            clip = ClipBatch.of([read_clips(video.path, request)["clip"]])
            with torch.no_grad():
                feature = encoder(make_view(clip, basic.center(clip.sizes), size=16))
                scores = classifier.linear(feature)[0].exp()
            total += scores / scores.sum()
        torch.testing.assert_close(got, total / 10, rtol=1e-4, atol=1e-5)


def test_accuracies_by_hand() -> None:
    videos = tuple(Video(f"{i}.mp4", name) for i, name in enumerate("abcfgz"))
    values = torch.tensor(
        [
            [0.9, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0],  # a: first
            [0.1, 0.2, 0.4, 0.3, 0.0, 0.0, 0.0],  # b: third
            [0.3, 0.2, 0.0, 0.2, 0.1, 0.1, 0.1],  # c: last
            [0.2, 0.2, 0.2, 0.2, 0.0, 0.1, 0.1],  # f: fifth
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],  # g: first
            [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # z: unknown
        ]
    )
    trained = list("aaabbcdefghij")
    names = "abcdefghij"
    values = torch.nn.functional.pad(values, (0, 3))
    found = score_accuracy(Features(values, videos, torch.arange(6)), names, "label", trained)
    assert found["finetune_top1"].value == pytest.approx(2 / 6)
    assert found["finetune_top5"].value == pytest.approx(4 / 6)
    assert found["finetune_top5"].classes == {"a": 1, "b": 1, "c": 0, "f": 1, "g": 1, "z": 0}
    # Guessed: a, b, and three of eight that are equally frequent. No one guesses z.
    assert found["finetune_top1"].chance == pytest.approx(1 / 6)
    assert found["finetune_top5"].chance == pytest.approx((2 + 3 * 3 / 8) / 6)
    segments = tuple(replace(video, path="one.mp4") for video in videos)
    alone = score_accuracy(Features(values, segments, torch.arange(6)), names, "label", trained)
    assert alone["finetune_top1"].value == pytest.approx(2 / 6)
    assert alone["finetune_top1"].ci95 != found["finetune_top1"].ci95  # one file, not six
    few = Features(values[:, :6], videos, torch.arange(6))  # five of six would say nothing
    assert score_accuracy(few, "abcdef", "label", trained).keys() == {"finetune_top1"}


def test_classes_unknown_to_training_are_missed_and_said(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films(tmp_path / "mixed", {"dark": 1, "twilight": 3})
    config = make(tmp_path / "run", data=str(tmp_path / "mixed"))
    (row,) = finetune(config, report=silent)
    assert row.n == 4
    assert row.value in (0.0, 0.25)
    assert row.classes["twilight"] == 0.0
    assert "3 test videos count as wrong" in capsys.readouterr().err
    with (tmp_path / "run" / "confusion.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head[1:] == ["bright", "dark", "twilight"]
    assert [row[3] for row in rows] == ["0", "0", "0"]
    assert sum(map(int, rows[2][1:])) == 3


def test_bad_videos_are_skipped_and_counted(
    make: Make, tmp_path: Path, train: Path, exam: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for root, name in ((train, "train"), (exam, "test")):
        shutil.copytree(root, tmp_path / name)
    catalogs = [open_catalog(tmp_path / name) for name in ("train", "test")]
    for bad in ("train/dark/1.mp4", "test/bright/0.mp4"):
        (tmp_path / bad).write_bytes(b"no longer a video")
    config = make(tmp_path / "run", data=str(tmp_path / "test"), train=str(tmp_path / "train"))
    (row,) = finetune(config, train=catalogs[0], test=catalogs[1], report=silent)
    assert row.n == 3
    said = capsys.readouterr().err
    assert "1 videos failed during training and were replaced by others" in said
    assert "1 videos of the test set could not be read and do not count" in said
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [Path(entry["path"]).name for entry in summary["failed"]] == ["1.mp4"]
    assert [Path(entry["path"]).name for entry in summary["skipped_test"]] == ["0.mp4"]
