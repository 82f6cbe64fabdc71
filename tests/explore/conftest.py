"""A small index of videos made on the spot, held in memory, and a client of its server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from memory_index import File, MemoryIndex, make_windows
from starlette.testclient import TestClient

import media
from unscene.explore.app import Explorer, create_app
from unscene.explore.security import Access

BASE = "http://127.0.0.1:8321"


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos that browsers play as they are, after copying, and not at all."""
    folder = tmp_path_factory.mktemp("videos")
    frames = list(media.drift(75, (48, 64)))
    media.write(folder / "plays.mp4", frames, options={"g": "25"})
    media.write(folder / "copied.mkv", frames, options={"g": "25"})
    media.write(folder / "old.avi", frames, "mpeg4", options={"g": "9"})
    media.write(folder / "rich.mp4", frames, pix_fmt="yuv444p", options={"g": "25"})
    media.write(folder / "open.webm", frames, "libvpx")
    return folder


@pytest.fixture
def index(videos: Path, tmp_path: Path) -> MemoryIndex:
    """Files 10, 11, ... of a folder of this test's own."""
    files = []
    for number, source in enumerate(sorted(videos.iterdir())):
        path = tmp_path / "footage" / source.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(source.read_bytes())
        files.append(File.of(path, 10 + number, 3.0))
    windows = make_windows(files)
    return MemoryIndex(files, windows, windows.motion < 0.1)


Serve = Callable[..., TestClient]


@pytest.fixture
def serve(index: MemoryIndex, tmp_path: Path) -> Iterator[Serve]:
    """serve(access) -> a client of a server of the index."""
    clients: list[TestClient] = []

    def one(access: Access | None = None, base: str = BASE, **headers: str) -> TestClient:
        folder = tmp_path / f"server{len(clients)}"
        folder.mkdir()
        explorer = Explorer.of(lambda: index, access or Access(), folder)  # type: ignore[arg-type, return-value]
        client = TestClient(create_app(explorer), base, raise_server_exceptions=False)
        client.headers.update(headers)
        client.__enter__()
        client.explorer = explorer  # type: ignore[attr-defined]
        clients.append(client)
        return client

    yield one
    for client in clients:
        client.__exit__()


@pytest.fixture
def client(serve: Serve) -> TestClient:
    """A client of a server for this machine only."""
    return serve()


@pytest.fixture
def number(index: MemoryIndex) -> Callable[[str], int]:
    """number("plays.mp4") -> the number of the file."""
    return {file.name: file.id for file in index.files}.__getitem__
