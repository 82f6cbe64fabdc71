"""Labels -> a classifier -> what it says of every window, and which moments it asks for."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np

from unscene.errors import UnsceneError
from unscene.explore.answers import Refusal
from unscene.explore.colors import NONE
from unscene.explore.opened import Opening
from unscene.search.classifier import fit_classifier
from unscene.search.examples import BACKGROUND
from unscene.search.intervals import Interval
from unscene.search.label_model import LabelModel
from unscene.search.labels import Label
from unscene.search.predict import Predictions, predict_windows
from unscene.search.suggest import suggest_moments

_COUNTEREXAMPLE = "background"  # how the classifier calls what is none of the classes
_NO_LABELS = "label a few moments first: click one, then press N and name what happens"
_TOO_MUCH = "If too much is named, pick some of it and press 0 (none of these), then train again."


class Predicting:
    """The classifier of the page: fitted when somebody asks for it, and kept."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self._lock = threading.Lock()
        self.model: LabelModel | None = None
        self.predictions: Predictions | None = None

    def train(self) -> dict[str, Any]:
        """Fit the classifier to all labels; how far it can be trusted.

        Raises:
            Refusal: there are too few labels.
        """
        opened = self.opening.wait()
        index = opened.index
        with self._lock:
            labels = self._labels()
            if {one.label for one in labels} <= {*BACKGROUND}:
                raise Refusal(422, _NO_LABELS)
            try:
                model = fit_classifier(
                    index.windows, index.files, labels, index.about, still=index.still
                )
            except UnsceneError as error:
                raise Refusal(422, str(error)) from error
            self.model = model
            self.predictions = predict_windows(model, index.windows, index.files, still=index.still)
            values = model.probabilities(index.windows.vectors)
            best = values.argmax(axis=1)
            top = values[np.arange(len(values)), best]
            shown = (top >= model.threshold) & (model.still | ~index.still)
            opened.predictions = {
                int(row): (model.classes[best[row]], float(top[row]))
                for row in np.flatnonzero(shown)
            }
            version = opened.labelling.touch()
        score = model.validation.score
        return {
            "classes": list(model.classes),
            "f1": None if score is None else score.value,
            "interval": None if score is None else list(score.ci95),
            "chance": None if score is None else score.chance,
            "sentence": " ".join(model.sentences(_TOO_MUCH)),
            "version": version,
        }

    def describe(self, number: int) -> dict[str, Any]:
        """Predictions of one file: intervals, and probabilities over time."""
        opened = self.opening.wait()
        path = opened.footage.find(number).path
        empty: dict[str, Any] = {"times": [], "classes": [], "probabilities": []}
        if self.predictions is None:
            return {"intervals": [], "track": empty}
        intervals = [
            {
                "start": one.start,
                "end": one.end,
                "label": one.label,
                "probability": round(one.probability or 0.0, 4),
            }
            for one in self.predictions.intervals
            if one.path == path
        ]
        try:
            track = self.predictions.track(path)
        except UnsceneError:  # nothing of it could be read
            return {"intervals": intervals, "track": empty}
        return {
            "intervals": intervals,
            "track": {
                "times": (track.times + track.step / 2).round(3).tolist(),
                "classes": list(self.predictions.classes),
                "probabilities": track.probabilities.round(4).tolist(),
            },
        }

    def suggest(self, k: int) -> list[dict[str, Any]]:
        """Moments to label next, and why."""
        opened = self.opening.wait()
        index = opened.index
        found = suggest_moments(
            index.windows, index.files, self._labels(), self.model, k=k, still=index.still
        )
        rows = [opened.find_row(one.window) for one in found]
        described = opened.describe_rows(rows)
        return [
            moment | {"reason": one.reason, "kind": one.kind}
            for moment, one in zip(described, found, strict=True)
        ]

    def intervals(self) -> list[Interval]:
        """All predicted intervals.

        Raises:
            Refusal: nothing was predicted yet.
        """
        if self.predictions is None:
            raise Refusal(422, "there are no predictions yet: train first")
        return list(self.predictions.intervals)

    def _labels(self) -> list[Label]:
        """The labels as the classifier takes them: what was rejected is a counterexample."""
        labels = self.opening.wait().labelling.read()
        return [
            replace(label, label=_COUNTEREXAMPLE) if label.label == NONE else label
            for label in labels
        ]
