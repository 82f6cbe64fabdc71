"""Preparing overwrites nothing, whatever else lies in OUT, and names what is out of date."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import media
from preparing import BAD, SETTINGS, go, rows, tree, videos
from unscene.cli.main import main
from unscene.data.listing import open_catalog
from unscene.errors import UnsceneError
from unscene.prepare import run as prepare
from unscene.prepare.plan import make_plan
from unscene.prepare.settings import TranscodeSettings


def clip(path: Path, frames: int = 6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return media.write(path, media.drift(frames, (48, 64)), options=BAD)


def change_record(out: Path, old: str, new: str) -> None:
    path = out / "prepare.jsonl"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_link_in_out_does_not_lead_to_the_originals(tmp_path: Path, out: Path) -> None:
    data = tmp_path / "data"
    clip(data / "Run" / "a.mp4")
    out.mkdir()
    (out / "Run").symlink_to(data / "Run")
    before = tree(data)
    with pytest.raises(UnsceneError, match=r"out/Run: is a link that leads out of"):
        go(data, out)
    assert tree(data) == before
    (out / "Run").unlink()
    (out / "disk").mkdir()
    (out / "Run").symlink_to(out / "disk")  # which stays inside
    assert go(data, out).done == 1
    assert (out / "disk" / "a.mp4").is_file()


def test_hidden_files_that_are_in_the_way_are_left_alone(tmp_path: Path, out: Path) -> None:
    clip(tmp_path / "data" / ".h" / "a.mp4")
    clip(tmp_path / "data" / "b.mp4")
    (tmp_path / "data" / "list.csv").write_text("path\n.h/a.mp4\nb.mp4\n")
    (out / ".h").mkdir(parents=True)
    (out / ".h" / "a.mp4").write_text("precious")
    with pytest.raises(UnsceneError, match=r"did not write: \.h/a\.mp4"):
        go(tmp_path / "data" / "list.csv", out)
    assert (out / ".h" / "a.mp4").read_text() == "precious"


def test_what_appears_after_the_plan_was_made_is_left_alone(tmp_path: Path, out: Path) -> None:
    clip(tmp_path / "data" / "a.mp4")
    plan = make_plan(tmp_path / "data", out, SETTINGS)
    found = prepare.inspect_plan(plan, workers=0)
    out.mkdir()
    (out / "a.mp4").write_text("precious")
    with pytest.raises(
        UnsceneError, match=r"a\.mp4: this file was not written by `unscene prepare`"
    ):
        prepare.run_plan(plan, found, workers=0)
    assert (out / "a.mp4").read_text() == "precious"


def test_a_finished_file_that_somebody_changed_is_left_alone(tmp_path: Path, out: Path) -> None:
    clip(tmp_path / "data" / "a.mp4")
    go(tmp_path / "data", out)
    (out / "a.mp4").write_text("my own cut")
    with pytest.raises(UnsceneError, match=r"have changed since .* wrote them: a\.mp4"):
        go(tmp_path / "data", out)
    assert (out / "a.mp4").read_text() == "my own cut"
    (out / "a.mp4").write_bytes(b"")  # as a machine leaves it that goes down
    assert go(tmp_path / "data", out).done == 1


def test_other_data_of_the_same_names_is_refused(tmp_path: Path, out: Path) -> None:
    clip(tmp_path / "train" / "a.mp4")
    clip(tmp_path / "test" / "a.mp4", 9)
    go(tmp_path / "train", out)
    before = tree(out)
    with pytest.raises(
        UnsceneError, match=r"was written from .*train, not from .*test; choose another"
    ):
        go(tmp_path / "test", out)
    shutil.rmtree(tmp_path / "train")  # the files in OUT are all that is left of them
    with pytest.raises(UnsceneError, match="was written from"):
        go(tmp_path / "test", out)
    assert tree(out) == before


def test_data_that_has_moved_goes_on(tmp_path: Path, out: Path) -> None:
    clip(tmp_path / "train" / "a.mp4")
    go(tmp_path / "train", out)
    (tmp_path / "train").rename(tmp_path / "moved")
    clip(tmp_path / "moved" / "b.mp4")
    assert go(tmp_path / "moved", out).already == 1
    clip(tmp_path / "moved" / "a.mp4", 9)  # its root is known by now: a change is a change
    assert go(tmp_path / "moved", out).done == 1


def test_a_folder_whose_record_knows_no_data_goes_on(tmp_path: Path, out: Path) -> None:
    data = tmp_path / "data"
    clip(data / "a.mp4")
    go(data, out)
    change_record(out, f', "root": "{data}"', "")
    assert go(data, out).already == 1
    clip(tmp_path / "other" / "a.mp4", 9)
    with pytest.raises(UnsceneError, match="was written from"):
        go(tmp_path / "other", out)


def test_two_lists_of_a_folder_keep_their_tables_and_segments(tmp_path: Path, out: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        clip(tmp_path / "d" / name, 50)
    tables = {
        "train": "path,label,end\nd/a.mp4,x,1\nd/b.mp4,x,\n",
        "test": "path,label\nd/b.mp4,y\n",
        "late": "path,label,start\nd/a.mp4,y,1\n",
    }
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text)
    assert go(tmp_path / "train.csv", out).done == 2
    assert go(tmp_path / "test.csv", out).done == 0
    assert [row["label"] for row in rows(out / "train.csv")] == ["x", "x"]
    assert [row["label"] for row in rows(out / "test.csv")] == ["y"]
    before = tree(out)
    with pytest.raises(UnsceneError, match=r"was written from d/a\.mp4, seconds 0 to 1\.0, which"):
        go(tmp_path / "late.csv", out)
    (tmp_path / "d" / "lists").mkdir()
    (tmp_path / "d" / "lists" / "train.csv").write_text("path\n../../d/a.mp4\n../../d.mp4\n")
    clip(tmp_path / "d.mp4")
    with pytest.raises(UnsceneError, match=r"out/train\.csv: has the rows of .*train\.csv"):
        go(tmp_path / "d" / "lists" / "train.csv", out)
    assert tree(out) == before


def test_what_is_out_of_date_is_named_and_trained_on_no_more(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    for name in "abc":
        clip(data / "Run" / f"{name}.mp4")
    go(data, out)
    (data / "Run" / "a.mp4").write_bytes(b"broken" * 99)
    (data / "Run" / "b.mp4").unlink()
    capsys.readouterr()
    assert main(["prepare", str(data), str(out), "--workers", "0", "--short_side", "32"]) == 0
    said = capsys.readouterr().out
    assert "  stale: its source is unreadable now; the file was renamed: Run/.a.mp4.old\n" in said
    assert "  stale: its source is gone; the file is kept: Run/b.mp4\n" in said
    assert videos(out) == ["Run/b.mp4", "Run/c.mp4"]
    assert len(media.decode(out / "Run" / ".a.mp4.old")) == 6
    assert len(open_catalog(out)) == 2
    clip(data / "Run" / "a.mp4", 9)
    assert go(data, out).done == 1
    assert len(media.decode(out / "Run" / "a.mp4")) == 9


def test_what_could_not_be_made_is_not_ours(tmp_path: Path, out: Path) -> None:
    clip(tmp_path / "data" / "a.mp4")
    clip(tmp_path / "data" / "b.mp4")
    (tmp_path / "data" / "list.csv").write_text("path,start,end\na.mp4,5,6\nb.mp4,,\n")
    (failed,) = go(tmp_path / "data" / "list.csv", out).failed
    assert failed.path.endswith("a.mp4")
    mine = out / "a_5-6.mp4"
    mine.write_text("precious")
    with pytest.raises(UnsceneError, match=r"`unscene prepare` did not write: a_5-6\.mp4"):
        go(tmp_path / "data" / "list.csv", out)
    assert mine.read_text() == "precious"


def test_what_a_killed_run_may_not_have_written_is_renamed(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip(tmp_path / "data" / "a.mp4")
    go(tmp_path / "data", out)
    for number, hidden in enumerate((".a.mp4.old", ".a.mp4.1.old")):
        lines = (out / "prepare.jsonl").read_text().splitlines()
        (out / "prepare.jsonl").write_text("\n".join(lines[:-1]) + "\n")  # begun, no more
        (out / "a.mp4").write_text(f"precious {number}")
        capsys.readouterr()
        argv = ["prepare", str(tmp_path / "data"), str(out), "--workers", "0", "--short_side", "32"]
        assert main(argv) == 0
        assert (
            f"written by `unscene prepare`; the file was renamed: {hidden}\n"
            in capsys.readouterr().out
        )
        assert (out / hidden).read_text() == f"precious {number}"
        assert len(media.decode(out / "a.mp4")) == 6
    assert (out / ".a.mp4.old").read_text() == "precious 0"


def test_one_run_at_a_time(tmp_path: Path, out: Path) -> None:
    data = tmp_path / "data"
    clip(data / "a.mp4")
    plans = [make_plan(data, out, SETTINGS) for _ in range(2)]
    found = prepare.inspect_plan(plans[0], workers=0)
    first = plans[0].open_record()
    with pytest.raises(UnsceneError, match=r"another `unscene prepare` is writing to this folder"):
        prepare.run_plan(plans[1], found, workers=0)
    first.close()
    assert go(data, out).done == 1
    before = tree(out)
    with pytest.raises(
        UnsceneError, match=r"written to it in the meantime; run the same command again"
    ):
        prepare.run_plan(plans[1], found, workers=0)
    assert tree(out) == before


def test_a_damaged_first_line_is_not_skipped(tmp_path: Path, out: Path) -> None:
    data = tmp_path / "data"
    clip(data / "a.mp4")
    out.mkdir()
    (out / "prepare.jsonl").write_text('{"format": 1, "set')  # the machine went down here
    assert go(data, out).done == 1
    assert go(data, out).done == 0
    change_record(out, '{"format"', '{"for')
    with pytest.raises(UnsceneError, match="its first line, which holds the settings, is damaged"):
        go(data, out, TranscodeSettings(short_side=16, gop=3))


@pytest.mark.parametrize("new", ['"brand_new": 1, "verdict"', '"lost"'])
def test_a_record_of_another_version_is_read(tmp_path: Path, out: Path, new: str) -> None:
    data = tmp_path / "data"
    clip(data / "a.mp4")
    go(data, out)
    change_record(out, '"verdict"', new)
    assert go(data, out).already == 1
    assert rows(out / "prepare.csv")[0]["verdict"] == "needs transcoding"


def test_names_that_are_nearly_too_long(tmp_path: Path, out: Path) -> None:
    data = tmp_path / "data"
    names = [f"{letter * 250}.mp4" for letter in "xy"] + [f"{'é' * 125}.avi", f"{'é' * 125}.mp4"]
    clip(data / "z.mp4")
    for name in names:
        shutil.copy(data / "z.mp4", data / name)
    account = go(data, out)
    assert (account.done, account.failed) == (5, [])
    assert {row["output"] for row in rows(out / "prepare.csv")} == set(videos(out))
    assert all(len(os.fsencode(name)) <= 238 for name in videos(out))
    assert go(data, out).already == 5
    lines = [json.loads(line) for line in (out / "prepare.jsonl").read_text().splitlines()]
    assert sum("bytes" in line for line in lines) == 5
