"""Retrieval against brute force and torchmetrics, the bootstrap, rows."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from features_of import features
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchmetrics.functional.retrieval import retrieval_average_precision, retrieval_hit_rate

from unscene.errors import UnsceneError
from unscene.evaluate import retrieval as file
from unscene.evaluate.features import Features
from unscene.evaluate.retrieval import KS, find_neighbors, retrieve
from unscene.results.rows import Row, read_rows, write_rows


def data(count: int, seed: int, owner: list[int] | None = None) -> Features:
    generator = torch.Generator().manual_seed(seed)
    videos = max(owner) + 1 if owner else count
    labels = torch.randint(0, 6, (videos,), generator=generator).tolist()
    places = torch.randint(0, 3, (videos,), generator=generator).tolist()
    return features(
        torch.randn(count, 5, generator=generator),
        [f"class {i}" for i in labels],
        owner=owner,
        scene=[f"scene {i}" for i in places],
    )


def brute_force(query: Tensor, gallery: Tensor, k: int, mask: Tensor) -> list[list[int]]:
    found = []
    for i, q in enumerate(query.double()):
        scores = [(torch.dot(q, g) / q.norm() / g.norm()).item() for g in gallery.double()]
        order = sorted(range(len(gallery)), key=lambda j: -scores[j])
        found.append(([j for j in order if not mask[i, j]] + [-1] * k)[:k])
    return found


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(("rows", "cells"), [(1, 1), (3, 50), (4096, 2**23), (7, 20)])
def test_nearest_is_brute_force_whatever_the_chunks(
    apart: bool, rows: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "_ROWS", rows)
    monkeypatch.setattr(file, "_CELLS", cells)
    query, gallery = data(9, 2).values, data(20, 1).values
    numbers = torch.arange(9) % 4, torch.arange(20) % 4
    mask = (numbers[0][:, None] == numbers[1][None]) & apart
    for k in (1, 5, 19):
        found = find_neighbors(query, gallery, k, groups=numbers if apart else None)
        assert found.tolist() == brute_force(query, gallery, k, mask)


@pytest.mark.parametrize("cells", [1, 70, 2**23])
def test_scores_are_those_of_torchmetrics(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_CELLS", cells)
    query, gallery = data(15, 3), data(30, 4)
    cosine = torch.nn.functional.cosine_similarity(query.values[:, None], gallery.values[None], 2)
    scores = retrieve(query, gallery, ks=(1, 5, 10, 50))
    assert list(scores) == ["retrieval_r1", "retrieval_r5", "retrieval_r10", "retrieval_map"]
    held = gallery.labels("label")
    relevant = [torch.tensor([h == w for h in held]) for w in query.labels("label")]
    for k in (1, 5, 10):
        rates = [
            float(retrieval_hit_rate(row, match, top_k=k))
            for row, match in zip(cosine, relevant, strict=True)
        ]
        found = scores[f"retrieval_r{k}"]
        assert found.value == pytest.approx(np.mean(rates))
        assert found.n == 15
        assert found.ci95[0] <= found.value <= found.ci95[1]
    # Shifted, since torchmetrics takes what has a score below zero for irrelevant.
    precision = [
        float(retrieval_average_precision(row + 2, match))
        for row, match in zip(cosine, relevant, strict=True)
    ]
    assert scores["retrieval_map"].value == pytest.approx(np.mean(precision))
    by_class = scores["retrieval_map"].classes
    wanted = query.labels("label")
    for name in set(wanted):
        own = [p for p, w in zip(precision, wanted, strict=True) if w == name]
        assert by_class[name] == pytest.approx(np.mean(own))


def test_leave_one_out_never_finds_another_clip_of_the_same_sample_mask() -> None:
    owner = [0, 0, 0, 1, 1, 2, 2, 2, 2, 3]
    clips = data(10, 5, owner)
    scores = retrieve(clips, clips, ks=(1, 5, 6, 7))
    assert "retrieval_r6" in scores  # 10 less the four clips of video 2
    assert "retrieval_r7" not in scores
    mask = torch.tensor(owner)[:, None] == torch.tensor(owner)[None]
    labels = clips.labels("label")
    first = brute_force(clips.values, clips.values, 1, mask)
    want = np.mean([labels[i] == labels[row[0]] for i, row in enumerate(first)])
    assert scores["retrieval_r1"].value == pytest.approx(want)


def test_leave_one_out_never_finds_another_segment_of_the_same_file() -> None:
    """Every video is nearest to the other segment of its file, and the files' classes differ."""
    angles = torch.tensor([0.0, 0.01, 0.5, 0.51, 1.0, 1.01, 1.5, 1.51])
    values, files = torch.stack([angles.cos(), angles.sin()], dim=1), [0, 0, 1, 1, 2, 2, 3, 3]
    segments = features(values, list("aabbccdd"), files=files)
    scores = retrieve(segments, segments, ks=(1, 5, 6, 7))
    assert [name for name in scores if "_r" in name] == [
        *("retrieval_r1", "retrieval_r5", "retrieval_r6"),
    ]
    assert {scores[name].value for name in scores} == {0.0}
    alone = features(values, list("aabbccdd"))
    assert retrieve(alone, alone, ks=(1,))["retrieval_r1"].value == 1.0
    one = features(values, list("aabbccdd"), files=[0] * 8)
    with pytest.raises(UnsceneError, match=r"0 are left .* without those of a query's own file"):
        retrieve(one, one)


def test_intervals_draw_files() -> None:
    """Four segments of a file with the same outcome are no more evidence than one."""
    gallery = features(torch.eye(2), list("ab"))
    hits = [i % 2 for i in range(20)]
    values = torch.eye(2)[torch.tensor(hits)]
    whole = retrieve(features(values, list("a" * 20)), gallery, ks=(1,))["retrieval_r1"]
    cut = features(
        values.repeat_interleave(4, 0), list("a" * 80), files=[i // 4 for i in range(80)]
    )
    found = retrieve(cut, gallery, ks=(1,))["retrieval_r1"]
    assert (found.value, found.n) == (whole.value, 80)
    assert found.ci95 == pytest.approx(whole.ci95)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("side", [0, 1])
def test_features_that_are_not_finite_are_refused(bad: float, side: int) -> None:
    sides = data(5, 1), data(8, 2)
    sides[side].values[3, 2] = bad
    with pytest.raises(UnsceneError, match=r"/nowhere/3\.mp4: its feature is not finite"):
        retrieve(*sides)


def test_apart_never_matches_within_a_scene() -> None:
    values = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.9, 0.5], [0.0, 1.0]])
    some = features(values, list("aaba"), scene=list("xxyy"))
    assert retrieve(some, some, ks=(1,))["retrieval_r1"].value == pytest.approx(0.5)
    # Without its own scene each of the first two finds "b", and the others find "a".
    apart = retrieve(some, some, ks=(1, 2, 5), apart="scene")
    assert apart["retrieval_r1"].classes == {"a": pytest.approx(1 / 3), "b": 0.0}
    assert "retrieval_r5" not in apart
    assert apart["retrieval_map"].classes["b"] == 0.0  # none of its class in other scenes


def average_precision(hits: list[bool]) -> float:
    """The mean over hits of the share of hits up to there."""
    found = [sum(hits[:rank]) / rank for rank, hit in enumerate(hits, 1) if hit]
    return sum(found) / max(1, len(found))


@pytest.mark.parametrize("apart", [None, "scene"])
def test_chance_is_that_of_galleries_in_any_order(apart: str | None) -> None:
    """Class a in scenes x and y, b nearly only in z: a query without its scene may lack a class."""
    some = features(torch.randn(7, 3), list("aaabbba"), scene=list("xxyzzzz"))
    labels, scenes = some.labels("label"), some.labels("scene")
    found = retrieve(some, some, ks=(1, 2, 3), apart=apart)
    precisions = []
    for i, name in enumerate(labels):
        seen = [j for j in range(7) if (scenes[j] != scenes[i] if apart else j != i)]
        orders = [[labels[j] == name for j in order] for order in itertools.permutations(seen)]
        precisions.append(np.mean([average_precision(order) for order in orders]))
    assert found["retrieval_map"].chance == pytest.approx(np.mean(precisions))
    for k in (1, 2, 3):
        shares = []
        for i, name in enumerate(labels):
            seen = [j for j in range(7) if (scenes[j] != scenes[i] if apart else j != i)]
            drawn = [any(labels[j] == name for j in d) for d in itertools.combinations(seen, k)]
            shares.append(np.mean(drawn))
        assert found[f"retrieval_r{k}"].chance == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(
    ("classes", "shown"), [(2, [1]), (6, [1]), (10, [1, 5]), (51, [1, 5, 10, 20]), (101, list(KS))]
)
def test_k_at_which_guessing_is_right_every_other_time_is_left_out(
    classes: int, shown: list[int]
) -> None:
    labels = [f"class {i % classes}" for i in range(4 * classes)]
    some = features(torch.randn(len(labels), 3), labels)
    metrics = [f"retrieval_r{k}" for k in shown if k < len(labels)]
    found = retrieve(some, some)
    assert list(found) == [*metrics, "retrieval_map"]
    assert all(found[metric].chance <= 0.5 for metric in metrics)  # type: ignore[operator]


def test_a_scale_changes_nothing() -> None:
    query, gallery = data(10, 5), data(20, 6)
    scaled = features(gallery.values * (torch.rand(20, 1) * 100 + 0.1), gallery.labels("label"))
    assert retrieve(query, gallery, ks=(1, 5)) == retrieve(query, scaled, ks=(1, 5))


def test_a_gallery_that_is_too_small() -> None:
    one = data(1, 0)
    with pytest.raises(UnsceneError, match="gallery of 1 is too small to search in: 0 are left"):
        retrieve(one, one)


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation makes."""

    seen = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        made = [part for part in tree_leaves(out) if isinstance(part, Tensor)]
        self.seen = max([self.seen, *(part.untyped_storage().nbytes() // 8 for part in made)])
        return out


@pytest.mark.parametrize("alone", [False, True])
def test_memory_does_not_grow_with_gallery_times_queries(
    alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "_CELLS", 2000)
    query, gallery = data(400, 1), data(400, 2)
    with Largest() as largest:
        retrieve(query, query if alone else gallery)
    # A few queries' similarities, or all features: of what is held, none grows with both.
    assert 1000 <= largest.seen <= 2000 < 400 * 400


def test_rows_round_trip(tmp_path: Path) -> None:
    rows = [
        Row("dsm", "data", "seen", "motion", metric, value, (0.1, 0.9), 7, 3, 1.5, "r3d-narrow",
            "abc", 10, 400, {"lr": 0.1, "name": "größe"})
        for metric, value in itertools.product(("retrieval_r1", "probe_top1"), (0.25, 0.5))
    ]  # fmt: skip
    path = tmp_path / "deep" / "rows.jsonl"
    write_rows(path, rows)
    read = read_rows(path)
    for row, record in zip(rows, read, strict=True):
        assert Row.from_record(record) == row
    assert [r["value"] for r in read if r["metric"] == "probe_top1"] == [0.25, 0.5]
    path.write_text("not json\n")
    with pytest.raises(UnsceneError, match=r"rows\.jsonl"):
        read_rows(path)
