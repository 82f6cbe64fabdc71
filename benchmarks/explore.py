"""The page's server: from the command to the first moments; searches, labels, pictures, clips."""

from __future__ import annotations

import http.client
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from harness import Options, Row, footage, frames_of, rate_of

from unscene.encoders import load_encoder
from unscene.encoders.weights import fingerprint_encoder
from unscene.motion.strength import STILL
from unscene.search.store import About, IndexedFile, Store

WINDOWS, DIM = 10_000, 192  # DIM: of `motion`
SCREEN = 24  # moments that the page shows first


def run(options: Options) -> Iterator[Row]:
    with footage() as (paths, kind), tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        files = write_index(index, Path(folder), paths, WINDOWS)
        note = f"{WINDOWS:,} windows of {files:,} files (links to 8 {kind}), random features"
        yield from _opening(index, note, options.times(5, 1))
        with served(index) as server:
            show_first(server)
            yield from _asking(server, options.times(25, 3), note)


@dataclass
class Server:
    """A server in a process of its own."""

    port: int
    process: subprocess.Popen[str]

    def ask(self, method: str, path: str, body: Any = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:200]!r}")
        return data


@contextmanager
def served(index: Path) -> Iterator[Server]:
    """`unscene explore INDEX`, until it prints its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "unscene", "explore", str(index), "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert found, line
        yield Server(int(found[1]), process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def show_first(server: Server) -> None:
    """What the page asks for until the first moments are visible: JSON, then pictures."""
    for path in ("/", "/static/main.js", "/static/page.css", "/api/index"):
        server.ask("GET", path)
    show_wall(server, "spread", 0)


def show_wall(server: Server, order: str, offset: int) -> None:
    """A screen of moments and their pictures; browsers ask for six at a time."""
    found = server.ask("GET", f"/api/moments?order={order}&offset={offset}&limit={SCREEN}")
    paths = [
        f"/media/{one['file']}/frame?at={(one['start'] + one['end']) / 2:.3f}"
        for one in json.loads(found)["moments"]
    ]
    with ThreadPoolExecutor(6) as browser:
        list(browser.map(lambda path: server.ask("GET", path), paths))


def _opening(index: Path, note: str, repetitions: int) -> Iterator[Row]:
    command, page, bare = [], [], []
    floor = [sys.executable, "-c", "import fastapi, uvicorn, lancedb"]
    for _ in range(repetitions):
        begun = time.perf_counter()
        with served(index) as server:
            show_first(server)
            command.append(time.perf_counter() - begun)
        with served(index) as server:
            server.ask("GET", "/api/index")  # the index is open
            begun = time.perf_counter()
            show_first(server)
            page.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        subprocess.run(floor, check=True)
        bare.append(time.perf_counter() - begun)
    yield Row(
        name="explore.page",
        what=f"open the page of a server: its files, the first {SCREEN} moments, their pictures",
        ours=statistics.median(page),
        alternative=None,
        against="",
        unit="s",
        ratio=statistics.median(page),
        target="ours <= 1",
        repetitions=repetitions,
        note=note,
    )
    yield Row(
        name="explore.command",
        what=f"from `unscene explore INDEX` to the first {SCREEN} moments and their pictures",
        ours=statistics.median(command),
        alternative=statistics.median(bare),
        against="Python that imports FastAPI, uvicorn and LanceDB, and ends",
        unit="s",
        ratio=statistics.median(command) / statistics.median(bare),
        target="",
        repetitions=repetitions,
        note=note,
    )


def _asking(server: Server, repetitions: int, note: str) -> Iterator[Row]:
    index = json.loads(server.ask("GET", "/api/index"))
    files = [file["id"] for file in index["files"]]
    number = iter(range(10**6))

    def search() -> None:
        body = {"query": {"window": 7 * next(number)}, "unlike": [{"window": 5}], "k": 60}
        server.ask("POST", "/api/search", body)

    def label() -> None:
        file = files[next(number) % len(files)]
        server.ask("POST", "/api/labels", {"file": file, "start": 0, "end": 2, "label": "x"})

    def other_screen() -> None:
        show_wall(server, "motion", SCREEN * next(number))

    def clip() -> None:
        place = next(number)
        at = 0.01 * (place // len(files))
        server.ask("GET", f"/media/{files[place % len(files)]}/clip?start={at}&end={at + 1.67}")

    def rare() -> None:
        server.ask(
            "GET", f"/api/moments?order=rare&where=motion > 0.{next(number)}".replace(" ", "%20")
        )

    for name, what, target, work in (
        ("search", "search by a window unlike another one, 60 moments, over HTTP", 200, search),
        ("label", "give a label: one commit of LanceDB, over HTTP", None, label),
        ("wall", f"another screen of the wall: {SCREEN} moments and pictures not yet made", None,
         other_screen),
        ("clip", "a clip to play on hover, not yet made", None, clip),
        ("where", "the rarest moments of a new condition in SQL", None, rare),
    ):  # fmt: skip
        yield _timed(name, what, target, work, repetitions, note)
    begun = time.perf_counter()
    server.ask("GET", "/api/map")
    yield Row(
        name="explore.map",
        what="the map of all moments, the first time",
        ours=time.perf_counter() - begun,
        alternative=None,
        against="",
        unit="s",
        ratio=1.0,
        target="",
        repetitions=1,
        note=note,
    )


def _timed(
    name: str, what: str, target: int | None, work: Callable[[], None], count: int, note: str
) -> Row:
    work()
    seconds = []
    for _ in range(count):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    median = 1000 * statistics.median(seconds)
    return Row(
        name=f"explore.{name}",
        what=what,
        ours=median,
        alternative=None,
        against="",
        unit="ms",
        ratio=median,
        target=f"ours <= {target}" if target else "",
        repetitions=count,
        note=note,
    )


def write_index(place: Path, folder: Path, paths: list[str], windows: int) -> int:
    """Write an index of so many windows; its files are links to footage. How many files."""
    encoder = load_encoder("motion")
    length = encoder.spec.frames * encoder.spec.stride / 30
    hop, each = length / 2, []
    for path in paths:
        duration = frames_of(path) / rate_of(path)
        each.append((path, duration, max(1, int((duration - length) / hop) + 1)))
    rng = np.random.default_rng(0)
    files, columns = [], []
    while len(columns) < windows:
        path, duration, count = each[len(files) % len(each)]
        link = folder / "footage" / f"{len(files):05}{Path(path).suffix}"
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(path)
        facts, id = link.stat(), len(files)
        count = min(count, windows - len(columns))
        files.append(
            IndexedFile(id, str(link), link.name, str(folder), facts.st_size, facts.st_mtime_ns,
                        str(id), duration, rate_of(path), windows=count, done=True)
        )  # fmt: skip
        columns += [(id, link.name, number) for number in range(count)]
    store = Store(place)
    fingerprint = fingerprint_encoder(encoder)
    store.write_about(About("motion", fingerprint, length, hop, DIM, STILL, (str(folder),)))
    owner, names, number = zip(*columns, strict=True)
    start = np.array(number) * hop
    motion = rng.gamma(2, 0.1, len(columns)).astype(np.float32)
    store.add_windows(
        {
            "id": np.arange(len(columns)),
            "file_id": np.array(owner),
            "file": list(names),
            "number": np.array(number),
            "start": start,
            "end": start + length,
            "motion": motion,
            "still": motion < STILL,
            "class": [""] * len(columns),
        },
        rng.normal(size=(len(columns), DIM)).astype(np.float32),
    )
    store.put_files(files)
    return len(files)
