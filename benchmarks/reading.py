"""Reading: sampled windows, motion vectors, frames a second; against bare PyAV on one thread."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from harness import Options, Row, footage, frames_of, rate_of, turns

from unscene.data.listing import open_catalog
from unscene.encoders import create_encoder
from unscene.methods.registry import create_method, resolve
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.transcode import transcode
from unscene.video.decode import read_clips
from unscene.video.sampling import Request, clip_offsets

FRAMES, STRIDE = 16, 4
SPAN = (FRAMES - 1) * STRIDE + 1
VECTORS = {"flags2": "+export_mvs"}


def run(options: Options) -> Iterator[Row]:
    with footage() as (paths, kind):
        yield from _windows(paths, kind, options.times(15, 3))
        yield from _flow(paths, kind, options.times(15, 3))
        yield from _whole(paths, kind, options.times(15, 3))


def bare(
    path: str,
    at: float,
    frames: int,
    *,
    vectors: bool = False,
    reach: bool = False,
    touch: bool = False,
) -> int:
    """PyAV and nothing else: open, seek, decode `frames` frames from `at` on.

    Args:
        vectors: have FFmpeg export them.
        reach: get hold of every frame's vectors in the cheapest way that PyAV has.
        touch: turn every frame's vectors into an array, as PyAV's documentation does.
    """
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        if vectors:
            stream.codec_context.options = VECTORS
        tick, half = float(stream.time_base), 0.5 / float(stream.average_rate)
        origin = (stream.start_time or 0) * tick
        container.seek(int((at + origin) / tick), stream=stream, backward=True)
        count = 0
        for frame in container.decode(stream):
            stamp = frame.pts if frame.pts is not None else frame.dts
            if stamp is not None and stamp * tick - origin < at - half:
                continue
            if reach:
                SideDataContainer(frame).get("MOTION_VECTORS")
            if touch:
                data = frame.side_data.get("MOTION_VECTORS")
                if data is not None:
                    data.to_ndarray()
            count += 1
            if count == frames:
                break
        return count


@contextmanager
def prepared(paths: list[str], recipe: TranscodeSettings) -> Iterator[list[str]]:
    """The files as `unscene prepare` makes them, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="unscene-bench-") as folder:
        made = [str(Path(folder, f"{number}.mp4")) for number in range(len(paths))]
        for source, path in zip(paths, made, strict=True):
            transcode(source, Path(path), recipe)
        yield made


def _flow(paths: list[str], kind: str, repetitions: int) -> Iterator[Row]:
    """What DSM reads of a prepared video: the clip and the shifted clip, with flow."""
    with prepared(paths, TranscodeSettings()) as made:
        videos = open_catalog(Path(made[0]).parent).videos
        method = {
            flow: create_method(
                "dsm-triplet",
                create_encoder("r3d-narrow"),
                resolve("dsm-triplet", "default", {"flow": flow}),
            )
            for flow in ("codec", "dis")
        }
        data = {flow: made.dataset(videos) for flow, made in method.items()}

        def read(flow: str) -> Callable[[], None]:
            def all_of_them() -> None:
                for index in range(len(videos)):
                    data[flow][0, index]

            return all_of_them

        codec, dis = turns(read("codec"), read("dis"), repetitions=repetitions)
    yield Row(
        name="reading.flow",
        what="DSM's two clips of 16 frames at stride 4 with flow, 112 x 112",
        ours=len(paths) / codec,
        alternative=len(paths) / dis,
        against="flow by DIS fast instead of vectors",
        unit="videos/s",
        ratio=dis / codec,
        target="",
        repetitions=repetitions,
        note=f"{kind}, prepared (short side 128); one thread",
    )


def _windows(paths: list[str], kind: str, repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    places = []
    for path in paths:
        room = (frames_of(path) - SPAN - 4) / rate_of(path)
        places += [(path, float(rng.random() * max(0.0, room))) for _ in range(2)]
    offsets = {"clip": clip_offsets(FRAMES, STRIDE)}

    def ours(motion: tuple[str, ...] = ()) -> Callable[[], None]:
        def read() -> None:
            for path, at in places:
                read_clips(path, Request(at, offsets, motion=motion))

        return read

    def alternative(**how: bool) -> Callable[[], None]:
        def read() -> None:
            for path, at in places:
                bare(path, at, SPAN, **how)

        return read

    plain, moving, pyav, exported, reached = turns(
        ours(),
        ours(("clip",)),
        alternative(),
        alternative(vectors=True),
        alternative(vectors=True, reach=True),
        repetitions=repetitions,
    )
    rate = len(places) * SPAN
    yield Row(
        name="reading.windows",
        what=f"windows of {FRAMES} frames at stride {STRIDE}, as planes",
        ours=rate / plain,
        alternative=rate / pyav,
        against="bare PyAV: same seek, decode only",
        unit="frames/s",
        ratio=pyav / plain,
        target=">= 0.80",
        repetitions=repetitions,
        note=f"{len(places)} windows of {kind}; {SPAN} frames of each are counted",
    )
    yield Row(
        name="reading.vectors",
        what="motion vectors on top of a window",
        ours=moving / len(places) * 1e3,
        alternative=plain / len(places) * 1e3,
        against="the same without vectors",
        unit="ms/window",
        ratio=moving / plain,
        target="<= 1.15",
        repetitions=repetitions,
        note=(
            "read_clips, vectors of all frames of the window as block fields. On top of decoding, "
            f"of the time without vectors: FFmpeg's export {(exported - pyav) / plain:.0%}, PyAV's "
            f"wrapping of each frame's side data {(reached - exported) / plain:.0%}, the rest "
            f"(bytes, block fields) {(moving - plain - reached + pyav) / plain:.0%}"
        ),
    )


def _whole(paths: list[str], kind: str, repetitions: int) -> Iterator[Row]:
    lengths = {path: frames_of(path) for path in paths}
    # As training takes them: planes of each fourth frame, vectors of all.
    requests = {
        path: Request(0.0, {"clip": tuple(range(0, n, STRIDE))}, motion=("clip",))
        for path, n in lengths.items()
    }
    shown = {path: requests[path].offsets["clip"][-1] + 1 for path in paths}

    def ours() -> None:
        for path, request in requests.items():
            read_clips(path, request)

    def decode(touch: bool) -> Callable[[], None]:
        def read() -> None:
            for path, frames in shown.items():
                bare(path, 0.0, frames, vectors=True, touch=touch)

        return read

    mine, decoded, touched = turns(ours, decode(False), decode(True), repetitions=repetitions)
    total = sum(shown.values())
    counted = f"{total} frames of {len(paths)} whole {kind}: planes of each 4th, vectors of all"
    limit = (
        f"PyAV alone decodes {total / decoded:,.0f} frames/s here while FFmpeg exports vectors, "
        f"{decoded / total * 1e6:.0f} of our {mine / total * 1e6:.0f} us a frame"
    )
    yield Row(
        name="reading.frames",
        what="320x240 MPEG-4 with vectors, file to block fields",
        ours=total / mine,
        alternative=total / touched,
        against="PyAV in one pass, frame.side_data to arrays, no planes",
        unit="frames/s",
        ratio=touched / mine,
        target="ours >= 5,000",
        repetitions=repetitions,
        note=f"{counted}; one core; {limit}",
    )
