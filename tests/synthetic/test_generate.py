"""Moving scenes: labels are true, balanced and correlated as requested, and files are complete."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from unscene.errors import UnsceneError
from unscene.synthetic.draw import SHAPES, TEXTURES
from unscene.synthetic.generate import (
    MOTIONS,
    SPLITS,
    MovingScenes,
    encode_video,
    generate,
    get_labels,
    render_video,
)

SMALL = MovingScenes(train_videos=16, seen_videos=8, unseen_videos=8, frames=14, scenes=4)


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "small"
    generate(out, SMALL)
    return out


# ---- labels ------------------------------------------------------------------------------------


def test_every_motion_has_the_same_count_in_every_split(footage: Path) -> None:
    for split in SPLITS:
        motions = [row["motion"] for row in rows(footage / f"{split}.csv")]
        each = SMALL.videos(split) // len(MOTIONS)
        assert {name: motions.count(name) for name in MOTIONS} == dict.fromkeys(MOTIONS, each)


def test_the_csv_has_one_row_per_file_and_label_is_the_motion(footage: Path) -> None:
    for split in SPLITS:
        table = rows(footage / f"{split}.csv")
        assert all(row["label"] == row["motion"] for row in table)
        listed = {footage / row["path"] for row in table}
        assert listed == set((footage / split).iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 1.0])
def test_correlation_is_the_share_of_tied_videos(correlation: float) -> None:
    spec = MovingScenes(correlation=correlation, frames=2)
    labels = [get_labels(spec, "train", i) for i in range(2000)]
    tied = [row["scene"] == spec.motions.index(row["motion"]) % spec.scenes for row in labels]
    expected = correlation + (1 - correlation) / spec.scenes
    assert np.mean(tied) == pytest.approx(expected, abs=0 if correlation == 1 else 0.03)
    assert {row["scene"] for row in labels} == set(range(spec.scenes))


@pytest.mark.parametrize("split", ["seen", "unseen"])
def test_in_test_splits_the_scene_says_nothing_about_the_motion(split: str) -> None:
    spec = MovingScenes(correlation=1.0, frames=2)
    labels = [get_labels(spec, split, i) for i in range(3200)]
    table = np.zeros((8, 8))
    for row in labels:
        table[spec.motions.index(row["motion"]), row["scene"] % 8] += 1
    assert np.abs(table / 50 - 1).max() < 0.5  # 50 each; 0.5 is 3.8 standard deviations
    scenes = {row["scene"] for row in labels}
    assert scenes == (set(range(8)) if split == "seen" else set(range(8, 16)))


def test_appearance_is_drawn_independently_of_the_motion() -> None:
    spec = MovingScenes(frames=2)
    labels = [get_labels(spec, "train", i) for i in range(3200)]
    assert {row["shape"] for row in labels} == set(SHAPES)
    assert {row["texture"] for row in labels} == set(TEXTURES)
    for name in MOTIONS:
        mine = [row for row in labels if row["motion"] == name]
        assert np.mean([row["size"] for row in mine]) == pytest.approx(25, abs=0.7)
        assert np.mean([row["speed"] for row in mine]) == pytest.approx(3, abs=0.1)
        for shape in SHAPES:
            assert sum(row["shape"] == shape for row in mine) == pytest.approx(400 / 6, abs=30)


# ---- files -------------------------------------------------------------------------------------


def test_files_decode_to_what_was_drawn(footage: Path) -> None:
    for split in SPLITS:
        drawn, _ = render_video(SMALL, split, 3)
        got = decode(footage / split / "00003.mp4")
        assert got.shape == drawn.shape == (14, 64, 64, 3)
        assert np.abs(got.astype(int) - drawn).mean() < 6


def test_the_stream_is_h264_with_regular_key_frames_and_no_b_frames(tmp_path: Path) -> None:
    encode_video(tmp_path / "x.mp4", render_video(MovingScenes(), "train", 0)[0], fps=25)
    with av.open(str(tmp_path / "x.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 25
        kinds = [PictureType(frame.pict_type).name for frame in container.decode(stream)]
    assert kinds == ["I" if t % 12 == 0 else "P" for t in range(40)]


@pytest.mark.slow
def test_the_same_spec_gives_the_same_footage_with_any_number_of_workers(
    footage: Path, tmp_path: Path
) -> None:
    calls: list[tuple[int, int]] = []
    generate(tmp_path / "b", SMALL, workers=3, progress=lambda *at: calls.append(at))
    assert calls == [(i + 1, 32) for i in range(32)]
    for split in SPLITS:
        name = f"{split}.csv"
        assert (tmp_path / "b" / name).read_bytes() == (footage / name).read_bytes()
        for path in sorted((footage / split).iterdir()):
            assert (decode(path) == decode(tmp_path / "b" / split / path.name)).all()


def test_splits_videos_and_seeds_differ() -> None:
    first = render_video(SMALL, "train", 0)[0]
    for other in (
        render_video(SMALL, "seen", 0)[0],
        render_video(SMALL, "train", 8)[0],
        render_video(replace(SMALL, seed=1), "train", 0)[0],
    ):
        assert (first != other).any()


def test_complete_footage_is_reused(footage: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in footage.rglob("*")}
    report = generate(footage, SMALL)
    assert report.reused
    assert report.videos == 32
    assert report.train == footage / "train.csv"
    assert {path: path.stat().st_mtime_ns for path in footage.rglob("*")} == before


def test_an_interrupted_run_goes_on_and_leaves_no_temporary_files(tmp_path: Path) -> None:
    spec = replace(SMALL, train_videos=8, seen_videos=1, unseen_videos=0)

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "out", spec, progress=stop)
    assert not (tmp_path / "out" / "spec.json").exists()
    with pytest.raises(UnsceneError, match="describes other footage"):
        generate(tmp_path / "out", replace(spec, seed=5))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/train").iterdir()}
    assert not generate(tmp_path / "out", spec).reused
    assert kept.items() <= {p: p.stat().st_mtime_ns for p in kept}.items()
    found = sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file())
    videos = [f"{i:05d}.mp4" for i in range(8)] + ["00000.mp4"]
    assert found == sorted([*videos, "seen.csv", "spec.json", "train.csv", "unseen.csv"])


def test_missing_videos_are_made_again(tmp_path: Path) -> None:
    spec = replace(SMALL, train_videos=2, seen_videos=0, unseen_videos=0)
    generate(tmp_path / "out", spec)
    (tmp_path / "out/train/00001.mp4").unlink()
    assert not generate(tmp_path / "out", spec).reused
    assert (tmp_path / "out/train/00001.mp4").is_file()
    assert generate(tmp_path / "out", spec).reused


def test_another_spec_or_somebody_elses_folder_is_left_alone(footage: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsceneError, match=r"seed = 0 \(not 3\).*choose another folder"):
        generate(footage, replace(SMALL, seed=3))
    (tmp_path / "holiday.mp4").write_bytes(b"mine")
    with pytest.raises(UnsceneError, match="contains other files; choose a new or empty folder"):
        generate(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.mp4"]


def test_spec_json_says_what_was_made(footage: Path) -> None:
    spec = json.loads((footage / "spec.json").read_text())
    assert spec.pop("format").startswith("moving scenes")
    assert MovingScenes(**{**spec, "motions": tuple(spec["motions"])}).scenes == SMALL.scenes


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("train_videos", 0, "at least 1"),
        ("seen_videos", -1, "negative"),
        ("unseen_videos", -1, "negative"),
        ("size", 63, "even number of px"),
        ("frames", 1, "at least 2"),
        ("fps", 29.97, "whole number"),
        ("motions", ("left", "jump"), "counterclockwise"),
        ("motions", (), "at least one"),
        ("motions", ("left", "left"), "only once"),
        ("scenes", 0, "at least 1"),
        ("unseen_scenes", 0, "at least 1"),
        ("correlation", 1.5, "from 0"),
        ("correlation", float("nan"), "from 0"),
        ("object_size", (18, 12), "smallest, largest"),
        ("object_size", (12, 40), "32 px"),
        ("speed", (1, 9), "raise object_size"),
        ("shake", 20, "from 0 to 8 px"),
        ("pan", -1, "from 0 to 8 px/frame"),
        ("zoom", 0.5, "from 0 to 0.0208"),
        ("rotation", 20, "from 0 to 10 degrees"),
        ("smooth", 0, "0.05"),
        ("seed", -1, "negative"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(field: str, value: object, remedy: str) -> None:
    with pytest.raises(UnsceneError) as caught:
        MovingScenes(**{field: value})
    for part in (field, repr(value), remedy):
        assert part in str(caught.value)


def test_workers_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(UnsceneError, match="workers = 0"):
        generate(tmp_path / "out", SMALL, workers=0)
