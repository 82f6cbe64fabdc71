"""Addresses of what is computed from windows and labels: predictions, suggestions, map, overlay."""

from __future__ import annotations

import shutil
import tempfile
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from starlette.responses import Response

from unscene.explore.answers import Answer, Refusal
from unscene.explore.media import Seconds
from unscene.explore.opened import Opening
from unscene.search.formats import FORMATS, write_intervals

if TYPE_CHECKING:
    from unscene.explore.predicting import Predicting

_TYPES = {".csv": "text/csv; charset=utf-8", ".json": "application/json", ".zip": "application/zip"}


class Insights:
    """Computes and remembers what the page shows beside the wall.

    Args:
        opening: of the index.
        folder: for temporary files.
    """

    def __init__(self, opening: Opening, folder: Path) -> None:
        self.opening, self.folder = opening, folder
        self._drawing, self._looking = threading.Lock(), threading.Lock()

    @cached_property
    def predicting(self) -> Predicting:
        """The classifier of the page."""
        from unscene.explore.predicting import Predicting  # it imports torch

        return Predicting(self.opening)

    def describe_map(self) -> dict[str, Any]:
        """The map of all windows in which something moves."""
        opened = self.opening.wait()
        with self._drawing:
            layout = self._layout
        windows, rows = opened.windows, layout.rows
        labels = opened.window_labels()
        names = sorted({name for name in labels if name is not None})
        number = {name: place for place, name in enumerate(names)}
        files = np.array([file.id for file in opened.index.files])
        return {
            "id": windows.ids[rows].tolist(),
            "x": _shorten(layout.places[:, 0], 4),
            "y": _shorten(layout.places[:, 1], 4),
            "file": files[windows.file[rows]].tolist(),
            "start": _shorten(windows.start[rows], 4),
            "end": _shorten(windows.end[rows], 4),
            "label": [number.get(labels[row] or "", -1) for row in rows.tolist()],
            "cluster": layout.cluster.tolist(),
            "labels": names,
            "clusters": int(layout.cluster.max(initial=-1)) + 1,
        }

    @cached_property
    def _layout(self) -> Any:
        from unscene.explore.layout import lay_out

        opened = self.opening.wait()
        return lay_out(opened.windows, opened.index.still, opened.index.files)

    def look(self, number: int, start: float, end: float) -> dict[str, Any]:
        """Where the encoder looks in a stretch of a file."""
        from unscene.explore.overlay import LONGEST, find_look

        if not start < end <= start + LONGEST:
            raise Refusal(422, f"{start:g} to {end:g} s: ask for at most {LONGEST:g} s at once")
        opened = self.opening.wait()
        file, path = opened.footage.find(number), opened.footage.locate(number)
        with self._looking:  # one at a time: each takes all cores
            found = find_look(opened.index.encoder, path, start, end, file.fps)
        _, rows, columns = found.values.shape
        return {
            "times": _shorten(found.times, 3),
            "rows": rows,
            "columns": columns,
            "values": _shorten(found.values.reshape(len(found.times), -1), 3),
        }

    def export(self, name: str, what: str) -> Response:
        """Labels or predictions in a format, to be saved."""
        if name not in FORMATS:
            raise Refusal(422, f"no format {name!r}; name one of {', '.join(FORMATS)}")
        opened = self.opening.wait()
        intervals = (
            self.predicting.intervals() if what == "predictions" else opened.labelling.read()
        )
        if not intervals:
            raise Refusal(422, "there is nothing to save yet: label some moments first")
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            out = Path(made, what)
            written = write_intervals(name, intervals, out, what, opened.index.files)
            path = written[0]
            if len(list(out.rglob("*"))) > 1:  # one file for each video, or one beside it
                path = Path(shutil.make_archive(str(Path(made, f"{what}-{name}")), "zip", out))
            kind = _TYPES.get(path.suffix, "application/octet-stream")
            headers = {
                "Content-Disposition": f'attachment; filename="{path.name}"',
                "Cache-Control": "no-store",
            }
            return Response(path.read_bytes(), media_type=kind, headers=headers)


def _shorten(values: NDArray[np.floating], digits: int) -> list[Any]:
    """Numbers with a few digits; those of float32 would have many."""
    short: list[Any] = values.astype(np.float64).round(digits).tolist()
    return short


def insight_routes(insights: Insights) -> APIRouter:
    """The addresses."""
    router = APIRouter(prefix="/api")

    @router.post("/train")
    def train() -> Answer:
        return Answer(insights.predicting.train())

    @router.get("/predictions")
    def predictions(file: int) -> Answer:
        return Answer(insights.predicting.describe(file))

    @router.get("/suggestions")
    def suggestions(k: Annotated[int, Query(ge=1, le=200)] = 12) -> Answer:
        return Answer({"moments": insights.predicting.suggest(k)})

    @router.get("/map")
    def map_of_all() -> Answer:
        return Answer(insights.describe_map())

    @router.get("/overlay")
    def overlay(file: int, start: Seconds, end: Seconds) -> Answer:
        return Answer(insights.look(file, start, end))

    @router.get("/export")
    def export(format: str, what: str = "labels") -> Response:
        if what not in ("labels", "predictions"):
            raise Refusal(422, f"what={what!r}: must be labels or predictions")
        return insights.export(format, what)

    return router
