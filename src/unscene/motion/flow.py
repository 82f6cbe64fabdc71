"""Optical flow between the frames of a clip: from OpenCV's DIS or from the codec's motion vectors.

In: a clip, with motion vectors if they are to be used. Out: the clip with `flow` filled in.

Convention
----------
Flow is float16 (T-1, G, G, 2) on a G x G grid over the frame, (x, y) in normalized units (the frame
is 2 wide and 2 high). It points back in time, DSM paper, eq. 2:
I(x, y, t+1) = I(x + Vx, y + Vy, t). A picture that moves v pixels per frame to the right has
Vx = -2 v / W.

Sources: Kroeger et al., "Fast Optical Flow using Dense Inverse Search" (DIS), ECCV 2016, in OpenCV.
The DSM paper does not name its flow algorithm; DIS is our choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unscene.errors import UnsceneError
from unscene.motion.camera import fit_similarities, stabilize_flow
from unscene.video.clip import Clip, Motion, MotionBatch
from unscene.video.probe import VideoInfo
from unscene.video.vectors import BLOCK

DIS_LEAST = 32  # pixels along each side that DIS needs
Preset = Literal["ultrafast", "fast", "medium"]
Source = Literal["dis", "codec", "auto"]
# Least number of blocks along the short side of the picture. With 8, training on vectors is worse
# than on DIS; with 16, three seeds show no difference (experiments/LOG.md).
_BLOCKS = 14


class NoVectorsError(UnsceneError, ValueError):
    """Flow from the codec was requested for a clip without motion vectors."""


@lru_cache(maxsize=16)
def _dis(preset: Preset, size: tuple[int, int]) -> Any:
    """Return one DIS object per process, preset and size. It keeps its buffers between calls, but
    a small picture changes its scales for good, so objects are not shared between sizes."""
    import cv2

    if torch.utils.data.get_worker_info() is not None:
        cv2.setNumThreads(1)  # the workers already run in parallel
    presets = {
        "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
        "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
        "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
    }
    if preset not in presets:
        raise ValueError(f"DIS preset must be one of {sorted(presets)}, got {preset!r}")
    algorithm: Any = cv2.DISOpticalFlow.create(presets[preset])
    blank = np.zeros(size, np.uint8)
    # The first call alone uses the scales of the preset; so that all flow is alike, it is this one.
    algorithm.calc(blank, blank, None)
    return algorithm


def dis_flow(clip: Clip, grid: int = 112, preset: Preset = "fast") -> Tensor:
    """Estimate flow by dense inverse search on luma, resized to grid x grid whatever its aspect.

    Args:
        clip: T frames.
        grid: G; DIS needs at least 32.
        preset: about 0.2 (ultrafast), 0.5 (fast) or 2.5 ms (medium) per pair at 112 x 112. For
            smaller pictures OpenCV computes at full size, where fast takes 0.7 (36 x 36) or 2.2 ms
            (64 x 64).

    Returns:
        float16 (T-1, G, G, 2), on the CPU, normalized units, pointing back.

    Raises:
        ValueError: grid is below 32, or the preset is unknown.

    Source:
        Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search".

    >>> noise = torch.randint(0, 255, (1, 8, 9), generator=torch.Generator().manual_seed(0))
    >>> y = torch.nn.functional.interpolate(noise[None].float(), scale_factor=8, mode="bicubic")
    >>> y = y[0, 0].clamp(0, 255).byte()
    >>> luma = torch.stack([y[:, 4:68], y[:, :64]])  # moves 4 of 64 pixels to the right
    >>> chroma = torch.full((2, 32, 32), 128, dtype=torch.uint8)
    >>> flow = dis_flow(Clip(luma, chroma, chroma, torch.tensor([0.0, 0.04])), grid=64)
    >>> flow.shape, round(float(flow[..., 0].median()), 3)  # -2 * 4 / 64
    (torch.Size([1, 64, 64, 2]), -0.125)
    """
    import cv2

    if grid < DIS_LEAST:
        raise ValueError(f"DIS flow needs a grid of at least {DIS_LEAST}, got {grid}")
    shrinks = min(clip.size) >= grid
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    luma = [
        cv2.resize(frame, (grid, grid), interpolation=interpolation)
        for frame in clip.y.cpu().numpy()
    ]
    return torch.from_numpy(flow_between(np.stack(luma), preset).astype(np.float16))


def flow_between(luma: NDArray[np.uint8], preset: Preset = "fast") -> NDArray[np.float32]:
    """Estimate flow between consecutive gray pictures by dense inverse search, at their size.

    Args:
        luma: uint8 (T, H, W), H and W at least 32.
        preset: see `dis_flow`.

    Returns:
        float32 (T-1, H, W, 2), normalized units, pointing back.
    """
    frames, height, width = luma.shape
    algorithm = _dis(preset, (height, width))
    flow = np.zeros((frames - 1, height, width, 2), dtype=np.float32)
    for t, (before, after) in enumerate(pairwise(np.ascontiguousarray(luma))):
        # calc(a, b) finds V with a(x) = b(x + V): with the later frame first, V points back.
        flow[t] = algorithm.calc(after, before, None)
    return flow * np.array([2 / width, 2 / height], dtype=np.float32)


def codec_flow(
    motion: Motion, grid: int = 112, *, filled: bool = True, stabilize: bool = False
) -> Tensor:
    """Make flow from the codec's vectors, chained from each sampled frame to the previous one.

    See `accumulate_vectors`. Blocks without a vector count as still.

    Args:
        motion: vectors of L consecutive frames, T of which are sampled.
        grid: G.
        filled: give I-frames, which have no vectors, those of their neighbors (`fill_keyframes`);
            this lowers the error on moving pixels by a seventh (experiments/LOG.md). False: no
            motion in I-frames.
        stabilize: take the camera's motion out. Blocks without a vector then count as part of the
            scene, which the camera moves past.

    Returns:
        float16 (T-1, G, G, 2), normalized units, pointing back.

    >>> vectors = torch.zeros(3, 4, 4, 2)
    >>> vectors[..., 0] = -2.0  # every block of every frame was 2 px to the left
    >>> valid, frames = torch.ones(3, 4, 4).bool(), torch.tensor([0, 2])
    >>> motion = Motion(vectors, valid, frames, (64, 64), 16, True)
    >>> codec_flow(motion, grid=8)[0, 0, 0].tolist()  # two frames of -2 * 2 / 64
    [-0.125, 0.0]
    """
    height, width = motion.size
    rows, columns = motion.vectors.shape[1:3]
    total, valid = _chain(motion, filled=filled)
    field = total * (2 / torch.tensor([width, height]))
    if stabilize:
        field = stabilize_flow(field, weight=valid.float(), aspect=width / height)
        field *= valid[..., None]
    down = _between_blocks(rows, height / motion.block, grid)
    across = _between_blocks(columns, width / motion.block, grid, pairs=True)
    flow = down @ field.flatten(2) @ across.T  # (T-1, G, 2 G): x and y next to each other
    return flow.half().view(-1, grid, grid, 2)


def accumulate_vectors(motion: MotionBatch) -> tuple[Tensor, Tensor]:
    """Chain motion vectors from each sampled frame back to the previous sampled frame.

    Vectors of consecutive frames add up along the path: V_a..b(x) = v_b(x) + V_a..b-1(x + v_b(x)).
    All pairs are chained at once, in as many steps as the largest stride. Blocks without a vector
    count as still, and so does a step to an earlier frame (a clip that loops to the start).

    Args:
        motion: B clips of L frames, T of which are sampled.

    Returns:
        float32 (B, T-1, Hb, Wb, 2), pointing back, in luma pixels, for the blocks of the later
        frame; and bool (B, T-1, Hb, Wb), True where every step of the path had a vector.
    """
    batch, length, rows, columns, _ = motion.vectors.shape
    device = motion.device
    vectors = motion.vectors.float() * motion.valid[..., None]
    pairs = vectors.view(torch.float64).flatten()  # x and y move as one number
    known = motion.valid.flatten()
    last = motion.frames[:, 1:]
    strides = last - motion.frames[:, :-1]
    total = torch.zeros(*last.shape, rows, columns, 2, device=device)
    valid = (strides > 0)[..., None, None].expand(*last.shape, rows, columns).clone()
    x = torch.arange(columns, device=device) + 0.5
    y = torch.arange(rows, device=device)[:, None] + 0.5
    window = torch.arange(batch, device=device)[:, None] * length
    for step in range(int(strides.max()) if strides.numel() else 0):
        column = (total[..., 0] / motion.block).add_(x).floor_().clamp_(0, columns - 1)
        row = (total[..., 1] / motion.block).add_(y).floor_().clamp_(0, rows - 1)
        frame = (window + (last - step).clamp(min=0)) * (rows * columns)
        at = row.mul_(columns).add_(column).long().add_(frame[..., None, None])
        goes = (step < strides)[..., None, None]
        total += pairs[at].view(torch.float32).view(total.shape) * goes[..., None]
        valid &= known[at] | ~goes
    return total, valid


@lru_cache(maxsize=16)
def _between_blocks(blocks: int, extent: float, grid: int, pairs: bool = False) -> Tensor:
    """Make weights (G, blocks) of linear interpolation between the centers of blocks. The frame
    covers the first `extent` of them, and its border may cut the last. `pairs`: (2 G, 2 blocks),
    for values that are pairs of numbers."""
    place = ((torch.arange(grid) + 0.5) * (extent / grid) - 0.5).clamp(0, blocks - 1)
    distance = (place[:, None] - torch.arange(blocks)).abs()
    weights = (1 - distance).clamp(min=0)
    return torch.kron(weights, torch.eye(2)) if pairs else weights


def fill_keyframes(motion: Motion) -> Motion:
    """Copy vectors to frames that have none (I-frames) from the nearest frame that has some.

    The next frame comes first, then the previous one: motion continues across I-frames.
    """
    has = motion.valid.flatten(1).any(dim=1).numpy()
    if has.all() or not has.any():
        return motion
    nearest = torch.from_numpy(_find_sources(has))
    return replace(motion, vectors=motion.vectors[nearest], valid=motion.valid[nearest])


def _find_sources(has: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each frame the nearest one that has vectors, the later one first."""
    frames = np.arange(len(has))
    if has.all() or not has.any():
        return frames
    distance = np.abs(frames - frames[:, None]) * 2 - (frames > frames[:, None])
    distance[:, ~has] = 4 * len(has)
    return distance.argmin(axis=1)


def _chain(motion: Motion, *, filled: bool) -> tuple[Tensor, Tensor]:
    """`accumulate_vectors` of one clip on the CPU: (T-1, Hb, Wb, 2) and (T-1, Hb, Wb).

    Args:
        filled: as in `codec_flow`.
    """
    from unscene.motion.loops import chain

    vectors, valid, frames = (
        one.contiguous().numpy() for one in (motion.vectors, motion.valid, motion.frames)
    )
    shape = len(frames) - 1, *valid.shape[1:]
    total, known = torch.empty(*shape, 2), torch.empty(shape, dtype=torch.bool)
    source = np.arange(len(valid))
    if filled:
        source = _find_sources(np.asarray(valid.reshape(len(valid), -1).any(axis=1)))
    chain(vectors, valid, source, frames, motion.block, total.numpy(), known.numpy())
    return total, known


def view_vectors(motion: Motion, box: tuple[float, float], grid: int) -> Tensor:
    """Make the flow of an upright crop from the middle of the frame, without the camera's motion.

    It is what `codec_flow(stabilize=True)` and `views.flow.view_flow` make together, in one step.

    Args:
        motion: vectors of L consecutive frames, T of which are sampled.
        box: width and height of the crop as shares of the frame.
        grid: G.

    Returns:
        float32 (T-1, G, G, 2), normalized units of the crop, pointing back.

    >>> vectors = torch.zeros(2, 8, 8, 2)
    >>> vectors[:, 2:6, 2:6, 0] = -2.0  # a square moves to the right
    >>> frames = torch.arange(2)
    >>> motion = Motion(vectors, torch.ones(2, 8, 8).bool(), frames, (64, 64), 8, True)
    >>> flow = view_vectors(motion, (0.5, 0.5), 4)  # shows the square alone
    >>> [round(value, 3) for value in flow[0, 1, 1].tolist()]  # -2 * 2 / 32
    [-0.125, 0.0]
    """
    from unscene.motion.loops import stabilize_on_view

    chained, known = (one.numpy() for one in _chain(motion, filled=True))
    height, width = motion.size
    chained *= np.array([2 / width, 2 / height], np.float32)
    rows, columns = known.shape[1:]
    view = torch.empty(len(chained), grid, grid, 2)
    stabilize_on_view(
        chained,
        known,
        fit_similarities(chained, known, width / height)[0],
        *(2 / columns, 2 / rows),  # as the camera was fitted
        *_taps(rows, height / motion.block, box[1], grid),
        *_taps(columns, width / motion.block, box[0], grid),
        *(1 / box[0], 1 / box[1], view.numpy()),
    )
    return view


@lru_cache(maxsize=32)
def _taps(
    blocks: int, extent: float, share: float, grid: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each cell along an axis of a crop, the block before it and the share of the next one."""
    place = ((np.arange(grid) + 0.5) / grid - 0.5) * share + 0.5
    at = np.clip(place * extent - 0.5, 0, blocks - 1)
    first = np.minimum(at.astype(np.int64), max(blocks - 2, 0))
    return first, (at - first).astype(np.float32)


def add_stabilized_vectors(clip: Clip, *, grid: int) -> Clip:
    """Fill in the `flow` of a clip by its motion vectors, without the camera, and drop these.

    Args:
        clip: with `motion`; it needs no frames.
        grid: G.

    Raises:
        NoVectorsError: the clip has no vectors.
    """
    if clip.motion is None:
        raise NoVectorsError(
            "this clip carries no motion vectors: `unscene prepare` writes files that have some"
        )
    return clip.replace(flow=codec_flow(clip.motion, grid, stabilize=True), motion=None)


def make_flow_transform(size: int, source: Source = "dis") -> Callable[[Clip], Clip]:
    """Make a picklable `add_flow` for workers, on a grid as fine as views of `size` pixels.

    Finer flow would be lost in the view; DIS needs at least 32 x 32.
    """
    return partial(add_flow, source=source, grid=max(DIS_LEAST, size))


def add_flow(
    clip: Clip, source: Source = "auto", *, grid: int = 112, preset: Preset = "fast"
) -> Clip:
    """Fill in the `flow` of a clip and drop its motion vectors.

    Args:
        clip: with `motion` if source is "codec".
        source: "dis", "codec", or "auto": motion vectors if the stream has one reference and no
            B-frames and if the blocks are small compared with the picture, else DIS.
        grid: G.
        preset: of DIS.

    Raises:
        NoVectorsError: source is "codec" and the clip has no vectors.
        ValueError: source is unknown.
    """
    if source not in ("dis", "codec", "auto"):
        raise ValueError(f"flow source must be 'dis', 'codec' or 'auto', got {source!r}")
    motion = clip.motion
    if source == "codec" and motion is None:
        raise NoVectorsError(
            "flow 'codec': this clip carries no motion vectors; pass --flow auto or run "
            "`unscene prepare` on the folder"
        )
    if motion is not None and (source == "codec" or (source == "auto" and _serves(motion))):
        return clip.replace(flow=codec_flow(motion, grid), motion=None)
    return clip.replace(flow=dis_flow(clip, grid, preset), motion=None)


def has_usable_vectors(info: VideoInfo) -> bool:
    """Whether "auto" uses the vectors of a checked video, as far as is known before reading it."""
    return info.exact and min(info.width, info.height) >= _BLOCKS * BLOCK


def _serves(motion: Motion) -> bool:
    # A clip of I-frames only has no vectors.
    fine = min(motion.size) >= _BLOCKS * motion.block
    return motion.exact and fine and bool(motion.valid.any())
