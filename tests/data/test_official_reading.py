"""Official splits: how folders are read, fingerprints, and real videos."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from official_folders import (
    K_FOLDERS,
    UCF_TRAIN,
    UCF_VIDEOS,
    hmdb51,
    kinetics,
    touch,
    ucf101,
    write,
)

import media
from unscene.data.listing import list_videos, open_catalog
from unscene.errors import UnsceneError


def test_every_folder_is_read_once_no_file_is_opened_and_frames_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = kinetics(tmp_path, folders=[f"train/{label}" for label in K_FOLDERS])
    touch(root, ["rawframes_train/yoga/Zz9-_xyz012/img_00001.jpg", "val/yoga/x.mp4", ".git/a.mp4"])
    (root / "videos").symlink_to(root)  # a circle must end
    read: Counter[str] = Counter()
    looked_up: list[str] = []
    scandir, stat = os.scandir, os.stat

    def counting(path: str) -> object:
        read[os.path.relpath(path, root)] += 1
        return scandir(path)

    def recording(path: object, **options: bool) -> os.stat_result:
        looked_up.append(str(path))
        return stat(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "scandir", counting)
    monkeypatch.setattr(os, "stat", recording)
    assert len(list_videos(f"kinetics-train:{root}")) == 2
    monkeypatch.undo()
    del read["."]  # is also searched for the list
    within = {name: count for name, count in read.items() if not name.startswith("videos")}
    assert within == dict.fromkeys(["train", *(f"train/{label}" for label in K_FOLDERS)], 1)
    assert len(read) < 20
    assert not [path for path in looked_up if path.endswith(".mp4")]


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
    with pytest.raises(UnsceneError, match=r"ucf101-1-test:.*no video can be used, of 2 found"):
        open_catalog(f"ucf101-1-test:{root}")
