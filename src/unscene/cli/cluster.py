"""`unscene cluster`: what kinds of motion are there, and what is rare?"""

from __future__ import annotations

import sys
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from unscene.cli.index import INDEX
from unscene.files import check_free, expand_home

HELP = "group the motion of an index: what is there, and what is rare"


def flags(parser: ArgumentParser) -> None:
    parser.add_argument("index", type=str, help=INDEX)
    parser.add_argument(
        "--clusters",
        type=int | Literal["auto"],
        default="auto",
        help="number of groups (default: of 2 to 15, that with the largest silhouette)",
    )
    parser.add_argument(
        "--html",
        type=str | None,
        metavar="FILE",
        help="also write a page with filmstrips of typical and rare moments",
    )
    parser.add_argument(
        "--csv", type=str | None, metavar="FILE", help="also write all moments with their group"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")


def run(values: Namespace) -> None:
    from unscene.search import cluster_report
    from unscene.search.index import Index

    for name in ("html", "csv"):
        if values[name]:  # before the work
            check_free(expand_home(values[name]), overwrite=values.overwrite)
    index = Index.open(values.index)
    clusters = index.cluster(values.clusters, seed=values.seed)
    print(cluster_report.format_groups(clusters, index.files), end="")
    if values.csv:
        cluster_report.write_groups(expand_home(values.csv), clusters, index.files)
        print(f"table: {values.csv}")
    if values.html:
        problems = cluster_report.write_page(
            expand_home(values.html), clusters, index.files, encoder=index.about.encoder
        )
        print(f"page: {values.html}")
        for problem in dict.fromkeys(problems):
            print(f"skipped: {problem}", file=sys.stderr)
