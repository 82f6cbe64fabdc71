"""Only the page itself is answered, and only files of the index."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from memory_index import MemoryIndex
from starlette.testclient import TestClient

from unscene.explore.security import Access

if TYPE_CHECKING:
    from conftest import Serve

LABEL = {"file": 10, "start": 0.5, "end": 1.5, "label": "jump"}


def error(answer: object) -> str:
    return answer.json()["error"]  # type: ignore[attr-defined, no-any-return]


def test_answers_forbid_everything_from_outside(client: TestClient) -> None:
    for path in ("/api/index", "/media/10", "/nothing", "/api/moments?order=x"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in headers if name.startswith("access-control")]


STRANGERS = [
    *("evil.example", "evil.example:8321", "127.0.0.1.evil.example", "127.0.0.1@evil.example"),
    *("", "192.168.1.9:8321", "[::1"),
]


@pytest.mark.parametrize("host", STRANGERS)
def test_another_host_name_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/index", headers={"host": host})
    assert answer.status_code == 403
    assert "is not this server; open http://127.0.0.1:8321/" in error(answer)


@pytest.mark.parametrize("host", ["127.0.0.1:8321", "localhost:8321", "[::1]:8321", "localhost:9"])
def test_this_machine_may_be_named_in_any_way(client: TestClient, host: str) -> None:
    assert client.get("/api/index", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},  # another program's page on this machine
        {"origin": "http://127.0.0.1:8321.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "origin": "null"},
    ],
)
def test_pages_of_others_change_nothing(
    client: TestClient, index: MemoryIndex, headers: dict[str, str]
) -> None:
    for method, path in (("POST", "/api/labels"), ("POST", "/api/undo"), ("POST", "/api/upload")):
        answer = client.request(method, path, json=LABEL, headers=headers)
        assert answer.status_code == 403
        assert "other sites" in error(answer)
    assert index.kept == []


def test_pages_of_others_read_nothing(client: TestClient) -> None:
    for path in ("/api/index", "/media/10", "/media/10/frame", "/static/page.css"):
        assert client.get(path, headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert client.get(path, headers={"origin": "http://evil.example"}).status_code == 403
    framed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=framed | {"sec-fetch-dest": "iframe"}).status_code == 403
    # A link to the page may stand in a chat.
    assert client.get("/", headers=framed | {"sec-fetch-dest": "document"}).status_code != 403


def test_the_page_itself_is_answered(client: TestClient) -> None:
    headers = {"origin": "http://127.0.0.1:8321", "sec-fetch-site": "same-origin"}
    assert client.post("/api/labels", json=LABEL, headers=headers).status_code == 200
    assert client.post("/api/labels", json=LABEL).status_code == 200  # a program without headers


def test_a_server_that_others_reach_needs_its_token(serve: Serve) -> None:
    access = Access.of("192.168.1.9", 8321)
    assert access.token is not None
    client = serve(access, "http://192.168.1.9:8321")
    for path in ("/", "/api/index", "/media/10", "/static/page.css"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert "?token=" in error(answer)
    assert client.get("/api/index?token=wrong").status_code == 401
    assert client.get("/api/index", headers={"cookie": "unscene_8321=wrong"}).status_code == 401
    assert client.post(f"/api/undo?token={access.token}").status_code == 401
    page = client.get("/", headers={"accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")

    given = client.get(f"/api/index?token={access.token}&x=1", follow_redirects=False)
    assert given.status_code == 303
    assert given.headers["location"] == "/api/index?x=1"
    cookie = given.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/api/index").status_code == 200  # the client kept the cookie
    assert client.get("/api/index", headers={"host": "evil.example"}).status_code == 403


def test_the_redirect_stays_on_this_server(serve: Serve) -> None:
    access = Access.of("192.168.1.9", 8321)
    client = serve(access, "http://192.168.1.9:8321")
    for path in ("//evil.example/x", "/\\evil.example"):
        url = f"http://192.168.1.9:8321{path}?token={access.token}"
        location = client.get(url, follow_redirects=False).headers["location"]
        assert not location.startswith(("//", "/\\", "http"))


def test_bound_to_all_addresses_names_are_still_checked() -> None:
    access = Access.of("0.0.0.0", 8321)
    assert access.token is not None
    assert access.knows_host("192.168.1.9:8321")
    assert not access.knows_host("evil.example:8321")


PATHS = [
    "/media/../../etc/passwd",
    "/media/..%2f..%2fetc%2fpasswd",
    "/media/%2e%2e/%2e%2e/etc/passwd",
    "/media/%2fetc%2fpasswd",
    "/media/10%00",
    "/media/10/%00",
    "/media//etc/passwd",
    "/media/-1",
    "/media/99",
    "/media/1e1",
    "/media/" + "9" * 30,
    "/media/" + "9" * 5000,
    "/media/upload/..%2f..%2fetc%2fpasswd",
    "/media/upload/" + "a" * 22,
    "/static/../app.py",
    "/static/..%2fapp.py",
    "/static/%2e%2e%2fapp.py",
    "/static/..%5capp.py",
    "/static/%2fetc%2fpasswd",
    "/static/page.css%00.html",
    "/static//etc/passwd",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_other_files(client: TestClient, path: str) -> None:
    raw = path.split("?")[0].encode()
    for tail in ("", "/clip?start=0&end=1", "/frame?at=0"):
        answer = client.get(client.base_url.copy_with(raw_path=raw + tail.encode()))
        assert answer.status_code in (404, 422), answer.text[:100]
        assert "error" in answer.json()
        assert "root:" not in answer.text
        assert "import" not in answer.text


def test_a_file_that_was_replaced_by_a_link_is_refused(
    client: TestClient, index: MemoryIndex, tmp_path: Path, number: Callable[[str], int]
) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret" * 100)
    path = Path(index.files[number("plays.mp4") - 10].path)
    assert client.get(f"/media/{number('plays.mp4')}").status_code == 200
    path.unlink()
    path.symlink_to(secret)
    for tail in ("", "/clip?start=0&end=1", "/frame?at=0", "/info"):
        answer = client.get(f"/media/{number('plays.mp4')}{tail}")
        assert answer.status_code == 403
        assert "leads to another file than when it was indexed" in error(answer)
        assert "secret" not in answer.text


def test_a_folder_that_was_replaced_by_a_link_is_refused(
    client: TestClient, index: MemoryIndex, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in index.files:
        (other / file.name).write_bytes(b"secret" * 100)
    (tmp_path / "footage").rename(tmp_path / "moved")
    (tmp_path / "footage").symlink_to(other)
    assert {client.get(f"/media/{file.id}").status_code for file in index.files} == {403}


def test_a_link_to_what_was_indexed_is_served(
    client: TestClient, index: MemoryIndex, tmp_path: Path, number: Callable[[str], int]
) -> None:
    path = Path(index.files[number("plays.mp4") - 10].path)
    path.rename(tmp_path / "elsewhere.mp4")
    path.symlink_to(tmp_path / "elsewhere.mp4")
    assert client.get(f"/media/{number('plays.mp4')}").status_code == 200


def test_what_is_no_regular_file_is_refused(
    client: TestClient, index: MemoryIndex, number: Callable[[str], int]
) -> None:
    path = Path(index.files[number("plays.mp4") - 10].path)
    path.unlink()
    os.mkfifo(path)  # reading it would wait for ever
    answer = client.get(f"/media/{number('plays.mp4')}")
    assert answer.status_code == 403
    path.unlink()
    answer = client.get(f"/media/{number('plays.mp4')}")
    assert answer.status_code == 404
    assert "is not there any more; run `unscene index` again" in error(answer)


def test_a_large_request_is_refused_before_it_is_read(client: TestClient) -> None:
    answer = client.post("/api/search", content=b"x" * (2 << 20))
    assert answer.status_code == 413

    def endless():  # type: ignore[no-untyped-def]  # without a length
        for _ in range(40):
            yield b"x" * (1 << 16)

    answer = client.post(
        "/api/search", content=endless(), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert "more than 1 MB" in error(answer)
