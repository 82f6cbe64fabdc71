"""MPEG-4 part 2 read without a decoder: the same vectors as FFmpeg's, or FFmpeg's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import media
from unscene.errors import VideoError
from unscene.video import decode
from unscene.video.clip import Motion
from unscene.video.decode import read_clips
from unscene.video.mpeg4 import Unparsed, codes
from unscene.video.mpeg4.layer import Layer, layer_of
from unscene.video.mpeg4.motion import ParsedFrame, ParsedPackets
from unscene.video.mpeg4.picture import ends, picture_of
from unscene.video.packets import open_container
from unscene.video.sampling import Request

Parsed = list[tuple[int, int]]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Parsed:
    """Grows by (place of the picture, its quantiser) for every picture whose vectors are parsed."""
    seen: Parsed = []
    original = ParsedFrame.read_vectors

    def spy(self: ParsedFrame, *rest: Any) -> None:
        original(self, *rest)
        if not self.key_frame:
            seen.append((self.picture.place, self.picture.quantiser))

    monkeypatch.setattr(ParsedFrame, "read_vectors", spy)
    return seen


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Motion, Motion]]:
    """both(path, at, frames) -> motion as it is read, and with FFmpeg alone."""

    def read(path: Path, at: float, frames: int) -> tuple[Motion, Motion]:
        request = Request(at, {"clip": tuple(range(frames))}, motion_only=("clip",))
        mine = read_clips(path, request)["clip"].motion
        with monkeypatch.context() as patch:
            patch.setattr(decode, "can_parse", lambda _: False)
            plain = read_clips(path, request)["clip"].motion
        assert mine is not None
        assert plain is not None
        return mine, plain

    return read


def assert_same(mine: Motion, plain: Motion) -> None:
    assert torch.equal(mine.vectors, plain.vectors)
    assert torch.equal(mine.valid, plain.valid)
    assert torch.equal(mine.frames, plain.frames)
    assert (mine.size, mine.exact) == (plain.size, plain.exact)


def mended(mine: Motion, plain: Motion) -> Motion:
    """FFmpeg forgets the fourth vector of a macroblock in front of a packet that begins with four
    (libavcodec/h263.c writes a zero over it, "FIXME"): there, and only there, ours stand."""
    differs = (mine.vectors != plain.vectors).any(-1)
    fourth = torch.zeros_like(differs)
    fourth[:, 1::2, 1::2] = True
    assert not (differs & ~fourth).any()
    assert not plain.vectors[differs].any()
    assert differs.float().mean() < 0.02
    vectors = torch.where(differs[..., None], mine.vectors, plain.vectors)
    return replace(plain, vectors=vectors)


def restless(frames: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """A texture that moves every which way, with noise, cuts and still corners: all kinds of
    macroblocks and codes."""
    rng = np.random.default_rng(3)
    scene = media.texture(size[0] + 64, size[1] + 64)
    for number in range(frames):
        dy, dx = rng.integers(0, 64, 2)
        luma = scene[dy : dy + size[0], dx : dx + size[1]].copy()
        half = size[1] // 2
        luma[:, half:] = scene[number % 32 :, number % 32 :][: size[0], : size[1] - half]
        noisy = rng.integers(0, 255, (24, 24))
        luma[8:32, 8:32] = noisy[: size[0] - 8, : size[1] - 8]
        luma[-16:, -32:] = 128
        yield luma


@pytest.mark.parametrize(
    "options",
    [
        {"g": "12"},
        {"g": "12", "flags": "+mv4", "mbd": "rd"},
        {"g": "12", "flags": "+mv4+qpel", "mbd": "bits"},
        {"g": "300", "b": "40k"},
        {"g": "12", "b": "4M", "qmin": "1"},
        {"g": "12", "mpeg_quant": "1", "trellis": "2"},
        {"g": "12", "ps": "120"},
        {"g": "12", "ps": "60", "flags": "+mv4+aic", "mbd": "rd"},
        {"g": "12", "lumi_mask": "0.3", "dark_mask": "0.3", "b": "150k"},
        {"g": "12", "me_range": "64", "qscale": "2"},
    ],
    ids=lambda options: " ".join(f"{k}={v}" for k, v in options.items()),
)
@pytest.mark.parametrize("size", [(96, 128), (90, 122)], ids=["whole", "odd"])
def test_vectors_are_those_of_the_decoder_bit_by_bit(
    tmp_path: Path,
    options: dict[str, str],
    size: tuple[int, int],
    parsed: Parsed,
    both: Callable[..., tuple[Motion, Motion]],
) -> None:
    path = media.write(tmp_path / "a.avi", restless(40, size), "mpeg4", options=options)
    mine, plain = both(path, 0.0, 40)
    if "ps" in options:
        plain = mended(mine, plain)
    assert_same(mine, plain)
    keys = int((~plain.valid.flatten(1).any(1)).sum())
    assert len(parsed) >= 40 - keys > 20
    assert mine.exact
    late, plain_late = both(path, 0.7, 9)
    assert_same(late, mended(late, plain_late) if "ps" in options else plain_late)


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv", "a.ts", "a.m4v"])
def test_containers_give_the_same_frames_at_the_same_times(
    tmp_path: Path, name: str, parsed: Parsed, both: Callable[..., tuple[Motion, Motion]]
) -> None:
    frames = list(restless(50, (64, 96)))
    path = media.write(tmp_path / name, frames, "mpeg4", options={"g": "8"})
    for at in (0.0, 0.31, 1.02, 1.9):
        assert_same(*both(path, at, 12))
    # A raw stream tells FFmpeg that it may hold frames back.
    assert len(parsed) > 30 or name == "a.m4v"


def test_only_what_is_wanted_is_read(tmp_path: Path, parsed: Parsed) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(100), "mpeg4", options={"g": "200"})
    request = Request(3.0, {"clip": (0, 1, 2)}, motion_only=("clip",))
    assert read_clips(path, request)["clip"].motion is not None
    assert len(parsed) == 3


@pytest.mark.parametrize(
    ("codec", "options"), [("mpeg4", {"bf": "2", "g": "12"}), ("libx264", {"bf": "0"})]
)
def test_what_is_not_plain_is_left_to_the_decoder(
    tmp_path: Path,
    codec: str,
    options: dict[str, str],
    parsed: Parsed,
    both: Callable[..., tuple[Motion, Motion]],
) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(30), codec, options=options)
    assert_same(*both(path, 0.0, 20))
    assert parsed == []


@pytest.mark.parametrize("options", [{"flags": "+ilme+ildct"}, {"data_partitioning": "1"}])
def test_layers_that_cannot_be_read_are_told_apart(
    tmp_path: Path,
    options: dict[str, str],
    parsed: Parsed,
    both: Callable[..., tuple[Motion, Motion]],
) -> None:
    frames = restless(20, (96, 128))
    path = media.write(tmp_path / "a.avi", frames, "mpeg4", options={"g": "12", **options})
    assert_same(*both(path, 0.0, 20))
    with av.open(str(path)) as container, pytest.raises(Unparsed):
        layer_of(container.streams.video[0].codec_context.extradata or b"")
    assert parsed == []


@pytest.mark.parametrize("cut", [0.4, 0.8])
def test_damage_leaves_the_file_to_the_decoder(
    tmp_path: Path, cut: float, parsed: Parsed, both: Callable[..., tuple[Motion, Motion]]
) -> None:
    path = media.write(tmp_path / "a.avi", restless(40, (96, 128)), "mpeg4", options={"g": "40"})
    data = bytearray(path.read_bytes())
    place = int(len(data) * cut)
    data[place : place + 40] = bytes(range(7, 47))
    path.write_bytes(data)
    assert_same(*both(path, 0.0, 40))
    assert len(parsed) < 38  # until the damage


def packets(path: Path) -> tuple[bytes, list[bytes]]:
    with open_container(str(path)) as container:
        stream = container.streams.video[0]
        found = [bytes(packet) for packet in container.demux(stream) if packet.size]
        return stream.codec_context.extradata or b"", found


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


# -- files with pictures changed bit by bit -----------------------------------------------------

Change = Callable[[int, bytes], bytes | None]


def remux(source: Path, target: Path, change: Change, extradata: bytes | None = None) -> Path:
    """The same packets, each as `change(number, data)` has it; None leaves it out."""
    with av.open(str(source)) as read, av.open(str(target), "w") as out:
        stream = read.streams.video[0]
        copy = out.add_stream_from_template(stream)
        if extradata is not None:
            copy.codec_context.extradata = extradata
        numbered = enumerate(packet for packet in read.demux(stream) if packet.size)
        for number, packet in numbered:
            data = change(number, bytes(packet))
            if data is None:
                continue
            one = av.Packet(data)
            one.pts, one.dts, one.duration = packet.pts, packet.dts, packet.duration
            one.time_base, one.is_keyframe, one.stream = packet.time_base, packet.is_keyframe, copy
            out.mux(one)
    return target


def rewritten(data: bytes, skip: int, bits: str) -> bytes:
    """A picture whose header has other bits, `skip` behind its kind and its seconds."""
    at = data.index(b"\0\0\1\xb6") + 4
    head = f"{int.from_bytes(data[at : at + 16], 'big'):0128b}"
    place = head.index("0", 2) + skip
    head = head[:place] + bits + head[place + len(bits) :]
    return data[:at] + int(head, 2).to_bytes(16, "big") + data[at + 16 :]


@pytest.fixture
def footage(tmp_path: Path) -> tuple[Path, Layer]:
    """30 frames, a key frame each 12."""
    path = media.write(tmp_path / "a.avi", media.drift(30, (64, 96)), "mpeg4", options={"g": "12"})
    return path, layer_of(packets(path)[0])


def test_a_picture_that_is_not_coded_is_not_shown(
    tmp_path: Path,
    footage: tuple[Path, Layer],
    parsed: Parsed,
    both: Callable[..., tuple[Motion, Motion]],
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
    both: Callable[..., tuple[Motion, Motion]],
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
    both: Callable[..., tuple[Motion, Motion]],
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
    both: Callable[..., tuple[Motion, Motion]],
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
    both: Callable[..., tuple[Motion, Motion]],
) -> None:
    for name in ("b.avi", "b.mp4", "b.mkv"):
        made = remux(footage[0], tmp_path / name, lambda k, data: data if k not in (0, 3) else None)
        assert_same(*both(made, 0.0, 15))
    assert parsed


def test_codes_are_complete_and_runs_are_codes_one_after_another() -> None:
    for table in range(codes.INTRA_COEFFICIENT + 1):
        entries = codes.TABLES[table, : 1 << codes.BITS]
        # What begins no code is what begins with more zeros than any has.
        assert (np.flatnonzero(entries == 0) == np.arange((entries == 0).sum())).all()
        assert 0 < (entries == 0).sum() <= 128
    runs = (codes.INTER_RUN, codes.INTRA_RUN)
    for single, run in zip((codes.INTER_COEFFICIENT, codes.INTRA_COEFFICIENT), runs, strict=True):
        for bits in np.random.default_rng(1).integers(0, 1 << codes.RUN_BITS, 300):
            digits, place, value = f"{bits:0{codes.RUN_BITS}b}", 0, 0
            while value == 0:
                code = int(codes.TABLES[single, int(digits[place:].ljust(26, "0")[:12], 2)])
                if not code or place + (code & 15) > codes.RUN_BITS:
                    break
                if code >> 4 == codes.ESCAPED:
                    value = 0 if place else codes.ESCAPED
                    break
                place, value = place + (code & 15), code >> 4
            assert codes.TABLES[run, bits] == value << 4 | place, digits


def test_direct_blocks_of_b_frames_are_unknown_not_still(tmp_path: Path) -> None:
    """In a steady pan all of them are; FFmpeg hands them out as zeros."""
    frames = media.pan(24, (64, 96), (3, 0))
    path = media.write(tmp_path / "a.mkv", frames, "mpeg4", options={"bf": "2", "g": "12"})
    request = Request(0.0, {"clip": tuple(range(20))}, motion=("clip",))
    motion = read_clips(path, request)["clip"].motion
    assert motion is not None
    speeds = motion.vectors[..., 0][motion.valid]
    assert len(speeds) > 300
    assert ((speeds + 3).abs() < 1).float().mean() > 0.8


def test_stuffing_ends_a_picture() -> None:
    assert ends(b"\xab\x7f", 8, 2)
    assert ends(b"\xab\x7f\0\0", 8, 4)
    assert ends(b"\xa7", 4, 1)  # 1010 | 0111
    assert ends(b"\xab", 8, 1)
    assert not ends(b"\xa6", 4, 1)
    assert not ends(b"\xa7\x10", 4, 2)
    assert not ends(b"\xab\x7e", 8, 2)
    assert not ends(b"\xab", 16, 1)


def test_a_stream_without_key_frames_is_an_error_all_the_same(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.m4v", media.drift(5), "mpeg4", options={"g": "2"})
    data = path.read_bytes()
    starts = [k for k in range(len(data)) if data[k : k + 4] == b"\0\0\1\xb6"]
    pieces = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    path.write_bytes(data[: starts[0]] + b"".join(p for p in pieces if p[4] >> 6))
    with pytest.raises(VideoError):
        read_clips(path, Request(0.0, {"clip": (0,)}, motion_only=("clip",)))
