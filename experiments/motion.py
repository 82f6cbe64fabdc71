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
from typing import Any

import torch
from generated import scenes
from moving_scenes import score_scenes
from real_scenes import extract_places, score_places
from real_tables import catalogs
from trained import ROWS, append, footage_here, rows_in

from unscene.demo.run import CLIPS as DEMO_CLIPS
from unscene.encoders import VideoEncoder, create_encoder, load_encoder
from unscene.evaluate.features import extract

CLIPS = 4  # a video, as in real_scenes.py


def with_twin(run: Path) -> tuple[int, list[VideoEncoder]]:
    """The seed of a run, its encoder under the name of the shipped one, and an untrained twin."""
    trained = load_encoder(run)
    spec = trained.spec
    seed = int(spec.trained_on["seed"])
    torch.manual_seed(seed)
    options = {name: value for name, value in spec.options.items() if name != "input"}
    twin = create_encoder(spec.name, **options)
    trained.spec = replace(spec, trained_on=spec.trained_on | {"method": name_of(spec.trained_on)})
    return seed, [trained.eval(), twin.eval()]


def with_vectors(run: Path) -> tuple[int, list[VideoEncoder]]:
    """The same encoder reading the codec's vectors, and the descriptor that reads them."""
    seed, (trained, _) = with_twin(run)
    trained.read_flow_of_clips("vectors")
    named = trained.spec.trained_on | {"method": "motion-vectors"}
    trained.spec = replace(trained.spec, trained_on=named)
    return seed, [trained, create_encoder("hof-vectors")]


def name_of(history: dict[str, Any]) -> str:
    """The method of rows: "motion" for what the recipe trains."""
    method = str(history["method"])
    return "motion" if method == "motion-programs" else method


def run(paths: Sequence[Path], vectors: bool, work: Path, out: Path, note: str) -> None:
    """Append the rows of encoders that have none yet."""
    tables = catalogs("original", work)
    known = {(row["method"], row["seed"], row["test"].get("note")) for row in rows_in(out)}
    for path in paths:
        seed, encoders = with_vectors(path) if vectors else with_twin(path)
        if (encoders[0].spec.trained_on["method"], seed, note) in known:
            continue
        if vectors:  # the descriptor takes other clips, and has no seed
            again = ("hof-vectors", 0, note) in known or seed
            found = extract_places(encoders[:1], tables, CLIPS)
            found += [] if again else extract_places(encoders[1:], tables, CLIPS)
        else:
            found = extract_places(encoders, tables, CLIPS)
        for spec, features in found:
            rows = [
                row
                for apart in ({}, {"standardize": True})
                for row in score_places(
                    spec, features, tables, CLIPS, seed, {"note": note, **apart}
                )
            ]
            append(out, rows)
            for row in rows:
                if row.metric in ("retrieval_r1", "probe_top1"):
                    kind = "standardized" if row.test.get("standardize") else ""
                    print(
                        f"{row.method} seed {seed} {row.data}, {row.split} {row.metric} "
                        f"{row.value:.3f} [{row.ci95[0]:.3f}, {row.ci95[1]:.3f}] {kind}",
                        flush=True,
                    )


def run_scenes(paths: Sequence[Path], vectors: bool, work: Path, out: Path) -> None:
    """Append the rows of generated footage, correlation 0.9; its seed is that of the encoder."""
    for path in paths:
        seed, encoders = with_vectors(path) if vectors else with_twin(path)
        trained, test = encoders[0], {"correlation": 0.9, "note": ""}
        footage = scenes(work, 0.9, seed)
        features = {
            split: extract(trained, catalog.videos, clips=DEMO_CLIPS, workers=1)
            for split, catalog in footage.items()
        }
        for apart in ({}, {"standardize": True}):
            rows = score_scenes(trained.spec, features, footage, seed, test | apart)
            append(out, rows)
            for row in rows:
                if row.metric in ("retrieval_r1", "probe_top1"):
                    print(f"{row.method} seed {seed} {row.label} {row.metric} {row.value:.3f}")


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
