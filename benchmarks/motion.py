"""Motion as data: files to block fields without pixels, block fields to maps of a view, and what
descriptors that need no training cost beside decoding.

mv-extractor is measured if $UNSCENE_MVEXTRACTOR names a Python that has it (it must not share an
environment with this library: it brings its own FFmpeg and OpenCV).
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from harness import Options, Row, footage, frames_of, rate_of, turns
from reading import bare, prepared

from unscene.data.listing import open_catalog
from unscene.encoders import VideoEncoder, create_encoder, load_encoder
from unscene.evaluate.features import extract
from unscene.prepare.settings import TranscodeSettings
from unscene.video.clip import Clip, ClipBatch
from unscene.video.decode import read_clips
from unscene.video.motion_vectors import Motion, MotionBatch
from unscene.video.sampling import Request, TiledClipSampler, clip_offsets
from unscene.views import geometry
from unscene.views.augment import make_view
from unscene.views.codec_motion import motion_maps
from unscene.views.encoder_input import center_view

LITERATURE = 500  # frames/s on a CPU, which CMD's paper names for reading vectors
_EXTRACTOR = """
import sys
from mvextractor.videocap import VideoCap
for line in sys.stdin:
    frames, *paths = line.split("\\t")
    count = 0
    for path in paths:
        video = VideoCap()
        video.open(path.strip())
        video.set_decode_frames(frames == "frames")
        while video.read()[0]:
            count += 1
        video.release()
    print(count, flush=True)
"""


def run(options: Options) -> Iterator[Row]:
    with footage() as (paths, kind):
        yield from _fields(paths, kind, options.times(15, 3))
        yield from _prepared(paths, kind, options.times(15, 3))
        yield from _descriptors(paths, kind, options.times(9, 2))
        yield from _features(paths, kind, options.times(15, 3))
    yield _maps(options.times(15, 3))


def everything(frames: int) -> Request:
    """All vectors of a file."""
    return Request(0.0, {"motion": tuple(range(frames))}, motion_only=("motion",))


def _reading(requests: dict[str, Request]) -> Callable[[], None]:
    def all_of_them() -> None:
        for path, request in requests.items():
            read_clips(path, request)

    return all_of_them


def _decoding(lengths: dict[str, int]) -> Callable[[], None]:
    def all_of_them() -> None:
        for path, frames in lengths.items():
            bare(path, 0.0, frames)

    return all_of_them


def _fields(paths: list[str], kind: str, repetitions: int) -> Iterator[Row]:
    lengths = {path: frames_of(path) for path in paths}
    total = sum(lengths.values())
    requests = {path: everything(n) for path, n in lengths.items()}

    def opened_anew(some: list[str]) -> None:
        for path in some:
            # A step that has no divisor in common with the distance of key frames.
            for number in range(0, lengths_theirs[path], 25):
                bare(path, number / rate_of(path), 1, vectors=True, touch=True)

    # As CMD's authors prepare theirs: MPEG-4, a key frame each 12.
    as_theirs = TranscodeSettings(codec="mpeg4", short_side=0)
    with prepared(paths, as_theirs) as theirs, _extractor(paths) as extractor:
        lengths_theirs = {path: frames_of(path) for path in theirs}
        whole = {path: everything(n) for path, n in lengths_theirs.items()}
        mine, plain, on_theirs, anew, *others = turns(
            _reading(requests),
            _decoding(lengths),
            _reading(whole),
            lambda: opened_anew(theirs[:2]),
            *extractor,
            repetitions=repetitions,
        )
        frames_theirs = sum(lengths_theirs.values())
        single = sum(-(-lengths_theirs[path] // 25) for path in theirs[:2])
    note = f"{total} frames of {len(paths)} whole {kind}; one thread"
    as_cmd = f"{frames_theirs} frames of the same as MPEG-4 with a key frame each 12; one thread"
    against = [
        ("motion.fields", "bare PyAV: decode, no vectors", total / plain, "ours >= 10,000"),
        ("motion.literature", "what CMD's paper claims", LITERATURE, ""),
    ]
    names = ("mv-extractor, vectors only", "mv-extractor, frames too")
    for number, (name, seconds) in enumerate(zip(names, others, strict=False)):
        against.append((f"motion.extractor{number}", name, total / seconds, ""))
    for name, other, rate, target in against:
        yield _rate(name, total / mine, other, rate, target, repetitions, note)
    yield _rate(
        "motion.anew",
        frames_theirs / on_theirs,
        "a file opened anew for every frame, as CMD's loader",
        single / anew,
        "",
        repetitions,
        as_cmd,
    )


def _prepared(paths: list[str], kind: str, repetitions: int) -> Iterator[Row]:
    """The same of what `unscene prepare` writes; those of H.264 come out of FFmpeg's decoder."""
    decoder = "; what limits it is FFmpeg's decoder, which goes through every coefficient"
    for name, recipe, made, why in (
        ("motion.h264", TranscodeSettings(short_side=0), "H.264", decoder),
        ("motion.prepared", TranscodeSettings(), "H.264, short side 128 (the default)", decoder),
        ("motion.prepared_mpeg4", TranscodeSettings(codec="mpeg4"), "MPEG-4, short side 128", ""),
    ):
        with prepared(paths, recipe) as files:
            lengths = {path: frames_of(path) for path in files}
            requests = {path: everything(n) for path, n in lengths.items()}
            ours, plain = turns(_reading(requests), _decoding(lengths), repetitions=repetitions)
            megabytes = sum(Path(path).stat().st_size for path in files) / 1e6
        total = sum(lengths.values())
        note = (
            f"{total} frames of {len(files)} whole {kind}, as {made} ({megabytes:.1f} MB); one "
            "thread" + why
        )
        other = "bare PyAV: decode, no vectors"
        yield _rate(name, total / ours, other, total / plain, "ours >= 10,000", repetitions, note)


def _features(paths: list[str], kind: str, repetitions: int) -> Iterator[Row]:
    """Files to features by vectors, in CPU time: every frame in one clip; against the decoder."""
    with prepared(paths, TranscodeSettings(short_side=0)) as h264:
        for codec, files in (("mpeg4", paths), ("h264", h264)):
            yield from _features_of(files, codec, kind, repetitions)


def _features_of(files: list[str], codec: str, kind: str, repetitions: int) -> Iterator[Row]:
    videos = open_catalog(files).videos
    frames = sum(video.frames for video in videos)
    hof, hof_vectors = load_encoder("hof"), load_encoder("hof-vectors")
    network = load_encoder("motion-net", reads="vectors")

    def decode() -> None:
        for video in videos:
            bare(video.path, 0.0, video.frames, vectors=True)

    def describe(encoder: VideoEncoder) -> Callable[[], None]:
        return lambda: extract(encoder, videos, mode="clip", batch_size=32)

    def read_by(encoder: VideoEncoder) -> int:
        """Frames that clips span; the rest at the end of a file, too short for one, is not read."""
        tiles = TiledClipSampler(encoder.spec.frames, encoder.spec.stride)
        counts = (tiles.count(video.duration, rate_of(video.path)) for video in videos)
        return sum(counts) * encoder.spec.frames * encoder.spec.stride

    encoders = hof_vectors, network, hof
    sides = map(describe, encoders)
    alone, *seconds = turns(decode, *sides, repetitions=repetitions, clock=time.process_time)
    rates = [read_by(one) / spent for one, spent in zip(encoders, seconds, strict=True)]
    note = f"{frames} frames of {len(videos)} whole {kind}, {codec}; clips end to end; one thread"
    for row, name, rate in (
        ("hof", "hof-vectors", rates[0]),
        ("net", "motion-net --input vectors", rates[1]),
    ):
        for against, other, text, target in (
            ("decoder", frames / alone, "PyAV: decode with export_mvs, nothing else", ">= 0.9"),
            ("dis", rates[2], "hof: frames and DIS", ">= 20"),
        ):
            yield Row(
                name=f"motion.{row}_{against}_{codec}",
                what=f"file to features: {name}",
                ours=rate,
                alternative=other,
                against=text,
                unit="frames/CPU s",
                ratio=rate / other,
                target=target,
                repetitions=repetitions,
                note=note,
            )


def _rate(
    name: str, ours: float, against: str, other: float, target: str, repetitions: int, note: str
) -> Row:
    return Row(
        name=name,
        what="file to block fields, no pixels",
        ours=ours,
        alternative=other,
        against=against,
        unit="frames/s",
        ratio=ours / other,
        target=target,
        repetitions=repetitions,
        note=note,
    )


@contextmanager
def _extractor(paths: list[str]) -> Iterator[list[Callable[[], None]]]:
    """mv-extractor in a process that waits between its turns, its import not counted."""
    python = os.environ.get("UNSCENE_MVEXTRACTOR")
    if not python:
        yield []
        return
    with subprocess.Popen(
        [python, "-c", _EXTRACTOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(what: str) -> None:
            process.stdin.write("\t".join([what, *paths]) + "\n")
            process.stdin.flush()
            if not process.stdout.readline().strip():
                raise RuntimeError("mv-extractor stopped")

        ask("vectors")
        yield [lambda: ask("vectors"), lambda: ask("frames")]
        process.stdin.close()


def _descriptors(paths: list[str], kind: str, repetitions: int) -> Iterator[Row]:
    """CPU time, which says the same on a busy machine."""
    encoders = [create_encoder(name) for name in ("hof", "mbh", "hof+mbh", "color")]
    for encoder in encoders:
        spec = encoder.spec
        request = Request(1.0, {"clip": clip_offsets(spec.frames, spec.stride)})

        def read(request: Request = request) -> list[Clip]:
            return [read_clips(path, request)["clip"] for path in paths]

        batch = ClipBatch.of(read())
        view = make_view(batch, center_view(encoder).center(batch.sizes), size=spec.size)
        ours, reading = turns(
            partial(encoder, view), read, repetitions=repetitions, clock=time.process_time
        )
        yield Row(
            name=f"motion.{spec.name}",
            what=f"{spec.name} of clips that are decoded and shrunk already",
            ours=ours / len(paths) * 1e3,
            alternative=reading / len(paths) * 1e3,
            against="opening the file and decoding the clip",
            unit="CPU ms/clip",
            ratio=ours / reading,
            target="",
            repetitions=repetitions,
            note=f"{spec.frames} frames at stride {spec.stride}, {spec.size} px; "
            f"{len(paths)} {kind}; one thread",
        )


def _maps(repetitions: int) -> Row:
    """CMD's targets: for 8 videos a future and three others, 8 frames each, at 112 x 112."""
    videos, windows, frames, size = 8, 4, 8, 112
    generator = torch.Generator().manual_seed(0)
    shape = (frames, 30, 40)
    motions = [
        Motion(
            torch.randint(-40, 40, (*shape, 2), generator=generator) / 4,
            torch.rand(shape, generator=generator) > 0.1,
            torch.arange(frames),
            (240, 320),
            8,
            True,
        )
        for _ in range(videos * windows)
    ]
    batch = MotionBatch.of(motions)
    box = torch.tensor([[-0.5, -0.6, 0.4, 0.7]]).repeat(len(batch), 1)
    affine = geometry.compose(geometry.crop(box), geometry.flip(torch.ones(len(batch)) > 0))

    def ours() -> None:
        motion_maps(batch, affine, (size, size), limit=10)

    def a_frame_at_a_time() -> None:
        left, top, right, bottom = 80, 48, 224, 204
        for motion in motions:
            fields = (-motion.vectors * motion.valid[..., None]).numpy()
            for field in fields:
                pixels = field.repeat(8, axis=0).repeat(8, axis=1)[top:bottom, left:right]
                view = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_NEAREST)
                np.clip(view[:, ::-1] * np.float32([-size / 144, size / 156]), -10, 10) / 10

    mine, other = turns(ours, a_frame_at_a_time, repetitions=repetitions)
    total = videos * windows * frames
    return Row(
        name="motion.maps",
        what="block fields to maps of a view, 112 x 112, cropped and flipped",
        ours=total / mine,
        alternative=total / other,
        against="a frame at a time: paint blocks, crop, cv2.resize",
        unit="frames/s",
        ratio=other / mine,
        target="",
        repetitions=repetitions,
        note=f"{videos} videos x {windows} windows x {frames} frames; one thread",
    )
