"""What an index does with labels: take them, learn from them, ask for more, predict."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unscene.search.labels import Label, check_together, find_again, find_new, read_labels
from unscene.search.store import About, IndexedFile, Store
from unscene.search.windows import Windows

if TYPE_CHECKING:  # they import torch, for which who opens an index need not wait
    from unscene.data.listing import Data
    from unscene.evaluate.finetuning.classifier import Classifier
    from unscene.search.label_model import LabelModel
    from unscene.search.predict import Predictions
    from unscene.search.predict_videos import Reading
    from unscene.search.suggest import Suggestion


class Labeling:
    """The part of `Index` that is about labels."""

    store: Store
    about: About
    files: list[IndexedFile]

    if TYPE_CHECKING:

        @property
        def windows(self) -> Windows: ...
        @property
        def still(self) -> NDArray[np.bool_]: ...
        def labels(self) -> list[Label]: ...
        def add_labels(self, labels: Iterable[Label]) -> list[Label]: ...
        def remove_labels(self, ids: Iterable[str]) -> None: ...

    def take_labels(
        self, labels: str | os.PathLike[str] | Iterable[Label], *, replace: bool = False
    ) -> list[Label]:
        """Add labels of a file or a list to those of the index; what it has already is left out.

        Args:
            labels: a file, see `labels.read_labels`; or labels.
            replace: remove all other labels of the index.

        Returns:
            The labels that are new.

        Raises:
            UnsceneError: a label is wrong, or overlaps one of another class. Nothing was changed.
        """
        source = "labels"
        if isinstance(labels, str | os.PathLike):
            source = os.fspath(labels)
            given, _ = read_labels(source, self.files)
        else:
            given = list(labels)
        known = self.labels()
        new = find_new(known, given)
        kept = find_again(known, given) if replace else known
        check_together(kept, new, self.files, source)
        added = self.add_labels(new) if new else []
        # Removed last, so that a killed process leaves too many labels, not too few.
        self.remove_labels({one.id for one in known} - {one.id for one in kept})
        return added

    def label(
        self,
        labels: str | os.PathLike[str] | Iterable[Label] | None = None,
        *,
        replace: bool = False,
        complete: bool = False,
        seed: int = 0,
    ) -> LabelModel:
        """Learn the classes of labels from the features of their windows.

        Args:
            labels: added to those of the index first, see `take_labels`; None: those of the index.
            replace: these labels in place of those of the index.
            complete: files with labels are labeled completely, so that their other windows show
                none of the classes.
            seed: of the cross-validation.

        Returns:
            The classifier, validated by file; `print(*model.sentences())` says how far to trust it.

        Raises:
            UnsceneError: a label is wrong, or there is none.

        Example::

            model = index.label("labels.csv")
            print(*model.sentences(), sep="\\n")
            model.save("labels.safetensors")
        """
        from unscene.search.classifier import fit_classifier

        if labels is not None:
            self.take_labels(labels, replace=replace)
        # Labels of files that are there no more are kept, and teach nothing.
        there = {file.path for file in self.files if file.windows}
        return fit_classifier(
            self.windows,
            self.files,
            [one for one in self.labels() if one.path in there],
            self.about,
            still=self.still,
            complete=complete,
            seed=seed,
        )

    def suggest(
        self, model: LabelModel | None = None, *, k: int = 8, seed: int = 0
    ) -> list[Suggestion]:
        """Choose moments to label next, and say why.

        Args:
            model: learned from the labels so far; None: there are too few.
            k: number of moments.
            seed: of the choice.
        """
        from unscene.search.suggest import suggest_moments

        known = self.labels()
        return suggest_moments(
            self.windows, self.files, known, model, k=k, still=self.still, seed=seed
        )

    def predict(
        self,
        model: LabelModel | Classifier | str | os.PathLike[str],
        videos: Data | None = None,
        *,
        threshold: float | None = None,
        low: float | None = None,
        least: float | None = None,
        gap: float | None = None,
        reading: Reading | None = None,
    ) -> Predictions:
        """Name stretches of the indexed videos, or of others.

        Args:
            model: what `label` returned, its file, or the folder of a fine-tuned classifier.
            videos: other videos, which are embedded first; None: those of the index.
            threshold: probability from which a moment is named; None: that of the model.
            low: probability down to which it goes on; None: that of the model.
            least: shortest interval, in seconds; None: half a window.
            gap: intervals of a class at most so many seconds apart are one; None: half a window.
            reading: how videos are read, where they are.

        Returns:
            Intervals, and the probabilities over time; `to_pandas()` makes a table.

        Raises:
            UnsceneError: the model was learned with another encoder, or cannot be read.

        Example::

            for interval in index.predict("labels.safetensors"):
                print(interval.path, interval.start, interval.end, interval.label)
        """
        from unscene.search.label_model import LabelModel
        from unscene.search.predict import predict_windows
        from unscene.search.predict_videos import (
            classify_index,
            load_model,
            make_rules,
            predict_videos,
        )

        loaded = load_model(model)
        rules = {"threshold": threshold, "low": low, "least": least, "gap": gap}
        if videos is not None:
            return predict_videos(loaded, videos, reading, **rules)
        length, hop = self.about.length, self.about.hop
        if not isinstance(loaded, LabelModel):
            paths = [file.path for file in self.files if file.windows]
            return classify_index(loaded, paths, length, hop, reading, **rules)
        loaded.check_encoder(self.about.encoder, self.about.fingerprint, self.store.place)
        return predict_windows(
            loaded,
            self.windows,
            self.files,
            still=self.still,
            rules=make_rules(loaded, length, **rules),
            skipped=[(file.path, file.reason) for file in self.files if file.reason],
        )
