"""The page of the preview: filmstrips of anchor, positive, negative and flow, in one PNG.

    video name
    anchor     [frame with grid] [frame][frame][frame] ... [x-t slice]
    positive   [bent grid]       ...
    negative   [torn grid]       ...
    flow       [color wheel]     ...

The grid is graph paper (`tiles.draw_graph_paper`) that went through the same crop, warp and flow
scaling as the clip: it shows what happened to the clip, not what the settings say.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unscene.html.fonts import make_printable
from unscene.preview.tiles import (
    color_flow,
    cut_time_slice,
    draw_color_wheel,
    find_busiest_row,
    find_reach,
    overlay_flow,
    overlay_paper,
)
from unscene.views.picture import (
    FRAMES,
    GAP,
    PAGE,
    TILE,
    Image,
    brighten,
    filmstrip,
    pick_frames,
)

_LEFT, _SPACE, _HEAD, _NAME, _EDGE = 214, 16, 128, 44, 24  # px around the tiles
_INK, _FAINT = "#1b1f24", "#5d6670"
COLORS = {"anchor": "#3d4852", "positive": "#1f7a4d", "negative": "#b3362b", "flow": "#6b4fa0"}
COLORS["motion"] = COLORS["flow"]


@dataclass(frozen=True)
class VideoViews:
    """The images of one video.

    Attributes:
        name: shown above its rows.
        views: uint8 (T, h, w, 3) by name ("anchor", "positive", "negative"), see `to_rgb`.
        papers: uint8 (T, TILE, TILE, 3) by the same names: graph paper in place of the clip.
        flows: by name ("flow": of the clip from which the negative is made; "motion": to be
            predicted) float (F, h, w, 2), as from `view_flow`, and uint8 (F + 1, h, w, 3), the
            frames over which it is drawn.
    """

    name: str
    views: dict[str, Image]
    papers: dict[str, Image] = field(default_factory=dict)
    flows: dict[str, tuple[NDArray[np.float32], Image]] = field(default_factory=dict)


def draw_page(
    path: Path,
    videos: Sequence[VideoViews],
    titles: dict[str, str],
    *,
    heading: str,
    caption: str = "",
) -> None:
    """Write the picture as PNG.

    Args:
        path: a file name that ends in .png.
        videos: at least one.
        titles: rows to draw, in order, and a description of each.
        heading, caption: text above the rows.
    """
    page = _Page(titles, videos)
    for video in videos:
        page.add(video)
    page.write(path, heading, caption)


class _Page:
    """Tiles go into one array and text on top of it, so that tiles are never resampled."""

    def __init__(self, titles: dict[str, str], videos: Sequence[VideoViews]) -> None:
        self.titles = titles
        rows = [sum(self._has(v, name) for name in titles) for v in videos]
        self.strip_width = FRAMES * TILE + (FRAMES - 1) * GAP
        self.paper_x = _LEFT
        self.strip_x = _LEFT + TILE + _SPACE
        self.slice_x = self.strip_x + self.strip_width + _SPACE
        width = self.slice_x + TILE + _EDGE
        height = _HEAD + sum(_NAME + n * (TILE + 6) + 14 for n in rows) + 6
        self.canvas = np.full((height, width, 3), PAGE, dtype=np.uint8)
        self.texts: list[tuple[float, float, str, dict[str, Any]]] = []
        self.y = _HEAD

    @staticmethod
    def _has(video: VideoViews, name: str) -> bool:
        return name in video.views or name in video.flows

    def put(self, image: Image, x: int) -> None:
        self.canvas[self.y : self.y + image.shape[0], x : x + image.shape[1]] = image

    def write_text(self, x: float, y: float, text: str, **style: Any) -> None:
        self.texts.append((x, y, text, style))

    def add(self, video: VideoViews) -> None:
        views, lifted = brighten(video.views)
        self.canvas[self.y + 4 : self.y + 5, _EDGE:-_EDGE] = (222, 219, 212)
        self.write_text(_EDGE, self.y + 28, make_printable(video.name), weight="bold", size=15)
        if lifted:
            note = "dark footage: brightened in this picture only"
            right = self.strip_x + self.strip_width
            self.write_text(right, self.y + 28, note, color=_FAINT, size=13, ha="right")
        self.y += _NAME
        for name in self.titles:
            if not self._has(video, name):
                continue
            if name in video.flows:
                self._flow_row(*video.flows[name])
            else:
                self._view_row(views[name], video.papers.get(name))
            self.write_text(
                _EDGE, self.y + 26, name, color=COLORS.get(name, _INK), weight="bold", size=15
            )
            for i, line in enumerate(textwrap.wrap(self.titles[name], 23)):
                self.write_text(_EDGE, self.y + 50 + 17 * i, line, color=_FAINT, size=13)
            self.y += TILE + 6
        self.y += 14

    def _view_row(self, frames: Image, papers: Image | None) -> None:
        if papers is not None:
            self.put(overlay_paper(frames, papers), self.paper_x)
        self.put(filmstrip(frames[pick_frames(len(frames))]), self.strip_x)
        self._slice(frames, find_busiest_row(frames))

    def _slice(self, frames: Image, row: int) -> None:
        if len(frames) == 1:
            return
        self.put(cut_time_slice(frames, row), self.slice_x)
        # Ticks on both sides of the strip mark the row of the slice.
        mark = self.y + int((row + 0.5) / frames.shape[1] * TILE)
        for x in (self.strip_x - 7, self.strip_x + self.strip_width + 2):
            self.canvas[mark - 1 : mark + 1, x : x + 5] = (40, 40, 40)

    def _flow_row(self, flow: NDArray[np.float32], clip: Image) -> None:
        reach = find_reach(flow)
        self.put(draw_color_wheel(), self.paper_x)
        colors = color_flow(flow, reach)
        still = bool((clip == clip[:1]).all())  # future motion, drawn over one frame
        row = find_busiest_row(colors if still else clip)
        colors = overlay_flow(brighten({"clip": clip})[0]["clip"], colors)
        if still:
            shown = pick_frames(len(colors))
        else:  # with every frame the motion that leads to it (with the first, the next motion)
            shown = [max(0, frame - 1) for frame in pick_frames(len(colors) + 1)]
        self.put(filmstrip(colors[shown]), self.strip_x)
        self._slice(colors, row)
        percent = f"full color: {reach * 50:.0f} % of width per step"
        self.write_text(_EDGE, self.y + TILE - 6, percent, color=_FAINT, size=10.5)

    def write(self, path: Path, heading: str, caption: str) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.write_text(_EDGE, 34, make_printable(heading, 110), weight="bold", size=21)
        self.write_text(_EDGE, 66, make_printable(caption, 200), color=_FAINT, size=14)
        for left, text in (
            (self.paper_x, "grid"),
            (self.strip_x, "time \u2192"),
            (self.slice_x, "one row, time \u2193"),
        ):
            self.write_text(left, _HEAD - 14, text, color=_FAINT, size=13)
        height, width = self.canvas.shape[:2]
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)  # a point is a pixel
        FigureCanvasAgg(figure)
        figure.figimage(self.canvas)
        for x, y, text, style in self.texts:
            figure.text(
                x / width,
                1 - y / height,
                text,
                parse_math=False,
                **({"color": _INK, "family": "DejaVu Sans", "va": "baseline"} | style),
            )
        figure.savefig(path, dpi=72, format="png")
