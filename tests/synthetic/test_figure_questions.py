"""Two motions in two worlds: in one world nothing differs but the motion."""

from __future__ import annotations

import numpy as np
import pytest

from unscene.synthetic.camera import compute_camera
from unscene.synthetic.figure_questions import (
    FINE,
    QUESTION_KINDS,
    FigureQuestion,
    QuestionKind,
    draw_question,
    render_question,
)

FRAMES, SIZE = 9, 48


@pytest.fixture(scope="module")
def drawn() -> dict[QuestionKind, tuple[FigureQuestion, np.ndarray]]:
    found = {}
    for question in QUESTION_KINDS:
        asked = draw_question(question, 0, 0, FRAMES)
        found[question] = asked, render_question(asked, SIZE)
    return found


@pytest.mark.parametrize("question", QUESTION_KINDS)
def test_in_one_world_only_the_motion_differs(
    question: QuestionKind, drawn: dict[QuestionKind, tuple[FigureQuestion, np.ndarray]]
) -> None:
    asked, clips = drawn[question]
    assert clips.shape == (2, 2, FRAMES, SIZE, SIZE, 3)
    for world in range(2):
        one, two = (asked.worlds[motion][world] for motion in range(2))
        assert np.array_equal(one.radius, two.radius)
        assert np.array_equal(one.view, two.view)
        assert np.abs(one.ends - two.ends).max() > 0.05
        # The same noise on the same ground: what no figure hides is the same to the bit.
        equal = (clips[0, world] == clips[1, world]).all(-1)
        assert 0.3 < equal.mean() < 0.9999
    first, second = (asked.worlds[0][world] for world in range(2))
    assert not np.array_equal(first.radius, second.radius)


@pytest.mark.parametrize("question", QUESTION_KINDS)
def test_both_worlds_are_one_place_in_questions_of_bodies_only(
    question: QuestionKind, drawn: dict[QuestionKind, tuple[FigureQuestion, np.ndarray]]
) -> None:
    asked, clips = drawn[question]
    one_place = question == "body"
    assert (asked.scenes[0] == asked.scenes[1]) == one_place
    assert (asked.light[0] == asked.light[1]) == one_place
    still = np.abs(clips[:, 0].astype(int) - clips[:, 1]).max(-1) < 40
    assert (still.mean() > 0.5) == one_place


def test_two_events_change_places_and_leave_the_same_poses() -> None:
    for number in range(3):  # a person, an animal, a machine
        asked = draw_question("order", 0, number, 65)
        for world in range(2):
            first, second = (asked.worlds[motion][world].ends for motion in range(2))
            assert np.abs(first - second).max() > 0.1
            # Averaged over time, neither where limbs are nor how they move tells the order.
            np.testing.assert_allclose(first.mean(0), second.mean(0), atol=0.05)
            flows = [np.diff(ends, axis=0) for ends in (first, second)]
            for sign in (1, -1):
                sums = [(sign * flow).clip(0).sum(0) for flow in flows]
                np.testing.assert_allclose(*sums, atol=0.05)


def test_only_questions_of_cameras_have_one_and_small_figures_are_small() -> None:
    def height(question: QuestionKind) -> float:
        ends = draw_question(question, 0, 0, FRAMES).worlds[0][0].ends[0]
        return float(np.ptp(ends[..., 1]))

    for question in QUESTION_KINDS:
        (first, _), _ = draw_question(question, 0, 0, FRAMES).worlds
        assert (np.abs(compute_camera(first.view)).max() > 1e-3) == (question == "camera")
    assert height("small") < 0.65 * height("order")


def test_similar_motions_take_turns_and_a_seed_gives_its_questions() -> None:
    names = [draw_question("fine", 0, number, 4).motions for number in range(len(FINE))]
    assert names == list(FINE)
    same, again, other = (draw_question("coarse", seed, 3, 4) for seed in (5, 5, 6))
    assert np.array_equal(same.worlds[0][0].ends, again.worlds[0][0].ends)
    assert not np.array_equal(same.worlds[0][0].ends, other.worlds[0][0].ends)


def test_an_arm_is_the_one_that_is_named() -> None:
    """Seen from the front, the left arm (limbs 2 and 3) is on one side in both worlds."""
    number = [names[0] for names in FINE].index("raise the left arm")
    asked = draw_question("fine", 1, number, 9)
    for motion, arm in ((0, "left"), (1, "right")):
        for world in asked.worlds[motion]:
            reach = np.ptp(world.ends[:, :, 1], axis=0).sum(-1)  # how far the end of a limb gets
            assert world.ends[0, :, :, 0].std() < 1
            moves = np.sort(np.argsort(reach)[-2:])
            side = world.ends[0, moves, 1, 0].mean() - world.ends[0].mean((0, 1))[0]
            assert (side > 0) == (arm == "left")


@pytest.mark.parametrize("frames", [1, 2])
def test_clips_of_few_frames(frames: int) -> None:
    assert render_question(draw_question("camera", 0, 1, frames), 32).shape[2] == frames
