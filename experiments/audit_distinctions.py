"""Is the audit's measure "distinctions" graded? Its questions, asked of models of known ability.

    python experiments/audit_distinctions.py --seeds 0 1 2

color       the mean color of 4 x 4 cells: blind to motion
random      an untrained network (r3d-narrow)
hof         a histogram of flow, and
hof+mbh     two more of its derivatives: trivial statistics of motion
exact-hof   hof of the exact flow of the figures, the camera taken out, without any pixel, and
exact-time  the same in each of four parts of time and 2 x 2 cells: are the questions answerable?
supervised  motion-net, taught by the answers to questions of other seeds, on exact flow without any
            pixel (`--steps`); not among the methods that run by default

Rows go to experiments/rows/audit_distinctions.jsonl.gz ("audit/distinctions/motion" and so on).
What is in that file is not run again.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from descriptors import Part, SharedFlow
from torch import Tensor, nn
from trained import append, flags, rows_in

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.distinctions import Distinctions, score_answers
from unscene.data.listing import open_catalog
from unscene.encoders import VideoEncoder, create_encoder, load_encoder, save_encoder
from unscene.motion.histograms import hof
from unscene.results.rows import build_rows
from unscene.results.statistics import Score
from unscene.synthetic.figure_questions import QUESTION_KINDS, QuestionKind, draw_question
from unscene.synthetic.generate import MovingScenes, generate
from unscene.synthetic.measured_flow import measure_flow
from unscene.synthetic.raster import paint_flow

METHODS = ("color", "random", "hof", "hof+mbh", "exact-hof", "exact-time", "supervised")
EXACT = {"exact-hof": (1, 1), "exact-time": (4, 2)}  # parts of time, cells along each side
FRAMES = 17  # of clips of exact flow
COUNT = 24  # questions of each kind; the measure takes as many as there are videos
GRID, BATCH, LR, TEMPERATURE = 32, 12, 2e-3, 0.1
TAUGHT = 1000  # first seed of the questions that the supervised network is taught


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    # The measure reads no video: these only say how many questions there are.
    tiny = MovingScenes(train_videos=COUNT, seen_videos=0, unseen_videos=0, size=32, frames=26,
                        object_size=(8, 12), speed=(1, 2))  # fmt: skip
    catalog = open_catalog(generate(args.work / "footage", tiny).train)
    known, shared = rows_in(args.out), SharedFlow()
    for seed, method in product(args.seeds, args.methods):
        if any((row["method"], row["seed"]) == (method, seed) for row in known):
            continue
        if method in EXACT:
            spec = replace(create_encoder("hof").spec, frames=FRAMES, size=GRID)
            scores = answer_from_exact_flow(seed, *EXACT[method])
        else:
            encoder = _encoder(method, seed, args, shared)
            measure = Distinctions(FeatureExtractor(encoder), Footage(catalog, seed=seed))
            spec, scores = encoder.spec, dict(measure.compute().scores)
        rows = build_rows(
            spec,
            {f"audit/distinctions/{name}": score for name, score in scores.items()},
            data="generated questions",
            split="all",
            label="none",
            fingerprint=f"seed {seed}",
            views=1,
            seed=seed,
            test={"questions": COUNT},
        )
        append(args.out, rows, method)
        said = ", ".join(f"{name} {score.value:.2f}" for name, score in scores.items())
        print(f"seed {seed} {method}: {said}", flush=True)


def _encoder(method: str, seed: int, args: argparse.Namespace, shared: SharedFlow) -> VideoEncoder:
    if method == "random":
        return load_encoder("r3d-narrow", seed=seed)
    if method != "supervised":
        return create_encoder(method) if method == "color" else Part(method, shared)
    steps = args.steps
    saved = args.work / f"supervised-{steps}-{seed}"
    if not saved.exists():
        torch.manual_seed(seed)
        encoder = create_encoder("motion-net").train()
        teach(encoder, steps, seed)
        history = {"method": "supervised", "steps": steps, "seed": seed}
        encoder.spec = replace(encoder.spec, trained_on=history)
        save_encoder(encoder.eval(), saved)
    return load_encoder(saved)


def answer_from_exact_flow(seed: int, parts: int, cells: int) -> dict[str, Score]:
    """Scores of histograms of exact flow, one in each part of time and cell."""
    features: dict[QuestionKind, list[Tensor]] = {kind: [] for kind in QUESTION_KINDS}
    for kind, number in product(QUESTION_KINDS, range(COUNT)):
        counted = hof(draw_flow(kind, number, seed, FRAMES), (cells, cells))
        counted = counted.unflatten(1, (parts, -1)).square().mean(dim=2).sqrt()
        features[kind].append(counted.flatten(1).unflatten(0, (2, 2)))
    return score_answers({kind: torch.stack(asked) for kind, asked in features.items()})


def draw_flow(kind: QuestionKind, number: int, seed: int, frames: int) -> Tensor:
    """Exact flow of the four clips of a question, the camera taken out, (4, T-1, G, G, 2)."""
    asked = draw_question(kind, seed, number, frames)
    worlds = [world for motion in asked.worlds for world in motion]
    flows = [paint_flow(world.ends, world.radius, GRID) for world in worlds]  # the camera stands
    return torch.from_numpy(np.stack(flows))


def teach(encoder: VideoEncoder, steps: int, seed: int) -> None:
    """Contrast the clip of the same motion in the other world with all clips of a batch."""
    head = nn.Sequential(nn.Linear(encoder.dim, encoder.dim), nn.ReLU(), nn.Linear(encoder.dim, 64))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    generator, running = torch.Generator().manual_seed(seed), 0.0
    partner = torch.arange(4 * BATCH) ^ 1  # motion 0 in world 0 and 1, motion 1 in world 0 and 1
    for step in range(1, steps + 1):
        numbers = range((step - 1) * BATCH, step * BATCH)
        kinds = len(QUESTION_KINDS)
        exact = [
            draw_flow(QUESTION_KINDS[k % kinds], k // kinds, TAUGHT + seed, encoder.spec.frames)
            for k in numbers
        ]
        maps = encoder.forward_flow(measure_flow(torch.cat(exact), generator))[-1]
        z = F.normalize(head(maps.mean(dim=(2, 3, 4))), dim=1)
        logits = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)
        loss = F.cross_entropy(logits, partner)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        running += (loss.item() - running) * max(0.05, 1 / step)
        if step % 50 == 0:
            print(f"step {step}: loss {running:.3f}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = flags("audit_distinctions", __doc__, methods=METHODS)
    parser.set_defaults(steps=400, methods=METHODS[:-1])
    return parser.parse_args()


if __name__ == "__main__":
    main()
