"""The moments that a search found -> files: a table, clips, a page that plays them.

    results.csv     rank,file,start,end,similarity,motion,label
    clips/          001_a_12.40-14.07.mp4 ...: rank, file and times of each moment
    page            one HTML file with the clips inside; it opens offline and plays what is in view

The table has the columns that `unscene label` reads: fill in labels and give it back. Files that
went since they were indexed are skipped and reported.
"""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePath

from jinja2 import Environment

from unscene.data.csv_table import write_csv
from unscene.errors import UnsceneError, VideoError
from unscene.files import check_free, write_text
from unscene.html.document import document, make_environment
from unscene.html.pictures import data_uri
from unscene.search.cut import cut_moment, encode_jpeg, read_poster
from unscene.search.intervals import Footage, name_files
from unscene.search.moments import Moment

COLUMNS = ("rank", "file", "start", "end", "similarity", "motion", "label")
_CLIP_SECONDS = 10.0  # of a clip on a page
_CLIP_SIDE = 200  # its short side, px
_NAME = 60  # characters of a file's name in that of a clip


@dataclass(frozen=True)
class Card:
    """A moment as a page shows it.

    Attributes:
        title: name of the file.
        start, end: in seconds.
        clip, poster: data: addresses; None if the file cannot be read.
        note: what else is to be said, such as why there is no clip.
        rank, similarity, motion, label: None where there is none.
    """

    title: str
    start: float
    end: float
    clip: str | None
    poster: str | None
    note: str = ""
    rank: int | None = None
    similarity: float | None = None
    motion: float | None = None
    label: str | None = None


def write_moments(path: Path, moments: Sequence[Moment], videos: Sequence[Footage]) -> None:
    """Write moments as a CSV file; its columns are `COLUMNS`, times are in seconds.

    Args:
        path: replaced if it is there: check before.
        videos: of the index, for their names.
    """
    names = name_files(videos)
    write_csv(
        path,
        COLUMNS,
        (
            {
                "rank": rank,
                "file": names.get(one.path, one.path),
                "start": f"{one.start:.3f}",
                "end": f"{one.end:.3f}",
                "similarity": "" if one.similarity is None else f"{one.similarity:.4f}",
                "motion": f"{one.motion:.4f}",
                "label": one.label or "",
            }
            for rank, one in enumerate(moments, start=1)
        ),
    )


def name_clip(rank: int, moment: Moment) -> str:
    """The name of the clip of a moment: rank, file and times.

    >>> name_clip(3, Moment("/a/my dance?.mp4", 12.4, 14.07))
    '003_my_dance_12.40-14.07.mp4'
    """
    stem = re.sub(r"[^\w.-]+", "_", PurePath(moment.path).stem).strip("._")[:_NAME]
    return f"{rank:03}_{stem or 'video'}_{moment.start:.2f}-{moment.end:.2f}.mp4"


def cut_clips(
    folder: Path, moments: Sequence[Moment], *, overwrite: bool = False, short_side: int = 0
) -> tuple[list[Path], list[str]]:
    """Cut moments out of their files, as mp4 without sound, named as `name_clip` does.

    Args:
        folder: created if needed.
        overwrite: replace clips of the same name; other files stay in any case.
        short_side: of the pictures, see `cut_moment`; 0: as they are.

    Returns:
        The clips that were written, and for each file that could not be read why.

    Raises:
        UnsceneError: a clip is there already (nothing is written then), or none can be written.
    """
    targets = [folder / name_clip(rank, one) for rank, one in enumerate(moments, start=1)]
    if folder.exists() and not folder.is_dir():
        raise UnsceneError(f"{folder}: is a file; --clips takes a folder")
    for target in targets:
        check_free(target, overwrite=overwrite)
    written, problems = [], []
    for target, one in zip(targets, moments, strict=True):
        try:
            cut_moment(one.path, one.start, one.end, target, short_side=short_side, quality=20)
            written.append(target)
        except VideoError as error:
            problems.append(str(error))
    return written, problems


def write_page(
    path: Path,
    moments: Sequence[Moment],
    videos: Sequence[Footage],
    *,
    title: str,
    facts: str,
    query: Moment | None = None,
) -> list[str]:
    """Write a page that plays moments: one HTML file, which needs nothing else.

    Args:
        path: replaced if it is there: check before.
        videos: of the index, for their names.
        title: of the page.
        facts: what was searched and how, one or two sentences.
        query: what was looked for; it is shown above the moments.

    Returns:
        For each moment without a clip, because its file cannot be read, why.
    """
    names = name_files(videos)
    cards = [
        make_card(one, names.get(one.path, one.path), rank)
        for rank, one in enumerate(moments, start=1)
    ]
    asked = make_card(query, PurePath(query.path).name) if query else None
    template = make_templates().get_template("results.html")
    body = template.render(title=title, facts=facts, query=asked, cards=cards)
    write_text(path, document(title, body, style=read_style()))
    return [f"{card.title}: {card.note}" for card in cards if card.clip is None]


def make_card(moment: Moment, title: str, rank: int | None = None) -> Card:
    """Cut a moment for a page; of a long one the first ten seconds."""
    clip = poster = None
    note = ""
    end = min(moment.end, moment.start + _CLIP_SECONDS)
    if end < moment.end:
        note = f"the first {_CLIP_SECONDS:g} s"
    try:
        with tempfile.TemporaryDirectory(prefix="unscene-") as folder:
            target = Path(folder) / "a.mp4"
            cut_moment(moment.path, moment.start, end, target, short_side=_CLIP_SIDE)
            content = base64.b64encode(target.read_bytes()).decode("ascii")
            clip = f"data:video/mp4;base64,{content}"
            poster = data_uri(encode_jpeg(read_poster(target, (end - moment.start) / 2)))
    except VideoError as error:
        clip, note = None, error.reason
    return Card(
        title=title,
        start=moment.start,
        end=moment.end,
        clip=clip,
        poster=poster,
        note=note,
        rank=rank,
        similarity=moment.similarity,
        motion=moment.motion if rank is not None else None,
        label=moment.label,
    )


def make_templates() -> Environment:
    """The templates of this folder, with what they call."""
    environment = make_environment("unscene.search")
    environment.globals["seconds"] = format_seconds
    return environment


def read_style() -> str:
    """The style that pages of moments share, added to that of `unscene.html`."""
    return files("unscene.search").joinpath("templates/moments.css").read_text(encoding="utf-8")


def format_seconds(seconds: float) -> str:
    """Seconds as people read them.

    >>> format_seconds(4.26), format_seconds(64.2), format_seconds(3671.0)
    ('4.3 s', '1:04.2', '1:01:11.0')
    """
    tenths = round(seconds * 10)
    if tenths < 600:
        return f"{tenths / 10:.1f} s"
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{start}:{rest // 10:02}.{rest % 10}"
