"""Videos of figures: flow and camera are true, programs are labels, a seed gives its pixels."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unscene.errors import UnsceneError
from unscene.motion.camera import estimate_camera
from unscene.motion.flow import dis_flow
from unscene.synthetic.figure_scenes import (
    RELATIONS,
    FigureScenes,
    get_camera,
    get_flow,
    get_labels,
    get_program,
    get_world,
    render_video,
)
from unscene.synthetic.generate import SPLITS, generate
from unscene.video.clip import Clip

SMALL = FigureScenes(
    train_videos=4, seen_videos=2, unseen_videos=2, size=48, frames=6, scenes=2, programs=4
)
CLEAN = FigureScenes(frames=12, light=(1, 1), noise=0, distractors=0, occluders=0)
GRID = 112


def luma_clip(frames: np.ndarray) -> Clip:
    luma = torch.from_numpy((frames @ [0.299, 0.587, 0.114]).astype(np.uint8))
    chroma = torch.full((len(luma), *(side // 2 for side in luma.shape[1:])), 128).byte()
    return Clip(luma, chroma, chroma, torch.arange(len(luma)) / 15)


def on_figure(flow: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(T-1, G, G): where the flow is not the camera's, so a limb moves."""
    return np.linalg.norm(flow - scene_flow(camera), axis=-1) > 1e-4


def scene_flow(camera: np.ndarray) -> np.ndarray:
    at = (np.arange(GRID) + 0.5) * 2 / GRID - 1
    x, y = np.meshgrid(at, at)
    return np.einsum("tij,hwj->thwi", camera, np.stack([x, y, np.ones_like(x)], -1))


# ---- ground truth ------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 1, 2])  # a person, an animal, a machine
def test_each_frame_is_the_one_before_moved_by_the_true_flow(index: int) -> None:
    frames = render_video(CLEAN, "train", index)[0].astype(np.float32)
    flow = get_flow(CLEAN, "train", index, GRID)
    at = torch.linspace(-1, 1, 2 * GRID + 1)[1::2]
    grid = torch.from_numpy(flow) + torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
    before = torch.from_numpy(frames[:-1]).permute(0, 3, 1, 2)
    warped = F.grid_sample(before, grid, align_corners=False).permute(0, 2, 3, 1).numpy()
    moves = on_figure(flow, get_camera(CLEAN, "train", index))
    off, still = np.abs(frames[1:] - warped).mean(-1), np.abs(frames[1:] - frames[:-1]).mean(-1)
    inside = (grid.abs() < 0.97).all(-1).numpy()
    for where in (moves & inside, ~moves & inside):
        assert np.median(off[where]) < 5
        assert np.median(off[where]) < 0.5 * np.median(still[where])


def test_dis_finds_the_true_flow_in_the_video() -> None:
    spec = replace(CLEAN, height=(0.8, 0.8))
    found_off, lengths = [], []
    for index in range(6):
        flow, camera = get_flow(spec, "train", index, GRID), get_camera(spec, "train", index)
        found = dis_flow(luma_clip(render_video(spec, "train", index)[0]), GRID, "medium")
        error = np.linalg.norm(found.float().numpy() - flow, axis=-1) * GRID / 2
        moves = on_figure(flow, camera)
        assert np.median(error[~moves]) < 0.3  # px
        found_off.append(error[moves])
        lengths.append(np.linalg.norm(flow, axis=-1)[moves] * GRID / 2)
    errors, sizes = np.concatenate(found_off), np.concatenate(lengths)
    assert np.median(sizes) > 1.5
    assert np.median(errors) < 0.35 * np.median(sizes)


def test_the_true_camera_is_what_the_estimate_finds_in_the_hard_footage() -> None:
    spec = FigureScenes(frames=12)
    errors, sizes = [], []
    for index in range(6):
        truth = get_camera(spec, "train", index)
        found = dis_flow(luma_clip(render_video(spec, "train", index)[0]), GRID, "medium")
        camera = estimate_camera(found.float()).flow((GRID, GRID)).numpy()
        errors.append(np.linalg.norm(camera - scene_flow(truth), axis=-1).mean((1, 2)) * GRID / 2)
        sizes.append(np.linalg.norm(scene_flow(truth), axis=-1).mean((1, 2)) * GRID / 2)
    assert np.median(errors) < 0.25  # px
    assert np.median(sizes) > 1


def test_the_camera_does_what_it_is_told() -> None:
    def motion(*camera: str) -> np.ndarray:
        return get_camera(replace(CLEAN, camera=camera), "train", 0)

    assert np.abs(motion()).max() < 1e-12
    pan, zoom, rotation = motion("pan"), motion("zoom"), motion("rotation")
    assert np.ptp(pan, axis=0).max() < 1e-9  # steady
    assert np.abs(pan[..., :2]).max() < 1e-12 < np.abs(pan[..., 2]).min()
    np.testing.assert_allclose(zoom[:, 0, 0], zoom[:, 1, 1])
    assert np.abs(zoom[:, 0, 0]).min() > 1e-3 > np.abs(zoom[:, 0, 1]).max()
    np.testing.assert_allclose(rotation[:, 0, 1], -rotation[:, 1, 0])
    assert np.abs(rotation[:, 0, 1]).min() > 1e-3
    assert np.ptp(motion("shake")[..., 2], axis=0).min() > 1e-2


# ---- programs and relations --------------------------------------------------------------------


def test_a_program_is_the_same_in_all_footage_and_differs_from_the_others() -> None:
    first, again = (get_program(replace(SMALL, programs=n, seed=n), 3) for n in (4, 16))
    for one, other in zip(vars(first).values(), vars(again).values(), strict=True):
        np.testing.assert_array_equal(one, other)
    other = get_program(replace(SMALL, program_seed=1), 3)
    assert not np.array_equal(first.swing, other.swing)
    assert [get_labels(CLEAN, "train", i)["body"] for i in range(3)] == [
        *("person", "animal", "machine"),
    ]


def _pair(relation: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends of the limbs of two people, and of what else there is, seen by a camera at rest."""
    spec = replace(CLEAN, relations=(relation,), bodies=("person",), camera=(), frames=40)
    world = get_world(spec, "train", 0)
    return tuple(world.ends[:, world.owner == body] for body in range(3))  # type: ignore[return-value]


def test_two_figures_approach_or_follow_each_other() -> None:
    for relation in ("approach", "follow"):
        one, other = (ends.mean((1, 2))[:, 0] for ends in _pair(relation)[:2])
        gap = np.abs(other - one)
        if relation == "approach":
            assert gap[-1] < 0.7 * gap[0]
        else:
            assert np.ptp(gap) < 0.35 * gap.mean()
            assert abs(one[-1] - one[0]) > 0.3


def test_mirrored_figures_do_the_same_at_the_same_time() -> None:
    one, other, _ = _pair("mirror")

    def activity(ends: np.ndarray) -> np.ndarray:
        return np.linalg.norm(np.diff(ends, axis=0), axis=-1).mean((1, 2))

    assert np.corrcoef(activity(one), activity(other))[0, 1] > 0.9


def test_a_thing_is_handed_over() -> None:
    one, other, thing = _pair("hand-over")
    at = thing[:, 0].mean(1)

    def reach(ends: np.ndarray, t: int) -> float:
        return float(np.linalg.norm(ends[t, :, 1] - at[t], axis=-1).min())

    assert reach(one, 0) < 1e-6 < 0.1 < reach(other, 0)
    assert reach(other, -1) < 1e-6 < 0.1 < reach(one, -1)


def test_programs_of_one_turn_differ_in_the_relation_only() -> None:
    spec = replace(SMALL, programs=8, relations=RELATIONS)
    assert spec.motions[:5] == (
        *("program-00-approach", "program-00-follow", "program-00-mirror", "program-00-hand-over"),
        "program-01-approach",
    )


# ---- labels and files --------------------------------------------------------------------------


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_correlation_ties_scenes_to_programs_in_training_only(correlation: float) -> None:
    spec = FigureScenes(correlation=correlation, frames=2, programs=4, scenes=4)
    for split in ("train", "seen"):
        rows = [get_labels(spec, split, i) for i in range(400)]  # type: ignore[arg-type]
        tied = np.mean([row["scene"] == i % 4 for i, row in enumerate(rows)])
        share = correlation if split == "train" else 0
        assert tied == pytest.approx(share + (1 - share) / 4, abs=0.08)
    assert {get_labels(spec, "unseen", i)["scene"] for i in range(200)} == set(range(4, 12))


def test_light_and_noise_are_as_asked() -> None:
    dark = render_video(replace(CLEAN, light=(0.4, 0.4)), "train", 0)[0].astype(float)
    bright = render_video(CLEAN, "train", 0)[0].astype(float)
    assert dark.mean() / bright.mean() == pytest.approx(0.4, abs=0.02)
    noisy = render_video(replace(CLEAN, noise=6), "train", 0)[0]
    assert (noisy - bright).std() == pytest.approx(6, abs=0.3)


def test_the_same_spec_gives_the_same_pixels_and_another_seed_others() -> None:
    one, other = (render_video(SMALL, "train", 0)[0] for _ in range(2))
    assert one.tobytes() == other.tobytes()
    for changed in (replace(SMALL, seed=1), replace(SMALL, own_place=True)):
        assert (render_video(changed, "train", 0)[0] != one).any()


def test_files_are_complete_and_hold_the_true_camera(tmp_path: Path) -> None:
    report = generate(tmp_path / "out", SMALL)
    assert report.videos == 8
    for split in SPLITS:
        with (tmp_path / f"out/{split}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {tmp_path / "out" / row["path"] for row in rows} == set(
            (tmp_path / "out" / split).iterdir()
        )
        assert all(row["label"] == row["motion"] for row in rows)
        cameras = json.loads((tmp_path / f"out/{split}.camera.json").read_text())
        np.testing.assert_allclose(
            cameras[f"{split}/00001.mp4"], get_camera(SMALL, split, 1), atol=1e-6
        )
    assert json.loads((tmp_path / "out/spec.json").read_text())["format"].startswith("figures")
    assert generate(tmp_path / "out", SMALL).reused
    with pytest.raises(UnsceneError, match=r"noise = 4\.0 \(not 5\)"):
        generate(tmp_path / "out", replace(SMALL, noise=5))


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("programs", 1, "from 2 to 100"),
        ("bodies", ("person", "bird"), "machine"),
        ("bodies", (), "person"),
        ("relations", ("mirror", "mirror"), "each once"),
        ("camera", ("tilt",), "rotation"),
        ("height", (0.8, 0.4), "smallest, largest"),
        ("light", (0.0, 1.0), "darkest"),
        ("noise", 60, "gray levels"),
        ("distractors", 11, "0 to 10"),
        ("occluders", -1, "0 to 5"),
        ("backgrounds", ("stripes",), "leaves"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(field: str, value: object, remedy: str) -> None:
    with pytest.raises(UnsceneError) as caught:
        FigureScenes(**{field: value})  # type: ignore[arg-type]
    for part in (f"FigureScenes: {field}", repr(value), remedy):
        assert part in str(caught.value)
