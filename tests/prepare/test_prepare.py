"""A folder, prepared: names, labels, and nothing that is not ours is touched."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

import media
from preparing import SETTINGS, go, rows, tree, videos
from unscene.cli.main import main
from unscene.data.listing import open_catalog
from unscene.errors import UnsceneError
from unscene.prepare import run as prepare
from unscene.prepare.estimate import estimate
from unscene.prepare.inspect import inspect
from unscene.prepare.plan import make_plan
from unscene.prepare.settings import TranscodeSettings

EXPECTED = ["Run/a.avi.mp4", "Run/a.mp4", "Sit/deep/b.mp4", "top.mp4"]


def test_a_tree_is_mirrored_and_the_originals_stay(data: Path, out: Path) -> None:
    before = tree(data)
    account = go(data, out)
    assert tree(data) == before
    assert videos(out) == EXPECTED
    assert (account.done, account.already, account.damaged, account.frames) == (4, 0, 0, 56)
    assert [(Path(s.path).name, "is not a video" in s.reason) for s in account.failed] == [
        ("broken.mp4", True)
    ]
    assert account.after == sum((out / name).stat().st_size for name in EXPECTED)
    assert account.before == sum(
        (data / name).stat().st_size
        for name in ("Run/a.mp4", "Run/a.avi", "Sit/deep/b.mkv", "top.mp4")
    )
    catalog = open_catalog(out)
    assert [v.label for v in catalog.videos] == [None, "Run", "Run", "deep"]
    assert all(inspect(video.path).verdict == "ready" for video in catalog.videos)
    report = {Path(row["path"]).name: row for row in rows(out / "prepare.csv")}
    assert len(report) == 5
    assert report["a.avi"]["output"] == "Run/a.avi.mp4"
    assert report["broken.mp4"]["failed"].startswith("is not a video")


def test_the_report_says_what_transcoding_saw(data: Path, out: Path) -> None:
    path = media.write(data / "late.mp4", media.drift(150, (64, 96)), options={"g": "100"})
    content = bytearray(path.read_bytes())
    begin = content.index(b"mdat") + 4
    begin += (content.index(b"moov") - begin) * 3 // 4
    content[begin : begin + 400] = bytes(400)
    path.write_bytes(content)
    assert inspect(path).damaged == 0  # its first frames are whole
    for _ in range(2):  # the second time it says what the record knows
        assert go(data, out).damaged == 1
        row = {Path(row["path"]).name: row for row in rows(out / "prepare.csv")}["late.mp4"]
        assert row["reason"].split("; ")[0] == "damaged"
        assert row["verdict"] == "needs transcoding"
        assert int(row["damaged"]) > 0
        assert int(row["decoded"]) == int(row["frames"]) == 150


def test_a_second_run_does_only_what_is_missing(data: Path, out: Path) -> None:
    go(data, out)
    (out / "top.mp4").unlink()
    time.sleep(0.01)
    media.write(data / "Run" / "a.avi", media.drift(9, (48, 64)), "mpeg4")  # another source now
    media.write(data / "Run" / "new.mp4", media.drift(5))
    with (out / "prepare.jsonl").open("a") as file:
        file.write('{"target": "Run/a.mp')  # the machine went down here
    before = tree(out)
    account = go(data, out)
    after = tree(out)
    assert (account.done, account.already) == (3, 2)
    kept = {"Run/a.mp4", "Sit/deep/b.mp4"}
    assert {name for name in before if name in after and before[name] == after[name]} == kept
    assert videos(out) == [*EXPECTED[:2], "Run/new.mp4", *EXPECTED[2:]]
    assert len(media.decode(out / "Run/a.avi.mp4")) == 9
    assert go(data, out).done == 0


def test_a_folder_that_is_older_than_a_setting_goes_on(data: Path, out: Path) -> None:
    first = go(data, out)
    record = out / "prepare.jsonl"
    text = record.read_text(encoding="utf-8")
    assert ', "brighten": false' in text
    record.write_text(text.replace(', "brighten": false', ""), encoding="utf-8")
    assert (first.done > 0, go(data, out).done) == (True, 0)


def test_other_settings_are_refused(data: Path, out: Path) -> None:
    go(data, out)
    before = tree(out)
    with pytest.raises(UnsceneError, match=r"written with gop 12 \(now 6\); use the same settings"):
        go(data, out, TranscodeSettings(short_side=32, gop=6))
    assert tree(out) == before


def test_files_of_somebody_else_are_named_and_left_alone(data: Path, out: Path) -> None:
    (out / "Run").mkdir(parents=True)
    (out / "Run" / "a.mp4").write_text("precious")
    with pytest.raises(UnsceneError, match=r"contains files that .* did not write: Run/a.mp4"):
        go(data, out)
    assert (out / "Run" / "a.mp4").read_text() == "precious"
    shutil.rmtree(out)
    go(data, out)
    (out / "mine.txt").write_text("precious")
    with pytest.raises(UnsceneError, match=r"did not write: mine\.txt"):
        go(data, out)


def test_data_and_out_are_kept_apart(data: Path, tmp_path: Path) -> None:
    for out in (data, data / "small", data / ".." / "data" / "x"):
        with pytest.raises(UnsceneError, match="lies inside the data"):
            go(data, out)
    with pytest.raises(UnsceneError, match="contains the data"):
        go(data, tmp_path)
    link = tmp_path / "link"
    link.symlink_to(data)
    with pytest.raises(UnsceneError, match="lies inside the data"):
        go(data, link / "x")
    with pytest.raises(UnsceneError, match="is a file"):
        go(data, data / "notes.txt")


def test_a_csv_keeps_its_rows_and_its_segments_become_files(data: Path, out: Path) -> None:
    table = data / "list.csv"
    table.write_text(
        "path,label,start,end,person\n"
        "Run/a.mp4,run,0,0.2,ann\n"
        "Run/a.mp4,stop,0.2,,bob\n"
        "Run/a.mp4,halt,0.2,,\n"
        "../data/top.mp4,sit,,,cid\n"
        "Sit/broken.mp4,sit,,,dan\n"
        "top.mp4,sit,5,2,eve\n"
    )
    account = go(table, out)
    assert (account.done, len(account.failed)) == (3, 2)
    assert rows(out / "list.csv") == [
        {"path": "Run/a_0-0.2.mp4", "label": "run", "person": "ann"},
        {"path": "Run/a_0.2-end.mp4", "label": "stop", "person": "bob"},
        {"path": "Run/a_0.2-end.mp4", "label": "halt", "person": ""},
        {"path": "top.mp4", "label": "sit", "person": "cid"},
    ]
    catalog = open_catalog(out / "list.csv")
    assert [video.label for video in catalog.videos] == ["run", "stop", "halt", "sit"]
    assert [v.info.frames for v in catalog.videos if v.info] == [5, 9, 9, 14]
    assert account.before == sum(
        (data / name).stat().st_size
        for name in ("Run/a.mp4", "top.mp4")  # once, not per segment
    )
    assert go(table, out).done == 0  # the CSV is ours too


def test_rows_that_point_elsewhere_mirror_what_they_share(data: Path, out: Path) -> None:
    lists = data.parent / "lists"
    lists.mkdir()
    (lists / "x.csv").write_text("path\n../data/Run/a.mp4\n../data/top.mp4\n")
    assert go(lists / "x.csv", out).done == 2
    assert videos(out) == ["Run/a.mp4", "top.mp4"]


def test_both_halves_of_an_official_split_share_a_folder(tmp_path: Path, out: Path) -> None:
    root = tmp_path / "UCF"
    for name in ("v_Jump_g01_c01.avi", "v_Jump_g02_c01.avi"):
        (root / "Jump").mkdir(parents=True, exist_ok=True)
        media.write(root / "Jump" / name, media.drift(6), "mpeg4")
    (root / "trainlist01.txt").write_text("Jump/v_Jump_g01_c01.avi 1\n")
    (root / "testlist01.txt").write_text("Jump/v_Jump_g02_c01.avi\n")
    for part in ("train", "test"):
        assert go(f"ucf101-1-{part}:{root}", out).done == 1
    assert rows(out / "ucf101-1-test.csv") == [
        {"path": "Jump/v_Jump_g02_c01.mp4", "label": "Jump", "group": "g02"}
    ]
    assert len(open_catalog(out / "ucf101-1-train.csv")) == 1
    with pytest.raises(UnsceneError, match="lies inside the data"):
        go(f"ucf101-1-train:{root}", root / "small")


@pytest.mark.parametrize("lists", [".", "ucfTrainTestlist", "../ucfTrainTestlist"])
def test_official_lists_come_along(tmp_path: Path, out: Path, lists: str) -> None:
    root = tmp_path / "UCF"
    for name in ("v_Jump_g01_c01.avi", "v_Jump_g02_c01.avi"):
        (root / "UCF-101" / "Jump").mkdir(parents=True, exist_ok=True)
        media.write(root / "UCF-101" / "Jump" / name, media.drift(6), "mpeg4")
    (root / lists).mkdir(exist_ok=True)
    (root / lists / "trainlist01.txt").write_text("Jump/v_Jump_g01_c01.avi 1\n")
    (root / lists / "testlist01.txt").write_text("Jump/v_Jump_g02_c01.avi\n")
    (root / "notes.txt").write_text("no list")
    assert go(root, out).done == 2
    assert not (out / "notes.txt").exists()
    found = open_catalog(f"ucf101-1-test:{out}")
    assert [Path(video.path).name for video in found.videos] == ["v_Jump_g02_c01.mp4"]
    before = tree(out)
    assert go(root, out).done == 0  # the lists are no stranger's files
    assert tree(out).keys() == before.keys()
    (out / "mine.txt").write_text("a stranger's")
    with pytest.raises(
        UnsceneError, match=r"contains files that `unscene prepare` did not write: mine\.txt"
    ):
        go(root, out)


def test_the_list_that_is_read_is_the_one_that_comes_along(tmp_path: Path, out: Path) -> None:
    root = tmp_path / "UCF"
    for group in (1, 2):
        (root / "Jump").mkdir(parents=True, exist_ok=True)
        media.write(root / "Jump" / f"v_Jump_g0{group}_c01.avi", media.drift(6), "mpeg4")
    for folder, group in ((root / "splits", 1), (tmp_path / "ucfTrainTestlist", 2)):
        folder.mkdir()
        (folder / "trainlist01.txt").write_text(f"Jump/v_Jump_g0{group}_c01.avi 1\n")
    (root / "classInd.txt").mkdir()  # no list
    (root / "splits" / "testlist01.txt").symlink_to(tmp_path / "gone")
    go(root, out)
    names = [
        [Path(video.path).stem for video in open_catalog(f"ucf101-1-train:{place}").videos]
        for place in (root, out)
    ]
    assert names[0] == names[1] == ["v_Jump_g01_c01"]
    (root / "splits" / "trainlist01.txt").write_text("Jump/v_Jump_g02_c01.avi 1\n")
    account = go(root, out)
    assert [one.reason.endswith("the file is kept") for one in account.stale] == [True]
    assert "g01" in (out / "splits" / "trainlist01.txt").read_text()


def test_no_list_is_written_through_a_link_that_leads_away(tmp_path: Path, out: Path) -> None:
    root = tmp_path / "UCF"
    (root / "splits").mkdir(parents=True)
    media.write(root / "a.mp4", media.drift(6))
    (root / "splits" / "trainlist01.txt").write_text("Jump/a.avi 1\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out.mkdir(exist_ok=True)
    (out / "splits").symlink_to(elsewhere)
    with pytest.raises(UnsceneError, match="leads out of"):
        go(root, out)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("name", ["train.csv", "kinetics-train.csv", "k400_train.csv"])
def test_a_kinetics_split_prepared_is_one(tmp_path: Path, out: Path, name: str) -> None:
    root = tmp_path / "K"
    (root / "train" / "yoga").mkdir(parents=True)
    media.write(root / "train" / "yoga" / "Zz9-_xyz012_000120_000130.mp4", media.drift(6))
    header = "label,youtube_id,time_start,time_end,split"
    (root / name).write_text(f"{header}\nyoga,Zz9-_xyz012,120,130,train\n")
    for data in (root, f"kinetics-train:{root}"):
        go(data, out)
        assert len(open_catalog(f"kinetics-train:{out}").videos) == 1
    assert rows(out / "videos-kinetics-train.csv")[0]["label"] == "yoga"
    assert go(f"kinetics-train:{root}", out).done == 0


def test_lists_of_kinetics_come_along_and_other_tables_do_not(tmp_path: Path, out: Path) -> None:
    root = tmp_path / "K"
    (root / "train" / "yoga").mkdir(parents=True)
    media.write(root / "train" / "yoga" / "Zz9-_xyz012_000120_000130.mp4", media.drift(6))
    header = "label,youtube_id,time_start,time_end,split"
    (root / "train.csv").write_text(f"{header}\nyoga,Zz9-_xyz012,120,130,train\n")
    (root / "val.csv").write_text("path,label\ntrain/yoga/Zz9-_xyz012_000120_000130.mp4,yoga\n")
    assert go(root, out).done == 1
    assert not (out / "val.csv").exists()
    assert len(open_catalog(f"kinetics-train:{out}").videos) == 1
    assert go(root, out).done == 0


def test_the_estimate_is_near_and_a_small_disk_stops_before_the_start(
    data: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make_plan(data, out, SETTINGS)
    needs = estimate(plan, prepare.inspect_plan(plan, workers=0))
    assert not out.exists()
    written = go(data, out).after
    assert (needs.files, needs.frames) == (4, 56)
    assert needs.bytes == pytest.approx(written, rel=0.1)
    assert needs.fits
    shutil.rmtree(out)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 9))  # type: ignore[attr-defined]
    command = ["prepare", str(data), str(out), "--workers", "0", "--short_side", "32"]
    assert main(command) == 1
    assert "9 B free on this disk, too little" in capsys.readouterr().err
    assert not out.exists()
    assert main([*command, "--force", "--dry_run"]) == 0
    assert not out.exists()
    assert main([*command, "--force"]) == 0
    assert videos(out) == EXPECTED


def test_the_estimate_scales_what_it_samples(tmp_path: Path, out: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for i in range(10):  # two of four seconds of the small ones are sampled
        size = (96, 128) if i % 2 else (48, 64)
        media.write(data / f"{i}.mp4", media.pan(100 + i, size, (1, 0)), options={"g": "50"})
    plan = make_plan(data, out, TranscodeSettings(short_side=0))
    needs = estimate(plan, prepare.inspect_plan(plan, workers=0))
    account = go(data, out, TranscodeSettings(short_side=0))
    assert needs.frames == account.frames == 1045
    assert needs.bytes == pytest.approx(account.after, rel=0.5)


def test_a_full_disk_of_temporary_files_is_reported_with_a_remedy(
    data: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: object, target: Path, *rest: object, **more: object) -> None:
        raise UnsceneError(f"{target}: cannot be written (No space left on device)")

    plan = make_plan(data, out, SETTINGS)
    found = prepare.inspect_plan(plan, workers=0)
    monkeypatch.setattr("unscene.prepare.estimate.transcode", full)
    with pytest.raises(UnsceneError, match=r"No space left .*; set TMPDIR to a folder on a disk"):
        estimate(plan, found)


def test_the_estimate_of_a_segment_knows_how_many_frames_it_has(tmp_path: Path, out: Path) -> None:
    stamps = [40 * i for i in range(50)]  # in an AVI of 1000 frames a second, most of them empty
    media.write(tmp_path / "a.avi", media.drift(50), "mpeg4", pts=stamps, rate=1000)
    (tmp_path / "list.csv").write_text("path,start,end\na.avi,0,1\n")
    plan = make_plan(tmp_path / "list.csv", out, SETTINGS)
    needs = estimate(plan, prepare.inspect_plan(plan, workers=0))
    assert needs.frames == pytest.approx(go(tmp_path / "list.csv", out).frames, abs=1)


def test_the_command_reports_what_it_found_and_did(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", str(data), "--check", "--workers", "0", "--csv", f"{out}.csv"]) == 0
    said = capsys.readouterr().out
    assert "5 files" in said
    assert "B-frames (3)" in said
    assert "Sit/broken.mp4   is not a video" in said
    assert len(rows(Path(f"{out}.csv"))) == 5
    assert main(["prepare", str(data), "--check", "--csv", f"{out}.csv"]) == 1
    assert "is there already; pass --overwrite" in capsys.readouterr().err
    assert main(["prepare", str(data)]) == 1
    assert "name a folder OUT" in capsys.readouterr().err
    for expected in ("transcoded 4 files", "transcoded 0 files"):
        assert main(["prepare", str(data), str(out), "--workers", "0", "--short_side", "32"]) == 0
        said = capsys.readouterr().out
        assert expected in said
        assert "failed: is not a video that FFmpeg can read" in said
        assert f"unscene pretrain {out}" in said
    assert "nothing to do (4 already done)" in said


def test_a_check_says_for_which_methods_a_file_needs_transcoding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    media.write(data / "vp8.webm", media.drift(30), "libvpx")
    media.write(data / "keys.mp4", media.drift(30), options={"g": "1"})
    media.write(data / "b_frames.mp4", media.drift(30), options={"bf": "2", "refs": "1"})
    media.write(data / "ready.mp4", media.drift(30), options=media.PAN)
    half = media.write(data / "half.mkv", media.drift(150, (64, 96)), options=media.PAN)
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    table = tmp_path / "checked.csv"
    assert main(["prepare", str(data), "--check", "--workers", "0", "--csv", str(table)]) == 0
    said = capsys.readouterr().out
    assert "ready:             nothing to do, whatever the method\n" in said
    assert "needs transcoding: readable as it is by distill, dsm, dsm-triplet, hdc, moco\n" in said
    assert "cmd, unscene need motion vectors" in said
    assert "2 files without vectors" in said
    assert "1 file whose vectors are not the motion since" in said
    assert "1 file damaged or unfinished" in said
    needed = {Path(row["path"]).stem: row["transcode_for"] for row in rows(table)}
    assert needed == {"ready": "", "half": ""} | dict.fromkeys(
        ("vp8", "keys", "b_frames"), "cmd, unscene"
    )


def test_a_check_names_false_frame_rates_and_missing_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    pts = [33 * i for i in range(40)]
    media.write(data / "call.webm", media.drift(40), "libvpx", rate=1000, pts=pts)
    path = media.write(data / "half.mkv", media.drift(150, (64, 96)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(["prepare", str(data), "--check", "--workers", "0"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"call.webm +gives 1000 frames per second and has 30.3\n", said)
    assert re.search(r"half.mkv +\d\d% of it is missing \(1\d\d frames\)\n", said)


def test_dark_files_are_reported_and_can_be_brightened(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = tmp_path / "night"
    night.mkdir()
    frames = [np.full((48, 64), 20, np.uint8) + media.texture(48, 64) // 20] * 3
    media.write(night / "a.mp4", frames)
    media.write(night / "day.mp4", media.drift(3))
    check = ["--check", "--workers", "0"]
    assert main(["prepare", str(night), *check]) == 0
    assert "1 file is very dark: consider --brighten true" in capsys.readouterr().out
    assert main(["prepare", str(night), str(out), "--workers", "0", "--brighten", "true"]) == 0
    assert "brightened" in capsys.readouterr().out
    assert main(["prepare", str(out), *check]) == 0
    assert "dark" not in capsys.readouterr().out


def test_a_check_that_finds_nothing_to_use_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.mp4").write_text("buy milk")
    (tmp_path / "folder.mp4").mkdir()
    assert main(["prepare", str(tmp_path), "--check", "--workers", "0"]) == 1
    assert "\n  folder.mp4   is a directory" in capsys.readouterr().out
