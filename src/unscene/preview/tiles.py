"""The tiles of the preview: graph paper, flow as colors, time slices. `page` arranges them.

Convention
----------
Images are uint8 RGB (..., h, w, 3). Flow is (T-1, h, w, 2) in normalized units of the view and
points back, as everywhere; its colors show the forward motion, hence its negative.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from unscene.video.clip import ClipBatch
from unscene.views.picture import PAGE, TILE, Image, resize_square


def draw_graph_paper(batch: ClipBatch, lines: int = 10) -> ClipBatch:
    """Replace the pictures of a batch by graph paper and keep everything else.

    Views of it, with a generator in the same state, have the same random parameters as views of
    the batch, so the bent paper shows what was done to the clip.
    """
    y = torch.full_like(batch.y, 16)
    for b, (height, width) in enumerate(batch.sizes.tolist()):
        cell = min(height, width) / lines
        thick = max(1.0, min(height, width) / 90)
        # Half a cell from the edge: beyond the frame its border repeats, which must not be a line.
        down = ((torch.arange(height) + cell / 2) % cell < thick)[:, None]
        across = ((torch.arange(width) + cell / 2) % cell < thick)[None]
        y[b, :, :height, :width] = torch.where(down | across, 235, 16).byte()
    gray = torch.full_like(batch.u, 128)
    return replace(batch, y=y, u=gray, v=gray.clone())


def color_flow(flow: NDArray[np.float32], reach: float) -> Image:
    """Show flow (..., h, w, 2) as colors: hue is the direction, saturation the length.

    Args:
        flow: points back.
        reach: length with full saturation; 0 is white.
    """
    x, y = -flow[..., 0].astype(np.float32), -flow[..., 1].astype(np.float32)
    strength = (
        np.clip(np.hypot(x, y) / max(reach, 1e-6), 0, 1) ** 0.75
    )  # small motion stays visible
    hue = (np.arctan2(y, x) / (2 * np.pi)) % 1.0
    hsv = np.stack([hue * 360, strength, 1 - 0.18 * strength], axis=-1).astype(np.float32)
    flat = cv2.cvtColor(hsv.reshape(1, -1, 3), cv2.COLOR_HSV2RGB).reshape(hsv.shape)
    image: Image = (flat * 255).round().astype(np.uint8)
    return image


def draw_color_wheel(size: int = TILE) -> Image:
    """Draw the legend of `color_flow`: the color of a motion from the center outward."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis, axis)
    wheel = color_flow(np.stack([-x, -y], axis=-1), 0.8)
    # The edge fades over two pixels, which avoids stairs.
    inside = np.clip((0.88 - np.hypot(x, y)) * size / 4, 0, 1)[..., None]
    image: Image = (wheel * inside + np.array(PAGE) * (1 - inside)).round().astype(np.uint8)
    return image


def find_reach(flow: NDArray[np.float32]) -> float:
    """Find the length for full saturation: a high quantile, but at least 1 % of the frame."""
    return max(float(np.quantile(np.linalg.norm(flow, axis=-1), 0.99)), 0.02)


def find_busiest_row(frames: Image) -> int:
    """Find the image row that changes most over time, smoothed over a tenth of the height."""
    if len(frames) < 2:
        return frames.shape[1] // 2
    change = np.abs(np.diff(frames.astype(np.float32).mean(axis=-1), axis=0)).mean(axis=0)
    # Only the strongest sixth: a small object that moves counts more than a wide flicker.
    change = np.sort(change, axis=1)[:, -max(1, change.shape[1] // 6) :].mean(axis=1)
    height = len(change)
    width = max(1, height // 10)
    smooth = np.convolve(change, np.ones(width) / width, mode="same")
    margin = height // 8  # rotation, not motion, changes the borders
    return margin + int(smooth[margin : height - margin].argmax()) if height > 8 else 0


def cut_time_slice(frames: Image, row: int, tile: int = TILE) -> Image:
    """Stack one image row of every frame downward: smooth motion gives smooth lines."""
    lines = frames[:, row]
    return cv2.resize(lines, (tile, tile), interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def overlay_paper(frames: Image, papers: Image, tile: int = TILE) -> Image:
    """Draw the graph paper over the frame in which it is bent most over time."""
    moved = np.abs(papers.astype(np.float32) - papers[:1]).mean(axis=(1, 2, 3))
    lines = papers.mean(axis=(1, 2, 3))
    # Frames that show much of what lies beyond the border have few lines to look at.
    index = int((moved * (lines / max(lines[0], 1.0)).clip(0, 1)).argmax())
    paper = resize_square(papers[index : index + 1], tile)[0].mean(axis=-1).astype(np.float32)
    low, high = np.quantile(paper, [0.05, 0.98])
    line = np.clip((paper - low) / max(high - low, 1.0), 0, 1)[..., None]
    frame = resize_square(frames[index : index + 1], tile)[0] * 0.62
    drawn = frame * (1 - line) + np.array([255, 236, 150]) * line
    image: Image = drawn.clip(0, 255).astype(np.uint8)
    return image


def overlay_flow(clip: Image, colors: Image) -> Image:
    """Tint frames (T, h, w, 3) by the colors (T-1, h, w, 3) of the flow that leads to them."""
    gray = clip[1:].astype(np.float32).mean(axis=-1, keepdims=True) / 255
    image: Image = (colors * (0.5 + 0.5 * gray)).round().astype(np.uint8)
    return image
