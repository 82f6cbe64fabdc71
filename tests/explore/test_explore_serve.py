"""The real server in a thread or process: ports, the first moments, the end."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from memory_index import MemoryIndex

from unscene.cli.main import main
from unscene.errors import UnsceneError
from unscene.explore import cache, serve
from unscene.explore.security import Access


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A port that somebody else listens at."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other


def test_a_port_in_use_names_a_free_one(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    with pytest.raises(UnsceneError, match=rf"--port {port}: is in use.*--port (\d+) is free"):
        serve.bind("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 70000, "--port 70000: must be from 0 to 65535"),
        ("192.0.2.1", 0, "--host 192.0.2.1: this machine has no such address"),
        ("no such host.invalid", 0, "this machine has no such address"),
    ],
)
def test_a_wrong_address_gets_a_sentence(host: str, port: int, message: str) -> None:
    with pytest.raises(UnsceneError, match=message):
        serve.bind(host, port)


def test_the_command_names_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], taken: socket.socket
) -> None:
    assert main(["explore", str(tmp_path / "none"), "--no-browser"]) == 1
    assert "none: does not exist; make one: unscene index DATA" in capsys.readouterr().err
    port = str(taken.getsockname()[1])
    assert main(["explore", str(tmp_path), "--port", port, "--no-browser"]) == 1
    assert "is in use" in capsys.readouterr().err


def test_an_index_that_cannot_be_opened_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from unscene.search.index import Index

    def newer(place: object) -> None:
        raise UnsceneError(f"{place}: was made by a newer version of unscene")

    monkeypatch.setattr(Index, "open", newer)
    assert main(["explore", str(tmp_path), "--port", "0", "--no-browser"]) == 1
    assert "was made by a newer version" in capsys.readouterr().err


def get(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_a_whole_server(
    index: MemoryIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It answers while the index is opened, serves ranges over TCP and leaves nothing behind."""
    import uvicorn

    from unscene.search.index import Index

    opened, servers = threading.Event(), list[uvicorn.Server]()

    def slow(place: object) -> MemoryIndex:
        assert opened.wait(20)
        return index

    class Watched(uvicorn.Server):
        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            servers.append(self)

    monkeypatch.setattr(Index, "open", slow)
    monkeypatch.setattr(uvicorn, "Server", Watched)
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    arguments = {"port": 0, "browser": False}
    thread = threading.Thread(target=serve.explore, args=(tmp_path,), kwargs=arguments, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not (servers and servers[0].started) and time.monotonic() < until:
        time.sleep(0.01)
    port = servers[0].servers[0].sockets[0].getsockname()[1]
    assert get(port, "/static/nothing.js")[0] == 404  # the index is not open yet
    opened.set()
    status, body = get(port, "/api/moments?limit=3")
    assert status == 200
    assert len(json.loads(body)["moments"]) == 3
    assert get(port, f"/media/{index.files[3].id}", Range="bytes=4-7") == (206, b"ftyp")
    assert get(port, "/api/index", Host="evil.example")[0] == 403
    assert get(port, "/media/../../../etc/passwd")[0] == 404
    servers[0].should_exit = True
    thread.join(20)
    assert not thread.is_alive()
    assert f"http://127.0.0.1:{port}/ (Ctrl-C ends it)" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("unscene-")] == []


def test_folders_of_killed_servers_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    dead, alive = tmp_path / "unscene-explore-999999999-x", tmp_path / "unscene-explore-1-x"
    for folder in (dead, alive):
        folder.mkdir()
    made = cache.make_temporary_folder()
    assert made.is_dir()
    assert alive.is_dir()
    assert not dead.exists()


def test_the_address_has_a_token_where_others_reach_it() -> None:
    assert Access.of("127.0.0.1", 8321).address == "http://127.0.0.1:8321/"
    assert Access.of("::1", 8321).address == "http://[::1]:8321/"
    open_to_all = Access.of("0.0.0.0", 8321)
    assert open_to_all.address.endswith(f":8321/?token={open_to_all.token}")
    assert open_to_all.token not in repr(open_to_all)


def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["explore", str(tmp_path)]) == 1
    assert "pip install 'unscene[find]'" in capsys.readouterr().err


def test_the_first_moments_do_not_wait_for_torch() -> None:
    """It takes seconds to be imported; the server, the tables and the pictures need none of it."""
    heavy = "torch", "sklearn", "scipy", "matplotlib", "lightning", "numba"
    script = (
        "import sys, unscene.explore.serve, unscene.search.index;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
