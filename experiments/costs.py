"""Cost of each method on generated footage: CPU seconds per step, clips per second, memory, and
seconds to a given score.

    python experiments/costs.py --work runs/moving_scenes     # footage and settings are that run's

A step is reading a batch, its views, forward and backward, in one process of one thread; its memory
is the peak of that process, with everything that it has loaded. "To recall 0.5": the steps of the
shortest training in moving_scenes.jsonl.gz (seed 0; of 75, 150 and 600 steps) whose recall@1 of the
motion is 0.5, times the seconds of a step; the interval begins at the longest that stays below.
Rows go to experiments/rows/costs.jsonl.gz, which is replaced.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generated import scenes, training
from trained import HERE, METHODS, ROWS

from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.methods.registry import create_method, resolve
from unscene.results.rows import Row, read_rows, write_rows
from unscene.results.statistics import Score, score
from unscene.train.config import build
from unscene.train.preflight import open_initial_encoder

SYSTEMS = ("moco", "hdc", "cmd", "cmd-motion", "cmd-motion-l2", "dsm", "dsm-triplet", "unscene")
GOAL = 0.5
_SEED, _BIAS = 0, 0.9
_STEPS = 5
_PEAK = "import sys; sys.path.insert(0, sys.argv[1]); import costs; costs.alone(*sys.argv[2:])"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--work", type=Path, default=Path("runs", "moving_scenes"))
    parser.add_argument("--out", type=Path, default=ROWS / "costs.jsonl.gz")
    args = parser.parse_args()
    scenes(args.work, _BIAS, _SEED)  # generated if it is not there yet
    rows = [row for method in SYSTEMS for row in costs(method, args.work)]
    write_rows(args.out, rows)


def costs(method: str, work: Path) -> list[Row]:
    """The rows of a method, measured in a process of its own."""
    command = [sys.executable, "-c", _PEAK, str(HERE), method, str(work)]
    measured = json.loads(subprocess.check_output(command, text=True))
    seconds = np.array(measured["seconds"])
    batch = resolve(METHODS[method][0], "default").batch_size
    found = {
        "cpu_seconds_a_step": score(seconds, shares=False),
        "clips_a_cpu_second": score(batch / seconds, shares=False),
        "peak_gb": Score(measured["peak_gb"], (measured["peak_gb"],) * 2, 1),
    }
    reached = steps_to_goal(method)
    if reached is not None:
        below, enough = (steps * float(np.median(seconds)) for steps in reached)
        found["cpu_seconds_to_recall_0.5"] = Score(enough, (below, enough), 1)
    print(method, {name: round(cell.value, 3) for name, cell in found.items()}, flush=True)
    return [
        Row(method, "moving scenes", "train", "none", name, *_parts(cell), _SEED, 0.0, "r3d-narrow")
        for name, cell in found.items()
    ]


def alone(method: str, work: str) -> None:
    """Print seconds and peak of this process, which does nothing else."""
    torch.set_num_threads(1)
    catalog = scenes(Path(work), _BIAS, _SEED)["train"]
    run = training(Path(work), f"{_BIAS}-").given(method, catalog.source, _SEED)
    seconds = each_step(run, catalog.videos)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "peak_gb": peak}))


def each_step(settings: dict[str, Any], videos: Sequence[Video]) -> list[float]:
    """CPU seconds of a few steps: reading a batch, its views, forward and backward.

    The clock of a shared machine says who else was there; the process's own seconds hardly do.

    Args:
        settings: of the run, as `train.config.build` takes them.
        videos: what is read; at least a batch.
    """
    config = build(settings)
    torch.manual_seed(0)
    encoder = open_initial_encoder(config.encoder, config.encoder_options)
    chosen = config.settings.fit(128)  # a queue of 16
    encoder = encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    method = create_method(config.method, encoder, chosen)
    data = method.dataset(videos)
    generator = torch.Generator().manual_seed(0)
    took = []
    for step in range(_STEPS + 1):
        began = time.process_time()
        read = [data[step, index % len(videos)] for index in range(chosen.batch_size)]
        method(Batch.of(read), generator).loss.backward()
        method.zero_grad()
        took.append(time.process_time() - began)
    return took[1:]  # the first step warms up


def steps_to_goal(method: str) -> tuple[int, int] | None:
    """(Steps of the longest training below the goal, of the shortest that reaches it), or None."""
    wanted = {"method": method, "seed": _SEED, "metric": "retrieval_r1", "label": "motion"}
    reached = {
        row["steps"]: row["value"]
        for row in read_rows(ROWS / "moving_scenes.jsonl.gz")
        if all(row[name] == value for name, value in wanted.items())
        and row["test"]["correlation"] == _BIAS
        and row["test"].get("note", "") in ("", "75-steps", "150-steps")
    }
    enough = [steps for steps, value in reached.items() if value >= GOAL]
    if not enough:
        return None
    return max((s for s in reached if s < min(enough)), default=0), min(enough)


def _parts(cell: Score) -> tuple[float, tuple[float, float], int]:
    return cell.value, cell.ci95, cell.n


if __name__ == "__main__":
    main()
