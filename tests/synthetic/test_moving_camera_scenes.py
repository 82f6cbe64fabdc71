"""Moving scenes under a moving camera: what is seen follows the known motion of the camera."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unscene.motion.camera import estimate_camera
from unscene.motion.flow import flow_between
from unscene.synthetic.generate import SPLITS, MovingScenes, generate, get_labels, get_truth
from unscene.synthetic.plan import get_camera, render_video

CAMERA = {"pan": 3.0, "zoom": 0.01, "rotation": 1.0, "shake": 0.5}
PLAIN = MovingScenes(frames=14, shapes=("bar", "drop"), textures=("halves",))
SMALL = MovingScenes(3, 1, 1, size=32, frames=14, object_size=(8.0, 12.0), speed=(1.0, 2.0))


def scene_flow(camera: np.ndarray, size: int) -> np.ndarray:
    """The flow of the scene, (T-1, size, size, 2), normalized units."""
    at = (np.arange(size) + 0.5) * 2 / size - 1
    x, y = np.meshgrid(at, at)
    return np.einsum("tij,hwj->thwi", camera, np.stack([x, y, np.ones_like(x)], -1))


@pytest.mark.parametrize("name", [*CAMERA, "all"])
def test_each_frame_is_the_one_before_moved_by_the_true_camera(name: str) -> None:
    much = {"pan": 4.0, "zoom": 0.05, "rotation": 6.0, "shake": 2.0}
    spec = replace(PLAIN, smooth=0.12, **(much if name == "all" else {name: much[name]}))
    for index in (0, 3):
        frames = render_video(spec, "train", index)[0].astype(np.float32)
        flow = scene_flow(get_camera(spec, "train", index), spec.size)
        at = torch.linspace(-1, 1, 2 * spec.size + 1)[1::2]
        grid = torch.from_numpy(flow).float() + torch.stack(
            torch.meshgrid(at, at, indexing="xy"), -1
        )
        before = torch.from_numpy(frames[:-1]).permute(0, 3, 1, 2)
        warped = F.grid_sample(before, grid, align_corners=False).permute(0, 2, 3, 1).numpy()
        inside = (grid.abs() < 0.95).all(-1).numpy()
        off, still = (np.abs(frames[1:] - x).mean(-1)[inside] for x in (warped, frames[:-1]))
        assert np.median(off) < 1.5  # gray levels; most of the frame is scene
        assert np.median(off) < 0.35 * np.median(still)


def displaced(center: np.ndarray) -> np.ndarray:
    """How far a point goes in each step, on the torus of the screen."""
    return (np.diff(center, axis=0) + PLAIN.size / 2) % PLAIN.size - PLAIN.size / 2


def test_the_object_moves_before_the_scene_as_it_does_under_a_fixed_camera() -> None:
    for index in range(8):  # every motion
        fixed, moving = (get_truth(replace(PLAIN, **c), "train", index) for c in ({}, CAMERA))
        size, view = PLAIN.size, moving.view
        back = np.linalg.inv(view[:, :, :2])
        before = displaced(fixed.center)
        # On screen: the camera's motion at the object, and its own, seen through the camera.
        path = (moving.center - moving.shaken) % size
        at = path * 2 / size - 1
        scene = np.einsum("tij,tj->ti", view[:-1], np.c_[at[:-1], np.ones(len(at) - 1)])
        scene = scene + before * 2 / size
        there = np.einsum("tij,tj->ti", back[1:], scene - view[1:, :, 2])
        expected = ((there - at[:-1]) * size / 2 + size / 2) % size - size / 2
        found = displaced(path)
        np.testing.assert_allclose(found, expected, atol=1e-3)
        turned = np.arctan2(view[:, 1, 0], view[:, 0, 0])
        np.testing.assert_allclose(moving.angle + turned, fixed.angle, atol=1e-4)
        enlarged = 1 / np.hypot(view[:, 1, 0], view[:, 0, 0])
        np.testing.assert_allclose(moving.scale, fixed.scale * enlarged, rtol=1e-4)


def test_labels_do_not_depend_on_the_camera_and_a_fixed_one_has_no_motion() -> None:
    for index in range(4):
        moving = replace(PLAIN, **CAMERA)
        assert get_labels(moving, "train", index) == get_labels(PLAIN, "train", index)
    assert not get_camera(PLAIN, "train", 0).any()
    assert not PLAIN.has_camera
    pan = get_camera(replace(PLAIN, pan=3), "train", 0)
    assert np.ptp(pan, axis=0).max() < 1e-9  # steady
    speed = np.linalg.norm(pan[0, :, 2]) * PLAIN.size / 2
    assert 0.9 <= speed <= 3


def test_the_estimate_finds_the_true_camera() -> None:
    spec, errors, sizes = replace(PLAIN, **CAMERA), [], []
    for index in range(8):
        luma = render_video(spec, "train", index)[0] @ np.array([0.299, 0.587, 0.114])
        flow = torch.from_numpy(flow_between(luma.round().astype(np.uint8), "medium"))
        found = estimate_camera(flow).flow((64, 64)).numpy()
        true = scene_flow(get_camera(spec, "train", index), 64)
        errors.append(np.linalg.norm(found - true, axis=-1).mean((1, 2)) * 32)
        sizes.append(np.linalg.norm(true, axis=-1).mean((1, 2)) * 32)
    assert np.median(errors) < 0.2  # px
    assert np.median(sizes) > 1.5


def test_the_true_camera_is_written_where_it_moves(tmp_path: Path) -> None:
    moving = replace(SMALL, pan=2.0)
    generate(tmp_path / "moving", moving)
    generate(tmp_path / "fixed", SMALL)
    for split in SPLITS:
        cameras = json.loads((tmp_path / f"moving/{split}.camera.json").read_text())
        assert len(cameras) == moving.videos(split)
        known = get_camera(moving, split, 0)
        np.testing.assert_allclose(cameras[f"{split}/00000.mp4"], known, atol=1e-6)
    assert not list((tmp_path / "fixed").glob("*.camera.json"))


def test_footage_that_is_older_than_the_settings_of_the_camera_is_reused(tmp_path: Path) -> None:
    generate(tmp_path / "out", SMALL)
    spec = json.loads((tmp_path / "out/spec.json").read_text())
    for name in ("pan", "zoom", "rotation"):
        del spec[name]
    (tmp_path / "out/spec.json").write_text(json.dumps(spec))
    assert generate(tmp_path / "out", SMALL).reused
