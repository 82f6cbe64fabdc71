"""WebVTT: one .vtt for each video. Players show the labels as subtitles; browsers by <track>.

    WEBVTT

    NOTE video: day1/a.mp4

    1 p=0.8700
    00:00:12.500 --> 00:00:14.000
    wave

The probability of a prediction is part of the cue's identifier, which players do not show.

Source: W3C, WebVTT: The Web Video Text Tracks Format, section 4 (syntax) and 6 (parsing).
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from unscene.errors import UnsceneError
from unscene.files import write_text
from unscene.search.formats.rows import Found, Rate, read_text
from unscene.search.intervals import (
    Footage,
    Interval,
    Named,
    format_time,
    parse_time,
    probability_of,
)

SUFFIX = ".vtt"
SEPARATE = True


def write(intervals: Sequence[Named], path: Path, files: Sequence[Footage]) -> None:
    """Write the cues of one video."""
    (file,) = files
    # "-->" may stand neither in a note nor in a cue.
    name = html.escape(file.name, quote=False)
    blocks = ["WEBVTT", f"NOTE video: {name}"]
    for number, one in enumerate(intervals, start=1):
        probability = probability_of(one)
        known = "" if probability is None else f" p={probability:.4f}"
        text = html.escape(" ".join(one.label.split()), quote=False)
        times = f"{format_time(one.start)} --> {format_time(one.end)}"
        blocks.append(f"{number}{known}\n{times}\n{text}")
    write_text(path, "\n\n".join(blocks) + "\n")


def read(path: Path, rate: Rate) -> Found:
    """Read cues. Their video is that of a note "video: ...", or has the name of the .vtt.

    Raises:
        UnsceneError: it is no WebVTT file.
    """
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    if not re.match(r"WEBVTT([ \t\n]|$)", text):
        raise UnsceneError(f"{path}: does not start with WEBVTT, so it is no WebVTT file")
    found, video = Found(), path.stem
    line = 1
    for block in re.split(r"(\n{2,})", text):
        first, line = line, line + block.count("\n")
        if note := re.match(r"NOTE video: (.+)", block):
            video = html.unescape(note[1].strip())
        if "-->" not in block or block.startswith("NOTE"):
            continue
        before, _, rest = block.partition("-->")
        *identifier, start = before.split("\n")
        end, _, label = rest.partition("\n")
        where = f"{path}:{first + len(identifier)}"
        try:
            times = parse_time(start), parse_time(end.split()[0])
        except (ValueError, IndexError):
            found.problems.append(f"{where}: '{start.strip()} --> {end.strip()}' is not two times")
            continue
        known = re.search(r"\bp=([\d.]+)$", identifier[-1]) if identifier else None
        name = html.unescape(re.sub(r"<[^>]*>", "", " ".join(label.split())))
        probability = float(known[1]) if known else None
        found.rows.append((where, Interval(video, *times, name, probability)))
    return found
