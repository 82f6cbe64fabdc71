"""Clips in a report, next to each other: the same clip as every model sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import PurePath
from typing import Any

import cv2
import numpy as np

from unscene.audit.report.charts import Results, join_charts, score_chart
from unscene.audit.report.words import Words
from unscene.audit.result import Measured
from unscene.html.pictures import data_uri, film
from unscene.views.picture import Image

_QUALITY = 80  # JPEG

HEAT_SCALE = '<p class="heat"><span>low saliency</span><i></i><span>high</span></p>'

# What a model shows of a clip: its name, its result, and the entry of "shown" in its details.
Shown = tuple[str, Measured, Mapping[str, Any]]


@dataclass(frozen=True)
class Film:
    """One clip in a row of clips.

    Attributes:
        picture: name in `Measured.pictures`.
        measured: whose pictures.
        caption: text below.
        alt: what it shows, in words.
    """

    picture: str
    measured: Measured
    caption: str
    alt: str


def shown_clips(results: Results, *keys: str) -> dict[tuple[str, ...], list[Shown]]:
    """The clips that are shown in pictures, for all models that have some.

    Args:
        keys: entries of "shown" that tell clips apart; "video" if left out.
    """
    clips: dict[tuple[str, ...], list[Shown]] = {}
    for _, model, measured in results:
        for entry in measured.details.get("shown", ()) if measured.pictures else ():
            key = tuple(entry[name] for name in keys or ("video",))
            clips.setdefault(key, []).append((model, measured, entry))
    return clips


def film_row(title: str, films: Sequence[Film], text: str = "") -> str:
    """A row of clips under a title, and text below; pictures that a model lacks are skipped."""
    figures = "".join(
        f"<figure>{film(split_film(one.measured.pictures[one.picture]), f'{title}: {one.alt}')}"
        f"<figcaption>{escape(one.caption)}</figcaption></figure>"
        for one in films
        if one.picture in one.measured.pictures
    )
    head = f"<h4>{escape(title)}</h4>"
    foot = f'<p class="note">{escape(text)}</p>' if text else ""
    return f'<article class="case">{head}<div class="films">{figures}</div>{foot}</article>'


def lay_out_cases(title: str, rows: Iterable[str]) -> str:
    """Short rows of clips under a title, side by side where there is room; "" without rows."""
    inside = "".join(rows)
    return f'<h3>{escape(title)}</h3><div class="cases">{inside}</div>' if inside else ""


def picture_strips(pictures: Sequence[tuple[bytes, str, str]]) -> str:
    """Wide pictures below each other: PNG, alternative text and caption of each."""
    figures = "".join(
        f'<figure class="strip"><img src="{data_uri(compress(picture))}" alt="{escape(alt)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for picture, alt, caption in pictures
    )
    return f'<div class="strips">{figures}</div>' if figures else ""


def show_everything(words: Words, results: Results) -> str:
    """A chart of every score and all pictures, for measures without charts of their own."""
    names = dict.fromkeys(name for _, _, one in results for name in one.scores)
    return join_charts(*(score_chart(words, results, name) for name in names)) + picture_strips(
        [
            (picture, f"{name} of {model}", f"{model}: {name}")
            for _, model, measured in results
            for name, picture in measured.pictures.items()
        ]
    )


def clip_title(entry: Mapping[str, Any]) -> str:
    """Name a clip by its class and its file."""
    name = PurePath(entry["video"]).name
    return f"{entry['label']} ({name})" if entry.get("label") else name


def split_film(strip: bytes) -> Image:
    """Square frames side by side in a PNG -> uint8 RGB (T, s, s, 3)."""
    image = _decode(strip)
    side = image.shape[0]
    frames = image[:, : image.shape[1] // side * side, ::-1].reshape(side, -1, side, 3)
    return np.ascontiguousarray(frames.transpose(1, 0, 2, 3))


def compress(picture: bytes) -> bytes:
    """Convert a PNG to JPEG: photographs become five times smaller."""
    written, data = cv2.imencode(".jpg", _decode(picture), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert written
    return bytes(data.tobytes())


def _decode(picture: bytes) -> Image:
    image: Any = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"not a picture: {len(picture)} bytes")
    found: Image = image
    return found
