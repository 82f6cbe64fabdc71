"""An index that is held in memory, for tests of the server."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unscene.encoders import load_encoder
from unscene.errors import UnsceneError
from unscene.search.labels import Label
from unscene.search.moments import Moment
from unscene.search.windows import Windows


@dataclass(frozen=True)
class File:
    """What the server needs of a file of an index."""

    id: int
    path: str
    name: str
    size: int
    modified: int
    duration: float
    fps: float = 25.0
    label: str | None = None
    segments: tuple[tuple[float, float | None, str | None], ...] = ((0.0, None, None),)

    @classmethod
    def of(cls, path: Path, id: int, duration: float, label: str | None = None) -> File:
        facts = path.stat()
        return cls(
            id, str(path), path.name, facts.st_size, facts.st_mtime_ns, duration, label=label
        )


@dataclass
class MemoryIndex:
    """An index in memory: exact search over given vectors, labels in a list."""

    files: list[File]
    windows: Windows
    still: NDArray[np.bool_]
    kept: list[Label] = field(default_factory=list)
    fails: Exception | None = None  # raised by the next write
    embedded: list[tuple[Any, ...]] = field(default_factory=list)
    about: Any = field(
        default_factory=lambda: SimpleNamespace(
            encoder="energy", fingerprint="", length=1.0, hop=0.5, version=1
        )
    )
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def encoder(self) -> Any:
        return load_encoder("energy")

    def select(self, where: str | None) -> NDArray[np.bool_]:
        if where is None:
            return np.ones(len(self.windows), bool)
        if not where.startswith("motion > "):
            raise UnsceneError(f"--where {where!r}: is not a condition")
        return self.windows.motion > float(where.removeprefix("motion > "))

    def embed(
        self, path: str, start: float | None = None, end: float | None = None
    ) -> NDArray[np.float32]:
        self.embedded.append((path, start, end))
        return self.windows.vectors[:1]

    def search(
        self,
        query: Moment | NDArray[np.float32],
        *,
        unlike: Sequence[Any] = (),
        k: int = 20,
        where: str | None = None,
        still: bool = False,
    ) -> list[Moment]:
        windows = self.windows
        if isinstance(query, Moment):
            rows = np.isin(windows.ids, query.windows) if query.windows else windows.start == 0
            query = windows.vectors[rows]
        similarity = (windows.vectors @ query.T).max(axis=1)
        order = [i for i in np.argsort(-similarity) if self.select(where)[i]]
        order = [i for i in order if still or not self.still[i]]
        return [
            Moment(
                self.files[windows.file[i]].path,
                float(windows.start[i]),
                float(windows.end[i]),
                float(similarity[i]),
                float(windows.motion[i]),
                windows=(int(windows.ids[i]),),
            )
            for i in order[:k]
        ]

    def _write(self) -> None:
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error

    def labels(self) -> list[Label]:
        return sorted(self.kept, key=lambda one: (one.path, one.start))

    def add_labels(self, labels: Iterable[Label]) -> list[Label]:
        self._write()
        added = [replace(one, id=f"label{next(self.numbers)}") for one in labels]
        self.kept += added
        return added

    def replace_labels(self, labels: Iterable[Label]) -> None:
        self._write()
        new = {one.id: one for one in labels}
        self.kept = [new.get(one.id, one) for one in self.kept]

    def remove_labels(self, ids: Iterable[str]) -> None:
        self._write()
        gone = set(ids)
        self.kept = [one for one in self.kept if one.id not in gone]


def make_windows(files: Sequence[File], dim: int = 8) -> Windows:
    """Windows of a second, half a second apart, with random features."""
    places = [
        (position, start)
        for position, file in enumerate(files)
        for start in np.arange(0, max(file.duration - 0.99, 0.1), 0.5)
    ]
    rng = np.random.default_rng(0)
    start = np.array([start for _, start in places])
    vectors = rng.normal(size=(len(places), dim)).astype(np.float32)
    return Windows(
        ids=np.arange(len(places)) + 100,
        file=np.array([position for position, _ in places]),
        start=start,
        end=start + 1.0,
        motion=rng.random(len(places)).astype(np.float32),
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    )
