"""Official splits of UCF101 and HMDB51: lists and videos in every layout, and what is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from official_folders import (
    HMDB_VIDEOS,
    ODD,
    UCF_TRAIN,
    UCF_VIDEOS,
    hmdb51,
    names,
    touch,
    ucf101,
    write,
)

from unscene.data.listing import list_videos

HMDB_PLACES = [
    ".",
    "testTrainMulti_7030_splits",
    "splits",
    "annotations",
    "test_train_splits",
    "../splits",
    "annotations/testTrainMulti_7030_splits",
]


# UCF101


@pytest.mark.parametrize("lists", ["", "ucfTrainTestlist", "annotations", "splits", "../splits"])
@pytest.mark.parametrize("videos", ["", "UCF-101", "videos", "UCF101/UCF-101"])
def test_ucf101_is_found_in_every_layout(tmp_path: Path, lists: str, videos: str) -> None:
    root = ucf101(tmp_path / "data", lists, videos)
    train = list_videos(f"ucf101-1-train:{root}")
    found = [(os.path.relpath(v.path, root / videos), v.label, v.columns) for v in train.videos]
    assert found == [
        (UCF_VIDEOS[0], "ApplyEyeMakeup", {"group": "g08"}),
        (UCF_VIDEOS[1], "YoYo", {"group": "g12"}),
    ]
    assert train.skipped == ()
    assert train.source == f"ucf101-1-train:{root}"
    assert all(Path(video.path).is_absolute() for video in train.videos)
    test = list_videos(f"ucf101-1-test:{root}")
    assert names(test) == [Path(name).name for name in UCF_VIDEOS[2:]]
    assert names(list_videos(f"UCF101-2-Train:{root}/")) == names(test)


def test_ucf101_given_as_the_folder_of_the_classes(tmp_path: Path) -> None:
    ucf101(tmp_path)
    assert len(list_videos(f"ucf101-1-train:{tmp_path / 'UCF-101'}")) == 2


def test_a_relative_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ucf101(tmp_path)
    monkeypatch.chdir(tmp_path / "UCF-101")
    (video, _) = list_videos("ucf101-1-train:.").videos
    assert video.path == str(tmp_path / "UCF-101" / UCF_VIDEOS[0])


def test_a_root_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ucf101(tmp_path / "UCF101")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(list_videos("ucf101-1-train:~/UCF101")) == 2


def test_flat_and_encoded_anew(tmp_path: Path) -> None:
    root = touch(ucf101(tmp_path, videos="gone"), ["v_YoYo_g12_c03.webm", "videos/x.mp4"])
    shutil.rmtree(root / "gone")
    touch(root / "UCF-101", ["v_ApplyEyeMakeup_g08_c01.MP4"])
    assert names(list_videos(f"ucf101-1-train:{root}")) == [
        "v_ApplyEyeMakeup_g08_c01.MP4",
        "v_YoYo_g12_c03.webm",
    ]


def test_the_original_is_preferred_to_its_copy(tmp_path: Path) -> None:
    root = ucf101(tmp_path)
    touch(root / "UCF-101", [name.replace(".avi", ".mp4") for name in UCF_VIDEOS])
    assert all(name.endswith(".avi") for name in names(list_videos(f"ucf101-1-train:{root}")))


def test_letters_of_the_wrong_case(tmp_path: Path) -> None:
    line = "HandstandPushups/v_HandStandPushups_g08_c01.avi 37"
    write(tmp_path / "trainlist01.txt", "\ufeff" + line)
    touch(tmp_path, ["HandStandPushups/v_HandstandPushups_g08_c01.avi"])
    (video,) = list_videos(f"ucf101-1-train:{tmp_path}").videos
    assert (video.label, video.value("group")) == ("HandstandPushups", "g08")


def test_what_is_listed_but_missing_is_named_and_what_is_not_listed_ignored(tmp_path: Path) -> None:
    root = ucf101(tmp_path)
    write(
        root / "ucfTrainTestlist" / "trainlist01.txt",
        f"{UCF_TRAIN}A/v_A_g01_c01.avi 1\nUCF-101/B/b.avi\n",
    )
    touch(root / "UCF-101", ["YoYo/v_YoYo_g99_c09.avi", "Other/v_Other_g01_c01.avi"])
    catalog = list_videos(f"ucf101-1-train:{root}")
    assert len(catalog) == 2
    assert [(s.path, s.reason) for s in catalog.skipped] == [
        ("A/v_A_g01_c01", "listed in trainlist01.txt, but not on disk"),
        ("B/b", "listed in trainlist01.txt, but not on disk"),
    ]
    assert "but not on disk: A/v_A_g01_c01 and 1 more" in catalog.summary()


def test_a_line_that_is_none_is_skipped_with_its_number(tmp_path: Path) -> None:
    root = ucf101(tmp_path)
    table = write(root / "ucfTrainTestlist" / "trainlist01.txt", f"{UCF_TRAIN}\n v_YoYo.avi 3\n")
    catalog = list_videos(f"ucf101-1-train:{root}")
    assert [(s.path, s.reason) for s in catalog.skipped] == [
        (f"{table}:4", "is not a line of such a list")
    ]


# HMDB51


@pytest.mark.parametrize("lists", HMDB_PLACES)
@pytest.mark.parametrize("videos", ["", "hmdb51_org", "videos"])
def test_hmdb51_is_found_in_every_layout(tmp_path: Path, lists: str, videos: str) -> None:
    root = hmdb51(tmp_path / "data", lists, videos)
    train = list_videos(f"hmdb51-1-train:{root}")
    assert [(os.path.relpath(v.path, root / videos), v.label) for v in train.videos] == [
        (HMDB_VIDEOS[0], "brush_hair"),
        (HMDB_VIDEOS[3], "cartwheel"),
    ]
    test = list_videos(f"hmdb51-1-test:{root}")
    assert names(test) == [Path(HMDB_VIDEOS[1]).name]  # the third is marked 0: in neither part
    assert names(list_videos(f"hmdb51-2-test:{root}")) == [Path(HMDB_VIDEOS[0]).name]
    assert train.skipped == test.skipped == ()


@pytest.mark.parametrize(
    "copy",
    [
        "_20__Rad_Schlag__die___Bank__cartwheel_f_cm_np1_le_med_0.avi",
        "20_Rad_Schlag_die_Bank_cartwheel_f_cm_np1_le_med_0.mp4",
        "#20_(Rad)Schlag;_die_&_Bank!_CARTWHEEL_f_cm_np1_le_med_0.avi",
    ],
)
def test_hmdb51_with_odd_characters_replaced(tmp_path: Path, copy: str) -> None:
    root = hmdb51(tmp_path)
    (root / "hmdb51_org" / "cartwheel" / ODD).rename(root / "hmdb51_org" / "cartwheel" / copy)
    assert names(list_videos(f"hmdb51-1-train:{root}"))[1] == copy


def test_a_similar_name_is_not_enough_where_there_is_doubt(tmp_path: Path) -> None:
    lines = ["a(1) 1", "a[1] 1", "b(1) 1", "b[1] 2", "c(1) 1", "d(1) 1"]
    write(tmp_path / "run_test_split1.txt", "\n".join(lines).replace(" ", ".avi "))
    files = ["a_1_", "b[1]", "c_1", "c__1_", "d_1"]
    touch(tmp_path, [f"run/{name}.avi" for name in files])
    catalog = list_videos(f"hmdb51-1-train:{tmp_path}")
    # a: one file for two; b: the file is another's, of the test part; c: two files for one
    assert names(catalog) == ["d_1.avi"]
    assert [s.path for s in catalog.skipped] == ["run/a(1)", "run/a[1]", "run/b(1)", "run/c(1)"]


def test_missing_files_of_all_classes_are_one_line_of_the_account(tmp_path: Path) -> None:
    root = hmdb51(tmp_path)
    touch(root, ["hmdb51_org/brush_hair/late.avi"])
    shutil.rmtree(root / "hmdb51_org" / "cartwheel")
    write(root / "splits" / "brush_hair_test_split1.txt", "early.avi 1 \nlate.avi 1\nnothing\n")
    catalog = list_videos(f"hmdb51-1-train:{root}")
    assert names(catalog) == ["late.avi"]
    account = catalog.summary()
    assert "*_test_split1.txt, but not on disk: brush_hair/early and 1 more" in account
    assert "is not a line of such a list: " in account
    assert "brush_hair_test_split1.txt:3" in account


def test_a_class_unpacked_into_itself(tmp_path: Path) -> None:
    root = hmdb51(tmp_path, videos="elsewhere")
    for name in HMDB_VIDEOS:
        label, file = name.split("/")
        touch(root, [f"HMDB51/{label}/{label}/{file}"])
    assert len(list_videos(f"hmdb51-1-train:{root}")) == 2
