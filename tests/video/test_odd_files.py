"""The comparison with ffmpeg (experiments/odd_files.py) finds what a reader does wrong."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import media
from unscene.errors import VideoError
from unscene.video.clip import Clip
from unscene.video.decode import read_clips
from unscene.video.sampling import Request

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "odd_files.py"
pytestmark = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not installed"
)


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """compare(change) -> the status, if the reader changes what it reads."""
    script: dict[str, Any] = runpy.run_path(str(SCRIPT))
    main = script["main"]
    options = {"bf": "2", "g": "10", "sc_threshold": "0"}
    media.write(tmp_path / "a.mp4", media.drift(40), options=options)

    def run(read: Callable[..., dict[str, Clip]] = read_clips) -> int:
        monkeypatch.setattr("sys.argv", ["odd_files.py", str(tmp_path), "--windows", "3"])
        monkeypatch.setitem(main.__globals__, "read_clips", read)
        return main()

    return run


def test_a_reader_that_shows_what_ffmpeg_shows_passes(
    compare: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare() == 0
    assert "1 file; no disagreement" in capsys.readouterr().out


def late(path: object, request: Request, **options: float) -> dict[str, Clip]:
    return read_clips(path, replace(request, at=request.at + 0.12), **options)  # type: ignore[arg-type]


def gray(path: object, request: Request, **options: float) -> dict[str, Clip]:
    clip = read_clips(path, request, **options)["clip"]  # type: ignore[arg-type]
    return {"clip": clip.replace(y=clip.y // 2 + 60)}


def none(path: str, request: Request, **options: float) -> dict[str, Clip]:
    raise VideoError(path, "cannot be decoded")


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (late, "frame: 3 for 0"),
        (gray, "pixels: frame 0 differs by"),
        (none, "refused: window at frame 0: cannot be decoded"),
    ],
)
def test_what_a_reader_does_wrong_is_named(
    compare: Callable[..., int], capsys: pytest.CaptureFixture[str], read: Any, said: str
) -> None:
    assert compare(read) == 1
    assert said in capsys.readouterr().out
