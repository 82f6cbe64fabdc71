"""The verdict on a model: motion or scene, in one number that needs no labels.

The first measure of the report that judges and has scores gives it: "swap", or "time" where no
motion can be segmented (the camera moves, one scene only). The sentence then says so. A measure of
fewer than `FEWEST` files has no scores, and no verdict rests on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from unscene.audit.measures.base import Measure
from unscene.audit.registry import known_measures
from unscene.audit.result import Measured, Verdict


def judge(
    measures: Sequence[Measured], kinds: Mapping[str, type[Measure]] | None = None
) -> Verdict:
    """Give the verdict on one model from the results of its measures.

    Args:
        measures: the results.
        kinds: the classes of the measures by name; None: those of the package.
    """
    kinds = known_measures() if kinds is None else kinds
    judging = sorted(
        (one for one in measures if one.name in kinds and kinds[one.name].judges),
        key=lambda one: kinds[one.name].order,
    )
    reasons: list[str] = []
    for one in judging:
        if one.scores:
            found = kinds[one.name].verdict(one)
            missing = "".join(f" No verdict from {reason}." for reason in reasons)
            return replace(found, sentence=found.sentence + missing)
        reasons.append(f"{one.name}: {one.absent}")
    sentence = f"No verdict. {'; '.join(reasons) or 'Nothing measured'}."
    return Verdict(None, None, 0, "", sentence, "none")
