"""What transcoding the rest of a plan will take, from seconds of a few of its files."""

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

_SAMPLES, _SECONDS = 8, 2.0  # transcoded to estimate the rest
_SPARE = 1.5  # a few seconds of a few files may be easier than the rest


@dataclass(frozen=True)
class Estimate:
    """What is left to do will take so much.

    Attributes:
        bytes: of the files still to be written; None: no sample could be transcoded.
        free: bytes free where OUT lies.
        seconds: of one worker.
    """

    files: int
    frames: int
    bytes: int | None
    free: int
    seconds: float

    @property
    def fits(self) -> bool:
        return self.bytes is None or self.bytes * _SPARE <= self.free


def estimate(plan: Plan, inspections: Mapping[str, Inspection]) -> Estimate:
    """Transcode seconds of a few files and scale to the rest by pixels.

    Raises:
        UnsceneError: there is no room for them where temporary files lie.
    """
    jobs = [job for job in plan.todo if inspections[job.source].verdict != "unreadable"]
    there = next(p for p in (plan.out.absolute(), *plan.out.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    shapes = {job: _shape(job, inspections[job.source], plan.settings) for job in jobs}
    frames = sum(count for count, _, _ in shapes.values())
    size = cost = pixels = decoded = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs[:: max(1, -(-len(jobs) // _SAMPLES))]:
            end = min(job.start + _SECONDS, job.end or float("inf"))
            began = time.perf_counter()
            try:
                outcome = transcode(
                    job.source, Path(folder, "a.mp4"), plan.settings, start=job.start, end=end
                )
            except VideoError:
                continue
            except UnsceneError as error:
                raise UnsceneError(
                    f"{error}: a few seconds are transcoded there to tell how much disk the rest "
                    "takes; set TMPDIR to a folder with room"
                ) from error
            cost += time.perf_counter() - began
            size += outcome.bytes
            pixels += outcome.frames * shapes[job][1]
            decoded += outcome.frames * shapes[job][2]
    if jobs and not pixels:
        return Estimate(len(jobs), frames, None, free, 0.0)
    written = sum(count * drawn for count, drawn, _ in shapes.values()) * size / (pixels or 1)
    seconds = sum(count * read for count, _, read in shapes.values()) * cost / (decoded or 1)
    return Estimate(len(jobs), frames, round(written), free, seconds)


def _shape(job: Job, found: Inspection, settings: TranscodeSettings) -> tuple[int, int, int]:
    """Frames of what a job writes, pixels of each, and pixels of each frame of its source."""
    end = found.duration if job.end is None else min(job.end, found.duration)
    frames = found.frames
    if job.start > 0 or end < found.duration or settings.fps is not None:
        # Not its frame rate: AVI may count milliseconds.
        rate = settings.fps or found.frames / (found.duration or 1)
        frames = max(0, round((end - job.start) * rate))
    width, height = settings.size(found.width, found.height)
    return frames, width * height, found.width * found.height
