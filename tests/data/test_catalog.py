"""DATA -> videos: every layout, every way in which DATA can disappoint."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import media
from unscene.data.catalog import Catalog, index_labels, number_files
from unscene.data.listing import list_videos, open_catalog
from unscene.errors import UnsceneError
from unscene.video.probe import probe


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of video."""
    path = tmp_path_factory.mktemp("catalog") / "clip.mp4"
    return media.write(path, media.drift(50), options={"bf": "0"})


@pytest.fixture
def folder(tmp_path: Path, clip: Path) -> Path:
    """Class folders with good, bad, hidden and foreign files."""
    root = tmp_path / "data"
    for name in ("top.mp4", "Run/a.mp4", "Run/b.MP4", "Jump/deep/c.mov", ".cache/d.mp4", ".e.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, root / name)
    (root / "Run" / "notes.mp4").write_text("no video " * 50)
    (root / "Run" / "empty.avi").touch()
    (root / "Run" / "readme.txt").write_text("hello")
    (root / "odd.mp4").mkdir()
    return root


def write_csv(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_folder_gives_its_good_videos_labelled_by_folder(folder: Path) -> None:
    catalog = open_catalog(folder)
    found = {os.path.relpath(video.path, folder): video.label for video in catalog.videos}
    assert found == {
        "top.mp4": None,
        "Run/a.mp4": "Run",
        "Run/b.MP4": "Run",
        "Jump/deep/c.mov": "deep",
    }
    assert all(Path(video.path).is_absolute() for video in catalog.videos)
    assert all(video.info is not None and video.duration == 2.0 for video in catalog.videos)
    assert [video.path for video in catalog.videos] == [
        video.path for video in open_catalog(folder).videos
    ]


def test_bad_files_are_counted_with_their_reason(folder: Path) -> None:
    catalog = open_catalog(folder)
    reasons = {os.path.relpath(s.path, folder): s.reason for s in catalog.skipped}
    assert set(reasons) == {"odd.mp4", "Run/notes.mp4", "Run/empty.avi"}
    assert "directory" in reasons["odd.mp4"]
    assert "empty" in reasons["Run/empty.avi"]
    assert "invalid data" in reasons["Run/notes.mp4"]
    account = catalog.summary()
    assert account.startswith("4 videos used, 3 skipped\n")
    for skipped in catalog.skipped:
        assert f"{skipped.reason}: {skipped.path}" in account


def test_the_account_groups_files_with_the_same_reason(tmp_path: Path, clip: Path) -> None:
    shutil.copy(clip, tmp_path / "good.mp4")
    for i in range(3):
        (tmp_path / f"empty{i}.mp4").touch()
    first = tmp_path / "empty0.mp4"
    assert f"is empty (0 bytes): {first} and 2 more" in open_catalog(tmp_path).summary()


def test_progress_counts_every_file_once(folder: Path) -> None:
    calls: list[tuple[int, int]] = []
    open_catalog(folder, lambda done, total: calls.append((done, total)))
    assert calls == [(i, 6) for i in range(1, 7)]


def test_a_single_file_is_a_catalog_of_one(clip: Path) -> None:
    assert [video.path for video in open_catalog(clip).videos] == [str(clip)]


def test_folders_without_a_usable_video_say_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UnsceneError, match=r"absent: does not exist; give a folder"):
        open_catalog(tmp_path / "absent")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UnsceneError, match=r"no video found.*\.mp4"):
        open_catalog(empty)
    (empty / "notes.txt").write_text("hello")
    with pytest.raises(UnsceneError, match="no video found"):
        open_catalog(empty)
    (empty / "a.mp4").touch()
    (empty / "b.mp4").touch()
    with pytest.raises(
        UnsceneError, match=r"no video can be used, of 2 found.*\n0 videos used, 2 skipped"
    ):
        open_catalog(empty)
    with pytest.raises(UnsceneError, match=r"neither a folder, nor a \.csv file, nor a video"):
        open_catalog(empty / "notes.txt")


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("bom", [b"", BOM])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_csv_gives_labels_segments_and_further_columns(
    tmp_path: Path, clip: Path, bom: bytes, newline: bytes
) -> None:
    shutil.copy(clip, tmp_path / "视频, 1.mp4")
    lines = [
        "path, label ,start,end,scene",
        '"视频, 1.mp4",Run,0.5,1.5,kitchen',
        f"{clip},Jump,,,",
        f"{clip}, Jump ,1,30,street",
    ]
    table = write_csv(tmp_path / "v.csv", bom + newline.join(line.encode() for line in lines))
    first, second, third = open_catalog(table).videos
    assert (first.path, first.label) == (str(tmp_path / "视频, 1.mp4"), "Run")
    assert (first.start, first.end, first.duration) == (0.5, 1.5, 1.0)
    assert first.value("scene") == "kitchen"
    assert first.value("label") == "Run"
    assert (second.start, second.end, second.duration) == (0.0, None, 2.0)
    assert third.label == "Jump"
    assert third.duration == 1.0  # `end` is after the end of the file
    with pytest.raises(UnsceneError, match=r"no column 'scene'; it has label"):
        second.value("scene")


def test_one_file_is_one_under_all_its_names_and_in_all_its_segments(
    tmp_path: Path, clip: Path
) -> None:
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(clip, tmp_path / name)
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    (tmp_path / "below").mkdir()
    names = ["b.mp4", "a.mp4", "below/../a.mp4", "link.mp4", "b.mp4"]
    rows = [f"{name},{start},{start + 1}" for start, name in enumerate(names)]
    table = write_csv(tmp_path / "v.csv", "\n".join(["path,start,end", *rows]))
    videos = list_videos(table).videos
    assert [video.path for video in videos] == [str(tmp_path) + f"/{name}" for name in names]
    assert number_files(videos) == [0, 1, 1, 1, 0]
    assert {video.file for video in videos[1:4]} == {str((tmp_path / "a.mp4").resolve())}


def test_rows_that_cannot_be_used_are_skipped_with_their_reason(tmp_path: Path, clip: Path) -> None:
    rows = [
        (f"{clip},x,0,1", None),
        (f"{clip},x,soon,1", "must be seconds"),
        (f"{clip},x,nan,1", "must be seconds"),
        (f"{clip},x,-1,1", "segment is empty"),
        (f"{clip},x,1,1", "segment is empty"),
        (f"{clip},x,7,9", "starts after the end of the video"),
        (",x,0,1", "row without a path"),
        ("gone.mp4,x,0,1", "does not exist"),
    ]
    text = "\n".join(["path,label,start,end", *(row for row, _ in rows)])
    catalog = open_catalog(write_csv(tmp_path / "v.csv", text))
    assert len(catalog) == 1
    reasons = sorted(s.reason for s in catalog.skipped)
    wanted = sorted(reason for _, reason in rows if reason is not None)
    assert len(reasons) == len(wanted)
    for reason in wanted:
        assert any(reason in found for found in reasons), reason
    assert any(s.path.endswith("v.csv:8") for s in catalog.skipped)  # where the row is


def test_a_line_that_is_no_row_is_skipped_by_its_number_and_takes_no_other_with_it(
    tmp_path: Path,
) -> None:
    lines = {
        "a.mp4,run": None,
        "my run, 1.mp4,run": "has more cells than the 2 columns",
        '"b.mp4,run': 'opens a quote (")',
        "c.mp4,walk": None,
        'd.mp4,"jump': 'opens a quote (")',
        "": None,
        '"e.mp4","sit"': None,
        "f.mp4,sit,,": None,  # a spreadsheet's empty columns
        "g.mp4," + "x" * 200_000: "cannot be read as CSV",
        "h.mp4": None,  # without a label
    }
    table = write_csv(tmp_path / "v.csv", "\r\n".join(["path,label", *lines]))
    catalog = list_videos(table)
    assert [(Path(v.path).name, v.label) for v in catalog.videos] == [
        *(("a.mp4", "run"), ("c.mp4", "walk"), ("e.mp4", "sit"), ("f.mp4", "sit")),
        ("h.mp4", None),
    ]
    wanted = {f"{table}:{n}": why for n, why in enumerate(lines.values(), start=2) if why}
    assert {s.path for s in catalog.skipped} == set(wanted)
    assert all(wanted[s.path] in s.reason for s in catalog.skipped)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name the columns path,label.*found nothing"),
        ("file,label\na.mp4,x\n", "must name the columns.*found file,label"),
        ("path;label\na.mp4;x\n", "must name the columns.*found path;label"),
        ("path,label\n", "no row can be used"),
        ("path,label\n,x\n,y\n", "0 videos used, 2 skipped"),
        ("path,label\ngone.mp4,x\n", "no video can be used, of 1 found"),
        ("path,label\n".encode("utf-16"), "must name the columns"),
        ("path,label, label\na.mp4,x,y\n", "names label more than once"),
        ('path,"label\na.mp4,x\n', "its first line opens a quote"),
        ('path,label\n"a.mp4,x\nb.mp4,"y\n', "no row can be used.*opens a quote"),
    ],
)
def test_a_csv_that_will_not_do_says_why(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UnsceneError, match=f"(?s){message}"):
        open_catalog(write_csv(tmp_path / "v.csv", text))


def test_the_fingerprint_changes_with_the_data_only(folder: Path, tmp_path: Path) -> None:
    before = open_catalog(folder).fingerprint()
    assert open_catalog(folder).fingerprint() == before
    assert open_catalog(f"{folder}/").fingerprint() == before
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    assert open_catalog(moved).fingerprint() == before
    seen = {before}

    def differs() -> None:
        now = open_catalog(folder).fingerprint()
        assert now not in seen
        seen.add(now)

    with (folder / "top.mp4").open("ab") as file:
        file.write(b"more")
    differs()
    (folder / "Run" / "a.mp4").rename(folder / "Run" / "z.mp4")
    differs()
    (folder / "Run").rename(folder / "Walk")
    differs()
    (folder / "Walk" / "z.mp4").unlink()
    differs()


def test_the_fingerprint_of_a_csv_knows_labels_segments_and_columns(
    tmp_path: Path, clip: Path
) -> None:
    prints = set()
    for i, row in enumerate(("a,0,1,x", "b,0,1,x", "b,0,2,x", "b,1,2,x", "b,1,2,y")):
        table = write_csv(tmp_path / f"{i}.csv", f"path,label,start,end,scene\n{clip},{row}\n")
        prints.add(open_catalog(table).fingerprint())
    assert len(prints) == 5


def test_labels_become_numbers_in_alphabetical_order(folder: Path) -> None:
    videos = [video for video in open_catalog(folder).videos if video.label]
    numbers, names = index_labels(videos, "label")
    assert names == ["Run", "deep"]
    assert [names[number] for number in numbers] == [video.label for video in videos]


def test_an_unreadable_folder_is_reported(folder: Path, lock: Callable[[str], None]) -> None:
    lock("Jump")
    catalog = list_videos(folder)
    assert isinstance(catalog, Catalog)
    assert [s.reason for s in catalog.skipped if s.path.endswith("Jump")] == [
        "folder cannot be read (Permission denied)"
    ]


def test_probe_states_the_facts(clip: Path) -> None:
    info = probe(clip)
    assert (info.codec, info.pixel_format, info.width, info.height) == ("h264", "yuv420p", 64, 32)
    assert (info.fps, info.duration, info.frames) == (25.0, 2.0, 50)
    assert (info.vectors, info.exact, info.rotation) == (True, False, 0)  # several references


def test_linked_class_folders_are_read_once(tmp_path: Path, clip: Path) -> None:
    real, data = tmp_path / "elsewhere", tmp_path / "data"
    (data / "Sit").mkdir(parents=True)
    real.mkdir()
    shutil.copy(clip, real / "a.mp4")
    shutil.copy(clip, data / "Sit" / "b.mp4")
    (data / "Run").symlink_to(real)
    (data / "Again").symlink_to(data / "Sit")
    (data / "Sit" / "round").symlink_to(data)
    catalog = open_catalog(data)
    assert [(v.label, Path(v.path).name) for v in catalog.videos] == [
        *(("Sit", "b.mp4"), ("Run", "a.mp4"))
    ]
    reasons = {os.path.relpath(s.path, data): s.reason for s in catalog.skipped}
    assert set(reasons) == {"Again", "Sit/round"}
    assert all("already read" in reason for reason in reasons.values())


def test_a_csv_as_people_write_it(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(clip.parent))
    table = f'path, label, scene \n\n~/{clip.name}, "Run, fast", street \n , Sit, hall\n'
    catalog = open_catalog(write_csv(tmp_path / "videos.csv", table))
    (video,) = catalog.videos
    assert (video.path, video.label, video.columns) == (str(clip), "Run, fast", {"scene": "street"})
    assert [s.path for s in catalog.skipped] == [f"{tmp_path / 'videos.csv'}:4"]
