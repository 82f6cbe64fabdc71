"""Are motion vectors good enough for flow scaling? Compared with known motion, DIS, and the clock.

Generated footage: every pixel's motion between two sampled frames is known (the object moves, turns
or grows as a whole; the background is still). The error is the distance between the ends of the two
vectors, in pixels of a 112 x 112 frame, averaged over moving pixels (the object) and over still
ones. "held": I-frames, which have no vectors, take the motion of the next frame. "still" predicts
no motion at all.
Real files, as they are and as `unscene prepare` writes them: the distance to DIS (medium), and what
remains of the difference of two frames after the earlier one is warped along the flow (luma).
Milliseconds per clip: for motion vectors, the extra cost of reading them plus making flow of them.

    python experiments/codec_flow.py            # rows in rows/codec_flow.jsonl.gz and a table
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from trained import DATA, ROWS, append, footage_here

from unscene.errors import VideoError
from unscene.motion.flow import codec_flow, dis_flow
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.transcode import transcode
from unscene.results.rows import Row
from unscene.results.statistics import Score, score
from unscene.synthetic.generate import encode_video
from unscene.synthetic.plan import MOTIONS, MovingScenes, get_labels, get_truth, render_video
from unscene.video.clip import Clip
from unscene.video.decode import read_clips
from unscene.video.sampling import Request, clip_offsets
from unscene.views import geometry

SIZE = 112
Flow = np.ndarray  # float32 (T-1, 112, 112, 2), pixels, pointing back
SOURCES: dict[str, Callable[[Clip], torch.Tensor]] = {
    "codec": lambda clip: codec_flow(clip.motion, SIZE, filled=False),  # type: ignore[arg-type]
    "codec held": lambda clip: codec_flow(clip.motion, SIZE),  # type: ignore[arg-type]
    "dis ultrafast": lambda clip: dis_flow(clip, SIZE, "ultrafast"),
    "dis fast": lambda clip: dis_flow(clip, SIZE, "fast"),
    "dis medium": lambda clip: dis_flow(clip, SIZE, "medium"),
    "still": lambda clip: torch.zeros(len(clip) - 1, SIZE, SIZE, 2),
}
FAMILIES = {name: ("translate" if dx or dy else "turn" if spin else "grow or shrink")
            for name, (dx, dy, spin, _) in MOTIONS.items()}  # fmt: skip


def begin(name: str, text: str | None, *, files: bool = True) -> argparse.Namespace:
    """The flags of an experiment about vectors, `text` begins with what it is; one thread.

    Args:
        files: it reads real files, too.
    """
    parser = argparse.ArgumentParser(description=(text or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--videos", type=int, default=24, help="moving scenes a seed")
    if files:
        parser.add_argument("--files", type=int, default=16, help="real files of each folder")
    parser.add_argument("--out", type=Path, default=ROWS / f"{name}.jsonl.gz")
    torch.set_num_threads(1)
    import cv2

    cv2.setNumThreads(1)
    return parser.parse_args()


def main() -> None:
    args = begin("codec_flow", __doc__)
    for seed in args.seeds:
        rows = []
        with tempfile.TemporaryDirectory() as temporary:
            for stride in (1, 4):
                rows += known_motion(Path(temporary), seed, args.videos, stride)
        append(args.out, rows)
        show(rows)
    if footage_here():
        with tempfile.TemporaryDirectory() as temporary:
            rows = list(real_files(Path(temporary), args.files))
        append(args.out, rows)
        show(rows)


def known_motion(work: Path, seed: int, videos: int, stride: int) -> list[Row]:
    spec = MovingScenes(
        train_videos=videos, size=SIZE, frames=40, object_size=(24.0, 40.0), seed=seed
    )
    offsets = clip_offsets(16 if stride == 1 else 8, stride)
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    spent: dict[str, list[float]] = defaultdict(list)
    kinds = []
    for index in range(videos):
        kinds.append(FAMILIES[str(get_labels(spec, "train", index)["motion"])])
        known, cover, whole = truth(spec, index, offsets)
        path = work / f"{seed}-{index}.mp4"
        if not path.exists():
            encode_video(path, render_video(spec, "train", index)[0], fps=spec.fps)
            other = TranscodeSettings(short_side=0, codec="mpeg4")
            transcode(path, path.with_suffix(".mpeg4.mp4"), other)
        for coded, file in (("h264", path), ("mpeg4", path.with_suffix(".mpeg4.mp4"))):
            flows, costs, _ = measured(file, 0.0, offsets, coded == "h264")
            for name, flow in flows.items():
                name = f"{name} {coded}" if name.startswith("codec") else name
                distance = np.linalg.norm(flow - known, axis=-1)
                for part, where in (("moving", cover[1:] > 0.5), ("still", cover[1:] < 0.05)):
                    errors[name, part].append(float(distance[where & whole].mean()))
            for name, cost in costs.items():
                spent[f"{name} {coded}" if name.startswith("codec") else name].append(cost)
    return list(rows_of(errors, spent, kinds, "moving scenes", f"stride {stride}", seed))


def truth(
    spec: MovingScenes, index: int, offsets: tuple[int, ...]
) -> tuple[Flow, np.ndarray, np.ndarray]:
    """Known flow; how much of each pixel is the object, (T, 112, 112); where flow is defined: not
    where an object that grows starts again small."""
    painted = []
    for value in (0, 255):

        def plain(
            piece: np.ndarray, camera: np.ndarray, size: int, value: int = value
        ) -> np.ndarray:
            return np.full((len(camera), size, size, 3), value, np.float32)

        with patch("unscene.synthetic.draw.show_through_camera", plain):
            painted.append(render_video(spec, "train", index)[0][list(offsets)].astype(np.float32))
    cover = 1 - (painted[1] - painted[0]).mean(axis=-1) / 255
    course, size = get_truth(spec, "train", index), spec.size
    points = np.stack(np.meshgrid(*[np.arange(size) + 0.5] * 2), axis=-1)
    flow = np.zeros((len(offsets) - 1, size, size, 2), np.float32)
    whole = np.ones((len(offsets) - 1, 1, 1), bool)
    for k, (a, b) in enumerate(pairwise(offsets)):
        # A point of the object, seen from its middle, then put back to where and how it was.
        seen = (points - course.center[b] + size / 2) % size - size / 2
        turn = course.angle[a] - course.angle[b]
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        grown = course.scale[a] / course.scale[b]
        went = (course.center[a] - course.center[b] + size / 2) % size - size / 2
        flow[k] = np.where(cover[k + 1, ..., None] > 0.5, seen @ matrix.T * grown - seen + went, 0)
        whole[k] = abs(np.log(grown)) < 0.2 * (b - a)
    return flow, cover, whole


def measured(
    path: Path, at: float, offsets: tuple[int, ...], all_sources: bool
) -> tuple[dict[str, Flow], dict[str, float], dict[str, np.ndarray]]:
    """Of a clip by source: flow in pixels of 112 x 112; milliseconds; |frame - earlier frame moved
    along the flow|, luma (T-1, 112, 112)."""

    def read(motion: tuple[str, ...]) -> Clip:
        return read_clips(path, Request(at, {"clip": offsets}, motion=motion))["clip"]

    def clock(act: Callable[[], object]) -> float:
        took = []
        for _ in range(3):
            begun = time.process_time()
            act()
            took.append((time.process_time() - begun) * 1e3)
        return float(np.median(took))

    clip = read(("clip",))
    flows, costs, left = {}, {}, {}
    luma = F.interpolate(clip.y[:, None].float(), (SIZE, SIZE), mode="area")
    extra = max(0.0, clock(lambda: read(("clip",))) - clock(lambda: read(())))
    for name, source in SOURCES.items():
        if all_sources or name.startswith("codec"):
            flows[name] = source(clip).float().numpy() * (SIZE / 2)
            where = geometry.pixel_centers((SIZE, SIZE)) + source(clip).float()
            earlier = F.grid_sample(luma[:-1], where, padding_mode="border", align_corners=False)
            left[name] = (luma[1:] - earlier).abs()[:, 0].numpy()
            costs[name] = clock(lambda s=source: s(clip))  # type: ignore[misc]
            costs[name] += extra if name.startswith("codec") else 0
    return flows, costs, left


def real_files(work: Path, count: int) -> Iterator[Row]:
    """H.264 files, as they are (B-frames, several references) and as `prepare` writes them."""
    for folder, stride in (("arid6", 4), ("tabletennis8", 3)):
        files = sorted((DATA / folder).rglob("*.mp4"))
        errors: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(
            lambda: defaultdict(list)
        )
        spent: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for number, path in enumerate(files[:: max(1, len(files) // count)][:count]):
            try:
                prepared = work / f"{folder}-{number}.mp4"
                transcode(path, prepared, TranscodeSettings(short_side=128))
                both = {
                    kind: measured(file, 0.2, clip_offsets(8, stride), True)
                    for kind, file in (("as it is", path), ("prepared", prepared))
                }
            except VideoError as error:
                print(f"left out: {error}")
                continue
            for kind, (flows, costs, left) in both.items():
                length = np.linalg.norm(flows["dis medium"], axis=-1)
                parts = {"moving": length > 1, "still": length < 0.25}
                if min(where.mean() for where in parts.values()) < 0.01:
                    continue  # there is nothing of one kind
                for name, flow in flows.items():
                    distance = np.linalg.norm(flow - flows["dis medium"], axis=-1)
                    for part, where in parts.items():
                        errors[kind][name, part].append(float(distance[where].mean()))
                        errors[kind][name, f"{part}, luma"].append(float(left[name][where].mean()))
                for name, cost in costs.items():
                    spent[kind][name].append(cost)
        for kind in errors:
            yield from rows_of(errors[kind], spent[kind], None, f"{folder} {kind}", "clips", 0)


def rows_of(
    errors: dict[tuple[str, str], list[float]],
    spent: dict[str, list[float]],
    kinds: list[str] | None,
    data: str,
    split: str,
    seed: int,
) -> Iterator[Row]:
    """Means over videos."""
    distance = "endpoint_error_px" if kinds else "distance_to_dis_medium_px"

    def row(method: str, label: str, metric: str, found: Score) -> Row:
        return Row(
            method, data, split, label, metric, found.value, found.ci95, found.n, seed, 0.0,
            classes=found.classes,
        )  # fmt: skip

    for (name, part), values in errors.items():
        part, _, luma = part.partition(", ")
        metric = "luma_left" if luma else distance
        yield row(name, part, metric, score(np.array(values), labels=kinds, shares=False))
    for name, values in spent.items():
        yield row(name, "cost", "ms_per_clip", score(np.array(values), shares=False))


def show(rows: list[Row]) -> None:
    for row in rows:
        low, high = row.ci95
        each = ", ".join(f"{k} {v:.2f}" for k, v in row.classes.items())
        print(
            f"{row.data:24s} {row.split:9s} seed {row.seed} {row.method:18s} {row.label:7s} "
            f"{row.metric:26s} {row.value:7.2f} [{low:.2f}, {high:.2f}] n {row.n} {each}"
        )


if __name__ == "__main__":
    main()
