"""Clip, ClipBatch and Motion refuse what does not fit, and print shapes."""

from __future__ import annotations

import pytest
import torch

from unscene.video.clip import Clip, ClipBatch, Motion


def clip(frames: int = 3, height: int = 5, width: int = 7, **more: object) -> Clip:
    generator = torch.Generator().manual_seed(height * 100 + width)

    def plane(h: int, w: int) -> torch.Tensor:
        return torch.randint(0, 256, (frames, h, w), dtype=torch.uint8, generator=generator)

    half = ((height + 1) // 2, (width + 1) // 2)
    times = torch.arange(frames, dtype=torch.float64)
    return Clip(plane(height, width), plane(*half), plane(*half), times, **more)  # type: ignore[arg-type]


def motion(**more: object) -> Motion:
    parts: dict[str, object] = {
        "vectors": torch.zeros(5, 1, 2, 2),
        "valid": torch.zeros(5, 1, 2, dtype=torch.bool),
        "frames": torch.tensor([0, 4]),
        "size": (8, 16),
        "block": 8,
        "exact": True,
    }
    return Motion(**{**parts, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": torch.zeros(3, 5, 7)}, "plane y must be uint8"),
        ({"u": torch.zeros(3, 3, 4, dtype=torch.int8)}, "plane u must be uint8"),
        ({"y": torch.zeros(5, 7, dtype=torch.uint8)}, "plane y must be uint8 with 3 axes"),
        ({"u": torch.zeros(3, 2, 3, dtype=torch.uint8)}, r"must be \[3, 3, 4\]"),
        ({"v": torch.zeros(2, 3, 4, dtype=torch.uint8)}, r"must be \[3, 3, 4\]"),
        ({"times": torch.zeros(4)}, r"times must be \[3\]"),
        ({"flow": torch.zeros(3, 4, 4, 2)}, r"flow must be \(2, G, G, 2\)"),
        ({"flow": torch.zeros(2, 4, 4, 3)}, r"flow must be \(2, G, G, 2\)"),
    ],
)
def test_a_clip_whose_parts_disagree_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clip().replace(**change)


def test_motion_whose_parts_disagree_is_refused() -> None:
    with pytest.raises(ValueError, match="vectors must be"):
        motion(vectors=torch.zeros(5, 1, 2, 3))
    with pytest.raises(ValueError, match="valid must be"):
        motion(valid=torch.zeros(4, 1, 2, dtype=torch.bool))


def test_everything_prints_shapes_and_no_pixels() -> None:
    one = clip(flow=torch.zeros(2, 4, 4, 2, dtype=torch.float16), motion=motion())
    text = repr(one)
    assert "y=uint8[3, 5, 7]" in text
    assert "flow=float16[2, 4, 4, 2]" in text
    assert "vectors=float32[5, 1, 2, 2]" in text
    assert "y=uint8[2, 3, 5, 7]" in repr(ClipBatch.of([one, one]))
    assert "flow" not in repr(clip())
    for printed in (text, repr(ClipBatch.of([one]))):
        assert "tensor(" not in printed
        assert len(printed) < 500


def test_a_batch_pads_at_the_bottom_and_right_and_keeps_true_sizes() -> None:
    small, large = clip(height=5, width=7), clip(height=4, width=10, full_range=True)
    large = large.replace(matrix="bt709")
    batch = ClipBatch.of([small, large])
    assert batch.y.shape == (2, 3, 5, 10)
    assert batch.u.shape == (2, 3, 3, 5)
    assert batch.sizes.tolist() == [[5, 7], [4, 10]]
    assert batch.full_range.tolist() == [False, True]
    assert batch.bt709.tolist() == [False, True]
    assert torch.equal(batch.y[0, :, :5, :7], small.y)
    assert torch.equal(batch.v[1, :, :2, :5], large.v)
    assert not batch.y[0, :, :, 7:].any()
    assert not batch.y[1, :, 4:].any()
    assert len(batch) == 2
    assert batch.frames == 3


def test_a_batch_has_flow_only_if_every_clip_has() -> None:
    flowing = clip(flow=torch.ones(2, 4, 4, 2, dtype=torch.float16))
    both = ClipBatch.of([flowing, flowing]).flow
    assert both is not None
    assert both.shape == (2, 2, 4, 4, 2)
    assert ClipBatch.of([flowing, clip()]).flow is None


def test_indexing_takes_clips_out_of_every_part() -> None:
    clips = [clip(height=h, width=8) for h in (4, 6, 8)]
    batch = ClipBatch.of(clips)
    for index in (slice(1, 3), torch.tensor([1, 2]), torch.tensor([False, True, True])):
        part = batch[index]
        assert len(part) == 2
        assert part.sizes.tolist() == [[6, 8], [8, 8]]
        assert torch.equal(part.y, batch.y[1:])
    assert batch.to("cpu").device == torch.device("cpu")


def test_a_batch_whose_parts_disagree_is_refused() -> None:
    batch = ClipBatch.of([clip(), clip()])
    parts = {name: getattr(batch, name) for name in ("y", "u", "v", "full_range", "bt709")}
    with pytest.raises(ValueError, match="sizes must be"):
        ClipBatch(sizes=batch.sizes[:1], **parts)
    with pytest.raises(ValueError, match="chroma planes"):
        ClipBatch(sizes=batch.sizes, **{**parts, "u": batch.u[..., :-1]})
    with pytest.raises(RuntimeError):
        ClipBatch.of([clip(frames=3), clip(frames=4)])
