"""MPEG-4 that is damaged or odd: read as FFmpeg reads it, or left to FFmpeg."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mpeg4_files import Both, Parsed, assert_same, packets, remux, restless, rewritten

import media
from unscene.errors import VideoError
from unscene.video.decode import read_clips
from unscene.video.mpeg4 import Unparsed
from unscene.video.mpeg4.layer import Layer, layer_of
from unscene.video.mpeg4.motion import ParsedFrame, ParsedPackets
from unscene.video.mpeg4.picture import picture_of
from unscene.video.packets import open_container
from unscene.video.sampling import Request


@pytest.mark.parametrize("cut", [0.4, 0.8])
def test_damage_leaves_the_file_to_the_decoder(
    tmp_path: Path, cut: float, parsed: Parsed, both: Both
) -> None:
    path = media.write(tmp_path / "a.avi", restless(40, (96, 128)), "mpeg4", options={"g": "40"})
    data = bytearray(path.read_bytes())
    place = int(len(data) * cut)
    data[place : place + 40] = bytes(range(7, 47))
    path.write_bytes(data)
    assert_same(*both(path, 0.0, 40))
    assert len(parsed) < 38  # until the damage


def test_no_bits_whatever_make_it_stumble(tmp_path: Path) -> None:
    """Two thousand spoiled pictures: each is refused or read, and nothing is written elsewhere."""
    path = media.write(tmp_path / "a.avi", restless(30, (64, 96)), "mpeg4", options={"g": "30"})
    extradata, found = packets(path)
    layer, rng = layer_of(extradata), np.random.default_rng(0)
    with open_container(str(path)) as container:
        reader = ParsedPackets(container, container.streams.video[0])
        frames = [frame for _, made in reader for frame in made]
        vectors, valid = np.full((3, 8, 12, 2), 7, np.float32), np.ones((3, 8, 12), bool)
        refused = 0
        for trial in range(2000):
            number = int(rng.integers(1, len(frames)))
            data = bytearray(found[number])
            for _ in range(int(rng.integers(1, 20))):
                data[int(rng.integers(4, len(data)))] = int(rng.integers(256))
            del data[int(rng.integers(8, len(data) + 1)) :]
            try:
                picture = picture_of(bytes(data), layer)
                frame = ParsedFrame(reader, frames[0].sample, bytes(data), picture, 0, 0)
                frame.read_vectors(vectors, valid, 1)
            except Unparsed:
                refused += 1
            assert valid[[0, 2]].all(), trial
            assert (vectors[[0, 2]] == 7).all(), trial
    assert 1000 < refused < 2000


def test_packets_of_several_pictures_or_none_are_left_alone(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.avi", media.drift(5), "mpeg4")
    extradata, found = packets(path)
    layer = layer_of(extradata)
    assert picture_of(extradata + found[0], layer).key
    assert not picture_of(found[1], layer).key
    other = bytearray(layer.header)
    other[-3] ^= 1
    cut = found[1][:6]  # in its header
    for data in (b"", b"\0\0\1\xb3abc", found[1] + found[2], bytes(other) + found[0], cut):
        with pytest.raises(Unparsed):
            picture_of(data, layer)


@pytest.fixture
def footage(tmp_path: Path) -> tuple[Path, Layer]:
    """30 frames, a key frame each 12."""
    path = media.write(tmp_path / "a.avi", media.drift(30, (64, 96)), "mpeg4", options={"g": "12"})
    return path, layer_of(packets(path)[0])


def test_a_picture_that_is_not_coded_is_not_shown(
    tmp_path: Path,
    footage: tuple[Path, Layer],
    parsed: Parsed,
    both: Both,
) -> None:
    path, layer = footage
    coded = 1 + 1 + layer.time_bits + 1  # behind a zero, a marker, the time and a marker

    def change(number: int, data: bytes) -> bytes:
        return rewritten(data, coded, "0") if number in (5, 6, 14) else data

    for name in ("b.avi", "b.mp4"):
        made = remux(path, tmp_path / name, change)
        assert not picture_of(packets(made)[1][5], layer).coded
        assert_same(*both(made, 0.0, 27))
        assert_same(*both(made, 0.0, 40))  # it goes on at the beginning
    assert parsed


@pytest.mark.parametrize("number", [0, 12])
@pytest.mark.parametrize("how", ["quantiser", "cut", "marker"])
def test_key_frames_that_the_decoder_drops_leave_the_file_to_it(
    tmp_path: Path,
    footage: tuple[Path, Layer],
    parsed: Parsed,
    both: Both,
    number: int,
    how: str,
) -> None:
    path, layer = footage

    def change(which: int, data: bytes) -> bytes:
        if which != number:
            return data
        if how == "cut":
            return data[: data.index(b"\0\0\1\xb6") + 14]
        if how == "marker":
            return rewritten(data, 1, "0")
        return rewritten(data, 1 + 1 + layer.time_bits + 1 + 1 + 3, "00000")

    made = remux(path, tmp_path / "b.avi", change)
    with pytest.raises(Unparsed):
        picture_of(packets(made)[1][number], layer)
    assert_same(*both(made, 0.0, 16))
    assert_same(*both(made, 0.5, 8))
    assert len(parsed) <= 11  # those before the second key frame


def test_a_wrong_time_in_the_layer_is_noticed(
    tmp_path: Path,
    footage: tuple[Path, Layer],
    both: Both,
) -> None:
    path, layer = footage
    extradata = packets(path)[0]
    at = extradata.index(layer.header) + 4
    head = f"{int.from_bytes(extradata[at : at + 16], 'big'):0128b}"
    right = f"{25:016b}"
    for ticks in (3, 200, 30000):
        place = head.index(right)
        wrong = int(head[:place] + f"{ticks:016b}" + head[place + 16 :], 2).to_bytes(16, "big")
        data = extradata[:at] + wrong + extradata[at + 16 :]
        made = remux(
            path, tmp_path / "b.mkv", lambda _, packet: packet[packet.index(b"\0\0\1\xb6") :], data
        )
        assert layer_of(packets(made)[0]).time_bits != layer.time_bits
        mine, plain = both(made, 0.0, 20)
        assert_same(mine, plain)
        assert mine.valid.any()


def test_pictures_of_another_size_than_the_layers_are_left_alone(
    tmp_path: Path,
    footage: tuple[Path, Layer],
    parsed: Parsed,
    both: Both,
) -> None:
    """With this name FFmpeg believes the container, not the stream."""
    data = bytearray(footage[0].read_bytes().replace(b"FMP4", b"MP4S"))
    at = data.index(b"strf") + 8
    data[at + 4 : at + 12] = (1920).to_bytes(4, "little") + (1088).to_bytes(4, "little")
    path = tmp_path / "b.avi"
    path.write_bytes(data)
    mine, plain = both(path, 0.0, 12)
    assert mine.size == (1088, 1920)
    assert_same(mine, plain)
    assert parsed == []


def test_a_first_picture_without_a_key_frame_is_passed_over(
    tmp_path: Path,
    footage: tuple[Path, Layer],
    parsed: Parsed,
    both: Both,
) -> None:
    for name in ("b.avi", "b.mp4", "b.mkv"):
        made = remux(footage[0], tmp_path / name, lambda k, data: data if k not in (0, 3) else None)
        assert_same(*both(made, 0.0, 15))
    assert parsed


def test_a_stream_without_key_frames_is_an_error_all_the_same(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.m4v", media.drift(5), "mpeg4", options={"g": "2"})
    data = path.read_bytes()
    starts = [k for k in range(len(data)) if data[k : k + 4] == b"\0\0\1\xb6"]
    pieces = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    path.write_bytes(data[: starts[0]] + b"".join(p for p in pieces if p[4] >> 6))
    with pytest.raises(VideoError):
        read_clips(path, Request(0.0, {"clip": (0,)}, motion_only=("clip",)))
