"""What the rows say, in words: no sentence here claims more than its intervals carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unscene.html.document import percent
from unscene.results.seeds import Cell, cell

Rows = Sequence[Mapping[str, Any]]
Tone = Literal["good", "open", "bad"]


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    headline: one sentence.
    tone: "good" if DSM wins, "bad" if it loses, "open" if that cannot be told.
    evidence: numbers with intervals, one line each.
    meaning: the same in plain words.
    """

    headline: str
    tone: Tone
    evidence: tuple[str, ...]
    meaning: tuple[str, ...]


def score(rows: Rows, method: str, metric: str, label: str, split: str) -> Cell | None:
    """The rows of one method and measure as one score, as tables have it; None: there are none."""
    wanted = {"method": method, "metric": metric, "label": label, "split": split}
    found = [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]
    return cell(found) if found else None


def interval(found: Cell) -> str:
    """ "78 % [71, 84]" """
    return f"{percent(found.value)} [{found.low * 100:.0f}, {found.high * 100:.0f}]"


def judge(rows: Rows, facts: Mapping[str, Any]) -> Verdict:
    """The verdict on motion retrieval in unseen scenes, and what the scene scores add."""
    dsm, moco, random = (
        score(rows, m, "retrieval_r1", "motion", "unseen") for m in ("dsm", "moco", "random")
    )
    if dsm is None or moco is None:
        missing = " and ".join(
            name for name, found in (("DSM", dsm), ("MoCo", moco)) if found is None
        )
        return Verdict(f"No verdict: {missing} was not measured.", "open", (), ())
    tone, headline = _headline(dsm, moco)
    evidence = [
        f"Motion found again in scenes never seen (recall@1, {dsm.n} videos, 95 % intervals): "
        f"DSM {interval(dsm)}, MoCo {interval(moco)}"
        + (f", untrained {interval(random)}." if random else "."),
    ]
    evidence += _floor(dsm, moco, random, facts)
    scenes = [score(rows, m, "retrieval_r1", "scene", "seen") for m in ("dsm", "moco")]
    meaning = [f"{_terms(rows)} {_lesson(tone)}"]
    if scenes[0] and scenes[1]:
        line, plain = _scene(scenes[0], scenes[1])
        evidence.append(line)
        meaning.append(plain)
    return Verdict(headline, tone, tuple(evidence), tuple(meaning))


def _headline(dsm: Cell, moco: Cell) -> tuple[Tone, str]:
    ours, theirs = percent(dsm.value), percent(moco.value)
    if dsm.above(moco):
        return (
            "good",
            f"DSM finds the motion in new scenes more often than MoCo: {ours} to {theirs}.",
        )
    if moco.above(dsm):
        return "bad", f"MoCo beats DSM here: {theirs} to {ours} of the motions found in new scenes."
    if dsm.value > moco.value:
        return "open", (
            f"DSM is ahead of MoCo, {ours} to {theirs}, but the intervals overlap: not decided."
        )
    return (
        "open",
        f"DSM is not better than MoCo here: {ours} to {theirs}, and the intervals overlap.",
    )


def _floor(dsm: Cell, moco: Cell, random: Cell | None, facts: Mapping[str, Any]) -> list[str]:
    """How far above guessing and above no training the two methods are."""
    lines = []
    chance = facts.get("chance")
    if chance is not None:
        above = [name for name, s in (("DSM", dsm), ("MoCo", moco)) if s.low > float(chance)]
        whose = {0: "Neither method is", 1: f"Only {''.join(above)} is", 2: "Both methods are"}
        lines.append(
            f"Guessing gives {percent(float(chance))}. {whose[len(above)]} clearly above it."
        )
    if random is not None and not dsm.above(random):
        lines.append(
            "DSM's training does not clearly beat the untrained network "
            f"({interval(dsm)} and {interval(random)})."
        )
    return lines


def _scene(dsm: Cell, moco: Cell) -> tuple[str, str]:
    line = (
        "The nearest video plays in the same scene (known scenes): "
        f"DSM {interval(dsm)}, MoCo {interval(moco)}."
    )
    if moco.above(dsm):
        return line, (
            f"MoCo's neighbours share the scene in {percent(moco.value)} of the cases, DSM's in "
            f"{percent(dsm.value)}: DSM leans on the scene less."
        )
    if dsm.above(moco):
        return line, (
            f"DSM's neighbours share the scene more often than MoCo's ({percent(dsm.value)} to "
            f"{percent(moco.value)}): in this run it did not let go of the scene."
        )
    return line, "How much the two lean on the scene cannot be told apart in this run."


def _terms(rows: Rows) -> str:
    """On what terms the two were compared, as far as the rows tell."""
    steps, seeds = (
        [
            sorted({int(row.get(key) or 0) for row in rows if row["method"] == method})
            for method in ("dsm", "moco")
        ]
        for key in ("steps", "seed")
    )
    if steps[0] == steps[1] and len(steps[0]) == 1 and seeds[0] == seeds[1]:
        often = f"{steps[0][0]} steps each" if steps[0][0] else "equally long"
        return f"Both networks learned from the same videos, {often}, with the same seeds."
    terms = [
        f"{name} {' or '.join(map(str, made))} steps with seed {', '.join(map(str, drawn))}"
        for name, made, drawn in zip(("DSM", "MoCo"), steps, seeds, strict=True)
    ]
    return f"The two were not trained alike: {'; '.join(terms)}."


def _lesson(tone: Tone) -> str:
    return {
        "good": "What the two were asked "
        "decided what they learned: told that a bent scene is still the same and a broken motion "
        "is not, a network follows what moves and finds it again elsewhere.",
        "open": "In this run the harder "
        "question did not make a difference that these test videos can prove. Longer training or "
        "more test videos would tell more.",
        "bad": "In this run the harder "
        "question did not pay: the plain contrast found more motions. A longer training, milder "
        "disturbances or a lower learning rate are the first things to try.",
    }[tone]
