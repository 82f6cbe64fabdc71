"""Labels: written at once, taken back, shared by tabs, and safe when the disk is full."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import pytest
from memory_index import MemoryIndex
from starlette.testclient import TestClient

from unscene.errors import UnsceneError
from unscene.search.labels import Label

JUMP = {"file": 10, "start": 0.5, "end": 1.5, "label": "jump"}
WAVE = {"file": 11, "start": 0.0, "end": 1.0, "label": "wave"}


def add(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/api/labels", json=JUMP | changes)
    assert answer.status_code == 200, answer.text
    return answer.json()["label"]  # type: ignore[no-any-return]


def names(index: MemoryIndex) -> list[str]:
    return [label.label for label in index.labels()]


def test_labels_are_added_changed_and_removed(client: TestClient, index: MemoryIndex) -> None:
    first = client.get("/api/labels").json()
    assert first["labels"] == []
    label = add(client)
    assert label == JUMP | {"id": label["id"]}
    assert names(index) == ["jump"]
    put = client.put(f"/api/labels/{label['id']}", json=JUMP | {"label": "hop", "end": 1.25})
    assert put.json()["label"] == JUMP | {"id": label["id"], "label": "hop", "end": 1.25}
    assert client.get("/api/labels?file=11").json()["labels"] == []
    assert len(client.get("/api/labels?file=10").json()["labels"]) == 1
    gone = client.delete(f"/api/labels/{label['id']}")
    assert gone.json()["version"] == first["version"] + 3
    assert index.kept == []
    assert client.delete(f"/api/labels/{label['id']}").status_code == 404


def test_the_page_lists_labels_with_colors(client: TestClient) -> None:
    for one in (
        JUMP,
        WAVE,
        JUMP | {"start": 1.5, "end": 2.5},
        WAVE | {"start": 1, "end": 2, "label": "none"},
    ):
        client.post("/api/labels", json=one)
    found = client.get("/api/index").json()["labels"]
    assert [(one["name"], one["count"]) for one in found] == [("jump", 2), ("none", 1), ("wave", 1)]
    assert len({one["color"] for one in found}) == 3
    moments = client.get("/api/moments?file=10&order=time&still=true").json()["moments"]
    labelled = {moment["start"] for moment in moments if moment["label"] == "jump"}
    assert {0.5, 1.5} <= labelled
    only = client.get("/api/moments?label=jump&still=true").json()
    assert {moment["label"] for moment in only["moments"]} == {"jump"}
    assert only["total"] == len(only["moments"])


def test_undo_and_redo_go_through_everything(client: TestClient, index: MemoryIndex) -> None:
    label = add(client)
    client.put(f"/api/labels/{label['id']}", json=JUMP | {"label": "hop"})
    client.delete(f"/api/labels/{label['id']}")
    steps = [client.post("/api/undo").json() for _ in range(4)]
    assert [step["done"] for step in steps] == [
        "add 'hop' at 0.5-1.5 s of copied.mkv",
        "change 'hop' to 'jump' at 0.5-1.5 s of copied.mkv",
        "remove 'jump' at 0.5-1.5 s of copied.mkv",
        None,
    ]
    assert index.kept == []
    assert steps[-1]["undo"] is None
    assert steps[-1]["redo"] == "add 'jump' at 0.5-1.5 s of copied.mkv"
    for wanted in (["jump"], ["hop"], []):  # under new ids
        client.post("/api/redo")
        assert names(index) == wanted
    assert client.post("/api/redo").json()["done"] is None
    client.post("/api/undo")
    assert names(index) == ["hop"]
    add(client, start=2.0, end=2.5)  # something new: what was taken back is forgotten
    assert client.post("/api/redo").json()["done"] is None


def test_many_labels_are_one_step(client: TestClient, index: MemoryIndex) -> None:
    answer = client.post("/api/labels", json={"labels": [JUMP, WAVE]}).json()
    ids = [label["id"] for label in answer["labels"]]
    assert names(index) == ["jump", "wave"]
    assert client.post("/api/undo").json()["done"] == "remove 2 labels ('jump', 'wave')"
    assert index.kept == []
    client.post("/api/redo")
    ids = [label["id"] for label in client.get("/api/labels").json()["labels"]]
    gone = client.request("DELETE", "/api/labels", json={"ids": ids})
    assert gone.status_code == 200
    assert index.kept == []
    client.post("/api/undo")
    assert names(index) == ["jump", "wave"]


def test_the_same_stretch_has_one_label(client: TestClient, index: MemoryIndex) -> None:
    label = add(client)
    again = add(client, label="hop")
    assert again["id"] == label["id"]
    assert names(index) == ["hop"]
    version = client.get("/api/changes").json()["version"]
    assert add(client, label="hop") == again  # nothing to do, and nothing to take back
    assert client.get("/api/changes").json()["version"] == version
    client.post("/api/undo")
    assert names(index) == ["jump"]


def test_many_are_relabelled_in_one_write(
    client: TestClient, index: MemoryIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [JUMP | {"start": 0.1 * i, "end": 0.1 * i + 0.1} for i in range(20)]
    first = client.post("/api/labels", json={"labels": many}).json()["labels"]
    writes: list[int] = []
    replace_labels = index.replace_labels

    def counted(labels: Iterable[Label]) -> None:
        given = list(labels)
        writes.append(len(given))
        replace_labels(given)

    monkeypatch.setattr(index, "replace_labels", counted)
    hops = [one | {"label": "hop"} for one in many[:18]]
    added = JUMP | {"start": 2.5, "end": 3.0, "label": "hop"}
    body = {"labels": [*hops, *many[18:], added]}
    answer = client.post("/api/labels", json=body).json()["labels"]
    assert writes == [18]
    assert [one["id"] for one in answer[:20]] == [one["id"] for one in first]
    assert [one["label"] for one in answer] == ["hop"] * 18 + ["jump"] * 2 + ["hop"]
    client.post("/api/undo")
    assert writes == [18, 18]
    assert names(index) == ["jump"] * 20


def test_a_label_that_moves_onto_another_replaces_it(
    client: TestClient, index: MemoryIndex
) -> None:
    other = add(client, label="hop", start=2.0, end=2.5)
    label = add(client)
    moved = JUMP | {"start": other["start"], "end": other["end"]}
    answer = client.put(f"/api/labels/{label['id']}", json=moved).json()["label"]
    assert answer == moved | {"id": label["id"]}
    assert names(index) == ["jump"]
    client.post("/api/undo")
    assert [(one.label, one.start) for one in index.labels()] == [("jump", 0.5), ("hop", 2.0)]
    client.post("/api/redo")
    assert [(one.label, one.start) for one in index.labels()] == [("jump", 2.0)]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"file": 99}, "the index has no file 99"),
        ({"start": 5.0, "end": 6.0}, "lies outside the file, which lasts 3.00 s"),
        ({"start": 1.0, "end": 1.0}, "lies outside the file"),
        ({"start": -1.0}, "start"),
        ({"label": "  "}, "the label is empty"),
        ({"label": "x" * 300}, "has 300 characters"),
        ({"label": 5}, "label"),
    ],
)
def test_a_wrong_label_is_refused(
    client: TestClient, index: MemoryIndex, changes: dict[str, Any], sentence: str
) -> None:
    answer = client.post("/api/labels", json=JUMP | changes)
    assert answer.status_code in (404, 422)
    assert sentence in answer.json()["error"]
    assert index.kept == []


def test_an_end_past_the_file_is_its_end(client: TestClient) -> None:
    assert add(client, end=3.3)["end"] == 3.0


@pytest.mark.parametrize("infinite", ["NaN", "Infinity"])
def test_times_are_numbers(client: TestClient, index: MemoryIndex, infinite: str) -> None:
    body = f'{{"file": 10, "start": 0, "end": {infinite}, "label": "x"}}'
    headers = {"content-type": "application/json"}
    assert client.post("/api/labels", content=body, headers=headers).status_code == 422
    assert index.kept == []


def test_two_tabs_lose_nothing(client: TestClient, index: MemoryIndex) -> None:
    """Each adds labels while the other does; both see all, and the version tells them to look."""
    before = client.get("/api/changes").json()["version"]

    def tab(file: int) -> None:
        for i in range(10):
            start = i * 0.25
            add(client, file=file, start=start, end=start + 0.25, label=f"tab {file}")

    tabs = [threading.Thread(target=tab, args=(file,)) for file in (10, 11)]
    for one in tabs:
        one.start()
    for one in tabs:
        one.join()
    assert sorted(names(index)) == ["tab 10"] * 10 + ["tab 11"] * 10
    assert client.get(f"/api/changes?since={before}").json()["version"] == before + 20
    for _ in range(20):
        client.post("/api/undo")
    assert index.kept == []


def test_labels_of_another_process_are_noticed(client: TestClient, index: MemoryIndex) -> None:
    add(client)
    version = client.get("/api/changes").json()["version"]
    index.add_labels([Label(index.files[1].path, 0, 1, "wave")])
    assert client.get("/api/changes").json()["version"] == version + 1
    assert client.get("/api/changes").json()["version"] == version + 1
    assert len(client.get("/api/labels").json()["labels"]) == 2


def test_labels_are_no_newer_than_their_version(
    client: TestClient, index: MemoryIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody labels while the labels are read: the tab must look again."""
    labelling = client.explorer.open.labelling  # type: ignore[attr-defined]
    read = labelling.read

    def read_slowly() -> list[Label]:
        found: list[Label] = read()
        labelling.touch()
        return found

    monkeypatch.setattr(labelling, "read", read_slowly)
    for path in ("/api/labels", "/api/labels?file=10", "/api/index"):
        version = client.get(path).json()["version"]
        assert client.get("/api/changes").json()["version"] == version + 1, path


def test_all_tabs_hear_of_a_label_that_was_found_gone(
    client: TestClient, index: MemoryIndex
) -> None:
    label = add(client)
    version = client.get("/api/labels").json()["version"]
    index.remove_labels([label["id"]])
    assert client.delete(f"/api/labels/{label['id']}").status_code == 404
    assert client.get("/api/changes").json()["version"] == version + 1
    assert client.get("/api/labels").json()["labels"] == []


def test_training_speaks_to_who_sees_the_page(client: TestClient, index: MemoryIndex) -> None:
    for label in (None, "none", "other"):  # counterexamples alone teach nothing
        if label:
            add(client, label=label)
        answer = client.post("/api/train")
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("label a few moments first: click one")
    add(client, label="hop", start=1.0, end=2.0)
    trained = client.post("/api/train")
    assert trained.status_code == 200, trained.text
    assert "press 0 (none of these), then train again" in trained.json()["sentence"]
    assert "--" not in trained.json()["sentence"]


def test_undo_of_what_another_process_removed(client: TestClient, index: MemoryIndex) -> None:
    add(client, label="wave", start=2.0, end=2.5)
    label = add(client)
    index.remove_labels([label["id"]])
    answer = client.post("/api/undo")
    assert answer.status_code == 404
    assert "not there any more" in answer.json()["error"]
    assert client.post("/api/undo").json()["done"].startswith("remove 'wave'")  # what came before


FULL = OSError(28, "No space left on device")
LANCE = RuntimeError("lance error: LanceError(IO): Generic LocalFileSystem error: No space left")
KNOWN = UnsceneError("/x: the index cannot be written: No space left on device; free some space")


@pytest.mark.parametrize("error", [FULL, LANCE, KNOWN], ids=["os", "lance", "known"])
def test_a_full_disk_loses_nothing(
    client: TestClient, index: MemoryIndex, error: Exception
) -> None:
    label = add(client)
    for method, path in (
        ("POST", "/api/labels"),
        ("PUT", f"/api/labels/{label['id']}"),
        ("DELETE", f"/api/labels/{label['id']}"),
        ("POST", "/api/undo"),
    ):
        index.fails = error
        answer = client.request(method, path, json=JUMP | {"start": 2.0, "end": 3.0})
        assert answer.status_code == 507, path
        assert "disk is full" in answer.json()["error"]
        assert names(index) == ["jump"]
    assert client.post("/api/undo").json()["done"].startswith("remove 'jump'")  # still there


def test_an_index_that_is_gone_gets_a_sentence(client: TestClient, index: MemoryIndex) -> None:
    label = add(client)
    index.fails = UnsceneError("/x: the index cannot be written: not found; is it there?")
    answer = client.put(f"/api/labels/{label['id']}", json=JUMP | {"label": "hop"})
    assert answer.status_code == 422
    assert "cannot be written" in answer.json()["error"]
    assert client.get("/api/moments").status_code == 200
