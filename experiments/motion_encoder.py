"""A motion encoder that is taught by the flow of generated figures, and by no video.

Two viewings of one motion program (`synthetic.figures`) find each other among those of other
programs: InfoNCE in both directions. The network is `motion-net`, which reads stabilized flow, so
the same network then reads real videos.

    python experiments/motion_encoder.py --out runs/motion --steps 400 --seed 0
    unscene evaluate retrieve TEST --train TRAIN --encoder runs/motion --standardize

No video and no label is read. What it reached so far stands in LOG.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from unscene.encoders import VideoEncoder, create_encoder, save_encoder
from unscene.methods.contrastive import info_nce
from unscene.synthetic.measured_flow import draw_two_viewings, measure_flow

GRID, STEPS, RATE = 32, 12, 15.0  # cells, flows of a clip, flows a second
TEMPERATURE, DIM, LR, DECAY = 0.1, 64, 2e-3, 0.05


class Viewings(IterableDataset[Tensor]):
    """Batches (2 B, T, G, G, 2): B programs, and then the same programs in another viewing."""

    def __init__(self, batch_size: int, seed: int) -> None:
        self.batch_size, self.seed = batch_size, seed

    def __iter__(self) -> Iterator[Tensor]:
        torch.set_num_threads(1)
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        times = np.linspace(-STEPS / 2, STEPS / 2, STEPS + 1) / RATE
        while True:
            pairs = [draw_two_viewings(rng, times, GRID) for _ in range(self.batch_size)]
            sides = [torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True)]
            yield torch.cat([measure_flow(side, generator) for side in sides])


def contrast(features: Tensor) -> Tensor:
    """InfoNCE of 2 B features in both directions, among all others of the batch."""
    z, half = F.normalize(features, dim=1), len(features) // 2
    same = torch.eye(len(z), dtype=torch.bool)
    mask = same | same.roll(half, 0)  # an anchor itself and its positive are no negatives
    return info_nce(z, z.roll(half, 0), z, temperature=TEMPERATURE, mask=mask)


def train(encoder: VideoEncoder, steps: int, batch_size: int, seed: int) -> float:
    """Train in place with one cycle of AdamW; returns the mean loss of the last tenth."""
    wide = encoder.dim
    head = nn.Sequential(nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, DIM))
    weights = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, LR, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    loader = DataLoader(
        Viewings(batch_size, seed),
        batch_size=None,
        num_workers=1,
        prefetch_factor=4,
        multiprocessing_context="spawn",
    )
    losses: list[float] = []
    for flow, _ in zip(loader, range(steps), strict=False):
        maps = encoder.forward_flow(flow)[-1]
        loss = contrast(head(maps.mean(dim=(2, 3, 4))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if len(losses) % 50 == 0:
            print(f"step {len(losses)}: loss {np.mean(losses[-50:]):.3f}", flush=True)
    return float(np.mean(losses[-max(1, steps // 10) :]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch_size", type=int, default=64, help="programs a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="that compute")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    encoder, began = create_encoder("motion-net").train(), time.perf_counter()
    loss = train(encoder, args.steps, args.batch_size, args.seed)
    seconds = time.perf_counter() - began
    history = {"method": "motion", "steps": args.steps, "seed": args.seed, "seconds": seconds}
    encoder.spec = replace(encoder.spec, trained_on=history)
    print(f"{save_encoder(encoder.eval(), args.out)}: loss {loss:.3f}, {seconds:.0f} s")


if __name__ == "__main__":
    main()
