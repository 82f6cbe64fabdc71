"""Predictions, suggestions, the map, the overlay and exports."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from memory_index import File, MemoryIndex, make_windows
from numpy.typing import NDArray
from starlette.testclient import TestClient

import media
from unscene.encoders import load_encoder
from unscene.explore.layout import lay_out
from unscene.explore.overlay import find_look
from unscene.search.windows import Windows

if TYPE_CHECKING:
    from conftest import Serve


@pytest.fixture
def taught(index: MemoryIndex, serve: Serve) -> TestClient:
    """In five files, windows that begin before 1 s are of one kind, the others of another; some are
    labeled. Twenty more files are of other kinds."""
    files = [replace(index.files[0], id=50 + i, path=f"/{i}.mp4", name=f"{i}") for i in range(20)]
    index.files += files
    windows = make_windows(index.files)
    kind = (windows.start >= 1.0).astype(int)
    others = windows.file >= 5
    kind[others] = 2 + windows.file[others] % 5
    rng = np.random.default_rng(0)
    vectors = np.eye(8)[kind] + 0.05 * rng.normal(size=(len(kind), 8))
    fields = {name: getattr(windows, name) for name in windows.__dataclass_fields__}
    index.windows = Windows(**fields | {"vectors": vectors.astype(np.float32)})
    index.still = np.zeros(len(kind), bool)
    client = serve()
    for file in index.files[:3]:
        for start, label in ((0.0, "early"), (1.5, "late")):
            body = {"file": file.id, "start": start, "end": start + 1, "label": label}
            assert client.post("/api/labels", json=body).status_code == 200
    return client


def test_without_labels_there_is_nothing_to_learn(client: TestClient) -> None:
    answer = client.post("/api/train")
    assert answer.status_code == 422
    assert "press N and name what happens" in answer.json()["error"]
    assert client.get("/api/predictions?file=10").json() == {
        "intervals": [],
        "track": {"times": [], "classes": [], "probabilities": []},
    }
    assert client.get("/api/export?format=csv&what=predictions").status_code == 422
    assert client.get("/api/export?format=csv").status_code == 422


def test_labels_are_learned_and_predicted(taught: TestClient, index: MemoryIndex) -> None:
    before = taught.get("/api/changes").json()["version"]
    answer = taught.post("/api/train").json()
    assert answer["classes"] == ["early", "late"]
    assert answer["f1"] > answer["chance"]
    assert "files that were held out" in answer["sentence"]
    assert taught.get("/api/changes").json()["version"] > before  # other tabs look again
    unlabelled = index.files[4].id
    found = taught.get(f"/api/predictions?file={unlabelled}").json()
    assert [one["label"] for one in found["intervals"]] == ["early", "late"]
    track = found["track"]
    probabilities = np.array(track["probabilities"])
    assert probabilities.shape == (len(track["times"]), 2)
    assert probabilities[0].argmax() == 0
    assert probabilities[-1].argmax() == 1
    moments = taught.get(f"/api/moments?file={unlabelled}&order=time").json()["moments"]
    assert moments[0]["prediction"]["label"] == "early"
    assert moments[-1]["prediction"]["label"] == "late"
    assert taught.get("/api/predictions?file=99").status_code == 404


def test_what_was_rejected_is_a_counterexample(taught: TestClient, index: MemoryIndex) -> None:
    body = {"file": index.files[3].id, "start": 0.0, "end": 1.0, "label": "none"}
    taught.post("/api/labels", json=body)
    assert taught.post("/api/train").json()["classes"] == ["early", "late"]
    model = taught.explorer.insights.predicting.model  # type: ignore[attr-defined]
    assert model.counts == {"early": 3, "late": 3, "background": 1}


def test_suggestions_say_why(taught: TestClient, index: MemoryIndex) -> None:
    for trained in (False, True):
        if trained:
            taught.post("/api/train")
        found = taught.get("/api/suggestions?k=3").json()["moments"]
        assert 0 < len(found) <= 3
        for moment in found:
            assert moment["reason"].endswith((".", "?"))
            assert moment["label"] is None
    assert taught.get("/api/suggestions?k=0").status_code == 422


def groups(count: int, dim: int = 12) -> tuple[Windows, NDArray[np.int64]]:
    """Three groups of windows that are far from each other, a file each."""
    rng = np.random.default_rng(2)
    kind = rng.integers(3, size=count)
    vectors = 4 * np.eye(3, dim)[kind] + 0.3 * rng.normal(size=(count, dim))
    number, start = np.arange(count), np.zeros(count)
    vectors = vectors.astype(np.float32)
    return Windows(number, number, start, start + 1, np.ones(count, "f4"), vectors), kind


def files_of(windows: Windows) -> list[File]:
    return [File(i, f"/{i}.mp4", f"{i}.mp4", 0, 0, 1.0) for i in range(len(windows))]


@pytest.mark.parametrize("placed", [400, 150])
def test_the_map_keeps_together_what_is_alike(placed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unscene.explore.layout._PLACED", placed)
    windows, kind = groups(400)
    still = np.arange(400) < 20
    layout = lay_out(windows, still, files_of(windows))
    assert layout.rows.tolist() == list(range(20, 400))
    assert layout.places.shape == (380, 2)
    assert np.abs(layout.places).max() == pytest.approx(1)
    gap = np.linalg.norm(layout.places[:, None] - layout.places[None], axis=2)
    np.fill_diagonal(gap, np.inf)
    near = gap.argmin(axis=1)
    assert (kind[layout.rows][near] == kind[layout.rows]).mean() > 0.9
    for cluster in np.unique(layout.cluster):  # each group of the map is of one kind
        own = np.bincount(kind[layout.rows][layout.cluster == cluster])
        assert own.max() / own.sum() > 0.9
    again = lay_out(windows, still, files_of(windows))
    assert np.array_equal(again.places, layout.places)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 12])
def test_a_map_of_few(count: int) -> None:
    windows, _ = groups(count)
    fields = {name: getattr(windows, name) for name in windows.__dataclass_fields__}
    same = Windows(**fields | {"vectors": np.ones((count, 4), np.float32)})
    for few in (windows, same):
        layout = lay_out(few, np.zeros(count, bool), files_of(windows))
        assert layout.places.shape == (count, 2)
        assert np.isfinite(layout.places).all()


def test_the_map_is_sent(taught: TestClient, index: MemoryIndex) -> None:
    found = taught.get("/api/map").json()
    count = int((~index.still).sum())
    for name in ("id", "x", "y", "file", "start", "end", "label", "cluster"):
        assert len(found[name]) == count
    assert found["labels"] == ["early", "late"]
    first = found["id"].index(int(index.windows.ids[0]))
    assert (found["file"][first], found["label"][first]) == (10, 0)
    assert max(found["cluster"]) == found["clusters"] - 1


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video whose left half stands still."""
    frames = [luma.copy() for luma in media.pan(100, (96, 128), (2, 0))]
    for luma in frames:
        luma[:, :64] = frames[0][:, :64]
    return media.write(tmp_path_factory.mktemp("half") / "half.mp4", frames)


def test_the_overlay_shines_where_the_encoder_looks(half: Path) -> None:
    """The descriptor `energy` looks at what moves."""
    look = find_look(load_encoder("energy"), str(half), 1.0, 3.0, 25)
    rows, columns = look.values.shape[1:]
    assert columns / rows == pytest.approx(128 / 96, abs=0.05)
    assert look.times[0] <= 1.5
    assert look.times[-1] >= 2.5
    assert (np.diff(look.times) > 0).all()
    assert (look.values.min(), look.values.max()) == (0, pytest.approx(1, abs=0.1))
    still, moving = look.values[:, :, : columns // 2], look.values[:, :, columns // 2 :]
    assert moving.mean() > 3 * still.mean()
    assert (look.values[:, :, 0] == 0).all()  # outside of what the encoder sees


def test_the_overlay_is_sent(client: TestClient, index: MemoryIndex) -> None:
    found = client.get("/api/overlay?file=13&start=0&end=1").json()
    values = np.array(found["values"])
    assert values.shape == (len(found["times"]), found["rows"] * found["columns"])
    assert 0 <= values.min() <= values.max() <= 1
    assert client.get("/api/overlay?file=13&start=0&end=100").status_code == 422
    assert client.get("/api/overlay?file=13&start=1&end=1").status_code == 422
    assert client.get("/api/overlay?file=99&start=0&end=1").status_code == 404


def exported(client: TestClient, query: str) -> Any:
    answer = client.get(f"/api/export?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    return answer


def test_labels_are_exported(taught: TestClient, index: MemoryIndex) -> None:
    answer = exported(taught, "format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 6
    assert (rows[0]["file"], rows[0]["label"]) == ("copied.mkv", "early")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    names = zipfile.ZipFile(io.BytesIO(exported(taught, "format=elan").content)).namelist()
    assert len([name for name in names if name.endswith(".eaf")]) == 3
    for wrong in ("format=xml", "format=../../etc/passwd", "format=csv&what=secrets"):
        assert taught.get(f"/api/export?{wrong}").status_code == 422
    left = taught.explorer.folder.glob("tmp*")  # type: ignore[attr-defined]
    assert list(left) == []


def test_predictions_are_exported(taught: TestClient) -> None:
    taught.post("/api/train")
    rows = list(csv.DictReader(io.StringIO(exported(taught, "format=csv&what=predictions").text)))
    assert {row["label"] for row in rows} == {"early", "late"}
    assert all(0 < float(row["probability"]) <= 1 for row in rows)


def test_a_classifier_is_fitted_to_few_labels_in_many_files() -> None:
    """Fewer labels a class than folds."""
    from types import SimpleNamespace

    from unscene.search.classifier import fit_classifier
    from unscene.search.labels import Label

    count = 40
    files = [
        SimpleNamespace(path=f"/{i}.mp4", name=f"{i}.mp4", duration=4.0, fps=25.0)
        for i in range(count)
    ]
    file = np.repeat(np.arange(count), 4)
    start = np.tile(np.arange(4.0), count)
    kind = np.arange(count) % 10
    vectors = np.eye(12)[kind[file]] + 0.1 * np.random.default_rng(0).normal(size=(len(file), 12))
    windows = Windows(
        np.arange(len(file)), file, start, start + 1, np.ones(len(file), "f4"), vectors.astype("f4")
    )
    labels = [Label(files[i].path, 0.0, 1.0, f"kind {kind[i]}") for i in range(30)]
    about = SimpleNamespace(encoder="x", fingerprint="", length=1.0, hop=1.0)
    model = fit_classifier(windows, files, labels, about)
    assert model.validation.how == "3 folds of files"
    assert model.validation.score is not None
