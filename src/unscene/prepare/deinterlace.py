"""Interlaced frames (two half-pictures taken one after the other) -> progressive frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

from av.error import BlockingIOError as AvBlockingIOError
from av.error import EOFError as AvEOFError
from av.filter import Graph
from av.video.frame import VideoFrame

Timed = tuple[VideoFrame, float]  # a frame and its presentation time in seconds


def deinterlace(frames: Iterator[Timed]) -> Iterator[Timed]:
    """Deinterlace the frames that are marked as interlaced (FFmpeg's filter bwdif).

    Number and times of the frames stay the same. Frames before the first interlaced one are
    returned unchanged.
    """
    graph, shape = None, None
    times = deque[float]()
    for frame, time in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame, time
            continue
        now = frame.width, frame.height, frame.format.name
        if graph is None or now != shape:
            yield from _flush(graph, times)
            graph, shape = _bwdif(frame), now
        times.append(time)
        frame.pts, frame.time_base = None, _TICK
        graph.vpush(frame)
        yield from _filtered(graph, times)
    yield from _flush(graph, times)


_TICK = Fraction(1, 1000)


def _bwdif(frame: VideoFrame) -> Graph:
    graph = Graph()
    graph.threads = 1
    graph.link_nodes(
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=_TICK
        ),
        graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _filtered(graph: Graph, times: deque[float]) -> Iterator[Timed]:
    while times:
        try:
            frame = graph.vpull()
        except (AvBlockingIOError, AvEOFError):
            return
        yield frame, times.popleft()


def _flush(graph: Graph | None, times: deque[float]) -> Iterator[Timed]:
    if graph is not None:
        graph.vpush(None)
        yield from _filtered(graph, times)
        times.clear()
