"""An index of footage: what it holds, how it is brought up to date, what goes wrong."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import ENCODER

import media
from unscene.data.listing import open_catalog
from unscene.encoders import load_encoder
from unscene.errors import UnsceneError
from unscene.evaluate.features import extract
from unscene.search import build
from unscene.search.index import Index
from unscene.search.labels import Label
from unscene.search.store import Store

Paths = tuple[Path, Path]


def test_windows_cover_every_file(index: Index) -> None:
    names = [file.name for file in index.files]
    assert names == ["bad.mp4", "down/c.mp4", "long.mp4", "right/a.mp4", "right/b.mp4", "still.mp4"]
    windows = index.windows
    assert windows.vectors.shape == (len(windows), 9)
    for number, file in enumerate(index.files):
        own = windows.file == number
        if file.name == "bad.mp4":
            assert not own.any()
            assert "bad.mp4" not in (file.reason or "bad.mp4")
            continue
        assert windows.start[own][0] == 0
        assert windows.end[own][-1] == pytest.approx(file.duration, abs=0.05)
        assert (np.diff(windows.start[own]) > 0).all()
        assert (windows.start[own][1:] < windows.end[own][:-1]).all(), "a gap between windows"
    assert [file.label for file in index.files][1:4] == ["down", None, "right"]


def test_a_window_has_the_feature_of_its_clip(index: Index, indexed: Paths) -> None:
    """The first window of a file is the clip at its start, as every other command reads it."""
    short = index.find_file("still.mp4")
    catalog = open_catalog([indexed[0] / "right" / "a.mp4"])
    encoder = load_encoder(ENCODER)
    clip = extract(encoder, catalog.videos, mode="video", clips=2).values
    rows = np.flatnonzero(index.windows.file == index.find_file("a.mp4"))[[0, -1]]
    mean = index.windows.vectors[rows].mean(0)
    np.testing.assert_allclose(mean, clip[0].numpy(), atol=0.02)
    assert index.still[index.windows.file == short].all()
    assert not index.still[index.windows.file != short].any()


def test_unchanged_files_are_not_read_again(
    own: Paths, reindex: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    footage, place = own
    before = Index.open(place)
    known = dict(zip(before.windows.ids, before.windows.start, strict=True))
    (footage / "down" / "c.mp4").rename(footage / "down" / "renamed.mp4")
    media.write(footage / "new.mp4", media.pan(40))
    (footage / "still.mp4").unlink()
    os.utime(footage / "right" / "a.mp4", (1, 1))
    read: list[str] = []
    real = build.embed_windows

    def reading(encoder: Any, videos: Any, *args: Any, **options: Any) -> Any:
        read.extend(video.path for video in videos)
        return real(encoder, videos, *args, **options)

    monkeypatch.setattr(build, "embed_windows", reading)
    done = reindex(footage, place)
    assert [Path(path).name for path in read] == ["new.mp4"]
    assert (done.new, done.moved, done.removed, done.changed) == (1, 1, 1, 0)
    assert done.unchanged == 4  # with the bad one
    after = Index.open(place)
    assert "down/renamed.mp4" in [file.name for file in after.files]
    assert "still.mp4" not in [file.name for file in after.files]
    kept = after.windows[after.windows.file == after.find_file("renamed.mp4")]
    assert all(known[i] == start for i, start in zip(kept.ids, kept.start, strict=True))
    moments = after.search(footage / "new.mp4", where="file = 'down/renamed.mp4'")
    assert {Path(moment.path).name for moment in moments} == {"renamed.mp4"}


def test_a_changed_file_is_read_again_and_keeps_its_labels(
    own: Paths, reindex: Callable[..., Any]
) -> None:
    footage, place = own
    index = Index.open(place)
    path = str(footage / "down" / "c.mp4")
    index.add_labels([Label(path, 0.0, 1.0, "down")])
    before = len(index)
    media.write(footage / "down" / "c.mp4", media.pan(80, step=(0, 1)))
    done = reindex(footage, place)
    assert (done.changed, done.new) == (1, 0)
    index = Index.open(place)
    assert len(index) == before + 2
    assert [(one.path, one.label) for one in index.labels()] == [(path, "down")]
    (footage / "down" / "c.mp4").unlink()
    assert reindex(footage, place).removed == 1
    assert reindex(footage, place).removed == 0
    media.write(footage / "down" / "c.mp4", media.pan(50, step=(0, 1)))
    reindex(footage, place)
    index = Index.open(place)
    assert [(one.path, one.label) for one in index.labels()] == [(path, "down")], "labels are kept"
    assert index.select("label = 'down'").any()


def test_a_killed_indexer_loses_little(tmp_path: Path, reindex: Callable[..., Any]) -> None:
    footage, place = tmp_path / "footage", tmp_path / "index"
    footage.mkdir()
    media.write(footage / "a.mp4", media.pan(60, (48, 64), (1, 0)))
    media.write(footage / "long.mp4", media.drift(1500, (48, 64)))
    code = (
        "import sys; from unscene.search import build; build._WINDOWS = 16\n"
        "build.build_index(sys.argv[1], sys.argv[2], encoder='color', batch_size=8)"
    )
    command = [sys.executable, "-c", code, str(footage), str(place)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    store, limit = Store(place), time.monotonic() + 60
    while time.monotonic() < limit:
        if store.exists() and len(store._select("windows", ["id"])) >= 48:
            break
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not all(file.done for file in store.files())
    written = len(Index.open(place))
    assert written >= 32
    done = reindex(footage, place)
    whole = tmp_path / "whole"
    reindex(footage, whole, encoder="color")
    ours, theirs = Index.open(place).windows, Index.open(whole).windows
    assert done.windows <= len(theirs) - written + 32
    for name in ("file", "start", "end", "motion", "vectors"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-5)
    assert len(set(ours.ids.tolist())) == len(ours)


def test_two_processes_do_not_write_one_index(own: Paths, reindex: Callable[..., Any]) -> None:
    footage, place = own
    with build._lock(str(place)), pytest.raises(UnsceneError, match="another process is indexing"):
        reindex(footage, place)
    reindex(footage, place)


def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, reindex: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    footage, place = tmp_path / "footage", tmp_path / "index"
    footage.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        media.write(footage / name, media.pan(40))
    real = build.embed_windows

    def changing(*args: Any, **options: Any) -> Any:
        os.utime(footage / "a.mp4", (1, 1))
        (footage / "b.mp4").unlink()
        yield from real(*args, **options)

    monkeypatch.setattr(build, "embed_windows", changing)
    done = reindex(footage, place, encoder="color")
    reasons = {Path(one.path).name: one.reason for one in done.skipped}
    assert "changed or vanished" in reasons["a.mp4"]
    assert set(reasons) == {"a.mp4", "b.mp4"}
    monkeypatch.setattr(build, "embed_windows", real)
    done = reindex(footage, place)
    assert done.skipped == []
    assert (done.removed, done.unchanged) == (1, 1)
    assert [file.name for file in Index.open(place).files] == ["a.mp4", "c.mp4"]


def test_segments_of_a_csv(own: Paths, reindex: Callable[..., Any], tmp_path: Path) -> None:
    table = tmp_path / "footage" / "list.csv"
    table.write_text(
        "path,label,start,end\nlong.mp4,right,0,1.9\nlong.mp4,down,2.1,4\nright/a.mp4,right,,\n"
    )
    reindex(table, tmp_path / "parts", encoder=ENCODER)
    index = Index.open(tmp_path / "parts")
    long = index.windows[index.windows.file == index.find_file("long.mp4")]
    assert not ((long.start < 1.9) & (long.end > 2.1)).any(), "a window across two segments"
    assert index.select("class = 'down'").sum() == (long.start >= 2.1).sum() > 0
    assert index.files[index.find_file("long.mp4")].label is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "color"}, "was made with the encoder hof"),
        ({"length": 3.0}, "the length of its windows is 1.066"),
        ({"hop": 0.1}, "the hop of its windows is 0.533"),
    ],
)
def test_another_encoder_or_other_windows(
    indexed: Paths, reindex: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnsceneError, match=message):
        reindex(*indexed, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 1.0, "hop": 2.0}, "longer than a window"),
        ({"length": -1.0}, "above 0"),
        ({"hop": 0.0}, "above 0"),
    ],
)
def test_windows_that_make_no_sense(
    indexed: Paths,
    reindex: Callable[..., Any],
    tmp_path: Path,
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(UnsceneError, match=message):
        reindex(indexed[0], tmp_path / "new", encoder=ENCODER, **options)
    assert not (tmp_path / "new" / "about.lance").exists()


def test_no_index_and_a_newer_one(own: Paths, tmp_path: Path) -> None:
    with pytest.raises(UnsceneError, match="holds no index; make one: unscene index"):
        Index.open(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists(), "looking makes no folder"
    store = Store(own[1])
    store._table("about").update(values={"version": 99})
    with pytest.raises(UnsceneError, match="newer version of unscene"):
        Index.open(own[1])


def test_an_index_of_nothing_that_can_be_read(tmp_path: Path, text_file: Path) -> None:
    with pytest.raises(UnsceneError, match="no video can be used"):
        build.build_index(text_file, tmp_path / "index", encoder=ENCODER)


def test_an_index_that_cannot_be_written(
    own: Paths, reindex: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What LanceDB says of a full disk becomes one sentence, and what is there stays."""
    footage, place = own
    before = len(Index.open(place))
    media.write(footage / "new.mp4", media.pan(40))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    from lancedb.table import LanceTable

    monkeypatch.setattr(LanceTable, "add", full)
    with pytest.raises(UnsceneError, match="No space left on device; free some space"):
        reindex(footage, place)
    monkeypatch.undo()
    assert len(Index.open(place)) == before
    reindex(footage, place)
    assert len(Index.open(place)) > before


def test_encoder_that_was_trained_further(
    indexed: Paths, tmp_path: Path, moving: Any, tiny: Callable[..., Any]
) -> None:
    """An index of a run refuses to go on when other weights lie in the run's folder."""
    from unscene import create_encoder, save_encoder

    for name in ("first", "second"):
        save_encoder(create_encoder("r3d-narrow", width=8, stages=2), tmp_path / name)
    run = tmp_path / "run"
    shutil.copytree(tmp_path / "first", run)
    build.build_index(indexed[0] / "right", tmp_path / "index", encoder=str(run))
    shutil.rmtree(run)
    shutil.copytree(tmp_path / "second", run)
    with pytest.raises(UnsceneError, match="cannot be compared"):
        _ = Index.open(tmp_path / "index").encoder


def test_workers_read_the_same(own: Paths, tmp_path: Path, reindex: Callable[..., Any]) -> None:
    footage, place = own
    reindex(footage, tmp_path / "workers", encoder=ENCODER, workers=2, batch_size=5)
    ours, theirs = Index.open(tmp_path / "workers").windows, Index.open(place).windows
    np.testing.assert_array_equal(ours.start, theirs.start)
    np.testing.assert_allclose(ours.vectors, theirs.vectors, atol=1e-5)
    np.testing.assert_allclose(ours.motion, theirs.motion, atol=1e-5)


def test_an_address_instead_of_a_folder(indexed: Paths, tmp_path: Path) -> None:
    """What LanceDB takes for an object store; there are no locks, and no folder is looked at."""
    address = f"file://{tmp_path}/store"
    build.build_index(indexed[0] / "right", address, encoder="color")
    again = build.build_index(indexed[0] / "right", address)
    assert (again.unchanged, again.windows) == (2, 0)
    index = Index.open(address)
    assert index.search(indexed[0] / "right" / "a.mp4", k=1)[0].path.endswith("b.mp4")
    with pytest.raises(UnsceneError, match="holds no index"):
        Index.open(f"file://{tmp_path}/nothing")


def test_a_query_without_pictures(index: Index, tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.rate = 8000
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    with pytest.raises(UnsceneError, match="no video stream"):
        index.search(path)


def test_folders_of_one_name_and_lists_do_not_remove_each_other(
    own: Paths, reindex: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    footage, place = own
    other = tmp_path / "elsewhere" / "footage"
    other.mkdir(parents=True)
    media.write(other / "other.mp4", media.pan(40))
    monkeypatch.chdir(footage.parent)
    reindex("footage", place)
    monkeypatch.chdir(other.parent)
    assert reindex("footage", place).removed == 0
    media.write(other / "more.mp4", media.pan(45))
    reindex([other / "more.mp4"], place)
    assert reindex([footage / "long.mp4"], place).removed == 0
    names = {Path(file.path).name for file in Index.open(place).files}
    assert {"a.mp4", "long.mp4", "other.mp4", "more.mp4"} <= names
    (footage / "still.mp4").unlink()
    assert reindex(footage, place).removed == 1, "the same folder by its whole path"


def test_an_interrupt_while_writing_writes_nothing_twice(
    tmp_path: Path, reindex: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    footage, place = tmp_path / "footage", tmp_path / "index"
    footage.mkdir()
    media.write(footage / "a.mp4", media.pan(90))
    real, interrupted = Store.add_windows, []

    def add(self: Store, *args: Any) -> None:
        real(self, *args)
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "add_windows", add)
    with pytest.raises(KeyboardInterrupt):
        reindex(footage, place, encoder="color")
    reindex(footage, place)
    windows = Index.open(place).windows
    assert len(set(windows.ids.tolist())) == len(windows)
    assert len(set(windows.start.tolist())) == len(windows) > 1


def test_labels_follow_files_that_move(own: Paths, reindex: Callable[..., Any]) -> None:
    """Into a folder of another class; and away, to come back under another name."""
    footage, place = own
    index = Index.open(place)
    index.add_labels([Label(str(footage / "down" / "c.mp4"), 0.0, 1.0, "one")])
    (footage / "down").rename(footage / "sinks")
    done = reindex(footage, place)
    assert (done.changed, done.removed) == (1, 0)
    index = Index.open(place)
    assert [Path(one.path).parent.name for one in index.labels()] == ["sinks"]
    assert index.files[index.find_file("c.mp4")].label == "sinks"
    away = footage.parent / "away.mp4"
    (footage / "sinks" / "c.mp4").rename(away)
    assert reindex(footage, place).removed == 1
    away.rename(footage / "again.mp4")
    reindex(footage, place)
    assert [Path(one.path).name for one in Index.open(place).labels()] == ["again.mp4"]
    footage.rename(footage.with_name("renamed"))
    assert reindex(footage.with_name("renamed"), place).moved >= 4
    (footage.with_name("renamed") / "still.mp4").unlink()
    assert reindex(footage.with_name("renamed"), place).removed == 1


def test_a_name_that_is_not_text_is_skipped(
    indexed: Paths, tmp_path: Path, reindex: Callable[..., Any]
) -> None:
    footage = tmp_path / "footage"
    footage.mkdir()
    shutil.copy(indexed[0] / "right" / "a.mp4", footage / "a.mp4")
    shutil.copy(indexed[0] / "right" / "b.mp4", os.fsencode(footage) + b"/caf\xe9.mp4")
    done = reindex(footage, tmp_path / "index", encoder="color")
    assert done.new == 1
    assert [one.reason for one in done.skipped] == ["its name is not UTF-8; rename it"]


def test_segments_are_in_order_of_time(own: Paths, reindex: Callable[..., Any]) -> None:
    table = own[0] / "list.csv"
    table.write_text("path,label,start,end\nlong.mp4,down,2.1,4\nlong.mp4,right,0,1.9\n")
    reindex(table, own[1].with_name("parts"), encoder=ENCODER)
    assert (np.diff(Index.open(own[1].with_name("parts")).windows.start) > 0).all()


def test_an_encoder_that_moved(indexed: Paths, tmp_path: Path) -> None:
    from unscene import create_encoder, save_encoder

    save_encoder(create_encoder("r3d-narrow", width=8, stages=2), tmp_path / "run")
    build.build_index(indexed[0] / "right", tmp_path / "index", encoder=tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    build.build_index(indexed[0] / "right", tmp_path / "index", encoder=tmp_path / "moved")
    assert Index.open(tmp_path / "index").encoder.spec.name == "r3d-narrow"


def test_an_index_that_was_killed_while_it_was_made(
    indexed: Paths, tmp_path: Path, reindex: Callable[..., Any]
) -> None:
    (tmp_path / "index" / "about.lance" / "data").mkdir(parents=True)
    assert reindex(indexed[0] / "right", tmp_path / "index", encoder="color").new == 2
