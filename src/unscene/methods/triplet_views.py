"""The anchor, positive and negative of DSM (arXiv 2009.05757), for every method that uses them.

    anchor    a = b(c1)   basic augmentation
    positive  p = s(c2)   spatial local disturbance: one thin-plate warp for all frames
    negative  n = t(c3)   temporal local disturbance: shifted (eq. 4), flow scaled (eq. 3)

Choices that the paper leaves open:
- Order of the temporal disturbances: shift first, then scale the shifted clip.
- The flow algorithm is not stated. Here it is DIS; or motion vectors (`--flow codec`); or motion
  vectors where the stream has one reference and no B-frames and the picture has 14 blocks or more
  along its short side (`--flow auto`). Vectors are read faster but taught no more in our
  experiments (experiments/LOG.md).
- Table 4 does not say how a positive without the warp is augmented: as MoCo's, p = b(c2).
- What flow scaling shows of what lies outside of the frame is the repeated border in our default
  preset. The paper speaks of a black boundary: `--flow_border black`, as in `--preset paper`.
- Views of an encoder of motion vectors are flow: the warp moves and turns it, flow scaling
  multiplies it. `--flow` then has nothing to say.
- `--other_scene` puts what moves in the positive over another video's scene
  (`views.background_swap`). It is ours, and off in every preset of DSM.
What DSM's public code does instead is in the settings, too: `warp_kind`, `warp_on`, `shift_start`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from unscene.config import require
from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.methods.base import Method
from unscene.methods.settings import CommonSettings
from unscene.motion.flow import has_usable_vectors, make_flow_transform
from unscene.video.clip import Clip
from unscene.video.sampling import ClipSampler, RandomClipSampler
from unscene.views.augment import BasicAugmentation, ViewParameters
from unscene.views.background_swap import swap_background
from unscene.views.disturb import draw_bumps, draw_offsets, draw_phi
from unscene.views.flow import find_camera

# What turns MoCo's views into DSM's.
DISTURBED: dict[str, Any] = {"warp": True, "flow_scaling": True, "shift": True}
_NAMES = (
    *("basic_on", "warp", "warp_kind", "warp_on", "warp_points", "warp_reach"),
    *("flow_scaling", "flow_max", "flow", "flow_border", "camera"),
    *("shift", "shift_range", "shift_loops", "shift_start", "other_scene"),
)
# The paper's: it speaks of a black boundary of scaled clips.
PAPER_VIEWS: dict[str, Any] = DISTURBED | {"flow_border": "black"}
# What the views of DSM's public code have instead (methods.md 1.5).
OFFICIAL_VIEWS: dict[str, Any] = DISTURBED | {
    "basic_on": "all",
    "warp_kind": "bumps",
    "warp_on": "anchor",
    "flow_scaling": False,
    "shift_start": "anywhere",
}


@dataclass(frozen=True, kw_only=True)
class DisturbanceSettings(CommonSettings):
    """Spatial and temporal local disturbance of the views.

    Attributes:
        basic_on: which views get the basic augmentation: "anchor" (the paper: a = b(c1), p = s(c2),
            n = t(c3)) or "all" three.
        warp: use the spatial local disturbance.
        warp_kind: "spline" (the paper), or "bumps" (the authors' code): one to three local shifts.
        warp_on: the view that is warped: the "positive" (the paper) or the "anchor" (the authors'
            code).
        warp_points: control points along a side of the frame; N is its square.
        warp_reach: C, reach of the offsets in normalized units (0.2 is a tenth of the frame).
        flow_scaling: scale the motion of the negative by phi(t) ~ U[0, flow_max] (eq. 3).
        flow_max: M, largest factor of the negative's motion; 1 leaves it as it is.
        flow: where flow comes from: "dis" (computed in the workers), "codec" (motion vectors), or
            "auto": motion vectors if the stream has one reference and no B-frames and its blocks
            are small beside the picture, DIS otherwise.
        flow_border: what flow scaling shows of what lies outside of the frame: "black" (the paper),
            or "repeat", the border.
        camera: flow scaling scales the camera's motion, too ("in", the paper), or leaves the camera
            as it is and scales what moves against the scene ("out").
        shift: shift the negative in time (eq. 4).
        shift_range: least and most frames of the video that the negative is shifted by.
        shift_loops: a negative that is shifted past the end continues at the beginning (eq. 4), and
            jumps there; false: both clips lie where that does not happen, if there is room.
        shift_start: "near" draws the shift from `shift_range`; "anywhere" (the authors' code) draws
            the start of the negative independently, anywhere in the video.
        other_scene: how often what moves in the positive is pasted over another video's scene,
            0..1.
    """

    drawn: ClassVar[tuple[str, ...]] = _NAMES

    basic_on: Literal["anchor", "all"] = "anchor"
    warp: bool = False
    warp_kind: Literal["spline", "bumps"] = "spline"
    warp_on: Literal["positive", "anchor"] = "positive"
    warp_points: int = 5
    warp_reach: float = 0.2
    flow_scaling: bool = False
    flow_max: float = 5.0
    flow: Literal["auto", "dis", "codec"] = "dis"
    flow_border: Literal["repeat", "black"] = "repeat"
    camera: Literal["in", "out"] = "in"
    shift: bool = False
    shift_range: tuple[int, int] = (2, 20)
    shift_loops: bool = True
    shift_start: Literal["near", "anywhere"] = "near"
    other_scene: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, ("warp_points",), lambda v: v >= 2, "must be at least 2")
        require(self, ("warp_reach", "flow_max"), lambda v: v >= 0, "must not be negative")
        require(self, ("other_scene",), lambda v: 0 <= v <= 1, "must lie in 0..1")
        remedy = "must be two counts, first <= second"
        require(self, ("shift_range",), lambda v: 0 <= v[0] <= v[1], remedy)
        least = 2 if self.flow_scaling else 1
        require(self, ("frames",), lambda v: v >= least, "flow scaling needs 2 frames")


def takes_vectors(video: Video) -> bool:
    """Whether `--flow auto` takes the motion vectors of a checked video."""
    assert video.info is not None
    return has_usable_vectors(video.info)


class TripletViews(Method):
    """Views of DSM; what its two losses and `unscene` share."""

    settings: DisturbanceSettings
    takes_vectors = True

    @property
    def has_negative(self) -> bool:
        return self.settings.flow_scaling or self.settings.shift

    @property
    def negative_clip(self) -> str:
        """Name of the clip that the negative is made of."""
        return "shifted" if self.settings.shift else "clip"

    def sampler(self) -> ClipSampler:
        return self.clip_sampler()

    def clip_sampler(self) -> RandomClipSampler:
        """The clip, and the same clip shifted in time."""
        s = self.settings
        vectors = s.flow_scaling and s.flow != "dis"
        return RandomClipSampler(
            s.frames,
            s.stride,
            shift=s.shift_range if s.shift else None,
            loops=s.shift_loops,
            anywhere=s.shift_start == "anywhere",
            motion=(self.negative_clip,) if vectors else (),
        )

    def transforms(self) -> dict[str, Callable[[Clip], Clip]]:
        if not self.settings.flow_scaling:
            return {}
        return {self.negative_clip: make_flow_transform(self.settings.size, self.settings.flow)}

    def vectors(self) -> dict[str, Callable[[Video], bool]]:
        return {self.negative_clip: takes_vectors} if self.settings.flow == "auto" else {}

    def views(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        s, clip = self.settings, batch.clips["clip"]
        params = self.basic.draw(clip.sizes, generator)
        warp = self._warp("anchor", len(clip), generator)
        views = {"anchor": self.show(clip, params, **warp)}
        views |= self._further_views(batch, params)
        disturbed = self._crop_only() if s.basic_on == "anchor" else self.basic
        # Without the warp the positive is MoCo's, p = b(c2): a bare crop would be an easier task.
        warped = s.warp and s.warp_on == "positive"
        params = (disturbed if warped else self.basic).draw(clip.sizes, generator)
        warp = self._warp("positive", len(clip), generator)
        views["positive"] = self.show(clip, params, **warp)
        if s.other_scene and self.encoder.input != "vectors":  # they show no scene
            chosen = torch.rand(len(clip), generator=generator) < s.other_scene
            views["positive"] = swap_background(
                views["positive"], batch.index, chosen, std=self.basic.std
            )
        if self.has_negative:
            other = batch.clips[self.negative_clip]
            params = disturbed.draw(other.sizes, generator)
            views["negative"] = self._negative(batch, params, generator)
        return views

    def _further_views(self, batch: Batch, params: ViewParameters) -> dict[str, Tensor]:
        """Views that a subclass adds, with the anchor's parameters."""
        return {}

    def _warp(self, view: str, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """The spatial local disturbance of a view, as arguments of `make_view`."""
        s = self.settings
        if not s.warp or s.warp_on != view:
            return {}
        if s.warp_kind == "bumps":
            return {"bumps": draw_bumps(batch, generator)}
        drawn = draw_offsets(batch, generator, points=s.warp_points, reach=s.warp_reach)
        return {"warp_offsets": drawn}

    def captions(self) -> dict[str, str]:
        s = self.settings
        warped = s.warp and s.warp_on == "positive"
        scene = ["warped scene"] if warped else []
        if s.other_scene:
            scene.append("sometimes the scene of another video")
        changes = {
            (True, True): "shifted in time, each step stretched or stalled",
            (True, False): "each step stretched or stalled",
            (False, True): "another moment of the video",
            (False, False): "",
        }
        captions = super().captions()
        if s.warp and not warped:
            captions["anchor"] = "the clip, with the scene warped"
        if scene:
            captions["positive"] = f"same motion, {', '.join(scene)}"
        disturbance = changes[s.flow_scaling, s.shift]
        captions["negative"] = f"same scene, disturbed motion: {disturbance}"
        without = ", the camera taken out" if s.camera == "out" else ""
        captions["flow"] = f"optical flow of the clip the negative is made from{without}"
        return captions

    def aim(self) -> str:
        away = "the negative" if self.has_negative else "other videos"
        return f"Training pulls the positive to the anchor and pushes {away} away."

    def refuses(self, video: Video) -> str | None:
        info, s = video.info, self.settings
        assert info is not None
        if (reason := super().refuses(video)) is not None:
            return reason
        if s.flow_scaling and s.flow == "codec" and info.without_vectors:
            return f"{info.without_vectors}: `unscene prepare`, or --flow auto"
        return None

    def _negative(self, batch: Batch, params: ViewParameters, generator: torch.Generator) -> Tensor:
        s, clip = self.settings, batch.clips[self.negative_clip]
        phi = (
            draw_phi(len(clip), s.frames, generator, maximum=s.flow_max) if s.flow_scaling else None
        )
        if s.flow_scaling and s.flow_border == "black":
            params = replace(params, black_outside=True)
        disturbances = {"phi": phi}
        # Motion vectors that an encoder reads are without the camera.
        if phi is not None and s.camera == "out" and self.encoder.input != "vectors":
            disturbances["camera"] = find_camera(clip)
        return self.show(clip, params, **disturbances)

    def _crop_only(self) -> BasicAugmentation:
        """The random crop that c2 and c3 get, and nothing else of the basic augmentation."""
        none = (0.0, 0.0, 0.0, 0.0)
        return replace(self.basic, rotation=0.0, flip=0.0, jitter=none, gray_p=0.0, blur_p=0.0)
