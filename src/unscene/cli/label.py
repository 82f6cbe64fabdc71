"""`unscene label`: learn classes from labels, say how far to trust them and what to label next."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from unscene.cli.index import INDEX
from unscene.errors import UnsceneError, check_at_least
from unscene.files import check_writable, expand_home

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unscene.search.index import Index
    from unscene.search.labels import Label
    from unscene.search.suggest import Suggestion

HELP = "learn classes from labels of moments, and say which moments to label next"


def flags(parser: ArgumentParser) -> None:
    parser.add_argument("index", type=str, help=INDEX)
    parser.add_argument(
        "labels",
        nargs="?",
        type=str | None,
        help="labels to add to those of the index: a CSV with the columns file,start,end,label, or "
        "a file of Label Studio, ELAN, BORIS or WebVTT",
    )
    parser.add_argument(
        "--out", type=str, default="labels.safetensors", help="file for what was learned"
    )
    parser.add_argument(
        "--replace", action="store_true", help="use these labels in place of those of the index"
    )
    parser.add_argument(
        "--background",
        action="store_true",
        help="files with labels are labeled completely: what has no label in them shows none of "
        "the classes",
    )
    parser.add_argument(
        "--suggest", type=int, default=8, help="number of moments to suggest for labeling"
    )
    parser.add_argument(
        "--next",
        type=str | None,
        metavar="FILE",
        help="also write the suggestions as a CSV, to fill in the labels",
    )
    parser.add_argument("--seed", type=int, default=0, help="of cross-validation and suggestions")


def run(values: Namespace) -> None:
    from unscene.search.index import Index

    out = expand_home(values.out)
    _check_replaceable(out)
    check_at_least(0, suggest=values.suggest)
    if values.next is not None and os.path.lexists(expand_home(values.next)):
        raise UnsceneError(f"{values.next}: is there already; name another file with --next")
    index = Index.open(values.index)
    before = len(index.labels())
    added: list[Label] = []
    if values.labels is not None:
        added = index.take_labels(expand_home(values.labels), replace=values.replace)
    elif values.replace:
        raise UnsceneError("--replace: name the file of labels, too")
    labels = index.labels()
    if not labels:
        print("no labels yet: label these moments first, in a CSV with the columns")
        print("file,start,end,label, and type the command again with it")
        _print_suggestions(index, index.suggest(k=values.suggest, seed=values.seed), values.next)
        return
    print(_summarize(labels, added, before, values.labels))
    model = index.label(complete=values.background, seed=values.seed)
    print("\n".join(model.sentences()))
    model.save(out)
    _print_suggestions(index, index.suggest(model, k=values.suggest, seed=values.seed), values.next)
    place = index.store.place if "://" in index.store.place else values.index
    print(f"learned: {out}")
    print(f"name the rest: unscene predict {shlex.quote(place)} --labels {shlex.quote(str(out))}")


def _check_replaceable(out: Path) -> None:
    """An earlier file of this command is replaced, as one labels and learns in turns; no other."""
    check_writable(out)
    if out.exists():
        from unscene.search.label_model import is_label_model

        if not is_label_model(out):
            raise UnsceneError(
                f"{out}: is there, and is no file of learned labels; name another one with --out"
            )


def _summarize(
    labels: Sequence[Label], added: Sequence[Label], before: int, source: str | None
) -> str:
    """Number of labels by class and what was added."""
    from unscene.search.labels import count_labels

    counts = ", ".join(f"{name} {count}" for name, count in count_labels(labels).items())
    files = len({label.path for label in labels})
    plural = "s" if files > 1 else ""
    text = f"labels: {len(labels)} in {files} file{plural} ({counts})"
    if source is not None:
        gone = before + len(added) - len(labels)
        removed = f", {gone} removed" if gone > 0 else ""
        text += f"; {len(added)} new of {source}{removed}"
    return text


def _print_suggestions(index: Index, suggestions: Sequence[Suggestion], path: str | None) -> None:
    from unscene.data.csv_table import write_csv
    from unscene.search.intervals import name_files

    names = name_files(index.files)
    if suggestions:
        print("label next:")
        times = [(f"{one.start:.2f}", f"{one.end:.2f}") for one in suggestions]
        wide = max(len(names[one.path]) for one in suggestions)
        width = max(len(end) for _, end in times)
        for one, (start, end) in zip(suggestions, times, strict=True):
            print(
                f"  {names[one.path].ljust(wide)}  {start.rjust(width)}  {end.rjust(width)}  "
                f"{one.reason}"
            )
    else:
        print("label next: nothing; every window in which something moves has a label")
    if path is not None:
        rows = [
            {"file": names[one.path], "start": round(one.start, 3), "end": round(one.end, 3)}
            for one in suggestions
        ]
        write_csv(expand_home(path), ("file", "start", "end", "label"), rows)
        print(f"to fill in: {expand_home(path)}")
