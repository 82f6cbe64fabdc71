"""Moments like another one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import media
from unscene.cli.main import main
from unscene.errors import UnsceneError
from unscene.search.index import Index
from unscene.search.labels import Label

Paths = tuple[Path, Path]


def names(index: Index, moments: list) -> list[str]:
    return [index.files[index.find_file(moment.path)].name for moment in moments]


def test_the_same_motion_is_nearest(index: Index, indexed: Paths) -> None:
    found = index.search(indexed[0] / "right" / "a.mp4", k=2)
    assert set(names(index, found)) == {"right/b.mp4", "long.mp4"}
    (long,) = (moment for moment in found if moment.path.endswith("long.mp4"))
    assert long.end < 3.0, "the part that moves to the right"
    assert found[0].similarity is not None
    assert found[0].similarity > 0.95
    found = index.search(indexed[0] / "long.mp4", start=2.6, end=3.9, k=1)
    assert names(index, found) == ["down/c.mp4"]


def test_the_query_is_not_its_own_result(index: Index, indexed: Paths) -> None:
    query = indexed[0] / "long.mp4"
    found = index.search(query, start=0.2, end=1.5, k=50, still=True)
    own = [moment for moment in found if moment.path.endswith("long.mp4")]
    assert own
    assert all(moment.start >= 1.5 for moment in own)
    assert len(set(names(index, found))) == 5


def test_still_windows_are_kept_apart(index: Index, indexed: Paths) -> None:
    query = indexed[0] / "right" / "a.mp4"
    assert "still.mp4" not in names(index, index.search(query, k=50))
    assert "still.mp4" in names(index, index.search(query, k=50, still=True))


def test_windows_that_overlap_are_one_moment(index: Index, indexed: Paths) -> None:
    query = indexed[0] / "right" / "a.mp4"
    merged = index.search(query, k=50)
    apart = index.search(query, k=50, merge=False)
    assert (
        sum(len(moment.windows) for moment in merged)
        <= len(apart)
        == sum(~index.still & (index.windows.file != index.find_file("a.mp4")))
    )
    for moment in merged:
        for other in merged:
            if moment is not other and moment.path == other.path:
                assert moment.end <= other.start or other.end <= moment.start
    (whole,) = (moment for moment in merged if moment.path.endswith("b.mp4"))
    assert (whole.start, whole.end) == (0.0, pytest.approx(2.0, abs=0.05))


def test_unlike(index: Index, indexed: Paths) -> None:
    query = index.search(indexed[0] / "long.mp4", k=1)[0]
    both = np.stack([
        index.embed(indexed[0] / "right" / "a.mp4").mean(0),
        index.embed(indexed[0] / "down" / "c.mp4").mean(0),
    ])  # fmt: skip
    first = names(index, index.search(both, unlike=[indexed[0] / "down" / "c.mp4"], k=1))
    other = names(index, index.search(both, unlike=[indexed[0] / "right" / "a.mp4"], k=1))
    assert first[0] != "down/c.mp4"
    assert other[0] != "right/a.mp4"
    assert first != other
    assert query.windows


def test_a_moment_and_an_array_are_queries(index: Index) -> None:
    moment = index.moment(int(index.windows.ids[3]))
    row = index.windows.vectors[index.windows.ids == moment.windows[0]]
    by_moment = index.search(moment, k=5, still=True, merge=False)
    by_array = index.search(row, k=6, still=True, merge=False)
    assert by_array[0].windows == moment.windows
    others = [one.windows for one in by_array if one.path != moment.path]
    assert [one.windows for one in by_moment if one.path != moment.path][: len(others)] == others
    with pytest.raises(UnsceneError, match="have 9 numbers"):
        index.search(np.zeros(5, np.float32))
    with pytest.raises(UnsceneError, match="window 9999"):
        index.moment(9999)


def test_conditions_are_exact(own: Paths) -> None:
    index = Index.open(own[1])
    windows = index.windows
    for where, wanted in {
        "motion > 0.1 AND start < 1": (windows.motion > 0.1) & (windows.start < 1),
        '"end" > 1.5': windows.end > 1.5,
        "still": index.still,
        "class = 'right'": np.isin(
            windows.file, [i for i, f in enumerate(index.files) if f.label == "right"]
        ),
        "file LIKE '%c.mp4'": windows.file == index.find_file("down/c.mp4"),
        "label IS NOT NULL": np.zeros(len(windows), bool),
    }.items():
        np.testing.assert_array_equal(index.select(where), wanted, err_msg=where)
    path = index.files[index.find_file("long.mp4")].path
    (label,) = index.add_labels([Label(path, 0.0, 1.6, "it's right")])
    chosen = index.select("label = 'it''s right'")
    assert chosen.sum() >= 2
    assert (windows.file[chosen] == index.find_file("long.mp4")).all()
    assert Index.open(own[1]).select("label IS NOT NULL").sum() == chosen.sum()
    index.replace_labels([dataclasses.replace(label, label="down")])
    assert not index.select("label = 'it''s right'").any()
    assert index.select("label = 'down'").sum() == chosen.sum()
    index.remove_labels([label.id])
    assert not index.select("label IS NOT NULL").any()
    with pytest.raises(UnsceneError, match="may have been removed"):
        index.replace_labels([label])
    with pytest.raises(UnsceneError, match="No field named speed"):
        index.select("speed > 3")
    with pytest.raises(UnsceneError, match="It is a condition in SQL"):
        index.select("motion >")


def test_labels_are_replaced_together_in_one_commit(own: Paths) -> None:
    index = Index.open(own[1])
    path = index.files[1].path
    given = index.add_labels([Label(path, 0.1 * i, 0.1 * i + 0.1, "one") for i in range(5)])
    version = index.store.db.open_table("labels").version
    index.replace_labels([dataclasses.replace(one, label="two") for one in given[:4]])
    assert index.store.db.open_table("labels").version == version + 1
    assert [one.label for one in index.labels()] == ["two"] * 4 + ["one"]
    assert {one.id for one in index.labels()} == {one.id for one in given}
    unknown = dataclasses.replace(given[1], id="unknown")
    with pytest.raises(UnsceneError, match="label unknown: is not in the index"):
        index.replace_labels([dataclasses.replace(given[0], label="three"), unknown])
    assert index.labels()[0].label == "two"  # all or none


def test_labels_of_two_processes_are_not_lost(own: Paths) -> None:
    first, second = Index.open(own[1]), Index.open(own[1])
    path = first.files[1].path
    a = first.add_labels([Label(path, 0, 1, "one")])
    b = second.add_labels([Label(path, 1, 2, "two")])
    assert {one.id for one in Index.open(own[1]).labels()} == {a[0].id, b[0].id}
    second.remove_labels([a[0].id])
    assert [one.label for one in first.labels()] == ["two"]
    with pytest.raises(UnsceneError, match="is in no file of"):
        first.add_labels([Label("/elsewhere.mp4", 0, 1, "x")])


@pytest.mark.parametrize(
    ("name", "start", "end", "message"),
    [
        ("long.mp4", 3.0, 2.0, "nothing to look for"),
        ("long.mp4", 9.0, None, "it lasts 4.00 s"),
        ("bad.mp4", None, None, "no video can be used"),
        ("missing.mp4", None, None, "missing.mp4"),
    ],
)
def test_queries_that_cannot_be_read(
    index: Index,
    indexed: Paths,
    name: str,
    start: float | None,
    end: float | None,
    message: str,
) -> None:
    with pytest.raises(UnsceneError, match=message):
        index.search(indexed[0] / name, start=start, end=end)


def test_a_query_shorter_than_a_window(index: Index, indexed: Paths, tmp_path: Path) -> None:
    widened = index.embed(indexed[0] / "long.mp4", 1.0, 1.1)
    around = index.embed(indexed[0] / "long.mp4", 1.05 - 0.5333, 1.05 + 0.5333)
    np.testing.assert_allclose(widened, around, atol=1e-4)
    media.write(tmp_path / "short.mp4", media.pan(6))
    assert index.embed(tmp_path / "short.mp4").shape == (1, 9)


def test_from_the_command_line(
    indexed: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "index"
    assert (
        main(["index", str(indexed[0]), "--out", str(place), "--encoder", "hof", "--workers", "0"])
        == 0
    )
    said = capsys.readouterr().out
    assert "files: 6 new" in said
    assert "skipped: 1\n" in said
    assert "bad.mp4" in said
    query = str(indexed[0] / "right" / "a.mp4")
    assert main(["search", str(place), query, "-k", "3", "--from", "0", "--to", "2"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 4
    assert "right/b.mp4" in "".join(table[1:3])
    assert main(["search", str(place), query, "--where", "motion > 99"]) == 0
    assert "no moment" in capsys.readouterr().out
    assert main(["search", str(tmp_path / "none"), query]) == 1
    assert "holds no index" in capsys.readouterr().err


def test_approximate_search_of_a_large_index(
    own: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What LanceDB proposes is compared exactly; conditions hold exactly; recall is measured."""
    from unscene.search import build, nearest
    from unscene.search.store import Store

    exact = Index.open(own[1])
    rng = np.random.default_rng(0)
    store, count = Store(own[1]), 3000
    _, first = store.next_ids()
    file = exact.files[exact.find_file("long.mp4")]
    columns = {
        "id": np.arange(first, first + count),
        "file_id": [file.id] * count,
        "file": [file.name] * count,
        "number": np.arange(count) + file.windows,
        "start": np.arange(count) + 10.0,
        "end": np.arange(count) + 11.0,
        "motion": np.where(np.arange(count) % 2 == 0, 0, 0.5).astype(np.float32),
        "still": np.arange(count) % 2 == 0,
        "class": [None] * count,
    }
    store.add_windows(columns, rng.random((count, 9), np.float32))
    store.put_files([dataclasses.replace(file, windows=file.windows + count)])
    monkeypatch.setattr(nearest, "EXACT", 1000)
    about = build._serve_large(store, store.about())
    assert 0.5 < about.recall <= 1
    index = Index.open(own[1])
    assert index.about.recall == about.recall
    query = rng.random(9).astype(np.float32)
    where = "start > 100 AND start < 1500"
    found = index.search(query, where=where, k=20)
    assert len(found) == 20
    assert all(100 < moment.start < 1500 and moment.start % 2 == 1 for moment in found)
    assert [m.similarity for m in found] == sorted([m.similarity for m in found], reverse=True)
    monkeypatch.setattr(nearest, "EXACT", 10**6)
    whole = index.search(query, where=where, k=20)
    assert len({m.windows for m in whole} & {m.windows for m in found}) >= 18
    by_window = {m.windows: m.similarity for m in whole}
    for moment in found:
        if moment.windows in by_window:
            assert moment.similarity == pytest.approx(by_window[moment.windows], abs=1e-6)


def test_what_all_windows_have_in_common_is_left_out() -> None:
    from unscene.search.nearest import Nearest

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(80, 6)).astype(np.float32)
    vectors[:, 0] += 30
    moving = np.arange(80) % 4 > 0
    apart = vectors - vectors[moving].mean(0)
    nearest = Nearest(vectors, moving)
    query = nearest.average(vectors[[3]])
    cosines = apart @ apart[3] / np.linalg.norm(apart, axis=1) / np.linalg.norm(apart[3])
    np.testing.assert_allclose(nearest.similarities(query), cosines, atol=1e-5)
    some = nearest.similarities(query, np.array([3, 7]))
    np.testing.assert_allclose(some[[3, 7]], cosines[[3, 7]], atol=1e-5)
    assert (np.delete(some, [3, 7]) == -1).all()
    assert nearest.similarities(query).std() > 0.2
    few = Nearest(vectors[:20])  # too few to know their mean
    assert few.similarities(few.average(vectors[[3]])).min() > 0.95
