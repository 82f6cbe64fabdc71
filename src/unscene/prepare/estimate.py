"""A plan -> the disk space and time it needs, estimated from a few seconds of a few files."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unscene.errors import UnsceneError, VideoError
from unscene.prepare.inspect import Inspection
from unscene.prepare.plan import Job, Plan
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.transcode import transcode

_SAMPLES, _SECONDS = 8, 2.0  # number of files that are sampled, and seconds of each
_MARGIN = 1.5  # the samples may be easier to compress than the rest


@dataclass(frozen=True)
class Estimate:
    """What the rest of a plan needs.

    Attributes:
        files: number of files to write.
        frames: number of frames to write.
        bytes: of the files to write; None: no sample could be transcoded.
        free: bytes free on the disk of OUT.
        seconds: time with one worker.
    """

    files: int
    frames: int
    bytes: int | None
    free: int
    seconds: float

    @property
    def fits(self) -> bool:
        """Whether the files fit on the disk, with a margin of half their size."""
        return self.bytes is None or self.bytes * _MARGIN <= self.free


def estimate(plan: Plan, inspections: Mapping[str, Inspection]) -> Estimate:
    """Transcode a few seconds of a few files and scale to all files by the number of pixels.

    Raises:
        UnsceneError: the disk of temporary files is full.
    """
    jobs = [job for job in plan.todo if inspections[job.source].verdict != "unreadable"]
    out = plan.out.absolute()
    free = shutil.disk_usage(next(path for path in (out, *out.parents) if path.exists())).free
    shapes = {job: _shape(job, inspections[job.source], plan.settings) for job in jobs}
    frames = sum(count for count, _, _ in shapes.values())
    size = cost = pixels = decoded = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs[:: max(1, -(-len(jobs) // _SAMPLES))]:
            end = min(job.start + _SECONDS, job.end or float("inf"))
            started = time.perf_counter()
            try:
                outcome = transcode(
                    job.source, Path(folder, "a.mp4"), plan.settings, start=job.start, end=end
                )
            except VideoError:
                continue
            except UnsceneError as error:
                raise UnsceneError(
                    f"{error}: a few seconds are transcoded there to estimate the disk space; "
                    "set TMPDIR to a folder on a disk with free space"
                ) from error
            cost += time.perf_counter() - started
            size += outcome.bytes
            pixels += outcome.frames * shapes[job][1]
            decoded += outcome.frames * shapes[job][2]
    if jobs and not pixels:
        return Estimate(len(jobs), frames, None, free, 0.0)
    written = sum(count * drawn for count, drawn, _ in shapes.values()) * size / (pixels or 1)
    seconds = sum(count * read for count, _, read in shapes.values()) * cost / (decoded or 1)
    return Estimate(len(jobs), frames, round(written), free, seconds)


def _shape(job: Job, found: Inspection, settings: TranscodeSettings) -> tuple[int, int, int]:
    """Number of frames that a job writes, pixels of each, and pixels of a frame of its source."""
    end = found.duration if job.end is None else min(job.end, found.duration)
    frames = found.frames
    if job.start > 0 or end < found.duration or settings.fps is not None:
        # Not the stream's frame rate: AVI may count milliseconds.
        rate = settings.fps or found.frames / (found.duration or 1)
        frames = max(0, round((end - job.start) * rate))
    width, height = settings.size(found.width, found.height)
    return frames, width * height, found.width * found.height
