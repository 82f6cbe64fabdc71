"""An index that is open in the page: its files, windows, labels, and how the page names them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unscene.explore.answers import Refusal
from unscene.explore.footage import Footage
from unscene.explore.labelling import Labelling
from unscene.explore.wall import Wall
from unscene.search.labels import Label, assign_labels
from unscene.search.moments import Moment

if TYPE_CHECKING:
    from unscene.search.index import Index

Prediction = Mapping[int, tuple[str, float]]  # row of a window -> label and its probability


class OpenIndex:
    """An index, and what the page asks of it again and again."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.windows = index.windows
        self.footage = Footage(index.files)
        self.wall = Wall(index.windows)
        self.labelling = Labelling(index)
        self.predictions: Prediction = {}
        self._lock = threading.Lock()
        # A condition in SQL first brings the column of labels up to date: one writer at a time.
        self.selecting = threading.Lock()
        self._labels_of: tuple[int, list[str | None]] = -1, []
        self._positions = {file.path: position for position, file in enumerate(index.files)}

    @cached_property
    def rows(self) -> dict[int, int]:
        """Row of each window by its id."""
        return {id: row for row, id in enumerate(self.windows.ids.tolist())}

    def position(self, path: str) -> int:
        """Position of a file in `Index.files`.

        Raises:
            Refusal: the index has no such file.
        """
        if path not in self._positions:
            raise Refusal(404, f"{path}: is not in the index; open the page again")
        return self._positions[path]

    def file_at(self, path: str) -> int:
        """The number of a file, by which the page names it."""
        return self.index.files[self.position(path)].id

    def find_row(self, window: int) -> int:
        """The row of a window.

        Raises:
            Refusal: the index has no such window.
        """
        if window not in self.rows:
            raise Refusal(404, f"the index has no window {window}; open the page again")
        return self.rows[window]

    def window_labels(self) -> list[str | None]:
        """The label of every window, (N,)."""
        with self._lock:
            version = self.labelling.version
            if self._labels_of[0] != version:
                labels = self.labelling.read()
                found = assign_labels(self.windows, self.index.files, labels).tolist()
                names = [labels[number].label if number >= 0 else None for number in found]
                self._labels_of = version, names
            return self._labels_of[1]

    def select(
        self, *, where: str | None, file: int | None, label: str | None, still: bool
    ) -> NDArray[np.bool_]:
        """Which windows fit all conditions: bool (N,); None: any."""
        chosen = np.ones(len(self.windows), bool)
        if where is not None and where.strip():
            with self.selecting:
                chosen = self.index.select(where)
        if not still:
            chosen = chosen & ~self.index.still
        if file is not None:
            path = self.footage.find(file).path
            chosen = chosen & (self.windows.file == self.position(path))
        if label is not None:
            wanted = np.array([name == label for name in self.window_labels()], bool)
            chosen = chosen & wanted
        return chosen

    def describe_rows(self, rows: Iterable[int]) -> list[dict[str, Any]]:
        """Windows, as the page takes them."""
        labels, windows, files = self.window_labels(), self.windows, self.index.files
        return [
            {
                "id": int(windows.ids[row]),
                "file": files[windows.file[row]].id,
                "start": round(float(windows.start[row]), 4),
                "end": round(float(windows.end[row]), 4),
                "motion": round(float(windows.motion[row]), 5),
                "label": labels[row],
                "similarity": None,
                "prediction": self._describe_prediction(row),
            }
            for row in rows
        ]

    def describe_moment(self, moment: Moment) -> dict[str, Any]:
        """A moment, as the page takes it."""
        row = self.rows.get(moment.windows[0]) if moment.windows else None
        similar = moment.similarity
        return {
            "id": None if row is None else moment.windows[0],
            "file": self.file_at(moment.path),
            "start": round(moment.start, 4),
            "end": round(moment.end, 4),
            "motion": round(float(moment.motion), 5),
            "label": moment.label if row is None else self.window_labels()[row],
            "similarity": None if similar is None else round(float(similar), 5),
            "prediction": None if row is None else self._describe_prediction(row),
        }

    def describe_label(self, label: Label) -> dict[str, Any]:
        """A label, as the page takes it."""
        return {
            "id": label.id,
            "file": self.file_at(label.path),
            "start": label.start,
            "end": label.end,
            "label": label.label,
        }

    def _describe_prediction(self, row: int) -> dict[str, Any] | None:
        if row not in self.predictions:
            return None
        label, probability = self.predictions[row]
        return {"label": label, "probability": round(probability, 4)}


class Opening:
    """Opens an index beside everything else, as LanceDB takes a second to be imported.

    Args:
        open_index: what opens it.
    """

    def __init__(self, open_index: Callable[[], Index]) -> None:
        self._result: Future[OpenIndex] = Future()
        self._open = open_index
        threading.Thread(target=self._run, daemon=True).start()

    def wait(self) -> OpenIndex:
        """The index, once it is open; raises what opening it raised."""
        return self._result.result()

    def when_failed(self, call: Callable[[], None]) -> None:
        """Call something if the index cannot be opened, now or later."""
        self._result.add_done_callback(lambda done: call() if done.exception() else None)

    def when_open(self, call: Callable[[OpenIndex], object]) -> None:
        """Call something in the background once the index is open; what it raises is ignored."""

        def run() -> None:
            with suppress(Exception):
                call(self.wait())

        threading.Thread(target=run, daemon=True).start()

    @property
    def error(self) -> BaseException | None:
        """What opening it raised; None: nothing, or it is not done."""
        return self._result.exception() if self._result.done() else None

    def _run(self) -> None:
        try:
            self._result.set_result(OpenIndex(self._open()))
        except BaseException as error:
            self._result.set_exception(error)
