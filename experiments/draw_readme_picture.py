"""Draw docs/views.png: the views of `unscene` on two real videos, as `unscene views` draws them.

The picture of `unscene views` is wide. This keeps the first video without the row of motion to be
predicted, and every second frame, so that it can be read in the README.

    python experiments/draw_readme_picture.py --videos ../shared/data/ucf101_pool
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from unscene.preview.run import preview
from unscene.views.picture import GAP, TILE

VIDEOS = ("TaiChi/v_TaiChi_g01_c02.avi", "BaseballPitch/v_BaseballPitch_g01_c03.avi")
# Pixels of the picture of `unscene views`, see preview/page.py.
_TOP, _NAME, _ROWS = 120, 44, 4 * (TILE + 6)
_STRIP, _SLICE = 214 + TILE + 16, 214 + TILE + 16 + 8 * (TILE + GAP) - GAP + 16
_FRAMES = (0, 2, 4, 6)  # of the eight that are shown
_LEVELS = (
    4  # colors are rounded to multiples of this, which no eye sees and which makes the file smaller
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=Path, required=True, help="class folders of UCF101")
    parser.add_argument("--out", type=Path, default=Path("docs/views.png"))
    parser.add_argument("--seed", type=int, default=0)
    values = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "videos.csv")
        with listed.open("w", newline="", encoding="utf-8") as file:
            rows = [[(values.videos / name).absolute()] for name in VIDEOS]
            csv.writer(file).writerows([["path"], *rows])
        settings = {"augmentation": "none", "other_scene": 1.0, "frames": 16, "stride": 3}
        page = preview(
            str(listed),
            Path(folder, "views.png"),
            videos=len(VIDEOS),
            method="unscene",
            overrides=settings,
            seed=values.seed,
        )
        drawn = np.asarray(Image.open(page).convert("RGB"))
    drawn = drawn[_TOP + _NAME : _TOP + _NAME + _ROWS + 8]
    frames = [_STRIP + (TILE + GAP) * i for i in _FRAMES]
    parts = [drawn[:, :_STRIP], *(drawn[:, x : x + TILE + GAP] for x in frames)]
    parts += [drawn[:, _SLICE - 16 : _SLICE + TILE + 10]]
    rounded = np.round(np.concatenate(parts, axis=1) / _LEVELS) * _LEVELS
    Image.fromarray(rounded.clip(max=255).astype(np.uint8)).save(values.out, optimize=True)


if __name__ == "__main__":
    main()
