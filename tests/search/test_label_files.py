"""Files of labels: what is right is read, and what is wrong is named with line, file and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from unscene.errors import UnsceneError
from unscene.search.labels import Label, read_labels


@dataclass(frozen=True)
class File:
    name: str
    duration: float = 10.0
    fps: float = 25.0

    @property
    def path(self) -> str:
        return f"/clips/{self.name}"


FILES = [File("a.mp4"), File("day 1/b.mp4", 120.0), File("day 2/b.mp4")]


def read(tmp_path: Path, *lines: str) -> list[Label]:
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["file,start,end,label", *lines]) + "\n")
    labels, notes = read_labels(path, FILES)
    assert notes == []
    return labels


def test_labels_are_read(tmp_path: Path) -> None:
    assert read(
        tmp_path,
        "a.mp4,1,2.5,wave",
        "/clips/day 1/b.mp4, 1:05, 1:06.5, jump",
        "day 2/b.mp4,0,10.1,wave",  # durations are rounded
        "",
        "a.mp4,2.5,3,jump",  # touches the first
        "a.mp4,1,2.5,wave",  # twice
        "a.mp4,0.5,1.75,wave",  # overlaps one of its class
    ) == [
        Label("/clips/a.mp4", 1.0, 2.5, "wave"),
        Label("/clips/day 1/b.mp4", 65.0, 66.5, "jump"),
        Label("/clips/day 2/b.mp4", 0.0, 10.0, "wave"),
        Label("/clips/a.mp4", 2.5, 3.0, "jump"),
        Label("/clips/a.mp4", 0.5, 1.75, "wave"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mp4,2,2,wave", "end 2 is not after start 2; give the label a length"),
        ("a.mp4,3,2,wave", "end 2 is not after start 3"),
        ("a.mp4,9,11,wave", "9 to 11 lies outside the file, which lasts 10.000 s; times are"),
        ("a.mp4,-1,1,wave", "-1 to 1 lies outside the file"),
        ("a.mp4,10,10.2,wave", "10 to 10.2 lies outside the file"),
        ("a.mp4,1,2,", "label is empty; name the class"),
        ("a.mp3,1,2,wave", "file 'a.mp3' is not in the index; did you mean a.mp4?"),
        ("zebra,1,2,wave", "file 'zebra' is not in the index; add it with `unscene index`"),
        ("b.mp4,1,2,wave", "file 'b.mp4' is the name of 2 files (/clips/day 1/b.mp4, "),
        (",1,2,wave", "file '' is not in the index"),
        ("a.mp4,x,2,wave", "start 'x' is not a time; write seconds, such as 12.5"),
        ("a.mp4,1,nan,wave", "end 'nan' is not a time"),
        ("a.mp4,1", "end '' is not a time"),
        ('a.mp4,1,2,"wave', 'opens a quote (") and does not close it'),
        ("a.mp4,1,2,wave,and,more", "has more cells than the 4 columns"),
    ],
)
def test_what_is_wrong_is_named(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsceneError) as error:
        read(tmp_path, "a.mp4,4,5,wave", line)
    path = tmp_path / "labels.csv"
    first, second = str(error.value).splitlines()
    assert first == f"{path}: 1 label is wrong, and nothing was changed:"
    assert second.startswith(f"  {path}:3: {message}")


def test_labels_of_two_classes_do_not_overlap(tmp_path: Path) -> None:
    with pytest.raises(UnsceneError) as error:
        read(tmp_path, "a.mp4,4,6,wave", "a.mp4,1,9,jump", "a.mp4,8.5,9.5,wave", "a.mp4,9,10,wave")
    path = tmp_path / "labels.csv"
    jump = f"of a.mp4 overlaps 'jump' 1 to 9 ({path}:3); shorten one of them"
    assert str(error.value).splitlines()[1:] == [
        f"  {path}:2: 'wave' 4 to 6 {jump}",
        f"  {path}:4: 'wave' 8.5 to 9.5 {jump}",
    ]


def test_of_many_wrong_lines_five_are_shown_and_all_counted(tmp_path: Path) -> None:
    lines = [f"a.mp4,{i / 100},{i / 100 + 0.005},wave" for i in range(400)]
    for number in (7, 70, 100, 200, 300, 301, 302):
        lines[number] = "a.mp4,3,2,wave" if number < 200 else "a.mp4,x,2,wave"
    with pytest.raises(UnsceneError) as error:
        read(tmp_path, *lines)
    first, *shown, last = str(error.value).splitlines()
    assert "7 labels are wrong" in first
    assert [line.split(":")[1] for line in shown] == ["9", "72", "102", "202", "302"]
    assert last == "  and 2 more"


def test_a_file_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsceneError, match="has no labels; write a line for each"):
        read(tmp_path)
    with pytest.raises(UnsceneError, match="cannot be read"):
        read_labels(tmp_path / "none.csv", FILES)


def test_labels_of_other_programs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.vtt"
    path.write_text("WEBVTT\n\n00:01.000 --> 00:02.500\nwave\n")
    assert read_labels(path, FILES)[0] == [Label("/clips/a.mp4", 1.0, 2.5, "wave")]
