"""How should a video encoder search for motion vectors, so that they follow the motion?

A video encoder looks for what is cheap to code. `unscene prepare` uses hexagon search of x264. Here
the same videos are written with this and other searches, and their vectors are compared with

    moving scenes    the known motion (codec_flow.py), with and without noise as of dark footage
    real files       DIS (medium) between frames of the original, on a grid twice as fine: finer
                     than anything that reads the small file
    pans             fine grain that moves by 4 to 24 pixels per frame: which vectors are right?

DIS (fast), as DSM would compute it from the small file, is shown as well. Distances are in pixels
of a 112 x 112 frame, means over videos, on what moves and on what is still. Videos differ far more
than searches, so searches are also compared video by video: "of_hexagon" is the distance divided by
that of the search of `prepare`, the geometric mean over videos.

    python experiments/vectors.py                         # rows in rows/vectors.jsonl.gz

What is in the file is not run again.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path
from unittest.mock import patch

import av
import cv2
import numpy as np
import torch
from codec_flow import SIZE, Flow, begin, truth
from trained import DATA, append, footage_here, rows_in

from unscene.errors import VideoError
from unscene.motion.flow import codec_flow, dis_flow
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.transcode import transcode
from unscene.results.rows import Row
from unscene.results.statistics import score
from unscene.synthetic.plan import MovingScenes, render_video
from unscene.video.clip import Clip
from unscene.video.decode import read_clips
from unscene.video.sampling import Request, clip_offsets

# Options of x264 on top of those of `prepare` ("hexagon").
SEARCHES: dict[str, dict[str, str]] = {
    "hexagon": {},
    "diamond": {"motion-est": "dia"},
    "multi-hexagon": {"motion-est": "umh"},
    "exhaustive": {"motion-est": "esa"},
    "hexagon, crf 23": {"crf": "23"},
    "hexagon, whole macroblocks": {"partitions": "none"},
    "hexagon, preset medium": {"preset": "medium"},
}
SPEEDS = (4, 8, 12, 16, 24)  # of pans, pixels a frame
NOISE = 8.0  # standard deviation in gray levels
FOLDERS = ("ucf101_pool", "hmdb51_pool", "tabletennis8", "arid6")
OFFSETS = {1: clip_offsets(12, 1), 4: clip_offsets(5, 4)}
# Thresholds of what moves and what is still between frames 1 and 4 apart, in pixels.
MOVING, STILL = {1: 0.5, 4: 1.0}, {1: 0.1, 4: 0.25}
LEAST = 1e-3  # pixels; where nothing at all moves, distances may be 0
Errors = dict[tuple[str, int, str], list[float]]  # by method, stride and part, one of each video


def main() -> None:
    args = begin("vectors", __doc__)
    known = {(row["data"], row["seed"]) for row in rows_in(args.out)}
    with tempfile.TemporaryDirectory() as folder:
        for seed, noise in product(args.seeds, (0.0, NOISE)):
            data = "moving scenes, noise" if noise else "moving scenes"
            if (data, seed) not in known:
                errors = generated(Path(folder), seed, args.videos, noise)
                append(args.out, list(rows_of(errors, data, "endpoint_error_px", seed)))
                append(args.out, list(compared(errors, data, seed)))
        if ("pans", 0) not in known:
            append(args.out, list(pans(Path(folder))))
        if ("real files", 0) not in known and footage_here():
            every: Errors = defaultdict(list)
            rows: list[Row] = []
            for name in FOLDERS:
                errors = real(Path(folder), name, args.files)
                rows += rows_of(errors, name, "distance_to_fine_dis_px", 0)
                for key, values in errors.items():
                    every[key] += values
            append(args.out, rows + list(compared(every, "real files", 0)))


def generated(work: Path, seed: int, videos: int, noise: float) -> Errors:
    """Against the known motion."""
    spec = MovingScenes(
        train_videos=videos, size=SIZE, frames=40, object_size=(24.0, 40.0), seed=seed
    )
    grain = np.random.default_rng(seed)
    errors: Errors = defaultdict(list)
    for index in range(videos):
        frames = render_video(spec, "train", index)[0]
        added = grain.normal(0, noise, frames.shape[:3])[..., None]
        source = work / "source.mkv"
        _write(source, (frames + added).clip(0, 255).round().astype(np.uint8), spec.fps)
        known = {stride: truth(spec, index, offsets) for stride, offsets in OFFSETS.items()}
        for name, stride, flow in _found(source, work, 0.0, TranscodeSettings(short_side=0)):
            wanted, cover, whole = known[stride]
            parts = {"moving": cover[1:] > 0.5, "still": cover[1:] < 0.05}
            distance = np.linalg.norm(flow - wanted, axis=-1)
            for part, where in parts.items():
                errors[name, stride, part].append(float(distance[where & whole].mean()))
    return errors


def real(work: Path, folder: str, count: int) -> Errors:
    """Against finer flow of the original."""
    files = sorted(p for p in (DATA / folder).rglob("*") if p.suffix in (".mp4", ".avi"))
    errors: Errors = defaultdict(list)
    for path in files[:: max(1, len(files) // count)][:count]:
        try:
            fine = {stride: _fine(path, offsets) for stride, offsets in OFFSETS.items()}
            flows = list(_found(path, work, 0.2, TranscodeSettings(short_side=128)))
        except VideoError as error:
            print(f"left out: {error}")
            continue
        for name, stride, flow in flows:
            length = np.linalg.norm(fine[stride], axis=-1)
            parts = {"moving": length > MOVING[stride], "still": length < STILL[stride]}
            if min(where.mean() for where in parts.values()) < 0.01:
                continue  # there is nothing of one kind
            distance = np.linalg.norm(flow - fine[stride], axis=-1)
            for part, where in parts.items():
                errors[name, stride, part].append(float(distance[where].mean()))
    return errors


def pans(work: Path, videos: int = 8) -> Iterator[Row]:
    """How many vectors of a pan are right; a block without one is not."""
    source, target = work / "source.mkv", work / "target.mp4"
    recipe = TranscodeSettings(short_side=0)
    options, offsets = recipe.encoder_options(), OFFSETS[1]
    for speed, (name, further) in product(SPEEDS, SEARCHES.items()):
        right = []
        for seed in range(videos):
            grain = np.random.default_rng(seed).normal(128, 60, (128, 512)).astype(np.float32)
            blurred = 128 + 3 * (cv2.GaussianBlur(grain, (0, 0), 1.0) - 128)
            wide = blurred.clip(0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
            frames = [wide[:, speed * t :][:, :176] for t in range(len(offsets) + 1)]
            _write(source, np.stack(frames), 25)
            with patch.object(TranscodeSettings, "encoder_options", return_value=options | further):
                transcode(source, target, recipe)
            motion = _clip(target, 0.0, offsets, vectors=True).motion
            assert motion is not None
            # Behind the key frame, and away from the sides, where what comes in has no past. What
            # goes to the left was further to the right, which is where vectors point.
            inner = np.s_[1:, 2:-2, 4:-4]
            wanted = np.array([speed, 0], np.float32)
            near = np.abs(motion.vectors.float().numpy()[inner] - wanted).max(axis=-1) < 0.3
            right.append(float((near & motion.valid.numpy()[inner]).mean()))
        found = score(np.array(right))
        yield Row(
            name, "pans", "clips", "moving", "vectors_right", found.value, found.ci95, found.n, 0,
            0.0, test={"speed": speed},
        )  # fmt: skip
        print(f"pans {speed:2d} {name:28s} {found.value:.3f}")


def _found(
    source: Path, work: Path, at: float, recipe: TranscodeSettings
) -> Iterator[tuple[str, int, Flow]]:
    """Name, stride and flow in pixels of every search, of DIS fast and of claiming stillness."""
    options = recipe.encoder_options()
    target = work / "target.mp4"
    for name, further in SEARCHES.items():
        with patch.object(TranscodeSettings, "encoder_options", return_value=options | further):
            transcode(source, target, recipe)
        for stride, offsets in OFFSETS.items():
            clip = _clip(target, at, offsets, vectors=True)
            assert clip.motion is not None
            yield name, stride, _pixels(codec_flow(clip.motion, SIZE))
            if name == "hexagon":
                yield "dis fast", stride, _pixels(dis_flow(clip, SIZE, "fast"))
                yield "still", stride, np.zeros((len(offsets) - 1, SIZE, SIZE, 2), np.float32)


def _fine(path: Path, offsets: tuple[int, ...]) -> Flow:
    flow = dis_flow(_clip(path, 0.2, offsets), 2 * SIZE, "medium").float()
    return _pixels(torch.nn.functional.avg_pool2d(flow.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1))


def _clip(path: Path, at: float, offsets: tuple[int, ...], *, vectors: bool = False) -> Clip:
    motion = ("clip",) if vectors else ()
    return read_clips(path, Request(at, {"clip": offsets}, motion=motion))["clip"]


def _pixels(flow: torch.Tensor) -> Flow:
    pixels: Flow = flow.float().numpy() * (SIZE / 2)
    return pixels


def _write(path: Path, frames: np.ndarray, fps: int) -> None:
    """RGB frames, without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(fps))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def rows_of(errors: Errors, data: str, metric: str, seed: int) -> Iterator[Row]:
    """Means over videos. Rows of different strides differ in their `test`."""
    for (name, stride, part), values in errors.items():
        found = score(np.array(values), shares=False)
        yield Row(
            name, data, "clips", part, metric, found.value, found.ci95, found.n, seed, 0.0,
            test={"stride": stride},
        )  # fmt: skip
        print(f"{data:20s} stride {stride} {part:7s} {name:28s} {found.value:.3f} n {found.n}")


def compared(errors: Errors, data: str, seed: int) -> Iterator[Row]:
    """Distances as shares of the hexagon's."""
    for (name, stride, part), values in errors.items():
        if name in ("hexagon", "still"):
            continue
        own, other = (np.array(v) + LEAST for v in (values, errors["hexagon", stride, part]))
        found = score(np.log(own / other), shares=False)
        low, high = np.exp(found.ci95).tolist()
        yield Row(
            name, data, "clips", part, "of_hexagon", float(np.exp(found.value)), (low, high),
            found.n, seed, 0.0, test={"stride": stride},
        )  # fmt: skip


if __name__ == "__main__":
    main()
