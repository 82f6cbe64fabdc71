"""`unscene search`: moments of an index that are most similar to a video."""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from unscene.cli.index import INDEX
from unscene.files import check_free, expand_home

if TYPE_CHECKING:
    from unscene.search.index import Index
    from unscene.search.moments import Moment

HELP = "find the moments of an index that are most like one of a video"


def flags(parser: ArgumentParser) -> None:
    parser.add_argument("index", type=str, help=INDEX)
    parser.add_argument("query", type=str, help="video whose motion is looked for")
    parser.add_argument("--from", dest="start", type=float | None, help="start, in seconds")
    parser.add_argument("--to", dest="end", type=float | None, help="end, in seconds")
    parser.add_argument(
        "--unlike", action="append", type=str, help="video that results should not be like"
    )
    parser.add_argument("-k", "--k", type=int, default=20, help="number of moments")
    parser.add_argument(
        "--where",
        type=str | None,
        help="condition in SQL over file, start, end, motion, still, label, class, such as "
        "\"label = 'run' AND motion > 0.1\"",
    )
    parser.add_argument("--still", action="store_true", help="also windows where nothing moves")
    parser.add_argument(
        "--html", type=str | None, metavar="FILE", help="also write a page that plays the moments"
    )
    parser.add_argument(
        "--csv", type=str | None, metavar="FILE", help="also write the moments as a table"
    )
    parser.add_argument(
        "--clips",
        type=str | None,
        metavar="DIR",
        help="also cut the moments out, as mp4 named by rank, file and times",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")


def run(values: Namespace) -> None:
    from unscene.search.index import Index

    for name in ("html", "csv"):
        if values[name]:  # before the work
            check_free(expand_home(values[name]), overwrite=values.overwrite)
    index = Index.open(values.index)
    moments = index.search(
        values.query,
        start=values.start,
        end=values.end,
        unlike=values.unlike or (),
        k=values.k,
        where=values.where,
        still=values.still,
    )
    rows = [["", "similarity", "from", "to", "motion", "file"]]
    for rank, moment in enumerate(moments, start=1):
        name = index.files[index.find_file(moment.path)].name
        times = [f"{moment.start:.2f}", f"{moment.end:.2f}", f"{moment.motion:.2f}"]
        label = f"  [{moment.label}]" if moment.label else ""
        rows.append([str(rank), f"{moment.similarity:.3f}", *times, name + label])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        *cells, name = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([*cells, row[-1]]))
    if not moments:
        print("no moment: every window is the query itself, still, or ruled out by --where")
    _write_files(values, index, moments)


def _write_files(values: Namespace, index: Index, moments: list[Moment]) -> None:
    """Write what --html, --csv and --clips ask for."""
    from unscene.search import results

    problems: list[str] = []
    if values.csv:
        results.write_moments(expand_home(values.csv), moments, index.files)
        print(f"table: {values.csv}")
    if values.clips:
        written, problems = results.cut_clips(
            expand_home(values.clips), moments, overwrite=values.overwrite
        )
        print(f"clips: {len(written)} in {values.clips}")
    if values.html:
        query = _locate_query(values)
        problems += results.write_page(
            expand_home(values.html),
            moments,
            index.files,
            title=f"{len(moments)} moments like {PurePath(query.path).name}",
            facts=_describe_search(values, index),
            query=query,
        )
        print(f"page: {values.html}")
    for problem in dict.fromkeys(problems):
        print(f"skipped: {problem}", file=sys.stderr)


def _locate_query(values: Namespace) -> Moment:
    """The stretch of the file that was looked for."""
    from unscene.search.moments import Moment
    from unscene.video.probe import probe

    path = str(expand_home(values.query))
    end = probe(path).duration if values.end is None else values.end
    return Moment(path, values.start or 0.0, end)


def _describe_search(values: Namespace, index: Index) -> str:
    """What was searched and how, for the page."""
    chosen = f"{len(index):,} windows of {len(index.files)} files, {index.about.length:.2f} s each"
    parts = [
        f"Searched: {chosen}, by the features of the encoder `{index.about.encoder}`.",
        "Windows in which nothing moves are left out." if not values.still else "",
        f"Only where `{values.where}`." if values.where else "",
        f"Ranked lower what is like {', '.join(values.unlike)}." if values.unlike else "",
        "Similarity is a cosine of features: it ranks moments and is no probability.",
    ]
    return " ".join(part for part in parts if part)
