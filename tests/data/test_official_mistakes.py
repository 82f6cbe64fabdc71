"""Official splits: strings, paths and folders that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from official_folders import UCF_TRAIN, UCF_VIDEOS, hmdb51, kinetics, touch, ucf101, write

from unscene.data.listing import list_videos, open_catalog
from unscene.errors import UnsceneError

UNKNOWN = [
    "ucf100-1-train",
    "ucf101-4-train",
    "ucf101-1-val",
    "ucf101-train",
    "hmdb51-1",
    "kinetics",
    "kinetics-1-train",
    "kinetics400-train",
    "UCF101",
    "12",
]


@pytest.mark.parametrize("split", UNKNOWN)
def test_an_unknown_split_lists_the_known_ones(tmp_path: Path, split: str) -> None:
    with pytest.raises(UnsceneError, match=f"'{split}' is not an official split; known: ") as error:
        list_videos(f"{split}:{ucf101(tmp_path)}")
    for known in ("ucf101-{1,2,3}-{train,test}", "hmdb51-{1,", "kinetics-{train,val,test}"):
        assert known in str(error.value)


@pytest.mark.parametrize("data", ["C:/videos", "C:\\videos", "s3://bucket/a", "my film: two.mp4"])
def test_other_colons_are_part_of_a_path(data: str) -> None:
    with pytest.raises(UnsceneError, match="does not exist; give a folder of videos or a CSV"):
        list_videos(data)


@pytest.mark.parametrize("name", ["C:", "12:30.mp4", "ucf101-1-train:x", "kinetics-val:"])
def test_a_path_with_a_colon_that_exists_is_a_path(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, [name if name.endswith(".mp4") else f"{name}/a.mp4"])
    assert len(list_videos(name)) == len(list_videos(Path(name))) == 1


@pytest.mark.parametrize("split", ["ucf101-1-train", "hmdb51-2-test", "kinetics-val"])
def test_a_root_that_is_no_folder(tmp_path: Path, split: str) -> None:
    for place in ("", str(tmp_path / "absent")):
        with pytest.raises(
            UnsceneError, match=f"'{place}' does not exist or is not a folder; give"
        ):
            list_videos(f"{split}:{place}")
    table = write(tmp_path / "trainlist01.txt", UCF_TRAIN)
    if split != "kinetics-val":
        with pytest.raises(
            UnsceneError, match=r"trainlist01\.txt' does not exist or is not a folder"
        ):
            list_videos(f"{split}:{table}")


@pytest.mark.parametrize(
    ("split", "looked"),
    [
        ("ucf101-3-test", r"looked for testlist03\.txt in .*\., ucfTrainTestlist, .*\.\./splits"),
        ("hmdb51-2-train", r"looked for \*_test_split2\.txt in .*testTrainMulti_7030_splits"),
        ("kinetics-val", r"looked for val\.csv, validate\.csv, .* in .*annotations, .*kinetics"),
    ],
)
def test_a_folder_without_lists_says_what_was_looked_for(
    tmp_path: Path, split: str, looked: str
) -> None:
    touch(tmp_path / "data", ["notes.txt", *UCF_VIDEOS])
    with pytest.raises(UnsceneError, match=f"data: its lists are missing; {looked}"):
        list_videos(f"{split}:{tmp_path / 'data'}")


@pytest.mark.parametrize("split", ["ucf101-1-train", "hmdb51-1-train", "kinetics-train"])
def test_a_folder_with_lists_but_no_video(tmp_path: Path, split: str) -> None:
    for make in (ucf101, hmdb51, kinetics):
        make(tmp_path)
    for suffix in ("avi", "mp4"):
        for path in tmp_path.rglob(f"*.{suffix}"):
            path.unlink()
    with pytest.raises(
        UnsceneError, match=rf"(?s){split}:.*its 2 listed videos is in {tmp_path}.*2 skip"
    ):
        open_catalog(f"{split}:{tmp_path}")


def test_lists_and_folders_that_cannot_be_read(tmp_path: Path, lock: Callable[[str], None]) -> None:
    root = ucf101(tmp_path)
    lock("YoYo")
    catalog = list_videos(f"ucf101-1-train:{root}")
    assert [(Path(s.path).name, s.reason) for s in catalog.skipped] == [
        ("YoYo", "cannot be read (Permission denied)"),
        ("v_YoYo_g12_c03", "listed in trainlist01.txt, but not on disk"),
    ]
    (root / "ucfTrainTestlist" / "trainlist01.txt").unlink()
    (root / "ucfTrainTestlist" / "trainlist01.txt").mkdir()
    with pytest.raises(UnsceneError, match=r"trainlist01\.txt: cannot be read \(Is a directory\)"):
        list_videos(f"ucf101-1-train:{root}")
