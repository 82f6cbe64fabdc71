"""Views as images: graph paper, flow colours, strips, time slices. `preview.page` lays them out.

Convention
----------
Images are uint8 RGB (..., h, w, 3). Flow is (T-1, h, w, 2), normalised units of what is shown, and
points back as everywhere; colours show where things MOVE, hence its negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unscene.video.clip import ClipBatch

Image = NDArray[np.uint8]
TILE, FRAMES, GAP = 128, 8, 3  # side of a tile in px, tiles of a filmstrip, px between tiles
PAGE = (250, 249, 246)  # the ground of the picture
_DARK = 0.25  # a video whose views are darker than this on average is lifted for display


def to_rgb(view: Tensor, mean: Sequence[float], std: Sequence[float]) -> Image:
    """Undo the normalisation: float (..., 3, T, h, w) -> uint8 (..., T, h, w, 3)."""
    shape = (3, 1, 1, 1)
    pixels = view.float().cpu() * torch.tensor(std).view(shape) + torch.tensor(mean).view(shape)
    image: Image = (pixels.clamp(0, 1) * 255).round().byte().movedim(-4, -1).contiguous().numpy()
    return image


def graph_paper(batch: ClipBatch, lines: int = 10) -> ClipBatch:
    """The batch with graph paper in the place of its pictures; all else stays.

    Views of it, drawn with a generator in the same state, get the same random parameters.
    """
    y = torch.full_like(batch.y, 16)
    for b, (height, width) in enumerate(batch.sizes.tolist()):
        cell = min(height, width) / lines
        thick = max(1.0, min(height, width) / 90)
        # Half a cell off the edge: what lies beyond the frame repeats the edge, not a line.
        down = ((torch.arange(height) + cell / 2) % cell < thick)[:, None]
        across = ((torch.arange(width) + cell / 2) % cell < thick)[None]
        y[b, :, :height, :width] = torch.where(down | across, 235, 16).byte()
    gray = torch.full_like(batch.u, 128)
    return replace(batch, y=y, u=gray, v=gray.clone())


def brighten(videos: dict[str, Image]) -> tuple[dict[str, Image], bool]:
    """Lift dark views so that people see something; (the views, whether that was done)."""
    pixels = np.concatenate([view.ravel() for view in videos.values()]) / 255
    if pixels.mean() >= _DARK:
        return videos, False
    white = max(float(np.quantile(pixels, 0.995)), 0.05)
    middle = float(np.clip(pixels / white, 0, 1).mean())
    gamma = float(np.clip(np.log(0.42) / np.log(max(middle, 1e-3)), 0.45, 1.0))
    table = np.clip(np.arange(256) / 255 / white, 0, 1) ** gamma * 255
    curve = table.round().astype(np.uint8)
    return {name: curve[view] for name, view in videos.items()}, True


def flow_colors(flow: NDArray[np.float32], reach: float) -> Image:
    """Flow (..., h, w, 2) as colours: hue where to, saturation how far, white still.

    Args:
        flow: points back.
        reach: length that gets the full colour.
    """
    x, y = -flow[..., 0].astype(np.float32), -flow[..., 1].astype(np.float32)
    strength = np.clip(np.hypot(x, y) / max(reach, 1e-6), 0, 1) ** 0.75  # small motion shows
    hue = (np.arctan2(y, x) / (2 * np.pi)) % 1.0
    hsv = np.stack([hue * 360, strength, 1 - 0.18 * strength], axis=-1).astype(np.float32)
    flat = cv2.cvtColor(hsv.reshape(1, -1, 3), cv2.COLOR_HSV2RGB).reshape(hsv.shape)
    image: Image = (flat * 255).round().astype(np.uint8)
    return image


def flow_wheel(size: int = TILE) -> Image:
    """The legend of `flow_colors`: the colour of a motion from the middle outwards."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis, axis)
    wheel = flow_colors(np.stack([-x, -y], axis=-1), 0.8)
    # An edge that fades over two pixels instead of stairs.
    inside = np.clip((0.88 - np.hypot(x, y)) * size / 4, 0, 1)[..., None]
    image: Image = (wheel * inside + np.array(PAGE) * (1 - inside)).round().astype(np.uint8)
    return image


def reach_of(flow: NDArray[np.float32]) -> float:
    """The length to give the full colour: what moves fast, never mere noise (1 % of a frame)."""
    return max(float(np.quantile(np.linalg.norm(flow, axis=-1), 0.99)), 0.02)


def fit(frames: Image, tile: int = TILE) -> Image:
    """Resize (T, h, w, 3) to squares."""
    how = cv2.INTER_AREA if frames.shape[1] > tile else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (tile, tile), interpolation=how) for frame in frames])


def steps(total: int, count: int = FRAMES) -> list[int]:
    """Which of `total` frames a strip shows: evenly, first and last included, none twice."""
    return sorted({round(i) for i in np.linspace(0, total - 1, min(count, total))})


def filmstrip(frames: Image, tile: int = TILE, gap: int = GAP) -> Image:
    """Frames (T, h, w, 3) side by side, with `gap` px of page between them."""
    space = np.full((tile, gap, 3), PAGE, dtype=np.uint8)
    parts = [part for frame in fit(frames, tile) for part in (frame, space)]
    return np.concatenate(parts[:-1], axis=1)


def busiest_row(frames: Image) -> int:
    """The image row in which most changes over time, smoothed over a tenth of the height."""
    if len(frames) < 2:
        return frames.shape[1] // 2
    change = np.abs(np.diff(frames.astype(np.float32).mean(axis=-1), axis=0)).mean(axis=0)
    # A small thing that moves far outweighs a wide one that flickers.
    change = np.sort(change, axis=1)[:, -max(1, change.shape[1] // 6) :].mean(axis=1)
    height = len(change)
    width = max(1, height // 10)
    smooth = np.convolve(change, np.ones(width) / width, mode="same")
    margin = height // 8  # borders change by rotation, not by anything that moves
    return margin + int(smooth[margin : height - margin].argmax()) if height > 8 else 0


def time_slice(frames: Image, row: int, tile: int = TILE) -> Image:
    """One image row of every frame, stacked downwards: smooth motion draws smooth lines."""
    lines = frames[:, row]
    return cv2.resize(lines, (tile, tile), interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def under_paper(frames: Image, papers: Image, tile: int = TILE) -> Image:
    """The frame whose graph paper is bent most over time, with that paper drawn over it."""
    moved = np.abs(papers.astype(np.float32) - papers[:1]).mean(axis=(1, 2, 3))
    lines = papers.mean(axis=(1, 2, 3))
    # Where much is pulled in from beyond the edge there are few lines left to see.
    index = int((moved * (lines / max(lines[0], 1.0)).clip(0, 1)).argmax())
    paper = fit(papers[index : index + 1], tile)[0].mean(axis=-1).astype(np.float32)
    low, high = np.quantile(paper, [0.05, 0.98])
    line = np.clip((paper - low) / max(high - low, 1.0), 0, 1)[..., None]
    frame = fit(frames[index : index + 1], tile)[0] * 0.62
    drawn = frame * (1 - line) + np.array([255, 236, 150]) * line
    image: Image = drawn.clip(0, 255).astype(np.uint8)
    return image


def under_flow(clip: Image, colors: Image) -> Image:
    """Flow colours (T-1, h, w, 3) as light on the frames (T, h, w, 3) that they lead to."""
    gray = clip[1:].astype(np.float32).mean(axis=-1, keepdims=True) / 255
    image: Image = (colors * (0.5 + 0.5 * gray)).round().astype(np.uint8)
    return image
