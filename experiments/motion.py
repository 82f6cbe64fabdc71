"""What do motion encoders reach on real footage that were taught by generated figures only?

    for seed in 0 1 2; do unscene pretrain --config src/unscene/recipes/encoders/motion.yaml \
        --seed $seed --out runs/motion/$seed; done
    python experiments/motion.py runs/motion/0 runs/motion/1 runs/motion/2
    unscene results experiments/rows/motion.jsonl.gz experiments/rows/descriptors.jsonl.gz \
        --against hof+mbh

Tests, footage and rows are those of real_scenes.py and descriptors.py, on the files as they are.
Beside each encoder stands its untrained twin, with the seed of the training. `--vectors` reads the
codec's motion vectors instead (`motion-vectors`), beside `hof-vectors`. Rows go to
experiments/rows/motion.jsonl.gz; what is in that file is not run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from generated import scenes
from moving_scenes import score_scenes
from real_scenes import extract_places, score_places
from real_tables import catalogs
from trained import ROWS, append_and_show, footage_here, rows_in

from unscene.demo.run import CLIPS as DEMO_CLIPS
from unscene.encoders import VideoEncoder, create_encoder, load_encoder, make_untrained_twin
from unscene.evaluate.features import extract

CLIPS = 4  # a video, as in real_scenes.py


def open_encoder(run: Path, vectors: bool) -> tuple[int, VideoEncoder]:
    """The seed and the encoder of a run, under the name that its rows have."""
    encoder = load_encoder(run).eval()
    if vectors:
        encoder.read_flow_of_clips("vectors")
    history = encoder.spec.trained_on
    name = "motion-vectors" if vectors else "motion"
    encoder.spec = replace(encoder.spec, trained_on=history | {"method": name})
    return int(history["seed"]), encoder


def run(paths: Sequence[Path], vectors: bool, work: Path, out: Path, note: str) -> None:
    """Append the rows of encoders that have none yet."""
    tables = catalogs("original", work)
    known = {(row["method"], row["seed"], row["test"].get("note")) for row in rows_in(out)}
    for path in paths:
        seed, encoder = open_encoder(path, vectors)
        if (encoder.spec.trained_on["method"], seed, note) in known:
            continue
        twins = [] if vectors else [make_untrained_twin(encoder, seed)]
        found = extract_places([encoder, *twins], tables, CLIPS)
        # The descriptor takes other clips, and has no seed.
        if vectors and seed == 0 and ("hof-vectors", 0, note) not in known:
            found += extract_places([create_encoder("hof-vectors")], tables, CLIPS)
        for spec, features in found:
            rows = [
                row
                for apart in ({}, {"standardize": True})
                for row in score_places(
                    spec, features, tables, CLIPS, seed, {"note": note, **apart}
                )
            ]
            append_and_show(out, rows)


def run_scenes(paths: Sequence[Path], vectors: bool, work: Path, out: Path) -> None:
    """Append the rows of generated footage, correlation 0.9; its seed is that of the encoder."""
    for path in paths:
        seed, trained = open_encoder(path, vectors)
        test = {"correlation": 0.9, "note": ""}
        footage = scenes(work, 0.9, seed)
        features = {
            split: extract(trained, catalog.videos, clips=DEMO_CLIPS, workers=1)
            for split, catalog in footage.items()
        }
        for apart in ({}, {"standardize": True}):
            rows = score_scenes(trained.spec, features, footage, seed, test | apart)
            append_and_show(out, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders of trainings")
    parser.add_argument("--vectors", action="store_true", help="of the codec, instead of flow")
    parser.add_argument("--scenes", action="store_true", help="on generated moving scenes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--note", default="", help="keeps rows of other settings apart")
    parser.add_argument("--work", type=Path, default=Path("runs", "motion-work"))
    parser.add_argument("--out", type=Path, default=ROWS / "motion.jsonl.gz")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.scenes:
        run_scenes(args.runs, args.vectors, args.work, args.out)
    elif footage_here():
        run(args.runs, args.vectors, args.work, args.out, args.note)


if __name__ == "__main__":
    main()
