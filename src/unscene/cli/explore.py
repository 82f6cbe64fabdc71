"""`unscene explore`: a page in the browser to watch, find, name and correct moments."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

HELP = "look at an index in the browser: watch, search, label, correct, export"


def flags(parser: ArgumentParser) -> None:
    """Add the flags."""
    parser.usage = "%(prog)s INDEX [flags]"
    parser.add_argument("index", type=str, help="folder of the index")
    parser.add_argument("--port", type=int, default=8321, help="port of the page; 0: any free one")
    parser.add_argument(
        "--host",
        type=str,
        default="127.0.0.1",
        help="address to serve at; others than this machine's own are served with a token only",
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address, open nothing")


def run(values: Namespace) -> int:
    from unscene.imports import import_extra

    for name in ("fastapi", "uvicorn", "python_multipart"):
        import_extra(name, "find", "the page")
    from unscene.explore.serve import explore

    explore(values.index, port=values.port, host=values.host, browser=not values.no_browser)
    return 0
