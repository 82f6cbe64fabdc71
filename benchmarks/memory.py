"""Memory: windows all over a file of one hour, and what one near its end costs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness import Options, Row, generate, peak_of, turns

from unscene.video.decode import read_clips
from unscene.video.probe import probe
from unscene.video.sampling import Request, clip_offsets

OFFSETS = {"clip": clip_offsets(16, 4)}
HOUR, EARLY, LATE = 3600.0, 30.0, 59 * 60.0
WINDOWS = 60

# A process of its own, which does nothing but read: its peak is the reader's.
READER = """
from unscene.video.decode import read_clips
from unscene.video.sampling import Request, window

idle()
for k in range(int(sys.argv[2])):
    at = k * 3590 / int(sys.argv[2])
    read_clips(sys.argv[1], Request(at, {"clip": clip_offsets(16, 4)}, motion=("clip",)))
"""


def run(options: Options) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="unscene-bench-") as folder:
        path = str(Path(folder) / "hour.mp4")
        generate(path, 1500, repeat=60)  # a minute, sixty times
        info = probe(path)
        assert abs(info.duration - HOUR) < 1, info
        size = Path(path).stat().st_size / 2**20
        kind = f"{info.width}x{info.height} {info.codec}, {info.duration:.0f} s, {size:.0f} MB"
        windows = options.times(WINDOWS, 12)
        idle, peak = peak_of(READER, path, str(windows))
        yield Row(
            name="memory.hour",
            what=f"peak of reading {windows} windows with vectors all over one hour",
            ours=peak - idle,
            alternative=idle,
            against="the idle process (added to it)",
            unit="MB",
            ratio=peak / idle,
            target="ours <= 300",
            repetitions=1,
            note=kind,
        )
        repetitions = options.times(31, 5)
        late, early = turns(
            lambda: read_clips(path, Request(LATE, OFFSETS)),
            lambda: read_clips(path, Request(EARLY, OFFSETS)),
            repetitions=repetitions,
        )
        yield Row(
            name="memory.late",
            what="a window at 59:00",
            ours=late * 1e3,
            alternative=early * 1e3,
            against="one at 0:30",
            unit="ms/window",
            ratio=late / early,
            target="<= 1.2",
            repetitions=repetitions,
            note=f"{kind}; opening included",
        )
