"""`unscene.Index`: an index of footage, opened: search, labels, and what else is asked of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from unscene.data.catalog import Video
from unscene.data.listing import open_catalog
from unscene.errors import UnsceneError, VideoError, check_at_least
from unscene.files import expand_home
from unscene.search import nearest
from unscene.search.cluster import Clusters, cluster_windows
from unscene.search.labeling import Labeling
from unscene.search.labels import Label, assign_labels
from unscene.search.moments import Moment, merge_windows
from unscene.search.nearest import Nearest, average_directions, find_largest
from unscene.search.store import About, IndexedFile, Store, StoredLabel, check_fingerprint
from unscene.search.windows import WindowPlan, Windows

if TYPE_CHECKING:  # it imports torch, for which who opens an index need not wait
    from unscene.encoders import VideoEncoder

Query = str | os.PathLike[str] | Moment | NDArray[np.float32]
_PROPOSED, _SPARE = 8, 64  # windows per moment that are looked at first, and some more
_UNLIKE = 0.5  # weight of what a result should be unlike, against that of the query


class Index(Labeling):
    """An index of footage.

    Args:
        store: its tables.

    Attributes:
        about: what it was made with.
        files: its files, by name; `Windows.file` is a position in this list.

    Example::

        unscene.build_index("videos/", "runs/index")
        index = unscene.Index.open("runs/index")
        for moment in index.search("jump.mp4", start=1.0, end=3.0, k=5):
            print(moment.path, moment.start, moment.similarity)
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.about: About = store.about()
        self.files: list[IndexedFile] = store.files()

    @classmethod
    def open(cls, place: str | os.PathLike[str]) -> Index:
        """Open an index that `unscene index` or `build_index` made.

        Args:
            place: its folder, or an address of an object store.

        Raises:
            UnsceneError: there is none, or a newer version of unscene made it.
        """
        return cls(Store(place))

    def __len__(self) -> int:
        return len(self.windows)

    def __repr__(self) -> str:
        return f"Index({self.store.place!r}, {len(self.files)} files, {len(self)} windows)"

    @cached_property
    def windows(self) -> Windows:
        """All windows, still ones included, ordered by file and start."""
        return self.store.windows(self.files)

    @cached_property
    def still(self) -> NDArray[np.bool_]:
        """Which windows show nothing that moves: bool (N,). Searches leave them out."""
        return self.windows.motion < self.about.still

    @cached_property
    def encoder(self) -> VideoEncoder:
        """The encoder that the index was made with, loaded.

        Raises:
            UnsceneError: it cannot be loaded, or it is not the same as then.
        """
        from unscene.encoders import load_encoder

        encoder = load_encoder(self.about.encoder)
        check_fingerprint(self.about, encoder, self.store.place)
        return encoder

    @property
    def plan(self) -> WindowPlan:
        """How videos are cut into windows."""
        return WindowPlan.of(self.encoder.spec, self.about.length, self.about.hop)

    def find_file(self, path: str | os.PathLike[str]) -> int:
        """Find the position of a file by its path, its name or the end of its name.

        Raises:
            UnsceneError: no file of the index has it, or several have.
        """
        text = os.fspath(path)
        absolute = str(expand_home(text).absolute())
        exact = [i for i, one in enumerate(self.files) if text == one.name or absolute == one.path]
        found = exact or [
            i for i, one in enumerate(self.files) if f"/{one.path}".endswith(f"/{text}")
        ]
        if len(found) != 1:
            why = "is in no file of" if not found else f"is the name of {len(found)} files of"
            hint = "; name more of its path"
            if not found:
                hint = "; see the column file of `unscene search`, or index its folder"
            raise UnsceneError(f"{text}: {why} the index {self.store.place}{hint}")
        return found[0]

    def moment(self, window: int) -> Moment:
        """The moment of one window, by its id. Raises UnsceneError if there is none."""
        rows = self._find_rows([window])
        if not len(rows):
            raise UnsceneError(f"window {window}: is not in the index {self.store.place}")
        row = int(rows[0])
        file, label = self.files[int(self.windows.file[row])], self._window_labels.get(window)
        start, end = float(self.windows.start[row]), float(self.windows.end[row])
        motion = float(self.windows.motion[row])
        return Moment(file.path, start, end, None, motion, label, (window,))

    def embed(
        self, path: str | os.PathLike[str], start: float | None = None, end: float | None = None
    ) -> NDArray[np.float32]:
        """Compute features of a stretch of any video, by the encoder of the index.

        Windows of the stretch in which nothing moves are left out if something moves in others. A
        stretch shorter than a window is widened to one; a video shorter than that is looped.

        Args:
            path: a video file.
            start, end: in seconds; None: of the file.

        Returns:
            float32 (M, D): of its windows.

        Raises:
            UnsceneError: the file cannot be read, or has nothing between start and end.
        """
        from unscene.search.embedding import embed_windows

        (video,) = open_catalog([path]).videos
        low, high = _check_stretch(video, start, end, self.about.length)
        part = Video(video.path, start=low, end=high, info=video.info)
        parts = list(embed_windows(self.encoder, [part], self.plan))
        vectors = np.concatenate([one.vectors for one in parts])
        if not len(vectors):
            reasons = [reason for one in parts for reason in one.reasons]
            raise VideoError(video.path, reasons[0] if reasons else "no frame can be decoded")
        moves = np.concatenate([one.motion for one in parts]) >= self.about.still
        return vectors[moves] if moves.any() else vectors

    def search(
        self,
        query: Query,
        *,
        start: float | None = None,
        end: float | None = None,
        unlike: Sequence[Query] = (),
        k: int = 20,
        where: str | None = None,
        still: bool = False,
        merge: bool = True,
    ) -> list[Moment]:
        """Find the moments whose motion is most similar to that of a query.

        Args:
            query: a video file; a moment of the index; or features, (D,) or (M, D).
            start, end: of the stretch of the file that counts, in seconds.
            unlike: what the results should not be like, as `query`.
            k: number of moments.
            where: a condition in SQL over file, start, end, motion, still, label and class.
            still: also find windows in which nothing moves.
            merge: join windows that overlap into one moment; False: each one is its own.

        Returns:
            At most k moments, the most similar first. The query itself is not among them.

        Raises:
            UnsceneError: the query cannot be read, or the condition is wrong.
        """
        check_at_least(1, k=k)
        wanted = self._vectors(query, start, end)
        direction = self._nearest.average(wanted)
        unwanted = [self._nearest.average(self._vectors(one, None, None)) for one in unlike]
        allowed = self.select(where)
        if not still:
            allowed &= ~self.still
        self._hide_query(allowed, query, start, end)
        rows = None
        if self.about.recall and len(self) > nearest.EXACT:
            rows = self._propose(average_directions(wanted), where, still, k)
            proposed = np.zeros_like(allowed)
            proposed[rows] = True
            allowed &= proposed
        similarity = self._nearest.similarities(direction, rows)
        order = similarity
        if unwanted:
            against = [self._nearest.similarities(one, rows) for one in unwanted]
            order = similarity - _UNLIKE * np.max(against, axis=0)
        return self._collect(similarity, order, allowed, k, merge)

    def select(self, where: str | None) -> NDArray[np.bool_]:
        """Select windows by a condition in SQL: bool (N,), True everywhere for None.

        Columns: file (its name), start, end (seconds), motion, still, label, class.

        Raises:
            UnsceneError: the condition is wrong.
        """
        if where is None or not where.strip():
            return np.ones(len(self), bool)
        self._write_window_labels()
        return np.isin(self.windows.ids, self.store.select_windows(where))

    def cluster(self, clusters: int | Literal["auto"] = "auto", *, seed: int = 0) -> Clusters:
        """Group the windows in which something moves by their motion.

        Args:
            clusters: number of groups; "auto": chosen by the silhouette.
            seed: of everything random.

        Returns:
            Groups with their typical moments, and the moments that are rare. Groups are of motion
            features: they are no classes.

        Raises:
            UnsceneError: too little moves.
        """
        return cluster_windows(
            self.windows, self.still, self.files, self.labels(), clusters=clusters, seed=seed
        )

    def labels(self) -> list[Label]:
        """All labels that somebody gave, by file and start."""
        paths = {file.id: file.path for file in self.files}
        return [
            Label(paths[one.file_id], one.start, one.end, one.label, one.id)
            for one in self.store.labels()
            if one.file_id in paths
        ]

    def add_labels(self, labels: Iterable[Label]) -> list[Label]:
        """Add labels, all or none, and return them with their ids.

        Raises:
            UnsceneError: a file is not in the index, or the index cannot be written.
        """
        given = list(labels)
        stored = self.store.add_labels([self._store_label(one) for one in given])
        self._forget_labels()
        return [
            Label(one.path, one.start, one.end, one.label, kept.id)
            for one, kept in zip(given, stored, strict=True)
        ]

    def replace_labels(self, labels: Iterable[Label]) -> None:
        """Write labels in place of those that have their ids, all or none.

        Raises:
            UnsceneError: an id is unknown, a file is not in the index, or the index cannot be
                written.
        """
        given = list(labels)
        known = {one.id for one in self.store.labels()}
        for one in given:
            if one.id not in known:
                raise UnsceneError(f"label {one.id}: is not in the index; it may have been removed")
        self.store.replace_labels([self._store_label(one) for one in given])
        self._forget_labels()

    def remove_labels(self, ids: Iterable[str]) -> None:
        """Remove labels by their ids; unknown ones are ignored."""
        self.store.remove_labels(ids)
        self._forget_labels()

    @cached_property
    def _positions(self) -> dict[str, list[int]]:
        """Positions of files by their real paths, with links resolved."""
        found: dict[str, list[int]] = {}
        for number, file in enumerate(self.files):
            found.setdefault(os.path.realpath(file.path), []).append(number)
        return found

    @cached_property
    def _by_id(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ids of windows in order, and the row of each."""
        order = np.argsort(self.windows.ids, kind="stable")
        return self.windows.ids[order], order

    def _find_rows(self, ids: Iterable[int]) -> NDArray[np.int64]:
        """Rows of windows by their ids; unknown ids are ignored."""
        wanted = np.fromiter(ids, np.int64)
        known, rows = self._by_id
        at = np.searchsorted(known, wanted).clip(max=max(len(known) - 1, 0))
        return rows[at[known[at] == wanted]] if len(known) else wanted[:0]

    @cached_property
    def _nearest(self) -> Nearest:
        return Nearest(self.windows.vectors, ~self.still)

    @cached_property
    def _window_labels(self) -> dict[int, str]:
        """The label of each window that has one, by the id of the window."""
        labels = self.labels()
        found = assign_labels(self.windows, self.files, labels)
        rows = np.flatnonzero(found >= 0).tolist()
        return {int(self.windows.ids[row]): labels[int(found[row])].label for row in rows}

    def _forget_labels(self) -> None:
        self.__dict__.pop("_window_labels", None)

    def _write_window_labels(self) -> None:
        """Bring the column that conditions in SQL read up to date: labels change one at a time."""
        self._forget_labels()  # another process may have written some
        wanted: dict[int, str | None] = dict(self._window_labels)
        written = self.store.window_labels()
        changes: dict[str | None, list[int]] = {}
        for window in wanted.keys() | written.keys():
            if wanted.get(window) != written.get(window):
                changes.setdefault(wanted.get(window), []).append(window)
        self.store.set_window_labels(changes)

    def _store_label(self, label: Label) -> StoredLabel:
        file = self.files[self.find_file(label.path)]
        return StoredLabel(label.id, file.id, float(label.start), float(label.end), label.label)

    def _vectors(self, query: Query, start: float | None, end: float | None) -> NDArray[np.float32]:
        if isinstance(query, Moment):
            rows = self._find_rows(query.windows)
            if len(rows):
                return self.windows.vectors[rows]
            return self.embed(query.path, query.start, query.end)
        if isinstance(query, np.ndarray):
            vectors = np.atleast_2d(query).astype(np.float32)
            if vectors.ndim != 2 or vectors.shape[1] != self.about.dim:
                raise UnsceneError(
                    f"a query of the shape {query.shape}: the vectors of {self.store.place} have "
                    f"{self.about.dim} numbers"
                )
            return vectors
        return self.embed(query, start, end)

    def _hide_query(
        self, allowed: NDArray[np.bool_], query: Query, start: float | None, end: float | None
    ) -> None:
        """A query that is itself in the index is not its own result."""
        if isinstance(query, np.ndarray):
            return
        if isinstance(query, Moment):
            path, start, end = query.path, query.start, query.end
        else:
            path = os.fspath(query)
        for number in self._positions.get(os.path.realpath(expand_home(path)), ()):
            own = self.windows.file == number
            high = self.files[number].duration if end is None else end
            own &= (self.windows.start < high) & (self.windows.end > (start or 0.0))
            allowed &= ~own

    def _propose(
        self, direction: NDArray[np.float32], where: str | None, still: bool, k: int
    ) -> NDArray[np.int64]:
        """Rows that approximate search proposes: more than are needed, since windows overlap."""
        conditions = [f"({where})"] if where else []
        conditions += [] if still else ["NOT still"]
        ids = self.store.search_approximate(
            direction, " AND ".join(conditions), _PROPOSED * k + _SPARE
        )
        return self._find_rows(ids)

    def measure_recall(self) -> float:
        """Measure the recall of approximate search: the share of the 20 nearest that it finds."""
        hits = []
        for row in nearest.choose_queries(len(self)).tolist():
            own = self.windows.vectors[[row]]
            similarity = self._nearest.similarities(self._nearest.average(own))
            exact = self.windows.ids[find_largest(similarity, nearest.NEAREST)]
            count = _PROPOSED * nearest.NEAREST + _SPARE  # as a search of 20 moments proposes
            found = self.store.search_approximate(average_directions(own), "", count)
            hits.append(np.isin(exact, found).mean())
        return float(np.mean(hits))

    def _collect(
        self,
        similarity: NDArray[np.float32],
        order: NDArray[np.float32],
        allowed: NDArray[np.bool_],
        k: int,
        merge: bool,
    ) -> list[Moment]:
        """The best moments among the windows that are allowed, by `order`."""
        rows = np.flatnonzero(allowed)
        count = _PROPOSED * k + _SPARE  # more, if too few moments come of them
        while True:
            best = rows[find_largest(order[rows], count)]
            w = self.windows
            columns = (best, w.file[best], w.start[best], w.end[best], order[best])
            found = merge_windows(zip(*(c.tolist() for c in columns), strict=True), k, merge=merge)
            if len(found) == k or len(best) == len(rows):
                break
            count *= 4
        return [self._make_moment(similarity, *one) for one in found]

    def _make_moment(
        self, similarity: NDArray[np.float32], rows: list[int], start: float, end: float
    ) -> Moment:
        windows = self.windows
        ids = tuple(windows.ids[rows].tolist())
        return Moment(
            self.files[int(windows.file[rows[0]])].path,
            start,
            end,
            float(similarity[rows[0]]),
            float(windows.motion[rows].max()),
            self._window_labels.get(ids[0]),
            ids,
        )


def _check_stretch(
    video: Video, start: float | None, end: float | None, length: float
) -> tuple[float, float | None]:
    """Start and end of a stretch of a video, widened to the length of a window."""
    duration = video.duration
    low, high = start or 0.0, duration if end is None else end
    if not 0 <= low < high or low >= duration:
        raise UnsceneError(
            f"{video.path}: it lasts {duration:.2f} s, so from {low:g} to {high:g} s there is "
            "nothing to look for; give two times within it, the first one smaller"
        )
    high = min(high, duration)
    if high - low < length:
        middle = (low + high) / 2
        low = max(0.0, min(middle - length / 2, duration - length))
        high = min(duration, low + length)
    return low, None if high >= duration else high
