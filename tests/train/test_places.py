"""A run is resumed, repeated and evaluated from another folder than the one it was started in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import unscene
from tiny_runs import TINY
from unscene.cli.main import main
from unscene.config import read_config
from unscene.data.listing import list_videos, locate
from unscene.encoders.resolving import locate_encoder
from unscene.synthetic.generate import ScenesReport

Flags = Callable[..., list[str]]
Captured = pytest.CaptureFixture[str]
FINETUNE = ["--max_steps", "1", "--batch_size", "2", "--clips", "1", "--workers", "0"]
FINETUNE += ["--accelerator", "cpu"]


@pytest.fixture
def project(tmp_path: Path, moving: ScenesReport, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with videos, which is the current one at first; "elsewhere" is beside it."""
    shutil.copytree(moving.out, tmp_path / "project" / "films")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def summary(out: Path) -> dict[str, Any]:
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


def test_a_run_is_resumed_and_repeated_from_another_folder(
    project: Path, flags: Flags, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    line = flags(Path("run"), data="films/train.csv", max_steps=2)
    assert main(line) == 0
    saved = read_config(project / "run" / "config.yaml")
    assert saved["data"] == str(project / "films" / "train.csv")
    assert saved["out"] == str(project / "run")
    assert saved["encoder"] == "r3d-narrow"
    monkeypatch.chdir(project.parent / "elsewhere")
    assert main(["pretrain", "--resume", "--out", "../project/run"]) == 0
    # The same videos, as they are called from here.
    again = ["pretrain", "../project/films/train.csv", "--resume", "--out", "../project/run"]
    assert main(again) == 0
    other = ["pretrain", "../project/films/seen.csv", "--resume", "--out", "../project/run"]
    assert main(other) == 1
    assert "data: was '" in capsys.readouterr().err
    assert main(["pretrain", "--config", "../project/run/config.yaml", "--out", "2"]) == 0
    assert summary(Path("2"))["videos"] == 8


def test_a_fine_tuning_is_resumed_from_another_folder(
    project: Path, flags: Flags, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(flags(Path("run"), data="films/train.csv", max_steps=1)) == 0
    line = ["evaluate", "finetune", "films/seen.csv", "--train", "films/train.csv"]
    assert main([*line, "--encoder", "run", "--out", "fine", *FINETUNE]) == 0
    saved = read_config(Path("fine/config.yaml"))
    assert saved["encoder"] == str(project / "run")
    row = (project / "fine" / "results.jsonl").read_text(encoding="utf-8")
    assert str(project) not in row  # rows are published; they keep what was typed
    monkeypatch.chdir(project.parent / "elsewhere")
    assert main(["evaluate", "finetune", "--resume", "--out", str(project / "fine")]) == 0
    # By the name of the folder alone, which from here is another one.
    Path("run").mkdir()
    resume = [
        "evaluate",
        "finetune",
        "--encoder",
        "run",
        "--resume",
        "--out",
        str(project / "fine"),
    ]
    assert main(resume) == 1


def test_a_project_that_has_moved_is_resumed_where_it_is_now(
    project: Path, flags: Flags, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert main(flags(Path("runs/pretrain"), data="films/train.csv", max_steps=1)) == 0
    moved = project.rename(project.with_name("moved"))
    monkeypatch.chdir(moved)
    assert main(["pretrain", "--resume"]) == 1
    assert "films/train.csv: does not exist" in capsys.readouterr().err
    assert main(["pretrain", "films/train.csv", "--resume"]) == 0
    assert not project.exists()  # nothing is written where the run was before
    saved = read_config(moved / "runs" / "pretrain" / "config.yaml")
    assert saved["data"] == str(moved / "films" / "train.csv")


def test_the_relative_paths_of_earlier_versions_mean_what_they_meant(
    project: Path, flags: Flags, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(flags(Path("run"), data="films/train.csv", max_steps=1)) == 0
    file = project / "run" / "config.yaml"
    file.write_text(yaml.safe_dump(read_config(file) | {"data": "films/train.csv", "out": "run"}))
    assert main(["pretrain", "--resume", "--out", "run"]) == 0
    file.write_text(yaml.safe_dump(read_config(file) | {"data": "films/train.csv", "out": "run"}))
    assert main(["pretrain", "films/train.csv", "--resume", "--out", "run"]) == 0


def test_what_is_a_place_in_data_and_in_the_name_of_an_encoder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("run", "r3d18", "UCF", "odd:name"):
        Path(folder).mkdir()
    monkeypatch.setenv("HOME", str(project))
    here = str(project)
    assert locate("films") == f"{here}/films"
    assert locate("~/films/train.csv") == f"{here}/films/train.csv"
    assert locate("odd:name") == f"{here}/odd:name"
    assert locate("ucf101-1-train:UCF") == f"ucf101-1-train:{here}/UCF"
    assert locate("Kinetics-val:~/UCF") == f"Kinetics-val:{here}/UCF"
    assert locate("nowhere") == "nowhere"
    assert locate("http:UCF") == "http:UCF"
    assert locate_encoder("run") == f"{here}/run"
    assert locate_encoder("mine=~/run") == f"mine={here}/run"
    assert locate_encoder("hf:run") == f"hf:{here}/run"
    assert locate_encoder("a=some.module:build@run") == f"a=some.module:build@{here}/run"
    assert locate_encoder("some.module:build") == "some.module:build"
    assert locate_encoder("r3d18") == "r3d18"  # the architecture
    assert locate_encoder("./r3d18") == f"{here}/r3d18"
    assert locate_encoder("models:run") == "models:run"  # a function


def test_a_list_of_videos_is_a_run_that_can_be_resumed(
    project: Path, moving: ScenesReport, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    paths = [Path(video.path) for video in list_videos("films/train").videos]
    few = {name: TINY[name] for name in TINY if name not in ("method", "max_steps")}
    few |= {"method": "dsm", "out": "run"}
    (project / "broken.mp4").write_text("buy milk")
    given = [*paths, "broken.mp4"]
    (project / "run").mkdir()
    (project / "run" / "videos.csv").write_text("mine")
    with pytest.raises(unscene.UnsceneError, match=r"videos\.csv: is there already; move it away"):
        unscene.pretrain(given, max_steps=2, **few)  # type: ignore[arg-type]
    (project / "run" / "videos.csv").unlink()
    outcome = unscene.pretrain(given, max_steps=2, **few)  # type: ignore[arg-type]
    assert outcome.finished
    found = list_videos("run/videos.csv")
    assert [video.path for video in found.videos] == [str(path) for path in paths]
    monkeypatch.chdir(project.parent / "elsewhere")
    assert main(["pretrain", "--resume", "--out", str(project / "run")]) == 0
    few |= {"out": str(project / "run"), "resume": True}
    assert unscene.pretrain(paths, max_steps=2, **few).finished  # type: ignore[arg-type]
    with pytest.raises(unscene.UnsceneError, match="its videos are not those"):
        unscene.pretrain(paths[1:], max_steps=2, **few)  # type: ignore[arg-type]
    assert len(list_videos(project / "run" / "videos.csv")) == len(paths)


@pytest.mark.parametrize("kind", ["folder", "csv", "text", "file", "list", "catalog", "unchecked"])
def test_the_public_functions_take_the_same_kinds_of_data(
    kind: str, moving: ScenesReport, tmp_path: Path
) -> None:
    folder = moving.train.parent / "train"
    listed = list_videos(folder)
    data: Any = {
        "folder": folder,
        "csv": moving.train,
        "text": str(folder),
        "file": listed.videos[0].path,
        "list": [Path(video.path) for video in listed.videos],
        "catalog": unscene.open_catalog(folder),
        "unchecked": listed,
    }[kind]
    count = 1 if kind == "file" else 8
    assert len(unscene.open_catalog(data)) == count
    assert len(unscene.embed(data, "r3d-narrow", clips_per_video=1, device="cpu")) == count
    audit = unscene.audit(data, "r3d-narrow", measures="time", device="cpu")
    assert audit.data["videos"] == count
    if count > 1:
        few = TINY | {"max_steps": 1, "monitor": "none"}
        assert unscene.pretrain(data, out=tmp_path / "run", **few).finished
    with pytest.raises(unscene.UnsceneError, match="list of videos is empty"):
        unscene.open_catalog([])
