"""Does a change of the code leave all numbers as they were?

    python experiments/same_numbers.py record FILE            # with the code before, and after
    python experiments/same_numbers.py compare BEFORE AFTER

`record` works on generated footage in a temporary folder, and only through the command line, so
that it runs on any layout of the package. PYTHONPATH=OTHER/src names other code than the installed.
It keeps digests of footage and trained weights, the logged metrics of a few steps of every method
and preset (and of flags that take other paths through the code), the rows of every protocol, and
audits. Times, versions and paths are left out, and so is --monitor, which depends on the clock.
Every call is a process of its own, forked from one that has imported Lightning.

`compare` prints what is not exactly equal, and then ends with status 1. Other CPUs and other
versions of torch round differently. archive/same_numbers-3ba873c.json.gz is the record of the code
before the layout of November 2026, on a CPU with AVX-512. Changed on purpose since then: what
`official-code` of moco, dsm, dsm-triplet and of fine-tuning means, the black border of dsm and
dsm-triplet in `paper`, and the side encoders' last norms of cmd in `paper` and `official-code`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import multiprocessing
import os
import re
import runpy
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

# What differs from run to run, tells what a number was made with, or says it in words.
_LEFT_OUT = {"seconds", "clips_per_second", "waiting", "versions", "unscene", "format"}
_LEFT_OUT |= {"trained_on", "sentence", "note", "absent"}
_STEPS = """--out OUT --batch_size 4 --max_steps 2 --size 32 --frames 8 --stride 1 --seed 3 \
--workers 0 --threads 1 --accelerator cpu --monitor none"""
_TINY = """--encoder r3d-narrow --encoder_options '{"width":8}'"""
_MOTION = "--motion_frames 4 --motion_reach 12 --predictor_dim 32 --side_encoders narrow"
# A command, and below it what stands for LINE in it, one call each. Its files are in OUT, a folder
# of the name before the colon, or one called after the line. Of a flag given twice the last counts.
_CALLS = f"""
scenes OUT LINE
  footage: --train_videos 16 --seen_videos 8 --unseen_videos 12 --size 48 --motions [left,grow,up] \
--scenes 2 --unseen_scenes 3 --object_size [14,20] --speed [1,2]
  other: --train_videos 4 --seen_videos 2 --unseen_videos 2 --size 64 --frames 12 --seed 7 \
--shake 1 --distractor true --one_palette true --fixed_camera true --own_place true
prepare --workers 0 LINE OUT
  mpeg4: --codec mpeg4 --short_side 40 footage/train.csv
  h264: --gop 6 --fps 20 --brighten true footage/seen.csv
pretrain footage/train.csv {_STEPS} {_TINY} --method LINE
  moco --preset default
  moco --preset paper
  moco --preset official-code
  dsm --preset default
  dsm --preset paper
  dsm --preset official-code
  triplet: dsm-triplet --preset default
  dsm-triplet --preset paper
  dsm-triplet --preset official-code
  hdc --preset default
  hdc --preset paper
  moco --head linear --queue 6 --queue_of anchor --batch_negatives false --augmentation modern
  moco --optimizer sgd --nesterov true --clip_gradient 0.05 --schedule step --drops [0]
  moco --augmentation mild --precision bf16-mixed --short_side 40 --schedule constant --warmup 0.5
  dsm --flow codec --basic_on anchor
  dsm --flow auto --shift_loops false --warp_points 3 --augmentation none
  dsm --other_scene 1 --warp false --shift false --augmentation cmd
  dsm-triplet --flow_scaling false --margin 0.2 --other_scene 0.5
  hdc --contrasts spatial --sc_pool 3d --stage_weights [1,0,2]
  hdc --contrasts temporal --crop_first false --crop_reach 9
  hdc --contrasts entangled --stages 1
pretrain footage/train.csv {_STEPS} {_TINY} {_MOTION} --method LINE
  cmd --preset default
  cmd --preset paper
  cmd --preset official-code
  unscene: unscene --preset default
  cmd --tasks context --context_from any
  cmd --tasks motion --motion_at present --motion_negatives 1
  cmd --motion_from flow --augmentation paper
  cmd --motion_from difference --side_encoders full
  unscene --config plain.yaml --other_scene 0 --stages 1
  unscene --motion_loss nce --predictor transformer --scales sum
pretrain mpeg4/train.csv {_STEPS} {_TINY} {_MOTION} --method LINE
  cmd --motion_loss l2 --predictor linear --scales concat
  cmd --motion_from vectors+residual --task_weights [0.5,2]
  unscene --flow codec --motion_from flow --other_scene 1
pretrain footage/train.csv {_STEPS} --optimizer sgd --encoder LINE
  c3d
  i3d
  s3dg
  r3d26
  r2plus1d10
  triplet --method moco
evaluate LINE --workers 0 --device cpu --out OUT/results.jsonl
  retrieve footage/unseen.csv --train footage/train.csv --encoder triplet
  retrieve footage/unseen.csv --train footage/train.csv --encoder r3d-narrow --short_side 40
  retrieve footage/unseen.csv --mode clip --apart scene --encoder unscene
  probe footage/seen.csv --train footage/train.csv --encoder triplet
  probe footage/seen.csv --train footage/train.csv --group shape --encoder r3d-narrow --clips 2
  decouple footage/unseen.csv --clips 2 --encoder triplet
evaluate finetune footage/seen.csv --train footage/train.csv --out OUT --batch_size 4 --clips 2 \
--seed 5 --workers 0 --threads 1 --accelerator cpu --max_steps 3 LINE
  --encoder triplet --validation 0.25
  --encoder unscene --preset paper --labels 2
  --encoder r3d-narrow --preset official-code --labels 0.5 --frames 8 --size 32
audit LINE --workers 0 --device cpu --out OUT
  footage/unseen.csv --encoder triplet --encoder untrained=r3d-narrow
  mpeg4/train.csv --encoder unscene --videos 9 --clips 2 --seed 1
"""


def record(work: Path) -> dict[str, Any]:
    """All numbers, by the line that gives them."""
    began, stands_on = time.monotonic(), ("torch", "av", "numpy", "scikit-learn")
    about = {"cpu": torch.backends.cpu.get_cpu_capability()} | {n: version(n) for n in stands_on}
    found: dict[str, Any] = {"about": about}
    print("the numbers of", getattr(find_spec("unscene"), "origin", None), about, flush=True)
    (work / "plain.yaml").write_text("foretell: 0\n")  # the name of version 0.1; later ones know it
    # x264 has loops (AVX-512) that read what it has not written; so that is the same, too.
    os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "MALLOC_PERTURB_": "85"}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lightning", "numba", "cv2", "av", "safetensors.torch"])
    with ProcessPoolExecutor(2, context, max_tasks_per_child=1) as pool:
        for block in re.split(r"\n(?=\w)", _CALLS.strip()):
            command, *lines = map(str.strip, block.split("\n  "))
            made = pool.map(partial(numbers, work, command), lines)
            found |= zip(lines, made, strict=True)
            print(f"{time.monotonic() - began:4.0f} s  {len(lines)} x {command[:60]}", flush=True)
    return found


def numbers(work: Path, command: str, line: str) -> Any:
    """What `python -m unscene` leaves in its folder. Raises RuntimeError if it fails."""
    name, _, line = line.rpartition(": ")
    out = name or line.replace(" --", "-").replace(" ", "-").strip("-").replace("/", "-")
    sys.argv = ["unscene", *shlex.split(command.replace("OUT", out).replace("LINE", line))]
    os.chdir(work)
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(said):
        try:
            runpy.run_module("unscene", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"{shlex.join(sys.argv)}\n{said.getvalue()}") from end
    found: dict[str, Any] = {}
    for path in sorted((work / out).rglob("*.*")):
        if path.name == "metrics.csv":
            table = csv.DictReader(path.read_text().splitlines())
            found["logged"] = [{k: float(v) for k, v in row.items() if v} for row in table]
        elif path.name == "encoder.safetensors":
            found["weights"] = weights(path)
        elif path.name == "results.jsonl":
            rows = [json.loads(text) for text in path.read_text().splitlines()]
            configs = [row.pop("config") for row in rows if "config" in row]  # in rows, or apart
            # The first row of a metric is that of the encoder; that of an untrained one follows.
            named = {r["metric"]: r for r in reversed(rows) if "metric" in r}
            found |= {"config": configs[0], "rows": named}
        elif path.name == "config.yaml" and "--preset" in line:
            found["config"] = yaml.safe_load(path.read_text())
        elif path.name == "audit.json":
            found["audit"] = json.loads(path.read_text())
        elif path.suffix in (".csv", ".mp4"):
            content = path.read_bytes().replace(f"{work}/".encode(), b"")
            kind = path.relative_to(work).with_name(f"*{path.suffix}").as_posix()
            before = found.get(kind, "").encode()
            found[kind] = hashlib.sha256(before + path.name.encode() + content).hexdigest()
        elif path.suffix == ".ckpt":  # hundreds of megabytes, for some
            path.unlink()
    return lasting(found, f"{work}/")


def weights(path: Path) -> dict[str, Any]:
    """Digest of a saved encoder, and its norm, which tells how far apart two of them are."""
    digest, square = hashlib.sha256(), 0.0
    for name, value in sorted(load_file(path).items()):
        digest.update(f"{name} {value.dtype} {[*value.shape]}".encode() + value.numpy().tobytes())
        square += float(value.double().square().sum())
    return {"sha256": digest.hexdigest(), "norm": square**0.5}


def lasting(value: Any, place: str) -> Any:
    """Without what differs from run to run, and where its files lay."""
    if isinstance(value, dict):
        return {k: lasting(one, place) for k, one in value.items() if k not in _LEFT_OUT}
    if isinstance(value, list):
        return [lasting(one, place) for one in value]
    return value.replace(place, "") if isinstance(value, str) else value


def compare(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Print what differs; the exit status."""
    if before.pop("about") != after.pop("about"):
        print("made on other machines, or with other versions of what unscene stands on")
    count, differ, worst = 0, 0, 0.0
    for path, one, other in pairs(before, after):
        count += 1
        if one == other or (one != one and other != other):  # nan is nan
            continue
        differ, share = differ + 1, ""
        if all(isinstance(value, int | float) for value in (one, other)):
            apart = abs(one - other) / max(abs(one), abs(other))
            worst, share = max(worst, apart), f"  ({apart:.1e})"
        print(f"{path}: {one!r:.90} -> {other!r:.90}{share}")
    print(f"{differ} of {count} values differ, numbers by {worst:.1e} of themselves at most")
    return 1 if differ else 0


def pairs(one: Any, other: Any, *path: str) -> Iterator[tuple[str, Any, Any]]:
    """Values that stand at the same place of two records, and where that is."""
    if isinstance(one, list) and isinstance(other, list):
        one, other = ({str(place): value for place, value in enumerate(x)} for x in (one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        names = one if path[-2:-1] == ("rows",) else one | other  # a row may say more than before,
        if "config" in path:  # and settings that a method does not read may be gone
            names = {name: None for name in one if name in other}
        for name in names:
            yield from pairs(one.get(name, "absent"), other.get(name, "absent"), *path, name)
    else:
        yield " / ".join(path), one, other


def read_record(path: Path) -> dict[str, Any]:
    """Read a record, which may be compressed."""
    content = path.read_bytes()
    found: dict[str, Any] = json.loads(
        gzip.decompress(content) if path.suffix == ".gz" else content
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="write the numbers that the code gives now")
    recording.add_argument("out", type=Path)
    recording.add_argument("--work", type=Path, help="an empty folder to work in, which is kept")
    comparing = commands.add_parser("compare", help="print what differs; status 1 if anything does")
    comparing.add_argument("records", type=Path, nargs=2)
    given = parser.parse_args()
    if given.command == "compare":
        return compare(*map(read_record, given.records))
    with tempfile.TemporaryDirectory() as passing:
        work = (given.work or Path(passing)).resolve()
        given.out.write_text(json.dumps(record(work), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
