"""What the reader's tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from media import Plain
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
