"""`unscene search`: moments of an index that are most similar to a video."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from unscene.cli.index import INDEX

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


def run(values: Namespace) -> None:
    from unscene.search.index import Index

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
