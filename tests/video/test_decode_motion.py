"""The codec's motion vectors: sign, size, masks, rotation, loops, repeatability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import media
from unscene.errors import VideoError
from unscene.prepare.inspect import inspect
from unscene.video.clip import Motion
from unscene.video.decode import read_clips
from unscene.video.probe import VECTOR_CODECS, probe
from unscene.video.sampling import Request


def motion_of(path: Path, at: float = 0.0, offsets: tuple[int, ...] = (0, 1), **options) -> Motion:
    request = Request(at, {"clip": offsets, "other": (0,)}, motion=("clip",))
    clips = read_clips(path, request, **options)
    assert clips["other"].motion is None
    motion = clips["clip"].motion
    assert motion is not None
    return motion


@pytest.mark.parametrize("step", [(2, 0), (-3, 0), (0, 2), (4, -2)])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_pan_reads_its_own_speed_pointing_back(
    tmp_path: Path, codec: str, step: tuple[int, int]
) -> None:
    options = media.PAN if codec == "libx264" else {"g": "12", "bf": "0"}
    path = media.write(tmp_path / "pan.mp4", media.pan(24, (96, 128), step), codec, options=options)
    motion = motion_of(path, 0.0, tuple(range(0, 24, 4)))
    assert motion.exact
    assert motion.size == (96, 128)
    assert motion.vectors.shape == (21, 12, 16, 2)
    assert motion.frames.tolist() == list(range(0, 21, 4))
    kinds = media.decode(path).kinds
    for t in range(21):
        if kinds[t] == "I":
            assert not motion.valid[t].any()
            assert (motion.vectors[t] == 0).all()
        else:  # I(x, t+1) = I(x + V, t): a picture that moves right points left
            inner = motion.valid[t, 2:-2, 2:-2]
            assert inner.float().mean() > 0.8
            seen = motion.vectors[t, 2:-2, 2:-2][inner].median(dim=0).values
            assert seen.tolist() == [-step[0], -step[1]]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_vectors_turn_with_the_picture(tmp_path: Path, degrees: int) -> None:
    path = media.write(tmp_path / "a.mp4", media.pan(6, (64, 96), (2, 0)), options=media.PAN)
    flat = motion_of(path, 0.0, (0, 5))
    turned = motion_of(media.turn(path, degrees), 0.0, (0, 5))
    # Turned clockwise, a picture that pans right pans down, left, up.
    wanted = {90: [0, -2], 180: [2, 0], 270: [0, 2]}[degrees]
    assert turned.size == ((96, 64) if degrees != 180 else (64, 96))
    assert turned.vectors[turned.valid].median(dim=0).values.tolist() == wanted
    back = np.rot90(turned.valid.numpy(), degrees // 90, axes=(1, 2))
    np.testing.assert_array_equal(back, flat.valid.numpy())
    lengths = np.rot90(turned.vectors.norm(dim=-1).numpy(), degrees // 90, axes=(1, 2))
    np.testing.assert_allclose(lengths, flat.vectors.norm(dim=-1).numpy(), atol=1e-5)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_blocks_lie_where_they_are_seen_in_turned_pictures_of_any_size(
    tmp_path: Path, degrees: int
) -> None:
    height, width = 90, 122  # the last blocks are cut, and the first ones once it is turned
    square, frames = np.zeros((height, width), bool), []
    for t in range(6):
        luma = media.texture(height, width, 1)
        luma[24:56, 40 + 2 * t : 72 + 2 * t] = media.texture(32, 32, 5)
        frames.append(luma)
    square[24:56, 46:78] = True  # in frame 3
    path = media.write(tmp_path / "a.mp4", frames, options=media.PAN)
    motion = motion_of(media.turn(path, degrees), 0.0, (0, 5))
    moves = (motion.vectors[3].norm(dim=-1) > 1).numpy().repeat(8, 0).repeat(8, 1)
    upright = np.rot90(square, -degrees // 90)
    assert motion.size == upright.shape
    for axis in (0, 1):
        seen, true = (np.flatnonzero(each.any(axis)) for each in (moves, upright))
        # A macroblock around the square may move with it; the middle of all that moves fits.
        assert abs(seen.mean() - true.mean()) <= 4
        assert seen[0] - true[0] <= 4
        assert true[-1] - seen[-1] <= 4


def test_five_decodes_give_the_same_vectors(tmp_path: Path) -> None:
    options = {"bf": "3", "refs": "4", "g": "25"}
    path = media.write(tmp_path / "a.mp4", media.pan(40, (96, 128), (3, 1)), options=options)
    motions = [motion_of(path, 0.3, tuple(range(0, 28, 4))) for _ in range(5)]
    for other in motions[1:]:
        assert torch.equal(other.vectors, motions[0].vectors)
        assert torch.equal(other.valid, motions[0].valid)
    assert not motions[0].exact  # B-frames: a vector's length is not motion per frame


def test_vectors_keep_coded_pixels_when_planes_shrink(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.mp4", media.pan(6, (64, 96), (2, 0)), options=media.PAN)
    small = motion_of(path, 0.0, (0, 5), short_side=32)
    assert small.size == (64, 96)
    assert torch.equal(small.vectors, motion_of(path, 0.0, (0, 5)).vectors)


def test_where_a_segment_loops_no_vector_is_valid(tmp_path: Path) -> None:
    options = {**media.PAN, "g": "50"}
    path = media.write(tmp_path / "a.mp4", media.pan(30, (64, 96), (2, 0)), options=options)
    # Frames 5..9 of the file, then 5..9 again: frame 5 was coded after 4, not after 9.
    motion = motion_of(path, 0.0, tuple(range(10)), start=0.2, end=0.4)
    has = motion.valid.flatten(1).any(dim=1).tolist()
    assert has == [True] * 5 + [False] + [True] * 4


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("mpeg2video", {"g": "12", "bf": "2", "b_strategy": "0"}),
        ("libx264", {"g": "12", "bf": "2", "refs": "1", "b-pyramid": "none"}),
    ],
)
def test_a_pan_reads_its_speed_across_b_frames_and_says_that_it_is_no_measure(
    tmp_path: Path, codec: str, options: dict[str, str]
) -> None:
    frames = media.pan(24, (96, 128), (3, 1))
    path = media.write(tmp_path / "a.mkv", frames, codec, options=options)
    kinds = media.decode(path).kinds
    assert kinds.count("B") > 4
    motion = motion_of(path, 0.0, (0, 4, 8))
    assert not motion.exact
    for t in range(1, 9):
        inner = motion.valid[t, 2:-2, 2:-2]
        assert inner.float().mean() > 0.8
        seen = motion.vectors[t, 2:-2, 2:-2][inner].median(dim=0).values
        assert seen.tolist() == [-3, -1]


def test_several_references_are_no_measure_either(tmp_path: Path) -> None:
    options = {"bf": "0", "refs": "3", "g": "12"}
    path = media.write(tmp_path / "a.mp4", media.pan(12, (96, 128), (3, 1)), options=options)
    assert not motion_of(path).exact


@pytest.mark.parametrize(
    ("codec", "name", "options"),
    [
        ("libx264", "a.mp4", media.PAN),
        ("libx264", "a.ts", media.PAN),
        ("libx264", "a.h264", media.PAN),
        ("libx264", "a.mp4", {**media.PAN, "x264-params": "tff=1"}),
        ("libx264", "a.mp4", {"bf": "0", "refs": "3", "g": "12"}),
        ("libx264", "a.mp4", {"bf": "2", "refs": "1", "g": "12"}),
        ("mpeg4", "a.mp4", {"g": "12", "bf": "0"}),
        ("mpeg4", "a.mp4", {"g": "12", "bf": "0", "flags": "+ildct+ilme"}),
        ("mpeg2video", "a.mpg", {"g": "12", "bf": "0"}),
    ],
)
def test_the_reader_calls_exact_what_the_check_calls_ready(
    tmp_path: Path, codec: str, name: str, options: dict[str, str]
) -> None:
    frames = media.pan(20, (96, 128), (2, 0))
    path = media.write(tmp_path / name, frames, codec, options=options)
    found = inspect(path)
    assert motion_of(path).exact == (found.verdict == "ready"), found.reason


@pytest.mark.parametrize(
    ("codec", "suffix", "options"),
    [("libx264", "h264", media.PAN), ("libx264", "ts", media.PAN), ("mpeg4", "m4v", {"g": "12"})],
)
def test_vectors_of_pictures_of_two_sizes_have_no_common_grid(
    tmp_path: Path, codec: str, suffix: str, options: dict[str, str]
) -> None:
    path = tmp_path / f"ab.{suffix}"
    for name, size in (("a", (64, 96)), ("b", (128, 192))):
        part = tmp_path / f"{name}.{suffix}"
        kind = "m4v" if suffix == "m4v" else None
        media.write(part, media.pan(20, size, (2, 0)), codec, options=options, format=kind)
        with path.open("ab") as file:
            file.write(part.read_bytes())
    assert motion_of(path, 0.0, (0, 9)).size == (64, 96)
    with pytest.raises(VideoError, match="changes size inside a clip with motion vectors"):
        motion_of(path, 0.6, tuple(range(12)))
    if suffix != "ts":  # whose clock is set back: nothing is at 1.4
        with pytest.raises(VideoError, match="changes size"):
            motion_of(path, 1.4, tuple(range(12)))  # it continues at frame 0
        assert read_clips(path, Request(0.6, {"clip": (0, 11)}))["clip"].size == (128, 192)
    assert "changes size" in inspect(path).reason


@pytest.mark.parametrize(
    ("codec", "name", "size", "bf"),
    [
        ("libx264", "a.mp4", (90, 122), "0"),
        ("libx264", "a.mp4", (90, 122), "2"),
        ("mpeg4", "a.mp4", (91, 121), "0"),
        ("mpeg4", "a.mp4", (91, 121), "2"),
        ("mpeg1video", "a.mkv", (91, 121), "2"),
        ("mpeg2video", "a.mkv", (91, 121), "2"),
        ("flv", "a.flv", (91, 121), "0"),
        ("h263", "a.3gp", (144, 176), "0"),
        ("wmv2", "a.wmv", (90, 122), "0"),
    ],
)
def test_vectors_are_the_same_where_nobody_wants_pixels(
    tmp_path: Path, codec: str, name: str, size: tuple[int, int], bf: str
) -> None:
    frames = media.drift(30, size)
    path = media.write(tmp_path / name, frames, codec, options={"g": "12", "bf": bf})
    offsets = {"clip": tuple(range(2, 25))}
    alone = read_clips(path, Request(0.0, offsets, motion_only=("clip",)))["clip"]
    seen = read_clips(path, Request(0.0, offsets, motion=("clip",)))["clip"]
    assert alone.motion is not None
    assert seen.motion is not None
    assert alone.size == seen.size == size
    assert alone.motion.size == size
    assert torch.equal(alone.motion.vectors, seen.motion.vectors)
    assert torch.equal(alone.motion.valid, seen.motion.valid)
    assert alone.motion.valid.any()


@pytest.mark.parametrize(
    ("codec", "name"),
    [("libx265", "a.mp4"), ("libvpx-vp9", "a.webm"), ("mjpeg", "a.avi"), ("ffv1", "a.mkv")],
)
def test_codecs_without_vectors_say_so_and_name_the_remedy(
    tmp_path: Path, codec: str, name: str
) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = media.write(
        tmp_path / name, media.drift(4, (64, 64)), codec, pix_fmt=pix_fmt, options=options
    )
    assert not probe(path).vectors
    with pytest.raises(VideoError, match=r"carries no motion vectors.*--flow auto") as caught:
        motion_of(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("mpeg4", "a.avi"),
        ("mpeg2video", "a.mpg"),
        ("mpeg1video", "a.mkv"),
        ("flv", "a.flv"),
        ("h263", "a.3gp"),
        ("msmpeg4", "a.avi"),
        ("wmv1", "a.wmv"),
        ("wmv2", "a.wmv"),
        ("rv20", "a.rm"),
    ],
)
def test_vectors_are_promised_where_there_are_some(tmp_path: Path, codec: str, name: str) -> None:
    frames = media.pan(6, (144, 176), (2, 0))
    path = media.write(tmp_path / name, frames, codec, options={"g": "12"})
    info = probe(path)
    assert info.vectors == (info.codec in VECTOR_CODECS)
    assert info.vectors
    motion = motion_of(path, 0.0, (0, 5))
    assert motion.vectors[2][motion.valid[2]].median(dim=0).values.tolist() == [-2, 0]
