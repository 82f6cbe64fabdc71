"""Can the programs of generated figures be learned? A supervised end of the hard benchmark.

Histograms of the exact flow of whole videos (19 steps of 2/15 s, the camera standing), over time,
without a pixel being drawn, are what two classifiers learn labels from: logistic regression and a
small network. They are tested in new scenes, on the videos on which `hof+mbh` reads DIS flow.

    python experiments/supervised_figures.py --seeds 0 1 2
    python experiments/supervised_figures.py --seeds 0 1 2 --videos
    python experiments/supervised_figures.py --seeds 0 1 2 --name figures-relations \
        --footage '{"relations": ["approach", "follow", "mirror", "hand-over"]}'

With `--videos` the videos are drawn, and the same histograms are of DIS flow that is read from them
(the camera that moves, taken out).

The set of programs is the same in all footage: all seeds learn from 3200 viewings of the training
split of seed 0, and seed k is tested on the 160 new videos of footage k. Rows go to
experiments/rows/supervised_figures.jsonl.gz.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from trained import ROWS, append

from unscene.data.listing import open_catalog
from unscene.encoders import EncoderSpec, VideoEncoder, create_encoder
from unscene.encoders.flow_input import read_flow
from unscene.evaluate.features import extract
from unscene.motion.histograms import hof, mbh
from unscene.results.rows import build_rows
from unscene.results.statistics import score
from unscene.synthetic.figure_scenes import FigureScenes, get_world
from unscene.synthetic.generate import Split, generate
from unscene.synthetic.raster import paint_flow

GRID, CELLS, STRIDE = 32, (4, 4), 2
FRAMES, SIZE = 20, 112  # that are read of a video
PARTS, RATES = 6, 7  # parts of time; frequencies of what repeats


def describe_split(spec: FigureScenes, split: Split, kept: Path) -> NDArray[np.float32]:
    """Features (N, D) of all videos of a split; kept in a file."""
    if not kept.exists():
        found = [describe(spec, split, i).numpy() for i in range(spec.videos(split))]
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, np.stack(found))
    features: NDArray[np.float32] = np.load(kept)
    return features


def describe(spec: FigureScenes, split: Split, index: int) -> Tensor:
    """Histograms of the exact flow of a video: mean, over time, repeats, by height."""
    world = get_world(spec, split, index)
    ends = np.ascontiguousarray(world.ends[::STRIDE])
    return describe_flow(torch.from_numpy(paint_flow(ends, world.radius, GRID)))


def describe_flow(flow: Tensor) -> Tensor:
    """Histograms of the flow (T, H, W, 2) of a video: mean, over time, repeats, by height."""
    counted = torch.cat([hof(flow, CELLS), mbh(flow, CELLS)], dim=1).square()  # (T, 27, 4, 4)
    steps = counted.mean(dim=(2, 3)).sqrt()
    repeats = torch.fft.rfft(steps - steps.mean(dim=0), dim=0).abs()[1 : RATES + 1]
    parts = torch.stack([part.mean(dim=0) for part in steps.tensor_split(PARTS)])
    heights = counted.mean(dim=0)[:9].mean(dim=2).sqrt()
    return torch.cat([steps.mean(dim=0), repeats.flatten(), parts.flatten(), heights.flatten()])


class Described(VideoEncoder):
    """Those histograms of the DIS flow of a whole video, as an encoder."""

    def __init__(self) -> None:
        dim = len(describe_flow(torch.zeros(FRAMES - 1, GRID, GRID, 2)))
        spec = EncoderSpec("flow-over-time", {}, dim, frames=FRAMES, stride=STRIDE, size=SIZE)
        super().__init__(spec, stage_dims=(spec.dim,), minimum=(FRAMES, SIZE, SIZE))

    def forward(self, clip: Tensor) -> Tensor:
        """Features (B, D)."""
        flow = read_flow(clip, self.spec.mean, self.spec.std)
        cells = [F.adaptive_avg_pool2d(one.movedim(-1, 1), GRID).movedim(1, -1) for one in flow]
        return torch.stack([describe_flow(one) for one in cells])


def describe_videos(spec: FigureScenes, split: Split, kept: Path) -> NDArray[np.float32]:
    """As `describe_split`, of the flow that is read from the videos; they are drawn beside it."""
    if not kept.exists():
        train, unseen = (spec.train_videos, 0) if split == "train" else (1, spec.unseen_videos)
        spec = replace(spec, train_videos=train, unseen_videos=unseen)
        generate(kept.with_suffix(""), spec, workers=1)
        videos = open_catalog(kept.with_suffix("") / f"{split}.csv").videos
        found = extract(Described(), videos, clips=1, workers=1)
        programs = [spec.motions[i % spec.programs] for i in range(spec.videos(split))]
        assert found.labels("motion") == programs, "videos are missing or in another order"
        np.save(kept, found.values.numpy())
    features: NDArray[np.float32] = np.load(kept)
    return features


def main() -> None:
    args = _arguments()
    torch.set_num_threads(1)
    changes = json.loads(args.footage)
    spec = FigureScenes(seen_videos=0, train_videos=args.train_videos, **changes)
    read, flow = (describe_videos, "dis") if args.videos else (describe_split, "exact")
    work = args.work / f"{args.name}-{flow}"
    known = read(spec, "train", work / "train-0.npy")
    labels = np.arange(len(known)) % spec.programs
    for seed in args.seeds:
        asked = read(replace(spec, seed=seed), "unseen", work / f"unseen-{seed}.npy")
        truth = np.arange(len(asked)) % spec.programs
        logistic = LogisticRegression(C=0.1, max_iter=200)
        network = MLPClassifier(
            (256,), alpha=1.0, early_stopping=True, max_iter=60, random_state=seed
        )
        scores = {}
        for name, kind in (("logistic", logistic), ("network", network)):
            fitted = make_pipeline(StandardScaler(), kind).fit(known, labels)
            scores[f"{flow}/{name}_top1"] = score((fitted.predict(asked) == truth).astype(float))
        rows = build_rows(
            replace(create_encoder("hof+mbh").spec, frames=19, size=GRID),
            scores,
            data=args.name,
            split="unseen",
            label="motion",
            fingerprint=f"{flow} flow, seed {seed}",
            views=1,
            seed=seed,
            test={"train_videos": args.train_videos, **changes},
        )
        append(args.out, rows, "supervised")
        print(seed, {k: (round(s.value, 3), s.ci95) for k, s in scores.items()}, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--videos", action="store_true", help="read DIS flow of drawn videos")
    parser.add_argument("--train_videos", type=int, default=3200)
    parser.add_argument("--footage", default="{}", help="changes to the footage, as JSON")
    parser.add_argument("--name", default="figures", help="of the footage in the rows")
    parser.add_argument("--work", type=Path, default=Path("runs/supervised_figures"))
    parser.add_argument("--out", type=Path, default=ROWS / "supervised_figures.jsonl.gz")
    return parser.parse_args()


if __name__ == "__main__":
    main()
