"""Fine-tuning on videos of two brightnesses: it learns, chooses, tests, resumes and accounts."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from media import write
from unscene.encoders import create_encoder, load_encoder, save_encoder
from unscene.errors import UnsceneError
from unscene.evaluate import finetune_module
from unscene.evaluate.confusion import read_csv
from unscene.evaluate.features import Features
from unscene.evaluate.finetune import finetune
from unscene.evaluate.finetune_config import (
    FinetuneConfig,
    build,
    continue_config,
    flat,
)
from unscene.evaluate.finetune_data import prepare
from unscene.evaluate.finetune_module import Choice, predict
from unscene.evaluate.finetune_results import accuracies
from unscene.evaluate.recogniser import Recogniser, load_recogniser, save_recogniser
from unscene.evaluate.rows import read_rows
from unscene.train.config import read_config
from unscene.train.optimise import lr_factor
from unscene.video.catalog import Video, open_catalog
from unscene.video.clip import ClipBatch
from unscene.video.decode import read_clips
from unscene.video.sampling import UniformWindows
from unscene.views.augment import BasicAugmentation, make_view

Make = Callable[..., FinetuneConfig]
TINY: dict[str, Any] = {
    "encoder": "r3d-narrow",
    "encoder_options": {"width": 4, "stages": 2},
    "frames": 4,
    "stride": 1,
    "size": 16,
    "batch_size": 4,
    "max_steps": 4,
    "clips": 2,
    "workers": 0,
    "accelerator": "cpu",
}
BRIGHTNESS = {"dark": 60, "bright": 170}


def films(root: Path, counts: dict[str, int]) -> Path:
    """Class folders of noisy videos whose brightness is their class (other classes: in between)."""
    rng = np.random.default_rng(len(str(root.name)))
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for k in range(count):
            level = BRIGHTNESS.get(name, 115)
            frames = [level + rng.integers(-30, 31, (16, 16)) for _ in range(8)]
            write(root / name / f"{k}.mp4", [frame.astype(np.uint8) for frame in frames])
    return root


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return films(tmp_path_factory.mktemp("footage") / "train", {"dark": 4, "bright": 4})


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return films(tmp_path_factory.mktemp("footage") / "test", {"dark": 2, "bright": 2})


@pytest.fixture
def make(train: Path, exam: Path) -> Make:
    def config(out: Path, **changes: Any) -> FinetuneConfig:
        given = TINY | {"data": str(exam), "train": str(train), "out": str(out)}
        return build(given | changes)

    return config


def silent(step: int, total: int, metrics: dict[str, float]) -> None:
    pass


def at(wanted: int, act: Callable[[], None]) -> Callable[[int, int, dict[str, float]], None]:
    def report(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == wanted:
            act()

    return report


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def crash() -> None:
    raise RuntimeError("power cut")


def checkpoint(out: Path) -> dict[str, Any]:
    return torch.load(out / "last.ckpt", weights_only=False)


def paths(videos: Sequence[Video]) -> set[str]:
    return {video.path for video in videos}


def logged(out: Path) -> list[tuple[str, ...]]:
    with (out / "metrics.csv").open(newline="") as file:
        names = ("step", "loss", "top1", "validation_top1", "validation_loss")
        return [tuple(row[name] for name in names) for row in csv.DictReader(file)]


# -- learning ----------------------------------------------------------------------------------


def test_it_learns_what_is_trivially_different(make: Make, tmp_path: Path) -> None:
    losses: list[float] = []
    config = make(tmp_path, max_steps=60, lr=1e-2, batch_size=8)
    rows = finetune(config, report=lambda step, total, metrics: losses.append(metrics["loss"]))
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    (row,) = rows
    assert (row.metric, row.value, row.n, row.ci95) == ("finetune_top1", 1.0, 4, (1.0, 1.0))
    assert row.classes == {"bright": 1.0, "dark": 1.0}
    assert (row.method, row.seed, row.steps, row.seconds) == ("random", 0, 0, 0.0)
    assert (row.encoder, row.label, row.split, row.views) == ("r3d-narrow", "label", "test", 2)
    assert row.config == flat(config) | {"pretrained": {}}
    assert (row.test["training_videos"], row.test["validation_videos"]) == (8, 0)
    assert [record["value"] for record in read_rows(tmp_path / "results.jsonl")] == [1.0]
    assert read_csv(tmp_path / "confusion.csv").counts.tolist() == [[2, 0], [0, 2]]
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
    recogniser = load_recogniser(tmp_path)
    assert recogniser.names == ("bright", "dark")
    for name, value in recogniser.state_dict().items():
        assert torch.equal(value, state[f"recogniser.{name}"]), name


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
    config = make(
        tmp_path / "run", **given, frames=None, stride=None, size=None, max_steps=1, lr=1e-9
    )
    (row,) = finetune(config, report=silent)
    assert (row.method, row.seed, row.steps, row.seconds) == ("dsm", 7, 70, 9.5)
    assert (row.config["frames"], row.config["stride"], row.config["size"]) == (3, 2, 24)
    assert row.config["pretrained"] == {"lr": 0.1}
    tuned = load_encoder(tmp_path / "run")
    assert (tuned.spec.frames, tuned.spec.size, tuned.spec.mean) == (3, 24, (0.1, 0.2, 0.3))
    assert tuned.spec.trained_on["method"] == "dsm+finetuned"
    assert tuned.spec.trained_on["pretrained"] == history
    for before, after in zip(encoder.parameters(), tuned.parameters(), strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=1e-6)


# -- the test ----------------------------------------------------------------------------------


def test_probabilities_are_the_mean_over_ten_windows(make: Make, tmp_path: Path) -> None:
    config = make(tmp_path, clips=10)
    data = prepare(config)
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=4, stages=2)
    encoder.spec = replace(encoder.spec, frames=4, stride=1, size=16)
    recogniser = Recogniser(encoder, data.names, dropout=0.9)
    found = predict(recogniser, data.test.videos, config, clips=10)
    assert recogniser.training  # as it was
    recogniser.eval()
    basic = BasicAugmentation.none(16)
    for video, got in zip(data.test.videos, found.values, strict=True):
        assert video.info is not None
        total = torch.zeros(2)
        for number in range(10):
            request = UniformWindows(4, 1, 10).draw(
                video.duration, video.info.fps, np.random.default_rng(0), number
            )
            clip = ClipBatch.of([read_clips(video.path, request)["clip"]])
            with torch.no_grad():
                feature = encoder(make_view(clip, basic.center(clip.sizes), size=16))
                scores = recogniser.classifier(feature)[0].exp()
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
    found = accuracies(Features(values, videos, torch.arange(6)), "abcdefg", "label")
    assert found["finetune_top1"].value == pytest.approx(2 / 6)
    assert found["finetune_top5"].value == pytest.approx(4 / 6)
    assert found["finetune_top5"].classes == {"a": 1, "b": 1, "c": 0, "f": 1, "g": 1, "z": 0}
    few = Features(values[:, :5], videos, torch.arange(6))
    assert accuracies(few, "abcde", "label").keys() == {"finetune_top1"}


def test_classes_unknown_to_training_are_missed_and_said(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films(tmp_path / "mixed", {"dark": 1, "twilight": 3})
    config = make(tmp_path / "run", data=str(tmp_path / "mixed"))
    (row,) = finetune(config, report=silent)
    assert row.n == 4
    assert row.value in (0.0, 0.25)
    assert row.classes["twilight"] == 0.0
    assert "3 videos of the test count as missed" in capsys.readouterr().err
    found = read_csv(tmp_path / "run" / "confusion.csv")
    assert found.names == ("bright", "dark", "twilight")
    assert found.counts[:, 2].sum() == 0
    assert found.counts[2].sum() == 3


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
    assert "1 videos failed while training and were replaced by others" in said
    assert "1 videos of the test could not be read and do not count" in said
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [Path(entry["path"]).name for entry in summary["failed"]] == ["1.mp4"]
    assert [Path(entry["path"]).name for entry in summary["skipped_test"]] == ["0.mp4"]


# -- few labels and the choice -----------------------------------------------------------------


def test_few_labels_are_all_that_is_read(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (prepare(make(tmp_path, labels=number)) for number in (1, 2))
    assert [len(data.learn) for data in (one, two)] == [2, 4]
    assert paths(one.learn) < paths(two.learn)
    assert {video.label for video in one.learn} == {"dark", "bright"}
    assert one.choose == ()
    assert one.notes[0].startswith("2 of 8 labels used, 1 in each of 2 classes; too few to spare")
    share = prepare(make(tmp_path, labels=0.5, validation=0.5))
    assert (len(share.learn), len(share.choose)) == (2, 2)
    assert "4 of 8 labels used" in share.notes[0]
    assert len(prepare(make(tmp_path, labels=1.0)).learn) == 8

    read: set[str] = set()
    original = finetune_module.WindowDataset._read

    def spy(self: Any, draw: int, index: int, rng: Any) -> Any:
        read.add(self.videos[index].path)
        return original(self, draw, index, rng)

    monkeypatch.setattr(finetune_module.WindowDataset, "_read", spy)
    finetune(make(tmp_path, labels=1), report=silent)
    assert {path for path in read if "/train/" in path} == paths(one.learn)


def test_the_best_of_the_validation_is_taken_and_the_test_not_looked_at(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {1: (0.5, 0.6), 2: (1.0, 0.5), 3: (1.0, 0.4), 4: (1.0, 0.45), 5: (0.0, 0.1)}
    weights: dict[int, dict[str, torch.Tensor]] = {}
    shown: list[tuple[str, ...]] = []

    def scripted(self: Choice, module: Any) -> tuple[float, float]:
        step = module.trainer.global_step
        state = module.recogniser.state_dict()
        weights[step] = {name: value.clone() for name, value in state.items()}
        shown.append(tuple(video.path for video in self.videos))
        return scores[step]

    def spy(recogniser: Any, videos: Any, *rest: Any, **more: Any) -> Features:
        shown.append(tuple(video.path for video in videos))
        return predict(recogniser, videos, *rest, **more)

    monkeypatch.setattr(Choice, "score", scripted)
    monkeypatch.setattr("unscene.evaluate.finetune.predict", spy)
    config = make(tmp_path, validation=0.25, max_steps=5, batch_size=6)
    data = prepare(config)
    assert (len(data.learn), len(data.choose)) == (6, 2)
    assert {video.label for video in data.choose} == {"dark", "bright"}
    assert not paths(data.learn) & paths(data.choose)
    (row,) = finetune(config, report=silent)
    assert (row.test["chosen_step"], row.test["validation_top1"]) == (3, 1.0)
    chosen, last = load_recogniser(tmp_path).state_dict(), checkpoint(tmp_path)["state_dict"]
    for name, value in chosen.items():
        assert torch.equal(value, weights[3][name]), name
        assert torch.equal(last[f"recogniser.{name}"], weights[5][name]), name
    assert any(not torch.equal(chosen[name], weights[5][name]) for name in chosen)
    # Five times the validation, once the test, and that at the end.
    assert shown[:5] == [tuple(video.path for video in data.choose)] * 5
    assert shown[5:] == [tuple(video.path for video in data.test.videos)]


def test_a_validation_score_is_top1_and_cross_entropy(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make(tmp_path)
    videos = prepare(config).train.videos
    values = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])  # bright, dark
    chosen = (videos[0], videos[1], videos[7])
    assert [video.label for video in chosen] == ["bright", "bright", "dark"]
    module = finetune_module.FinetuneModule(
        Recogniser(create_encoder("r3d-narrow", width=4, stages=2), ["bright", "dark"]),
        videos,
        replace(config, augmentation="none"),
        "",
    )
    monkeypatch.setattr(
        finetune_module, "predict", lambda *_, **__: Features(values, chosen, torch.arange(3))
    )
    top1, entropy = Choice(videos, 1, 1).score(module)
    assert top1 == 3 / 8  # of eight; five could not be read
    assert entropy == pytest.approx(-np.log([0.8, 0.6, 0.7]).mean(), rel=1e-5)


# -- stopping and going on ---------------------------------------------------------------------

LONG: dict[str, Any] = {"max_steps": 6, "validation": 0.25, "lr": 1e-2}


@pytest.fixture(scope="module")
def unbroken(train: Path, exam: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    given = TINY | LONG | {"data": str(exam), "train": str(train), "out": str(out)}
    finetune(build(given), report=silent)
    return out


def assert_same_run(one: Path, other: Path) -> None:
    a, b = checkpoint(one), checkpoint(other)
    assert a["global_step"] == b["global_step"]
    assert all(torch.equal(v, b["state_dict"][k]) for k, v in a["state_dict"].items())
    ours, theirs = (c["callbacks"]["Choice"] for c in (a, b))
    assert (ours["step"], ours["scores"]) == (theirs["step"], theirs["scores"])
    for name in ("encoder.safetensors", "classifier.safetensors", "confusion.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert logged(one) == logged(other)
    values = [[row["value"] for row in read_rows(out / "results.jsonl")] for out in (one, other)]
    assert values[0] == values[1]


def test_ctrl_c_and_resume(
    make: Make, tmp_path: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make(tmp_path, **LONG)
    with pytest.raises(KeyboardInterrupt):
        finetune(config, report=at(2, interrupt))
    assert "continue with: unscene evaluate finetune --resume" in capsys.readouterr().err
    assert 2 <= checkpoint(tmp_path)["global_step"] < 6
    assert not (tmp_path / "results.jsonl").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    rows = finetune(config, resume=True, report=silent)
    assert len(rows) == 1
    assert_same_run(tmp_path, unbroken)
    assert len(finetune(config, resume=True, report=silent)) == 1  # scored again, nothing trained
    assert_same_run(tmp_path, unbroken)


def test_the_best_weights_survive_a_stop(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scripted(self: Choice, module: Any) -> tuple[float, float]:
        return (1.0, 0.0) if module.trainer.global_step == 1 else (0.5, 0.0)

    monkeypatch.setattr(Choice, "score", scripted)
    config = make(tmp_path, **LONG)
    with pytest.raises(KeyboardInterrupt):
        finetune(config, report=at(2, interrupt))
    saved = checkpoint(tmp_path)["callbacks"]["Choice"]["best"]
    (row,) = finetune(config, resume=True, report=silent)
    assert row.test["chosen_step"] == 1
    assert all(
        torch.equal(value, saved[name])
        for name, value in load_recogniser(tmp_path).state_dict().items()
    )


def test_a_crash_goes_back_to_the_last_checkpoint(
    make: Make, tmp_path: Path, unbroken: Path
) -> None:
    config = make(tmp_path, **LONG, save_every=2)
    with pytest.raises(RuntimeError, match="power cut"):
        finetune(config, report=at(5, crash))
    assert checkpoint(tmp_path)["global_step"] == 4
    finetune(config, resume=True, report=silent)
    assert_same_run(tmp_path, unbroken)


def test_a_run_is_not_mixed_with_another(make: Make, tmp_path: Path, unbroken: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    config = make(tmp_path / "run", **LONG)
    with pytest.raises(UnsceneError, match="already holds a run"):
        finetune(config)
    with pytest.raises(UnsceneError, match=r"lr: was 0\.01, now 0\.5"):
        finetune(replace(config, lr=0.5), resume=True)
    films(tmp_path / "other", {"dark": 2, "bright": 2})
    with pytest.raises(UnsceneError, match="have changed since this run began"):
        finetune(config, resume=True, train=open_catalog(tmp_path / "other"), report=silent)
    with pytest.raises(UnsceneError, match=r"no last\.ckpt"):
        finetune(make(tmp_path / "nothing"), resume=True)
    saved = read_config(unbroken / "config.yaml")
    with pytest.raises(UnsceneError, match=r"dropout: was 0\.5, now 0\.1"):
        continue_config(saved, {"dropout": 0.1, "workers": 3})
    assert continue_config(saved, {"workers": 3}).workers == 3


def test_a_loss_that_is_not_finite_stops_with_a_remedy(make: Make, tmp_path: Path) -> None:
    config = make(
        tmp_path,
        lr=1e30,
        optimizer="sgd",
        schedule="constant",
        warmup=0.0,
        max_steps=20,
        save_every=1,
    )
    with pytest.raises(UnsceneError, match=r"at step \d+ \(learning rate 1e\+30.*smaller --lr"):
        finetune(config, report=silent)
    assert (tmp_path / "last.ckpt").exists()


# -- mistakes ----------------------------------------------------------------------------------


def test_mistakes_in_the_data_are_told_before_the_first_step(
    make: Make, tmp_path: Path, train: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unscene.evaluate.finetune._fit", None)
    films(tmp_path / "other", {"twilight": 2})
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(train / "dark" / "0.mp4", bare / "a.mp4")
    out = tmp_path / "run"
    for changes, said in (
        ({"train": str(bare)}, "carry no labels"),
        ({"data": str(bare)}, "carry no labels"),
        ({"train": str(tmp_path / "other")}, "all videos are 'twilight'"),
        ({"data": str(tmp_path / "other")}, r"none of its classes \(twilight\)"),
        ({"label": "actor"}, "no label column 'actor'"),
        ({"encoder": "r3d-narow"}, "--encoder_options are for a new encoder"),
        ({"encoder": "r3d-narow", "encoder_options": {}}, "no such folder or file, and no such"),
        ({"encoder": str(train), "encoder_options": {}}, r"encoder\.json"),
        ({"encoder": "c3d", "encoder_options": {}}, r"c3d takes clips of at least .* --size 16"),
        ({"encoder_options": {"in_channels": 2}}, "takes 2 channels"),
    ):
        with pytest.raises(UnsceneError, match=said):
            finetune(make(out, **changes))
    assert not out.exists()


def test_settings_that_mean_nothing(make: Make, tmp_path: Path) -> None:
    for changes, said in (
        ({"labels": 0}, "labels 0: must be a share"),
        ({"labels": 0.0}, r"labels 0\.0"),
        ({"labels": 5.0}, r"labels 5\.0"),
        ({"labels": "many"}, "labels 'many'"),
        ({"validation": 1.0}, "validation"),
        ({"dropout": 1.0}, "dropout"),
        ({"clips": 0}, "clips 0: must be at least 1"),
        ({"frames": 0}, "frames 0"),
        ({"workers": -1}, "workers -1: must not be negative"),
        ({"lr": 0}, "lr"),
        ({"preset": "best"}, "preset 'best': must be one of"),
        ({"learning_rate": 1}, "unknown setting 'learning_rate'"),
        ({"train": None}, "--train"),
    ):
        with pytest.raises(UnsceneError, match=said):
            make(tmp_path, **changes)
    assert [make(tmp_path, labels=text).labels for text in ("5", "1e-1")] == [5, 0.1]


def test_the_presets_are_those_of_the_paper_and_of_the_code() -> None:
    given = {"data": "a", "train": "b", "encoder": "c3d"}
    paper = build(given | {"preset": "paper"})
    assert (paper.optimizer, paper.lr, paper.momentum, paper.weight_decay) == (
        "sgd",
        0.1,
        0.9,
        5e-4,
    )
    assert (paper.epochs, paper.batch_size, paper.clips) == (45, 128, 10)
    factors = [
        lr_factor(paper, step, 450, 10, drop_factor=paper.drop_factor) for step in (0, 99, 100, 449)
    ]
    assert factors == pytest.approx([1, 1, 0.1, 1e-4])
    code = build(given | {"preset": "official-code", "batch_size": 8})
    assert (code.lr, code.frames, code.batch_size) == (0.001, 64, 8)
    factors = [
        lr_factor(code, step, 450, 10, drop_factor=code.drop_factor) for step in (99, 100, 449)
    ]
    assert factors == pytest.approx([1, 0.3, 0.3**6])


def test_the_config_imports_no_torch() -> None:
    code = "import sys, unscene.evaluate.finetune_config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# -- the recogniser ----------------------------------------------------------------------------


def test_dropout_is_drawn_from_the_generator() -> None:
    torch.manual_seed(0)
    recogniser = Recogniser(create_encoder("r3d-narrow", width=4, stages=2), "ab", dropout=0.75)
    recogniser.eval()
    seen: list[torch.Tensor] = []
    recogniser.classifier.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    clip = torch.randn(64, 3, 4, 16, 16)
    with torch.no_grad():
        for generator in (None, *(torch.Generator().manual_seed(s) for s in (0, 0, 1))):
            recogniser.logits(clip, generator)
    whole, one, same, other = seen
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    kept = one != 0
    torch.testing.assert_close(one[kept], whole[kept] * 4)
    assert kept[whole != 0].float().mean() == pytest.approx(0.25, abs=0.06)


def test_a_recogniser_is_saved_with_its_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recogniser = Recogniser(create_encoder("r3d-narrow", width=4, stages=2), ["größe", "b", "c"])
    save_recogniser(recogniser, tmp_path)
    again = load_recogniser(tmp_path)
    assert again.names == ("größe", "b", "c")
    clip = torch.randn(2, 3, 4, 16, 16)
    with torch.no_grad():
        want, got = recogniser.eval()(clip), again.eval()(clip)
    assert torch.equal(want, got)
    torch.testing.assert_close(got.sum(dim=1), torch.ones(2))
    save_encoder(create_encoder("r3d-narrow", width=4, stages=2), tmp_path)  # another one
    with pytest.raises(UnsceneError, match="does not belong to the encoder"):
        load_recogniser(tmp_path)
    (tmp_path / "classifier.safetensors").unlink()
    with pytest.raises(UnsceneError, match="no such file; a recogniser is"):
        load_recogniser(tmp_path)
