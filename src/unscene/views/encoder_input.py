"""What an encoder is given of a video: pixels, or flow that was read from the codec's vectors.

    input "rgb", "flow"   frames     -> view (B, 3, T, size, size), normalized RGB
    input "vectors"       vectors    -> flow without the camera's motion, in the workers
                                     -> view (B, 2, T-1, grid, grid): no pixel is converted

Evaluation and training read clips and make views by these two functions, so that an encoder of
vectors needs no code of its own there. Whoever alters pixels (an audit) makes views of RGB, from
which such an encoder computes flow itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from torch import Tensor

from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.motion.flow import NoVectorsError, add_stabilized_vectors, view_vectors
from unscene.video.clip import Clip, ClipBatch
from unscene.video.sampling import ClipSampler, VectorSampler
from unscene.views import disturb
from unscene.views.augment import BasicAugmentation, ViewParameters, make_view
from unscene.views.flow import view_flow, warp_flow

_FINEST = 64  # cells: as fine as the blocks of a picture 512 px wide


def read_for_encoder(
    encoder: VideoEncoder, sampler: ClipSampler, size: int, *, centered: bool = False
) -> tuple[ClipSampler, dict[str, Callable[[Clip], Clip]]]:
    """Make the sampler and the transforms by which `ClipDataset` reads clips for an encoder.

    Args:
        encoder: with any input.
        sampler: draws the clips.
        size: of the views, in pixels.
        centered: only the center view will be made, by `make_center_view`.

    Returns:
        The same sampler and no transforms, unless the encoder reads motion vectors. Clips of which
        the sampler draws vectors only keep them as they are: they are targets and no input.
    """
    if encoder.input != "vectors":
        return sampler, {}
    drawn = sampler.draw(3600.0, 25.0, np.random.default_rng(0))
    grid = encoder.flow_grid or size
    if centered:
        transform = partial(_add_center_flow, grid=grid)
    else:
        transform = partial(add_stabilized_vectors, grid=min(2 * grid, _FINEST))
    shown = [name for name in drawn.offsets if name not in drawn.motion_only]
    return VectorSampler(sampler), dict.fromkeys(shown, transform)


def _add_center_flow(clip: Clip, *, grid: int) -> Clip:
    if clip.motion is None:
        raise NoVectorsError("this clip carries no motion vectors")
    height, width = clip.motion.size
    side = min(height, width) / BasicAugmentation.short_side
    flow = view_vectors(clip.motion, (side / width, side / height), grid)
    return clip.replace(flow=flow.half(), motion=None)


def make_center_view(encoder: VideoEncoder, batch: ClipBatch) -> Tensor:
    """Make the view of evaluation, of clips that were read for it: resized short side, center crop.

    Args:
        encoder: with any input; size and normalization are those of its spec.
        batch: B clips, read by `read_for_encoder(centered=True)`.

    Returns:
        As `make_encoder_view`.

    Raises:
        UnsceneError: the encoder does not take three channels.
        ValueError: the batch has no flow, and the encoder reads motion vectors.
    """
    if encoder.input != "vectors":
        params = center_view(encoder).center(batch.sizes)
        return make_view(batch, params, size=encoder.spec.size)
    if batch.flow is None:
        raise ValueError("this batch has no flow: read it by `read_for_encoder`")
    return batch.flow.float().movedim(-1, 1)


def center_view(encoder: VideoEncoder) -> BasicAugmentation:
    """The view that an encoder gets at test time: resized short side, center crop, normalization.

    Raises:
        UnsceneError: the encoder does not take three channels.
    """
    spec = encoder.spec
    if spec.channels != 3:
        raise UnsceneError(f"{spec.name} takes {spec.channels} channels; videos have 3")
    return BasicAugmentation.none(spec.size).with_normalization(spec.mean, spec.std)


def make_encoder_view(
    encoder: VideoEncoder,
    batch: ClipBatch,
    params: ViewParameters,
    *,
    size: int,
    **disturbances: Tensor | None,
) -> Tensor:
    """Make the view that an encoder reads, of clips that were read for it.

    Args:
        encoder: with any input.
        batch: B clips.
        params: of the view.
        size: side of the view in pixels.
        disturbances: warp_offsets, bumps, phi and, for pixels, camera, see `make_view`.

    Returns:
        float32 (B, 3, T, size, size), or (B, 2, T-1, G, G) for an encoder of motion vectors, where
        G is its `flow_grid` or, without one, the size.
    """
    if encoder.input != "vectors":
        return make_view(batch, params, size=size, **disturbances)
    grid = encoder.flow_grid or size
    return make_flow_view(batch, params, size=grid, **disturbances)


def make_flow_view(
    batch: ClipBatch,
    params: ViewParameters,
    *,
    size: int,
    warp_offsets: Tensor | None = None,
    bumps: Tensor | None = None,
    phi: Tensor | None = None,
) -> Tensor:
    """Make one view of the flow of every clip: what `make_view` does to pixels, done to motion.

    Colors, blur and black borders change no motion. A warp turns and scales the vectors with the
    picture. Flow scaling (DSM eq. 3) multiplies the flow of each step by phi.

    Args:
        batch: B clips of which `flow` is filled in.
        params, warp_offsets, bumps, phi: as in `make_view`.
        size: cells along each side.

    Returns:
        float32 (B, 2, T-1, size, size), normalized units of the view, pointing back.

    Raises:
        ValueError: the batch has no flow.

    >>> import torch
    >>> plane = torch.zeros(2, 48, 64).byte()
    >>> clip = Clip(plane, plane[:, ::2, ::2], plane[:, ::2, ::2], torch.arange(2).double())
    >>> right = torch.tensor([0.1, 0.0]).expand(1, 8, 8, 2)
    >>> batch = ClipBatch.of([clip.replace(flow=right)])
    >>> from unscene.views.augment import BasicAugmentation
    >>> view = make_flow_view(batch, BasicAugmentation.none().center(batch.sizes), size=4)
    >>> view.shape, round(float(view[0, 0].mean()), 3)  # the crop shows less than the frame
    (torch.Size([1, 2, 1, 4, 4]), 0.152)
    """
    if batch.flow is None:
        raise ValueError("this batch has no flow: read it by `read_for_encoder`")
    affine = params.affine.to(batch.device)
    if warp_offsets is not None:
        grid = disturb.warp(affine, warp_offsets.to(affine), (size, size))
        flow = warp_flow(batch.flow, grid)
    elif bumps is not None:
        flow = warp_flow(batch.flow, disturb.warp_bumps(affine, bumps.to(affine), (size, size)))
    else:
        flow = view_flow(batch.flow, affine, (size, size))
    if phi is not None:
        flow = flow * phi.to(flow)[:, :, None, None, None]
    return flow.movedim(-1, 1)
