"""Moving scenes as they are drawn: the motion is as labeled, and nothing else moves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from unscene.synthetic.draw import BACKGROUNDS, draw_background, luma
from unscene.synthetic.generate import (
    MOTIONS,
    MovingScenes,
    get_labels,
    get_truth,
    render_video,
)
from unscene.synthetic.plan import ZOOM

SMALL = MovingScenes(train_videos=16, seen_videos=8, unseen_videos=8, frames=14, scenes=4)


# ---- motion ------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(16))
def test_truth_moves_as_labelled_in_every_frame(index: int) -> None:
    spec = MovingScenes()
    labels, truth = get_labels(spec, "train", index), get_truth(spec, "train", index)
    speed, rim = labels["speed"], labels["speed"] / (labels["size"] / 2)
    step = (np.diff(truth.center, axis=0) + 32) % 64 - 32
    turn, growth = np.diff(truth.angle), np.diff(np.log(truth.scale))
    dx, dy, spin, zoom = MOTIONS[labels["motion"]]
    along = step @ np.array([dx, dy])
    assert np.hypot(*step.T) == pytest.approx(speed * abs(dx + dy), abs=1e-4)
    assert (along >= 0.97 * speed * abs(dx + dy) - 1e-4).all()
    assert turn == pytest.approx(spin * rim, abs=1e-4)
    jumps = growth * zoom < 0  # the saw-tooth starts again
    assert growth[~jumps] == pytest.approx(0.2 * zoom * rim, abs=1e-4)
    assert jumps.mean() < 0.2
    assert truth.scale.min() >= ZOOM[0] - 1e-5
    assert truth.scale.max() <= ZOOM[1] + 1e-5


@pytest.mark.parametrize("frame", [0, 20])
def test_a_single_frame_says_nothing_about_the_motion(frame: int) -> None:
    """Position, angle and size have the same distribution in all classes, at any moment."""
    spec, by_motion = MovingScenes(frames=21), {name: [] for name in MOTIONS}
    for i in range(2400):
        truth = get_truth(spec, "train", i)
        x, y = truth.center[frame] / spec.size
        turn = truth.angle[frame] / (2 * np.pi) % 1
        scale = np.log(truth.scale[frame] / ZOOM[0]) / np.log(ZOOM[1] / ZOOM[0])
        by_motion[spec.motions[i % 8]].append((x, y, turn, scale))
    for drawn in by_motion.values():  # 300 each: every column is uniform over 0..1
        quantiles = np.quantile(np.array(drawn), (0.25, 0.5, 0.75), axis=0)
        assert np.abs(quantiles - [[0.25], [0.5], [0.75]]).max() < 0.11


@pytest.mark.parametrize("index", range(8))
def test_pixels_change_where_the_object_is_and_nowhere_else(index: int) -> None:
    spec = MovingScenes(frames=12)
    frames, labels = render_video(spec, "train", index)
    truth = get_truth(spec, "train", index)
    y, x = np.mgrid[:64, :64] + 0.5
    for t in range(11):
        near = np.zeros((64, 64), bool)
        for at in (t, t + 1):
            dx = (x - truth.center[at, 0] + 32) % 64 - 32
            dy = (y - truth.center[at, 1] + 32) % 64 - 32
            near |= np.hypot(dx, dy) < 0.7 * truth.scale[at] * labels["size"] + 1.5
        change = np.abs(frames[t + 1].astype(int) - frames[t]).max(-1)
        assert change[near].max() > 8
        assert change[~near].max(initial=0) == 0
    assert (np.ptp(frames, axis=0).max(-1) > 60).sum() >= 20


def ring(frames: np.ndarray, truth, labels) -> np.ndarray:
    """Brightness round the object's center in the object's own coordinates: (T, samples)."""
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    out = []
    for frame, center, angle, scale in zip(
        frames, truth.center, truth.angle, truth.scale, strict=True
    ):
        r = 0.3 * scale * labels["size"]
        xy = center + r * np.stack([np.cos(turns + angle), np.sin(turns + angle)], -1)
        i = np.floor(xy).astype(int) % frame.shape[0]
        out.append(luma(frame[i[:, 1], i[:, 0]] / 255.0))
    return np.array(out)


def test_the_drawn_object_turns_and_grows_as_the_truth_says() -> None:
    """Read back in its own coordinates the object is still; read back mirrored it is not."""
    spec = MovingScenes(object_size=(32, 32), speed=(2, 2))
    for index in range(4, 8):
        (frames, labels), truth = (
            render_video(spec, "seen", index),
            get_truth(spec, "seen", index),
        )
        still = ring(frames, truth, labels)
        wrong = ring(frames, truth._replace(angle=-truth.angle, scale=1.2 / truth.scale), labels)
        steady = np.median(np.corrcoef(still)[0])
        assert steady > 0.8, labels
        if labels["motion"].endswith("clockwise"):
            assert np.median(np.corrcoef(wrong)[0]) < steady - 0.2


# ---- scenes ------------------------------------------------------------------------------------


def test_scenes_differ_more_between_than_within() -> None:
    spec = MovingScenes(frames=2, correlation=0)
    colors: dict[int, list[np.ndarray]] = {}
    for i in range(120):
        frames, labels = render_video(spec, "seen", i)
        colors.setdefault(labels["scene"], []).append(frames[0].reshape(-1, 3).mean(0))
    means = np.array([np.mean(c, 0) for c in colors.values()])
    within = np.mean([np.std(c, 0).mean() for c in colors.values()])
    assert means.std(0).mean() > 2 * within


def test_backgrounds_keep_to_the_middle_of_the_brightness_range() -> None:
    for scene in range(len(BACKGROUNDS)):
        light = luma(draw_background(0, scene, 64, 0.35) / 255.0)
        assert np.quantile(light, 0.01) > 0.2
        assert np.quantile(light, 0.99) < 0.65


def test_videos_of_one_scene_are_different_pieces_of_it() -> None:
    spec = MovingScenes(frames=2, scenes=1)
    first, second = (render_video(spec, "train", i)[0][0].astype(int) for i in (0, 8))
    assert np.abs(first - second).mean() > 5


def test_a_fixed_camera_shows_the_same_piece_and_one_palette_the_same_colours() -> None:
    fixed = MovingScenes(frames=2, scenes=2, fixed_camera=True, motions=("left",))
    first, second = (render_video(fixed, "train", i)[0][0].astype(float) for i in (0, 1))
    # But for the objects and the light, which differs by up to 7 % either way.
    assert np.median(np.abs(first / first.mean() - second / second.mean())) < 0.02
    for same, sign in ((True, -1), (False, 1)):
        means = [draw_background(0, i, 64, 0.35, BACKGROUNDS, same).mean((0, 1)) for i in range(4)]
        assert (np.std(means, axis=0).mean() - 12) * sign > 0


def test_shake_moves_the_background_and_keeps_its_measure() -> None:
    spec = MovingScenes(frames=40, shake=1.5, object_size=(12.0, 18.0))
    frames, _ = render_video(spec, "train", 4)
    camera = np.concatenate([get_truth(spec, "train", i).shaken for i in range(40)])
    assert camera.std() == pytest.approx(1.5, rel=0.1)
    assert np.abs(camera).max() <= 4.5
    still, _ = render_video(replace(spec, shake=0), "train", 4)
    assert (np.diff(still.astype(int), axis=0) != 0).mean() < 0.2
    assert (np.diff(frames.astype(int), axis=0) != 0).mean() > 0.6


def test_the_distractor_stands_still() -> None:
    plain = render_video(SMALL, "train", 0)[0].astype(int)
    two = render_video(replace(SMALL, distractor=True), "train", 0)[0].astype(int)
    extra = np.abs(two - plain).max(-1) > 20  # the same video otherwise
    assert extra.any(axis=(1, 2)).all()
    always = extra.all(0)
    assert always.sum() > 0.6 * extra[0].sum()


def test_with_a_place_of_its_own_no_two_videos_of_a_scene_look_alike() -> None:
    shared = MovingScenes(frames=2, scenes=1, fixed_camera=True, motions=("left",))

    def apart(spec: MovingScenes) -> float:
        """Median distance of neighboring videos, in levels: the object covers less than half."""
        frames = [render_video(spec, "train", i)[0][0].astype(int) for i in range(8)]
        return float(np.median([np.median(np.abs(a - b)) for a, b in pairwise(frames)]))

    own = replace(shared, own_place=True)
    assert apart(own) > 3 * apart(shared)
    np.testing.assert_array_equal(*(render_video(own, "train", 3)[0] for _ in range(2)))
