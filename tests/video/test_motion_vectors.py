"""Windows of motion: alone, in batches, without pixels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import media
from unscene.video.clip import Clip, ClipBatch, Motion, MotionBatch
from unscene.video.decode import read_clips
from unscene.video.planes import FrameStack
from unscene.video.sampling import Request


def motion(rows: int = 2, columns: int = 3, length: int = 4, **more: object) -> Motion:
    generator = torch.Generator().manual_seed(rows * 10 + columns)
    quarters = torch.randint(-200, 200, (length, rows, columns, 2), generator=generator) / 4
    parts: dict[str, object] = {
        "vectors": quarters,
        "valid": torch.rand(length, rows, columns, generator=generator) > 0.3,
        "frames": torch.tensor([0, length - 1]),
        "size": (rows * 8 - 3, columns * 8),
        "block": 8,
        "exact": True,
    }
    return Motion(**{**parts, **more})  # type: ignore[arg-type]


def test_a_batch_pads_blocks_and_keeps_vectors_sizes_and_flags() -> None:
    small, wide = motion(2, 3), motion(1, 5, exact=False)
    batch = MotionBatch.of([small, wide])
    assert batch.vectors.shape == (2, 4, 2, 5, 2)
    assert batch.vectors.dtype == torch.float16
    assert torch.equal(batch.vectors[0, :, :, :3].float(), small.vectors)
    assert torch.equal(batch.vectors[1, :, :1].float(), wide.vectors)
    assert torch.equal(batch.valid[0, :, :, :3], small.valid)
    assert not batch.valid[0, :, :, 3:].any()
    assert not batch.valid[1, :, 1:].any()
    assert batch.sizes.tolist() == [[13, 24], [5, 40]]
    assert batch.exact.tolist() == [True, False]
    assert batch.frames.tolist() == [[0, 3], [0, 3]]
    assert (len(batch), batch.length) == (2, 4)


def test_batches_join_and_are_taken_apart_again() -> None:
    a, b = MotionBatch.of([motion(2, 3), motion(3, 2)]), MotionBatch.of([motion(4, 1)])
    both = MotionBatch.cat([a, b])
    assert both.vectors.shape == (3, 4, 4, 3, 2)
    part = both[torch.tensor([2])]
    assert torch.equal(part.vectors[:, :, :, :1], b.vectors)
    assert torch.equal(part.valid[:, :, :, :1], b.valid)
    assert part.sizes.tolist() == [[29, 8]]
    assert both[:2].block == 8
    assert both.to("cpu").device == torch.device("cpu")


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"differ in L: \[3, 4\]"):
        MotionBatch.of([motion(), motion(length=3)])
    with pytest.raises(ValueError, match=r"differ in block: \[8, 16\]"):
        MotionBatch.of([motion(), motion(block=16)])
    batch = MotionBatch.of([motion()])
    assert "vectors=float16[1, 4, 2, 3, 2]" in repr(batch)
    with pytest.raises(ValueError, match=r"sizes must be \[1, 2\]"):
        MotionBatch(batch.vectors, batch.valid, batch.frames, batch.sizes[0], batch.exact, 8)
    with pytest.raises(ValueError, match="vectors must be"):
        MotionBatch(batch.vectors[0], batch.valid, batch.frames, batch.sizes, batch.exact, 8)


def test_clips_carry_their_motion_into_the_batch_if_all_have_it(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.mp4", media.pan(12, (48, 64), (2, 0)), options=media.PAN)
    request = Request(0.0, {"clip": (0, 4), "plain": (0, 4)}, motion=("clip",))
    clips = read_clips(path, request)
    batch = ClipBatch.of([clips["clip"], clips["clip"]])
    assert batch.motion is not None
    assert batch.motion.vectors.shape == (2, 5, 6, 8, 2)
    kept = batch[1:].to("cpu").motion
    assert kept is not None
    assert len(kept) == 1
    assert ClipBatch.of([clips["clip"], clips["plain"]]).motion is None


@pytest.mark.parametrize("degrees", [0, 90])
def test_windows_of_motion_alone_copy_no_pixels(
    tmp_path: Path, degrees: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = media.write(tmp_path / "a.mp4", media.pan(30, (48, 64), (2, 0)), options=media.PAN)
    path = media.turn(path, degrees) if degrees else path
    copied: list[float] = []
    add = FrameStack.add
    monkeypatch.setattr(
        FrameStack, "add", lambda self, frame, time: (copied.append(time), add(self, frame, time))
    )
    offsets = {"clip": (0, 2), "future": tuple(range(5, 13)), "other": tuple(range(14, 22))}
    clips = read_clips(path, Request(0.0, offsets, motion_only=("future", "other")))
    assert len(copied) == 2
    whole = read_clips(path, Request(0.0, offsets, motion=("future", "other")))
    for name in ("future", "other"):
        clip, motion, same = clips[name], clips[name].motion, whole[name].motion
        assert len(clip) == 0
        assert clip.size == whole[name].size
        assert motion is not None
        assert same is not None
        assert torch.equal(motion.vectors, same.vectors)
        assert torch.equal(motion.valid, same.valid)
        assert motion.frames.tolist() == list(range(8))
    batch = ClipBatch.of([clips["future"], clips["other"]])
    assert batch.y.shape == (2, 0, *clips["clip"].size)
    assert batch.motion is not None


def test_motion_alone_loops_with_the_video_as_pixels_do(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.mp4", media.pan(10, (48, 64), (2, 0)), options=media.PAN)
    offsets = {"future": tuple(range(6, 14))}
    alone = read_clips(path, Request(0.0, offsets, motion_only=("future",)))["future"]
    whole = read_clips(path, Request(0.0, offsets, motion=("future",)))["future"]
    assert isinstance(alone, Clip)
    assert alone.motion is not None
    assert whole.motion is not None
    assert torch.equal(alone.motion.valid, whole.motion.valid)
    has = alone.motion.valid.flatten(1).any(dim=1).tolist()
    assert has == [True] * 4 + [False] + [True] * 3
