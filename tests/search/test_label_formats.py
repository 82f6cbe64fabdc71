"""Labels and predictions written in every format, and read back."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from window_worlds import File

from unscene.errors import UnsceneError
from unscene.search.formats import FORMATS, read_intervals, write_intervals
from unscene.search.intervals import Interval, find_file, format_time, parse_time
from unscene.search.labels import Label

FILES = [
    File("/clips/day 1/a&b.mp4"),
    File("/clips/day 1/a.mp4", 90.5, 29.97),
    File("/clips/c.avi"),
]
PREDICTED = [
    Interval(FILES[0].path, 1.0, 2.52, "wave", 0.87),
    Interval(FILES[0].path, 2.52, 4.0, "<jump> & 'run' --> \"x\"", 0.5),
    Interval(FILES[1].path, 0.0, 90.5, "Größe, äh", 0.9123),
    Interval(FILES[1].path, 3661.25, 3662.5, "late", 1.0),
]
LABELS = [Label(one.path, one.start, one.end, one.label, "7") for one in PREDICTED]


def read_back(written: list[Path], out: Path, name: str) -> list[Interval]:
    path = written[0] if len(written) == 1 else out / f"labels.{name}"
    found = read_intervals(path, lambda name: 25.0)
    assert not found.problems
    by_file = []
    for one in found.intervals:
        position, reason = find_file(one.path, FILES)
        assert position is not None, reason
        by_file.append(
            Interval(FILES[position].path, one.start, one.end, one.label, one.probability)
        )
    return sorted(by_file, key=lambda one: (one.path, one.start))


@pytest.mark.parametrize("kind", ["labels", "predictions"])
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read_back(name: str, kind: str, tmp_path: Path) -> None:
    given = PREDICTED if kind == "predictions" else LABELS
    found = read_back(write_intervals(name, given, tmp_path, "labels", FILES), tmp_path, name)
    ordered = sorted(given, key=lambda one: (one.path, one.start))
    assert [(one.path, one.label) for one in found] == [(one.path, one.label) for one in ordered]
    # Label Studio has whole frames: half a frame to either side.
    within = 0.5 / 25 + 1e-6 if name == "label_studio" else 0.0005
    for attribute in ("start", "end"):
        ours, theirs = ([getattr(one, attribute) for one in some] for some in (found, ordered))
        np.testing.assert_allclose(ours, theirs, atol=within, rtol=0)
    known = [one.probability for one in found]
    assert known == ([0.87, 0.5, 0.9123, 1.0] if kind == "predictions" else [None] * 4)


@pytest.mark.parametrize("name", FORMATS)
def test_no_intervals_are_a_valid_file_too(name: str, tmp_path: Path) -> None:
    written = write_intervals(name, [], tmp_path, "labels", FILES)
    assert [read_intervals(path).intervals for path in written] == [[]] * len(written)


def test_label_studio_gets_its_own_names_and_frames(tmp_path: Path) -> None:
    one = Interval(FILES[0].path, 1.0, 2.0, "wave", 0.5)
    (path,) = write_intervals("label_studio", [one], tmp_path, "p", FILES)
    first, *others = json.loads(path.read_text())
    assert len(others) == 2
    assert all("predictions" not in task for task in others)
    assert first["data"] == {"video": "/data/local-files/?d=day%201/a%26b.mp4", "fps": 25.0}
    region = first["predictions"][0]["result"][0]
    # Frames 26 to 50 are those from 1.0 to 2.0 s: the first frame is 1, the last one included.
    assert region["value"] == {"ranges": [{"start": 26, "end": 50}], "timelinelabels": ["wave"]}
    view = ElementTree.fromstring(path.with_suffix(".xml").read_text())
    control, video = view.find("TimelineLabels"), view.find("Video")
    assert control is not None
    assert video is not None
    assert (region["from_name"], region["to_name"]) == (control.get("name"), video.get("name"))
    assert control.get("toName") == video.get("name")
    assert [label.get("value") for label in control] == ["wave"]


def test_exports_of_label_studio_are_read(tmp_path: Path) -> None:
    region = {
        "value": {"ranges": [{"start": 3, "end": 5}], "timelinelabels": ["Moving"]},
        "type": "timelinelabels",
        "from_name": "x",
        "to_name": "y",
    }
    full = [
        {
            "id": 4,
            "data": {"video": "/data/upload/2/8f2e1c00-a.mp4"},
            "annotations": [
                {"result": [region], "was_cancelled": False},
                {"result": [], "was_cancelled": True},
            ],
            "predictions": [{"result": [region, region]}],
        }
    ]
    short = [{"id": 4, "clip": "s3://bucket/a.mp4", "tricks": [region["value"]]}]
    for content, name in ((full, "a.mp4"), (short, "s3://bucket/a.mp4")):
        path = tmp_path / "export.json"
        path.write_text(json.dumps(content))
        assert read_intervals(path, lambda name: 10.0).intervals == [
            Interval(name, 0.2, 0.5, "Moving")
        ]
    assert "has no fps" in read_intervals(path).problems[0]


def test_an_eaf_follows_the_schema(tmp_path: Path) -> None:
    """Order of elements and required attributes of EAFv3.0.xsd; ids are unique and resolve."""
    path, _ = write_intervals("elan", PREDICTED, tmp_path, "p", FILES)
    assert path == tmp_path / "p.elan" / "day 1" / "a&b.eaf"
    document = ElementTree.fromstring(path.read_text())
    tags = [child.tag for child in document]
    order = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT"]
    assert sorted(tags, key=order.index) == tags
    assert {"DATE", "AUTHOR", "VERSION"} <= set(document.keys())
    ids = [e.get(k) for e in document.iter() for k in ("TIME_SLOT_ID", "ANNOTATION_ID") if e.get(k)]
    assert len(set(ids)) == len(ids)
    refs = {
        e.get(k)
        for e in document.iter()
        for k in ("TIME_SLOT_REF1", "TIME_SLOT_REF2", "ANNOTATION_REF")
        if e.get(k)
    }
    assert refs <= set(ids)
    types = {e.get("LINGUISTIC_TYPE_ID") for e in document.iter("LINGUISTIC_TYPE")}
    assert {e.get("LINGUISTIC_TYPE_REF") for e in document.iter("TIER")} == types
    media = document.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.attrib == {
        "MEDIA_URL": "file:///clips/day%201/a%26b.mp4",
        "MIME_TYPE": "video/mp4",
        "RELATIVE_MEDIA_URL": "day 1/a&b.mp4",
    }


def test_an_eaf_with_a_tier_for_each_behavior_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bird.eaf"
    path.write_text(
        '<?xml version="1.0"?><ANNOTATION_DOCUMENT><HEADER/><TIME_ORDER>'
        '<TIME_SLOT TIME_SLOT_ID="1" TIME_VALUE="500"/>'
        '<TIME_SLOT TIME_SLOT_ID="2" TIME_VALUE="750"/><TIME_SLOT TIME_SLOT_ID="3"/></TIME_ORDER>'
        '<TIER TIER_ID="pecking" LINGUISTIC_TYPE_REF="t"><ANNOTATION>'
        '<ALIGNABLE_ANNOTATION ANNOTATION_ID="a" TIME_SLOT_REF1="1" TIME_SLOT_REF2="2">'
        "<ANNOTATION_VALUE/></ALIGNABLE_ANNOTATION></ANNOTATION><ANNOTATION>"
        '<ALIGNABLE_ANNOTATION ANNOTATION_ID="b" TIME_SLOT_REF1="2" TIME_SLOT_REF2="3">'
        "<ANNOTATION_VALUE/></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"
    )
    found = read_intervals(path)
    assert found.intervals == [Interval("bird", 0.5, 0.75, "pecking")]
    assert "annotation b: has no time" in found.problems[0]
    path.write_text('<!DOCTYPE x [<!ENTITY a "b">]><ANNOTATION_DOCUMENT/>')
    with pytest.raises(UnsceneError, match="declares a document type"):
        read_intervals(path)


def test_a_boris_project_pairs_its_events(tmp_path: Path) -> None:
    """Also with subjects, events of version 6 without a frame, and two files end to end."""
    events = [
        [0.5, "hen", "peck", "", ""],
        [1.0, "cock", "peck", "", ""],
        [2.0, "hen", "peck", "", ""],
        [3.0, "cock", "peck", "", ""],
        [9.0, "", "peck", "", ""],
        [11.0, "", "peck", "", ""],
        [4.0, "", "crow", "", ""],
        [11.5, "", "peck", "", ""],
    ]
    project = {
        "behaviors_conf": {
            "0": {"type": "State event", "code": "peck"},
            "1": {"type": "Point event", "code": "crow"},
        },
        "observations": {
            "yard": {
                "file": {"1": ["a.mp4", "b.mp4"], "2": []},
                "events": events,
                "media_info": {"length": {"a.mp4": 10.0, "b.mp4": 5.0}},
            }
        },
    }
    path = tmp_path / "yard.boris"
    path.write_text(json.dumps(project))
    found = read_intervals(path)
    assert [(one.path, one.start, one.end) for one in found.intervals] == [
        ("a.mp4", 0.5, 2.0),
        ("a.mp4", 1.0, 3.0),
        ("a.mp4", 9.0, 10.0),
        ("b.mp4", 0.0, 1.0),
    ]
    assert "starts at 11.5 s and does not stop" in found.problems[0]
    assert "1 point events have no length" in found.notes[0]


def test_a_vtt_follows_the_syntax(tmp_path: Path) -> None:
    path, _ = write_intervals("webvtt", PREDICTED, tmp_path, "p", FILES)
    text = path.read_text()
    assert text.startswith("WEBVTT\n\nNOTE video: day 1/a&amp;b.mp4\n\n1 p=0.8700\n")
    assert text.count("-->") == 2  # in the lines of times only
    assert "00:00:02.520 --> 00:00:04.000\n&lt;jump&gt; &amp; 'run' --&gt; \"x\"\n" in text


def test_a_vtt_of_another_program_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.vtt"
    path.write_text(
        "WEBVTT - mine\r\n\r\n00:01.000 --> 00:02.500 align:start\r\n<v Ann>wave\r\n\r\n"
        "x --> 3\nno\n"
    )
    found = read_intervals(path)
    assert found.intervals == [Interval("a", 1.0, 2.5, "wave")]
    assert found.problems == [f"{path}:6: 'x --> 3' is not two times"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "the suffix '.txt' is none of .csv, .json, .eaf, .boris, .vtt"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "{}", "is no list of tasks"),
        ("a.eaf", "<a", "is not XML"),
        ("a.eaf", "<a/>", "is no EAF document, but <a>"),
        ("a.boris", "[]", "has no observations"),
        ("a.vtt", "1\n", "does not start with WEBVTT"),
        ("a.csv", "file,start,end\n", "label is missing"),
        ("a.csv", "path\n", "must name the columns file,start,end,label"),
    ],
)
def test_what_is_no_such_file_is_refused(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UnsceneError, match=message) as error:
        read_intervals(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))


def test_files_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    files = [File("/clips/a.mp4"), File("/clips/a.avi")]
    given = [Interval(file.path, 0, 1, "x") for file in files]
    written = write_intervals("webvtt", given, tmp_path, "p", files)
    assert [path.name for path in written] == ["a.mp4.vtt", "a.avi.vtt"]


@pytest.mark.parametrize("text", ["", "x", "1:x", "1:2:3:4", "nan", "inf", "-1:20"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_time(text)


def test_times_are_written_and_read() -> None:
    for seconds in (0.0, 0.0004, 59.9996, 3599.9999, 360000.001):
        assert parse_time(format_time(seconds)) == pytest.approx(seconds, abs=0.0005)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("day 1/a.mp4", 1),
        ("./day 1/a.mp4", 1),
        ("/clips/c.avi", 2),
        ("c.avi", 2),
        ("c", 2),
        ("/elsewhere/c.avi", 2),
        ("b.mp4", None),
        ("", None),
    ],
)
def test_a_file_is_found_by_its_name(name: str, found: int | None) -> None:
    assert find_file(name, FILES)[0] == found


def test_a_name_of_two_files_is_none() -> None:
    position, reason = find_file("a.mp4", [File("/clips/x/a.mp4"), File("/clips/y/a.mp4")])
    assert position is None
    assert reason == "is the name of 2 files (/clips/x/a.mp4, /clips/y/a.mp4); write the path"
