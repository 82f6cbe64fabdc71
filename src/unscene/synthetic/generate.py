"""Moving scenes: generated footage whose motion and scene are both known.

An object moves over a textured background. The motion is the class, the background is the scene,
and `correlation` says how far the one gives the other away in training. Two test splits break the
tie: `seen` shows the training scenes, `unseen` scenes that training never showed, both with motion
and scene independent. A model that reads the scene does well in training and fails there.

    out/spec.json     the MovingScenes that made it; written last, so it marks complete footage
    out/train.csv     path,label,motion,scene,shape,texture,size,speed (label = motion)
    out/train/00000.mp4 ...         likewise seen.csv, seen/, unseen.csv, unseen/

Nothing but movement tells the motion: at every moment position, orientation and size follow the
same distribution in all classes. The object moves on a torus, and growing runs through the range of
sizes and starts again; see scene_plan.move.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.files import write_atomically, write_text
from unscene.synthetic.plan import (
    COLUMNS,
    MOTIONS,
    SPLITS,
    MovingScenes,
    Split,
    Truth,
    render_video,
    video_labels,
    video_truth,
)

__all__ = [
    "MOTIONS",
    "SPLITS",
    "MovingScenes",
    "ScenesReport",
    "Split",
    "Truth",
    "encode",
    "generate",
    "render_video",
    "video_labels",
    "video_truth",
]

FORMAT = "moving scenes 1"  # to be raised whenever the same spec would give other pixels
GOP = 12  # frames from one key frame to the next


@dataclass(frozen=True)
class ScenesReport:
    """Where generated footage lies. `reused`: it was there already, complete, of the same spec."""

    out: Path
    train: Path
    seen: Path
    unseen: Path
    videos: int
    reused: bool
    seconds: float


def generate(
    out: Path,
    spec: MovingScenes,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ScenesReport:
    """Write the footage of `spec` under `out`.

    Complete footage of the same spec is reused and an interrupted run goes on where it stopped. A
    folder that holds another spec, or files of somebody else, is left alone with an UnsceneError.

    Args:
        out: folder, made if missing.
        workers: threads, >= 1; they change the speed, never the result.
        progress: called as progress(done, total) after every video, in the calling thread.
    """
    if workers < 1:
        raise UnsceneError(f"workers = {workers}; it must be at least 1")
    began, out = time.monotonic(), Path(out)
    tables = {split: out / f"{split}.csv" for split in SPLITS}
    total = sum(map(spec.videos, SPLITS))
    reused = _claim(out, spec)
    if not reused:
        jobs = [(split, i) for split in SPLITS for i in range(spec.videos(split))]
        with ThreadPoolExecutor(workers) as pool:
            runs = [pool.submit(_make, out, spec, split, i) for split, i in jobs]
            try:
                for done, run in enumerate(as_completed(runs), 1):
                    run.result()
                    if progress:
                        progress(done, total)
            except BaseException:  # Ctrl-C too: start no further video, then let it through
                pool.shutdown(cancel_futures=True)
                raise
        for split, table in tables.items():
            with table.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(video_labels(spec, split, i) for i in range(spec.videos(split)))
        _write(out / "spec.json", _described(spec))
        (out / "spec.partial.json").unlink(missing_ok=True)  # unless another process finished too
    return ScenesReport(
        out, **tables, videos=total, reused=reused, seconds=time.monotonic() - began
    )


def _claim(out: Path, spec: MovingScenes) -> bool:
    """Whether `out` holds the complete footage of `spec`; otherwise mark it as being filled."""
    want = _described(spec)
    complete, partial = out / "spec.json", out / "spec.partial.json"
    held = next((path for path in (complete, partial) if path.is_file()), None)
    if held is None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UnsceneError(f"{out}: holds other files; name a new or an empty folder")
        out.mkdir(parents=True, exist_ok=True)
        _write(partial, want)
        return False
    try:
        have = json.loads(held.read_text(encoding="utf-8"))
    except ValueError:
        have = {}
    keys = ("format", *(field.name for field in fields(spec)))
    other = [f"{k} = {have.get(k)!r} (not {want[k]!r})" for k in keys if have.get(k) != want[k]]
    if other:
        raise UnsceneError(
            f"{held}: describes other footage: {', '.join(other)}; "
            "name another folder or delete this one"
        )
    if held == partial:
        return False
    paths = [out / f"{s}/{i:05d}.mp4" for s in SPLITS for i in range(spec.videos(s))]
    if all(path.is_file() for path in [*paths, *(out / f"{s}.csv" for s in SPLITS)]):
        return True
    complete.replace(partial)  # somebody deleted files: make the missing ones again
    return False


def _described(spec: MovingScenes) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **asdict(spec)}))
    return described


def _write(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def _make(out: Path, spec: MovingScenes, split: Split, index: int) -> None:
    path = out / split / f"{index:05d}.mp4"
    if path.is_file():
        return
    with write_atomically(path) as temporary:
        encode(temporary, render_video(spec, split, index)[0], fps=spec.fps)


def encode(path: Path, frames: NDArray[np.uint8], *, fps: int) -> None:
    """Write RGB frames (T, H, W, 3) as H.264 in MP4.

    Every P-frame refers to the frame before it only, so motion vectors are displacements per frame.
    """
    options = {"preset": "veryfast", "crf": "18", "bf": "0", "refs": "1", "g": str(GOP)}
    options |= {"sc_threshold": "0", "threads": "1"}
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
