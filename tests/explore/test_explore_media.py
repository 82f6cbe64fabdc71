"""Videos in ranges, what a browser cannot play, clips and pictures."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from memory_index import MemoryIndex
from starlette.testclient import TestClient

import media
from unscene.explore import streams
from unscene.explore.cache import FolderCache
from unscene.explore.media import make_clip
from unscene.explore.playable import decide_playing

Number = Callable[[str], int]


def frames_of(data: bytes) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(data)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        return list(container.decode(video=0))


def atoms(data: bytes) -> list[bytes]:
    """Kinds of the boxes of an MP4, in order."""
    found, at = [], 0
    while at + 8 <= len(data):
        found.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big") or len(data)
    return found


@pytest.mark.parametrize(
    ("name", "way", "kind"),
    [
        ("plays.mp4", "as it is", "video/mp4"),
        ("open.webm", "as it is", "video/webm"),
        ("copied.mkv", "copied", "video/mp4"),
        ("old.avi", "transcoded", "video/mp4"),
        ("rich.mp4", "transcoded", "video/mp4"),
    ],
)
def test_how_a_file_gets_to_the_browser(videos: Path, name: str, way: str, kind: str) -> None:
    playing = decide_playing(str(videos / name))
    assert (playing.way, playing.media_type, playing.size) == (way, kind, (48, 64))


def test_a_file_is_served_in_ranges(client: TestClient, videos: Path, number: Number) -> None:
    address, data = f"/media/{number('plays.mp4')}", (videos / "plays.mp4").read_bytes()
    whole = client.get(address)
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    size = len(data)
    for given, start, end in (
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, size),
        ("bytes=-7", size - 7, size),
        (f"bytes={size - 1}-{size + 50}", size - 1, size),
        (f"bytes=-{size + 50}", 0, size),
    ):
        part = client.get(address, headers={"range": given})
        assert part.status_code == 206, given
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.content == data[start:end]
    several = client.get(address, headers={"range": "bytes=0-1,10-11"})
    assert several.headers["content-type"].startswith("multipart/byteranges")
    past = client.get(address, headers={"range": f"bytes={size}-"})
    assert past.status_code == 416
    assert past.headers["content-range"] == f"bytes */{size}"


def test_head_and_if_range(client: TestClient, videos: Path, number: Number) -> None:
    address, data = f"/media/{number('plays.mp4')}", (videos / "plays.mp4").read_bytes()
    head = client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(data))
    same = {"range": "bytes=0-9", "if-range": head.headers["etag"]}
    assert client.get(address, headers=same).content == data[:10]
    other = {"range": "bytes=0-9", "if-range": '"other"'}
    assert client.get(address, headers=other).content == data
    assert client.head(f"/media/{number('old.avi')}").status_code == 200


@pytest.mark.parametrize("name", ["copied.mkv", "old.avi", "rich.mp4"])
def test_what_a_browser_cannot_play_is_converted(
    client: TestClient, number: Number, name: str
) -> None:
    address = f"/media/{number(name)}"
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["accept-ranges"] == "bytes"  # it is short: converted before it is sent
    frames = frames_of(answer.content)
    assert len(frames) == 75
    assert atoms(answer.content).index(b"moov") < atoms(answer.content).index(b"mdat")
    assert client.get(address, headers={"range": "bytes=0-9"}).content == answer.content[:10]


def test_a_converted_file_shows_the_same(client: TestClient, videos: Path, number: Number) -> None:
    converted = frames_of(client.get(f"/media/{number('old.avi')}").content)
    with av.open(str(videos / "old.avi")) as container:
        originals = list(container.decode(video=0))
    for i in (0, 40, 74):
        ours, theirs = converted[i].to_ndarray(), originals[i].to_ndarray()
        assert np.abs(ours[:48].astype(int) - theirs[:48]).mean() < 6


def test_a_long_file_is_sent_while_it_is_converted(
    client: TestClient, index: MemoryIndex, number: Number, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unscene.explore.media._SHORT", 1.0)
    encode, waiting = streams.encode_frames, threading.Event()

    def slow(path: Path, frames: Any, *rest: Any) -> int:
        def wait_in_between() -> Any:
            for i, frame in enumerate(frames):
                if i == 60:
                    assert waiting.wait(20)
                yield frame

        return encode(path, wait_in_between(), *rest)

    monkeypatch.setattr(streams, "encode_frames", slow)
    address = f"/media/{number('old.avi')}"
    with client.stream("GET", address) as answer:
        assert answer.headers["accept-ranges"] == "none"
        pieces = answer.iter_raw()
        data = b""
        while b"moof" not in data:  # the first second comes before the end is encoded
            data += next(pieces)
        waiting.set()
        data += b"".join(pieces)
    assert len(frames_of(data)) == 75
    assert b"moof" in atoms(data)
    until = time.monotonic() + 10
    while client.get(f"{address}/info").json()["jumps"] is False and time.monotonic() < until:
        time.sleep(0.02)
    again = client.get(address, headers={"range": "bytes=0-9"})
    assert again.status_code == 206  # now it is kept


def test_converting_begins_anywhere(
    client: TestClient, number: Number, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unscene.explore.media._SHORT", 1.0)
    for name in ("old.avi", "copied.mkv"):
        data = client.get(f"/media/{number(name)}?start=2").content
        assert len(frames_of(data)) == 25


def test_work_stops_when_nobody_watches(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_ALONE", 0.0)
    path = str(videos / "old.avi")
    running = streams.Streams(FolderCache(tmp_path, 1 << 30))
    reader = running.join("x.mp4", path, decide_playing(path), 25, 0)
    reader.close()
    assert reader.stream.finished.wait(20)
    assert list(tmp_path.iterdir()) == []


def test_only_so_many_are_converted_at_once(
    client: TestClient, number: Number, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr("unscene.explore.media._SHORT", 1.0)
    monkeypatch.setattr(streams, "_transcode", lambda path, stream, *rest: release.wait(20))
    explorer = client.explorer  # type: ignore[attr-defined]
    explorer.media.streams.most = 1
    path = explorer.open.footage.locate(number("rich.mp4"))
    reader = explorer.media.streams.join("other.mp4", path, decide_playing(path), 25, 0)
    answer = client.get(f"/media/{number('old.avi')}")
    assert answer.status_code == 503
    assert "are being converted" in answer.json()["error"]
    release.set()
    reader.close()


def test_a_damaged_file_gets_a_sentence(
    client: TestClient, index: MemoryIndex, number: Number
) -> None:
    path = Path(index.files[number("old.avi") - 10].path)
    path.write_bytes(b"buy milk\n" * 500)
    for tail in ("", "/clip?start=0&end=1", "/frame?at=0"):
        answer = client.get(f"/media/{number('old.avi')}{tail}")
        assert answer.status_code == 422
        assert "is not a video that FFmpeg can read" in answer.json()["error"]


def test_clips_are_small_and_begin_with_their_index(client: TestClient, number: Number) -> None:
    for name in ("plays.mp4", "old.avi", "open.webm"):
        address = f"/media/{number(name)}/clip?start=1&end=2"
        answer = client.get(address)
        assert answer.headers["content-type"] == "video/mp4"
        assert "max-age" in answer.headers["cache-control"]
        assert len(frames_of(answer.content)) == 25
        assert atoms(answer.content).index(b"moov") < atoms(answer.content).index(b"mdat")
        assert client.get(address, headers={"range": "bytes=0-9"}).status_code == 206


def test_clips_are_small(tmp_path: Path) -> None:
    for size, wanted in (((400, 600), (180, 270)), ((600, 400), (270, 180)), ((48, 64), (48, 64))):
        path = media.write(tmp_path / "large.mp4", media.drift(5, size))
        make_clip(str(path), 0, 1, tmp_path / "clip.mp4")
        frame = frames_of((tmp_path / "clip.mp4").read_bytes())[0]
        assert (frame.height, frame.width) == wanted


def test_a_clip_is_made_once(
    client: TestClient, number: Number, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    original = make_clip
    monkeypatch.setattr(
        "unscene.explore.media.make_clip", lambda *given: (made.append(given), original(*given))
    )
    address = f"/media/{number('plays.mp4')}/clip?start=0&end=1"
    threads = [threading.Thread(target=client.get, args=(address,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get(address).status_code == 200
    assert len(made) == 1


@pytest.mark.parametrize("query", ["start=2&end=1", "start=nan&end=1", "start=-1&end=1", "start=0"])
def test_a_wrong_stretch_is_refused(client: TestClient, number: Number, query: str) -> None:
    answer = client.get(f"/media/{number('plays.mp4')}/clip?{query}")
    assert answer.status_code == 422
    assert answer.json()["error"]


def test_a_picture_shows_the_moment(client: TestClient, videos: Path, number: Number) -> None:
    import cv2

    answer = client.get(f"/media/{number('plays.mp4')}/frame?at=2")
    assert answer.headers["content-type"] == "image/jpeg"
    shown = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE)
    frames = [luma.astype(int) for luma in media.drift(75, (48, 64))]
    errors = [np.abs(shown - luma).mean() for luma in frames]
    # Gray levels are stretched from 16..235; what matters is which frame it is most like.
    assert abs(int(np.argmin(errors)) - 50) <= 1
    late = client.get(f"/media/{number('plays.mp4')}/frame?at=99")
    assert late.status_code == 200  # past the end: the last one


def test_the_cache_forgets_what_was_used_least(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    cache = FolderCache(tmp_path, 250)
    with ThreadPoolExecutor(1) as makers:
        for name in ("a", "b", "a", "c"):
            cache.request(name, lambda path: path.write_bytes(bytes(100)), makers).result()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a", "c"]
    assert cache.find("b") is None


def test_a_clip_that_fails_leaves_nothing(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    cache = FolderCache(tmp_path, 250)
    with ThreadPoolExecutor(1) as makers:
        with pytest.raises(OSError, match="No space"):
            cache.request("a", fail, makers).result()
        assert list(tmp_path.iterdir()) == []
        assert cache.request("a", lambda path: path.write_bytes(b"x"), makers).result().exists()
