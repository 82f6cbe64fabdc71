"""What a search found, as a page, clips and a table."""

from __future__ import annotations

import base64
import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import av
import pytest

from unscene.cli.main import main
from unscene.errors import UnsceneError
from unscene.search.index import Index
from unscene.search.labels import read_labels
from unscene.search.moments import Moment
from unscene.search.results import cut_clips, name_clip, write_moments, write_page

Paths = tuple[Path, Path]
Captured = pytest.CaptureFixture[str]


class Page(HTMLParser):
    """The videos of a page, its text, and the addresses that it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.videos: list[bytes] = []
        self.text, self.addresses, self.open = "", list[str](), list[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "poster") and v]
        if tag == "video":
            start, content = str(given["src"]).split(",")
            assert start == "data:video/mp4;base64"
            self.videos.append(base64.b64decode(content))

    def handle_data(self, data: str) -> None:
        self.text += data


def length_of(clip: bytes | Path, tmp_path: Path) -> float:
    """Seconds of an H.264 clip, all of it decoded."""
    path = clip if isinstance(clip, Path) else tmp_path / "x.mp4"
    if isinstance(clip, bytes):
        path.write_bytes(clip)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        frames = sum(1 for _ in container.decode(stream))
        assert stream.average_rate
        return frames / float(stream.average_rate)


def test_the_command_writes_what_is_asked_for(
    indexed: Paths, tmp_path: Path, capsys: Captured
) -> None:
    footage, place = indexed
    line = ["search", str(place), str(footage / "right" / "a.mp4"), "--from", "0.4", "--to", "1.8"]
    files = ["--html", str(tmp_path / "r.html"), "--csv", str(tmp_path / "r.csv")]
    files += ["--clips", str(tmp_path / "clips")]
    assert main([*line, "-k", "3", *files]) == 0
    found = Index.open(place).search(footage / "right" / "a.mp4", start=0.4, end=1.8, k=3)
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["file"] == "right/b.mp4"
    for row, moment in zip(rows, found, strict=True):
        assert float(row["start"]) == pytest.approx(moment.start, abs=1e-3)
        assert float(row["similarity"]) == pytest.approx(moment.similarity, abs=1e-4)
    clips = sorted((tmp_path / "clips").iterdir())
    assert [clip.name for clip in clips] == [
        name_clip(rank, moment) for rank, moment in enumerate(found, start=1)
    ]
    page = Page(tmp_path / "r.html")
    assert len(page.videos) == 4, "the query and three moments"
    for clip, moment in zip([*clips, *page.videos[1:]], [*found, *found], strict=True):
        assert length_of(clip, tmp_path) == pytest.approx(moment.end - moment.start, abs=0.1)
    assert length_of(page.videos[0], tmp_path) == pytest.approx(1.4, abs=0.1)
    assert all(one.startswith("data:") for one in page.addresses)
    assert "3 moments like a.mp4" in page.text
    assert "right/b.mp4" in page.text
    assert "is no probability" in page.text
    assert f"{found[0].similarity:.3f}" in page.text
    capsys.readouterr()
    # Nothing is overwritten in silence.
    for flag in ("--html", "--csv", "--clips"):
        at = files.index(flag)
        assert main([*line, "-k", "3", *files[at : at + 2]]) == 1
        assert "is there already; pass --overwrite" in capsys.readouterr().err
    assert main([*line, "-k", "3", *files, "--overwrite"]) == 0


def test_the_table_is_one_of_labels(index: Index, tmp_path: Path) -> None:
    path = index.files[index.find_file("b.mp4")].path
    moments = [Moment(path, 0.5, 1.5, 0.9, 0.2, "wave")]
    write_moments(tmp_path / "r.csv", moments, index.files)
    (label,), _ = read_labels(tmp_path / "r.csv", index.files)
    assert (label.path, label.start, label.end) == (path, 0.5, 1.5)
    assert label.label == "wave"


def test_names_of_clips() -> None:
    assert name_clip(1, Moment("/x/../é 1.mp4", 0.0, 61.5)) == "001_é_1_0.00-61.50.mp4"
    assert name_clip(12, Moment("/x/???.mp4", 0.0, 1.0)) == "012_video_0.00-1.00.mp4"
    assert name_clip(1, Moment(f"/x/{'a' * 300}.mp4", 0.0, 1.0)) == f"001_{'a' * 60}_0.00-1.00.mp4"


def test_files_that_went(index: Index, indexed: Paths, tmp_path: Path) -> None:
    moments = [
        Moment(str(indexed[0] / "gone.mp4"), 0.0, 1.0, 0.9),
        Moment(str(indexed[0] / "right" / "b.mp4"), 0.0, 1.0, 0.8),
        Moment(str(indexed[0] / "bad.mp4"), 0.0, 1.0, 0.7),
    ]
    written, problems = cut_clips(tmp_path / "clips", moments)
    assert [path.name for path in written] == ["002_b_0.00-1.00.mp4"]
    assert [bool(re.search("gone.mp4: does not exist", one)) for one in problems] == [True, False]
    assert [path.name for path in (tmp_path / "clips").iterdir()] == ["002_b_0.00-1.00.mp4"]
    problems = write_page(tmp_path / "r.html", moments, index.files, title="Three", facts="x")
    assert len(problems) == 2
    page = Page(tmp_path / "r.html")
    assert len(page.videos) == 1
    assert "does not exist" in page.text


def test_a_clip_that_is_there_stops_all_of_them(indexed: Paths, tmp_path: Path) -> None:
    moments = [Moment(str(indexed[0] / "right" / "b.mp4"), at, at + 1, 0.8) for at in (0.0, 0.5)]
    (tmp_path / name_clip(2, moments[1])).write_text("mine")
    with pytest.raises(UnsceneError, match=r"002_b_0\.50-1\.50\.mp4: is there already"):
        cut_clips(tmp_path, moments)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(UnsceneError, match="is a file; --clips takes a folder"):
        cut_clips(tmp_path / name_clip(2, moments[1]), moments)


def test_a_long_moment_and_text_that_is_not_html(index: Index, tmp_path: Path) -> None:
    import media

    path = media.write(tmp_path / "a<b>&.mp4", media.drift(300, (32, 48)))
    moments = [Moment(str(path), 0.0, 12.0, None, 0.1, "<b>wave</b>")]
    write_page(tmp_path / "r.html", moments, index.files, title="<i>", facts="`a` <script>")
    page = Page(tmp_path / "r.html")
    assert length_of(page.videos[0], tmp_path) == pytest.approx(10.0, abs=0.1)
    assert "the first 10 s" in page.text
    assert "<b>wave</b>" in page.text
    assert "a <script>" in page.text
    write_page(tmp_path / "none.html", [], index.files, title="None", facts="x")
    assert "No moment was found." in Page(tmp_path / "none.html").text
