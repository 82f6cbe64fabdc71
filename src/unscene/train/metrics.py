"""OUT/metrics.csv, which survives interruptions, and a filter for Lightning's messages."""

from __future__ import annotations

import csv
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from unscene.errors import UnsceneError
from unscene.files import write_text

# Warnings that are correct, known, and of no use to the person who watches the run.
_KNOWN = (
    ".*module.s. in eval mode at the start of training.*",  # a teacher's
    ".*does not have many workers.*",  # --workers is the user's
    ".*directory .* exists and is not empty.*",  # ours
    ".*resuming from a checkpoint that ended before the epoch ended.*",  # batches go by step
    ".*isinstance.treespec, LeafSpec.* is deprecated.*",  # Lightning's own use of torch
)


class Metrics(Logger):
    """A CSV file with a row for every logged step, written as it happens.

    Lightning's own CSVLogger deletes the file of the run that is resumed. This one keeps its
    rows of the steps before its checkpoint; later steps are repeated.

    Args:
        path: of the file.
        before: steps of which rows that are there are kept.
    """

    def __init__(self, path: Path, *, before: int = 0) -> None:
        super().__init__()
        self.path, self._before = path, before
        self._rows: list[dict[str, Any]] | None = None  # None: nothing logged yet
        self._columns: list[str] = []

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """They are in config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row = {"step": step, **metrics}
        first = self._rows is None
        if self._rows is None:
            self._rows = self._earlier()
        self._rows.append(row)
        known = set(self._columns)
        try:
            if first or not row.keys() <= known:
                self._columns = list(dict.fromkeys(key for row in self._rows for key in row))
                write_text(self.path, self._lines(self._rows, header=True))
            else:
                with self.path.open("a", newline="", encoding="utf-8") as file:
                    file.write(self._lines([row], header=False))
        except OSError as error:
            raise UnsceneError(
                f"{self.path}: cannot be written ({error.strerror}); free some space and --resume"
            ) from error

    def _earlier(self) -> list[dict[str, Any]]:
        if not self._before or not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = [{k: v for k, v in row.items() if k and v} for row in csv.DictReader(file)]
        numbered = [row for row in rows if row.get("step", "").isdigit()]
        return [row for row in numbered if int(row["step"]) < self._before]

    def _lines(self, rows: list[dict[str, Any]], *, header: bool) -> str:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


@contextmanager
def silence_lightning() -> Iterator[None]:
    """Lightning's notes (devices, tips, limits reached) and the warnings in `_KNOWN` unsaid."""
    log = logging.getLogger("lightning.pytorch")
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _KNOWN:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        log.setLevel(before)
