"""`unscene results`: tables and plots of rows.

    unscene results runs/ --metrics retrieval_r1 probe_top1 --markdown table.md --plot plot.png
    unscene results runs/ --name dsm-triplet="DSM (Triplet)" --latex table.tex
    unscene results runs/ --against hof+mbh

Tables are printed, and written to files where flags ask for it. Nothing is measured here: rows come
from `unscene evaluate --out`, `unscene demo` and `unscene reproduce`.
"""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from unscene.errors import UnsceneError
from unscene.files import check_free, expand_home, write_text

HELP = "tables and plots of results"


def flags(parser: ArgumentParser) -> None:
    parser.usage = "%(prog)s PATHS ... [flags]"
    parser.add_argument(
        "paths",
        nargs="*",
        type=str,
        help="folders, or .jsonl or .jsonl.gz files, of rows; they come before --metrics",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        type=str,
        default=[],
        help="the columns, all words up to the next flag; without it, all metrics there are",
    )
    parser.add_argument(
        "--name",
        action="append",
        type=str,
        default=[],
        metavar="RUN=NAME",
        help="show a run under another name; RUN is a method or line as shown, or the id of a run "
        "(its beginning is enough); may be repeated",
    )
    parser.add_argument(
        "--against",
        type=str | None,
        metavar="RUN",
        help="also show how much every method differs from this one, with the interval of pairs on "
        "the same test videos; RUN as for --name",
    )
    parser.add_argument("--markdown", type=str | None, help="also write the tables to this file")
    parser.add_argument(
        "--latex", type=str | None, help="also write them to this file, for \\input with booktabs"
    )
    parser.add_argument(
        "--plot",
        type=str | None,
        help="also draw them to this .png file; many tables take more: NAME-2.png ...",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files of tables and plots"
    )


def run(values: Namespace) -> None:
    if not values.paths:
        taken = f"; --metrics took {', '.join(values.metrics)}" if values.metrics else ""
        raise UnsceneError(
            f"no PATHS: give folders or .jsonl files of results first{taken}. "
            "Such as: unscene results runs/ --metrics retrieval_r1"
        )
    names = dict(map(_split_name, values.name))
    from unscene.results import plots, tables

    texts = {"markdown": tables.format_markdown, "latex": tables.format_latex}
    files = {name: expand_home(values[name]) for name in (*texts, "plot") if values[name]}
    if "plot" in files:  # before anything is written
        plots.check_plot_path(files["plot"])
        second = files["plot"].with_stem(f"{files['plot'].stem}-2")
        check_free(second, overwrite=values.overwrite)
    for file in files.values():
        check_free(file, overwrite=values.overwrite)
    rows = tables.collect_rows(map(expand_home, values.paths))
    found = tables.rename_lines(tables.make_tables(rows, values.metrics), names)
    reasons: dict[str, str] = {}
    if values.against:
        from unscene.results.paired import compare_tables

        differences, reasons = compare_tables(found, values.against)
        found += differences
    print(tables.format_text(found), end="")
    for reason in dict.fromkeys(reasons.values()):
        lines = ", ".join(name for name, why in reasons.items() if why == reason)
        print(f"\nnot compared with {values.against}: {lines} ({reason})")
    if untrained := sorted({line for table in found for line in table.baselines}):
        print(f"\n{'; '.join(untrained)}: untrained network of the same architecture")
    if described := sorted({line for table in found for line in table.descriptors}):
        print(f"\n{'; '.join(described)}: no training; on clips of their own, see guide.md")
    for name, write in texts.items():
        if name in files:
            write_text(files[name], write(found))
    if "plot" in files:
        drawn = plots.draw_tables(found, files["plot"])
        if len(drawn) > 1:
            print(f"\nplots: {drawn[0]} to {drawn[-1].name}")


def _split_name(text: str) -> tuple[str, str]:
    run, _, name = text.partition("=")
    if not run or not name:
        raise UnsceneError(f'--name {text}: write RUN=NAME, such as --name moco="MoCo v2"')
    return run, name
