"""A classifier of windows that a few labels taught, and its file.

One .safetensors file: the weights, and as its metadata what they are for: the encoder and its
fingerprint, length and hop of the windows, the classes, the thresholds, how it was validated.

    model = LabelModel.load("labels.safetensors")
    model.probabilities(index.windows.vectors)     # (N, K)
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unscene import __version__
from unscene.errors import UnsceneError
from unscene.files import write_atomically
from unscene.results.statistics import Score

Floats = NDArray[np.float64]

FORMAT = 1
_KEY = "unscene_label_model"
_ROWS = 65536  # windows at once
_TOO_MUCH = (  # what to do on the command line
    "If too much is named, label some of it as 'other'; `unscene predict` also takes a higher "
    "--threshold."
)


@dataclass(frozen=True)
class Validation:
    """What cross-validation by file says about a classifier.

    Attributes:
        score: F1 of telling the classes apart in files that were held out, the mean over classes,
            with its bootstrap interval over files, n labels, the F1 of each class, and chance: that
            of guessing classes as often as they occur. None where no honest number exists.
        files: number of files with labels that were held out.
        how: "leave one file out" or "5 folds of files".
        found: share of the held-out labels whose own class is the most probable one and reaches
            the threshold; None without cross-validation.
        called: share of all windows, held out, that are given a class.
        chosen: whether cross-validation chose the threshold; else it is that of a window that tells
            nothing.
        one_file: classes whose labels all are in one file, and its name.
    """

    score: Score | None = None
    files: int = 0
    how: str = ""
    found: float | None = None
    called: float | None = None
    chosen: bool = False
    one_file: dict[str, str] = field(default_factory=dict)

    def sentences(self, threshold: float, too_much: str = _TOO_MUCH) -> list[str]:
        """Say it in words; `too_much` is what to do if too many moments are named."""
        said = []
        if self.score is not None:
            low, high = self.score.ci95
            said.append(
                f"In files that were held out ({self.how}), the classes are told apart with an F1 "
                f"of {self.score.value:.2f} [{low:.2f}, {high:.2f}]; chance is "
                f"{self.score.chance or 0:.2f} ({self.score.n} labels in {self.files} files)."
            )
            if low <= (self.score.chance or 0):
                said.append(
                    "That is not clearly above chance, so do not trust the predictions yet: label "
                    "more moments, in more files."
                )
        why = (
            "which cross-validation chose against the counterexamples"
            if self.chosen
            else "that of a moment that tells nothing"
        )
        named = f"A moment is named from a probability of {threshold:.2f}, {why}"
        if self.found is None:
            said.append(
                f"{named}. No class has labels in two files: label moments in a second one."
            )
        else:
            called = (
                "" if self.called is None else f", and {100 * self.called:.0f} % of all windows"
            )
            said.append(
                f"{named}: {100 * self.found:.0f} % of the held-out labels reach it{called}."
            )
        if not self.chosen:
            said.append(too_much)
        for name, file in self.one_file.items():
            said.append(
                f"{name}: all labels are in one file ({file}), so no honest number exists for it; "
                "label some in another file."
            )
        return said


@dataclass(frozen=True, eq=False)
class LabelModel:
    """A classifier of windows. See the head of this file.

    Attributes:
        encoder: of the index, as `--encoder` took it.
        fingerprint: of its weights.
        length, hop: of the windows, in seconds.
        classes: K classes that it predicts.
        counts: number of labels of each class, those of the background included.
        threshold: probability from which a moment is named.
        low: probability down to which a moment goes on.
        still: some labels are of moments in which nothing moves; else such windows have no class.
        validation: what cross-validation says.
        mean, scale: float32 (D,), which standardize features.
        weight: float32 (K + 1, D). The last row is "none of the classes".
        bias: float32 (K + 1,).
    """

    encoder: str
    fingerprint: str
    length: float
    hop: float
    classes: tuple[str, ...]
    counts: dict[str, int]
    threshold: float
    low: float
    still: bool
    validation: Validation
    mean: NDArray[np.float32] = field(repr=False)
    scale: NDArray[np.float32] = field(repr=False)
    weight: NDArray[np.float32] = field(repr=False)
    bias: NDArray[np.float32] = field(repr=False)

    def __post_init__(self) -> None:
        count, dim = len(self.classes) + 1, len(self.mean)
        shapes = self.scale.shape, self.weight.shape, self.bias.shape
        if shapes != ((dim,), (count, dim), (count,)):
            raise ValueError(f"{count - 1} classes and weights of the shapes {shapes}")

    def probabilities(self, vectors: NDArray[np.float32]) -> Floats:
        """Compute the probability of each class.

        Args:
            vectors: features (N, D) of the encoder, as they are in an index.

        Returns:
            (N, K). The rest to 1 is the probability of none of the classes.

        Raises:
            UnsceneError: features of another length.
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(self.mean):
            raise UnsceneError(
                f"features of the shape {vectors.shape}: the labels were learned on features of "
                f"{len(self.mean)} numbers, of the encoder {self.encoder}"
            )
        found = np.empty((len(vectors), len(self.classes)))
        for start in range(0, len(vectors), _ROWS):
            rows = slice(start, start + _ROWS)
            found[rows] = soft_max(
                (vectors[rows] - self.mean) / self.scale @ self.weight.T + self.bias
            )[:, :-1]
        return found

    def sentences(self, too_much: str = _TOO_MUCH) -> list[str]:
        """Say how far it can be trusted, in words; `too_much`: what to do if too much is named."""
        return self.validation.sentences(self.threshold, too_much)

    def check_encoder(self, encoder: str, fingerprint: str, place: str) -> None:
        """Raise UnsceneError unless features come from the encoder that it was taught with.

        Args:
            encoder, fingerprint: of the other features.
            place: where these are, for the message.
        """
        if fingerprint != self.fingerprint:
            raise UnsceneError(
                f"{place}: its features are of the encoder {encoder} ({fingerprint[:8]}), and the "
                f"labels were learned on those of {self.encoder} ({self.fingerprint[:8]}); label "
                f"again with `unscene label`, or index with --encoder {self.encoder}"
            )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file, whole or not at all.

        Raises:
            UnsceneError: it cannot be written.
        """
        from safetensors.numpy import save

        path = Path(path)
        about = {
            one.name: getattr(self, one.name) for one in fields(self) if one.name not in _ARRAYS
        }
        about |= {"validation": asdict(self.validation), "format": FORMAT, "version": __version__}
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        payload = save(arrays, metadata={_KEY: json.dumps(about, ensure_ascii=False)})
        try:
            with write_atomically(path) as temporary:
                temporary.write_bytes(payload)
        except OSError as error:
            raise UnsceneError(
                f"{path}: the labels could not be saved ({error.strerror}); free some space or "
                "name another file with --out"
            ) from error
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LabelModel:
        """Read a file that `save` wrote.

        Raises:
            UnsceneError: there is none, it is something else, damaged, or of a newer version.
        """
        from safetensors import SafetensorError, safe_open

        remedy = "name a file that `unscene label` wrote"
        try:
            with safe_open(path, framework="numpy") as file:
                about = json.loads((file.metadata() or {})[_KEY])
                arrays = {name: file.get_tensor(name) for name in _ARRAYS}
        except OSError as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
            raise UnsceneError(f"{path}: {reason or error}; {remedy}") from error
        except (SafetensorError, KeyError, ValueError) as error:
            raise UnsceneError(
                f"{path}: holds no labels that were learned, or is damaged; {remedy}"
            ) from error
        if about["format"] > FORMAT:
            raise UnsceneError(
                f"{path}: was written by unscene {about['version']}, which is newer; "
                "pip install --upgrade unscene"
            )
        known = {one.name for one in fields(cls)}
        values: dict[str, Any] = {name: value for name, value in about.items() if name in known}
        return cls(
            **values
            | {"classes": tuple(about["classes"]), "validation": _validation(about["validation"])},
            **arrays,
        )


_ARRAYS = ("mean", "scale", "weight", "bias")


def _validation(values: dict[str, Any]) -> Validation:
    """The record of a validation, from JSON."""
    score = values["score"]
    found = Validation(**values | {"score": None})
    return replace(found, score=score and Score(**score | {"ci95": tuple(score["ci95"])}))


def is_label_model(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one that `LabelModel.save` wrote."""
    try:
        LabelModel.load(path)
    except UnsceneError:
        return False
    return True


def soft_max(logits: Floats) -> Floats:
    """Probabilities (N, K) of logits.

    >>> soft_max(np.zeros((1, 2))).tolist()
    [[0.5, 0.5]]
    """
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)
