"""Retrieval: a thousand queries in a gallery of a million features."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

from harness import Options, Row

QUERIES, DIM = 1000, 512

# Runs in a process of its own, so that its peak memory above the gallery is that of the search.
SEARCH = """
import re, sys, time
from pathlib import Path
import torch
from unscene.evaluate.features import Features
from unscene.evaluate.retrieval import retrieve
from unscene.data.catalog import Video

def now(field):
    return int(re.search(field + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def features(count):
    values = torch.randn(count, int(sys.argv[3]))
    videos = tuple(Video(str(i), str(i % 100)) for i in range(count))
    return Features(values, videos, torch.arange(count))

gallery, query = features(int(sys.argv[1])), features(int(sys.argv[2]))
retrieve(features(10), features(100))  # loads what is imported at first use
idle = now("VmRSS")
begun = time.perf_counter()
if sys.argv[4] == "ours":
    retrieve(query, gallery)
else:
    g = gallery.values / gallery.values.norm(dim=1, keepdim=True)
    q = query.values / query.values.norm(dim=1, keepdim=True)
    (q @ g.T).sort(dim=1, descending=True)
print(idle, now("VmHWM"), time.perf_counter() - begun)
"""


def run(options: Options) -> Iterator[Row]:
    gallery = options.times(1_000_000, 100_000)
    ours, seconds = _measure(gallery, "ours")
    # The matrix for a million rows takes 4 GB, and 8 GB more to sort: measure a tenth, and scale.
    whole, _ = _measure(gallery // 10, "whole")
    yield Row(
        name="retrieval.memory",
        what=f"{QUERIES:,} queries in {gallery:,} x {DIM}, R@K and mAP: peak above the gallery",
        ours=ours,
        alternative=whole * 10,
        against="one matrix of all similarities, sorted (a tenth of the gallery, times ten)",
        unit="MB",
        ratio=ours / (whole * 10),
        target="",
        repetitions=1,
        note=f"{seconds:.0f} s",
    )


def _measure(gallery: int, side: str) -> tuple[float, float]:
    """Peak MB above the idle process, and seconds."""
    command = [sys.executable, "-c", SEARCH, str(gallery), str(QUERIES), str(DIM), side]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    idle, peak, seconds = (float(n) for n in re.findall(r"[\d.]+", ran.stdout))
    return (peak - idle) / 1024, seconds
