"""Groups of motion -> a table in the terminal, a CSV file, a page with filmstrips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unscene.data.csv_table import write_csv
from unscene.errors import VideoError
from unscene.files import write_text
from unscene.html.document import document, percent
from unscene.html.pictures import data_uri
from unscene.search.cluster import Clusters
from unscene.search.cut import encode_jpeg, make_filmstrip
from unscene.search.intervals import Footage, name_files
from unscene.search.moments import Moment
from unscene.search.results import format_seconds, make_templates, read_style

COLUMNS = ("group", "file", "start", "end", "motion", "rarity", "typical")
_PICTURES, _HEIGHT = 5, 120  # of a filmstrip
_APART, _WEAK = 0.5, 0.25  # silhouettes (Kaufman and Rousseeuw, Finding Groups in Data, 1990)
_CAVEAT = (
    "Groups are of motion features. They are no classes: nobody named them, and two groups may "
    "show what is one thing to you."
)


@dataclass(frozen=True)
class Strip:
    """A moment as a filmstrip: a data: address, or None and why there is none."""

    picture: str | None
    title: str
    times: str
    note: str = ""


def format_groups(clusters: Clusters, videos: Sequence[Footage], *, rare: int = 5) -> str:
    """Write groups and rare moments as tables for the terminal."""
    names = name_files(videos)
    total = sum(group.seconds for group in clusters.groups)
    rows = [["group", "moments", "seconds", "of time", "files", "motion", "most typical"]]
    for number, group in enumerate(clusters.groups, start=1):
        rows.append(
            [
                str(number),
                str(len(group.moments)),
                f"{group.seconds:.0f}",
                percent(round(group.seconds / total, 2)),
                f"{group.files} of {clusters.files}",
                f"{group.motion:.2f}",
                _locate(group.typical[0], names),
            ]
        )
    lines = [*_align(rows), "", "What happens rarely, the rarest first:"]
    lines += [f"  {_locate(moment, names)}" for moment in clusters.rare[:rare]]
    return "\n".join([*lines, "", *describe_groups(clusters)]) + "\n"


def describe_groups(clusters: Clusters) -> list[str]:
    """Say what the groups are, and what they are not, in sentences."""
    left_out = int((clusters.assigned < 0).sum())
    still = f"{left_out:,} of {len(clusters.assigned):,} windows show nothing that moves"
    lines = [_CAVEAT, f"{still} and are in no group."]
    if clusters.silhouette is not None:
        apart = "groups touch each other, and another seed or number draws other borders"
        if clusters.silhouette >= _WEAK:
            apart = "groups are partly apart; some windows could be in another one"
        if clusters.silhouette >= _APART:
            apart = "groups are apart"
        chosen = " (the largest of the numbers that were tried)" if clusters.tried else ""
        lines.append(f"Silhouette {clusters.silhouette:.2f}{chosen}: {apart}.")
    for one in clusters.agreement:
        agrees = one.information > one.chance_high + 5e-3  # what is shown as more
        verdict = "above chance" if agrees else "no more than chance"
        lines.append(
            f"Agreement with the {one.names}: adjusted mutual information {one.information:.2f}, "
            f"{verdict} (shuffled {one.names} give {one.chance:.2f}, and 95 % of them at most "
            f"{one.chance_high:.2f}; {one.windows:,} windows)."
        )
    return lines


def write_groups(path: Path, clusters: Clusters, videos: Sequence[Footage]) -> None:
    """Write all moments of all groups as a CSV file; its columns are `COLUMNS`.

    "typical" is 1 for the moment that holds the most typical window of its group, and so on; empty
    beyond those that are listed. "rarity" is that of the rarest window of the moment.
    """
    names = name_files(videos)
    rows = []
    for number, group in enumerate(clusters.groups, start=1):
        places = {one.windows[0]: place for place, one in enumerate(group.typical, start=1)}
        rarity = dict(zip(group.windows, clusters.rarity[group.rows].tolist(), strict=True))
        for moment in group.moments:
            known = [places[window] for window in moment.windows if window in places]
            rows.append(
                {
                    "group": number,
                    "file": names[moment.path],
                    "start": f"{moment.start:.3f}",
                    "end": f"{moment.end:.3f}",
                    "motion": f"{moment.motion:.4f}",
                    "rarity": f"{max(rarity[window] for window in moment.windows):.4f}",
                    "typical": min(known, default=""),
                }
            )
    write_csv(path, COLUMNS, rows)


def write_page(
    path: Path, clusters: Clusters, videos: Sequence[Footage], *, encoder: str, shown: int = 4
) -> list[str]:
    """Write a page with filmstrips of the most typical moments of each group, and of rare ones.

    Args:
        path: replaced if it is there: check before.
        videos: of the index, for their names.
        encoder: whose features were grouped.
        shown: moments per group.

    Returns:
        For each moment without a filmstrip, because its file cannot be read, why.
    """
    names = name_files(videos)
    strips = [
        [make_strip(one, names) for one in group.typical[:shown]] for group in clusters.groups
    ]
    rare = [make_strip(one, names) for one in clusters.rare]
    count = len(clusters.groups)
    title = f"{count} group{'s' * (count != 1)} of motion in {clusters.files} files"
    body = (
        make_templates()
        .get_template("clusters.html")
        .render(
            title=title,
            facts=[*describe_groups(clusters), f"Features: encoder `{encoder}`."],
            groups=list(zip(clusters.groups, strips, strict=True)),
            total=sum(group.seconds for group in clusters.groups),
            rare=rare,
            files=clusters.files,
        )
    )
    write_text(path, document(title, body, style=read_style()))
    every = [one for part in (*strips, rare) for one in part]
    return [f"{one.title}: {one.note}" for one in every if one.picture is None]


def make_strip(moment: Moment, names: dict[str, str]) -> Strip:
    """Show a moment as a filmstrip."""
    title = names.get(moment.path, moment.path)
    times = f"{format_seconds(moment.start)} – {format_seconds(moment.end)}"
    try:
        strip = make_filmstrip(
            moment.path, moment.start, moment.end, count=_PICTURES, height=_HEIGHT
        )
    except VideoError as error:
        return Strip(None, title, times, error.reason)
    return Strip(data_uri(encode_jpeg(strip, 78)), title, times)


def _locate(moment: Moment, names: dict[str, str]) -> str:
    where = f"{names.get(moment.path, moment.path)} {moment.start:.2f}-{moment.end:.2f}"
    return f"{where}  [{moment.label}]" if moment.label else where


def _align(rows: list[list[str]]) -> list[str]:
    """Columns to the right, but the last one."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([*(c.rjust(w) for c, w in zip(row[:-1], widths, strict=False)), row[-1]])
        for row in rows
    ]
