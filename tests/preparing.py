"""What the tests of `unscene prepare` share."""

from __future__ import annotations

import csv
from pathlib import Path

from unscene.prepare import run as prepare
from unscene.prepare.plan import make_plan
from unscene.prepare.settings import TranscodeSettings

SETTINGS = TranscodeSettings(short_side=32)
BAD = {"bf": "2", "g": "30"}


def go(
    data: object, out: Path, settings: TranscodeSettings = SETTINGS, **options: object
) -> prepare.RunSummary:
    plan = make_plan(str(data), out, settings)
    found = prepare.inspect_plan(plan, workers=0)
    return prepare.run_plan(plan, found, workers=0, **options)  # type: ignore[arg-type]


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {
        path.relative_to(root).as_posix(): (
            *(path.stat().st_ino, path.stat().st_mtime_ns),
            path.read_bytes(),
        )
        for path in files
    }


def videos(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*.mp4"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
