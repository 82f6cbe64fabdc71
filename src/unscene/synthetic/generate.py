"""A specification -> generated footage whose motion and scene are both known.

Of two kinds: moving scenes (one object that moves, `plan`) and figures (articulated figures that
follow motion programs, `figure_scenes`). The motion is the class, the background is the scene, and
`correlation` sets how strongly the two are tied in training. Two test splits break the tie:
`seen` shows the training scenes, `unseen` shows new scenes, both with independent motion and scene.
A model that recognizes the scene does well in training and fails on the test splits.

    out/spec.json     the specification; written last, so it marks complete footage
    out/train.csv     path,label,motion,scene,... (label = motion); one row a video
    out/train/00000.mp4 ...         likewise seen.csv, seen/, unseen.csv, unseen/
    out/train.camera.json           if the camera moves: {path: its true motion}, likewise

In moving scenes only movement shows the motion: at every moment, position, orientation and size
have the same distribution in all classes. The object moves on a torus, and an object that grows
starts again at the smallest size; see plan.draw_motion. Of figures, a single frame shows the body
and its posture, too.
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
from types import ModuleType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.files import check_writable, write_atomically, write_text
from unscene.synthetic import figure_scenes, plan
from unscene.synthetic.figure_scenes import FigureScenes
from unscene.synthetic.plan import (
    MOTIONS,
    SPLITS,
    GroundTruth,
    MovingScenes,
    Split,
    get_labels,
    get_truth,
    render_video,
)

__all__ = [
    "MOTIONS",
    "SPLITS",
    "FigureScenes",
    "GroundTruth",
    "MovingScenes",
    "ScenesReport",
    "Split",
    "encode_video",
    "generate",
    "get_labels",
    "get_truth",
    "render_video",
]

GOP = 12  # frames from one key frame to the next
Spec = MovingScenes | FigureScenes
# Each has FORMAT, COLUMNS, get_labels, get_camera and render_video.
_KINDS: dict[type, ModuleType] = {MovingScenes: plan, FigureScenes: figure_scenes}


@dataclass(frozen=True)
class ScenesReport:
    """The files of generated footage.

    Attributes:
        out: the folder.
        train, seen, unseen: the CSV of each split.
        videos: number of videos.
        reused: complete footage of the same specification was already there.
        seconds: duration of the call.
    """

    out: Path
    train: Path
    seen: Path
    unseen: Path
    videos: int
    reused: bool
    seconds: float


def generate(
    out: Path,
    spec: Spec,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ScenesReport:
    """Write the footage of `spec` into the folder `out`.

    Complete footage of the same specification is reused, and an interrupted run is continued.

    Args:
        out: folder, created if missing.
        workers: number of threads, >= 1; it does not change the result.
        progress: called as progress(done, total) after every video, in the calling thread.

    Raises:
        UnsceneError: the folder holds other footage or other files, or `workers` is below 1.

    >>> videos = {"train_videos": 8, "seen_videos": 4, "unseen_videos": 4}
    >>> small = MovingScenes(**videos, size=32, frames=26, object_size=(8, 12), speed=(1, 2))
    >>> report = generate(Path("footage"), small)
    >>> report.videos, report.train.as_posix()
    (16, 'footage/train.csv')
    """
    if workers < 1:
        raise UnsceneError(f"workers = {workers}; it must be at least 1")
    started, out = time.monotonic(), Path(out)
    tables = {split: out / f"{split}.csv" for split in SPLITS}
    total = sum(map(spec.videos, SPLITS))
    reused = _prepare_folder(out, spec)
    if not reused:
        jobs = [(split, i) for split in SPLITS for i in range(spec.videos(split))]
        with ThreadPoolExecutor(workers) as pool:
            runs = [pool.submit(_write_video, out, spec, split, i) for split, i in jobs]
            try:
                for done, run in enumerate(as_completed(runs), 1):
                    run.result()
                    if progress:
                        progress(done, total)
            except BaseException:  # also Ctrl-C: start no further video, and re-raise
                pool.shutdown(cancel_futures=True)
                raise
        for split, table in tables.items():
            _write_table(table, spec, split)
        _write_json(out / "spec.json", _describe(spec))
        (out / "spec.partial.json").unlink(missing_ok=True)  # unless another process finished too
    return ScenesReport(
        out, **tables, videos=total, reused=reused, seconds=time.monotonic() - started
    )


def _write_table(table: Path, spec: Spec, split: Split) -> None:
    kind, videos = _KINDS[type(spec)], range(spec.videos(split))
    rows = [kind.get_labels(spec, split, i) for i in videos]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, kind.COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    if spec.has_camera:
        cameras = [kind.get_camera(spec, split, i).round(7).tolist() for i in videos]
        named = {row["path"]: camera for row, camera in zip(rows, cameras, strict=True)}
        write_text(table.with_suffix(".camera.json"), json.dumps(named) + "\n")


def _prepare_folder(out: Path, spec: Spec) -> bool:
    """Return whether `out` holds the complete footage of `spec`; if not, mark it as incomplete."""
    want = _describe(spec)
    complete, partial = out / "spec.json", out / "spec.partial.json"
    held = next((path for path in (complete, partial) if path.is_file()), None)
    check_writable(partial)
    if held is None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UnsceneError(f"{out}: contains other files; choose a new or empty folder")
        out.mkdir(parents=True, exist_ok=True)
        _write_json(partial, want)
        return False
    try:
        have = json.loads(held.read_text(encoding="utf-8"))
    except ValueError:
        have = {}
    if have:  # settings that are newer than the footage: it is as their defaults have it
        have = _describe(type(spec)()) | have
    keys = ("format", *(field.name for field in fields(spec)))
    other = [f"{k} = {have.get(k)!r} (not {want[k]!r})" for k in keys if have.get(k) != want[k]]
    if other:
        raise UnsceneError(
            f"{held}: describes other footage: {', '.join(other)}; "
            "choose another folder or delete this one"
        )
    if held == partial:
        return False
    paths = [out / f"{s}/{i:05d}.mp4" for s in SPLITS for i in range(spec.videos(s))]
    if all(path.is_file() for path in [*paths, *(out / f"{s}.csv" for s in SPLITS)]):
        return True
    complete.replace(partial)  # some files were deleted: generate them again
    return False


def _describe(spec: Spec) -> dict[str, Any]:
    described = {"format": _KINDS[type(spec)].FORMAT, **asdict(spec)}
    return dict(json.loads(json.dumps(described)))


def _write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def _write_video(out: Path, spec: Spec, split: Split, index: int) -> None:
    path = out / split / f"{index:05d}.mp4"
    if path.is_file():
        return
    with write_atomically(path) as temporary:
        frames = _KINDS[type(spec)].render_video(spec, split, index)[0]
        encode_video(temporary, frames, fps=spec.fps)


def encode_video(path: Path, frames: NDArray[np.uint8], *, fps: int) -> None:
    """Write RGB frames (T, H, W, 3) as H.264 in MP4, at `fps` frames per second.

    The stream has one reference frame and no B-frames, so that every motion vector is the motion
    since the previous frame.
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
