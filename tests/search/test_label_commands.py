"""`unscene label` and `unscene predict`, from footage to files of other programs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from footage import ENCODER

from unscene.cli.main import main
from unscene.encoders import create_encoder
from unscene.errors import UnsceneError
from unscene.evaluate.finetuning.classifier import Classifier, save_classifier
from unscene.search.formats import read_intervals
from unscene.search.index import Index
from unscene.search.label_model import LabelModel
from unscene.search.labels import Label
from unscene.search.predict_videos import Reading, predict_videos

Paths = tuple[Path, Path]
LABELS = """file,start,end,label
right/a.mp4,0,1.5,right
long.mp4,0,1.5,right
down/c.mp4,0,1.6,down
long.mp4,2.2,3.8,down
"""


@pytest.fixture
def work(own: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `footage`, `index` and `labels.csv`, to type commands in."""
    (tmp_path / "labels.csv").write_text(LABELS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], line: str, status: int = 0) -> str:
    """What a command prints; its error if it fails, as it should."""
    found = main(line.split())
    printed = capsys.readouterr()
    assert found == status, printed.err
    return printed.err if status else printed.out


def test_from_labels_to_predictions(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(capsys, "label index labels.csv")
    assert "labels: 4 in 3 files (down 2, right 2); 4 new of labels.csv\n" in printed
    assert "the classes are told apart with an F1 of 1.00 [" in printed
    assert "a probability of 0.33, that of a moment that tells nothing: 100 % of the" in printed
    assert "\nlearned: labels.safetensors\n" in printed
    assert "\nname the rest: unscene predict index --labels labels.safetensors\n" in printed
    formats = ("csv", "label_studio", "elan", "boris", "webvtt")
    flags = " ".join(f"--format {name}" for name in formats)
    printed = run(capsys, f"predict index --labels labels.safetensors --out out {flags}")
    assert " intervals in " in printed
    assert "skipped: 1\n" in printed
    assert "bad.mp4" in printed
    index = Index.open("index")
    truth = {name: Path("footage", name) for name in ("right/a.mp4", "down/c.mp4", "long.mp4")}
    intervals = read_intervals(work / "out" / "predictions.csv").intervals
    assert {one.path for one in intervals} <= {file.name for file in index.files}
    assert truth.keys() <= {one.path for one in intervals}
    for one in intervals:
        middle = (one.start + one.end) / 2
        right = one.path.startswith("right") or (one.path == "long.mp4" and middle < 2)
        assert one.label == ("right" if right else "down")
        assert one.path != "still.mp4"
    for name in ("json", "boris"):
        other = read_intervals(work / "out" / f"predictions.{name}").intervals
        assert [one.label for one in other] == [one.label for one in intervals]
    for name in ("elan", "webvtt"):
        other = read_intervals(work / "out" / f"predictions.{name}").intervals
        assert sorted(one.label for one in other) == sorted(one.label for one in intervals)
    assert (work / "out" / "timeline.png").stat().st_size > 5000


def test_predictions_of_the_index_and_of_its_videos_are_the_same(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "label index labels.csv")
    run(capsys, "predict index --labels labels.safetensors --out one")
    printed = run(capsys, "predict footage --labels labels.safetensors --out two --workers 0")
    assert "skipped: 1\n" in printed
    first, second = ((work / name / "predictions.csv").read_text() for name in ("one", "two"))
    assert first == second
    assert first.count("\n") > 3


def test_labels_are_kept_in_the_index(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "label index labels.csv")
    assert len(Index.open("index").labels()) == 4
    assert "; 0 new of labels.csv\n" in run(capsys, "label index labels.csv")
    assert "labels: 4 in 3 files" in run(capsys, "label index")
    other = LABELS.replace("1.5,right", "1.5,left")
    (work / "other.csv").write_text(other)
    message = run(capsys, "label index other.csv", 1)
    assert "other.csv: contradicts labels of the index, and nothing was changed:\n" in message
    assert "'left' 0 to 1.5 of long.mp4 overlaps 'right' 0 to 1.5 (" in message
    assert "pass --replace" in message
    assert len(Index.open("index").labels()) == 4
    printed = run(capsys, "label index other.csv --replace")
    assert "labels: 4 in 3 files (down 2, left 2); 2 new of other.csv, 2 removed\n" in printed
    kept = {(one.label, Path(one.path).name) for one in Index.open("index").labels()}
    assert kept == {
        ("left", "a.mp4"), ("left", "long.mp4"), ("down", "c.mp4"), ("down", "long.mp4")
    }  # fmt: skip


def test_without_labels_it_says_what_to_label_first(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run(capsys, "label index --suggest 3 --next next.csv")
    assert printed.startswith("no labels yet: label these moments first")
    assert "and none of that has a label." in printed
    head, *rows = (work / "next.csv").read_text().splitlines()
    assert head == "file,start,end,label"
    assert len(rows) == 3
    assert not Path("labels.safetensors").exists()
    assert "name another file with --next" in run(capsys, "label index --next next.csv", 1)
    # Filled in, it is a file of labels.
    filled = [row + name for row, name in zip(rows, "aba", strict=True)]
    (work / "next.csv").write_text("\n".join([head, *filled]) + "\n")
    assert "3 new of next.csv" in run(capsys, "label index next.csv")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("label nowhere labels.csv", "holds no index; make one: unscene index"),
        ("label index none.csv", "none.csv: cannot be read"),
        ("label index labels.csv --out labels.csv", "is there, and is no file of learned labels"),
        ("label index --replace", "--replace: name the file of labels, too"),
        ("label index labels.csv --suggest -1", "suggest -1: must be at least 0"),
        ("predict index --labels none", "none: no such file; name a file that `unscene label`"),
        ("predict index --labels labels.csv", "holds no labels that were learned"),
        ("predict index --labels footage", "no such file"),
        ("predict index --labels x --format csw", "unknown format 'csw'; did you mean csv?"),
        ("predict nowhere --labels m", "nowhere"),
    ],
)
def test_wrong_calls_say_what_to_do(
    line: str, message: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if line.endswith("--labels m"):
        run(capsys, "label index labels.csv --out m")
    assert message in run(capsys, line, 1)


def test_predictions_are_not_overwritten_unasked(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "label index labels.csv")
    line = "predict index --labels labels.safetensors --out out --format webvtt"
    run(capsys, line)
    assert "pass --overwrite to replace them" in run(capsys, line, 1)
    stale = work / "out" / "predictions.webvtt" / "gone.vtt"
    stale.write_text("WEBVTT\n")
    run(capsys, f"{line} --overwrite --threshold 0.99 --low 0.98")
    assert not stale.exists()


def test_no_interval_is_said(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "label index labels.csv")
    printed = run(capsys, "predict index --labels labels.safetensors --out out --threshold 1")
    assert "no interval in 6 files: nowhere is a class probable enough" in printed
    assert (work / "out" / "timeline.png").exists()


def test_features_of_another_encoder_are_refused(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Index.open("index").label("labels.csv")
    other = replace(model, fingerprint="f" * 32)
    other.save("other.safetensors")
    message = run(capsys, "predict index --labels other.safetensors", 1)
    assert f"its features are of the encoder {ENCODER}" in message
    assert "label again with `unscene label`" in message
    message = run(capsys, "predict footage --labels other.safetensors --workers 0", 1)
    assert f"{ENCODER}: is not the encoder that the labels were learned with" in message


def test_a_fine_tuned_classifier_predicts_too(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = create_encoder("r3d-narrow", width=8, stages=2)
    encoder.spec = replace(encoder.spec, frames=4, stride=4, size=32)
    save_classifier(Classifier(encoder, ["one", "two"]), work / "tuned")
    line = "predict index --labels tuned --workers 0 --threshold 0.5 --out"
    assert " intervals in 5 of 5 files" in run(capsys, f"{line} one")
    printed = run(capsys, "predict footage --labels tuned --workers 0 --threshold 0.5 --out two")
    assert " intervals in 5 of 5 files" in printed
    index = Index.open("index")
    predictions = index.predict("tuned")
    assert predictions.classes == ("one", "two")
    assert [file.name for file in predictions.files] == [f.name for f in index.files if f.windows]
    for track in predictions.tracks:
        np.testing.assert_allclose(track.probabilities.sum(axis=1), 1, atol=1e-5)


def test_labels_that_overlap_in_the_index_do_not_stop_new_ones(own: Paths) -> None:
    """The page lets people label a moment inside of a longer one."""
    index = Index.open(own[1])
    path = str(own[0] / "right" / "a.mp4")
    index.add_labels([Label(path, 0.0, 1.5, "right"), Label(path, 0.5, 1.0, "fast")])
    other = str(own[0] / "down" / "c.mp4")
    assert len(index.take_labels([Label(other, 0.0, 1.5, "down")])) == 1
    with pytest.raises(UnsceneError, match=r"'slow' 0\.6 to 0\.8 of right/a\.mp4 overlaps 'fast'"):
        index.take_labels([Label(path, 0.6, 0.8, "slow")])


def test_labels_of_a_list_and_in_python(own: Paths) -> None:
    index = Index.open(own[1])
    path = str(own[0] / "right" / "a.mp4")
    model = index.label([Label(path, 0.0, 1.5, "right")])
    assert model.classes == ("right",)
    assert isinstance(model, LabelModel)
    with pytest.raises(UnsceneError, match="contradicts labels of the index"):
        index.label([Label(path, 1.0, 2.0, "down")])
    assert len(index.labels()) == 1
    (one, *_) = index.suggest(model, k=2)
    assert one.path in {file.path for file in index.files}
    again = predict_videos(model, [path], Reading(batch_size=4))
    assert {interval.path for interval in again} <= {path}


def test_a_folder_without_a_video_is_refused(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "label index labels.csv")
    for name in ("right", "down", "long.mp4", "still.mp4"):
        place = work / "footage" / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    message = run(capsys, "predict footage --labels labels.safetensors --workers 0", 1)
    assert "bad.mp4" in message
