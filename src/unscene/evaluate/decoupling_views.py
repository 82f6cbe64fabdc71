"""The views of the decoupling score: the same motion in another scene, another motion in the same.

    scene side   warp        thin-plate warp, the same for all frames            DSM trains on it
                 colour      strong color jitter                                 DSM trains on it
                 crop        another crop, rotated by up to 10 degrees           DSM trains on it
                 background  what moves, over the still scene of another video
                             (`views.background_swap`)
                 overlay     the mean of the clip and another video's still scene
    motion side  shift       half a clip later or earlier                        DSM trains on it
                 flow        motion times phi(t) ~ U[0, 5] (DSM eq. 3); a        DSM trains on it
                             camera that moves stays as it is
                 reversed    played backward
                 frozen      the middle frame only
                 shuffled    frames in random order

What is equal in all of them: every view except crop and shift shows the anchor's frames in the
anchor's crop. Reversed, frozen and shuffled have exactly its pixels. Warp, crop, color, shift and
flow are rendered as it is, interpolated once. Background and overlay are blends of rendered views,
and their foreign part has no noise. Each of these differences makes the scene side harder.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from unscene.data.catalog import Video
from unscene.data.loading import Batch, ClipDataset, limit_short_side
from unscene.encoders import EncoderSpec
from unscene.errors import UnsceneError
from unscene.motion.flow import make_flow_transform
from unscene.video.sampling import Request, UniformClipSampler, clip_duration
from unscene.views.augment import BasicAugmentation, make_view
from unscene.views.background_swap import (
    correlate_scenes,
    film_scene,
    paste_motion,
    segment_motion,
)
from unscene.views.disturb import draw_offsets, draw_phi
from unscene.views.flow import find_camera

# Perturbation -> whether DSM trains on it.
SCENE = {"warp": True, "colour": True, "crop": True, "background": False, "overlay": False}
MOTION = {"shift": True, "flow": True, "reversed": False, "frozen": False, "shuffled": False}

STILL = 0.0005  # nothing moves where less than this share of the frame does
_DONORS = 32  # videos whose scenes are used
ALIKE = 0.8  # scenes with a higher correlation count as the same place


@dataclass(frozen=True)
class ShiftedClipSampler:
    """The clips of `UniformClipSampler`, each with a clip of another time of the same video.

    video     |----------------------------------------------|
    clip                  x   x   x   x                            (stride 4, T = 4)
    shifted                       x   x   x   x                    half a clip later

    "shifted" is half the length of a clip later or earlier, on the side with more room, and less
    if the video is too short. If not even a quarter fits, there is none: a clip that loops would
    show the anchor's own frames, and a visible cut.
    """

    frames: int
    stride: int
    count: int = 1

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request:
        uniform = UniformClipSampler(self.frames, self.stride, self.count)
        request = uniform.draw(duration, fps, rng, number)
        clip, whole = request.offsets["clip"], self.frames * self.stride
        end = request.at + clip_duration(self.frames, self.stride, fps) + 1 / fps
        # Times in files are rounded: ignore a thousandth of a frame.
        before, after = (math.floor(t * fps + 1e-3) for t in (request.at, duration - end))
        tau = min(whole // 2, max(before, after))
        if tau < max(1, whole / 4):
            return request
        moved = tuple(offset + tau for offset in clip)
        if after >= before:
            return Request(request.at, {"clip": clip, "shifted": moved})
        return Request(max(0.0, request.at - tau / fps), {"clip": moved, "shifted": clip})


class PerturbationFactory:
    """Makes the views of clips; holds the still scenes of some videos, for use in others.

    Args:
        videos: of a checked catalog; up to 32 of them are read at once, for their scenes.
        spec: of the encoder that the views are for.
        seed: decides everything random, with the index of a video and the number of its clip.
        device: makes the views.

    Attributes:
        left_out: number of clips without a perturbation, by perturbation and reason ("background:
            only the camera moves" ...); "all: nothing moves" counts clips without any.

    Raises:
        UnsceneError: the encoder does not take 3 channels and at least 3 frames.
    """

    def __init__(
        self, videos: Sequence[Video], spec: EncoderSpec, seed: int, device: torch.device | str
    ) -> None:
        if spec.channels != 3 or spec.frames < 3:
            raise UnsceneError(
                f"{spec.name}: takes {spec.frames} frames of {spec.channels} channels; the "
                "decoupling score needs 3 channels and, to reorder them, at least 3 frames"
            )
        self.videos, self.spec, self.seed = videos, spec, seed
        self.basic = BasicAugmentation.paper(spec.size).with_normalization(spec.mean, spec.std)
        self.left_out: Counter[str] = Counter()
        self.donors: list[int] = []
        scenes = []
        sampler = UniformClipSampler(spec.frames, spec.stride)
        dataset = ClipDataset(videos, sampler, replace_failed=False)
        order = np.random.default_rng([seed, 0xA]).permutation(len(videos))
        for index in order[:_DONORS].tolist():
            batch = Batch.of([dataset[0, index]])
            if len(batch):
                anchor = self._render_center(batch.to(device), "clip")
                split = segment_motion(anchor, std=spec.std, follow_camera=True)
                scenes.append(split.scene)
                self.donors.append(index)
        self.scenes = torch.cat(scenes) if scenes else torch.empty(0)

    def make_dataset(self, clips: int) -> ClipDataset:
        """A dataset of so many clips per video, with the optical flow that `make_views` needs."""
        sampler = ShiftedClipSampler(self.spec.frames, self.spec.stride, clips)
        flow = make_flow_transform(self.spec.size)
        return ClipDataset(
            self.videos,
            sampler,
            transforms={"clip": flow},
            short_side=limit_short_side(0, self.spec.size),
            replace_failed=False,
        )

    def make_views(self, batch: Batch, draw: int, index: int) -> dict[str, Tensor]:
        """Make the views of one clip.

        Args:
            batch: of this one clip only, from `make_dataset`: others could change its padding and
                pooling.
            draw: the number of the clip.
            index: that of its video.

        Returns:
            float32 (1, 3, T, size, size) by name, "anchor" first; empty if nothing moves.
        """
        anchor = self._render_center(batch, "clip")
        segmented = segment_motion(anchor, std=self.spec.std, follow_camera=True)
        still = float(segmented.share) < STILL
        if bool(segmented.fixed) and still:
            self.left_out["all: nothing moves"] += 1
            return {}
        clip, size, middle = batch.clips["clip"], self.spec.size, self.spec.frames // 2
        rng = np.random.default_rng([self.seed, 0xD, draw, index])
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        center = self.basic.center(clip.sizes.cpu())
        drawn = self.basic.draw(clip.sizes, generator)
        offsets, phi = draw_offsets(1, generator), draw_phi(1, clip.frames, generator)
        camera = find_camera(clip, segmented.fixed)
        views = {
            "anchor": anchor,
            "warp": make_view(clip, center, size=size, warp_offsets=offsets),
            "colour": make_view(clip, replace(center, color=drawn.color), size=size),
            "crop": make_view(clip, replace(center, affine=drawn.affine), size=size),
            "flow": make_view(clip, center, size=size, phi=phi, camera=camera),
            "reversed": anchor.flip(2),
            "frozen": anchor[:, :, middle : middle + 1].expand_as(anchor),
            "shuffled": anchor[:, :, draw_frame_order(clip.frames, rng)],
        }
        if "shifted" in batch.clips:
            views["shift"] = self._render_center(batch, "shifted")
        else:
            self.left_out["shift: video too short"] += 1
        scene = self._draw_scene(index, segmented.scene, rng)
        if scene is None:
            self.left_out["background, overlay: no other scene"] += 1
            return views
        views["overlay"] = torch.lerp(anchor, scene.expand_as(anchor), 0.5)
        if not bool(segmented.known):
            self.left_out["background: the camera cannot be followed"] += 1
        elif still:
            self.left_out["background: only the camera moves"] += 1
        else:
            filmed = film_scene(scene, segmented.maps)
            views["background"] = paste_motion(anchor, segmented.mask, filmed)
        return views

    def _render_center(self, batch: Batch, name: str) -> Tensor:
        clip = batch.clips[name]
        return make_view(clip, self.basic.center(clip.sizes.cpu()), size=self.spec.size)

    def _draw_scene(self, index: int, own: Tensor, rng: np.random.Generator) -> Tensor | None:
        """The scene of a random donor that is another file and does not look like the own scene."""
        alike = correlate_scenes(own, self.scenes).tolist() if self.donors else []
        for number in rng.permutation(len(self.donors)).tolist():
            other = self.videos[self.donors[number]].file != self.videos[index].file
            if other and alike[number] < ALIKE:
                return self.scenes[number : number + 1]
        return None


def draw_frame_order(frames: int, rng: np.random.Generator) -> list[int]:
    """Draw a random order of at least 3 frames that is neither forward nor backward.

    >>> order = draw_frame_order(4, np.random.default_rng(0))
    >>> sorted(order), order in ([0, 1, 2, 3], [3, 2, 1, 0])
    ([0, 1, 2, 3], False)
    """
    while True:
        order: list[int] = rng.permutation(frames).tolist()
        if order not in (sorted(order), sorted(order, reverse=True)):
            return order
