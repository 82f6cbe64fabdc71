"""Decodes an upload in a process of its own.

    python -m unscene.explore.upload_process IN OUT BYTES_OF_MEMORY

What strangers send must not bring down the server, so the process has limits of memory, time and
file size, and the server reads only the H.264 that this one writes. It prints one line of JSON:
{"duration": seconds} or {"error": reason}.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

MEMORY = 3 << 30  # bytes of address space
SECONDS = 120  # of processor time
LONGEST = 600.0  # seconds of video that are read
_FILE = 1 << 30  # bytes that may be written
# A query is compared by its motion, and encoders see less than this.
_SHORT_SIDE = 360
# What FFmpeg calls the containers that are read. Playlists, which name other files, are none.
_FORMATS = ("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "ogg", "asf", "gif")
_NO_VIDEO = "is not a video file (MP4, MOV, WebM, MKV, AVI, MPEG, FLV, OGG, WMV or GIF)"


def main(source: str, target: str, memory: str) -> dict[str, object]:
    """Write the video of one file as H.264; what to print about it."""
    set_limits(int(memory))
    from unscene.errors import UnsceneError, VideoError
    from unscene.prepare.settings import TranscodeSettings
    from unscene.prepare.transcode import transcode
    from unscene.video.packets import allow_formats, open_container
    from unscene.video.probe import probe

    allow_formats(_FORMATS)
    try:
        open_container(source).close()
    except (OSError, ValueError):
        return {"error": _NO_VIDEO}
    try:
        settings, at_once = TranscodeSettings(short_side=_SHORT_SIDE), {"movflags": "+faststart"}
        transcode(source, Path(target), settings, end=LONGEST, muxer=at_once)
        info = probe(target)
    except VideoError as error:
        return {"error": error.reason}
    except UnsceneError:
        return {"error": "cannot be stored: the disk for temporary files is full"}
    except MemoryError:
        return {"error": "needs too much memory; cut out a stretch, or make the picture smaller"}
    return {"duration": info.duration, "fps": info.fps}


def set_limits(memory: int) -> None:
    """Limit what this process may take: bytes of memory, seconds of the processor, files."""
    try:
        import resource
    except ImportError:  # Windows; the limit of time holds there, too
        return
    for name, most in (
        ("RLIMIT_AS", memory),
        ("RLIMIT_CPU", SECONDS),
        ("RLIMIT_FSIZE", _FILE),
        ("RLIMIT_CORE", 0),
    ):
        with suppress(OSError, ValueError, AttributeError):  # a lower one is set already
            resource.setrlimit(getattr(resource, name), (most, most))


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:4])))
