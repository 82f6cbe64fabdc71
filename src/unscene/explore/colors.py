"""One color for each label, kept while the server runs."""

from __future__ import annotations

from collections.abc import Iterable

NONE = "none"  # the label of what is none of the others: predictions that somebody rejected
_GRAY = "#8a8a8a"
# Told apart on light and dark ground, the first eight also by people who see few colors
# (Okabe and Ito, 2008, with the yellow and the black replaced).
_COLORS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#e69f00", "#7b61c4"),
    *("#c23b5a", "#4c9f38", "#1f9aa8", "#a0522d", "#6b8e23", "#d264b6", "#5b7fb5", "#b35806"),
)


class Colors:
    """Gives colors to labels in the order in which they are first seen."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {NONE: _GRAY}

    def choose(self, names: Iterable[str]) -> dict[str, str]:
        """Colors of these labels.

        >>> colors = Colors()
        >>> colors.choose(["jump", "none"])
        {'jump': '#0072b2', 'none': '#8a8a8a'}
        >>> colors.choose(["wave", "jump"])
        {'wave': '#d55e00', 'jump': '#0072b2'}
        """
        names = list(names)
        for name in names:
            if name not in self._known:
                self._known[name] = _COLORS[(len(self._known) - 1) % len(_COLORS)]
        return {name: self._known[name] for name in names}
