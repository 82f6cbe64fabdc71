"""The tables of an index, in a folder or at an address of an object store that LanceDB takes.

about     one row: version, encoder and its fingerprint, length and hop of windows
files     a row per video file: where it is, what it was when it was read, how far it was read
windows   a row per window: file, start, end, motion, still, label, class, vector
labels    a row per label that somebody gave

Every write is one commit of LanceDB: a process that is killed leaves the table as it was. Windows
are written before the row of their file, which says how many of them count; what a killed process
left beyond that is removed by the next one that writes.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError, first_line
from unscene.files import expand_home, make_absolute
from unscene.imports import import_extra
from unscene.search.windows import Windows

if TYPE_CHECKING:  # it imports torch, and tables can be read without it
    from unscene.encoders import VideoEncoder

VERSION = 1
_FRAGMENTS = 32  # files of a table from which on they are joined
_PROBES = 50  # partitions that approximate search looks into
_COLUMNS = ("id", "file_id", "number", "start", "end", "motion", "vector")


@dataclass(frozen=True)
class About:
    """What an index was made with.

    Attributes:
        encoder: as `--encoder` took it.
        fingerprint: of its weights; another encoder's vectors cannot be compared with these.
        length, hop: of the windows, in seconds.
        dim: D, length of a vector.
        still: motion below this counts as still, see `motion.strength`.
        sources: what was indexed: DATA of each time.
        recall: of the approximate search of a large index, against exact search: the share of the
            20 nearest windows that it finds. 0: there is none, and search is exact.
        version: of the format.
    """

    encoder: str
    fingerprint: str
    length: float
    hop: float
    dim: int
    still: float
    sources: tuple[str, ...] = ()
    recall: float = 0.0
    version: int = VERSION


@dataclass(frozen=True)
class IndexedFile:
    """A video file of an index.

    Attributes:
        id: the same for as long as the index knows the file, also after it moved.
        path: absolute.
        name: relative to what was indexed: how tables and `--where` name it.
        source: DATA that it was found in.
        size, modified: bytes, and nanoseconds since 1970, when it was read.
        content: fingerprint of its bytes, by which a file that moved is known again.
        duration, fps: in seconds, and frames per second; 0 if it could not be read.
        segments: (start, end or None, class or None) of each segment that is indexed.
        windows: number of windows that count.
        done: whether it was read to its end.
        reason: why it, or some of its windows, could not be read.
    """

    id: int
    path: str
    name: str
    source: str
    size: int
    modified: int
    content: str
    duration: float = 0.0
    fps: float = 0.0
    segments: tuple[tuple[float, float | None, str | None], ...] = ((0.0, None, None),)
    windows: int = 0
    done: bool = False
    reason: str | None = None

    @property
    def label(self) -> str | None:
        """The class of the file, if all its segments have the same."""
        classes = {name for _, _, name in self.segments}
        return classes.pop() if len(classes) == 1 else None


@dataclass(frozen=True)
class StoredLabel:
    """A row of the table of labels."""

    id: str
    file_id: int
    start: float
    end: float
    label: str


class Store:
    """Reads and writes the tables of an index. See the head of this file.

    Args:
        place: a folder, or an address with "://".

    Raises:
        UnsceneError: LanceDB is not installed.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        self.place = locate_index(place)
        import_extra("lancedb", "find", "an index")

    @cached_property
    def db(self) -> Any:
        """The connection; it makes the folder, so that it is opened late."""
        with self._explained("opened"):
            return import_extra("lancedb", "find", "an index").connect(self.place)

    def exists(self) -> bool:
        """Whether there is an index; raises UnsceneError if a newer version of unscene made it."""
        if not is_index(self.place):
            return False
        with self._explained("opened"):
            if "about" not in self.db.list_tables().tables:
                return False
            version = self._table("about").to_arrow()["version"][0].as_py()
        if version > VERSION:
            raise UnsceneError(
                f"{self.place}: was made by a newer version of unscene (format {version}; this one "
                f"reads {VERSION}): pip install --upgrade unscene"
            )
        return True

    def about(self) -> About:
        """Read what the index was made with. Raises UnsceneError if there is no index."""
        if not self.exists():
            raise UnsceneError(
                f"{self.place}: holds no index; make one: unscene index DATA --out {self.place}"
            )
        (row,) = self._table("about").to_arrow().to_pylist()
        return About(**row | {"sources": tuple(json.loads(row["sources"]))})

    def write_about(self, about: About) -> None:
        """Write what the index was made with; makes the tables of a new index."""
        row = asdict(about) | {"sources": json.dumps(about.sources)}
        with self._explained("written"):
            if not self.exists():
                # Last of all, `about`: an index that has it has every table.
                for name, schema in _schemas(about.dim).items():
                    self.db.create_table(name, schema=schema, mode="overwrite")
                self.db.create_table("about", [row])
            else:
                self._table("about").update(values=row)

    def files(self) -> list[IndexedFile]:
        """Read the rows of all files, in the order of their names."""
        rows = self._select("files", list(IndexedFile.__dataclass_fields__))
        found = [
            IndexedFile(**row | {"segments": tuple(map(tuple, json.loads(row["segments"])))})
            for row in rows.to_pylist()
        ]
        return sorted(found, key=lambda file: (file.name, file.id))

    def put_files(self, files: Iterable[IndexedFile]) -> None:
        """Write rows of files, in place of those with the same ids."""
        rows = [asdict(file) | {"segments": json.dumps(file.segments)} for file in files]
        if rows:
            import pyarrow as pa

            data = pa.Table.from_pylist(rows, schema=_schemas(1)["files"])
            with self._explained("written"):
                merge = self._table("files").merge_insert("id")
                merge.when_matched_update_all().when_not_matched_insert_all().execute(data)

    def remove_files(self, ids: Sequence[int]) -> None:
        """Remove the rows of files."""
        if ids:
            with self._explained("written"):
                self._table("files").delete(f"id IN ({_listed(ids)})")

    def remove_windows(self, files: Sequence[int]) -> None:
        """Remove the windows of files, by the ids of these."""
        if files:
            with self._explained("written"):
                self._table("windows").delete(f"file_id IN ({_listed(files)})")

    def rename_file(self, file: IndexedFile) -> None:
        """Write the row of a file that moved, and its name in its windows."""
        with self._explained("written"):
            self._table("windows").update(where=f"file_id = {file.id}", values={"file": file.name})
        self.put_files([file])  # last: until then, the next process renames it again

    def next_ids(self) -> tuple[int, int]:
        """Return the next free ids of a file and of a window."""
        files = self._select("files", ["id"])["id"].to_numpy()
        windows = self._select("windows", ["id"])["id"].to_numpy()
        labeled = self._select("labels", ["file_id"])["file_id"].to_numpy()
        known = np.concatenate([files, labeled])
        return int(known.max(initial=-1)) + 1, int(windows.max(initial=-1)) + 1

    def add_windows(self, columns: dict[str, Any], vectors: NDArray[Any]) -> None:
        """Append N windows: columns as in `_schemas`, vectors float32 (N, D)."""
        import pyarrow as pa

        schema = _schemas(vectors.shape[1])["windows"]
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
        values = {"vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])}
        missing = {"label": pa.nulls(len(vectors), pa.string())}
        table = pa.table({**missing, **columns, **values}).select(schema.names).cast(schema)
        with self._explained("written"):
            self._table("windows").add(table)

    def remove_unfinished(self, files: Iterable[IndexedFile]) -> None:
        """Remove windows that a killed process wrote and no row of a file counts."""
        counted = {file.id: file.windows for file in files}
        rows = self._select("windows", ["id", "file_id", "number"])
        limit = np.array([counted.get(i, 0) for i in rows["file_id"].to_pylist()], np.int64)
        extra = rows["id"].to_numpy()[rows["number"].to_numpy() >= limit].tolist()
        with self._explained("written"):
            for begin in range(0, len(extra), 10_000):
                self._table("windows").delete(f"id IN ({_listed(extra[begin : begin + 10_000])})")

    def count_windows(self) -> int:
        """Count the windows without reading them, those included that do not count yet."""
        with self._explained("read"):
            return int(self._table("windows").count_rows())

    def windows(self, files: Sequence[IndexedFile]) -> Windows:
        """Read the windows that count, ordered by file and start."""
        table = self._select("windows", list(_COLUMNS)).combine_chunks()
        column = {name: table[name].to_numpy() for name in _COLUMNS if name != "vector"}
        vectors = table["vector"].combine_chunks()
        values = vectors.flatten().to_numpy().reshape(len(table), vectors.type.list_size)
        position = {file.id: number for number, file in enumerate(files)}
        file = np.array([position.get(i, -1) for i in column["file_id"].tolist()], np.int64)
        counts = np.array([one.windows for one in files] + [0], np.int64)  # of position -1: none
        order = np.lexsort((column["number"], column["start"], file))
        order = order[(column["number"] < counts[file])[order]]
        rows: Any = order
        if len(order) == len(table) and (np.diff(order) == 1).all():
            rows = slice(None)  # in order as they are: large indexes are not copied
        start, end, motion = (column[name][rows] for name in ("start", "end", "motion"))
        return Windows(column["id"][rows], file[rows], start, end, motion, values[rows])

    def select_windows(self, where: str) -> NDArray[Any]:
        """Ids of the windows that a condition in SQL selects.

        Raises:
            UnsceneError: the condition is wrong.
        """
        query = self._table("windows").search().where(where).select(["id"]).limit(None)
        try:
            return query.to_arrow()["id"].to_numpy()
        except Exception as error:  # LanceDB has no class of its own for wrong conditions
            known = "file, start, end, motion, still, label, class"
            reason = first_line(error).partition(" Valid fields are")[0]
            raise UnsceneError(
                f"condition {where!r}: {reason}\nIt is a condition in SQL over {known}, such as "
                "\"label = 'run' AND motion > 0.1\""
            ) from error

    def window_labels(self) -> dict[int, str]:
        """Read the column of labels, where there is one, by the ids of windows."""
        with self._explained("read"):
            query = self._table("windows").search().where("label IS NOT NULL")
            rows = query.select(["id", "label"]).limit(None).to_arrow()
        return dict(zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True))

    def make_approximate(self) -> None:
        """Build LanceDB's index of vectors for approximate search, or bring it up to date."""
        config = import_extra("lancedb.index", "find", "an index").IvfSq(distance_type="cosine")
        with self._explained("written"):
            self._table("windows").create_index("vector", config=config, replace=True)

    def search_approximate(
        self, direction: NDArray[np.float32], where: str, count: int
    ) -> NDArray[np.int64]:
        """Ids of about the nearest windows, among those that a condition selects exactly.

        Args:
            direction: (D,).
            where: a condition in SQL; "" for none.
            count: number of windows.
        """
        query = self._table("windows").search(direction, vector_column_name="vector")
        query = query.distance_type("cosine").nprobes(_PROBES).limit(count)
        query = query.select(["id", "_distance"])
        query = query.where(where, prefilter=True) if where else query
        with self._explained("read"):
            return query.to_arrow()["id"].to_numpy()

    def set_window_labels(self, labels: Mapping[str | None, Sequence[int]]) -> None:
        """Write the column of labels: the ids of the windows of each label."""
        with self._explained("written"):
            for label, ids in labels.items():
                for begin in range(0, len(ids), 10_000):
                    where = f"id IN ({_listed(ids[begin : begin + 10_000])})"
                    self._table("windows").update(where=where, values={"label": label})

    def labels(self) -> list[StoredLabel]:
        """Read all labels, by file and start."""
        rows = self._select("labels", list(StoredLabel.__dataclass_fields__)).to_pylist()
        found = [StoredLabel(**row) for row in rows]
        return sorted(found, key=lambda label: (label.file_id, label.start, label.id))

    def add_labels(self, labels: Iterable[StoredLabel]) -> list[StoredLabel]:
        """Append labels in one commit, and return them with ids."""
        given = [replace(one, id=one.id or uuid.uuid4().hex) for one in labels]
        if given:
            with self._explained("written"):
                self._table("labels").add([asdict(one) for one in given])
            # Labels are written one at a time, and a table of many pieces is read slowly. What
            # another process writes meanwhile comes first: the next label tries again.
            with suppress(OSError, RuntimeError, ValueError):
                self._join_fragments("labels")
        return given

    def replace_labels(self, labels: Iterable[StoredLabel]) -> None:
        """Write labels in one commit in place of those with their ids; unknown ids are ignored."""
        rows = [asdict(one) for one in labels]
        if rows:
            import pyarrow as pa

            data = pa.Table.from_pylist(rows, schema=_schemas(1)["labels"])
            with self._explained("written"):
                merge = self._table("labels").merge_insert("id")
                merge.when_matched_update_all().execute(data)

    def remove_labels(self, ids: Iterable[str]) -> None:
        """Remove labels in one commit; ids that are unknown are ignored."""
        wanted = [f"'{one}'" for one in ids if one.isalnum()]
        if wanted:
            with self._explained("written"):
                self._table("labels").delete(f"id IN ({', '.join(wanted)})")

    def compact(self) -> None:
        """Join what many small writes left, and remove what that replaced."""
        with self._explained("written"):
            for name in ("files", "windows", "labels"):
                self._join_fragments(name)

    def _join_fragments(self, name: str) -> None:
        table = self._table(name)
        many = table.stats()["fragment_stats"]["num_fragments"] > _FRAGMENTS
        if many or table.list_indices():
            table.optimize(cleanup_older_than=timedelta(milliseconds=1))

    def _table(self, name: str) -> Any:
        return self.db.open_table(name)

    def _select(self, table: str, columns: list[str]) -> Any:
        with self._explained("read"):
            try:
                return self._table(table).search().select(columns).limit(None).to_arrow()
            except (OSError, RuntimeError, ValueError):  # compacted meanwhile by another process
                return self._table(table).search().select(columns).limit(None).to_arrow()

    @contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        """Turn errors of LanceDB, which has no class of its own for them, into ours."""
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            reason = first_line(error)
            full = "no space left" in reason.lower()
            remedy = (
                "free some space and go on: nothing that was written is lost"
                if full
                else ("is the folder readable and writable?")
            )
            raise UnsceneError(
                f"{self.place}: the index cannot be {done}: {reason}; {remedy}"
            ) from error


def check_fingerprint(about: About, encoder: VideoEncoder, place: str) -> None:
    """Raise UnsceneError unless this is the encoder that an index was made with."""
    from unscene.encoders.weights import fingerprint_encoder

    if fingerprint_encoder(encoder) != about.fingerprint:
        raise UnsceneError(
            f"{place}: was made with the encoder {about.encoder} of {about.dim} numbers a window, "
            f"and this is another one ({encoder.spec.name}, {encoder.dim} numbers): their features "
            "cannot be compared. Use that encoder, or make another index with --out"
        )


def is_index(place: str | os.PathLike[str]) -> bool:
    """Whether there is an index, told without LanceDB; an address always counts as one."""
    text = locate_index(place)
    # A table that was begun and never written has no version; its process was killed.
    versions = Path(text, "about.lance", "_versions")
    return "://" in text or any(versions.glob("*.manifest"))


def locate_index(place: str | os.PathLike[str]) -> str:
    """Make the path of an index absolute; an address of an object store stays as it is."""
    text = os.fspath(place)
    return text if "://" in text else str(make_absolute(expand_home(text)))


def _schemas(dim: int) -> dict[str, Any]:
    import pyarrow as pa

    text, count, number, truth = pa.string(), pa.int64(), pa.float64(), pa.bool_()
    columns: dict[str, dict[str, Any]] = {
        "files": {
            **{"id": count, "path": text, "name": text, "source": text, "size": count},
            **{"modified": count, "content": text, "duration": number, "fps": number},
            **{"segments": text, "windows": count, "done": truth, "reason": text},
        },
        "windows": {
            **{"id": count, "file_id": count, "file": text, "number": count, "start": number},
            **{"end": number, "motion": pa.float32(), "still": truth, "label": text, "class": text},
            "vector": pa.list_(pa.float32(), dim),
        },
        "labels": {"id": text, "file_id": count, "start": number, "end": number, "label": text},
    }
    return {name: pa.schema(list(fields.items())) for name, fields in columns.items()}


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(str(int(one)) for one in ids)
