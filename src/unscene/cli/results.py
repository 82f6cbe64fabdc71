"""`unscene results`: tables and plots from rows."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from unscene.errors import UnsceneError
from unscene.files import check_writable, expand_home, write_text

HELP = "tables and plots of results"


def flags(parser: ArgumentParser) -> None:
    parser.usage = "%(prog)s PATHS ... [flags]"
    parser.add_argument(
        "paths",
        nargs="*",
        type=str,
        help="folders, or .jsonl files, of rows of results; they stand before --metrics",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        type=str,
        default=[],
        help="the columns, all words up to the next flag; without it, all there are",
    )
    parser.add_argument("--markdown", type=str | None, help="also write the tables to this file")
    parser.add_argument("--plot", type=str | None, help="also draw them to this .png file")


def run(values: Namespace) -> None:
    if not values.paths:
        taken = f"; --metrics took {', '.join(values.metrics)}" if values.metrics else ""
        raise UnsceneError(
            f"no PATHS: give folders or .jsonl files of results first{taken}. "
            "Such as: unscene results runs/ --metrics retrieval_r1"
        )
    from unscene.results.tables import check_plot, collect, markdown, plot, tables, text

    page = expand_home(values.markdown) if values.markdown else None
    picture = expand_home(values.plot) if values.plot else None
    if picture:  # before anything is written
        check_plot(picture)
    for file in filter(None, (page, picture)):
        check_writable(file)
    found = tables(collect(map(expand_home, values.paths)), values.metrics)
    print(text(found), end="")
    if page:
        write_text(page, markdown(found))
    if picture:
        plot(found, picture)
