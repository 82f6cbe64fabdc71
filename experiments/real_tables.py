"""The real footage of `../shared/data` as tables: which videos, with which columns."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from trained import DATA

from unscene.data.catalog import Catalog, Video
from unscene.data.listing import open_catalog
from unscene.prepare.plan import make_plan
from unscene.prepare.run import inspect_plan, run_plan
from unscene.prepare.settings import TranscodeSettings

Lit = Literal["original", "prepared", "brightened"]
_FRAMES = 39
LIT: tuple[Lit, ...] = ("original", "prepared", "brightened")


def catalogs(footage: Lit, work: Path) -> dict[str, Catalog]:
    """The tables "all", "arid6-train", "arid6-test", "tabletennis8", and "long": of "all" what has
    frames enough for every method.

    Args:
        footage: the files as they are, or the output of `unscene prepare` in `work`, with or
            without brightening.
    """
    work = work.resolve()  # a CSV's paths are relative to its folder
    work.mkdir(parents=True, exist_ok=True)
    place = DATA if footage == "original" else _prepared(work / footage, footage == "brightened")
    found = {name: open_catalog(_table(name, place, work)) for name in _TABLES}
    return found | {"long": found["all"].exclude(_short)}


def _short(video: Video) -> str | None:
    """Why unscene cannot take 8 frames at stride 4 of it, and see what moves after them."""
    assert video.info is not None
    frames = round(video.duration * video.info.fps)
    return None if frames >= _FRAMES else f"{frames} frames, and {_FRAMES} are needed"


def _prepared(place: Path, brighten: bool) -> Path:
    recipe = TranscodeSettings(short_side=80, brighten=brighten)
    for name in ("arid6", "tabletennis8", "ucf101_pool", "hmdb51_pool"):
        plan = make_plan(DATA / name, place / name, recipe)
        run_plan(plan, inspect_plan(plan, workers=1), workers=1)
    return place


def _arid(place: Path, part: str) -> list[dict[str, str]]:
    """Columns label and scene; in the training part the scene is in the name: Class_scene_take."""
    rows = []
    for path in sorted((place / "arid6" / part).rglob("*.mp4")):
        pieces = path.stem.split("_")
        scene = pieces[1] if len(pieces) == 3 else "elsewhere"
        rows.append({"path": str(path), "label": path.parent.name, "scene": scene})
    return rows


def _tennis(place: Path) -> list[dict[str, str]]:
    """Columns side, hand and stroke, from folders side_hand_stroke_shot."""
    rows = []
    for path in sorted((place / "tabletennis8").glob("*/*.*")):
        side, hand, stroke = path.parent.name.split("_")[:3]
        rows.append(
            {"path": str(path), "label": path.parent.name, "side": side, "hand": hand}
            | {"stroke": stroke}
        )
    return rows


def _all(place: Path) -> list[dict[str, str]]:
    pools = [p for name in ("ucf101_pool", "hmdb51_pool") for p in (place / name).glob("*/*.*")]
    paths = [row["path"] for row in _arid(place, "train") + _tennis(place)]
    return [{"path": path} for path in paths + sorted(map(str, pools))]


_TABLES: dict[str, Callable[[Path], list[dict[str, str]]]] = {
    "all": _all,
    "arid6-train": partial(_arid, part="train"),
    "arid6-test": partial(_arid, part="test"),
    "tabletennis8": _tennis,
}


def _table(name: str, place: Path, work: Path) -> Path:
    """One of the tables above as a CSV, which is DATA."""
    rows, path = _TABLES[name](place), work / f"{place.name}-{name}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path
