"""What the check says of files whose making is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import media
from unscene.prepare.inspect import inspect
from unscene.video.h264_header import read_reference_count
from unscene.video.packets import open_container
from unscene.video.probe import probe
from unscene.video.timestamps import TimedFrames


def test_a_file_of_the_right_kind_is_ready(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(40, (64, 96)), options=media.PAN)
    found = inspect(path)
    assert (found.verdict, found.reason) == ("ready", "")
    assert (found.codec, found.container, found.pixel_format) == ("h264", "mov", "yuv420p")
    assert (found.width, found.height, found.fps) == (96, 64, 25.0)
    assert (found.frames, found.frames_estimated, found.duration) == (40, False, 1.6)
    assert (found.vectors, found.b_frames, found.references, found.gop) == (True, False, 1, 12)
    assert (found.rotation, found.damaged, found.decoded) == (0, 0, 40)
    assert found.bytes == path.stat().st_size


@pytest.mark.parametrize(("level", "light"), [(20, 0.08), (200, 0.78)])
def test_the_light_of_grey_is_measured_over_its_whole_range(
    tmp_path: Path, level: int, light: float
) -> None:
    frames = [np.full((48, 64), level, np.uint8)] * 3
    path = media.write(tmp_path / "a.mkv", frames, "ffv1", pix_fmt="gray")
    found = inspect(path)
    assert found.light == pytest.approx(light, abs=0.01)
    assert found.dark == (light < 0.15)


@pytest.mark.parametrize(
    ("level", "full_range", "light", "dark"),
    [
        (16, False, 0.0, True),
        (38, False, 0.1, True),
        (60, False, 0.2, False),
        (235, False, 1.0, False),
        (0, True, 0.0, True),
        (60, True, 0.2, False),
    ],
)
def test_the_light_is_measured(
    tmp_path: Path, level: int, full_range: bool, light: float, dark: bool
) -> None:
    frames = [np.full((48, 64), level, np.uint8)] * 3
    kind = "yuvj420p" if full_range else "yuv420p"
    path = media.write(tmp_path / "a.mp4", frames, pix_fmt=kind, full_range=full_range)
    found = inspect(path)
    assert found.light == pytest.approx(light, abs=0.01)
    assert found.dark == dark


def test_the_light_of_other_pictures_is_not_measured(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.mkv", media.drift(3), pix_fmt="yuv420p10le")
    assert (inspect(path).light, inspect(path).dark) == (None, False)
    assert (inspect(tmp_path / "none.mp4").light) is None


@pytest.mark.parametrize(
    ("codec", "name", "options", "reasons"),
    [
        ("libx264", "a.mp4", {"bf": "2", "refs": "1", "g": "12"}, "B-frames"),
        ("libx264", "a.mkv", {"bf": "0", "refs": "4", "g": "12"}, "more than one reference"),
        ("libx264", "a.mp4", {"g": "1"}, "key frames only"),
        ("libvpx-vp9", "a.webm", {}, "codec without motion vectors"),
        ("mpeg4", "a.avi", {"g": "12", "bf": "0"}, ""),
        ("mpeg4", "a.avi", {"g": "12", "bf": "2"}, "B-frames"),
        ("mpeg2video", "a.mpg", {"g": "12", "bf": "0"}, "B-frames"),  # may have, says its decoder
    ],
)
def test_the_reason_is_named(
    tmp_path: Path, codec: str, name: str, options: dict[str, str], reasons: str
) -> None:
    path = media.write(tmp_path / name, media.drift(30, (64, 96)), codec, options=options)
    found = inspect(path)
    assert set(reasons.split("; ")) <= set(found.reason.split("; "))
    assert found.verdict == ("needs transcoding" if reasons else "ready"), found.reason
    assert found.frames == 30


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        *(("libx264", f"a.{kind}") for kind in ("mp4", "mkv", "ts", "h264")),
        *(("mpeg4", f"a.{kind}") for kind in ("mp4", "avi", "m4v")),
        ("mpeg2video", "a.mpg"),
    ],
)
def test_key_frames_alone_have_no_vectors(tmp_path: Path, codec: str, name: str) -> None:
    options, kind = {"bf": "0", "refs": "1"}, "m4v" if name.endswith("m4v") else None
    for gop in (1, 2, 12):
        path = tmp_path / f"{gop}{name}"
        kept = options | {"g": str(gop)}
        media.write(path, media.drift(30, (64, 96)), codec, options=kept, format=kind)
        found = probe(path)
        assert (found.vectors, found.without_vectors is None) == (gop > 1, gop > 1), gop
        assert found.vectors or not found.exact
    assert "its frames are key frames" in str(probe(tmp_path / f"1{name}").without_vectors)


def test_a_container_that_calls_all_frames_keys_is_not_believed(tmp_path: Path) -> None:
    h263 = media.write(tmp_path / "a.avi", media.drift(30, (96, 128)), "h263", options={"g": "12"})
    assert probe(h263).vectors
    path = media.write(tmp_path / "a.mp4", media.drift(30, (64, 96)), "mpeg4", options={"g": "12"})
    whole = path.read_bytes()
    assert whole.count(b"stss") == 1
    path.write_bytes(whole.replace(b"stss", b"free"))  # the list of key frames
    with open_container(str(path)) as container:
        assert all(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    assert probe(path).vectors


@pytest.mark.parametrize("frames", [2, 3])
def test_a_decoder_that_waits_for_more_frames_has_vectors(tmp_path: Path, frames: int) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(frames, (64, 96)), options={"bf": "2"})
    assert probe(path).vectors


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.h264", "a.avi"])
@pytest.mark.parametrize("references", [1, 3])
def test_references_are_read_in_every_container(tmp_path: Path, name: str, references: int) -> None:
    options = {"bf": "0", "refs": str(references), "g": "12"}
    path = media.write(tmp_path / name, media.drift(14, (64, 96)), options=options)
    found = inspect(path)
    assert found.references == references
    assert found.verdict == ("ready" if references == 1 else "needs transcoding")
    assert found.frames == 14


@pytest.mark.parametrize("name", ["a.ts", "a.m4v"])
def test_a_clock_that_was_set_back_is_no_b_frame(tmp_path: Path, name: str) -> None:
    part, path = tmp_path / f"part_{name}", tmp_path / name
    codec, kind = ("mpeg4", "m4v") if name.endswith("m4v") else ("libx264", None)
    options = media.PAN if codec == "libx264" else {"g": "12"}
    media.write(part, media.drift(20, (64, 96)), codec, options=options, format=kind)
    path.write_bytes(part.read_bytes() * 2)
    found = inspect(path)
    assert found.frames == 40
    assert not found.b_frames


def test_references_of_profiles_with_chroma_formats(tmp_path: Path) -> None:
    path = media.write(
        *(tmp_path / "a.mp4", media.drift(6, (64, 96))),
        pix_fmt="yuv444p",
        options={"bf": "0", "refs": "2", "cqm": "jvt"} | {"x264-params": "cqm=jvt"},
    )
    assert inspect(path).references == 2


def test_what_is_no_parameter_set_says_nothing() -> None:
    for data in (b"", b"\1", b"\0\0\1\x67", b"\0\0\1\x67\x42\0\x1e" + bytes(9), b"noise" * 9):
        assert read_reference_count(data) is None


def test_a_turned_picture_is_measured_upright(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(6, (64, 96)), options=media.PAN)
    found = inspect(media.turn(path, 90))
    assert (found.width, found.height, found.rotation) == (64, 96, 3)


def test_damage_is_counted_and_thorough_finds_it_late(tmp_path: Path) -> None:
    options = {**media.PAN, "g": "100"}
    path = media.write(tmp_path / "a.mp4", media.drift(150, (64, 96)), options=options)
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4 + (data.index(b"moov") - data.index(b"mdat")) * 3 // 4
    data[begin : begin + 400] = bytes(400)
    path.write_bytes(data)
    assert inspect(path).damaged == 0
    found = inspect(path, thorough=True)
    assert found.damaged > 0
    assert found.decoded > 100
    assert (found.verdict, found.reason) == ("needs transcoding", "damaged")


def test_frames_that_the_container_only_speaks_of_are_missed(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.avi", media.drift(60, (64, 96)), "mpeg4")
    assert (inspect(path).missing, inspect(path).reason) == (0, "")
    data = bytearray(path.read_bytes())
    chunks = [k for k in range(len(data)) if data[k : k + 4] == b"00dc" and k < data.index(b"idx1")]
    index = data.index(b"idx1")
    data[chunks[40] : chunks[50]] = bytes(range(1, 251)) * ((chunks[50] - chunks[40]) // 250 + 1)
    data[index:] = b""  # without it the demuxer looks for the next whole chunk
    path.write_bytes(data)
    found = inspect(path)
    assert 0 < found.missing == 60 - found.frames
    assert "frames missing" in found.reason
    assert found.verdict == "needs transcoding"


def test_what_cannot_be_read_says_why(tmp_path: Path, text_file: Path) -> None:
    found = inspect(text_file)
    assert found.verdict == "unreadable"
    assert "is not a video" in found.reason
    assert found.bytes == text_file.stat().st_size
    assert inspect(tmp_path / "absent.mp4").reason == "does not exist"
    sound = media.write_audio(tmp_path / "a.m4a")
    assert inspect(sound).reason == "has no video stream"


@pytest.mark.parametrize(("codec", "name"), [("libx264", "a.ts"), ("libvpx", "a.webm")])
@pytest.mark.parametrize("early", [10, 150])
def test_a_picture_that_grows_is_remarked_with_its_largest_size(
    tmp_path: Path, codec: str, name: str, early: int
) -> None:
    path = media.write_call(tmp_path / name, [(early, (48, 64)), (200, (96, 128))], codec)
    found = inspect(path)
    assert (found.width, found.height, found.frames) == (128, 96, early + 200)
    assert found.grows
    assert not inspect(media.write_call(tmp_path / name, [(100, (48, 64))] * 2, codec)).grows


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_file_that_training_cannot_read_is_not_called_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    options = {"g": "12", "bf": "0", "sc_threshold": "0"}
    path = media.write(tmp_path / "a.mkv", media.drift(40), codec, options=options)
    assert inspect(path).verdict != "unreadable"

    def refuse(self: TimedFrames, time: float) -> None:
        raise PermissionError(1, "Operation not permitted")  # no FFmpegError: nothing catches it

    monkeypatch.setattr(TimedFrames, "_seek", refuse)
    found = inspect(path)
    assert found.verdict == "unreadable"
    assert found.reason.startswith("no clip can be read at 0.6 s: cannot be decoded")
