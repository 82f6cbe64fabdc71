"""What the reader's tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

import media
from media import Plain
from preparing import BAD
from unscene.video.clip import Clip
from unscene.video.decode import read_clips
from unscene.video.packets import Packets
from unscene.video.sampling import Request

Read = Callable[..., Clip]


@pytest.fixture
def read() -> Read:
    """read(path, at, offsets, **options) -> the clip."""

    def one(
        path: object, at: float = 0.0, offsets: Iterable[int] = (0,), **options: object
    ) -> Clip:
        request = Request(at, {"clip": tuple(offsets)})
        return read_clips(path, request, **options)["clip"]  # type: ignore[arg-type]

    return one


@pytest.fixture
def assert_frames() -> Callable[[Clip, Plain, Iterable[int]], None]:
    """Fails unless a clip consists of exactly these frames of a plain decode, byte for byte."""

    def check(clip: Clip, plain: Plain, indices: Iterable[int]) -> None:
        wanted = list(indices)
        assert len(clip) == len(wanted)
        for name in ("y", "u", "v"):
            np.testing.assert_array_equal(getattr(clip, name).numpy(), getattr(plain, name)[wanted])

    return check


@pytest.fixture
def packets_decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one element for every packet that goes through a decoder."""
    seen: list[int] = []
    original = Packets.__iter__

    def counting(self: Packets) -> Iterator[object]:
        for packet, frames in original(self):
            seen.append(packet.size)
            yield packet, frames

    monkeypatch.setattr(Packets, "__iter__", counting)
    return seen


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """lock("Jump"): folders whose path ends so can no longer be listed."""
    real = os.scandir

    def locking(ending: str) -> None:
        def locked(path: object) -> object:
            if str(path).endswith(ending):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)  # type: ignore[call-overload]

        monkeypatch.setattr(os, "scandir", locked)

    return locking


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """Not a video, although it says so."""
    path = tmp_path / "notes.mp4"
    path.write_text("buy milk\n" * 100)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Class folders, with names that meet, a broken file, a hidden one and notes."""
    root = tmp_path / "data"
    for name in ("Run/a.mp4", "Run/a.avi", "Sit/deep/b.mkv", "top.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        codec, options = ("mpeg4", {"g": "9"}) if name.endswith("avi") else ("libx264", BAD)
        media.write(root / name, media.drift(14, (48, 64)), codec, options=options)
    (root / "Sit" / "broken.mp4").write_bytes(b"buy milk\n" * 50)
    (root / "notes.txt").write_text("not a video")
    return root


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
