"""The verdict: motion or scene, in one number that needs no labels.

It is the weaker of the two shares of the measure "swap". To watch the motion, a model must tell the
clip whose motion it is shown from the clip whose background it is shown (motion_share), and from
the same frames in random order (order). The first is 0.5 by chance. A model that is blind to order
has exactly 0.5 in the second and gets no more, however well it follows what moves by its looks; one
that notices shuffled frames has more, and untrained networks do notice. So the first is judged
first, and the second can only take away from it.

Where no motion can be cut out (the camera moves, one place only), the headline of "time" stands in,
and the sentence says so. A measure of fewer than `FEWEST` files has no scores, and no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from unscene.audit.measures.base import Measured
from unscene.audit.result import Finding, Verdict
from unscene.results.statistics import Score

EVEN = 0.5  # neither side is ahead

_SAYS: dict[Finding, str] = {
    "motion": "It watches the motion",
    "looks": "It follows what moves by its looks, not by its motion",
    "scene": "It watches the scene",
    "open": "Neither the motion nor the scene clearly prevails",
}
_SIDES: dict[int, Finding] = {1: "motion", 0: "open", -1: "scene"}


def verdict(measures: Sequence[Measured]) -> Verdict:
    """The verdict on one model from what its measures found."""
    by_name = {found.name: found for found in measures}
    swap, time = by_name.get("swap"), by_name.get("time")
    if swap is not None and swap.scores:
        return _of_swap(swap)
    if time is not None and time.scores:
        return _of_time(time, swap)
    reasons = [f"{found.name}: {found.absent}" for found in (swap, time) if found is not None]
    sentence = f"No verdict. {'; '.join(reasons) or 'Nothing measured'}."
    return Verdict(None, None, 0, "", sentence, "none")


def _of_swap(swap: Measured) -> Verdict:
    share = swap.scores["motion_share"]
    order = swap.scores.get("order")
    weaker = share if order is None or share.value <= order.value else order
    counted = (
        f"{_percent(share)} of the clips that show one video's motion over another's background "
        "are nearer to the motion's (chance: 50 %)"
    )
    if order is not None:
        counted += (
            f", and {_percent(order)} nearer to it than to its frames in random order (blind to "
            "order: 50 %; untrained networks are not)"
        )
    side = _side(share)
    if side > 0:
        finding: Finding = "motion" if order is None or _side(order) > 0 else "looks"
    else:
        finding = "scene" if side < 0 else "open"
    sentence = f"{_SAYS[finding]}: {counted}."
    return Verdict(weaker.value, weaker.ci95, weaker.n, "swap", sentence, finding)


def _of_time(time: Measured, swap: Measured | None) -> Verdict:
    found = time.scores["motion"]
    finding = _SIDES[_side(found)]
    missing = f" No motion could be swapped: {swap.absent}." if swap is not None else ""
    return Verdict(
        found.value,
        found.ci95,
        found.n,
        "time",
        f"{_SAYS[finding]}: a change of the motion moves its features further than a change of the "
        f"scene in {_percent(found)} of cases (50 %: as far with both; untrained networks have "
        f"less).{missing}",
        finding,
    )


def _side(found: Score) -> int:
    """1 for the motion, -1 for the scene, 0 if the interval does not tell."""
    low, high = found.ci95
    return int(low > EVEN) - int(high < EVEN)


def _percent(found: Score) -> str:
    low, high = found.ci95
    return f"{100 * found.value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
