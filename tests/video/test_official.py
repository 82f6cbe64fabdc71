"""Official splits: lists and videos in every layout, and what happens where some are missing."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import media
from unscene.errors import UnsceneError
from unscene.video.catalog import Catalog, list_videos, open_catalog

UCF_TRAIN = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\nYoYo/v_YoYo_g12_c03.avi 101\r\n"
UCF_TEST = "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\nYoYo/v_YoYo_g01_c02.avi\n"
UCF_VIDEOS = tuple(line.split()[0] for text in (UCF_TRAIN, UCF_TEST) for line in text.splitlines())
ODD = "#20_(Rad)Schlag;_die_&_Bank!_cartwheel_f_cm_np1_le_med_0.avi"
HMDB_VIDEOS = (
    *(f"brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_{i}.avi" for i in range(3)),
    f"cartwheel/{ODD}",
)
HMDB_LISTS = {
    "brush_hair_test_split1.txt": "".join(
        f"{name.split('/')[1]} {mark} \n"
        for name, mark in zip(HMDB_VIDEOS, (1, 2, 0), strict=False)
    ),
    "cartwheel_test_split1.txt": f"{ODD} 1 \n",
    "brush_hair_test_split2.txt": f"{HMDB_VIDEOS[0].split('/')[1]} 2 \n",
}
HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
K_TRAIN = (
    HEADER
    + '"massaging person\'s head",-0_aBcDeF12,5,15,train,0\nyoga,Zz9-_xyz012,120,130,train,1\n'
)
K_VIDEOS = ("-0_aBcDeF12_000005_000015.mp4", "Zz9-_xyz012_000120_000130.mp4")
K_FOLDERS = ("massaging person's head", "yoga")
HMDB_PLACES = [
    ".",
    "testTrainMulti_7030_splits",
    "splits",
    "annotations",
    "test_train_splits",
    "../splits",
    "annotations/testTrainMulti_7030_splits",
]
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


def touch(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def ucf101(root: Path, lists: str = "ucfTrainTestlist", videos: str = "UCF-101") -> Path:
    touch(root / videos, UCF_VIDEOS)
    write(root / lists / "trainlist01.txt", UCF_TRAIN)
    write(root / lists / "testlist01.txt", UCF_TEST)
    write(root / lists / "trainlist02.txt", UCF_TEST)
    write(root / lists / "classInd.txt", "1 ApplyEyeMakeup\n101 YoYo\n")
    return root


def hmdb51(root: Path, lists: str = "splits", videos: str = "hmdb51_org") -> Path:
    touch(root / videos, HMDB_VIDEOS)
    for name, text in HMDB_LISTS.items():
        write(root / lists / name, text)
    return root


def kinetics(root: Path, table: str = "train.csv", folders: Iterable[str] = K_FOLDERS) -> Path:
    write(root / table, K_TRAIN)
    return touch(root, (f"{f}/{v}" for f, v in zip(folders, K_VIDEOS, strict=True)))


def names(catalog: Catalog) -> list[str]:
    return [Path(video.path).name for video in catalog.videos]


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
    assert "but not on disk: A/v_A_g01_c01 and 1 more" in catalog.account()


def test_a_line_that_is_none_is_skipped_with_its_number(tmp_path: Path) -> None:
    root = ucf101(tmp_path)
    table = write(root / "ucfTrainTestlist" / "trainlist01.txt", f"{UCF_TRAIN}\n v_YoYo.avi 3\n")
    catalog = list_videos(f"ucf101-1-train:{root}")
    assert [(s.path, s.reason) for s in catalog.skipped] == [
        (f"{table}:4", "is no line of such a list")
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
    account = catalog.account()
    assert "*_test_split1.txt, but not on disk: brush_hair/early and 1 more" in account
    assert "is no line of such a list: " in account
    assert "brush_hair_test_split1.txt:3" in account


def test_a_class_unpacked_into_itself(tmp_path: Path) -> None:
    root = hmdb51(tmp_path, videos="elsewhere")
    for name in HMDB_VIDEOS:
        label, file = name.split("/")
        touch(root, [f"HMDB51/{label}/{label}/{file}"])
    assert len(list_videos(f"hmdb51-1-train:{root}")) == 2


# Kinetics


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
def test_identifiers_are_told_apart_to_the_letter(tmp_path: Path, other: str) -> None:
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
    with pytest.raises(UnsceneError, match=r"train\.csv lists no video of this part\."):
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
        ("videos/a.mp4 0\n", r"must name label,youtube_id,.*; found videos/a\.mp4 0"),
        ("", "must name label,youtube_id,.*; found nothing"),
        (HEADER + '"' + "x" * 200_000, "cannot be read as CSV"),
        (HEADER, r"train\.csv lists no video of this part"),
        (HEADER + ",,,,,\nyoga\n", "none of its 2 listed videos is in .*0 videos used, 2 skipped"),
    ],
)
def test_a_csv_that_is_none_of_kinetics(tmp_path: Path, text: str, message: str) -> None:
    write(kinetics(tmp_path) / "train.csv", text)
    with pytest.raises(UnsceneError, match=f"(?s){message}"):
        list_videos(f"kinetics-train:{tmp_path}")


# Strings, paths and folders that do not fit


@pytest.mark.parametrize("split", UNKNOWN)
def test_an_unknown_split_lists_the_known_ones(tmp_path: Path, split: str) -> None:
    with pytest.raises(UnsceneError, match=f"'{split}' is no official split; known: ") as error:
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
        with pytest.raises(UnsceneError, match=f"'{place}' does not exist or is no folder; after"):
            list_videos(f"{split}:{place}")
    table = write(tmp_path / "trainlist01.txt", UCF_TRAIN)
    if split != "kinetics-val":
        with pytest.raises(UnsceneError, match=r"trainlist01\.txt' does not exist or is no folder"):
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


def test_lists_and_folders_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = ucf101(tmp_path)
    real = os.scandir

    def locked(path: object) -> object:
        if str(path).endswith("YoYo"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", locked)
    catalog = list_videos(f"ucf101-1-train:{root}")
    assert [(Path(s.path).name, s.reason) for s in catalog.skipped] == [
        ("YoYo", "cannot be read (Permission denied)"),
        ("v_YoYo_g12_c03", "listed in trainlist01.txt, but not on disk"),
    ]
    (root / "ucfTrainTestlist" / "trainlist01.txt").unlink()
    (root / "ucfTrainTestlist" / "trainlist01.txt").mkdir()
    with pytest.raises(UnsceneError, match=r"trainlist01\.txt: cannot be read \(Is a directory\)"):
        list_videos(f"ucf101-1-train:{root}")


# Speed, fingerprints, and real videos


def test_every_folder_is_read_once_no_file_is_asked_for_and_frames_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = kinetics(tmp_path, folders=[f"train/{label}" for label in K_FOLDERS])
    touch(root, ["rawframes_train/yoga/Zz9-_xyz012/img_00001.jpg", "val/yoga/x.mp4", ".git/a.mp4"])
    (root / "videos").symlink_to(root)  # a circle must end
    read: Counter[str] = Counter()
    asked: list[str] = []
    scandir, stat = os.scandir, os.stat

    def counting(path: str) -> object:
        read[os.path.relpath(path, root)] += 1
        return scandir(path)

    def asking(path: object, **options: bool) -> os.stat_result:
        asked.append(str(path))
        return stat(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "scandir", counting)
    monkeypatch.setattr(os, "stat", asking)
    assert len(list_videos(f"kinetics-train:{root}")) == 2
    monkeypatch.undo()
    del read["."]  # is also searched for the list
    within = {name: count for name, count in read.items() if not name.startswith("videos")}
    assert within == dict.fromkeys(["train", *(f"train/{label}" for label in K_FOLDERS)], 1)
    assert len(read) < 20
    assert not [path for path in asked if path.endswith(".mp4")]


def test_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    root = ucf101(tmp_path / "data")
    (root / "UCF-101").rename(tmp_path / "disk")
    (root / "videos").symlink_to(tmp_path / "disk")
    (video, _) = list_videos(f"ucf101-1-train:{root}").videos
    assert video.path == str(root / "videos" / UCF_VIDEOS[0])


@pytest.mark.parametrize(
    ("split", "make"),
    [("ucf101-1-train", ucf101), ("hmdb51-1-train", hmdb51), ("kinetics-train", kinetics)],
)
def test_the_fingerprint_moves_with_the_data(
    tmp_path: Path, split: str, make: Callable[[Path], Path]
) -> None:
    root, moved = make(tmp_path / "here"), tmp_path / "some" / "where"
    before = list_videos(f"{split}:{root}").fingerprint()
    shutil.copytree(root, moved)
    assert list_videos(f"{split}:{moved}").fingerprint() == before
    assert list_videos(f"{split}:{os.path.relpath(moved)}").fingerprint() == before
    assert list_videos(f"{split.upper()}:{moved}").fingerprint() == before
    if make is kinetics:
        assert list_videos(f"{split}:{moved / 'train.csv'}").fingerprint() == before
    Path(list_videos(f"{split}:{moved}").videos[0].path).write_text("more")
    assert list_videos(f"{split}:{moved}").fingerprint() != before


def test_parts_and_splits_have_fingerprints_of_their_own(tmp_path: Path) -> None:
    root = ucf101(tmp_path)
    prints = {list_videos(f"ucf101-1-{part}:{root}").fingerprint() for part in ("train", "test")}
    assert len(prints) == 2
    table = root / "ucfTrainTestlist" / "trainlist01.txt"
    write(table, UCF_TRAIN.splitlines()[0])
    assert list_videos(f"ucf101-1-train:{root}").fingerprint() not in prints


def test_real_videos_are_opened_and_bad_ones_skipped(tmp_path: Path) -> None:
    root = ucf101(tmp_path)
    clip = media.write(tmp_path / "clip.mp4", media.drift(25), options={"bf": "0"})
    target = root / "UCF-101" / UCF_VIDEOS[0]
    shutil.copy(clip, target)
    catalog = open_catalog(f"ucf101-1-train:{root}")
    (video,) = catalog.videos
    assert (video.path, video.label, video.duration) == (str(target), "ApplyEyeMakeup", 1.0)
    assert [s.reason for s in catalog.skipped] == ["is empty (0 bytes)"]
    assert catalog.fingerprint() == open_catalog(f"ucf101-1-train:{root}").fingerprint()
    with pytest.raises(UnsceneError, match=r"ucf101-1-test:.*none of its 2 videos can be used"):
        open_catalog(f"ucf101-1-test:{root}")
