"""Pictures of an audit: the same clips side by side, as every model sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import PurePath
from typing import Any

import cv2
import numpy as np

from unscene.audit.measures.base import Measured
from unscene.html.pictures import data_uri, film
from unscene.views.picture import Image

Found = Sequence[tuple[str, Measured]]  # models' names, and what one measure found about each
_QUALITY = 80  # JPEG


@dataclass(frozen=True)
class Film:
    """A film in a row of films: which picture of which model, and what stands below it."""

    name: str
    measured: Measured
    caption: str
    alt: str


def where_films(found: Found) -> str:
    """Every clip that is shown: as it is, what moves in it, and where each model looks."""
    rows = []
    for video, shown in _cases(found).items():
        first, entry = shown[0]
        films = [
            Film(f"video-{entry['number']}.png", first[1], "the clip", "the clip"),
            Film(f"moves-{entry['number']}.png", first[1], "what moves", "what moves, lit"),
        ]
        for (model, measured), own in shown:
            films.append(
                Film(
                    f"film-{own['number']}.png",
                    measured,
                    f"{model}: {own['auc']:.2f}",
                    f"where {model} looks, {own['auc']:.2f} on what moves",
                )
            )
        rows.append(_row(title(video, entry), films))
    return "".join(rows)


def adversarial_films(found: Found) -> list[str]:
    """Of every video the clips made to mislead, each as it is and with where each model looks."""
    told = {"static": "frozen", "paste": "with a still thing", "noise": "with a still as noise"}
    cases = []
    for video, shown in _cases(found).items():
        first, entry = shown[0]
        rows = []
        for kind, words in told.items():
            films = [
                Film(f"{kind}-{entry['number']}-clip.png", first[1], "the clip", f"clip {words}")
            ]
            films += [
                Film(
                    f"{kind}-{own['number']}-film.png",
                    measured,
                    model,
                    f"where {model} looks in the clip {words}",
                )
                for (model, measured), own in shown
            ]
            rows.append(_row(f"{title(video, entry)}, {words}", films))
        cases.append("".join(rows))
    return cases


def strips(found: Found) -> str:
    """Filmstrips: frames, what moves and saliency, one above the other."""
    figures = []
    for model, measured in found:
        for entry in measured.details.get("shown", ()):
            picture = measured.pictures.get(f"strip-{entry['number']}.png")
            if picture is None:
                continue
            told = f"{title(entry['video'], entry)}: frames, what moves, where {model} looks"
            figures.append(
                f'<figure class="strip"><img src="{data_uri(lighter(picture))}" '
                f'alt="filmstrip of {escape(told)}"><figcaption>{escape(told)}</figcaption>'
                "</figure>"
            )
    return f'<div class="strips">{"".join(figures)}</div>' if figures else ""


def others(found: Found) -> str:
    """All pictures of a measure that this report knows nothing of."""
    figures = [
        f'<figure class="strip"><img src="{data_uri(lighter(picture))}" '
        f'alt="{escape(f"{name} of {model}")}"><figcaption>{escape(f"{model}: {name}")}'
        "</figcaption></figure>"
        for model, measured in found
        for name, picture in measured.pictures.items()
    ]
    return f'<div class="strips">{"".join(figures)}</div>' if figures else ""


def _cases(found: Found) -> dict[str, list[tuple[tuple[str, Measured], Mapping[str, Any]]]]:
    """By video, which models have pictures of it, and what they say of them."""
    cases: dict[str, list[tuple[tuple[str, Measured], Mapping[str, Any]]]] = {}
    for model, measured in found:
        for entry in measured.details.get("shown", ()) if measured.pictures else ():
            cases.setdefault(entry["video"], []).append(((model, measured), entry))
    return cases


def title(video: str, entry: Mapping[str, Any]) -> str:
    name = PurePath(video).name
    return f"{entry['label']} ({name})" if entry.get("label") else name


def _row(title: str, films: Sequence[Film]) -> str:
    figures = "".join(
        f"<figure>{film(frames_of(one.measured.pictures[one.name]), f'{title}: {one.alt}')}"
        f"<figcaption>{escape(one.caption)}</figcaption></figure>"
        for one in films
        if one.name in one.measured.pictures
    )
    head = f"<h4>{escape(title)}</h4>"
    return f'<article class="case">{head}<div class="films">{figures}</div></article>'


def frames_of(strip: bytes) -> Image:
    """Square frames side by side in a PNG -> uint8 RGB (T, s, s, 3)."""
    image = _decoded(strip)
    side = image.shape[0]
    frames = image[:, : image.shape[1] // side * side, ::-1].reshape(side, -1, side, 3)
    return np.ascontiguousarray(frames.transpose(1, 0, 2, 3))


def lighter(picture: bytes) -> bytes:
    """A PNG as JPEG: photographs are a fifth of the size."""
    written, data = cv2.imencode(".jpg", _decoded(picture), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert written
    return bytes(data.tobytes())


def _decoded(picture: bytes) -> Image:
    image: Any = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"not a picture: {len(picture)} bytes")
    found: Image = image
    return found
