"""The numbers of docs/find.md are those of the rows."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from unscene.results.rows import read_rows

ROOT = Path(__file__).resolve().parents[2]
METHODS = {"hof+mbh": "*hof+mbh*", "color": "*color*", "random": "untrained `motion-net`"}


def test_the_table_of_the_guide_has_the_numbers_of_the_rows() -> None:
    rows = read_rows(ROOT / "experiments" / "rows" / "find.jsonl.gz")
    lines = (ROOT / "docs" / "find.md").read_text(encoding="utf-8").splitlines()
    for method in ("motion", "motion-vectors", *METHODS):
        name = METHODS.get(method, f"`{method}`")
        (line,) = [one for one in lines if re.match(rf"\| {re.escape(name)} \| 0", one)]
        own = [r for r in rows if r["method"] == method and r["data"] == "arid6 recordings"]
        found = {}
        for metric in ("precision_at_10", "f1_of_3_examples", "f1_of_all_examples"):
            some = [row for row in own if row["metric"] == metric]
            found[metric] = f"{np.mean([row['value'] for row in some]):.2f}"
            if len(some) == 1:
                found[metric] += " [{:.2f}, {:.2f}]".format(*some[0]["ci95"])
        assert line.split(" | ")[1:] == [
            *list(found.values())[:2],
            f"{found['f1_of_all_examples']} |",
        ]
