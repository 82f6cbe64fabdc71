"""UCF101, HMDB51 and Kinetics as people have them on disk; the videos are empty files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from unscene.data.catalog import Catalog

UCF_TRAIN = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\nYoYo/v_YoYo_g12_c03.avi 101\r\n"
UCF_TEST = "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\nYoYo/v_YoYo_g01_c02.avi\n"
UCF_VIDEOS = tuple(line.split()[0] for text in (UCF_TRAIN, UCF_TEST) for line in text.splitlines())
ODD = "#20_(Rad)Schlag;_die_&_Bank!_cartwheel_f_cm_np1_le_med_0.avi"
HMDB_VIDEOS = (
    *(f"brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_{i}.avi" for i in range(3)),
    f"cartwheel/{ODD}",
)
HMDB_LISTS = {
    "brush_hair_test_split1.txt": "".join(
        f"{name.split('/')[1]} {mark} \n"
        for name, mark in zip(HMDB_VIDEOS, (1, 2, 0), strict=False)
    ),
    "cartwheel_test_split1.txt": f"{ODD} 1 \n",
    "brush_hair_test_split2.txt": f"{HMDB_VIDEOS[0].split('/')[1]} 2 \n",
}
HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
K_TRAIN = (
    HEADER
    + '"massaging person\'s head",-0_aBcDeF12,5,15,train,0\nyoga,Zz9-_xyz012,120,130,train,1\n'
)
K_VIDEOS = ("-0_aBcDeF12_000005_000015.mp4", "Zz9-_xyz012_000120_000130.mp4")
K_FOLDERS = ("massaging person's head", "yoga")


def touch(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def ucf101(root: Path, lists: str = "ucfTrainTestlist", videos: str = "UCF-101") -> Path:
    touch(root / videos, UCF_VIDEOS)
    write(root / lists / "trainlist01.txt", UCF_TRAIN)
    write(root / lists / "testlist01.txt", UCF_TEST)
    write(root / lists / "trainlist02.txt", UCF_TEST)
    write(root / lists / "classInd.txt", "1 ApplyEyeMakeup\n101 YoYo\n")
    return root


def hmdb51(root: Path, lists: str = "splits", videos: str = "hmdb51_org") -> Path:
    touch(root / videos, HMDB_VIDEOS)
    for name, text in HMDB_LISTS.items():
        write(root / lists / name, text)
    return root


def kinetics(root: Path, table: str = "train.csv", folders: Iterable[str] = K_FOLDERS) -> Path:
    write(root / table, K_TRAIN)
    return touch(root, (f"{f}/{v}" for f, v in zip(folders, K_VIDEOS, strict=True)))


def names(catalog: Catalog) -> list[str]:
    return [Path(video.path).name for video in catalog.videos]
