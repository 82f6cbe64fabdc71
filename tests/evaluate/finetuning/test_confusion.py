"""Counts against scikit-learn; the picture shows them and is readable with few and many classes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from unscene.evaluate.finetuning.results import (
    Confusion,
    count_confusion,
    draw_confusion,
    write_confusion,
)

NAMES = ("run", "jump, high", 'say "hi"', "größe", "$x_1$")


def some(names: tuple[str, ...], count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    return tuple([names[i] for i in rng.integers(len(names), size=count)] for _ in range(2))  # type: ignore[return-value]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_counts_are_those_of_scikit_learn() -> None:
    true, predicted = some(NAMES, 200)
    found = count_confusion(true, predicted, NAMES)
    assert np.array_equal(found.counts, confusion_matrix(true, predicted, labels=list(NAMES)))
    assert found.n == 200
    assert found.accuracy == pytest.approx(np.mean(np.equal(true, predicted)))
    np.testing.assert_allclose(
        found.shares(), confusion_matrix(true, predicted, labels=list(NAMES), normalize="true")
    )


def test_classes_without_videos_and_classes_unknown_to_the_model() -> None:
    found = count_confusion(["a", "a", "z"], ["a", "b", "b"], ["a", "b"])
    assert found.names == ("a", "b", "z")
    assert found.counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]
    assert found.classes() == {"a": (0.5, 2), "z": (0.0, 1)}
    assert found.accuracy == pytest.approx(1 / 3)
    assert np.isnan(found.shares()[1]).all()
    with pytest.raises(ValueError, match="2 classes"):
        Confusion(("a", "b"), np.zeros((3, 3), np.int64))


def test_csv(tmp_path: Path) -> None:
    found = Confusion(("a, b", "猫"), np.array([[3, 1], [0, 2]]))
    write_confusion(tmp_path / "deep" / "confusion.csv", found)
    with (tmp_path / "deep" / "confusion.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ["true \\ predicted", "a, b", "猫"]
    assert rows == [["a, b", "3", "1"], ["猫", "0", "2"]]


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 101, 130])
def test_the_picture_at_every_size(count: int, tmp_path: Path) -> None:
    names = tuple(f"class {i} 猫 $a_{i}$ with a rather long name" for i in range(count))
    path = tmp_path / "confusion.png"
    draw_confusion(path, count_confusion(*some(names, 300), names), "a heading " * 30)
    height, width, _ = pixels(path).shape
    assert 600 < width < 3200
    assert 600 < height < 3200
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_a_cell_is_as_dark_as_its_share(tmp_path: Path) -> None:
    true = ["a"] * 10 + ["b"] * 10
    names = [f"c{i}" for i in range(20)] + ["a", "b"]  # 22 classes: no numbers in the cells

    def matrix(wrong: int) -> np.ndarray:
        predicted = ["b"] * wrong + ["a"] * (10 - wrong) + ["b"] * 10
        draw_confusion(tmp_path / "c.png", count_confusion(true, predicted, names))
        return pixels(tmp_path / "c.png")

    none, three, all_ = matrix(0), matrix(3), matrix(10)
    changed = np.argwhere((none != all_).any(axis=2))
    # The cells (a, a) and (a, b) are neighbors in the last row but one, right below the middle.
    rows = changed[changed[:, 0] > none.shape[0] // 2]
    left, right = rows[:, 1].min(), rows[:, 1].max()
    y = int(np.median(rows[:, 0]))
    hit, miss = (y, left + (right - left) // 4), (y, right - (right - left) // 4)
    assert none[miss].min() == 255  # no mistake is white
    assert none[hit].sum() < 10  # all of them is black
    assert all_[miss].sum() < 10
    assert all_[hit].min() == 255
    assert 10 < three[hit].sum() < three[miss].sum() < 3 * 255
    gray = none[int(none.shape[0] * 0.3), hit[1]]  # rows of classes that no video has
    assert 220 < gray.min() < 250
