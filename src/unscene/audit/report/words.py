"""What the report says of each measure: what it asks, what its scores mean, how they came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from unscene.results.statistics import Score

Tone = Literal["good", "open", "bad"]
Kind = Literal["share", "change", "number", "signed", "ratio"]


@dataclass(frozen=True)
class ScoreWords:
    """A score in words.

    Attributes:
        name: short, for charts and tables.
        note: what it means.
        kind: "share" 0..1 and "change" around 0, both shown in percent; "number" 0..1; "signed"
            around 0; "ratio" from 0.
        least: difference from chance that is too small to speak of, however sure it is.
    """

    name: str
    note: str = ""
    kind: Kind = "share"
    least: float = 0.0


@dataclass(frozen=True)
class Words:
    """A measure in words.

    Attributes:
        title: the question it asks.
        meaning: what its answer tells, for someone who has not read the paper.
        how: how it was computed.
        scores: by name.
        telling: the score that speaks for motion or scene most plainly, or "".
        outcomes: what it says above chance, at chance and below, each with its tone.
        settled: what it says at chance if the interval has no room for more; None: as at chance.
        even: what stands for chance where a score has none: neither side is ahead.
    """

    title: str
    meaning: str = ""
    how: str = ""
    scores: dict[str, ScoreWords] = field(default_factory=dict)
    telling: str = ""
    outcomes: tuple[tuple[str, Tone], ...] = ()
    settled: tuple[str, Tone] | None = None
    even: float = 0.0


_SLIGHT = 0.05

WORDS = {
    "swap": Words(
        "Does it follow the motion or the background?",
        "What moves in one video was cut out and laid over the background of another. If the model "
        "puts the mixed clip nearer to the video it has its motion from, it follows what moves; if "
        "nearer to the video it has its background from, it follows the scene.",
        "Cut out by what changes over time, with no segmentation model. Distances are cosines of "
        "features. The order test compares with the very frames of the motion's video in random "
        "order: they show the same things, but not their motion.",
        {
            "motion_share": ScoreWords(
                "Nearer to the motion than to the background",
                "Share of mixed clips that are nearer to the video whose motion they show.",
            ),
            "order": ScoreWords(
                "Nearer to the motion than to its shuffled frames",
                "50 %: it knows the moving thing by its looks only. More: it notices that frames "
                "are shuffled, as untrained networks do too.",
            ),
        },
        "motion_share",
        (("follows the motion", "good"), ("not decided", "open"), ("follows the scene", "bad")),
    ),
    "time": Words(
        "What moves its features further: another motion or another scene?",
        "Each clip was altered in its motion (reversed, shuffled, frozen, slower, faster) and in "
        "its scene (bent, recoloured, cropped, another background). The features of a model that "
        "watches the motion move far for the first and little for the second.",
        "All pairs of one alteration of the motion and one of the scene are compared, clip by "
        "clip; the headline is how often the motion's moved the feature further. The distance of "
        "an alteration is given as the share of other videos that are nearer to the clip than its "
        "altered self: 0 % means no video is as near.",
        {
            "motion": ScoreWords(
                "Motion outweighs scene",
                "How often the motion's change moves the feature further: untrained, below 50 %.",
            ),
            "decoupling_untrained": ScoreWords(
                "Decoupling score",
                "The same over disturbances that no method here is trained on.",
            ),
            "decoupling_trained": ScoreWords(
                "Decoupling score, trained pairs",
                "Over disturbances that DSM trains on: a high share may be training remembered.",
            ),
        },
        "motion",
        (("motion outweighs", "good"), ("not decided", "open"), ("scene outweighs", "bad")),
        even=0.5,
    ),
    "reliance": Words(
        "Which classes can be told from a single frame?",
        "A classifier on the model's features was taught once with static clips (one frame, "
        "repeated) and once with moving ones. Classes for which moving clips teach hardly more "
        "are told by their scene, not by their motion.",
        "Logistic regression on frozen features, every video tested once by a classifier that was "
        "trained on other files; both are tested on moving clips. DSM paper, Figure 1, where "
        "whole networks are trained from nothing.",
        {
            "classes_below_5_percent": ScoreWords(
                "Classes that gain less than 5 % from motion",
                "Low for a model of motion.",
            ),
            "gain": ScoreWords(
                "Relative gain from motion",
                "Accuracy with moving over accuracy with static clips, less one.",
                "change",
            ),
            "accuracy_normal": ScoreWords("Accuracy, taught with moving clips"),
            "accuracy_static": ScoreWords("Accuracy, taught with static clips"),
        },
    ),
    "where": Words(
        "Where does it look?",
        "The strength of the model's last feature map, place by place, against what really moves. "
        "At 0.5 it looks at moving and still pixels alike, at 1 at what moves only. Things that "
        "move often stand out in a still as well: what counts is how much further the moving clip "
        "gets than its middle frame alone.",
        "The last feature map is averaged over channels and stretched over the frames (DSM paper, "
        "Figure 5). The number is the probability that a moving pixel has more of it than a still "
        "one (area under the ROC curve). What moves is what differs from the clip's own still "
        "background or, where the camera moves, what leaves the camera's motion.",
        {
            "auc": ScoreWords("Looks at what moves", "Probability, by chance 0.5.", "number"),
            "gain": ScoreWords(
                "Gained by seeing it move",
                "Looks at what moves, less the same for its middle frame held still.",
                "signed",
                _SLIGHT,
            ),
            "share": ScoreWords("Saliency on moving pixels", "By chance their share of the area."),
            "area": ScoreWords("Pixels that move"),
            "frozen": ScoreWords(
                "With the middle frame alone", "What looks alone would earn.", "number"
            ),
            "ceiling": ScoreWords(
                "Best at this resolution", "What moves itself, as coarse as the map.", "number"
            ),
            "centre": ScoreWords("A blob in the middle", kind="number"),
            "elsewhere": ScoreWords(
                "Against another video's motion",
                "What looking where things usually move would earn.",
                "number",
            ),
            "class": ScoreWords(
                "Speaks for its class",
                "Grad-CAM of the class that the clip is taken for, on what moves.",
                "number",
            ),
        },
        "gain",
        (("motion draws its eye", "good"), ("looks alone", "open"), ("looks alone", "bad")),
    ),
    "response": Words(
        "Does it respond when something moves?",
        "The strength of the model's feature in a window that slides over a video, beside how much "
        "moves there. If the two rise and fall together, the model responds to motion.",
        "The response is the mean of each window's feature, the motion the mean length of its "
        "optical flow; the number is their rank correlation (Spearman), averaged over videos. "
        "Held still means that the model sees each window as its middle frame only.",
        {
            "spearman": ScoreWords(
                "Correlation with motion", "1: the more moves, the more it responds.", "signed"
            ),
            "gain": ScoreWords(
                "Gained by seeing it move", "The correlation less that with stills.", "signed"
            ),
            "frozen": ScoreWords("Correlation, held still", kind="signed"),
            "pearson": ScoreWords("Correlation (Pearson)", kind="signed"),
        },
        "gain",
        (
            ("responds to motion", "good"),
            ("no more than to stills", "open"),
            ("less than to stills", "bad"),
        ),
    ),
    "adversarial": Words(
        "Can a still picture catch it?",
        "Three clips made to mislead: one frozen, one with a thing from another video standing "
        "still in it, one with a still of another video laid over it as noise. A model that "
        "watches the motion is not drawn to the still thing, and notices that the clip froze.",
        "The thing is what moves in another video, cut out at its middle frame and laid where the "
        "clip itself moves least (DSM paper, Figure 6). Drawn is how much more the model looks at "
        "the thing than it looked at the same place before. How far the feature moves is its "
        "cosine distance over the mean distance to another video: 1 is as far as showing another "
        "video.",
        {
            "drawn": ScoreWords(
                "Drawn to the still thing",
                "0: not at all. 0.5: before anything else.",
                "signed",
                _SLIGHT,
            ),
            "paste": ScoreWords("Looks at the still thing", "By chance 0.5.", "number"),
            "paste_before": ScoreWords("Looked at the place before", kind="number"),
            "paste_share": ScoreWords(
                "Saliency on the still thing", "By chance its share of the area."
            ),
            "paste_area": ScoreWords("Area of the still thing"),
            "paste_on_motion": ScoreWords("Looks at what moves, with the thing", kind="number"),
            "noise_on_motion": ScoreWords("Looks at what moves, with noise", kind="number"),
            "static_response": ScoreWords(
                "Strength of the map when frozen",
                "Over that of the moving clip: 1 if it is blind to time.",
                "ratio",
            ),
            "static_moved": ScoreWords("Moved by freezing", "High for a model of motion.", "ratio"),
            "paste_moved": ScoreWords(
                "Moved by the still thing", "Low for a model of motion.", "ratio"
            ),
            "noise_moved": ScoreWords("Moved by noise", "Low for a model of motion.", "ratio"),
        },
        "drawn",
        (
            ("drawn to stills", "bad"),
            ("not clearly drawn to stills", "open"),
            ("not drawn to stills", "good"),
        ),
        ("not drawn to stills", "good"),
    ),
}


def words_of(measure: str) -> Words:
    """Of a measure, known or not."""
    return WORDS.get(measure) or Words(spelled(measure))


def score_words(measure: str, name: str, found: Score) -> ScoreWords:
    """Of a score, known or not: an unknown one is taken for what its values look like."""
    known = words_of(measure).scores.get(name)
    if known is not None:
        return known
    ends = (found.value, *found.ci95)
    kind: Kind = "signed" if min(ends) < 0 else "number" if max(ends) <= 1 else "ratio"
    return ScoreWords(spelled(name), kind=kind)


def spelled(name: str) -> str:
    """ "paste_moved" -> "Paste moved" """
    text = name.replace("_", " ").strip() or "unnamed"
    return text[0].upper() + text[1:]


def number(value: float, kind: Kind) -> str:
    """A value as text: 62 %, 0.62, +0.12, 2.7."""
    if kind == "share":
        return f"{value * 100:.0f} %"
    text = f"{value * 100:+.0f} %" if kind == "change" else f"{value:+.2f}"
    if kind in ("number", "ratio") or not any(digit in text for digit in "123456789"):
        text = text.lstrip("+")  # nor has a value that rounds to nothing a sign
        text = text if any(digit in text for digit in "123456789") else text.lstrip("-")
    return text.replace("-", "−")


def measured(found: Score, kind: Kind) -> str:
    """A score with its interval: 62 % [58, 67], +0.12 [+0.08, +0.16]."""
    low, high = (number(end, kind).removesuffix(" %") for end in found.ci95)
    return f"{number(found.value, kind)} [{low}, {high}]"
