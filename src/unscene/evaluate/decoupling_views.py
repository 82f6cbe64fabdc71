"""The views of `decouple`: a scene disturbed under the same motion, a motion disturbed in the same
scene.

    scene side   warp        a thin-plate warp, the same for all frames          DSM trains on it
                 colour      the paper's strong jitter                           DSM trains on it
                 crop        another place, turned by up to 10 degrees           DSM trains on it
                 background  what moves, over another video's still scene (`views.background_swap`)
                 overlay     half the clip, half another video's still scene, everywhere
    motion side  shift       half a window later or earlier                      DSM trains on it
                 flow        motion times phi(t) ~ U[0, 5] (DSM eq. 3)           DSM trains on it
                 reversed    played backwards
                 frozen      the middle frame only
                 shuffled    in random order

What is kept equal: every view but crop and shift shows the anchor's frames in the anchor's crop.
Reversed, frozen and shuffled are its very pixels; warp, crop, colour, shift and flow are rendered
as it was, interpolated once; background and overlay are blends of rendered views, and their foreign
part is free of noise. All that this does is to make the scene side harder.
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
from unscene.data.loading import Batch, ClipDataset
from unscene.encoders import EncoderSpec
from unscene.errors import UnsceneError
from unscene.motion.flow import make_flow_transform
from unscene.video.sampling import Request, UniformClipSampler, clip_duration
from unscene.views.augment import BasicAugmentation, make_view
from unscene.views.background_swap import correlate_scenes, paste_motion, segment_motion
from unscene.views.disturb import draw_offsets, draw_phi

# Disturbance -> whether DSM trains on it.
SCENE = {"warp": True, "colour": True, "crop": True, "background": False, "overlay": False}
MOTION = {"shift": True, "flow": True, "reversed": False, "frozen": False, "shuffled": False}

STILL = 0.0005  # share of the picture; where less moves, nothing does
_LENDERS = 32  # videos that lend their scene
ALIKE = 0.8  # scenes that correlate more pass for the same place


@dataclass(frozen=True)
class ShiftedWindows:
    """The windows of `UniformClipSampler` and, where there is room, another time of the same video.

    video     |----------------------------------------------|
    clip                  x   x   x   x                            (stride 4, T = 4)
    shifted                       x   x   x   x                    half a window later

    "shifted" stands half a window later or earlier, where there is more room, and nearer where room
    is short. Without room for a quarter of a window there is none: one that loops would show the
    anchor's own frames, and a cut that gives it away.
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
        # Times in files are rounded: a thousandth of a frame is none.
        before, after = (math.floor(t * fps + 1e-3) for t in (request.at, duration - end))
        tau = min(whole // 2, max(before, after))
        if tau < max(1, whole / 4):
            return request
        moved = tuple(offset + tau for offset in clip)
        if after >= before:
            return Request(request.at, {"clip": clip, "shifted": moved})
        return Request(max(0.0, request.at - tau / fps), {"clip": moved, "shifted": clip})


class PerturbationFactory:
    """Makes the views of windows; keeps the still scenes that videos lend each other.

    Args:
        videos: of a checked catalog; up to 32 of them are read at once, for their scenes.
        spec: of the encoder that is to see the views.
        seed: of all that is random, together with a video's place in `videos` and the number of
            its window.
        device: where views are made.

    Attributes:
        left_out: "background: the camera moves" and so on -> windows without this disturbance,
            "all: nothing moves" -> windows without any.
    """

    def __init__(
        self, videos: Sequence[Video], spec: EncoderSpec, seed: int, device: torch.device | str
    ) -> None:
        if spec.channels != 3 or spec.frames < 3:
            raise UnsceneError(
                f"{spec.name}: sees {spec.frames} frames of {spec.channels} channels; colour "
                "needs 3 channels, and an order of frames at least 3 of them"
            )
        self.videos, self.spec, self.seed = videos, spec, seed
        self.basic = BasicAugmentation.paper(spec.size).with_normalization(spec.mean, spec.std)
        self.left_out: Counter[str] = Counter()
        self.lenders: list[int] = []
        scenes = []
        sampler = UniformClipSampler(spec.frames, spec.stride)
        dataset = ClipDataset(videos, sampler, replace_failed=False)
        order = np.random.default_rng([seed, 0xA]).permutation(len(videos))
        for index in order[:_LENDERS].tolist():
            batch = Batch.of([dataset[0, index]])
            if len(batch):
                anchor = self._centre(batch.to(device), "clip")
                scenes.append(segment_motion(anchor, std=spec.std).scene)
                self.lenders.append(index)
        self.scenes = torch.cat(scenes) if scenes else torch.empty(0)

    def windows(self, clips: int) -> ClipDataset:
        """`clips` windows a video, with the optical flow that `views` wants."""
        sampler = ShiftedWindows(self.spec.frames, self.spec.stride, clips)
        flow = make_flow_transform(self.spec.size)
        return ClipDataset(self.videos, sampler, transforms={"clip": flow}, replace_failed=False)

    def views(self, batch: Batch, draw: int, index: int) -> dict[str, Tensor]:
        """The views of one window.

        Args:
            batch: of this one window, from `windows`: neighbours could change padding and pooling.
            draw: the number of the window.
            index: the place of its video.

        Returns:
            float32 (1, 3, T, size, size) by name, "anchor" first; nothing if nothing moves.
        """
        anchor = self._centre(batch, "clip")
        parted = segment_motion(anchor, std=self.spec.std)
        fixed = bool(parted.fixed)
        if fixed and float(parted.share) < STILL:
            self.left_out["all: nothing moves"] += 1
            return {}
        clip, size, middle = batch.clips["clip"], self.spec.size, self.spec.frames // 2
        rng = np.random.default_rng([self.seed, 0xD, draw, index])
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        centre = self.basic.center(clip.sizes.cpu())
        drawn = self.basic.draw(clip.sizes, generator)
        offsets, phi = draw_offsets(1, generator), draw_phi(1, clip.frames, generator)
        views = {
            "anchor": anchor,
            "warp": make_view(clip, centre, size=size, warp_offsets=offsets),
            "colour": make_view(clip, replace(centre, color=drawn.color), size=size),
            "crop": make_view(clip, replace(centre, affine=drawn.affine), size=size),
            "flow": make_view(clip, centre, size=size, phi=phi),
            "reversed": anchor.flip(2),
            "frozen": anchor[:, :, middle : middle + 1].expand_as(anchor),
            "shuffled": anchor[:, :, draw_frame_order(clip.frames, rng)],
        }
        if "shifted" in batch.clips:
            views["shift"] = self._centre(batch, "shifted")
        else:
            self.left_out["shift: video too short"] += 1
        scene = self._lent(index, parted.scene, rng)
        if scene is None:
            self.left_out["background, overlay: no other scene"] += 1
            return views
        views["overlay"] = torch.lerp(anchor, scene.expand_as(anchor), 0.5)
        if fixed:
            views["background"] = paste_motion(anchor, parted.mask, scene)
        else:
            self.left_out["background: the camera moves"] += 1
        return views

    def _centre(self, batch: Batch, name: str) -> Tensor:
        clip = batch.clips[name]
        return make_view(clip, self.basic.center(clip.sizes.cpu()), size=self.spec.size)

    def _lent(self, index: int, own: Tensor, rng: np.random.Generator) -> Tensor | None:
        """The scene of a lender drawn at random, of another file and unlike the own scene."""
        alike = correlate_scenes(own, self.scenes).tolist() if self.lenders else []
        for place in rng.permutation(len(self.lenders)).tolist():
            other = self.videos[self.lenders[place]].file != self.videos[index].file
            if other and alike[place] < ALIKE:
                return self.scenes[place : place + 1]
        return None


def draw_frame_order(frames: int, rng: np.random.Generator) -> list[int]:
    """A random order of frames, neither forwards nor backwards."""
    while True:
        order: list[int] = rng.permutation(frames).tolist()
        if order not in (sorted(order), sorted(order, reverse=True)):
            return order
