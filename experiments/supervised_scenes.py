"""Can the motions of generated footage be learned at all? A supervised encoder as the ceiling.

r3d-narrow with a linear classifier, cross entropy, trained on footage whose motion and scene are
independent, tested on scenes that training never showed. Every video is decoded once and windows
are cut from memory, so that a CPU spends its time on training.

    python experiments/supervised_scenes.py --seed 0      # a row in rows/supervised_scenes.jsonl.gz
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from trained import ROWS, append

from unscene.data.catalog import Catalog, index_labels
from unscene.data.listing import open_catalog
from unscene.data.loading import Batch, ClipDataset, StepBatches
from unscene.data.sequential import SequentialBatches
from unscene.encoders import VideoEncoder, create_encoder
from unscene.results.rows import Row
from unscene.results.statistics import interval
from unscene.synthetic.generate import MovingScenes, generate
from unscene.video.clip import Clip
from unscene.video.decode import read_clips
from unscene.video.sampling import RandomClipSampler, Request, UniformClipSampler, clip_offsets
from unscene.views.augment import BasicAugmentation, make_view


class CachedClips(ClipDataset):
    """Windows cut from videos that were decoded once; the windows are those of ClipDataset."""

    def fill(self) -> CachedClips:
        self.whole: list[Clip] = []
        for video in self.videos:
            assert video.info is not None
            frames = round(video.duration * video.info.fps)
            self.whole.append(
                read_clips(video.path, Request(0.0, {"clip": clip_offsets(frames, 1)}))["clip"]
            )
        return self

    def _read(self, draw: int, index: int, rng: np.random.Generator) -> dict[str, Clip]:
        video, whole = self.videos[index], self.whole[index]
        assert video.info is not None
        fps = video.info.fps
        request = self.sampler.draw(video.duration, fps, rng, draw)
        first = max(
            0, math.ceil(request.at * fps - 0.5)
        )  # as read_clips: give or take half a frame
        at = (first + torch.tensor(request.offsets["clip"])) % len(whole)
        planes = {name: getattr(whole, name)[at] for name in ("y", "u", "v", "times")}
        return {"clip": whole.replace(**planes)}


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    spec = MovingScenes(
        train_videos=args.train_videos,
        seen_videos=0,
        unseen_videos=args.unseen_videos,
        correlation=0.0,
        object_size=tuple(args.object_size),
        speed=tuple(args.speed),
        seed=args.seed,
    )
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(args.footage or temporary) / f"scenes-{args.seed}"
        generate(out, spec, workers=1)
        train, unseen = (open_catalog(out / f"{split}.csv") for split in ("train", "unseen"))
        training = CachedClips(
            train.videos, RandomClipSampler(args.frames, args.stride), seed=args.seed
        ).fill()
        tested = CachedClips(
            unseen.videos,
            UniformClipSampler(args.frames, args.stride, args.clips),
            replace_failed=False,
        ).fill()
    torch.manual_seed(args.seed)
    encoder = create_encoder("r3d-narrow", width=args.width)
    encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    classifier = nn.Linear(encoder.dim, len(spec.motions))
    basic = BasicAugmentation(
        args.size, short_side=args.short_side, jitter=(args.jitter,) * 3 + (args.hue,)
    )
    began = time.perf_counter()
    _train(encoder, classifier, training, train, basic, args)
    seconds = time.perf_counter() - began
    hits = _hits(encoder, classifier, tested, unseen, basic, args.clips)
    row = Row(
        method="supervised",
        data="moving scenes, motion and scene independent",
        split="unseen",
        label="motion",
        metric="top1",
        value=float(hits.mean()),
        ci95=interval(hits),
        n=len(hits),
        seed=args.seed,
        seconds=round(seconds, 1),
        encoder="r3d-narrow",
        fingerprint=unseen.fingerprint(),
        views=args.clips,
        steps=args.steps,
        config={k: v for k, v in vars(args).items() if k not in ("footage", "out")},
    )
    append(args.out, [row])
    print(f"seed {row.seed}: top-1 {row.value:.4f}, 95 % {row.ci95}, n = {row.n}")


def _train(
    encoder: VideoEncoder,
    classifier: nn.Linear,
    data: CachedClips,
    catalog: Catalog,
    basic: BasicAugmentation,
    args: argparse.Namespace,
) -> None:
    labels = torch.tensor(index_labels(catalog.videos, "motion")[0])
    parameters = [*encoder.parameters(), *classifier.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=args.weight_decay)
    rise = args.steps // 20 + 1

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / rise) * 0.5 * (1 + math.cos(math.pi * step / args.steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    generator = torch.Generator().manual_seed(args.seed)
    running = 0.0
    for step, keys in enumerate(
        StepBatches(len(data), args.batch_size, seed=args.seed, steps=args.steps), start=1
    ):
        batch = Batch.of([data[key] for key in keys])
        clip = batch.clips["clip"]
        view = make_view(clip, basic.draw(clip.sizes, generator), size=basic.size)
        logits = classifier(encoder(_fast(view)))
        loss = F.cross_entropy(logits, labels[batch.index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        running += (loss.item() - running) * max(0.02, 1 / step)
        if step % 100 == 0:
            print(f"step {step}: loss {running:.3f}", flush=True)


@torch.inference_mode()
def _hits(
    encoder: VideoEncoder,
    classifier: nn.Linear,
    data: CachedClips,
    catalog: Catalog,
    basic: BasicAugmentation,
    clips: int,
) -> np.ndarray:
    """1 for every test video whose mean logits are highest at its motion."""
    encoder.eval()
    labels = torch.tensor(index_labels(catalog.videos, "motion")[0])
    sums = torch.zeros(len(data), classifier.out_features)
    for keys in SequentialBatches([clips] * len(data), 64):
        batch = Batch.of([data[key] for key in keys])
        clip = batch.clips["clip"]
        view = make_view(clip, basic.center(clip.sizes), size=basic.size)
        sums.index_add_(0, batch.index, classifier(encoder(_fast(view))))
    return (sums.argmax(dim=1) == labels).numpy().astype(np.float64)


def _fast(view: Tensor) -> Tensor:
    return view.contiguous(memory_format=torch.channels_last_3d)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in {
        **{"seed": 0, "steps": 1500, "size": 48, "frames": 8, "stride": 2, "clips": 4},
        **{"width": 16, "batch_size": 32, "train_videos": 400, "unseen_videos": 400, "threads": 1},
        **{"lr": 3e-3, "weight_decay": 0.01, "short_side": 1.1, "jitter": 0.5, "hue": 0.5},
    }.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--object_size", type=float, nargs=2, default=(20.0, 30.0))
    parser.add_argument("--speed", type=float, nargs=2, default=(2.0, 4.0))
    parser.add_argument("--footage", help="keep the footage in this folder and reuse it")
    parser.add_argument("--out", type=Path, default=ROWS / "supervised_scenes.jsonl.gz")
    return parser.parse_args()


if __name__ == "__main__":
    main()
