"""Decoded frames of a video: a single clip (Clip) and a batch of clips (ClipBatch).

Pixels stay as decoded: three uint8 planes, luma Y at full size and chroma U and V at half size in
both directions (YUV 4:2:0), 1.5 bytes per pixel. `views.render` converts them to RGB.

Convention
----------
In shapes, B is batch, T frames, H height, W width. Positions in a frame are normalized: x and y run
from -1 at the left/top edge of the frame to +1 at its right/bottom edge (edges, not pixel centers:
`align_corners=False`), so they mean the same at every size. Flow is in the same units and points
*back*: I(x, y, t+1) = I(x + Vx, y + Vy, t), equation 2 of the DSM paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.video.motion_vectors import Motion, MotionBatch, describe_tensors
from unscene.video.picture_format import Matrix

__all__ = ["Clip", "ClipBatch", "Matrix", "Motion", "MotionBatch"]


def _check_planes(y: Tensor, u: Tensor, v: Tensor, lead: int) -> None:
    for name, plane in (("y", y), ("u", u), ("v", v)):
        if plane.dtype != torch.uint8 or plane.ndim != lead + 2:
            raise ValueError(
                f"plane {name} must be uint8 with {lead + 2} axes, "
                f"got {plane.dtype} {list(plane.shape)}"
            )
    height, width = y.shape[-2:]
    chroma = (*y.shape[:-2], (height + 1) // 2, (width + 1) // 2)
    if u.shape != chroma or v.shape != chroma:
        raise ValueError(
            f"chroma planes of a {list(y.shape)} luma plane must be {list(chroma)}, "
            f"got {list(u.shape)} and {list(v.shape)}"
        )


@dataclass(frozen=True, repr=False)
class Clip:
    """T frames of one video.

    Attributes:
        y, u, v: uint8 planes (T, H, W) and (T, ceil(H/2), ceil(W/2)), upright (rotation applied);
            T is 0 if only motion vectors were requested (`Request.motion_only`).
        times: float64 (T,), presentation times in seconds.
        full_range: True if luma is 0..255, False if 16..235 (as in most video).
        matrix: the YUV -> RGB matrix of the stream.
        motion: the codec's motion vectors, if they were requested and the stream has them.
        flow: float16 (T-1, G, G, 2), flow between consecutive frames on a G x G grid over the
            frame, in normalized units, pointing back (eq. 2); filled in by `motion.flow`. A clip
            without frames may have the flow of the frames that its motion vectors were of.

    Raises:
        ValueError: dtypes or shapes do not fit together.

    >>> y, chroma = torch.zeros(2, 48, 64).byte(), torch.zeros(2, 24, 32).byte()
    >>> clip = Clip(y, chroma, chroma, times=torch.tensor([0.0, 0.04]).double())
    >>> len(clip), clip.size
    (2, (48, 64))
    >>> ClipBatch.of([clip, clip]).y.shape
    torch.Size([2, 2, 48, 64])
    """

    y: Tensor
    u: Tensor
    v: Tensor
    times: Tensor
    full_range: bool = False
    matrix: Matrix = "bt601"
    motion: Motion | None = None
    flow: Tensor | None = None

    def __post_init__(self) -> None:
        _check_planes(self.y, self.u, self.v, lead=1)
        if self.times.shape != self.y.shape[:1]:
            raise ValueError(f"times must be {[len(self.y)]}, got {list(self.times.shape)}")
        if self.flow is None:
            return
        pairs = len(self.y) - 1 if len(self.y) else len(self.flow)
        if self.flow.ndim != 4 or self.flow.shape[0] != pairs or self.flow.shape[-1] != 2:
            raise ValueError(f"flow must be ({pairs}, G, G, 2), got {list(self.flow.shape)}")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in luma pixels."""
        return self.y.shape[-2], self.y.shape[-1]

    def replace(self, **changes: object) -> Clip:
        """A copy with some attributes changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    __repr__ = describe_tensors


@dataclass(frozen=True, repr=False)
class ClipBatch:
    """B clips of the same number of frames; smaller frames are padded at the bottom and right.

    Attributes:
        y, u, v: uint8 (B, T, H, W) and (B, T, ceil(H/2), ceil(W/2)).
        sizes: int64 (B, 2), (H, W) of every clip without padding.
        full_range: bool (B,).
        bt709: bool (B,), True where the matrix is BT.709, else BT.601.
        flow: float16 (B, T-1, G, G, 2) as in Clip, or None if a clip has none.
        motion: motion vectors of all clips, or None if a clip has none; `views.codec_motion` turns
            them into maps of forward motion.

    Raises:
        ValueError: dtypes or shapes do not fit together.
    """

    y: Tensor
    u: Tensor
    v: Tensor
    sizes: Tensor
    full_range: Tensor
    bt709: Tensor
    flow: Tensor | None = None
    motion: MotionBatch | None = None

    def __post_init__(self) -> None:
        _check_planes(self.y, self.u, self.v, lead=2)
        if self.sizes.shape != (len(self.y), 2):
            raise ValueError(f"sizes must be {[len(self.y), 2]}, got {list(self.sizes.shape)}")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def frames(self) -> int:
        """T."""
        return self.y.shape[1]

    @property
    def device(self) -> torch.device:
        """Device of the planes."""
        return self.y.device

    @classmethod
    def of(cls, clips: Sequence[Clip]) -> ClipBatch:
        """Stack clips; smaller frames are padded to the largest height and width."""
        height = max(clip.size[0] for clip in clips)
        width = max(clip.size[1] for clip in clips)

        def stack(name: Literal["y", "u", "v"], rows: int, columns: int) -> Tensor:
            planes = [getattr(clip, name) for clip in clips]
            return torch.stack(
                [F.pad(p, (0, columns - p.shape[-1], 0, rows - p.shape[-2])) for p in planes]
            )

        flows = [clip.flow for clip in clips]
        present = [flow for flow in flows if flow is not None]
        motions = [clip.motion for clip in clips if clip.motion is not None]
        return cls(
            y=stack("y", height, width),
            u=stack("u", (height + 1) // 2, (width + 1) // 2),
            v=stack("v", (height + 1) // 2, (width + 1) // 2),
            sizes=torch.tensor([clip.size for clip in clips]),
            full_range=torch.tensor([clip.full_range for clip in clips]),
            bt709=torch.tensor([clip.matrix == "bt709" for clip in clips]),
            flow=torch.stack(present) if len(present) == len(flows) else None,
            motion=MotionBatch.of(motions) if len(motions) == len(clips) else None,
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> ClipBatch:
        """Apply `function` to every tensor (`.to(device)`, `.pin_memory()`, indexing)."""
        changed: dict[str, Any] = {
            field.name: value.map(function) if isinstance(value, MotionBatch) else function(value)
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }
        return replace(self, **changed)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> ClipBatch:
        """Move all tensors to a device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> ClipBatch:
        """Copy all tensors to pinned memory; DataLoader calls this."""
        return self.map(lambda tensor: tensor.pin_memory())

    def __getitem__(self, index: slice | Tensor) -> ClipBatch:
        """Select clips by a slice or an index tensor, not by a single int."""
        return self.map(lambda tensor: tensor[index])

    __repr__ = describe_tensors
