"""Camera motion: the global motion of a picture, fitted to flow that moving objects contradict.

In: flow, or the codec's vectors. Out: one similarity or affine map for each pair of frames, and the
flow without it ("stabilized": what moves against the scene).

    flow of a pair of frames ->  48 maps, each through 2 points (similarity) or 3 (affine)
                             ->  the map that the most points follow               (RANSAC)
                             ->  least squares again and again, each point weighted by how well it
                                 followed the last map                             (IRLS)

Convention
----------
Flow is in normalized units (the frame is 2 wide and 2 high) and points back in time, as in
`motion.flow`. A camera map is a matrix (2, 3): the scene's flow at (x, y) is matrix @ (x, y, 1).
A similarity keeps angles in pixels, not in normalized units, so it needs the aspect of the frame.

Sources: Fischler and Bolles, "Random Sample Consensus", CACM 1981; Geman and McClure 1987 (the
weights); Wang and Schmid, "Action Recognition with Improved Trajectories", ICCV 2013 (camera motion
taken out of flow). The number of maps, the tolerance and the steps are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unscene.device import fp32_context
from unscene.video.motion_vectors import MotionBatch

Model = Literal["similarity", "affine"]
_POINTS = 24  # points along each side of the frame that are used at most
_MAPS = 48  # tried before the first fit
_STEPS = 6  # of iteratively reweighted least squares
_TOLERANCE = 0.01  # normalized units: 0.6 px of 112; a point farther off does not follow ...
_SHARE = 0.1  # ... unless it is within this share of the typical motion of the frame


@dataclass(frozen=True)
class CameraMotion:
    """The camera's motion between consecutive frames.

    Attributes:
        matrix: float32 (..., 2, 3), normalized units: the scene's flow at (x, y) is
            matrix @ (x, y, 1), pointing back.
        followed: float32 (...), share of the points with flow that follow the camera, 0 to 1.
    """

    matrix: Tensor
    followed: Tensor

    def flow(self, size: tuple[int, int]) -> Tensor:
        """The flow of a static scene, float32 (..., h, w, 2), at the centers of h x w cells."""
        height, width = size
        points = _positions(height, width).to(self.matrix.device)
        shape = (*self.matrix.shape[:-2], height, width, 2)
        with fp32_context(self.matrix.device):
            return torch.einsum("...ij,pj->...pi", self.matrix, points).reshape(shape)


def estimate_camera(
    flow: Tensor,
    *,
    weight: Tensor | None = None,
    model: Model = "similarity",
    aspect: float = 1.0,
) -> CameraMotion:
    """Fit the motion of the camera to flow; objects that move on their own hardly matter.

    Args:
        flow: (..., h, w, 2), normalized units, for any number of pairs of frames.
        weight: (..., h, w), how far each vector is to be believed: 0 for a block without a vector.
            Ones by default.
        model: "similarity": shift, rotation and zoom, four numbers. "affine": shear too, six.
        aspect: width / height of the frame in pixels.

    Returns:
        One map for each pair of frames; zeros where no vector has weight.

    Raises:
        ValueError: shapes do not fit, or the model is unknown.

    Source:
        See the header of this file.

    >>> flow = torch.zeros(1, 16, 16, 2)
    >>> flow[..., 0] = -0.1  # the camera pans
    >>> flow[:, 4:10, 4:10, 1] = 0.3  # an object moves
    >>> camera = estimate_camera(flow)
    >>> [round(x, 3) + 0.0 for x in camera.matrix[0, :, 2].tolist()]
    [-0.1, 0.0]
    >>> stable = flow - camera.flow((16, 16))
    >>> round(float(stable[0, 0, 0].abs().max()), 3), round(float(stable[0, 5, 5, 1]), 3)
    (0.0, 0.3)
    """
    if flow.ndim < 3 or flow.shape[-1] != 2 or model not in ("similarity", "affine"):
        raise ValueError(f"flow must be (..., h, w, 2), got {list(flow.shape)}; model {model!r}")
    if weight is not None and weight.shape != flow.shape[:-1]:
        raise ValueError(f"weight must be {list(flow.shape[:-1])}, got {list(weight.shape)}")
    lead, (height, width) = flow.shape[:-3], flow.shape[-3:-1]
    if model == "similarity" and flow.device.type == "cpu" and not flow.requires_grad:
        every = flow.float().reshape(-1, height, width, 2).numpy()
        known = None if weight is None else weight.float().reshape(-1, height, width).numpy()
        found = (torch.from_numpy(one) for one in fit_similarities(every, known, aspect))
        maps, followed = found
        return CameraMotion(maps.view(*lead, 2, 3), followed.view(lead))
    rows, columns = (max(1, -(-extent // _POINTS)) for extent in (height, width))
    picked = flow[..., rows // 2 :: rows, columns // 2 :: columns, :].float()
    if weight is None:
        believed = torch.ones(picked.shape[:-1], device=flow.device)
    else:
        believed = weight[..., rows // 2 :: rows, columns // 2 :: columns].float()
    # In units that are as long in x as in y, so that a similarity is one.
    scale = torch.tensor([aspect, 1.0], device=flow.device)
    layout = _lay_out((height, width), (rows, columns), aspect, model).to(flow.device)
    vectors = picked.reshape(-1, len(layout.design), 2) * scale
    with fp32_context(flow.device):
        solution, followed = _fit(vectors, believed.reshape(len(vectors), -1), layout)
        matrix = _matrix(solution, model) / scale[:, None]
        matrix = matrix * torch.tensor([aspect, 1.0, 1.0], device=flow.device)
    return CameraMotion(matrix.view(*lead, 2, 3), followed.view(lead))


def fit_similarities(
    flow: NDArray[np.float32], weight: NDArray[Any] | None, aspect: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`estimate_camera` of similarities on the CPU, where loops take a tenth of torch's time.

    Args:
        flow: (N, h, w, 2), normalized units.
        weight: (N, h, w), numbers or truth values; None: ones.
        aspect: width / height of the frame in pixels.

    Returns:
        float32 maps (N, 2, 3) and (N,), see `CameraMotion`.
    """
    from unscene.motion import loops

    height, width = flow.shape[1:3]
    rows, columns = (max(1, -(-extent // _POINTS)) for extent in (height, width))
    picked = (slice(None), slice(rows // 2, None, rows), slice(columns // 2, None, columns))
    count = len(flow)
    vectors = (flow[picked] * np.array([aspect, 1], np.float32)).reshape(count, -1, 2)
    believed = np.ones(vectors.shape[:2], np.float32)
    if weight is not None:
        believed = weight[picked].astype(np.float32).reshape(count, -1)
    layout = _lay_out((height, width), (rows, columns), aspect, "similarity")
    solution, followed = np.empty((count, 4), np.float32), np.empty(count, np.float32)
    loops.fit_similarities(
        np.ascontiguousarray(vectors),
        np.ascontiguousarray(believed),
        layout.points.numpy(),
        layout.samples.numpy(),
        layout.solvers.numpy(),
        *(_TOLERANCE, _SHARE, _STEPS, solution, followed),
    )
    x, y, zoom, turn = solution.T
    cells = [zoom, -turn / aspect, x / aspect, turn * aspect, zoom, y]
    return np.stack(cells, axis=-1).reshape(count, 2, 3), followed


def stabilize_flow(
    flow: Tensor,
    *,
    weight: Tensor | None = None,
    model: Model = "similarity",
    aspect: float = 1.0,
) -> Tensor:
    """Take the camera's motion out of flow: what is left moves against the scene.

    Args and Raises: see `estimate_camera`.

    Returns:
        float32 (..., h, w, 2), normalized units.

    >>> pan = torch.full((2, 8, 8, 2), 0.2)
    >>> round(float(stabilize_flow(pan).abs().max()), 4)
    0.0
    """
    camera = estimate_camera(flow, weight=weight, model=model, aspect=aspect)
    return flow.float() - camera.flow((flow.shape[-3], flow.shape[-2]))


def estimate_cameras(flow: Tensor, sizes: Tensor) -> CameraMotion:
    """Fit the motion of the camera (a similarity) to the flow of clips of any size.

    Args:
        flow: (B, P, h, w, 2), normalized units.
        sizes: (B, 2), (H, W) of the frames of each clip.

    Returns:
        matrix (B, P, 2, 3), followed (B, P).

    >>> pan = torch.full((2, 1, 8, 8, 2), 0.2)
    >>> camera = estimate_cameras(pan, torch.tensor([[48, 64], [64, 64]]))
    >>> bool((camera.flow((8, 8)) - pan).abs().max() < 1e-4)
    True
    """
    matrix = torch.empty(*flow.shape[:2], 2, 3, device=flow.device)
    followed = torch.empty(flow.shape[:2], device=flow.device)
    for height, width in sizes.unique(dim=0).tolist():
        rows = torch.nonzero((sizes == sizes.new_tensor([height, width])).all(dim=1))[:, 0]
        rows = rows.to(flow.device)
        camera = estimate_camera(flow[rows], aspect=width / height)
        matrix[rows], followed[rows] = camera.matrix, camera.followed
    return CameraMotion(matrix, followed)


def stabilize_vectors(motion: MotionBatch) -> MotionBatch:
    """Take the camera's motion (a similarity) out of the codec's motion vectors.

    Frames without vectors (I-frames) keep none. With few blocks, or an object that is larger than
    what it leaves of the scene, its motion may be taken for the camera's.

    >>> vectors = torch.full((1, 1, 4, 6, 2), -3.0)  # every block was 3 px to the left and above
    >>> valid, sizes = torch.ones(1, 1, 4, 6).bool(), torch.tensor([[64, 96]])
    >>> motion = MotionBatch(vectors, valid, torch.zeros(1, 1), sizes, torch.ones(1), 16)
    >>> round(float(stabilize_vectors(motion).vectors.abs().max()), 3)
    0.0
    """
    stable = torch.zeros_like(motion.vectors)
    for height, width in motion.sizes.unique(dim=0).tolist():
        same = (motion.sizes == motion.sizes.new_tensor([height, width])).all(dim=1)
        # The blocks of such a frame, without those that fill up the batch.
        h, w = -(-height // motion.block), -(-width // motion.block)
        pixels = torch.tensor([w, h], device=motion.device) * (motion.block / 2)
        flow = motion.vectors[same, :, :h, :w].float() / pixels
        weight = motion.valid[same, :, :h, :w].float()
        found = stabilize_flow(flow, weight=weight, aspect=w / h) * pixels
        stable[same, :, :h, :w] = (found * weight[..., None]).to(stable.dtype)
    return replace(motion, vectors=stable)


def register_frames(camera: CameraMotion, reference: int) -> Tensor:
    """Chain the camera's motion: where each point of one frame lies in every other frame.

    Args:
        camera: of the T-1 pairs of a clip of T frames, matrix (..., T-1, 2, 3).
        reference: index of the frame whose points are looked for.

    Returns:
        float32 (..., T, 3, 3): maps (x, y, 1) in the reference frame to its position in frame t,
        normalized units; the identity for the reference itself.

    >>> pan = CameraMotion(torch.tensor([[[0.0, 0, 0.1], [0, 0, 0]]] * 2), torch.ones(2))
    >>> [round(float(m[0, 2]), 3) for m in register_frames(pan, 1)]
    [0.1, 0.0, -0.1]
    """
    matrix = camera.matrix.float()
    pairs = matrix.shape[-3]
    identity = torch.eye(3, device=matrix.device).expand(*matrix.shape[:-3], 3, 3)
    steps = identity.unsqueeze(-3).repeat(*[1] * (matrix.ndim - 3), pairs, 1, 1)
    steps[..., :2, :] += matrix  # from frame t+1 to frame t
    maps: list[Tensor] = [identity] * (pairs + 1)
    with fp32_context(matrix.device):
        for t in range(reference - 1, -1, -1):
            maps[t] = steps[..., t, :, :] @ maps[t + 1]
        for t in range(reference + 1, pairs + 1):
            maps[t] = torch.linalg.inv(steps[..., t - 1, :, :]) @ maps[t - 1]
    return torch.stack(maps, dim=-3)


@lru_cache(maxsize=32)
def _positions(height: int, width: int) -> Tensor:
    """(h * w, 3): x, y and 1 at the centers of h x w cells, normalized units."""
    y = (torch.arange(height) + 0.5) * (2 / height) - 1
    x = (torch.arange(width) + 0.5) * (2 / width) - 1
    across, down = torch.meshgrid(x, y, indexing="xy")
    return torch.stack([across, down, torch.ones_like(across)], dim=-1).view(-1, 3)


def _design(points: Tensor, model: Model) -> Tensor:
    """(P, 2, n): the flow at each point as a linear function of the n numbers of a map."""
    x, y = points.unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    if model == "similarity":  # shift x, shift y, zoom, rotation
        u, v = [one, zero, x, -y], [zero, one, y, x]
    else:
        u, v = [one, zero, x, y, zero, zero], [zero, one, zero, zero, x, y]
    return torch.stack([torch.stack(u, -1), torch.stack(v, -1)], dim=-2)


def _matrix(solution: Tensor, model: Model) -> Tensor:
    """(N, n) numbers of maps as matrices (N, 2, 3)."""
    if model == "similarity":
        tx, ty, zoom, turn = solution.unbind(-1)
        cells = [zoom, -turn, tx, turn, zoom, ty]
    else:
        tx, ty, a, b, c, d = solution.unbind(-1)
        cells = [a, b, tx, c, d, ty]
    return torch.stack(cells, -1).view(-1, 2, 3)


class _Layout(NamedTuple):
    """What a fit needs to know of the points: the same for all flow of one size.

    Attributes:
        design: (P, 2, n), see `_design`.
        points: (P, 2), their positions, as long in x as in y.
        samples: (M, points of a sample), `_MAPS` samples of points.
        solvers: (M, n, 2 * points of a sample), from the flow of a sample to its map.
    """

    design: Tensor
    points: Tensor
    samples: Tensor
    solvers: Tensor

    def to(self, device: torch.device) -> _Layout:
        return _Layout(*(tensor.to(device) for tensor in self))


@lru_cache(maxsize=32)
def _lay_out(size: tuple[int, int], steps: tuple[int, int], aspect: float, model: Model) -> _Layout:
    """Take every so many points of a frame, and draw samples of points that lie far apart."""
    points = _positions(*size).view(*size, 3)
    points = points[steps[0] // 2 :: steps[0], steps[1] // 2 :: steps[1], :2].reshape(-1, 2)
    points = (points * torch.tensor([aspect, 1.0])).contiguous()
    design = _design(points, model)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack(
        [torch.randperm(len(points), generator=generator) for _ in range(4 * _MAPS)]
    )
    drawn = drawn[:, : 2 if model == "similarity" else 3]
    systems = design[drawn].flatten(1, 2)  # (4 M, 2 * points of a sample, n)
    # Points that lie close together or on one line fix a map badly; the better quarter stays.
    order = torch.linalg.svdvals(systems)[:, -1].argsort(descending=True)[:_MAPS]
    return _Layout(
        design, points, drawn[order].contiguous(), torch.linalg.pinv(systems[order]).contiguous()
    )


def _fit(vectors: Tensor, weight: Tensor, layout: _Layout) -> tuple[Tensor, Tensor]:
    """Solutions (N, n) for vectors (N, P, 2), and the share of the weight that follows (N,)."""
    design = layout.design
    total = weight.sum(1).clamp(min=1e-6)
    typical = (vectors.norm(dim=-1) * weight).sum(1) / total
    tolerance = (_TOLERANCE + _SHARE * typical)[:, None]

    def trust(solution: Tensor) -> Tensor:  # (N, n) -> (N, P), in 0..1
        off = (vectors - torch.einsum("pin,bn->bpi", design, solution)).norm(dim=-1)
        return (1 + (off / tolerance).square()).reciprocal().square()

    solution = _best_of_samples(vectors, weight, layout, tolerance)
    ridge = 1e-6 * torch.eye(design.shape[-1], device=design.device)
    for _ in range(_STEPS):
        share = weight * trust(solution) / total[:, None]
        normal = torch.einsum("bp,pin,pim->bnm", share, design, design)
        right = torch.einsum("bp,pin,bpi->bn", share, design, vectors)
        solution = torch.linalg.solve(normal + ridge, right)
    # (1 + 1)^-2: within the tolerance.
    followed = ((trust(solution) >= 0.25) * weight).sum(1) / total
    return solution, followed


def _best_of_samples(vectors: Tensor, weight: Tensor, layout: _Layout, tolerance: Tensor) -> Tensor:
    """Of maps through a few points each, the one that most of the weight follows, (N, n)."""
    design = layout.design
    best = torch.zeros(len(vectors), design.shape[-1], device=vectors.device)
    score = vectors.new_full((len(vectors),), -1.0)
    for chosen, solve in zip(layout.samples, layout.solvers, strict=True):
        solution = vectors[:, chosen].flatten(1) @ solve.T
        off = (vectors - torch.einsum("pin,bn->bpi", design, solution)).norm(dim=-1)
        found = (weight / (1 + (off / tolerance).square())).sum(1)
        better = found > score
        score = torch.where(better, found, score)
        best = torch.where(better[:, None], solution, best)
    return best
