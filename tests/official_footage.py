"""UCF101, HMDB51 and Kinetics in their official layouts, eight tiny videos each."""

from __future__ import annotations

import shutil
from pathlib import Path

from unscene.synthetic.generate import MovingScenes, generate

CLASSES = ("PushUps", "YoYo")
KINETICS = "label,youtube_id,time_start,time_end,split\n"


def write_official_sets(root: Path, *, frames: int = 10) -> dict[str, str]:
    """Write the three datasets into `root`; their folders by name."""
    spec = MovingScenes(
        train_videos=8, seen_videos=0, unseen_videos=0, size=32, frames=frames,
        object_size=(8.0, 10.0), speed=(1.0, 2.0),
    )  # fmt: skip
    generate(root / "footage", spec)
    videos = sorted((root / "footage" / "train").glob("*.mp4"))
    _write_ucf101(root / "ucf101", videos)
    _write_hmdb51(root / "hmdb51", videos)
    _write_kinetics(root / "kinetics", videos)
    return {name: str(root / name) for name in ("ucf101", "hmdb51", "kinetics")}


def _write_ucf101(root: Path, videos: list[Path]) -> None:
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 PushUps\n2 YoYo\n")
    names = [f"{CLASSES[i % 2]}/v_{CLASSES[i % 2]}_g0{i}_c01.avi" for i in range(8)]
    for name, video in zip(names, videos, strict=True):
        file = root / "UCF-101" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, file.with_suffix(".mp4"))
    for split in (1, 2, 3):
        train = [f"{name} {1 + i % 2}" for i, name in enumerate(names[:6])]
        (lists / f"trainlist0{split}.txt").write_text("\n".join(train))
        (lists / f"testlist0{split}.txt").write_text("\n".join(names[6:]))


def _write_hmdb51(root: Path, videos: list[Path]) -> None:
    lists = root / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for number, action in enumerate(("clap", "wave")):
        folder = root / action
        folder.mkdir()
        own = [f"take_{i}_{action}.avi" for i in range(4)]
        for name, video in zip(own, videos[number::2], strict=True):
            shutil.copy(video, folder / name)
        for split in (1, 2, 3):
            marks = [f"{name} {1 if i < 3 else 2} " for i, name in enumerate(own)]
            (lists / f"{action}_test_split{split}.txt").write_text("\n".join(marks))


def _write_kinetics(root: Path, videos: list[Path]) -> None:
    folder = root / "train" / "push_up"
    folder.mkdir(parents=True)
    lines = [f"push up,id{i:09d},{i},{i + 10},train" for i in range(8)]
    (root / "train.csv").write_text(KINETICS + "\n".join(lines))
    for i, video in enumerate(videos):
        shutil.copy(video, folder / f"id{i:09d}_{i:06d}_{i + 10:06d}.mp4")
