"""What kinds of motion are there: groups, typical moments, rare ones."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from unscene.cli.main import main
from unscene.errors import UnsceneError
from unscene.search import cluster_report
from unscene.search.cluster import Clusters, cluster_windows
from unscene.search.index import Index
from unscene.search.labels import Label
from unscene.search.store import IndexedFile
from unscene.search.windows import Windows

Paths = tuple[Path, Path]
Captured = pytest.CaptureFixture[str]
PER_FILE = 12


def make(
    kinds: int = 3, files: int = 15, noise: float = 0.3, seed: int = 0
) -> tuple[Windows, np.ndarray, list[IndexedFile], np.ndarray]:
    """Windows of files in which the first half is of one kind and the second half of another."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(kinds, 24))
    file = np.repeat(np.arange(files), PER_FILE)
    kind = (file + (np.arange(len(file)) % PER_FILE >= PER_FILE // 2)) % kinds
    vectors = (centers[kind] + noise * rng.normal(size=(len(file), 24))).astype(np.float32)
    start = np.tile(np.arange(PER_FILE) * 0.8, files)
    motion = np.full(len(file), 0.2, np.float32)
    ids = np.arange(len(file)) + 100
    windows = Windows(ids, file, start, start + 1.6, motion, vectors)
    listed = [
        IndexedFile(
            i, f"/x/{i}.mp4", f"{i}.mp4", "/x", 1, 1, "", PER_FILE * 0.8 + 0.8, 25.0,
            ((0.0, 4.8, f"kind {i % kinds}"), (4.8, None, f"kind {(i + 1) % kinds}")),
        )
        for i in range(files)
    ]  # fmt: skip
    return windows, np.zeros(len(file), bool), listed, kind


def run(made: tuple[Windows, np.ndarray, list[IndexedFile], np.ndarray], **how: object) -> Clusters:
    return cluster_windows(*made[:3], **how)  # type: ignore[arg-type]


def test_planted_groups_are_found_and_counted() -> None:
    for kinds in (3, 5):
        made = make(kinds)
        found = run(made)
        assert len(found.groups) == kinds
        assert adjusted_rand_score(made[3], found.assigned) > 0.97
        assert found.silhouette == max(found.tried.values())
        assert found.silhouette > 0.3
    sizes = [group.seconds for group in found.groups]
    assert sizes == sorted(sizes, reverse=True)
    for number, group in enumerate(found.groups):
        np.testing.assert_array_equal(np.flatnonzero(found.assigned == number), group.rows)
        np.testing.assert_array_equal(group.windows, group.rows + 100)
        assert group.files == len(np.unique(made[0].file[group.rows]))


def test_the_same_seed_gives_the_same_groups_and_a_number_is_obeyed() -> None:
    made = make(4, noise=2.0)
    one, other = run(made, seed=3), run(made, seed=3)
    np.testing.assert_array_equal(one.assigned, other.assigned)
    np.testing.assert_array_equal(one.rarity, other.rarity)
    found = run(made, clusters=6)
    assert len(found.groups) == 6
    assert found.tried == {}
    assert found.silhouette is not None
    assert run(made, clusters=1).silhouette == -1.0


def test_windows_that_overlap_are_one_moment() -> None:
    windows, still, files, _ = make(3, noise=0.05)
    found = cluster_windows(windows, still, files)
    for group in found.groups:
        assert len(group.moments) == group.files, "one half of each file"
        for moment in group.moments:
            assert moment.end - moment.start == pytest.approx(5 * 0.8 + 1.6)
            assert len(moment.windows) == PER_FILE // 2
        assert group.seconds == pytest.approx(sum(m.end - m.start for m in group.moments))


def test_typical_moments_come_from_many_files() -> None:
    found = run(make(3))
    for group in found.groups:
        paths = [moment.path for moment in group.typical]
        assert len(set(paths)) == min(12, group.files)
        assert all(len(moment.windows) == 1 for moment in group.typical)
        assert set(group.windows) >= {moment.windows[0] for moment in group.typical}


def test_still_windows_are_in_no_group() -> None:
    windows, still, files, _ = make(3)
    still[::5] = True
    found = cluster_windows(windows, still, files)
    np.testing.assert_array_equal(found.assigned < 0, still)
    np.testing.assert_array_equal(np.isnan(found.rarity), still)
    assert not set(windows.ids[still]) & {w for g in found.groups for w in g.windows}


def test_the_rarest_is_what_happens_once() -> None:
    """Also if its own windows, which overlap, are like each other."""
    windows, still, files, _ = make(3)
    odd = slice(40, 42)
    windows.vectors[odd] = np.random.default_rng(9).normal(size=24) * 3
    found = cluster_windows(windows, still, files)
    assert set(np.argsort(-np.nan_to_num(found.rarity))[:2]) == {40, 41}
    assert found.rare[0].windows[0] in (140, 141)
    assert not {140, 141} <= {moment.windows[0] for moment in found.rare}, "they overlap"


def test_agreement_with_classes_and_labels_and_its_chance() -> None:
    windows, still, files, kind = make(3)
    rng = np.random.default_rng(1)
    right = [
        Label(files[int(windows.file[i])].path, windows.start[i], windows.end[i], f"k{kind[i]}")
        for i in range(0, len(windows), 3)
    ]
    labels, classes = cluster_windows(windows, still, files, right).agreement
    assert (labels.names, classes.names) == ("labels", "classes")
    for one in (labels, classes):
        assert one.information > 0.6 > one.chance_high
        assert abs(one.chance) < 0.1
    wrong = [Label(one.path, one.start, one.end, f"k{rng.integers(3)}") for one in right]
    labels = cluster_windows(windows, still, files, wrong).agreement[0]
    assert labels.information < 0.1
    sentences = cluster_report.describe_groups(cluster_windows(windows, still, files, wrong))
    assert any("classes" in line and "above chance" in line for line in sentences)
    # Without names there is nothing to compare with.
    plain = [IndexedFile(f.id, f.path, f.name, f.source, 1, 1, "", f.duration) for f in files]
    assert cluster_windows(windows, still, plain).agreement == ()


def test_names_that_hold_for_whole_files_agree_by_chance() -> None:
    """Every file has a motion of its own: shuffling names window by window would not show that."""
    rng = np.random.default_rng(0)
    windows, still, files, _ = make(3)
    windows.vectors[:] = rng.normal(size=(len(files), 24))[windows.file]
    windows.vectors[:] += 0.1 * rng.normal(size=windows.vectors.shape)
    named = [
        IndexedFile(f.id, f.path, f.name, f.source, 1, 1, "", f.duration, 25.0,
                    ((0.0, None, f"kind {f.id % 3}"),))
        for f in files
    ]  # fmt: skip
    (one,) = cluster_windows(windows, still, named, clusters=12).agreement
    assert one.chance > 0.1
    assert one.information < one.chance_high + 0.1


@pytest.mark.parametrize(
    ("moving", "clusters", "message"),
    [
        (7, "auto", "something moves in 7 windows of the index, too few to group: 8 are needed"),
        (180, 0, "--clusters 0: must be a number of groups above 0, or auto"),
        (40, 11, "the 40 windows in which something moves are too few for that; at most 10"),
    ],
)
def test_what_cannot_be_grouped(moving: int, clusters: int | str, message: str) -> None:
    windows, still, files, _ = make(3)
    still[moving:] = True
    with pytest.raises(UnsceneError, match=re.escape(message)):
        cluster_windows(windows, still, files, clusters=clusters)  # type: ignore[arg-type]


def test_windows_that_are_all_the_same() -> None:
    windows, still, files, _ = make(3)
    windows.vectors[:] = 1.0
    found = cluster_windows(windows, still, files)
    assert sum(len(group.rows) for group in found.groups) == len(windows)


def test_motion_of_videos(index: Index) -> None:
    found = index.cluster(2)
    (right,) = {int(found.assigned[r]) for r in _rows(index, "right/a.mp4", "right/b.mp4")}
    (down,) = {int(found.assigned[r]) for r in _rows(index, "down/c.mp4")}
    assert right != down
    assert all(found.assigned[_rows(index, "still.mp4")] == -1)


def _rows(index: Index, *names: str) -> np.ndarray:
    numbers = [index.find_file(name) for name in names]
    return np.flatnonzero(np.isin(index.windows.file, numbers))


def test_the_command(index: Index, indexed: Paths, tmp_path: Path, capsys: Captured) -> None:
    line = ["cluster", str(indexed[1]), "--clusters", "2"]
    page, table = tmp_path / "c.html", tmp_path / "c.csv"
    assert main([*line, "--html", str(page), "--csv", str(table)]) == 0
    told = capsys.readouterr().out
    assert "They are no classes" in told
    assert re.search(r"\d+ of \d+ windows show nothing that moves", told)
    assert "What happens rarely" in told
    text = page.read_text(encoding="utf-8")
    assert "2 groups of motion in 4 files" in text
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', text)
    assert len(sources) >= 2 * 2 + 1
    assert all(one.startswith("data:image/jpeg;base64,") for one in sources)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = index.cluster(2)
    assert len(rows) == sum(len(group.moments) for group in found.groups)
    assert {row["group"] for row in rows} == {"1", "2"}
    assert [row["typical"] for row in rows].count("1") == 2
    for flag, path in (("--html", page), ("--csv", table)):
        assert main([*line, flag, str(path)]) == 1
        assert "is there already; pass --overwrite" in capsys.readouterr().err
    assert main([*line, "--csv", str(table), "--overwrite"]) == 0
    capsys.readouterr()
    assert main(["cluster", str(indexed[1]), "--clusters", "many"]) == 2
    assert main(["cluster", str(tmp_path / "none")]) == 1


def test_a_page_of_files_that_went(own: Paths, tmp_path: Path) -> None:
    index = Index.open(own[1])
    found = index.cluster(2)
    (own[0] / "down" / "c.mp4").unlink()
    problems = cluster_report.write_page(tmp_path / "c.html", found, index.files, encoder="hof")
    assert problems
    assert all("does not exist" in one for one in problems)
    assert "does not exist" in (tmp_path / "c.html").read_text()
