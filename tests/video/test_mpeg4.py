"""MPEG-4 part 2 read without a decoder: the same vectors as FFmpeg's, or FFmpeg's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mpeg4_files import Both, Parsed, assert_same, restless

import media
from unscene.video.clip import Motion
from unscene.video.decode import read_clips
from unscene.video.mpeg4 import Unparsed, codes
from unscene.video.mpeg4.layer import layer_of
from unscene.video.mpeg4.picture import ends
from unscene.video.sampling import Request


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
    both: Both,
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
    tmp_path: Path, name: str, parsed: Parsed, both: Both
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
    both: Both,
) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(30), codec, options=options)
    assert_same(*both(path, 0.0, 20))
    assert parsed == []


@pytest.mark.parametrize("options", [{"flags": "+ilme+ildct"}, {"data_partitioning": "1"}])
def test_layers_that_cannot_be_read_are_told_apart(
    tmp_path: Path,
    options: dict[str, str],
    parsed: Parsed,
    both: Both,
) -> None:
    frames = restless(20, (96, 128))
    path = media.write(tmp_path / "a.avi", frames, "mpeg4", options={"g": "12", **options})
    assert_same(*both(path, 0.0, 20))
    with av.open(str(path)) as container, pytest.raises(Unparsed):
        layer_of(container.streams.video[0].codec_context.extradata or b"")
    assert parsed == []


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
