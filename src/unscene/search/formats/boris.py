"""BORIS: a project with one observation for each video, and a state event for each label.

BORIS opens the .boris, or imports its observations into another project. A state event has two
entries, its start and its stop. The probability of a prediction is the comment of the start.

Source: Friard and Gamba, Methods Ecol. Evol. 7 (2016); the project format 7.0 as BORIS 9 reads it
(project_functions.py: open_project_json; config.py: EMPTY_PROJECT, MEDIA_PJ_EVENTS_FIELDS).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from unscene.errors import UnsceneError
from unscene.files import write_text
from unscene.search.formats.rows import Found, Rate, read_json, round_time
from unscene.search.intervals import Footage, Interval, Named, name_files, probability_of

SUFFIX = ".boris"
SEPARATE = False
_STATE = "State event"


def write(intervals: Sequence[Named], path: Path, files: Sequence[Footage]) -> None:
    """Write a project; media files are named by their absolute paths."""
    known = name_files(files)
    now = datetime.now().isoformat(timespec="seconds")
    names = sorted({one.label for one in intervals})
    project = {
        "time_format": "hh:mm:ss",
        "project_date": now,
        "project_name": path.stem,
        "project_description": "labels of unscene",
        "project_format_version": "7.0",
        "subjects_conf": {},
        "behaviors_conf": {str(i): _describe(name, i) for i, name in enumerate(names)},
        "observations": {
            known[file.path]: _observe(
                file, [one for one in intervals if one.path == file.path], now
            )
            for file in files
        },
        "behavioral_categories": [],
        "behavioral_categories_config": {},
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    write_text(path, json.dumps(project, indent=1, ensure_ascii=False) + "\n")


def _describe(name: str, number: int) -> dict[str, Any]:
    """An entry of the ethogram. Its key is one character: the first ones have 1 to 9."""
    return {
        "type": _STATE,
        "key": str(number + 1) if number < 9 else "",
        "code": name,
        "description": "",
        "color": "",
        "category": "",
        "modifiers": {},
        "excluded": "",
        "coding map": "",
    }


def _observe(file: Footage, intervals: Sequence[Named], now: str) -> dict[str, Any]:
    events: list[list[Any]] = []
    for one in intervals:
        probability = probability_of(one)
        comment = "" if probability is None else f"probability {probability:.4f}"
        for time, text in ((one.start, comment), (one.end, "")):
            events.append([round_time(time), "", one.label, "", text, round(time * file.fps)])
    # BORIS pairs entries in order of time: a stop comes before a start at the same time, which the
    # sort, being stable, keeps.
    events.sort(key=lambda event: event[0])
    return {
        "file": {"1": [file.path]},
        "type": "MEDIA",
        "date": now,
        "description": "",
        "time offset": 0.0,
        "events": events,
        "observation time interval": [0, 0],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "close_behaviors_between_videos": False,
        "media_info": {
            "length": {file.path: round_time(file.duration)},
            "fps": {file.path: file.fps},
            "hasVideo": {file.path: True},
            "hasAudio": {file.path: False},
            "offset": {"1": 0.0},
        },
    }


def read(path: Path, rate: Rate) -> Found:
    """Read the state events of all observations. Point events have no length: they are left out.

    Raises:
        UnsceneError: it is no BORIS project.
    """
    project = read_json(path)
    if not isinstance(project, dict) or not isinstance(project.get("observations"), dict):
        raise UnsceneError(f"{path}: has no observations, so it is no BORIS project")
    states = {
        one.get("code")
        for one in project.get("behaviors_conf", {}).values()
        if str(one.get("type", "")).startswith(_STATE)
    }
    found = Found()
    for name, observation in project["observations"].items():
        where = f"{path}: observation {name!r}"
        media = [file for file in observation.get("file", {}).get("1", []) if file]
        if not media:
            found.notes.append(f"{where}: has no media file, so it was left out")
            continue
        events = sorted(observation.get("events", []), key=lambda event: float(event[0]))
        points = [event for event in events if event[2] not in states]
        if points:
            found.notes.append(
                f"{where}: {len(points)} point events have no length and were left out"
            )
        _pair(
            found,
            where,
            [event for event in events if event[2] in states],
            _Media(media, observation.get("media_info", {}).get("length", {})),
        )
    return found


class _Media:
    """The files of an observation, which BORIS plays one after another."""

    def __init__(self, files: Sequence[str], lengths: dict[str, float]) -> None:
        self.files = files
        self.lengths = [float(lengths.get(file, 0)) for file in files]

    def split(self, start: float, end: float) -> Iterator[tuple[str, float, float]]:
        """The part of a stretch of time in each file."""
        at = 0.0
        for file, length in zip(self.files, self.lengths, strict=True):
            last = file == self.files[-1]
            low, high = max(start, at), end if last else min(end, at + length)
            if high > low:
                yield file, round_time(low - at), round_time(high - at)
            at += length


def _pair(found: Found, where: str, events: Sequence[Sequence[Any]], media: _Media) -> None:
    begun: dict[tuple[str, str, str], Sequence[Any]] = {}
    for event in events:
        subject, code, modifier = (str(cell) for cell in event[1:4])
        start = begun.pop((subject, code, modifier), None)
        if start is None:
            begun[subject, code, modifier] = event
            continue
        known = re.search(r"\bprobability ([\d.]+)", str(start[4]))
        for file, low, high in media.split(float(start[0]), float(event[0])):
            interval = Interval(file, low, high, code, float(known[1]) if known else None)
            found.rows.append((f"{where}, {code!r} at {float(start[0]):g} s", interval))
    for (_, code, _), event in begun.items():
        found.problems.append(
            f"{where}: {code!r} starts at {float(event[0]):g} s and does not stop; in BORIS, fix "
            "unpaired events"
        )
