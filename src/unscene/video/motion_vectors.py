"""A codec's motion vectors as tensors: of one clip (Motion) and of a batch of clips (MotionBatch).

Convention
----------
There is one field of vectors for every frame, on a grid of square blocks over the upright frame,
with block (0, 0) at the top left. Vectors are (x, y) in luma pixels of the coded frame and point
*back* one frame: I(x, y, t+1) = I(x + Vx, y + Vy, t), equation 2 of the DSM paper. Forward motion,
whose x is positive where the picture moves right, is their negative; see `views.codec_motion`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor


def describe_tensors(owner: object) -> str:
    """`__repr__` of a dataclass that holds tensors: dtypes and shapes instead of numbers.

    >>> vectors, valid = torch.zeros(1, 2, 3, 2), torch.ones(1, 2, 3, dtype=torch.bool)
    >>> Motion(vectors, valid, torch.arange(1), (16, 24), 8, True)  # doctest: +ELLIPSIS
    Motion(vectors=float32[1, 2, 3, 2], valid=bool[1, 2, 3], frames=int64[1], size=(16, 24), ...)
    """
    parts = []
    for field in fields(owner):  # type: ignore[arg-type]
        value = getattr(owner, field.name)
        if isinstance(value, Tensor):
            dtype = str(value.dtype).removeprefix("torch.")
            parts.append(f"{field.name}={dtype}{list(value.shape)}")
        elif value is not None:
            parts.append(f"{field.name}={value!r}")
    return f"{type(owner).__name__}({', '.join(parts)})"


@dataclass(frozen=True, repr=False)
class Motion:
    """Motion vectors of L consecutive frames of one video, T of which are the frames of a clip.

    Attributes:
        vectors: float32 (L, Hb, Wb, 2), (x, y) in luma pixels, pointing back one frame (eq. 2).
        valid: bool (L, Hb, Wb); False for blocks without a vector (intra-coded).
        frames: int64 (T,), index of each frame of the clip among the L frames.
        size: (H, W) of the coded frame. Vectors and blocks are measured in its pixels, even if the
            clip's planes were shrunk.
        block: side of a block in luma pixels.
        exact: True if the stream has one reference frame, no B-frames and no interlaced pictures:
            every vector is then the motion since the previous frame. Otherwise it is an estimate,
            averaged over the distance to the reference (see `vectors`).

    Raises:
        ValueError: `vectors` or `valid` has another shape.
    """

    vectors: Tensor
    valid: Tensor
    frames: Tensor
    size: tuple[int, int]
    block: int
    exact: bool

    def __post_init__(self) -> None:
        if self.vectors.ndim != 4 or self.vectors.shape[-1] != 2:
            raise ValueError(f"vectors must be (L, Hb, Wb, 2), got {list(self.vectors.shape)}")
        if self.valid.shape != self.vectors.shape[:-1]:
            raise ValueError(
                f"valid must be {list(self.vectors.shape[:-1])}, got {list(self.valid.shape)}"
            )

    __repr__ = describe_tensors


@dataclass(frozen=True, repr=False)
class MotionBatch:
    """Motion vectors of B clips of L frames; smaller grids are padded at the bottom and right.

    Attributes:
        vectors: float16 (B, L, Hb, Wb, 2), as in Motion; quarter pixels are exact up to 512 px.
        valid: bool (B, L, Hb, Wb); False in the padding.
        frames: int64 (B, T), index of each clip's frames among the L frames.
        sizes: int64 (B, 2), (H, W) of the coded frames.
        exact: bool (B,), see Motion.
        block: side of a block in luma pixels.
    """

    vectors: Tensor
    valid: Tensor
    frames: Tensor
    sizes: Tensor
    exact: Tensor
    block: int

    def __post_init__(self) -> None:
        if self.vectors.ndim != 5 or self.vectors.shape[-1] != 2:
            raise ValueError(f"vectors must be (B, L, Hb, Wb, 2), got {list(self.vectors.shape)}")
        batch = len(self.vectors)
        wanted = {
            "valid": (self.valid.shape, self.vectors.shape[:-1]),
            "frames": (self.frames.shape[:1], (batch,)),
            "sizes": (self.sizes.shape, (batch, 2)),
            "exact": (self.exact.shape, (batch,)),
        }
        for name, (found, want) in wanted.items():
            if found != want:
                raise ValueError(f"{name} must be {list(want)}, got {list(found)}")

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def length(self) -> int:
        """L, the number of consecutive frames."""
        return self.vectors.shape[1]

    @property
    def device(self) -> torch.device:
        return self.vectors.device

    @classmethod
    def of(cls, motions: Sequence[Motion]) -> MotionBatch:
        """Stack the vectors of several clips.

        Raises:
            ValueError: they differ in L, T or the side of a block.
        """
        first = motions[0]
        for name, values in (
            ("L", {len(m.vectors) for m in motions}),
            ("T", {len(m.frames) for m in motions}),
            ("block", {m.block for m in motions}),
        ):
            if len(values) > 1:
                raise ValueError(f"clips of one batch differ in {name}: {sorted(values)}")
        rows = max(m.valid.shape[1] for m in motions)
        columns = max(m.valid.shape[2] for m in motions)
        return cls(
            vectors=torch.stack([_pad(m.vectors, rows, columns).half() for m in motions]),
            valid=torch.stack([_pad(m.valid[..., None], rows, columns)[..., 0] for m in motions]),
            frames=torch.stack([m.frames for m in motions]),
            sizes=torch.tensor([m.size for m in motions]),
            exact=torch.tensor([m.exact for m in motions]),
            block=first.block,
        )

    @classmethod
    def cat(cls, batches: Sequence[MotionBatch]) -> MotionBatch:
        """Concatenate batches (a clip's future and three other moments, for example)."""
        rows = max(b.valid.shape[2] for b in batches)
        columns = max(b.valid.shape[3] for b in batches)
        return cls(
            vectors=torch.cat([_pad(b.vectors, rows, columns) for b in batches]),
            valid=torch.cat([_pad(b.valid[..., None], rows, columns)[..., 0] for b in batches]),
            frames=torch.cat([b.frames for b in batches]),
            sizes=torch.cat([b.sizes for b in batches]),
            exact=torch.cat([b.exact for b in batches]),
            block=batches[0].block,
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> MotionBatch:
        """Apply `function` to every tensor."""
        changed = {
            field.name: function(value)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **changed)  # type: ignore[arg-type]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> MotionBatch:
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> MotionBatch:
        return self.map(lambda tensor: tensor.pin_memory())

    def __getitem__(self, index: slice | Tensor) -> MotionBatch:
        """Select clips by a slice or an index tensor, not by a single int."""
        return self.map(lambda tensor: tensor[index])

    __repr__ = describe_tensors


def _pad(field: Tensor, rows: int, columns: int) -> Tensor:
    """(..., Hb, Wb, C) to (..., rows, columns, C)."""
    return F.pad(field, (0, 0, 0, columns - field.shape[-2], 0, rows - field.shape[-3]))
