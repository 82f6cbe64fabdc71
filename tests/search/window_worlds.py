"""Windows of generated features: three classes that occur among footage at large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unscene.search.labels import Label
from unscene.search.windows import Windows

CLASSES = ("jump", "run", "wave")


@dataclass(frozen=True)
class File:
    path: str
    duration: float = 60.0
    fps: float = 25.0

    @property
    def name(self) -> str:
        return self.path.removeprefix("/clips/")


@dataclass(frozen=True)
class About:
    encoder: str = "motion"
    fingerprint: str = "0123456789abcdef"
    length: float = 2.0
    hop: float = 1.0


@dataclass(frozen=True)
class World:
    """N windows of 2 s, one a second, what they show (3: nothing of the kind), and all labels."""

    windows: Windows
    files: list[File]
    truth: np.ndarray
    labels: list[Label]

    def pick(self, count: int, seed: int = 0, files: int | None = None) -> list[Label]:
        """So many labels of each class, drawn at random, of the first files only."""
        rng = np.random.default_rng(seed)
        usable = {file.path for file in self.files[:files]}
        picked = []
        for name in CLASSES:
            own = [one for one in self.labels if one.label == name and one.path in usable]
            picked += [own[i] for i in rng.permutation(len(own))[:count]]
        return picked


def make_world(
    seed: int = 0, files: int = 8, dim: int = 32, spread: float = 0.5, share: float = 0.3
) -> World:
    """Episodes of 3 to 7 windows: of a class, or of some movement that never occurs again.

    Args:
        spread: how much the footage of a file differs from that of others.
        share: of the episodes that show a class.
    """
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(3, dim))
    known = [File(f"/clips/{number}.mp4") for number in range(files)]
    vectors, file, start, truth, labels = [], [], [], [], []
    for number, one in enumerate(known):
        shift, at = rng.normal(size=dim) * spread, 0
        while at < 59:
            kind = int(rng.choice(4, p=[share / 3] * 3 + [1 - share]))
            base = centers[kind] if kind < 3 else rng.normal(size=dim)
            count = min(int(rng.integers(3, 8)), 59 - at)
            for i in range(count):
                vectors.append(base + shift + rng.normal(size=dim) * 0.7)
                file.append(number)
                start.append(float(at + i))
                truth.append(kind)
            if kind < 3:
                # One class may follow another at once: their labels touch in the shared second.
                labels.append(Label(one.path, at + 0.5, at + count + 0.5, CLASSES[kind]))
            at += count
    n = len(vectors)
    begin = np.array(start)
    return World(
        Windows(
            np.arange(n) + 100, np.array(file), begin, begin + 2, np.ones(n, np.float32),
            np.array(vectors, np.float32),
        ),
        known,
        np.array(truth),
        labels,
    )  # fmt: skip
