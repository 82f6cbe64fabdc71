"""All benchmarks, one table: `make bench`, or `python benchmarks/run.py --only reading --quick`.

Each topic runs in a process of its own, with the number of threads that it states. Rows are
appended to benchmarks/results.jsonl.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.jsonl"
CORES = len(os.sched_getaffinity(0))
TOPICS = {
    "reading": 1,
    "motion": 1,
    "views": 1,
    "training": CORES,
    "methods": CORES,
    "memory": 1,
    "retrieval": CORES,
    "search": CORES,
    "audit": CORES,
    "clustering": 1,
    "export": 1,
    "gpu": CORES,
    "explore": CORES,
}  # and its threads


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="NAME", help="a topic (reading) or row (reading.windows)")
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    parser.add_argument("--threads", type=int, help="instead of the threads that topics state")
    parser.add_argument("--topic", choices=TOPICS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.topic:
        return work(given.topic, given.quick)
    topics = [t for t in TOPICS if given.only is None or given.only.split(".")[0] == t]
    if not topics:
        parser.error(f"--only {given.only}: topics are {', '.join(TOPICS)}")
    begun = time.monotonic()
    rows: list[dict[str, Any]] = []
    failed = []
    for topic in topics:
        print(f"{topic} ...", file=sys.stderr, flush=True)
        found, code = start(topic, given.threads or TOPICS[topic], given.quick)
        rows += [r for r in found if given.only in (None, topic, r["name"])]
        failed += [topic] if code else []
    if not given.quick:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    show(rows, time.monotonic() - begun)
    for topic in failed:
        print(f"{topic}: failed, see above", file=sys.stderr)
    return 1 if failed else 0


def start(topic: str, threads: int, quick: bool) -> tuple[list[dict[str, Any]], int]:
    """Rows of a topic from a process of its own."""
    command = [sys.executable, str(HERE / "run.py"), "--topic", topic]
    number = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    ran = subprocess.run(
        command + ["--quick"] * quick,
        env=os.environ | number,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = [line for line in ran.stdout.splitlines() if line.startswith('{"name"')]
    return [json.loads(line) for line in lines], ran.returncode


def work(topic: str, quick: bool) -> int:
    """In that process: measure, a JSON line a row."""
    from harness import Options

    for row in importlib.import_module(topic).run(Options(quick)):
        print(json.dumps(row.record()), flush=True)
    return 0


def show(rows: list[dict[str, Any]], seconds: float) -> None:
    """The table, the machines, the notes."""
    table = Table(title="unscene benchmarks: medians, both sides in turns")
    for heading in ("", "measured", "ours", "alternative", "", "unit", "ratio", "target", "met"):
        numeric = heading in ("ours", "ratio") or (heading == "" and len(table.columns) > 1)
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        met = {True: "yes", False: "NO", None: "-"}[row["met"]]
        numbers = [_number(row[key]) for key in ("ours", "alternative", "ratio")]
        table.add_row(
            row["name"], row["what"], numbers[0], row["against"], numbers[1],
            row["unit"], numbers[2], row["target"] or "-", met,
        )  # fmt: skip
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for row in rows:
        if row["note"]:
            console.print(f"{row['name']} ({row['repetitions']}x): {row['note']}", soft_wrap=True)
    for line in dict.fromkeys(row["machine"] for row in rows):
        console.print(f"machine: {line}", soft_wrap=True)
    if rows:
        loads = [row["load"] for row in rows]
        console.print(f"{rows[0]['date']}, load {min(loads)}..{max(loads)} while measuring")
    console.print(f"{seconds:.0f} s in all")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
