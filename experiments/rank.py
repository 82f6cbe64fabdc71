"""Do encoders have the same order on generated footage as on real footage?

    python experiments/rank.py

From rows, for every encoder that has both: its mean over seeds on generated footage (motion in new
scenes; correlation 0.9) and on ARID. Spearman's and Kendall's coefficient, with an interval from
drawing encoders with replacement. Encoders that are variants of each other count as several, so the
intervals are rather too narrow.

    moving scenes   the RGB encoders that were trained on them, evaluated on ARID brightened, and
                    descriptors on the same; the vectors' encoder as filmed
    figures         descriptors, motion encoders and rungs of the ladder as filmed, students and
                    MoCo of distill.py brightened

Rows go to experiments/rows/rank.jsonl.gz, which is written anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr
from trained import ROWS, append, rows_in

from unscene.results.rows import Row

# Files of rows and what their test must have; an encoder counts in the first file that has it.
Files = Sequence[tuple[str, dict[str, Any]]]
_FILMED = {"note": ""}
GENERATED: dict[str, Files] = {
    "moving scenes": [(name, {"note": ""}) for name in ("moving_scenes", "descriptors", "motion")],
    "figures": [(name, {}) for name in ("ladder", "figures")],
}
REAL: dict[str, Files] = {
    "moving scenes": [
        ("real_scenes", {"pretrain": "moving-scenes", "note": "brightened"}),
        ("descriptors", {"note": "brightened"}),
        ("motion", _FILMED),
    ],
    "figures": [(name, _FILMED) for name in ("ladder", "motion", "descriptors")]
    + [("distill", {})],
}
PAIRS = (
    ("retrieval_r1", "other places"),
    ("retrieval_r1", "leave one scene out"),
    ("probe_top1", "other places"),
)
DRAWS = 2000
_METHODS = {"spearman": spearmanr, "kendall": kendalltau}


def find_means(
    files: Files, data: str, split: str, metric: str, correlation: float | None = None
) -> dict[tuple[str, str], float]:
    """Mean over seeds of a metric of raw features, by method and architecture."""
    found: dict[tuple[str, str], float] = {}
    for name, test in files:
        values: dict[tuple[str, str], list[float]] = {}
        for row in rows_in(ROWS / f"{name}.jsonl.gz"):
            asked = test | ({} if correlation is None else {"correlation": correlation})
            same = all(row["test"].get(key) == value for key, value in asked.items())
            where = (row["data"], row["split"], row["metric"]) == (data, split, metric)
            wanted = row["label"] in ("label", "motion")
            if same and where and wanted and not row["test"].get("standardize"):
                values.setdefault((row["method"], row["encoder"]), []).append(row["value"])
        found = {key: mean(of) for key, of in values.items()} | found
    return found


def correlate(kind: str, x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """A coefficient and the ends of its 95 % interval."""
    measure, rng = _METHODS[kind], np.random.default_rng(0)
    a, b = np.array(x), np.array(y)
    draws = [rng.integers(len(a), size=len(a)) for _ in range(DRAWS)]
    values = [measure(a[d], b[d])[0] for d in draws if np.ptp(a[d]) > 0 and np.ptp(b[d]) > 0]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(measure(a, b)[0]), float(low), float(high)


def main() -> None:
    out = ROWS / "rank.jsonl.gz"
    out.unlink(missing_ok=True)
    for data in GENERATED:
        for metric, split in PAIRS:
            made = find_means(GENERATED[data], data, "unseen", metric, 0.9)
            real = find_means(REAL[data], "arid6", split, metric)
            both = sorted(made.keys() & real.keys())
            if len(both) < 4:
                print(f"{data}, {metric}: only {both} have both")
                continue
            print(f"\n{data} and ARID, {split}, {metric}: {len(both)} encoders")
            for key in sorted(both, key=lambda one: made[one]):
                print(f"    {' '.join(key):<36} {made[key]:.3f}  {real[key]:.3f}")
            x, y = [made[key] for key in both], [real[key] for key in both]
            rows = []
            for kind in _METHODS:
                value, low, high = correlate(kind, x, y)
                print(f"  {kind} {value:.2f} [{low:.2f}, {high:.2f}]")
                named = {"encoders": [" ".join(key) for key in both]}
                rows.append(
                    Row(
                        data,
                        "arid6",
                        split,
                        metric,
                        kind,
                        value,
                        (low, high),
                        len(both),
                        0,
                        0.0,
                        config=named,
                    )
                )
            append(out, rows)


if __name__ == "__main__":
    main()
