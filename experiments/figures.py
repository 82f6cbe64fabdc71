"""The hard benchmark: which motion program does a generated figure follow, in new scenes?

    python experiments/figures.py hof mbh hof+mbh energy color motion --seeds 0 1 2
    python experiments/figures.py motion-vectors hof-vectors --seeds 0 1 2 --twins
    python experiments/figures.py runs/distill/*-0 --seeds 0 --twins

Footage: `unscene scenes --kind figures --seen_videos 0`, 16 programs, correlation 0.9; 160 videos
in new scenes are searched for among the 400 training videos. Two clips a video. It has 15 frames a
second, so networks read it at stride 1: flows are 1/15 s apart, as in the training of `motion`;
descriptors keep their own clips.

The supervised end is in supervised_figures.py. Rows go to experiments/rows/figures.jsonl.gz; what
is in that file is not run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trained import ROWS, append_and_show, rows_in

from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog
from unscene.encoders import VideoEncoder, base, descriptors, make_untrained_twin, resolve_encoder
from unscene.encoders.flow_input import read_flow
from unscene.evaluate.features import Features, extract_together
from unscene.evaluate.labels import score_labels
from unscene.synthetic.figure_scenes import FigureScenes
from unscene.synthetic.generate import generate

CLIPS = 2
SPLITS = ("train", "unseen")


def figures(work: Path, seed: int, **changes: Any) -> dict[str, Catalog]:
    """The splits "train" and "unseen"; they are generated if they are not in `work`."""
    out = work / "-".join(["figures", f"{seed}", *(f"{key}-{changes[key]}" for key in changes)])
    generate(out, FigureScenes(seen_videos=0, seed=seed, **changes), workers=1)
    return {split: open_catalog(out / f"{split}.csv") for split in SPLITS}


def share_flow() -> None:
    """Let encoders that are given one clip after another compute its flow once."""
    last: list[tuple[Tensor, Tensor]] = []

    def read(clip: Tensor, *normalization: Any, **how: Any) -> Tensor:
        if not last or last[0][0] is not clip:
            last[:] = [(clip, read_flow(clip, *normalization, **how))]
        return last[0][1]

    base.read_flow = descriptors.read_flow = read  # type: ignore[assignment]


def extract_figures(
    encoders: Iterable[VideoEncoder], footage: dict[str, Catalog]
) -> list[tuple[VideoEncoder, dict[str, Features]]]:
    """Features of both splits; encoders that take the same clips share one pass over the videos."""
    found: list[tuple[VideoEncoder, dict[str, Features]]] = []
    for _, one in groupby(sorted(encoders, key=_clip), key=_clip):
        group = list(one)
        of_splits = {
            name: extract_together(group, footage[name].videos, clips=CLIPS, workers=1)
            for name in SPLITS
        }
        found += [(e, {s: of_splits[s][i] for s in SPLITS}) for i, e in enumerate(group)]
    return found


def _clip(encoder: VideoEncoder) -> tuple[str, ...]:
    spec = encoder.spec
    return tuple(map(str, (encoder.input, spec.frames, spec.stride, spec.size, spec.mean)))


def score_figures(
    out: Path,
    found: Sequence[tuple[VideoEncoder, dict[str, Features]]],
    footage: dict[str, Catalog],
    seed: int,
    names: dict[int, str],
) -> None:
    """Append rows of raw and of standardized features; `names` of methods by id of the encoder."""
    for encoder, features in found:
        for apart in ({}, {"standardize": True}):
            rows = score_labels(
                encoder.spec,
                features,
                footage,
                [("motion", "unseen")],
                data="figures",
                views=CLIPS,
                seed=seed,
                test={"correlation": 0.9, "note": "", **apart},
                standardize=bool(apart),
            )
            # The seed is the footage's, also of an encoder that has one of its own.
            rows = [replace(row, classes={}, seed=seed) for row in rows]
            append_and_show(out, rows, method=names.get(id(encoder)))


def read_at_own_rate(encoder: VideoEncoder) -> VideoEncoder:
    """A network with stride 1, which is 1/15 s here; a descriptor as it is."""
    if list(encoder.parameters()):
        encoder.spec = replace(encoder.spec, stride=1)
    return encoder.eval()


def run(args: argparse.Namespace) -> None:
    """Rows of encoders that have none yet."""
    share_flow()
    for seed in args.seeds:
        known = {(r["method"], r["seed"], r["encoder"]) for r in rows_in(args.out)}
        encoders: list[VideoEncoder] = []
        names: dict[int, str] = {}
        for name in args.encoders:
            encoder = read_at_own_rate(resolve_encoder(name).encoder)
            history = encoder.spec.trained_on
            method = history.get("method", encoder.spec.name)
            network = bool(list(encoder.parameters()))
            twins = [make_untrained_twin(encoder, seed)] if args.twins and network else []
            for one, called in ((encoder, method), *((twin, "random") for twin in twins)):
                key = called, seed, one.spec.name
                if key not in known:
                    known.add(key)
                    encoders.append(one)
                    names[id(one)] = called
        if encoders:
            footage = figures(args.work, seed)
            score_figures(args.out, extract_figures(encoders, footage), footage, seed, names)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("encoders", nargs="+", help="names or folders of trainings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the footage")
    parser.add_argument("--twins", action="store_true", help="untrained networks beside networks")
    parser.add_argument("--work", type=Path, default=Path("runs", "figures"))
    parser.add_argument("--out", type=Path, default=ROWS / "figures.jsonl.gz")
    args = parser.parse_args()
    torch.set_num_threads(1)
    run(args)


if __name__ == "__main__":
    main()
