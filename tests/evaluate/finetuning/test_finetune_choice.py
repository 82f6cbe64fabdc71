"""Few labels are used, and the epoch is chosen by videos that are neither trained on nor tested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetunings import Make, paths

from interrupted import checkpoint, silent
from unscene.encoders import create_encoder
from unscene.evaluate.features import Features
from unscene.evaluate.finetuning import module as finetune_module
from unscene.evaluate.finetuning.classifier import Classifier, load_classifier
from unscene.evaluate.finetuning.data import prepare_data
from unscene.evaluate.finetuning.module import BestWeights, predict
from unscene.evaluate.finetuning.run import finetune


def test_few_labels_are_all_that_is_read(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (prepare_data(make(tmp_path, labels=number)) for number in (1, 2))
    assert [len(data.training) for data in (one, two)] == [2, 4]
    assert paths(one.training) < paths(two.training)
    assert {video.label for video in one.training} == {"dark", "bright"}
    assert one.validation == ()
    assert one.notes[0].startswith(
        "2 of 8 labels used, 1 in each of 2 classes; too few to hold out"
    )
    share = prepare_data(make(tmp_path, labels=0.5, validation=0.5))
    assert (len(share.training), len(share.validation)) == (2, 2)
    assert "4 of 8 labels used" in share.notes[0]
    assert len(prepare_data(make(tmp_path, labels=1.0)).training) == 8

    read: set[str] = set()
    original = finetune_module.ClipDataset._read

    def spy(self: Any, draw: int, index: int, rng: Any) -> Any:
        read.add(self.videos[index].path)
        return original(self, draw, index, rng)

    monkeypatch.setattr(finetune_module.ClipDataset, "_read", spy)
    finetune(make(tmp_path, labels=1), report=silent)
    assert {path for path in read if "/train/" in path} == paths(one.training)


def test_the_best_of_the_validation_is_taken_and_the_test_not_looked_at(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {1: (0.5, 0.6), 2: (1.0, 0.5), 3: (1.0, 0.4), 4: (1.0, 0.45), 5: (0.0, 0.1)}
    weights: dict[int, dict[str, torch.Tensor]] = {}
    shown: list[tuple[str, ...]] = []

    def scripted(self: BestWeights, module: Any) -> tuple[float, float]:
        step = module.trainer.global_step
        state = module.classifier.state_dict()
        weights[step] = {name: value.clone() for name, value in state.items()}
        shown.append(tuple(video.path for video in self.videos))
        return scores[step]

    def spy(classifier: Any, videos: Any, *rest: Any, **more: Any) -> Features:
        shown.append(tuple(video.path for video in videos))
        return predict(classifier, videos, *rest, **more)

    monkeypatch.setattr(BestWeights, "score", scripted)
    monkeypatch.setattr("unscene.evaluate.finetuning.run.predict", spy)
    config = make(tmp_path, validation=0.25, max_steps=5, batch_size=6)
    data = prepare_data(config)
    assert (len(data.training), len(data.validation)) == (6, 2)
    assert {video.label for video in data.validation} == {"dark", "bright"}
    assert not paths(data.training) & paths(data.validation)
    (row,) = finetune(config, report=silent)
    assert (row.test["chosen_step"], row.test["validation_top1"]) == (3, 1.0)
    chosen, last = load_classifier(tmp_path).state_dict(), checkpoint(tmp_path)["state_dict"]
    for name, value in chosen.items():
        assert torch.equal(value, weights[3][name]), name
        assert torch.equal(last[f"classifier.{name}"], weights[5][name]), name
    assert any(not torch.equal(chosen[name], weights[5][name]) for name in chosen)
    # Five times the validation, once the test, and that at the end.
    assert shown[:5] == [tuple(video.path for video in data.validation)] * 5
    assert shown[5:] == [tuple(video.path for video in data.test.videos)]


def test_a_validation_score_is_top1_and_cross_entropy(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make(tmp_path)
    videos = prepare_data(config).train.videos
    values = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])  # bright, dark
    chosen = (videos[0], videos[1], videos[7])
    assert [video.label for video in chosen] == ["bright", "bright", "dark"]
    module = finetune_module.FinetuneModule(
        Classifier(create_encoder("r3d-narrow", width=4, stages=2), ["bright", "dark"]),
        videos,
        replace(config, augmentation="none"),
        1,
        "",
    )
    monkeypatch.setattr(
        finetune_module, "predict", lambda *_, **__: Features(values, chosen, torch.arange(3))
    )
    top1, entropy = BestWeights(videos, 1, 1).score(module)
    assert top1 == 3 / 8  # of eight; five could not be read
    assert entropy == pytest.approx(-np.log([0.8, 0.6, 0.7]).mean(), rel=1e-5)
