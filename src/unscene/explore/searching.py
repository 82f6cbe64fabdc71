"""What is looked for -> moments: a window, a stretch of a file of the index, or of an upload."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from unscene.errors import UnsceneError
from unscene.explore.answers import Refusal
from unscene.explore.opened import Opening
from unscene.explore.uploads import Uploads
from unscene.search.moments import Moment

_KEPT = 64  # queries whose features are remembered
_OWN = 10  # moments that a marked stretch may overlap
_Time = Annotated[float | None, Field(ge=0, le=1e7, allow_inf_nan=False)]


class Subject(BaseModel):
    """What is looked for; exactly one of window, file and upload."""

    window: int | None = None
    file: int | None = None
    upload: str | None = None
    start: _Time = None
    end: _Time = None


class Searcher:
    """Searches an index; features of uploads are computed once."""

    def __init__(self, opening: Opening, uploads: Uploads) -> None:
        self.opening, self.uploads = opening, uploads
        self._lock = threading.Lock()
        self._features: OrderedDict[tuple[object, ...], NDArray[np.float32]] = OrderedDict()

    def search(
        self,
        query: Subject,
        unlike: Sequence[Subject],
        *,
        k: int,
        where: str | None,
        still: bool,
    ) -> tuple[list[Moment], float]:
        """The most similar moments, and the milliseconds that it took besides decoding.

        Raises:
            Refusal: the query names nothing that is here, or the condition is wrong.
        """
        opened = self.opening.wait()
        index = opened.index
        wanted, own = self.resolve(query)
        unwanted = [self.resolve(one)[0] for one in unlike]
        began = time.perf_counter()
        # What was looked for is not an answer; a search by features does not know where it is.
        more = 0 if own is None else _OWN
        try:
            with opened.selecting if where else nullcontext():
                found = index.search(wanted, unlike=unwanted, k=k + more, where=where, still=still)
        except UnsceneError as error:  # features of this index fit, so it is the condition
            raise Refusal(400, str(error)) from error
        found = [one for one in found if own is None or not _overlap(one, own)][:k]
        return found, 1000 * (time.perf_counter() - began)

    def resolve(self, subject: Subject) -> tuple[NDArray[np.float32], Moment | None]:
        """Features (M, D) of what is looked for, and where in the index it is.

        Raises:
            Refusal: it is not here.
        """
        named = [subject.window, subject.file, subject.upload]
        if sum(one is not None for one in named) != 1:
            raise Refusal(422, "a query names one of window, file and upload")
        opened = self.opening.wait()
        if subject.window is not None:
            row, windows = opened.find_row(subject.window), opened.windows
            path = opened.index.files[windows.file[row]].path
            own = Moment(path, float(windows.start[row]), float(windows.end[row]))
            return windows.vectors[row : row + 1], own
        if subject.upload is not None:
            upload = self.uploads.find(subject.upload)
            key = (subject.upload, subject.start, subject.end)
            return self._embed(key, str(upload.path), subject.start, subject.end), None
        assert subject.file is not None
        own = self._stretch(subject.file, subject.start, subject.end)
        path = opened.footage.locate(subject.file)
        return self._embed((subject.file, own), path, own.start, own.end), own

    def _stretch(self, number: int, start: float | None, end: float | None) -> Moment:
        file = self.opening.wait().footage.find(number)
        start = start or 0.0
        end = file.duration if end is None else min(end, file.duration)
        if start >= end:
            raise Refusal(
                422, f"{start:g} to {end:g} s: mark a stretch inside the file ({file.duration:g} s)"
            )
        return Moment(file.path, start, end)

    def _embed(
        self, key: tuple[object, ...], path: str, start: float | None, end: float | None
    ) -> NDArray[np.float32]:
        with self._lock:  # one at a time: each takes all cores
            if key not in self._features:
                self._features[key] = self.opening.wait().index.embed(path, start, end)
                while len(self._features) > _KEPT:
                    self._features.popitem(last=False)
            self._features.move_to_end(key)
            return self._features[key]


def _overlap(one: Moment, other: Moment) -> bool:
    return one.path == other.path and one.start < other.end and one.end > other.start
