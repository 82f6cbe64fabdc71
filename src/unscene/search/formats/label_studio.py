"""Label Studio: a JSON of tasks to import, and the labeling configuration that it needs beside it.

One task a video. Labels become annotations, predictions become pre-annotations with their score.
Both are `TimelineLabels`, whose ranges are numbers of frames: the first frame is 1, and a range
includes its last frame. Read are exports as JSON and as JSON-MIN.

Videos are named as Label Studio names files of local storage: LOCAL_FILES_DOCUMENT_ROOT must be the
folder to which they are relative.

Sources: labelstud.io, "Import pre-annotated data", "TimelineLabels", "Video", "Local storage";
TimelineRegion.js of the editor for what a range means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlparse
from xml.sax.saxutils import quoteattr

from unscene import __version__
from unscene.errors import UnsceneError
from unscene.files import write_text
from unscene.search.formats.rows import Found, Rate, read_json
from unscene.search.intervals import Footage, Interval, Named, name_files, probability_of

SUFFIX = ".json"
SEPARATE = False
_LOCAL = "/data/local-files/"
_CONTROL, _VIDEO = "videoLabels", "video"  # names in the labeling configuration


def write(intervals: Sequence[Named], path: Path, files: Sequence[Footage]) -> None:
    """Write a task for each video, and FILE.xml, the labeling configuration."""
    names = name_files(files)
    tasks = []
    for file in files:
        own = [one for one in intervals if one.path == file.path]
        named = [one for one in own if probability_of(one) is None]
        predicted = [one for one in own if probability_of(one) is not None]
        video = f"{_LOCAL}?d={quote(names[file.path])}"
        task: dict[str, Any] = {"data": {"video": video, "fps": file.fps}}
        if named:
            task["annotations"] = [{"result": _regions(named, file.fps)}]
        if predicted:
            scores = [probability_of(one) or 0.0 for one in predicted]
            task["predictions"] = [
                {
                    "model_version": f"unscene {__version__}",
                    "score": round(sum(scores) / len(scores), 4),
                    "result": _regions(predicted, file.fps),
                }
            ]
        tasks.append(task)
    write_text(path, json.dumps(tasks, indent=1, ensure_ascii=False) + "\n")
    write_text(path.with_suffix(".xml"), _configure(sorted({one.label for one in intervals})))


def _regions(intervals: Sequence[Named], fps: float) -> list[dict[str, Any]]:
    regions = []
    for number, one in enumerate(intervals, start=1):
        first = round(one.start * fps) + 1
        last = max(first, round(one.end * fps))
        region: dict[str, Any] = {
            "id": f"unscene-{number}",
            "from_name": _CONTROL,
            "to_name": _VIDEO,
            "type": "timelinelabels",
            "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": [one.label]},
        }
        probability = probability_of(one)
        regions.append(region | ({} if probability is None else {"score": round(probability, 4)}))
    return regions


def _configure(names: Sequence[str]) -> str:
    lines = [f"    <Label value={quoteattr(name)}/>" for name in names]
    return "\n".join(
        [
            "<View>",
            f'  <TimelineLabels name="{_CONTROL}" toName="{_VIDEO}">',
            *lines,
            "  </TimelineLabels>",
            f'  <Video name="{_VIDEO}" value="$video" frameRate="$fps" timelineHeight="120"/>',
            "</View>",
            "",
        ]
    )


def read(path: Path, rate: Rate) -> Found:
    """Read tasks.

    A task that names no frame rate takes that of its video. Of several annotations of a task, the
    last counts; predictions only where nobody annotated.

    Raises:
        UnsceneError: it is no export of Label Studio.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UnsceneError(
            f"{path}: is no list of tasks; in Label Studio, export the project as JSON"
        )
    found = Found()
    for number, task in enumerate(tasks, start=1):
        where = f"{path}: task {task.get('id', number)}"
        data = task.get("data", task)
        video = _find_video(data)
        if video is None:
            found.problems.append(f"{where}: names no video; export it as JSON again")
            continue
        fps = _number(data.get("fps")) or rate(video)
        regions = list(_find_regions(task))
        if fps is None and regions:
            found.problems.append(
                f"{where}: has no fps in its data, and {video} is not in the index; add the fps"
            )
            continue
        for region, score in regions:
            _add(found, where, video, fps or 1.0, region, score)
    return found


def _add(
    found: Found, where: str, video: str, fps: float, region: dict[str, Any], score: Any
) -> None:
    for name in region.get("timelinelabels", []):
        for part in region.get("ranges", []):
            first, last = _number(part.get("start")), _number(part.get("end"))
            if first is None or last is None:
                found.problems.append(f"{where}: the range {part} has no start and end")
                continue
            times = round((first - 1) / fps, 6), round(last / fps, 6)
            found.rows.append((where, Interval(video, *times, str(name), _number(score))))


def _find_video(data: dict[str, Any]) -> str | None:
    """The path of a task's video, as local storage or a URL names it."""
    value = data.get("video") or data.get("video_url")
    texts = [value] if value else [v for v in data.values() if isinstance(v, str) and "/" in v]
    if not texts or not isinstance(texts[0], str):
        return None
    url = urlparse(texts[0])
    if url.path.endswith(_LOCAL):
        return parse_qs(url.query).get("d", [None])[0]
    if url.path.startswith("/data/upload/"):  # PROJECT/8f2e1c00-NAME
        return Path(url.path).name.partition("-")[2] or Path(url.path).name
    return texts[0]


def _find_regions(task: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """The values of the regions of a task, and their scores."""
    sets = [one for one in task.get("annotations", []) if not one.get("was_cancelled")]
    for result in (sets or task.get("predictions", []))[-1:]:
        for region in result.get("result", []):
            if region.get("type") == "timelinelabels":
                yield region.get("value", {}), region.get("score")
    for value in task.values():  # JSON-MIN: the regions stand under the control's name
        if isinstance(value, list):
            for region in value:
                if isinstance(region, dict) and "timelinelabels" in region:
                    yield region, region.get("score")


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
