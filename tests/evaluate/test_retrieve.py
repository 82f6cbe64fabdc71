"""Recall against brute force and torchmetrics, the bootstrap, the probe, rows."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import retrieval_hit_rate

from unscene.errors import UnsceneError
from unscene.evaluate import retrieve
from unscene.evaluate.bootstrap import interval
from unscene.evaluate.probe import linear_probe
from unscene.evaluate.retrieve import nearest, recall
from unscene.evaluate.rows import Row, pick, read_rows, write_rows


def data(count: int, seed: int) -> tuple[torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 6, (count,), generator=generator)
    return torch.randn(count, 5, generator=generator), [f"class {i}" for i in labels.tolist()]


def brute_force(
    query: torch.Tensor, gallery: torch.Tensor, k: int, *, leave_one_out: bool
) -> list[list[int]]:
    found = []
    for i, q in enumerate(query.double()):
        scores = [(torch.dot(q, g) / q.norm() / g.norm()).item() for g in gallery.double()]
        order = sorted(range(len(gallery)), key=lambda j: -scores[j])
        found.append([j for j in order if not (leave_one_out and i == j)][:k])
    return found


@pytest.mark.parametrize("leave_one_out", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 4096])
def test_nearest_is_brute_force_whatever_the_chunk(
    leave_one_out: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieve, "_CHUNK", chunk)
    gallery, _ = data(20, 1)
    query = gallery if leave_one_out else data(9, 2)[0]
    for k in (1, 5, 19):
        found = nearest(query, gallery, k, leave_one_out=leave_one_out)
        assert found.tolist() == brute_force(query, gallery, k, leave_one_out=leave_one_out)


def test_leave_one_out_never_finds_itself() -> None:
    same = torch.ones(6, 3)  # every video is as near as itself
    found = nearest(same, same, 5, leave_one_out=True)
    assert all(i not in row for i, row in enumerate(found.tolist()))


def test_recall_is_torchmetrics_hit_rate() -> None:
    query, wanted = data(15, 3)
    gallery, held = data(30, 4)
    cosine = torch.nn.functional.normalize(query) @ torch.nn.functional.normalize(gallery).T
    results = recall(query, wanted, gallery, held, ks=(1, 5, 10))
    assert results[0].value < results[1].value < results[2].value
    for result in results:
        rates = [
            retrieval_hit_rate(row, torch.tensor([h == w for h in held]), top_k=result.k).item()
            for row, w in zip(cosine, wanted, strict=True)
        ]
        assert result.value == pytest.approx(np.mean(rates))
        assert result.n == 15
        assert result.ci95[0] <= result.value <= result.ci95[1]


def test_a_scale_changes_nothing() -> None:
    query, wanted = data(10, 5)
    gallery, held = data(20, 6)
    scales = torch.rand(20, 1) * 100 + 0.1
    plain, scaled = (recall(query, wanted, g, held, ks=(1, 5)) for g in (gallery, gallery * scales))
    assert plain == scaled


def test_only_the_ks_that_the_gallery_has_room_for() -> None:
    features, labels = data(6, 0)
    ks = [r.k for r in recall(features, labels, features, labels, ks=(1, 5, 6), leave_one_out=True)]
    assert ks == [1, 5]
    with pytest.raises(UnsceneError, match="1 videos is too small"):
        recall(features[:1], labels[:1], features[:1], labels[:1], leave_one_out=True)


def test_bootstrap_is_deterministic_and_covers() -> None:
    hits = (np.random.default_rng(0).random(200) < 0.3).astype(np.float64)
    assert interval(hits) == interval(hits)
    spread = np.random.default_rng(0).random(20)
    assert interval(spread) != interval(spread, seed=1)
    low, high = interval(hits)
    # The normal approximation is good here.
    half = 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 200)
    assert low == pytest.approx(hits.mean() - half, abs=0.015)
    assert high == pytest.approx(hits.mean() + half, abs=0.015)
    covered = 0
    for seed in range(100):
        sample = (np.random.default_rng(seed).random(60) < 0.4).astype(np.float64)
        low, high = interval(sample, resamples=200)
        covered += low <= 0.4 <= high
    assert 86 <= covered <= 100
    assert interval(np.ones(5)) == (1.0, 1.0)


def test_probe_reads_what_is_there_and_nothing_else() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = [f"c{i % 4}" for i in range(200)]
    noise = torch.randn(200, 8, generator=generator)
    apart = noise.clone()
    for i in range(200):
        apart[i, i % 4] += 20
    seen = linear_probe(apart[:100], labels[:100], apart[100:], labels[100:])
    assert (seen.value, seen.n, seen.ci95) == (1.0, 100, (1.0, 1.0))
    blind = linear_probe(noise[:100], labels[:100], noise[100:], labels[100:])
    assert blind.value == pytest.approx(0.25, abs=0.12)
    assert blind.ci95[0] < blind.value < blind.ci95[1]


def test_probe_counts_a_class_it_never_saw_as_missed() -> None:
    features = torch.eye(4).repeat(2, 1) * 10
    result = linear_probe(features[:4], list("abcd"), features[4:], list("abcz"))
    assert result.value == 0.75
    with pytest.raises(UnsceneError, match="two classes"):
        linear_probe(features, ["a"] * 8, features, ["a"] * 8)


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
        assert Row(**record | {"ci95": tuple(record["ci95"])}) == row
    assert [r["value"] for r in pick(read, metric="probe_top1")] == [0.25, 0.5]
    path.write_text("not json\n")
    with pytest.raises(UnsceneError, match=r"rows\.jsonl"):
        read_rows(path)
