"""What all benchmarks share: timing two sides in turns, rows, the machine, footage.

Both sides run in one process and take turns, the first of each pair changing, so that a machine
that slows down slows both. What is reported is the median of each side.
"""

from __future__ import annotations

import datetime
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

if TYPE_CHECKING:
    from unscene.train.pretrain import Outcome

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: topic.row, what `--only` selects by.
        what: what is measured.
        ours, alternative: medians in `unit`.
        against: what the alternative is.
        ratio: the number that the target speaks of.
        target: ">= 0.8", "<= 0.15" or "" for none; of the ratio, or of ours if it says "ours".
        repetitions: of each side.
        note: conditions; where a target is missed, what stands in the way.
    """

    name: str
    what: str
    ours: float
    alternative: float | None
    against: str
    unit: str
    ratio: float
    target: str
    repetitions: int
    note: str = ""

    @property
    def met(self) -> bool | None:
        """None without a target."""
        if not self.target:
            return None
        words = self.target.split()
        value = self.ours if words[0] == "ours" else self.ratio
        bound = float(words[-1].replace(",", ""))
        return value >= bound if words[-2] == ">=" else value <= bound

    def record(self) -> dict[str, Any]:
        """As written to results.jsonl."""
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        load = round(os.getloadavg()[0], 1)
        return asdict(self) | {
            "met": self.met,
            "machine": machine(),
            "load": load,
            "date": date,
        }


@dataclass(frozen=True)
class Options:
    """What the command line chose.

    Attributes:
        quick: few repetitions, for looking whether everything runs.
    """

    quick: bool = False

    def times(self, full: int, quick: int = 2) -> int:
        return quick if self.quick else full


def waiting_row(name: str, outcome: Outcome, workers: int, note: str) -> Row:
    """How long a training waited for data; `outcome` is what `pretrain` returns."""
    return Row(
        name=name,
        what=f"waiting for data with {workers} workers",
        ours=outcome.waiting * outcome.seconds,
        alternative=outcome.seconds,
        against="the whole run after its first batch",
        unit="s",
        ratio=outcome.waiting,
        target="<= 0.05",
        repetitions=outcome.steps,
        note=note,
    )


def turns(
    *sides: Callable[[], Any],
    repetitions: int,
    warm: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Median seconds of each side, called in turns; `time.process_time` counts CPU seconds."""
    for _ in range(warm):
        for side in sides:
            side()
    seconds: list[list[float]] = [[] for _ in sides]
    order = list(range(len(sides)))
    for _ in range(repetitions):
        for k in order:
            begun = clock()
            sides[k]()
            seconds[k].append(clock() - begun)
        order.reverse()
    return [statistics.median(s) for s in seconds]


def memory(field: str = "VmRSS") -> float:
    """MB of this process: what it holds (VmRSS) or held at most (VmHWM)."""
    found = re.search(field + r":\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def peak_of(code: str, *given: str) -> tuple[float, float]:
    """(idle, peak) MB of a process of its own, which calls `idle()` where it is ready to begin."""
    begin = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    begin += "from harness import memory\ndef idle(): print('idle', memory())\n"
    ran = subprocess.run(
        [sys.executable, "-c", f"{begin}{code}\nprint('peak', memory('VmHWM'))", *given],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said = dict(line.split() for line in ran.stdout.splitlines())
    return float(said["idle"]), float(said["peak"])


def machine() -> str:
    """One line that says where numbers come from."""
    import torch

    model = "CPU"
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x.split(":", 1)[1] for x in info.read_text().splitlines() if "model name" in x]
        model = names[0].strip() if names else model
    if torch.cuda.is_available():
        model += f", {torch.cuda.get_device_name()}"
    return (
        f"{model}, {len(os.sched_getaffinity(0))} cores, OMP_NUM_THREADS "
        f"{os.environ.get('OMP_NUM_THREADS', 'unset')}, torch {torch.__version__}, av "
        f"{av.__version__}"
    )


@contextmanager
def footage(count: int = 8, seconds: float = 8.0) -> Iterator[tuple[list[str], str]]:
    """Paths of 320x240 MPEG-4 files and what they are: genuine UCF101 files, then generated ones.

    Files shorter than 100 frames are left out.
    """
    data = Path(os.environ.get("UNSCENE_DATA", ROOT.parent / "shared" / "data")) / "ucf101_pool"
    found = sorted(str(p) for p in data.glob("*/*.avi"))
    real = [p for p in found if frames_of(p) >= 100]
    chosen = real[:: max(1, len(real) // count)][:count]
    if len(chosen) == count:
        yield chosen, "UCF101 files, 320x240 Xvid"
        return
    with tempfile.TemporaryDirectory(prefix="unscene-bench-") as folder:
        paths = [str(Path(folder) / f"{k}.avi") for k in range(count - len(chosen))]
        for k, path in enumerate(paths):
            generate(path, round(seconds * 25), seed=k)
        what = f"generated 320x240 MPEG-4{'' if real else f' ({data} is absent)'}"
        yield chosen + paths, f"{len(chosen)} UCF101 files and {what}" if real else what


def frames_of(path: str) -> int:
    """As the container claims."""
    with av.open(path) as container:
        return container.streams.video[0].frames


def rate_of(path: str) -> float:
    """Frames a second, as the container claims."""
    with av.open(path) as container:
        return float(container.streams.video[0].average_rate or 25)


def generate(
    path: str, frames: int, *, size: tuple[int, int] = (240, 320), seed: int = 0, repeat: int = 1
) -> None:
    """An MPEG-4 file of a soft texture that pans while squares cross it.

    Args:
        repeat: how often the same packets are written, with later times; makes hours in seconds.
    """
    height, width = size
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (height // 8 + 40, width // 8 + 40))
    scene = np.kron(coarse, np.ones((8, 8))).astype(np.uint8)
    with av.open(path, "w") as out:
        stream = out.add_stream("mpeg4", rate=25, width=width, height=height, pix_fmt="yuv420p")
        stream.codec_context.options = {"g": "12", "bf": "0", "qscale": "4"}
        stream.codec_context.gop_size = 12
        stream.codec_context.max_b_frames = 0
        packets = []
        for t in range(frames):
            x = int(120 + 100 * np.sin(t / 30))
            picture = scene[60 : 60 + height, x : x + width].copy()
            left = (t * 3) % (width - 40)
            picture[height // 3 : height // 3 + 40, left : left + 40] = 235
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane, values in zip(frame.planes, (picture, 110, 150), strict=True):
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
                rows[: plane.height, : plane.width] = values
            frame.pts = t
            packets += stream.encode(frame)
        packets += stream.encode()
        kept = [(bytes(p), p.pts, p.dts, p.time_base, p.is_keyframe) for p in packets]
        for k in range(repeat):
            for data, pts, dts, base, key in kept:
                packet = av.Packet(data)
                later = round(k * frames / 25 / base)
                packet.stream, packet.time_base, packet.is_keyframe = stream, base, key
                packet.pts, packet.dts = pts + later, dts + later
                packet.duration = round(1 / 25 / base)
                out.mux(packet)
