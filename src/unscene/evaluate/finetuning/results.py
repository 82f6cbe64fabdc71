"""Probabilities of the test videos -> scores, and the files that show them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unscene.data.catalog import Skipped
from unscene.evaluate.features import Features
from unscene.evaluate.finetuning.confusion import confusion, draw, write_csv
from unscene.evaluate.finetuning.data import FinetuneData
from unscene.files import write_text
from unscene.results.rows import Row, write_rows
from unscene.results.statistics import Score, score
from unscene.train.callbacks import write_summary


def accuracies(found: Features, names: Sequence[str], label: str) -> dict[str, Score]:
    """Top-1 and, for more than five classes, top-5.

    Args:
        found: probabilities (N, K) of N test videos.
        names: the K classes. A video of any other class is missed.
        label: column of the classes.
    """
    wanted, files = found.labels(label), found.files().numpy()
    number = {name: i for i, name in enumerate(names)}
    true = np.array([number.get(name, -1) for name in wanted])
    order = found.values.argsort(dim=1, descending=True, stable=True).numpy()
    hits: NDArray[np.bool_] = order == true[:, None]
    ranks = {"finetune_top1": 1} | ({"finetune_top5": 5} if len(names) > 5 else {})
    return {
        metric: score(np.asarray(hits[:, :k].any(axis=1), np.float64), labels=wanted, videos=files)
        for metric, k in ranks.items()
    }


def write_results(
    out: Path,
    data: FinetuneData,
    found: Features,
    rows: list[Row],
    facts: dict[str, Any],
    failed: Sequence[Skipped] = (),
) -> None:
    """Write confusion.csv and .png, per_class.json, summary.json and results.jsonl.

    Args:
        out: folder of the run.
        data: what was trained on and tested.
        found: probabilities of the test videos.
        rows: their scores.
        facts: of the training, for the summary.
        failed: videos that could not be read while training.
    """
    first = rows[0]
    predicted = [data.names[i] for i in found.values.argmax(dim=1).tolist()]
    matrix = confusion(found.labels(first.label), predicted, data.names)
    write_csv(out / "confusion.csv", matrix)
    draw(out / "confusion.png", matrix, f"{first.method}, {first.encoder}: {first.split}")
    table = {name: {"top1": top1, "n": n} for name, (top1, n) in matrix.classes().items()}
    write_text(out / "per_class.json", json.dumps(table, indent=2, ensure_ascii=False) + "\n")
    unread = {
        "skipped_train": data.train.skipped,
        "skipped_test": data.test.skipped + found.skipped,
        "failed": failed,
    }
    write_summary(
        out / "summary.json",
        facts
        | {"notes": data.notes}
        | {
            name: [{"path": s.path, "reason": s.reason} for s in which]
            for name, which in unread.items()
        },
    )
    write_rows(out / "results.jsonl", rows)
