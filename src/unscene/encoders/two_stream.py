"""TwoStream: an encoder of pixels and an encoder of motion beside each other.

    clip (B, 3, T, H, W) ->  every k-th frame, resized     ->  encoder of RGB   ->  length 1  |
                         ->  its own frames, flow of them  ->  encoder of flow  ->  length 1  |

Features are concatenated, each of length 1, so that cosines weigh both alike. The clip is the
shortest that holds the clips of both, at the larger of the two sizes.

Source: Simonyan and Zisserman, "Two-Stream Convolutional Networks for Action Recognition in
Videos", NeurIPS 2014. How the features are joined is ours.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.encoders.base import EncoderSpec, VideoEncoder
from unscene.errors import UnsceneError

JOINED = "two-stream"


class TwoStream(VideoEncoder):
    """An encoder of RGB and an encoder of motion; see the header of this file.

    The motion encoder gets the flow of the clip's pixels, also one that reads motion vectors from
    files elsewhere: a clip of both has pixels.

    Args:
        rgb: reads RGB.
        motion: reads flow or motion vectors.

    Shape:
        forward: (B, 3, T, H, W) -> (B, D of rgb + D of motion).
        forward_maps: (B, 3, T, H, W) -> (B, D, T', H', W'), at the finer of the two resolutions.

    Raises:
        UnsceneError: one of them has another input, or does not take three channels.

    >>> from unscene.encoders import create_encoder
    >>> encoder = TwoStream(create_encoder("r3d-narrow"), create_encoder("motion-net")).eval()
    >>> encoder.spec.frames, encoder.spec.stride, encoder.spec.size
    (25, 2, 160)
    >>> encoder(torch.zeros(1, 3, 25, 160, 160)).shape
    torch.Size([1, 256])
    """

    def __init__(self, rgb: VideoEncoder, motion: VideoEncoder) -> None:
        if rgb.input != "rgb" or motion.input == "rgb" or rgb.spec.channels != 3:
            raise UnsceneError(
                f"{JOINED} joins an encoder of RGB and one of motion, and {rgb.spec.name} reads "
                f"{rgb.input}, {motion.spec.name} {motion.input}; write two-stream:RGB,MOTION"
            )
        stride = math.gcd(rgb.spec.stride, motion.spec.stride)
        span = max((one.spec.frames - 1) * one.spec.stride for one in (rgb, motion))
        frames = span // stride + 1
        spec = EncoderSpec(
            JOINED,
            {"rgb": rgb.spec.to_json(), "motion": motion.spec.to_json()},
            rgb.dim + motion.dim,
            frames,
            stride,
            max(rgb.spec.size, motion.spec.size),
            mean=rgb.spec.mean,
            std=rgb.spec.std,
            trained_on=_join_histories(rgb.spec, motion.spec),
        )
        least = max(_shortest(one, stride) for one in (rgb, motion))
        super().__init__(spec, stage_dims=(spec.dim,), minimum=(least, 1, 1))
        self.rgb, self.motion = rgb, motion
        self._strides = rgb.spec.stride // stride, motion.spec.stride // stride

    @property
    def dim(self) -> int:
        """D, length of a feature."""
        return self.rgb.dim + self.motion.dim

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        """Compute the features of a batch of clips, (B, D); each half has length 1."""
        self._check(clip_BCTHW)
        features = self.rgb(self._of_rgb(clip_BCTHW)), self.motion(self._of_motion(clip_BCTHW))
        return torch.cat([F.normalize(one.float(), dim=1) for one in features], dim=1)

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        maps = [
            self.rgb.forward_maps(self._of_rgb(clip_BCTHW)),
            self.motion.forward_maps(self._of_motion(clip_BCTHW)),
        ]
        finest = [max(sides) for sides in zip(*(one.shape[2:] for one in maps), strict=True)]
        return [torch.cat([F.interpolate(one.float(), size=finest) for one in maps], dim=1)]

    def _of_rgb(self, clip: Tensor) -> Tensor:
        return _cut(clip, self.rgb.spec, self._strides[0])

    def _of_motion(self, clip: Tensor) -> Tensor:
        spec, own = self.motion.spec, self.spec
        shape = (1, 3, 1, 1, 1)
        mean, std = (clip.new_tensor(one).view(shape) for one in (own.mean, own.std))
        wanted_mean, wanted_std = (clip.new_tensor(o).view(shape) for o in (spec.mean, spec.std))
        part = _cut(clip, spec, self._strides[1])
        return (part * std + mean - wanted_mean) / wanted_std


def _cut(clip: Tensor, spec: EncoderSpec, step: int) -> Tensor:
    """The frames from the middle of a clip that an encoder takes, at its size."""
    frames = min(spec.frames, (clip.shape[2] - 1) // step + 1)
    start = (clip.shape[2] - 1 - (frames - 1) * step) // 2
    part = clip[:, :, start : start + (frames - 1) * step + 1 : step]
    if part.shape[3:] == (spec.size, spec.size):
        return part
    flat = part.transpose(1, 2).flatten(0, 1)
    small = F.interpolate(flat, size=(spec.size, spec.size), mode="bilinear", antialias=True)
    return small.unflatten(0, (len(clip), frames)).transpose(1, 2)


def _shortest(encoder: VideoEncoder, stride: int) -> int:
    """Frames of the joint clip that an encoder needs at least."""
    return (encoder.minimum[0] - 1) * (encoder.spec.stride // stride) + 1


def _join_histories(rgb: EncoderSpec, motion: EncoderSpec) -> dict[str, Any]:
    """What a joint encoder was trained on; empty if neither was."""
    if not (rgb.trained_on or motion.trained_on):
        return {}
    names = (one.trained_on.get("method", "random") for one in (rgb, motion))
    return {
        "method": f"two-stream ({' + '.join(map(str, names))})",
        "rgb": rgb.trained_on,
        "motion": motion.trained_on,
    }
