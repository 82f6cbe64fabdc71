"""The base class of a measure, and what counts as enough evidence.

A measure asks one question about a model. Its file holds everything about it: the question and the
other texts (`words`), the computation (`update`, `compute`), its sentence and charts in the report,
and, for some, its verdict. To add one, put a file with one subclass of `Measure` into this folder,
or pass `package.module:Class` to `--measures`.

    class Brightness(Measure):
        name = "brightness"
        words = Words("Do its features depend on brightness?")

        def __init__(self, extractor, footage):
            super().__init__(extractor, footage)
            self.cosines, self.files = [], []

        def update(self, batch):
            dark = self.extractor.features(0.5 * self.extractor.center(batch))
            self.cosines += F.cosine_similarity(dark, self.extractor.anchors(batch)).tolist()
            self.files += self.footage.file_of(batch).tolist()

        def compute(self):
            return Measured(self.name, {"same": score(np.array(self.cosines), shares=False)})

All measures see the footage once, batch by batch: nothing is decoded twice, and memory is that of
one batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.report.charts import Results
from unscene.audit.report.films import show_everything
from unscene.audit.report.words import Outcome, Words
from unscene.audit.result import Coverage, Finding, Measured, Verdict
from unscene.data.loading import Batch
from unscene.results.statistics import Score

# Files that a score needs. With fewer, a bootstrap covers the truth far less often than it claims:
# nominal 95 % intervals did in 52 % of cases with 2 files, 72 % with 3, 83 % with 5, 89 % with 8.
FEWEST = 8

# How the sentence of a verdict begins, by its finding.
VERDICTS: dict[Finding, str] = {
    "motion": "It watches the motion",
    "appearance": "It follows what moves by appearance, not by its motion",
    "scene": "It watches the scene",
    "open": "Neither the motion nor the scene clearly prevails",
}


class Measure(ABC):
    """One question about one model.

    Attributes:
        name: in `--measures` and in audit.json.
        order: position in the report; smaller ones come first.
        words: its texts in the report.
        judges: whether it can give a verdict; the first in the report that does counts.

    Args:
        extractor: the model.
        footage: the videos.
    """

    name: ClassVar[str]
    order: ClassVar[float] = 100
    words: ClassVar[Words]
    judges: ClassVar[bool] = False

    def __init__(self, extractor: FeatureExtractor, footage: Footage) -> None:
        self.extractor, self.footage = extractor, footage

    @abstractmethod
    def update(self, batch: Batch) -> None:
        """Process a batch of `Footage.batches`, never an empty one, on the extractor's device."""

    @abstractmethod
    def compute(self) -> Measured:
        """Return the result after all batches. `Measured.forwards` is filled in by the audit."""

    @classmethod
    def sentence(cls, measured: Measured) -> str:
        """The result in a sentence whose subject is the model ("follows ..."); "" for none."""
        return ""

    @classmethod
    def outcome(cls, measured: Measured) -> Outcome | None:
        """The answer in a few words; None if the measure has none."""
        return cls.words.outcome(measured)

    @classmethod
    def charts(cls, results: Results) -> tuple[str, str]:
        """HTML of the charts of all models that have scores, and of those shown on demand."""
        return show_everything(cls.words, results), ""

    @classmethod
    def verdict(cls, measured: Measured) -> Verdict:
        """The verdict on a model, from a result with scores; only if it `judges`."""
        raise NotImplementedError


def find_shortage(files: Iterable[int], which: str) -> str:
    """Explain why there are too few files for an interval; "" if there are enough.

    Args:
        files: of everything measured, as in `Footage.files`; repetitions are allowed.
        which: what is special about them, such as "in which something moves".
    """
    count = len(set(files))
    if count >= FEWEST:
        return ""
    return (
        f"only {count} video file{'s' * (count != 1)} {which}, and an interval takes at least "
        f"{FEWEST}"
    )


def count_files(clips: Iterable[tuple[int, str]]) -> Coverage:
    """Count the files that are measured, and why the others are not.

    Args:
        clips: the file of each clip, and the reason why it is left out or "". A file is measured
            if one of its clips is; the reason of another file is that of most of its clips.

    >>> count_files([(0, ""), (0, "nothing moves"), (1, "nothing moves")])
    Coverage(measured=1, of=2, left_out={'nothing moves': 1})
    """
    reasons: dict[int, Counter[str]] = {}
    for file, reason in clips:
        reasons.setdefault(file, Counter())[reason] += 1
    others = Counter(one.most_common(1)[0][0] for one in reasons.values() if not one[""])
    measured = len(reasons) - others.total()
    return Coverage(measured, len(reasons), dict(others.most_common()))


def list_reasons(left_out: Mapping[str, int]) -> str:
    """Reasons and counts in words: "nothing moves in 3, ..."; "" for none."""
    return ", ".join(f"{reason} in {count}" for reason, count in sorted(left_out.items()))


def with_chance(scores: Mapping[str, Score], chance: Mapping[str, float]) -> dict[str, Score]:
    """Return the scores, each with its chance if it has one."""
    return {name: replace(one, chance=chance.get(name)) for name, one in scores.items()}
