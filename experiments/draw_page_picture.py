"""Draw docs/explore.jpg: the page of `unscene explore` on generated footage, in Chromium.

python experiments/draw_page_picture.py
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from unscene.data.listing import open_catalog
from unscene.search.build import build_index
from unscene.search.index import Index
from unscene.search.labels import Label
from unscene.synthetic.figure_scenes import FigureScenes
from unscene.synthetic.generate import generate

HERE = Path(__file__).resolve().parent
NAMES = {"program-00": "step", "program-02": "stride", "program-11": "bow"}
EACH = 2  # labels of each


def prepare(work: Path) -> Path:
    """An index of people that move, with a few labels."""
    spec = FigureScenes(
        train_videos=48, seen_videos=0, unseen_videos=0, size=192, frames=100, fps=25, programs=12,
        bodies=("person",), correlation=0.0, height=(0.6, 0.85), camera=(), distractors=0,
        occluders=0, light=(0.85, 1.0), noise=0.0, own_place=True, seed=3,
    )  # fmt: skip
    made = generate(work / "figures", spec)
    place = work / "footage"
    build_index(made.train, place)
    index = Index.open(place)
    if not index.labels():
        given: dict[str, int] = {}
        for video in open_catalog(made.train).videos:
            name = NAMES.get(video.value("motion"))
            if name and given.get(name, 0) < EACH:
                given[name] = given.get(name, 0) + 1
                index.add_labels([Label(video.path, 0.0, video.duration, name)])
    return place


def draw(place: Path, out: Path) -> None:
    """Open the page, search by its first moment, and take a picture."""
    command = [sys.executable, "-m", "unscene", "explore", str(place), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split(": ", 1)[1].split()[0]
        try:
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path="/usr/bin/chromium")
                page = browser.new_page(viewport={"width": 1360, "height": 760})
                for _ in range(3):  # the first searches load what is imported late
                    page.goto(address)
                    page.locator(".card-main").first.click()
                    page.get_by_text("nearest moments, found in").wait_for(timeout=60_000)
                    page.wait_for_timeout(4000)
                picture = Image.open(io.BytesIO(page.screenshot()))
                browser.close()
        finally:
            server.terminate()
    picture.convert("RGB").save(out, quality=85, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("runs", "page-picture"))
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "explore.jpg")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    draw(prepare(args.work), args.out)


if __name__ == "__main__":
    main()
