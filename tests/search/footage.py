"""Footage that tests index, made on the spot."""

from __future__ import annotations

from pathlib import Path

import media

ENCODER = "hof"  # 16 frames at stride 2: windows of 1.07 s


def make_footage(root: Path) -> Path:
    """Two videos that move to the right, one that moves down, one that is still, one that is bad.

    `long.mp4` first moves to the right and then down, two seconds each.
    """
    right, down = media.pan(50, (64, 96), (2, 0)), media.pan(50, (64, 96), (0, 2))
    for name, frames in {
        "right/a.mp4": right,
        "right/b.mp4": [frame[::-1] for frame in right],
        "down/c.mp4": down,
        "still.mp4": [right[0]] * 40,
        "long.mp4": [*right, *down],
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        media.write(root / name, media.over_scene(frames, seed=3))
    (root / "bad.mp4").write_bytes(b"buy milk\n" * 200)
    return root
