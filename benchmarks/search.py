"""An index of footage: how fast it is made, how fast it answers, how much room it takes."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from harness import Options, Row, footage, turns

from unscene.data.listing import check_videos, list_videos
from unscene.encoders import VideoEncoder, load_encoder
from unscene.motion.strength import STILL
from unscene.search import nearest
from unscene.search.build import build_index
from unscene.search.embedding import embed_windows
from unscene.search.index import Index
from unscene.search.store import About, IndexedFile, Store
from unscene.search.windows import WindowPlan

DIM = 192  # of `motion`
_COPIES = 4  # of the footage


def run(options: Options) -> Iterator[Row]:
    with footage() as (paths, kind), tempfile.TemporaryDirectory() as folder:
        yield from _building(paths, kind, Path(folder), options.times(3, 1))
    with tempfile.TemporaryDirectory() as folder:
        for windows, target in (
            (options.times(100_000, 10_000), 40),
            (options.times(10**6, 20_000), 400),
        ):
            yield from _searching(Path(folder) / str(windows), windows, target, options.times(9, 2))


def _building(paths: list[Path], kind: str, folder: Path, repetitions: int) -> Iterator[Row]:
    """`build_index` beside decoding every file once and encoding as many clips."""
    encoder = load_encoder("motion").eval()
    plan = WindowPlan.of(encoder.spec, None, None)
    copies = folder / "footage"
    copies.mkdir()
    for number, path in enumerate(paths * _COPIES):  # so that making the tables does not count
        shutil.copy(path, copies / f"{number}{Path(path).suffix}")
    videos = check_videos(list_videos(copies)).videos
    windows = sum(len(plan.starts(video.duration)) for video in videos)
    clips = _read_clips(encoder, plan, videos[: len(paths)])
    number = count()

    def index(workers: int) -> None:
        build_index(copies, folder / str(next(number)), workers=workers)

    @torch.inference_mode()
    def alone() -> None:
        for video in videos:
            with av.open(video.path) as container:
                for _ in container.decode(video=0):
                    pass
        for start in range(0, windows, 16):
            at = start % (len(clips) - 16)
            encoder(clips[at : at + min(16, windows - start)])

    for workers, clock in ((0, time.process_time), (1, time.perf_counter)):
        sides = partial(index, workers), alone
        ours, other = turns(*sides, repetitions=repetitions, clock=clock)
        yield Row(
            name=f"search.index_{workers}",
            what=f"index footage with motion, {workers} processes that read",
            ours=windows / ours,
            alternative=windows / other,
            against="decode every frame once (PyAV), and encode as many clips from memory",
            unit="windows/s" if workers else "windows/CPU s",
            ratio=other / ours,
            target=">= 0.9",
            repetitions=repetitions,
            note=f"{windows} windows of {len(videos)} {kind}, half a window apart; most of the "
            "rest is resizing and cropping for the encoder",
        )


def _read_clips(encoder: VideoEncoder, plan: WindowPlan, videos: Any) -> torch.Tensor:
    """The views of all windows, taken from what `embed_windows` gives to the encoder."""
    seen: list[torch.Tensor] = []
    hook = encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    list(embed_windows(encoder, videos, plan))
    hook.remove()
    return torch.cat(seen)


def _searching(place: Path, windows: int, target: int, repetitions: int) -> Iterator[Row]:
    """Exact search beside a plain NumPy loop and LanceDB's own flat search."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((1000, DIM), dtype=np.float32)
    index = _fill(place, windows, centers, rng)
    query = centers[:1]
    table = index.store._table("windows")

    def ours() -> None:
        index.search(query, k=20)

    def loop() -> None:
        vectors, unit = index.windows.vectors, query[0] / np.linalg.norm(query[0])
        similarity = (vectors @ unit) / np.linalg.norm(vectors, axis=1)
        np.argsort(-similarity)[:20]

    def flat() -> None:
        found = table.search(query[0], vector_column_name="vector").distance_type("cosine")
        found.bypass_vector_index().where("NOT still", prefilter=True).limit(224).to_arrow()

    seconds = turns(ours, loop, flat, repetitions=repetitions)
    names = ("NumPy: all cosines, sorted", "LanceDB: flat search of the table")
    for name, against, other in zip(("numpy", "lancedb"), names, seconds[1:], strict=True):
        yield Row(
            name=f"search.exact_{windows}_{name}",
            what=f"20 moments of {windows:,} windows, exactly",
            ours=seconds[0] * 1000,
            alternative=other * 1000,
            against=against,
            unit="ms",
            ratio=seconds[0] / other,
            target=f"ours <= {target}",
            repetitions=repetitions,
            note=f"{DIM} numbers a window, index open, query as an array",
        )
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    yield Row(
        name=f"search.disk_{windows}",
        what="disk of an index",
        ours=size / windows,
        alternative=4.0 * DIM,
        against="the numbers of its vectors alone",
        unit="bytes/window",
        ratio=size / windows / (4 * DIM),
        target="",
        repetitions=1,
    )
    yield from _approximate(index, query, seconds[0], repetitions)


def _approximate(
    index: Index, query: np.ndarray[Any, Any], exact: float, repetitions: int
) -> Iterator[Row]:
    """Approximate search, as above a million windows, beside the exact one."""
    index.store.make_approximate()
    recall = index.measure_recall()
    index.about = replace(index.about, recall=recall)
    limit, nearest.EXACT = nearest.EXACT, 0
    (seconds,) = turns(lambda: index.search(query, k=20), repetitions=repetitions)
    nearest.EXACT = limit
    yield Row(
        name=f"search.approximate_{len(index)}",
        what=f"20 moments of {len(index):,} windows, approximately",
        ours=seconds * 1000,
        alternative=exact * 1000,
        against="exact search",
        unit="ms",
        ratio=seconds / exact,
        target="",
        repetitions=repetitions,
        note=f"recall of the 20 nearest {recall:.3f}",
    )


def _fill(
    place: Path, windows: int, centers: np.ndarray[Any, Any], rng: np.random.Generator
) -> Index:
    """An index of made-up windows around `centers`, an hour of them in each file."""
    store = Store(place)
    store.write_about(About("motion", "none", 1.667, 0.833, DIM, STILL))
    each = 4320
    files = []
    for number, begin in enumerate(range(0, windows, each)):
        some = min(each, windows - begin)
        near = centers[rng.integers(0, len(centers), some)]
        vectors = near + rng.standard_normal((some, DIM), dtype=np.float32)
        starts = np.arange(some) * 0.833
        name = f"{number}.mp4"
        columns = {
            "id": np.arange(begin, begin + some),
            "file_id": [number] * some,
            "file": [name] * some,
            "number": np.arange(some),
            "start": starts,
            "end": starts + 1.667,
            "motion": np.full(some, 0.1, np.float32),
            "still": np.zeros(some, bool),
            "class": [None] * some,
        }
        store.add_windows(columns, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        files.append(
            IndexedFile(
                number, f"/{name}", name, "/", 0, 0, "", 3600.0, 30.0, windows=some, done=True
            )
        )
    store.put_files(files)
    store.compact()
    return Index(store)
