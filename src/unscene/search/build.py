"""Videos -> an index of their windows, again and again: only what is new or changed is read.

    listed  ->  unchanged | moved | changed | new | gone  ->  windows  ->  tables (`store`)

What a killed process had read stays, also the first hours of a long recording. Two processes do not
write one index at the same time.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unscene.data.catalog import Catalog, Skipped, Video
from unscene.data.listing import Data, check_videos, list_videos, locate
from unscene.device import pick_device
from unscene.encoders import VideoEncoder, resolve_encoder
from unscene.encoders.resolving import locate_encoder
from unscene.encoders.weights import fingerprint_encoder
from unscene.errors import UnsceneError, check_at_least
from unscene.files import check_writable
from unscene.motion.strength import STILL
from unscene.search import nearest
from unscene.search.embedding import Embedded, embed_windows
from unscene.search.index import Index
from unscene.search.store import About, IndexedFile, Store, check_fingerprint
from unscene.search.windows import WindowPlan

DEFAULT_ENCODER = "motion"  # of an index; see docs/find.md for what it is better and worse at
_WINDOWS, _SECONDS = 2048, 20.0  # written at once, at the latest
_SAMPLE = 1 << 16  # bytes of a file, at three places, that tell whether it is the same

Progress = Callable[[int, int], None]


@dataclass
class Indexed:
    """What a call of `build_index` found and did.

    Attributes:
        place: of the index.
        about: what it was made with.
        new, changed, moved, unchanged, removed: number of files.
        relabel: number of changed files with labels, which may not be right any more.
        windows: that were embedded, now.
        skipped: files that could not be read, and why; those of earlier calls too.
        seconds: that it took.
    """

    place: str
    about: About
    new: int = 0
    changed: int = 0
    moved: int = 0
    unchanged: int = 0
    removed: int = 0
    relabel: int = 0
    windows: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0


def build_index(
    data: Data,
    out: str | os.PathLike[str],
    *,
    encoder: object = None,
    length: float | None = None,
    hop: float | None = None,
    batch_size: int = 16,
    workers: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Indexed:
    """Make an index of videos, or bring one up to date.

    Files of `data` that are indexed and unchanged are not read again. A file that moved keeps its
    windows; one that changed is read again; one that is gone is removed, but its labels are kept.
    Files that were indexed from other data stay.

    Args:
        data: as for `open_catalog`. Segments of a CSV are indexed, and nothing between them.
        out: folder of the index, or an address of an object store that LanceDB takes.
        encoder: as for `load_encoder`; None: that of the index, or "motion" for a new one.
        length, hop: of the windows, in seconds; None: those of the index, or a clip of the encoder
            and half of it.
        batch_size: clips read and encoded at once.
        workers: processes that read videos; 0: this one.
        device: "auto" is a GPU if there is one.
        progress: called as progress(done, total) in windows.

    Raises:
        UnsceneError: no video can be used, another encoder or other windows than the index has,
            another process is writing it, or it cannot be written.
    """
    check_at_least(1, batch_size=batch_size)
    check_at_least(0, workers=workers)
    begun = time.monotonic()
    store = Store(out)
    with _lock(store.place):
        about, network, plan = _agree(store, encoder, length, hop)
        listed = list_videos(data)
        if isinstance(data, str | os.PathLike):  # "videos" of two folders are two sources
            listed = replace(listed, source=locate(os.fspath(data)))
        done = Indexed(store.place, about)
        if listed.source not in about.sources:
            done.about = replace(about, sources=(*about.sources, listed.source))
        store.write_about(done.about)
        store.remove_unfinished(store.files())
        todo = _compare(store, listed, done)
        _embed(store, todo, network, plan, done, progress, batch_size, workers, device)
        files = store.files()
        done.skipped += [
            Skipped(file.path, file.reason) for file in files if file.reason is not None
        ]
        if done.windows or done.removed or done.moved:
            with suppress(UnsceneError):  # labels written meanwhile come first; later is as good
                store.compact()
        if done.windows:
            done.about = _serve_large(store, done.about)
    if not any(file.windows for file in files):
        reasons = "; ".join(f"{one.path}: {one.reason}" for one in done.skipped[:3])
        raise UnsceneError(f"{listed.source}: no video can be used. {reasons}")
    done.seconds = time.monotonic() - begun
    return done


def _serve_large(store: Store, about: About) -> About:
    """Prepare approximate search of an index that is too large for an exact one."""
    if store.count_windows() <= nearest.EXACT:
        return about
    index = Index(store)
    if not about.recall:
        store.make_approximate()
    about = replace(about, recall=max(index.measure_recall(), 1e-3))
    store.write_about(about)
    return about


def _agree(
    store: Store, encoder: object, length: float | None, hop: float | None
) -> tuple[About, VideoEncoder, WindowPlan]:
    """What the index is made with, by its own record or, for a new one, by what is given."""
    known = store.about() if store.exists() else None
    if known is None:
        given = DEFAULT_ENCODER if encoder is None else encoder
        text = repr(given)
        if isinstance(given, str | os.PathLike):
            text = locate_encoder(os.fspath(given))
        network = resolve_encoder(given).encoder
        plan = WindowPlan.of(network.spec, length, hop)
        print_of = fingerprint_encoder(network)
        about = About(text, print_of, plan.length, plan.hop, network.dim, STILL)
        return about, network, plan
    network = resolve_encoder(known.encoder if encoder is None else encoder).encoder
    check_fingerprint(known, network, store.place)
    for name, value in (("length", length), ("hop", hop)):
        if value is not None and abs(value - getattr(known, name)) > 1e-9:
            raise UnsceneError(
                f"{store.place}: the {name} of its windows is {getattr(known, name):g} s; leave "
                f"--{name} out, or make another index with --out"
            )
    if isinstance(encoder, str | os.PathLike):  # its folder may have moved
        known = replace(known, encoder=locate_encoder(os.fspath(encoder)))
    return known, network, WindowPlan.of(network.spec, known.length, known.hop)


_Todo = list[tuple[IndexedFile, list[Video]]]


def _compare(store: Store, listed: Catalog, done: Indexed) -> _Todo:
    """Compare what is listed with the index; return what is to be read, with its segments."""
    done.skipped += listed.skipped
    segments: dict[str, list[Video]] = {}
    for video in listed.videos:
        segments.setdefault(video.path, []).append(video)
    files = store.files()
    known = {file.path: file for file in files}
    lost = [file for file in files if file.path not in segments]
    missing = {(one.size, one.content): one for one in lost if not Path(one.path).exists()}
    next_id, _ = store.next_ids()
    labeled = {label.file_id for label in store.labels()}
    todo: _Todo = []
    touched: list[IndexedFile] = []
    for path, videos in segments.items():
        file = _describe(path, videos, listed, known.get(path))
        if isinstance(file, Skipped):
            done.skipped.append(file)
            continue
        old = known.get(path) or missing.pop((file.size, file.content), None)
        if old is not None and old.path != path:
            lost.remove(old)
        if old is None:
            file, next_id = replace(file, id=next_id), next_id + 1
            done.new += 1
        elif (old.size, old.content, old.segments) == (file.size, file.content, file.segments):
            file = replace(
                old, path=path, name=file.name, source=file.source, modified=file.modified
            )
            if (old.path, old.name) != (file.path, file.name):
                store.rename_file(file)
            done.moved += old.path != path
            done.unchanged += old.path == path and old.done
            touched += [file] if file.done and file != old else []
        else:
            file = replace(file, id=old.id)
            store.remove_windows([old.id])
            done.changed += 1
            done.relabel += old.content != file.content and old.id in labeled
        if not file.done:
            todo.append((file, videos))
    store.put_files([*touched, *(file for file, _ in todo)])
    _remove(store, [file for file in lost if file.source == listed.source], labeled, done)
    return todo


def _describe(
    path: str, videos: Sequence[Video], listed: Catalog, old: IndexedFile | None
) -> IndexedFile | Skipped:
    """The row of a file as it lies on the disk now, not read yet."""
    try:
        stat = Path(path).stat()
        same = old and (old.size, old.modified) == (stat.st_size, stat.st_mtime_ns)
        content = old.content if old and same else fingerprint_file(path)
    except OSError as error:
        return Skipped(path, error.strerror or str(error))
    name = listed.name_of(path)
    try:
        f"{path}{name}{listed.source}".encode()
    except UnicodeEncodeError:
        return Skipped(path, "its name is not UTF-8; rename it")
    segments = tuple((video.start, video.end, video.label) for video in videos)
    return IndexedFile(
        *(0, path, name, listed.source, stat.st_size, stat.st_mtime_ns, content),
        segments=segments,
    )


def _remove(store: Store, lost: Sequence[IndexedFile], labeled: set[int], done: Indexed) -> None:
    """Remove the windows of files that are listed no more. The row of one with labels stays."""
    lost = [file for file in lost if file.windows or file.id not in labeled]
    if lost and lost[0].source.startswith("list of "):
        # A list names some files, and nobody knows of what: those that exist stay.
        lost = [file for file in lost if not Path(file.path).exists()]
    store.remove_windows([file.id for file in lost])
    store.put_files(
        replace(file, windows=0, done=False, reason="is there no more")
        for file in lost
        if file.id in labeled
    )
    store.remove_files([file.id for file in lost if file.id not in labeled])
    done.removed = len(lost)


def fingerprint_file(path: str) -> str:
    """Compute a fingerprint of the bytes of a file from its size and three places of it."""
    size = Path(path).stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with Path(path).open("rb") as stream:
        for at in (0, size // 2, max(0, size - _SAMPLE)):
            stream.seek(at)
            digest.update(stream.read(_SAMPLE))
    return digest.hexdigest()


@dataclass
class _Reading:
    """A file that is being read, and one of its segments.

    Attributes:
        file: its row.
        before: number of windows of the segments before this one.
        last: this is its last segment.
    """

    file: IndexedFile
    before: int
    last: bool


def _plan_reading(todo: _Todo, plan: WindowPlan) -> tuple[list[Video], list[_Reading], _Files]:
    """Check files by decoding their first frame, and count the windows of each segment."""
    checked = check_videos(Catalog("", tuple(video for _, some in todo for video in some)))
    reasons = {skipped.path: skipped.reason for skipped in checked.skipped}
    readable: dict[str, list[Video]] = {}
    for video in checked.videos:
        readable.setdefault(video.path, []).append(video)
    videos: list[Video] = []
    readings: list[_Reading] = []
    rows: _Files = {}
    for file, _ in todo:
        found = readable.get(file.path, [])
        info = found[0].info if found else None
        if info is not None:
            file = replace(file, duration=info.duration, fps=info.fps)
        rows[file.id] = replace(file, reason=reasons.get(file.path), done=not found)
        before = 0
        for video in found:
            videos.append(video)
            readings.append(_Reading(rows[file.id], before, last=video is found[-1]))
            before += plan.count(video.duration)
    return videos, readings, rows


_Files = dict[int, IndexedFile]


def _embed(
    store: Store,
    todo: _Todo,
    encoder: VideoEncoder,
    plan: WindowPlan,
    done: Indexed,
    progress: Progress | None,
    batch_size: int,
    workers: int,
    device: str,
) -> None:
    """Read and embed what is to be read, and write it a few windows at a time."""
    videos, readings, rows = _plan_reading(todo, plan)
    first = [max(0, one.file.windows - one.before) for one in readings]
    counts = [plan.count(video.duration) for video in videos]
    first = [min(number, count) for number, count in zip(first, counts, strict=True)]
    for reading, number, count in zip(readings, first, counts, strict=True):
        if number == count and reading.last:  # killed between its last windows and its row
            rows[reading.file.id] = replace(rows[reading.file.id], done=True)
    store.put_files(rows.values())
    total, writer = sum(counts) - sum(first), _Writer(store, done.about, rows)
    embedded = embed_windows(
        *(encoder, videos, plan),
        first=first,
        batch_size=batch_size,
        workers=workers,
        device=pick_device(device),
    )
    try:
        for part in embedded:
            writer.add(videos[part.video], readings[part.video], part, plan)
            if progress is not None:
                progress(writer.seen, total)
    finally:  # what was read before an error, or before Ctrl-C, stays
        writer.flush()
        done.windows = writer.written


class _Writer:
    """Collects windows, and writes them and the rows of their files a few thousand at a time."""

    def __init__(self, store: Store, about: About, rows: _Files) -> None:
        self.store, self.about, self.rows = store, about, rows
        self.seen = self.written = 0
        _, self.next_id = store.next_ids()
        self.columns: dict[str, list[Any]] = {}
        self.vectors: list[NDArray[np.float32]] = []
        self.touched: set[int] = set()
        self.flushed = time.monotonic()

    def add(self, video: Video, reading: _Reading, part: Embedded, plan: WindowPlan) -> None:
        """Take windows of one segment; write if there are enough."""
        row, count = self.rows[reading.file.id], len(part.number)
        starts, ends = plan.spans(part.number, video.duration)
        values: dict[str, Any] = {
            "id": range(self.next_id, self.next_id + count),
            "file_id": [row.id] * count,
            "file": [row.name] * count,
            "number": part.number + reading.before,
            "start": (starts + video.start).round(6),
            "end": (ends + video.start).round(6),
            "motion": part.motion,
            "still": part.motion < self.about.still,
            "class": [video.label] * count,
        }
        for name, column in values.items():
            self.columns.setdefault(name, []).extend(column)
        self.vectors.append(part.vectors)
        self.next_id += count
        self.rows[row.id] = self._advance(row, reading, part)
        self.touched.add(row.id)
        self.seen = self.seen + count
        waited = time.monotonic() - self.flushed
        if sum(map(len, self.vectors)) >= _WINDOWS or waited > _SECONDS:
            self.flush()

    def _advance(self, row: IndexedFile, reading: _Reading, part: Embedded) -> IndexedFile:
        reason = row.reason
        if part.reasons:
            reason = f"some of its windows cannot be read: {part.reasons[0]}"
        counted = row.windows
        if len(part.number):
            counted = reading.before + int(part.number[-1]) + 1
        if not (part.last and reading.last):
            return replace(row, windows=counted, reason=reason)
        if counted == 0:
            reason = part.reasons[0] if part.reasons else reason
        try:
            stat = Path(row.path).stat()
            same = (stat.st_size, stat.st_mtime_ns) == (row.size, row.modified)
        except OSError:
            same = False
        if not same:  # the next call compares again
            reason = "changed or vanished while it was read; index again"
        return replace(row, windows=counted, reason=reason, done=same)

    def flush(self) -> None:
        """Write what was collected: windows first, then the rows that count them."""
        columns, vectors, touched = self.columns, self.vectors, self.touched
        # Emptied first: after Ctrl-C or an error, nobody knows whether this was written, and what
        # is written twice would stay. What no row counts is removed by the next call.
        self.columns, self.vectors, self.touched = {}, [], set()
        if vectors:
            self.store.add_windows(columns, np.concatenate(vectors))
            self.written += sum(map(len, vectors))
        self.store.put_files(self.rows[one] for one in touched)
        self.flushed = time.monotonic()


@contextmanager
def _lock(place: str) -> Iterator[None]:
    """Keep other processes from writing the same index; a process that is killed lets go.

    Raises:
        UnsceneError: another process is writing it.
    """
    if "://" in place:  # object stores have no locks
        yield
        return
    try:
        import fcntl
    except ImportError:  # on Windows, where folders cannot be locked
        yield
        return
    check_writable(Path(place, "x"))
    Path(place).mkdir(parents=True, exist_ok=True)
    folder = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(folder)
        raise UnsceneError(
            f"{place}: another process is indexing into it; wait until it is done, or name "
            "another place by --out"
        ) from error
    except OSError:  # some network file systems have no locks
        pass
    try:
        yield
    finally:
        os.close(folder)
