"""Camera motion: known cameras are found beside objects that move on their own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unscene.motion.camera import (
    CameraMotion,
    Model,
    estimate_camera,
    estimate_cameras,
    register_frames,
    stabilize_flow,
    stabilize_vectors,
)
from unscene.video.motion_vectors import Motion, MotionBatch

PAIRS, GRID = 24, 56
PIXEL = 2 / 112  # of a frame 112 px wide


def cameras(generator: torch.Generator, aspect: float = 1.0) -> Tensor:
    """Similarities in pixels: shift up to some 8 px of 112, zoom and rotation of some 3 %."""
    tx, ty, zoom, turn = (
        torch.randn(4, PAIRS, generator=generator) * torch.tensor([0.08, 0.08, 0.03, 0.03])[:, None]
    )
    # Normalized x is shorter than y by the aspect.
    cells = [zoom, -turn / aspect, tx, turn * aspect, zoom, ty]
    return torch.stack(cells, -1).view(-1, 2, 3)


def seen_with_an_object(matrix: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """The camera's flow with noise, and a square of `share` of the picture that moves otherwise."""
    flow = CameraMotion(matrix, torch.ones(PAIRS)).flow((GRID, GRID))
    flow = flow + 0.2 * PIXEL * torch.randn(flow.shape, generator=generator)
    side = round(GRID * share**0.5)
    own = 0.15 * torch.randn(PAIRS, 1, 1, 2, generator=generator)
    flow[:, 5 : 5 + side, 3 : 3 + side] += own
    return flow


@pytest.mark.parametrize("model", ["similarity", "affine"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.45])
def test_a_known_camera_is_found_beside_an_object(model: Model, share: float) -> None:
    generator = torch.Generator().manual_seed(3)
    matrix = cameras(generator)
    flow = seen_with_an_object(matrix, generator, share)
    found = estimate_camera(flow, model=model)
    true = CameraMotion(matrix, torch.ones(PAIRS)).flow((GRID, GRID))
    error = (found.flow((GRID, GRID)) - true).norm(dim=-1).mean(dim=(1, 2)) / PIXEL
    assert error.median() < 0.1
    assert error.max() < 0.5
    assert (found.followed - (1 - share)).abs().median() < 0.1


def test_a_rotation_in_pixels_needs_the_aspect_of_the_frame() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = cameras(generator, aspect=16 / 9)
    flow = CameraMotion(matrix, torch.ones(PAIRS)).flow((GRID, GRID))
    right = estimate_camera(flow, aspect=16 / 9)
    assert torch.allclose(right.matrix, matrix, atol=1e-4)
    wrong = estimate_camera(flow)
    assert (wrong.matrix - matrix).abs().max() > 0.01


def test_vectors_without_weight_do_not_count() -> None:
    flow = torch.zeros(1, 12, 16, 2)
    flow[..., 0] = 0.1
    weight = torch.ones(1, 12, 16)
    flow[:, :10], weight[:, :10] = -0.3, 0  # most of the blocks have no vector
    camera = estimate_camera(flow, weight=weight)
    assert camera.matrix[0, 0, 2] == pytest.approx(0.1, abs=2e-3)
    assert camera.followed[0] == pytest.approx(1)
    nothing = estimate_camera(flow, weight=torch.zeros_like(weight))
    assert nothing.matrix.abs().max() < 1e-4


def test_a_pan_has_no_flow_without_the_camera() -> None:
    pan = torch.full((2, 3, 16, 16, 2), 0.2)
    assert stabilize_flow(pan).abs().max() < 1e-4
    assert stabilize_flow(pan).shape == pan.shape


def test_registered_frames_follow_a_point_of_the_scene() -> None:
    generator = torch.Generator().manual_seed(1)
    camera = CameraMotion(cameras(generator)[:6], torch.ones(6))
    maps = register_frames(camera, reference=3)
    assert torch.allclose(maps[3], torch.eye(3))
    point = torch.tensor([0.3, -0.2, 1.0])
    # From frame to frame, a position in frame t+1 plus its flow is the position in frame t.
    for t in range(6):
        later, earlier = maps[t + 1] @ point, maps[t] @ point
        moved = later[:2] + camera.matrix[t] @ later
        assert torch.allclose(moved, earlier[:2], atol=1e-5)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="flow must be"):
        estimate_camera(torch.zeros(4, 4, 3))
    with pytest.raises(ValueError, match="weight must be"):
        estimate_camera(torch.zeros(4, 4, 2), weight=torch.ones(3, 4))


def test_clips_of_different_sizes_have_their_own_aspect() -> None:
    generator = torch.Generator().manual_seed(2)
    sizes = torch.tensor([[90, 160], [64, 64], [90, 160]])
    matrix = torch.stack([cameras(generator, w / h) for h, w in sizes.tolist()])
    flow = CameraMotion(matrix, torch.ones(3, PAIRS)).flow((GRID, GRID))
    found = estimate_cameras(flow, sizes)
    assert torch.allclose(found.matrix, matrix, atol=1e-4)
    assert found.followed.shape == (3, PAIRS)


def test_vectors_keep_what_moves_before_the_scene() -> None:
    """Two frames of a pan, a rotation and a zoom, at two sizes; one block moves by itself."""
    motions = []
    for (height, width), turn in (((64, 96), 0.0), ((130, 100), 0.05)):
        rows, columns = -(-height // 8), -(-width // 8)
        y, x = torch.meshgrid(torch.arange(rows) * 8.0, torch.arange(columns) * 8.0, indexing="ij")
        vectors = torch.stack([3 - turn * y + 0.02 * x, turn * x + 0.02 * y - 1], dim=-1)
        vectors = vectors.repeat(2, 1, 1, 1)
        vectors[:, 2:4, 3:5] += torch.tensor([5.0, -4.0])
        valid = torch.ones(2, rows, columns, dtype=torch.bool)
        valid[0], valid[1, 0] = False, False  # an I-frame; a row of blocks without vectors
        motions.append(Motion(vectors, valid, torch.arange(2), (height, width), 8, True))
    batch = MotionBatch.of(motions)
    stable = stabilize_vectors(batch)
    assert stable.valid is batch.valid
    assert not stable.vectors[~batch.valid].any()
    expected = torch.zeros_like(stable.vectors)
    expected[:, 1, 2:4, 3:5] = torch.tensor([5.0, -4.0]).half()
    torch.testing.assert_close(stable.vectors, expected, atol=0.06, rtol=0)
