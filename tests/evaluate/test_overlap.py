"""What a test and its training share: files under any name, at overlapping times."""

from __future__ import annotations

import shutil
from pathlib import Path

import media
from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog
from unscene.evaluate.overlap import find_overlap

TWICE = "test videos are also in the training set: the score is too high"
BESIDE = "test videos are other segments of files in the training set"


def table(path: Path, *rows: str) -> Catalog:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["path,label,start,end", *rows]) + "\n")
    return open_catalog(path)


def test_a_file_is_known_under_any_name(tmp_path: Path) -> None:
    media.write(tmp_path / "a.mp4", media.drift(25))
    shutil.copy(tmp_path / "a.mp4", tmp_path / "copy.mp4")
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    train = table(tmp_path / "tr.csv", "a.mp4,x,,")
    for name, shared in (("../a.mp4", True), ("../link.mp4", True), ("../copy.mp4", False)):
        test = table(tmp_path / "te" / "te.csv", f"{name},x,,")
        assert test.videos[0].path.endswith(name)  # shown as it was written
        assert find_overlap(train, test, "label") == ([f"1 {TWICE}"] if shared else [])


def test_segments_are_compared_by_their_times(tmp_path: Path) -> None:
    media.write(tmp_path / "a.mp4", media.drift(50))
    train = table(tmp_path / "tr.csv", "a.mp4,x,0.4,0.8", "a.mp4,x,1.0,1.4")
    test = table(
        tmp_path / "te.csv",
        *("a.mp4,x,0.4,0.8", "a.mp4,x,0,0.5", "a.mp4,x,,", "a.mp4,x,1.3,"),
        *("a.mp4,x,0,0.4", "a.mp4,x,0.8,1.0", "a.mp4,x,1.4,"),
    )
    assert find_overlap(train, test, "label") == [
        f"4 {TWICE}",
        f"3 {BESIDE}: the score is too high",
    ]
    # Only videos that are used count.
    assert find_overlap(train, test, "label", train.videos[1:])[0] == f"2 {TWICE}"
    assert find_overlap(train, test, "label", ()) == []
