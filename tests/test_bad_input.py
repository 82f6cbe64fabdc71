"""Mistakes in the input: each is reported in one line that names the file and the remedy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from unscene.cli.main import main
from unscene.data.listing import open_catalog
from unscene.synthetic.generate import ScenesReport

Flags = Callable[..., list[str]]
Captured = pytest.CaptureFixture[str]


def bad_files(folder: Path, good: Path) -> dict[str, Path]:
    """One file of every kind that is no video, beside none that is."""
    folder.mkdir()
    made = {
        "text": folder / "text.mp4",
        "zero": folder / "zero.mp4",
        "directory": folder / "directory.mp4",
        "truncated": folder / "truncated.mp4",
        "link": folder / "link.mp4",
    }
    made["text"].write_text("this is a shopping list\n")
    made["zero"].touch()
    made["directory"].mkdir()
    whole = good.read_bytes()
    made["truncated"].write_bytes(whole[: len(whole) // 4])
    made["link"].symlink_to(folder / "nowhere.mp4")
    return made


@pytest.fixture
def good(moving: ScenesReport) -> Path:
    return moving.train.parent / "train" / "00000.mp4"


def failed(line: list[str], capsys: Captured) -> str:
    """The message of a command that has to fail as a user's mistake does."""
    assert main(line) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err


def test_missing_and_empty(flags: Flags, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "run"
    said = failed(flags(out, data=str(tmp_path / "nowhere")), capsys)
    assert "nowhere: does not exist; give a folder of videos" in said
    (tmp_path / "empty").mkdir()
    said = failed(flags(out, data=str(tmp_path / "empty")), capsys)
    assert "empty: no video found" in said
    assert ".mp4" in said
    (tmp_path / "list.txt").touch()
    assert "neither a folder" in failed(flags(out, data=str(tmp_path / "list.txt")), capsys)
    assert not out.exists()


def test_all_files_bad(flags: Flags, tmp_path: Path, good: Path, capsys: Captured) -> None:
    bad_files(tmp_path / "data", good)
    said = failed(flags(tmp_path / "run", data=str(tmp_path / "data")), capsys)
    assert "no video can be used, of 5 found" in said
    for text in ("text.mp4 and 1 more", "zero.mp4", "directory.mp4", "link.mp4"):
        assert text in said


def test_bad_files_among_good_ones_are_skipped_and_reported(
    flags: Flags, tmp_path: Path, good: Path, capsys: Captured
) -> None:
    bad_files(tmp_path / "data", good)
    for number in range(4):
        shutil.copy(good, tmp_path / "data" / f"good{number}.mp4")
    line = flags(tmp_path / "run", data=str(tmp_path / "data"), method="moco", max_steps=1)
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "4 videos used, 5 skipped" in said
    for text in ("text.mp4 and 1 more", "zero.mp4", "directory.mp4", "link.mp4"):
        assert text in said


def test_a_file_without_permission_is_skipped(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import av

    shutil.copy(good, tmp_path / "a.mp4")
    shutil.copy(good, tmp_path / "secret.mp4")
    opened = av.open

    def refuse(path: object, *rest: object, **more: object) -> object:  # root may read anything
        if str(path).endswith("secret.mp4"):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *rest, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(av, "open", refuse)
    catalog = open_catalog(tmp_path)
    assert [Path(video.path).name for video in catalog.videos] == ["a.mp4"]
    assert "ermission" in catalog.skipped[0].reason


def test_csv_mistakes(flags: Flags, tmp_path: Path, good: Path, capsys: Captured) -> None:
    table = tmp_path / "videos.csv"
    out = tmp_path / "run"
    table.write_text("file,class\na.mp4,run\n")
    said = failed(flags(out, data=str(table)), capsys)
    assert "must name the columns path,label[,start,end]; found file,class" in said
    table.write_text("path,label\ngone.mp4,run\nalso.mp4,walk\n")
    said = failed(flags(out, data=str(table)), capsys)
    assert "no video can be used, of 2 found" in said
    assert "gone.mp4" in said
    table.write_text("")
    assert "found nothing" in failed(flags(out, data=str(table)), capsys)
    table.write_text(f"path,start,end\n{good},soon,later\n")
    assert "start and end must be seconds" in failed(flags(out, data=str(table)), capsys)
    table.write_text(f"path,start,end\n{good},2,1\n")
    assert "end must be after start" in failed(flags(out, data=str(table)), capsys)
    table.write_text(f"path,label\n{good},run\ngone.mp4,walk\n")
    catalog = open_catalog(table)
    assert (len(catalog), len(catalog.skipped)) == (1, 1)


def test_unknown_names(flags: Flags, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "run"
    assert "Known: cmd, distill, dsm, dsm-triplet" in failed(flags(out, method="simclr"), capsys)
    said = failed(flags(out, encoder="r3d-narow", encoder_options={}), capsys)
    assert "did you mean 'r3d-narrow'" in said
    assert "c3d" in said
    said = failed(flags(out, encoder_options={"widht": 8}), capsys)
    assert "no option widht; it accepts" in said
    assert not out.exists()


def test_a_size_that_the_encoder_cannot_take_is_refused_before_any_video_is_opened(
    flags: Flags, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unscene.train.pretrain.open_catalog", None)
    line = flags(tmp_path / "run", encoder="c3d", encoder_options={}, size=16)
    said = failed(line, capsys)
    assert "c3d takes clips of at least" in said
    assert "--frames 4 --size 16" in said


def test_a_window_longer_than_any_video_loops(flags: Flags, tmp_path: Path) -> None:
    # Twelve frames a video; this window spans forty.
    line = flags(tmp_path / "run", frames=5, stride=10, max_steps=1)
    assert main(line) == 0


def test_values_in_a_recipe(
    flags: Flags, tmp_path: Path, moving: ScenesReport, capsys: Captured
) -> None:
    recipe = tmp_path / "recipe.yaml"
    line = ["pretrain", str(moving.train), "--config", str(recipe), "--out", str(tmp_path / "run")]
    for text, said in (
        ("lr: fast\n", "lr 'fast': must be a number"),
        ("workers: two\n", "workers 'two': must be a whole number"),
        ("temprature: 1\n", "did you mean temperature?"),
        ("precision: bf16\n", "precision 'bf16': must be one of auto"),
        ("- a\n- b\n", "is a YAML table"),
        ("lr: [1\n", "cannot be read as a configuration"),
        ("epochs: 0\n", "epochs 0: must be at least 1"),
    ):
        recipe.write_text(text)
        assert said in failed(line, capsys)
    recipe.unlink()
    assert "recipe.yaml" in failed(line, capsys)
    # YAML reads this as a text, people mean a number.
    recipe.write_text("lr: 1e-3\n")
    whole = flags(tmp_path / "run", max_steps=1, method="moco")
    assert main([*whole, "--config", str(recipe)]) == 0


def test_out_that_is_a_file(flags: Flags, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "taken").write_text("mine")
    said = failed(flags(tmp_path / "taken"), capsys)
    assert "taken" in said
    assert (tmp_path / "taken").read_text() == "mine"


def test_resume_of_nothing_and_of_another_run(
    flags: Flags, tmp_path: Path, capsys: Captured
) -> None:
    assert "holds no run to resume" in failed(
        ["pretrain", "--resume", "--out", str(tmp_path / "none")], capsys
    )
    assert main(flags(tmp_path / "run", method="moco", max_steps=1)) == 0
    capsys.readouterr()
    said = failed(["pretrain", "--resume", "--out", str(tmp_path / "run"), "--dim", "4"], capsys)
    assert "dim: was 8, now 4" in said
    assert "another --out" in said
    (tmp_path / "run" / "last.ckpt").write_bytes(b"cut short")
    said = failed(["pretrain", "--resume", "--out", str(tmp_path / "run")], capsys)
    assert "last.ckpt: is not a complete checkpoint" in said


def test_no_gpu(flags: Flags, tmp_path: Path, capsys: Captured) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert "no GPU is visible" in failed(flags(tmp_path / "run", accelerator="gpu"), capsys)
