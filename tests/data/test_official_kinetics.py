"""Kinetics: its CSV and its videos in every layout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from official_folders import HEADER, K_FOLDERS, K_TRAIN, K_VIDEOS, kinetics, names, touch, write

from unscene.data.listing import list_videos
from unscene.errors import UnsceneError

K_TABLES = [
    "train.csv",
    "annotations/train.csv",
    "splits/train.csv",
    "annotations/kinetics_train.csv",
    "kinetics_400_train.csv",
    "kinetics-600_train.csv",
    "k700_train.csv",
    "kinetics400/train.csv",
    "kinetics700_2020/annotations/train.csv",
]


@pytest.mark.parametrize("table", K_TABLES)
def test_the_csv_of_kinetics_is_found(tmp_path: Path, table: str) -> None:
    catalog = list_videos(f"kinetics-train:{kinetics(tmp_path, table)}")
    assert names(catalog) == list(K_VIDEOS)


@pytest.mark.parametrize(
    "name", ["val.csv", "validate.csv", "validation.csv", "kinetics_400_val.csv"]
)
def test_validation_has_many_names(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, K_TRAIN.replace(",train,", ",validate,"))
    write(tmp_path / "train.csv", HEADER)
    touch(tmp_path, [f"validation/{K_VIDEOS[0]}", f"train/{K_VIDEOS[1]}"])
    catalog = list_videos(f"kinetics-val:{tmp_path}")
    assert names(catalog) == [K_VIDEOS[0]]
    assert [s.path for s in catalog.skipped] == [f"yoga/{Path(K_VIDEOS[1]).stem}"]


@pytest.mark.parametrize(
    "folders",
    [
        K_FOLDERS,
        ("massaging_person's_head", "yoga"),
        ("train/massaging_persons_head", "train/yoga"),
        ("videos_train/massaging person's head", "videos_train/yoga"),
        ("videos/train/massaging person's head", "videos/train/yoga"),
        ("kinetics_400_train/massaging_person's_head", "train_256/yoga"),
        ("train", "train"),
        (".", "."),
        ("replacement/replacement_for_corrupted_k400", "train"),
        ("kinetics400/train/massaging person's head", "k400/videos_train/yoga"),
    ],
)
def test_kinetics_is_found_in_every_layout(tmp_path: Path, folders: tuple[str, str]) -> None:
    root = kinetics(tmp_path, folders=folders)
    catalog = list_videos(f"kinetics-train:{root}")
    found = [(os.path.relpath(video.path, root), video.label) for video in catalog.videos]
    wanted = zip(folders, K_VIDEOS, K_FOLDERS, strict=True)
    assert found == [(os.path.normpath(f"{f}/{v}"), label) for f, v, label in wanted]


def test_kinetics_without_times_in_the_names(tmp_path: Path) -> None:
    root = kinetics(tmp_path)
    (root / "yoga" / K_VIDEOS[1]).rename(root / "yoga" / "Zz9-_xyz012.mkv")
    assert names(list_videos(f"kinetics-train:{root}")) == [K_VIDEOS[0], "Zz9-_xyz012.mkv"]
    touch(root, [f"yoga/{K_VIDEOS[1]}"])
    assert names(list_videos(f"kinetics-train:{root}")) == list(K_VIDEOS)


@pytest.mark.parametrize("other", ["zZ9-_xyz012_000120_000130", "Zz9__xyz012_000120_000130"])
def test_identifiers_are_compared_to_the_letter(tmp_path: Path, other: str) -> None:
    root = kinetics(tmp_path)
    (root / "yoga" / K_VIDEOS[1]).rename(root / "yoga" / f"{other}.mp4")
    assert names(list_videos(f"kinetics-train:{root}")) == [K_VIDEOS[0]]


def test_the_folder_of_another_class_is_not_looked_into(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "label,youtube_id\nrun,001\n跳,001\n跑,001\nsit,001\n")
    touch(tmp_path, ["run/001.mp4", "跳/001.mp4", "跑/001.mp4", "unlisted/001.mp4"])
    catalog = list_videos(f"kinetics-train:{tmp_path}")
    found = [(os.path.relpath(video.path, tmp_path), video.label) for video in catalog.videos]
    assert found == [("run/001.mp4", "run"), ("跳/001.mp4", "跳"), ("跑/001.mp4", "跑")]
    assert [s.path.partition("/")[0] for s in catalog.skipped] == ["sit"]


@pytest.mark.parametrize("folder", ["test", "test/any class", "."])
def test_a_test_list_without_labels(tmp_path: Path, folder: str) -> None:
    write(tmp_path / "test.csv", "youtube_id, time_start ,time_end,split\nabc,3.0,13.0,test\n")
    touch(tmp_path, [f"{place}/abc_000003_000013.mp4" for place in (folder, ".trash")])
    (video,) = list_videos(f"kinetics-test:{tmp_path}").videos
    assert (Path(video.path).parent, video.label) == (tmp_path / folder, None)
    with pytest.raises(UnsceneError, match="no labels"):
        video.value("label")


@pytest.mark.parametrize("table", ["train.csv", "annotations/train.csv", "splits/my list.csv"])
def test_the_csv_itself_may_be_given(tmp_path: Path, table: str) -> None:
    root = kinetics(tmp_path, table)
    catalog = list_videos(f"kinetics-train:{root / table}")
    assert names(catalog) == list(K_VIDEOS)
    assert catalog.source == f"kinetics-train:{root / table}"
    assert catalog.root == str(root)


def test_rows_of_other_parts_are_left_out(tmp_path: Path) -> None:
    root = kinetics(tmp_path)
    table = write(root / "train.csv", K_TRAIN.replace("130,train", "130,validate"))
    assert names(list_videos(f"kinetics-train:{root}")) == [K_VIDEOS[0]]
    assert names(list_videos(f"kinetics-val:{table}")) == [K_VIDEOS[1]]
    with pytest.raises(UnsceneError, match=r"train\.csv lists no video of this split\."):
        list_videos(f"kinetics-test:{root / 'train.csv'}")


def test_two_lists_in_one_place_are_a_question(tmp_path: Path) -> None:
    root = kinetics(tmp_path, "kinetics_400_train.csv")
    write(root / "kinetics_600_train.csv", K_TRAIN)
    with pytest.raises(UnsceneError, match=r"400_train\.csv or .*600_train\.csv\? Give the file"):
        list_videos(f"kinetics-train:{root}")
    assert len(list_videos(f"kinetics-train:{root / 'kinetics_400_train.csv'}")) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("videos/a.mp4 0\n", r"must name the columns label,youtube_id,.*; found videos/a\.mp4 0"),
        ("", "must name the columns label,youtube_id,.*; found nothing"),
        (HEADER + '"' + "x" * 200_000, "cannot be read as CSV"),
        (HEADER, r"train\.csv lists no video of this split"),
        ("label,youtube_id,label\n", "names label more than once"),
        (HEADER + ",,,,,\nyoga\n", "none of its 2 listed videos is in .*0 videos used, 2 skipped"),
    ],
)
def test_a_csv_that_is_none_of_kinetics(tmp_path: Path, text: str, message: str) -> None:
    write(kinetics(tmp_path) / "train.csv", text)
    with pytest.raises(UnsceneError, match=f"(?s){message}"):
        list_videos(f"kinetics-train:{tmp_path}")


def test_a_line_that_is_no_row_is_skipped_by_its_number(tmp_path: Path) -> None:
    root = kinetics(tmp_path)
    first, *rest = K_TRAIN.splitlines()
    write(root / "train.csv", "\n".join([first, '"open quote,0,0,1,train', *rest, "a,b,,,,,x"]))
    catalog = list_videos(f"kinetics-train:{root}")
    assert names(catalog) == list(K_VIDEOS)
    reasons = {s.path.rpartition(":")[2]: s.reason for s in catalog.skipped if "csv:" in s.path}
    assert "opens a quote" in reasons["2"]
    assert "more cells than" in reasons[str(len(rest) + 3)]
