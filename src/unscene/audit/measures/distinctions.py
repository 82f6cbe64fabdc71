"""The measure "distinctions": which motions can it tell apart, when nothing else helps?

    synthetic.figure_questions     two motions in two worlds: four clips

                    world 0        world 1
    motion 0        a              b                 a is nearer to b than to d  ?  neutral
    motion 1        c              d                 a is nearer to b than to c  ?  opposed

A world is a body, a place, light and camera. In "neutral" questions b and d differ in nothing but
the motion, so a model that is blind to motion is right half of the time. In "opposed" questions c
shows the other motion by the body, and in the place, of a: whoever follows those is wrong.

    coarse, fine, order, camera, small     neutral, see `figure_questions`
    body                                   opposed by the body: all four clips show one place
    scene                                  opposed by everything: of the clips of "coarse"

The figures are generated from the seed. The videos of the audit play no part, except that few
videos make few questions: 8 to 24 of each kind, each with four comparisons. A score is the mean
over the questions; its interval is a bootstrap over them. Features are standardized over the clips
of a kind of question first (otherwise the largest numbers of a histogram decide alone), and
compared by cosine.

"motion" is the mean of the five neutral kinds.

Source: ours. Questions with two answers: two-alternative forced choice, as in psychophysics.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage, make_augmentation
from unscene.audit.measures.base import FEWEST, Measure, with_chance
from unscene.audit.report.charts import (
    SHARES,
    Results,
    grouped_dots,
    join_charts,
    score_chart,
)
from unscene.audit.report.words import Outcome, ScoreWords, Words, spell_number
from unscene.audit.result import Measured
from unscene.data.loading import Batch
from unscene.evaluate.decoupling import TIE
from unscene.results.statistics import Score, bootstrap, score
from unscene.synthetic.figure_questions import (
    QUESTION_KINDS,
    QuestionKind,
    draw_question,
    render_question,
)

NEUTRAL = ("coarse", "fine", "order", "camera", "small")
OPPOSED = ("body", "scene")
_MOST = 24  # questions of a kind
_EVEN, _CLEAR = 0.5, 0.1  # chance; a difference from it that counts
_SHORT = {
    "coarse": "two different motions",
    "fine": "two similar motions",
    "order": "the order of two events",
    "camera": "motions before a moving camera",
    "small": "motions of a small figure",
    "body": "a motion of another body",
    "scene": "a motion of another body in another scene",
}


class Distinctions(Measure):
    """Questions with two answers about generated figures.

    Scores, by chance 0.5: "motion", the mean over `NEUTRAL`; and each of `NEUTRAL` and `OPPOSED`.

    Details: "questions", number of each kind.
    """

    name = "distinctions"
    order = 2.5
    words = Words(
        "Which motions can it tell apart?",
        "Generated figures show one of two motions. Which of two clips shows the same motion as a "
        "third one? The two clips differ in nothing but the motion, and the third shows another "
        "body in another place. A model that does not see motion is right half of the time.",
        "Figures are generated from the seed, so the answer is known; the videos of the audit play "
        "no part. Every clip shows 1.6 seconds of motion, whatever the number of its frames. "
        "Features are standardized over the clips of a kind of question and compared by cosine. "
        "Audit the encoders color and hof+mbh, too, to see what color and simple statistics of "
        "flow answer.",
        {
            "motion": ScoreWords(
                "Motions told apart",
                "Mean over the five kinds of question in which nothing but the motion differs.",
                least=_CLEAR,
            ),
            "coarse": ScoreWords("Two different motions", least=_CLEAR),
            "fine": ScoreWords(
                "Two similar motions", "Walk or run, raise the left or the right arm.", least=_CLEAR
            ),
            "order": ScoreWords("Order of two events", "A then B, or B then A.", least=_CLEAR),
            "camera": ScoreWords("Before a moving camera", least=_CLEAR),
            "small": ScoreWords("Of a small figure", least=_CLEAR),
            "body": ScoreWords(
                "Another body",
                "The wrong clip shows the same body as the third clip.",
                least=_CLEAR,
            ),
            "scene": ScoreWords(
                "Another body, another scene",
                "The wrong clip shows the same body in the same scene as the third clip.",
                least=_CLEAR,
            ),
        },
        "motion",
    )

    def __init__(self, extractor: FeatureExtractor, footage: Footage) -> None:
        super().__init__(extractor, footage)
        count = min(_MOST, max(FEWEST, len(footage.videos)))
        self.waiting = [
            (question, number) for number in range(count) for question in QUESTION_KINDS
        ]
        self.quota = math.ceil(len(self.waiting) / max(1, len(footage)))
        self.features: dict[QuestionKind, list[Tensor]] = defaultdict(list)  # (2, 2, D) each

    def update(self, batch: Batch) -> None:
        for _ in range(self.quota):
            self._ask()

    def compute(self) -> Measured:
        while self.waiting:
            self._ask()
        answers = {kind: torch.stack(asked) for kind, asked in self.features.items()}
        scores = score_answers(answers)
        return Measured(
            self.name,
            scores,
            details={"questions": len(answers["coarse"])},
        )

    @classmethod
    def sentence(cls, measured: Measured) -> str:
        if not measured.scores:
            return ""
        sides = {k: cls.words.side(measured, k) for k in _SHORT if k in measured.scores}
        said: dict[int, list[str]] = {1: [], 0: [], -1: []}
        for name, side in sides.items():
            value = spell_number(measured.scores[name].value, "share")
            said[side].append(f"{_SHORT[name]} ({value})")
        if not any(sides.get(name) for name in NEUTRAL):
            value = cls.words.text(measured, "motion")
            every = f"every kind of question in which nothing but the motion differs ({value})"
            said[0] = [every, *said[0][len(NEUTRAL) :]]
        parts = [
            f"{start} {', '.join(listed)}"
            for start, listed in (
                ("tells apart", said[1]),
                ("is near chance at", said[0]),
                ("is misled by body and scene at", said[-1]),
            )
            if listed
        ]
        return "; ".join(parts) + "."

    @classmethod
    def outcome(cls, measured: Measured) -> Outcome | None:
        if "motion" not in measured.scores:
            return None
        sides = {k: cls.words.side(measured, k) for k in _SHORT if k in measured.scores}
        answered = sum(side > 0 for side in sides.values())
        text = f"answers {answered} of {len(sides)} kinds of question"
        if cls.words.side(measured, "motion") > 0:
            return Outcome(text, "good", "motion")
        return Outcome(text, "bad" if sides.get("scene", 0) < 0 else "open", "motion")

    @classmethod
    def charts(cls, results: Results) -> tuple[str, str]:
        rows: list[tuple[str, dict[int, Score]]] = []
        heads = {
            "Nothing but the motion differs": NEUTRAL,
            "Appearance speaks for the wrong clip": OPPOSED,
        }
        for head, names in heads.items():
            rows.append((head, {}))
            for name in names:
                having = {p: one.scores[name] for p, _, one in results if name in one.scores}
                rows.append((cls.words.scores[name].name, having))
        kinds = grouped_dots(
            "Right answers by kind of question",
            "Share of comparisons in which the clip of the same motion is nearer; dashed: chance.",
            [row for row in rows if row[1] or row[0] in heads],
            {place: model for place, model, _ in results},
            SHARES,
            chance=_EVEN,
        )
        return join_charts(score_chart(cls.words, results, "motion")) + join_charts(kinds), ""

    def _ask(self) -> None:
        if not self.waiting:
            return
        question, number = self.waiting.pop(0)
        spec = self.extractor.spec
        clips = _render(question, self.footage.seed, number, spec.frames, spec.size)
        view = torch.from_numpy(clips).flatten(0, 1).movedim(-1, 1).float() / 255
        color = make_augmentation(spec)
        mean, std = (torch.tensor(c)[:, None, None, None] for c in (color.mean, color.std))
        found = self.extractor.features(((view - mean) / std).to(self.extractor.device))
        self.features[question].append(found.unflatten(0, (2, 2)))


# The untrained twin of a model, and other models, are shown the same clips right afterwards.
@lru_cache(maxsize=48)
def _render(
    question: QuestionKind, seed: int, number: int, frames: int, size: int
) -> NDArray[np.uint8]:
    return render_question(draw_question(question, seed, number, frames), size)


def score_answers(features: Mapping[QuestionKind, Tensor]) -> dict[str, Score]:
    """Score the answers to questions of all kinds.

    Args:
        features: by kind (N questions, 2 motions, 2 worlds, D).

    Returns:
        "motion", and each of `NEUTRAL` and `OPPOSED`, with their chance.
    """
    compared = {str(kind): compare_motions(asked) for kind, asked in features.items()}
    found = {name: compared[name][0] for name in NEUTRAL}
    found |= {"body": compared["body"][1], "scene": compared["coarse"][1]}
    scores = {"motion": average([found[name] for name in NEUTRAL])}
    scores |= {name: score(one) for name, one in found.items()}
    return with_chance(scores, dict.fromkeys(scores, _EVEN))


def compare_motions(features: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compare each clip with the same motion and the other motion.

    Args:
        features: (N questions, 2 motions, 2 worlds, D).

    Returns:
        Twice (N,), the share of the four comparisons of a question in which the same motion in the
        other world is nearer; ties count half. First against the other motion in the other world,
        then against the other motion in the clip's own world.

    >>> motion = torch.tensor([[[[0.0, 0], [0, 1]], [[5, 0], [5, 1]]]])
    >>> [found.tolist() for found in compare_motions(motion)]  # a bit of world in it
    [[1.0], [0.5]]
    """
    flat = features.double().flatten(0, 2)
    spread = flat.std(dim=0)
    varies = spread > 1e-6 * flat.abs().mean(dim=0).clamp(min=1e-12)
    flat = torch.where(varies, (flat - flat.mean(dim=0)) / spread.clamp(min=1e-300), 0.0)
    unit = F.normalize(flat, dim=1).view(features.shape)
    same = (unit * unit.flip(2)).sum(-1)  # the other world
    shares = []
    for other in (unit.flip(1, 2), unit.flip(1)):
        gap = same - (unit * other).sum(-1)
        wins = torch.where(gap.abs() <= TIE, 0.5, (gap > 0).double())
        shares.append(wins.mean(dim=(1, 2)).numpy())
    return shares[0], shares[1]


def average(kinds: list[NDArray[np.float64]]) -> Score:
    """The mean over kinds of question of their means, all kinds alike."""
    values = np.concatenate(kinds)
    kind = np.repeat(np.arange(len(kinds)), [len(one) for one in kinds])
    ends = bootstrap(
        [values, np.ones(len(values))],
        None,
        lambda sums, counts: (sums / counts).mean(axis=1),
        strata=kind,
    )
    return Score(float(np.mean([one.mean() for one in kinds])), tuple(ends.tolist()), len(values))
