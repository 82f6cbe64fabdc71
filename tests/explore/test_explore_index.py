"""The server on a real index, on its good and its bad days."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from browsing import make_footage
from unscene.cli.main import main
from unscene.explore.app import Explorer, create_app
from unscene.explore.security import Access
from unscene.search.build import build_index
from unscene.search.index import Index
from unscene.search.labels import Label
from unscene.search.store import Store

pytest.importorskip("lancedb", reason="needs the extra find")

Open = Callable[[Path], TestClient]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Footage that moves to the right or down, and an index of it, for this file alone."""
    root = tmp_path_factory.mktemp("made")
    build_index(make_footage(root / "footage"), root / "index", encoder="hof")
    return root / "index"


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy of the index that the test may change."""
    return Path(shutil.copytree(made, tmp_path / "index"))


@pytest.fixture
def serve_index(tmp_path: Path) -> Iterator[Open]:
    """serve_index(place) -> a client of a server of the index there."""
    clients: list[TestClient] = []

    def one(place: Path) -> TestClient:
        folder = tmp_path / f"server{len(clients)}"
        folder.mkdir()
        explorer = Explorer.of(lambda: Index.open(place), Access(), folder)
        client = TestClient(
            create_app(explorer), "http://127.0.0.1:8321", raise_server_exceptions=False
        )
        client.__enter__()
        clients.append(client)
        return client

    yield one
    for client in clients:
        client.__exit__()


def number_of(client: TestClient, name: str) -> int:
    files = client.get("/api/index").json()["files"]
    return next(file["id"] for file in files if file["name"] == name)  # type: ignore[no-any-return]


def found_names(client: TestClient, body: dict[str, Any]) -> list[str]:
    names = {file["id"]: file["name"] for file in client.get("/api/index").json()["files"]}
    answer = client.post("/api/search", json=body)
    assert answer.status_code == 200, answer.text
    return [names[moment["file"]] for moment in answer.json()["moments"]]


def test_a_search_finds_what_moves_alike(place: Path, serve_index: Open) -> None:
    client = serve_index(place)
    right = number_of(client, "right/right0.mp4")
    names = found_names(client, {"query": {"file": right, "start": 0.5, "end": 2.0}, "k": 2})
    assert [name.split("/")[0] for name in names] == ["right", "right"]
    assert "right/right0.mp4" not in names[:1]
    (path,) = (f.path for f in Index.open(place).files if f.name == "down/down0.mp4")
    with Path(path).open("rb") as file:
        key = client.post("/api/upload", files={"video": ("down.mp4", file)}).json()["upload"]
    names = found_names(client, {"query": {"upload": key}, "k": 3})
    assert [name.split("/")[0] for name in names] == ["down"] * 3
    assert "down/down0.mp4" in names  # an upload is no file of the index


def test_labels_are_in_the_index_at_once(place: Path, serve_index: Open) -> None:
    client = serve_index(place)
    file = number_of(client, "right/right0.mp4")
    body = {"file": file, "start": 0.5, "end": 1.5, "label": 'it\'s "right"; DROP'}
    label = client.post("/api/labels", json=body).json()["label"]
    assert [one.label for one in Index.open(place).labels()] == [body["label"]]
    by_name = client.get("/api/moments", params={"where": "label IS NOT NULL"}).json()
    assert by_name["total"] > 0
    assert {moment["label"] for moment in by_name["moments"]} == {body["label"]}
    by_file = client.get("/api/moments", params={"where": "file = 'down/down0.mp4'"}).json()
    assert {one["file"] for one in by_file["moments"]} == {number_of(client, "down/down0.mp4")}
    client.put(f"/api/labels/{label['id']}", json=body | {"label": "left"})
    assert [one.label for one in Index.open(place).labels()] == ["left"]
    client.delete(f"/api/labels/{label['id']}")
    assert Index.open(place).labels() == []
    for wanted in (["left"], [body["label"]], []):
        client.post("/api/undo")
        assert [one.label for one in Index.open(place).labels()] == wanted


@pytest.mark.parametrize("where", ["label =", "1; DROP TABLE windows", "nothing > 3", "motion"])
def test_a_wrong_condition_is_explained(place: Path, serve_index: Open, where: str) -> None:
    answer = serve_index(place).get("/api/moments", params={"where": where})
    assert answer.status_code == 400
    assert "SQL" in answer.json()["error"]
    assert len(Index.open(place).windows) > 0


def test_two_servers_of_one_index_lose_nothing(place: Path, serve_index: Open) -> None:
    clients = [serve_index(place), serve_index(place)]
    file = number_of(clients[0], "right/right0.mp4")
    statuses = []

    def label(client: TestClient, name: str) -> None:
        for i in range(6):
            body = {"file": file, "start": i * 0.2, "end": i * 0.2 + 0.1, "label": f"{name}{i}"}
            statuses.append(client.post("/api/labels", json=body).status_code)

    threads = [
        threading.Thread(target=label, args=(client, name))
        for client, name in zip(clients, "ab", strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 12
    kept = {one.label for one in Index.open(place).labels()}
    # The same stretch has one label: whichever came last.
    assert {name[1] for name in kept} == set("012345")
    versions = [client.get("/api/changes").json()["version"] for client in clients]
    assert [len(client.get("/api/labels").json()["labels"]) for client in clients] == [
        len(Index.open(place).labels())
    ] * 2
    assert min(versions) > 1


def test_labels_of_the_command_line_appear(place: Path, serve_index: Open) -> None:
    client = serve_index(place)
    before = client.get("/api/changes").json()["version"]
    other = Index.open(place)
    other.add_labels([Label(other.files[0].path, 0.0, 1.0, "elsewhere")])
    assert client.get(f"/api/changes?since={before}").json()["version"] > before
    assert [one["label"] for one in client.get("/api/labels").json()["labels"]] == ["elsewhere"]
    moments = client.get("/api/moments?label=elsewhere&still=true").json()["moments"]
    assert moments


def test_a_full_disk_is_explained(
    place: Path, serve_index: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lancedb.table import LanceTable

    client = serve_index(place)
    file = number_of(client, "right/right0.mp4")
    body = {"file": file, "start": 0.0, "end": 1.0, "label": "kept"}
    assert client.post("/api/labels", json=body).status_code == 200

    def full(*given: object, **named: object) -> None:
        raise OSError("LanceError(IO): No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(LanceTable, "add", full)
        answer = client.post("/api/labels", json=body | {"start": 1.0, "end": 2.0})
    assert answer.status_code == 507
    assert "not written; all labels before it are safe" in answer.json()["error"]
    assert [one.label for one in Index.open(place).labels()] == ["kept"]
    assert client.post("/api/labels", json=body | {"start": 1.0, "end": 2.0}).status_code == 200


def test_an_index_that_is_deleted_is_explained(place: Path, serve_index: Open) -> None:
    client = serve_index(place)
    window = client.get("/api/moments").json()["moments"][0]["id"]
    shutil.rmtree(place)
    assert client.get("/api/moments").status_code == 200  # what was read is still there
    label = {"file": number_of(client, "right/right0.mp4"), "start": 0, "end": 1, "label": "x"}
    for method, path, body in (
        ("POST", "/api/labels", label),
        ("GET", "/api/changes", None),
        ("POST", "/api/search", {"query": {"window": window}}),
    ):
        answer = client.request(method, path, json=body)
        assert 400 <= answer.status_code < 600
        assert "index" in answer.json()["error"]


def test_an_index_of_a_newer_version_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(place)
    store.write_about(replace(store.about(), version=99))
    assert main(["explore", str(place), "--port", "0", "--no-browser"]) == 1
    assert "newer version of unscene" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_server_has_written_its_labels(place: Path) -> None:
    command = [sys.executable, "-m", "unscene", "explore", str(place), "--port", "0"]
    process = subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = re.search(r":(\d+)/", process.stdout.readline())
        assert port is not None
        file = Index.open(place).files[0].id
        for i in range(5):
            body = {"file": file, "start": i * 0.3, "end": i * 0.3 + 0.2, "label": f"label {i}"}
            connection = http.client.HTTPConnection("127.0.0.1", int(port[1]), timeout=60)
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/api/labels", json.dumps(body), headers)
            assert connection.getresponse().status == 200
            connection.close()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert [one.label for one in Index.open(place).labels()] == [f"label {i}" for i in range(5)]
