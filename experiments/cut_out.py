"""Which mask of what moves is better: change relative to the clip's own scene, or motion?

`unscene` pastes what moves in a clip onto the scene of another video. `background_swap` cuts it out
where a frame differs from the median of its clip; one could also cut along motion vectors. On
generated footage the pixels of the object are known, so each mask can be compared with the truth:
intersection over union, mean over frames and videos. A mask by motion is where vectors are longer
than a threshold. Several thresholds are tried, and the best over all seeds is kept. "codec" uses
the motion vectors of H.264 files as `prepare` writes them, "dis" uses DIS (fast).

    python experiments/cut_out.py            # rows in rows/cut_out.jsonl.gz and a table
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from codec_flow import begin, truth

from unscene.demo.run import FOOTAGE
from unscene.motion.flow import codec_flow, dis_flow
from unscene.results.rows import Row, write_rows
from unscene.results.statistics import score
from unscene.synthetic.generate import encode_video
from unscene.synthetic.plan import MovingScenes, render_video
from unscene.video.clip import Clip, ClipBatch
from unscene.video.decode import read_clips
from unscene.video.sampling import Request, clip_offsets
from unscene.views.augment import BasicAugmentation, make_view
from unscene.views.background_swap import segment_motion

FRAMES = 8
THRESHOLDS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)  # px of the file a frame of the file
Masks = dict[tuple[str, float], np.ndarray]  # (T-1, size, size) each


def main() -> None:
    args = begin("cut_out", __doc__, files=False)
    rows = []
    for twice in (1, 2):
        spec = of_size(twice)
        for stride in (1, 2):
            found = {seed: compared(spec, seed, args.videos, stride) for seed in args.seeds}
            rows += list(rows_of(found, f"{spec.size} px, stride {stride}"))
    write_rows(args.out, rows)
    for row in rows:
        low, high = row.ci95
        print(f"{row.split:18s} seed {row.seed} {row.method:14s} {row.value:.3f} "
              f"[{low:.3f}, {high:.3f}]")  # fmt: skip


def of_size(times: int) -> MovingScenes:
    """The demo's footage, `times` as large in every way."""
    low, high = FOOTAGE.object_size
    slow, fast = FOOTAGE.speed
    return replace(
        FOOTAGE,
        size=FOOTAGE.size * times,
        object_size=(low * times, high * times),
        speed=(slow * times, fast * times),
    )


def compared(
    spec: MovingScenes, seed: int, videos: int, stride: int
) -> dict[tuple[str, float], list[float]]:
    """For each mask its agreement with the truth, a number a video."""
    spec = replace(spec, train_videos=videos, seed=seed)
    offsets = clip_offsets(FRAMES, stride)
    agreed: dict[tuple[str, float], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as work:
        for index in range(videos):
            _, cover, _ = truth(spec, index, offsets)
            path = Path(work, f"{index}.mp4")
            encode_video(path, render_video(spec, "train", index)[0], fps=spec.fps)
            clip = read_clips(path, Request(0.0, {"clip": offsets}, motion=("clip",)))["clip"]
            for name, mask in masks(clip, spec.size, stride).items():
                true = cover[1:] > 0.5
                both, either = (true & mask).sum((1, 2)), (true | mask).sum((1, 2))
                agreed[name].append(float((both / np.maximum(either, 1)).mean()))
    return agreed


def masks(clip: Clip, size: int, stride: int) -> Masks:
    """What each way takes for moving, in all frames but the first."""
    assert clip.motion is not None
    view = BasicAugmentation.of("none", size)
    batch = ClipBatch.of([clip])
    parted = segment_motion(make_view(batch, view.center(batch.sizes), size=size))
    found: Masks = {("median", 0.0): parted.mask[0, 0, 1:].numpy() > 0.5}
    grid = max(32, size)
    for name, flow in (("codec", codec_flow(clip.motion, grid)), ("dis", dis_flow(clip, grid))):
        length = flow.float().norm(dim=-1) * (size / 2) / stride
        length = F.interpolate(length[:, None], (size, size), mode="bilinear")[:, 0]
        found |= {(name, least): (length > least).numpy() for least in THRESHOLDS}
    return found


def rows_of(found: dict[int, dict[tuple[str, float], list[float]]], split: str) -> Iterator[Row]:
    """Of each way its best threshold over all seeds."""
    names = next(iter(found.values()))
    for way in dict.fromkeys(name for name, _ in names):
        best = max(
            (least for name, least in names if name == way),
            key=lambda least: np.mean([np.mean(of[way, least]) for of in found.values()]),
        )
        for seed, of in found.items():
            one = score(np.array(of[way, best]), shares=False)
            name = f"{way}, > {best:g} px" if best else way
            yield Row(
                name, "moving scenes", split, "object", "iou", one.value, one.ci95, one.n, seed, 0.0
            )


if __name__ == "__main__":
    main()
