"""`unscene results`: tables and plots from rows."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

HELP = "tables and plots of results"


def flags(parser: ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", type=str, help="folders, or .jsonl files, of rows of results"
    )
    parser.add_argument(
        "--metrics", nargs="+", type=str, default=[], help="the columns (default: all there are)"
    )
    parser.add_argument("--markdown", type=str | None, help="also write the tables to this file")
    parser.add_argument("--plot", type=str | None, help="also draw them to this .png file")


def run(values: Namespace) -> None:
    from unscene.evaluate.results import collect, markdown, plot, tables, text
    from unscene.files import write_text

    found = tables(collect(values.paths), values.metrics)
    print(text(found), end="")
    if values.markdown:
        write_text(Path(values.markdown), markdown(found))
    if values.plot:
        plot(found, Path(values.plot))
