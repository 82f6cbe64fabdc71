"""What is measured while training: within its share of the time, logged, and changing nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from interrupted import at, interrupt, silent
from unscene.data.listing import open_catalog
from unscene.encoders import VideoEncoder, create_encoder
from unscene.errors import UnsceneError
from unscene.evaluate import monitor as measures
from unscene.synthetic.generate import ScenesReport
from unscene.train import monitor as file
from unscene.train import pretrain as pretrain_file
from unscene.train.pretrain import pretrain

pytestmark = pytest.mark.slow

Tiny = Callable[..., Any]


class Eager(file.Monitor):
    """All the time there is, so that a run of a second measures something."""

    def __init__(self, measure: file.Measure) -> None:
        super().__init__(measure, videos=4, share=100.0)


@pytest.mark.parametrize("kind", ["decoupling", "knn"])
def test_scores_are_logged_and_training_is_the_same(
    kind: str, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = {"decoupling": measures.measure_decoupling, "knn": measures.measure_knn}[kind]
    plain = pretrain(tiny(tmp_path / "plain"), report=lambda *_: None)
    monkeypatch.setattr(pretrain_file, "Monitor", Eager)
    watched = pretrain(tiny(tmp_path / "watched"), report=lambda *_: None, monitor=measure)
    names = {"decoupling": {"decoupling_trained", "decoupling_untrained"}, "knn": {"knn"}}[kind]
    with (watched.out / "metrics.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row.get(sorted(names)[0])]
    assert rows
    for row in rows:
        assert all(0 <= float(row[name]) <= 1 for name in names)
    summary = json.loads((watched.out / "summary.json").read_text())["monitor"]
    assert set(summary) == names | {"seconds"}
    assert summary[min(names)] == pytest.approx(float(rows[-1][min(names)]))
    assert summary["seconds"] > 0
    assert f"{min(names)} {summary[min(names)]:.2f}" in watched.account
    assert "monitor" not in plain.account
    encoders = [(run.out / "encoder.safetensors").read_bytes() for run in (plain, watched)]
    assert encoders[0] == encoders[1]
    with (watched.out / "metrics.csv").open(newline="") as table:
        steps = [int(row["step"]) for row in csv.DictReader(table)]
    assert steps == sorted(steps)


def test_what_was_measured_before_a_resume_counts(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: Any) -> file.Measure:
        return lambda *_: {"score": 0.25}

    monkeypatch.setattr(pretrain_file, "Monitor", Eager)
    config = tiny(tmp_path, max_steps=6)
    pretrain(config, report=at(4, interrupt), monitor=measure)
    before = json.loads((tmp_path / "summary.json").read_text())["monitor"]
    monkeypatch.undo()  # with its share of the time nothing more is measured in so few steps
    pretrain(config, resume=True, report=silent, monitor=measure)
    assert json.loads((tmp_path / "summary.json").read_text())["monitor"] == before
    assert before["score"] == 0.25


def test_without_labels_there_is_no_nearest_of_the_same(
    tiny: Tiny, tmp_path: Path, moving: ScenesReport
) -> None:
    config = tiny(tmp_path, data=str(moving.train.parent / "train"), monitor="knn")
    with pytest.raises(UnsceneError, match=r"--monitor knn .* --monitor decoupling"):
        pretrain(config, monitor=measures.measure_knn)


def test_the_bar_shows_what_was_measured(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pretrain_file, "Monitor", Eager)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    pretrain(tiny(tmp_path), monitor=lambda *_: lambda *_: {"score": 0.25})
    assert "score 0.25" in capsys.readouterr().err


def test_it_keeps_to_its_share(tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only the steps (1 s each) and the measuring (0.5 s a video) move."""
    clock = [0.0]
    monkeypatch.setattr(file.time, "perf_counter", lambda: clock[0])
    measured: list[tuple[float, int]] = []

    def measure(encoder: VideoEncoder, videos: int, device: torch.device) -> dict[str, float]:
        measured.append((clock[0], videos))
        clock[0] += 0.5 * videos
        return {"score": float(videos)}

    watch = file.Monitor(measure, videos=10)
    machine: Any = type(
        "Machine",
        (),
        {"is_global_zero": True, "loggers": [], "global_step": 0, "should_stop": False},
    )()
    module: Any = object.__new__(file.PretrainModule)
    torch.nn.Module.__init__(module)
    module.method = type("Method", (), {"encoder": None})()
    monkeypatch.setattr(file.PretrainModule, "device", torch.device("cpu"))
    watch.on_train_start(machine, module)
    for _ in range(1000):
        clock[0] += 1.0
        watch.on_train_batch_end(machine, module, None, None, 0)
        assert watch.spent <= 0.05 * clock[0]
        assert not measured or measured[0][0] == 20.0  # when the share is as long as a step
        assert watch.latest == ({"score": 10.0} if len(measured) > 1 else {})  # nor is it a score
    assert [videos for _, videos in measured[:2]] == [2, 10]
    assert watch.spent > 0.04 * clock[0]


def test_a_pilot_that_stands_still_does_not_end_it(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[int] = []

    def measure(encoder: VideoEncoder, videos: int, device: torch.device) -> dict[str, float]:
        measured.append(videos)
        if videos < 4:
            raise UnsceneError("nothing moves")
        return {"score": 0.25}

    monkeypatch.setattr(pretrain_file, "Monitor", Eager)
    config = tiny(tmp_path, max_steps=6)
    assert "score 0.25" in pretrain(config, report=silent, monitor=lambda *_: measure).account
    assert measured[:3] == [2, 4, 4]
    assert "no monitoring" not in capsys.readouterr().out


def test_a_measure_that_cannot_be_made_is_said_once(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> dict[str, float]:
        raise UnsceneError("nothing moves")

    monkeypatch.setattr(pretrain_file, "Monitor", Eager)
    outcome = pretrain(tiny(tmp_path), report=lambda *_: None, monitor=lambda *_: refuse)
    assert outcome.finished
    assert capsys.readouterr().out.count("no monitoring: nothing moves") == 1


def test_measures_leave_the_encoder_alone_and_say_the_same_again(
    moving: ScenesReport, tiny: Tiny, tmp_path: Path
) -> None:
    catalog = open_catalog(moving.train)
    settings = tiny(tmp_path).settings
    encoder = create_encoder("r3d-narrow", width=8, stages=2).train()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    for make in (measures.measure_decoupling, measures.measure_knn):
        found = make(catalog, settings, 0)(encoder, 4, torch.device("cpu"))
        assert found == make(catalog, settings, 0)(encoder, 4, torch.device("cpu"))
        assert encoder.training
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())
