"""The verdict: motion or scene, in one number that needs no labels.

It is the weaker of the two shares of the measure "swap". To watch the motion, a model must tell the
clip whose motion it is shown from the clip whose background it is shown (motion_share), and from
the same frames in random order (order). Both are 0.5 by chance; a model that is blind to order has
exactly 0.5 in the second and gets no more, however well it follows what moves by its looks.

Where no motion can be cut out (the camera moves, one place only), the headline of "time" stands in,
and the sentence says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from unscene.audit.measure import Measured
from unscene.audit.result import Verdict
from unscene.evaluate.bootstrap import Score

CHANCE = 0.5


def verdict(measures: Sequence[Measured]) -> Verdict:
    """The verdict on one model from what its measures found."""
    by_name = {found.name: found for found in measures}
    swap, time = by_name.get("swap"), by_name.get("time")
    if swap is not None and swap.scores:
        return _of_swap(swap)
    if time is not None and time.scores:
        return _of_time(time, swap)
    reasons = [f"{found.name}: {found.absent}" for found in (swap, time) if found is not None]
    return Verdict(None, None, 0, "", f"No verdict. {'; '.join(reasons) or 'Nothing measured'}.")


def _of_swap(swap: Measured) -> Verdict:
    share = swap.scores["motion_share"]
    order = swap.scores.get("order")
    weaker = share if order is None or share.value <= order.value else order
    counted = (
        f"{_percent(share)} of the clips that show one video's motion over another's background "
        "are nearer to the motion's"
    )
    if order is not None:
        counted += f", and {_percent(order)} nearer to it than to its frames in random order"
    counted += " (chance: 50 % each)"
    side = _side(weaker)
    if side > 0:
        says = "It watches the motion"
    elif weaker is share and side < 0:
        says = "It watches the scene"
    elif weaker is order and _side(share) > 0:
        says = "It follows what moves by its looks, not by its motion"
    else:
        says = "Neither the motion nor the scene clearly prevails"
    return Verdict(weaker.value, weaker.ci95, weaker.n, "swap", f"{says}: {counted}.")


def _of_time(time: Measured, swap: Measured | None) -> Verdict:
    found = time.scores["motion"]
    says = {
        1: "It watches the motion",
        0: "Neither the motion nor the scene clearly prevails",
        -1: "It watches the scene",
    }[_side(found)]
    missing = f" No motion could be swapped: {swap.absent}." if swap is not None else ""
    return Verdict(
        found.value,
        found.ci95,
        found.n,
        "time",
        f"{says}: a change of the motion moves its features further than a change of the scene in "
        f"{_percent(found)} of cases (chance: 50 %).{missing}",
    )


def _side(found: Score) -> int:
    """1 above chance, -1 below, 0 if the interval holds it."""
    low, high = found.ci95
    return int(low > CHANCE) - int(high < CHANCE)


def _percent(found: Score) -> str:
    low, high = found.ci95
    return f"{100 * found.value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
