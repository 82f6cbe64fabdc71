"""Moments in their orders, searches, uploads."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from memory_index import MemoryIndex
from starlette.testclient import TestClient

from unscene.explore.answers import Refusal
from unscene.explore.security import Access
from unscene.explore.uploads import Uploads
from unscene.explore.wall import ORDERS, Wall, spread_out
from unscene.search.windows import Windows

if TYPE_CHECKING:
    from conftest import Serve


def moments(client: TestClient, query: str = "") -> list[dict[str, Any]]:
    answer = client.get(f"/api/moments?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["moments"]  # type: ignore[no-any-return]


def test_the_index_says_what_it_is(client: TestClient, index: MemoryIndex) -> None:
    found = client.get("/api/index").json()
    assert found["encoder"] == "energy"
    assert (found["windows"], found["still"]) == (len(index.windows), int(index.still.sum()))
    assert found["files"][0] == {
        **{"id": 10, "name": "copied.mkv", "duration": 3.0, "fps": 25.0},
        "class": None,
    }
    assert "csv" in found["formats"]


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_shows_every_window_once(
    client: TestClient, index: MemoryIndex, order: str
) -> None:
    pages = [moments(client, f"order={order}&offset={at}&limit=7") for at in range(0, 40, 7)]
    ids = [moment["id"] for page in pages for moment in page]
    assert sorted(ids) == sorted(index.windows.ids[~index.still].tolist())
    assert moments(client, f"order={order}&limit=7") == pages[0]  # always the same


def test_orders_sort_by_what_they_say(client: TestClient) -> None:
    by_motion = [moment["motion"] for moment in moments(client, "order=motion")]
    assert by_motion == sorted(by_motion, reverse=True)
    by_time = [(moment["file"], moment["start"]) for moment in moments(client, "order=time")]
    assert by_time == sorted(by_time)


def test_filters(client: TestClient, index: MemoryIndex) -> None:
    assert {moment["file"] for moment in moments(client, "file=12")} == {12}
    every = client.get("/api/moments?still=true").json()
    assert every["total"] == len(index.windows)
    strong = moments(client, "where=motion > 0.5")
    assert {moment["motion"] > 0.5 for moment in strong} == {True}
    wrong = client.get("/api/moments?where=drop table")
    assert wrong.status_code == 400
    assert "is not a condition" in wrong.json()["error"]
    assert client.get("/api/moments?file=99").status_code == 404
    assert client.get("/api/moments?order=size").status_code == 422
    assert client.get("/api/moments?limit=100000").status_code == 422
    assert moments(client, "offset=100000") == []


def groups(sizes: list[int], dim: int = 16) -> Windows:
    """Windows of one file each, in tight groups that are far from each other."""
    rng = np.random.default_rng(1)
    centers = rng.normal(size=(len(sizes), dim))
    vectors = np.concatenate(
        [centers[i] + 0.01 * rng.normal(size=(n, dim)) for i, n in enumerate(sizes)]
    ).astype(np.float32)
    count = len(vectors)
    start = np.zeros(count)
    return Windows(
        np.arange(count), np.arange(count), start, start + 1, start.astype("f4"), vectors
    )


def test_spread_shows_every_group_first() -> None:
    sizes = [300, 5, 1, 40, 2]
    windows = groups(sizes)
    group = np.repeat(np.arange(5), sizes)
    order = spread_out(windows.vectors)
    assert sorted(group[order[:5]]) == [0, 1, 2, 3, 4]
    assert sorted(order) == list(range(sum(sizes)))
    assert group[np.random.default_rng(0).permutation(sum(sizes))[:5]].tolist() != [0, 1, 2, 3, 4]


def test_rare_is_what_is_far_from_all_others() -> None:
    windows = groups([300, 40, 1])
    wall = Wall(windows)
    assert wall.arrange("rare", np.ones(341, bool))[0] == 340


def test_search_by_a_window(client: TestClient, index: MemoryIndex) -> None:
    window = int(index.windows.ids[0])
    body = {"query": {"window": window}, "k": 5, "still": True}
    answer = client.post("/api/search", json=body).json()
    found = answer["moments"]
    assert len(found) == 5
    assert answer["milliseconds"] >= 0
    assert window not in [moment["id"] for moment in found]  # nor what overlaps it
    similar = [moment["similarity"] for moment in found]
    assert similar == sorted(similar, reverse=True)
    strong = client.post("/api/search", json=body | {"where": "motion > 0.5"}).json()["moments"]
    assert {moment["motion"] > 0.5 for moment in strong} == {True}


def test_search_by_a_stretch_decodes_it_once(client: TestClient, index: MemoryIndex) -> None:
    body = {"query": {"file": 10, "start": 0.5, "end": 9}, "unlike": [{"window": 101}]}
    for _ in range(2):
        found = client.post("/api/search", json=body).json()["moments"]
        assert found
        assert not [one for one in found if one["file"] == 10 and one["end"] > 0.5]
    assert index.embedded == [(index.files[0].path, 0.5, 3.0)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"query": {}}, 422),
        ({"query": {"window": 100, "file": 10}}, 422),
        ({"query": {"window": 5}}, 404),
        ({"query": {"file": 99}}, 404),
        ({"query": {"file": 10, "start": 2, "end": 1}}, 422),
        ({"query": {"file": 10, "start": 50}}, 422),
        ({"query": {"upload": "../../etc/passwd"}}, 404),
        ({"query": {"window": 100}, "k": 0}, 422),
        ({"query": {"window": 100}, "where": "drop table"}, 400),
        ({"query": {"window": "x"}}, 422),
        ([], 422),
    ],
)
def test_a_wrong_search_gets_a_sentence(client: TestClient, body: Any, status: int) -> None:
    answer = client.post("/api/search", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]


Upload = Callable[..., Any]


@pytest.fixture
def upload(client: TestClient) -> Upload:
    """upload(bytes, name) -> the answer."""
    return lambda data, name="clip.mp4": client.post(
        "/api/upload", files={"video": (name, io.BytesIO(data))}
    )


def test_an_upload_is_searched_and_played(
    client: TestClient, index: MemoryIndex, upload: Upload, videos: Path
) -> None:
    answer = upload((videos / "old.avi").read_bytes(), "..\\..\\my clip.avi").json()
    assert answer["name"] == "my clip.avi"
    assert answer["duration"] == pytest.approx(3.0, abs=0.05)
    key = answer["upload"]
    video = client.get(f"/media/upload/{key}", headers={"range": "bytes=4-7"})
    assert (video.status_code, video.content) == (206, b"ftyp")
    body = {"query": {"upload": key, "start": 0.5, "end": 2.0}, "k": 3}
    assert len(client.post("/api/search", json=body).json()["moments"]) == 3
    path, start, end = index.embedded[0]
    assert (Path(path).suffix, start, end) == (".mp4", 0.5, 2.0)
    left = {file.suffix for file in Path(path).parent.iterdir()}
    assert left == {".mp4"}  # what came is gone


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://%s\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("what", ["text", "empty", "playlist", "list", "cut", "image"])
def test_what_is_no_video_is_refused(
    client: TestClient, upload: Upload, videos: Path, what: str
) -> None:
    plays = videos / "plays.mp4"
    data = {
        "text": b"buy milk\n" * 500,
        "empty": b"",
        "playlist": PLAYLIST % str(plays).encode(),  # FFmpeg would open the file that it names
        "list": b"ffconcat version 1.0\nfile '" + str(plays).encode() + b"'\n",
        "cut": plays.read_bytes()[:40],
        "image": b"P6 2 2 255 " + bytes(12),
    }[what]
    answer = upload(data)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("clip.mp4: is ")
    folder = client.explorer.uploads.folder  # type: ignore[attr-defined]
    assert list(folder.iterdir()) == []


def test_a_form_without_a_file_is_refused(client: TestClient) -> None:
    assert client.post("/api/upload", data={"video": "text"}).status_code == 422
    assert client.post("/api/upload", json={}).status_code in (400, 422)


def test_a_large_upload_is_refused_while_it_arrives(serve: Serve) -> None:
    client = serve(Access(upload_limit=1 << 20))
    sent = 0

    def endless():  # type: ignore[no-untyped-def]
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'
        for _ in range(200):
            sent += 1 << 16
            yield bytes(1 << 16)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/api/upload", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert "more than 1 MB" in answer.json()["error"]
    told = client.post("/api/upload", files={"video": ("a.mp4", bytes(2 << 20))})
    assert told.status_code == 413


def test_an_upload_that_takes_too_long_is_killed(tmp_path: Path, videos: Path) -> None:
    uploads = Uploads(tmp_path, seconds=0.05)
    began = time.monotonic()
    with (
        (videos / "plays.mp4").open("rb") as file,
        pytest.raises(Exception, match="takes more than"),
    ):
        uploads.receive(file, "a.mp4")
    assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []
    uploads.close()


def test_the_decoding_process_has_limits() -> None:
    pytest.importorskip("resource")
    script = (
        "import resource; from unscene.explore import upload_process as u; u.set_limits(u.MEMORY);"
        "print(*[resource.getrlimit(n)[0] for n in"
        " (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_CORE)])"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(3 << 30), "120", "0"]


def test_an_upload_that_needs_too_much_memory_is_refused(tmp_path: Path, videos: Path) -> None:
    pytest.importorskip("resource")
    uploads = Uploads(tmp_path, memory=120 << 20)
    with (
        (videos / "plays.mp4").open("rb") as file,
        pytest.raises(Refusal, match=r"a\.mp4: .*too much memory") as refused,
    ):
        uploads.receive(file, "a.mp4")
    assert refused.value.status == 422
    assert list(tmp_path.iterdir()) == []
    uploads.close()


def test_old_uploads_go(tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = Uploads(tmp_path)
    with (videos / "plays.mp4").open("rb") as file:
        upload = uploads.receive(file, "a.mp4")
    assert uploads.find(upload.key) == upload
    later = time.monotonic() + 3601
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(Exception, match="drop it in again"):
        uploads.find(upload.key)
    assert list(tmp_path.iterdir()) == []
    uploads.close()
