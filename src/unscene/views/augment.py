"""Basic augmentation: settings -> random parameters of views (`draw`) -> views (`make_view`).

Convention
----------
Parameters are drawn on the CPU from the caller's generator, one set per sample, and hold for all
frames of its clip. The same generator state gives the same parameters on every machine.

Deviation from PIL and torchvision: crops are continuous; neither position nor size is rounded to
whole pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from unscene.device import fp32_context
from unscene.encoders.base import IMAGENET_MEAN, IMAGENET_STD
from unscene.video.clip import ClipBatch
from unscene.views import color, disturb, geometry
from unscene.views.render import pool_from, render

Preset = Literal["paper", "dsm-code", "mild", "modern", "cmd", "cmd-finetune", "none"]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class ViewParameters:
    """All random parameters of a batch of views, and the normalization.

    Attributes:
        affine: float32 (B, 3, 3), from the view to the source frame.
        color: factors of the color jitter.
        blur_sigma: float32 (B,), standard deviation in pixels of the view, 0 for no blur.
        mean, std: of the normalization, for RGB in 0..1.
        black_outside: the view is black where it shows what lies outside of the frame; False: the
            border of the frame repeats there.
    """

    affine: Tensor
    color: color.ColorFactors
    blur_sigma: Tensor
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    black_outside: bool = False

    def __len__(self) -> int:
        return len(self.affine)

    def __repr__(self) -> str:
        maps = [
            f"[{a:+.3f} {b:+.3f} {c:+.3f}; {d:+.3f} {e:+.3f} {f:+.3f}]"
            for (a, b, c), (d, e, f), _ in self.affine.tolist()
        ]
        blur = [round(value, 2) for value in self.blur_sigma.tolist()]
        return (
            f"ViewParameters({len(self)} views,\n  affine={', '.join(maps)},\n"
            f"  color={self.color},\n  blur_sigma={blur})"
        )


@dataclass(frozen=True)
class BasicAugmentation:
    """Crop, rotation, flip, color jitter, gray and blur; the same for all frames of a clip.

    Attributes:
        size: side of the square view in pixels.
        rotation: degrees; the frame rotates by U[-rotation, rotation] before it is cropped.
        short_side: resize the short side of the frame to short_side * size, then crop a random
            square; used if scale is None.
        scale: range of the area of a random resized crop, as a share of the frame; or None.
        ratio: range of the aspect ratio of a random resized crop, log-uniform.
        flip: probability of a horizontal flip. Zero in every preset except CMD's, which flips its
            motion target too, because a flip turns motion to the left into motion to the right.
        jitter: j of brightness, contrast and saturation (factors from [max(0, 1-j), 1+j]) and of
            hue (turns from [-j, j]; 0.5 is the full circle).
        jitter_one: only one of the four factors, another one for every clip, changes it.
        jitter_p, gray_p, blur_p: probabilities.
        blur_sigma: range of the standard deviation in pixels of the view.
        mean, std: normalization, for RGB in 0..1.
        black_outside: see `ViewParameters`: corners that a rotation uncovers.
        random: False: every draw is the center view without jitter.

    >>> BasicAugmentation.paper(112).rotation
    10.0
    >>> sizes = torch.tensor([[240, 320], [120, 160]])  # (H, W) of two videos
    >>> params = BasicAugmentation.modern(64).draw(sizes, torch.Generator().manual_seed(0))
    >>> len(params), params.affine.shape
    (2, torch.Size([2, 3, 3]))
    """

    size: int = 112
    rotation: float = 0.0
    short_side: float = 256 / 224
    scale: tuple[float, float] | None = None
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.0
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    jitter_one: bool = False
    jitter_p: float = 1.0
    gray_p: float = 0.0
    blur_p: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    mean: Triple = field(default=IMAGENET_MEAN)
    std: Triple = field(default=IMAGENET_STD)
    black_outside: bool = False
    random: bool = True

    def __post_init__(self) -> None:
        if self.size < 1 or self.short_side < 1:
            raise ValueError(
                f"size and short_side must be at least 1, got {self.size} and {self.short_side}"
            )
        if not 0 <= self.jitter[3] <= 0.5:
            raise ValueError(f"hue jitter must be in 0..0.5 turns, got {self.jitter[3]}")

    @classmethod
    def paper(cls, size: int = 112) -> BasicAugmentation:
        """DSM's: rotation 10, short side 256/224, strong jitter, no flip.

        The paper leaves it open. The numbers are those of the authors' code, which means to apply
        all four factors of the jitter, as here, and applies one: `dsm_code`.
        """
        return cls(size, rotation=10.0, jitter=(0.5, 0.5, 0.25, 0.5))

    @classmethod
    def dsm_code(cls, size: int = 112) -> BasicAugmentation:
        """`paper` as DSM's public code does it: one factor of the jitter per clip, black corners.

        Hue changes in a quarter of the clips only.
        """
        return replace(cls.paper(size), jitter_one=True, black_outside=True)

    @classmethod
    def mild(cls, size: int = 112) -> BasicAugmentation:
        """The geometry of `paper`, with colors nearly as filmed: they still show the place."""
        return cls(size, rotation=10.0, jitter=(0.1, 0.1, 0.05, 0.01))

    @classmethod
    def modern(cls, size: int = 112) -> BasicAugmentation:
        """MoCo v2's, applied to video: random resized crop, jitter, gray, blur."""
        return cls(
            size,
            scale=(0.2, 1.0),
            jitter=(0.4, 0.4, 0.4, 0.1),
            jitter_p=0.8,
            gray_p=0.2,
            blur_p=0.5,
        )

    @classmethod
    def cmd(cls, size: int = 112) -> BasicAugmentation:
        """CMD's (authors' code): `modern` with flips, and jitter for half of the clips."""
        return replace(cls.modern(size), flip=0.5, jitter_p=0.5)

    @classmethod
    def cmd_finetune(cls, size: int = 112) -> BasicAugmentation:
        """`cmd` as the authors fine-tune: rotation 10, never gray."""
        return replace(cls.cmd(size), rotation=10.0, gray_p=0.0)

    @classmethod
    def none(cls, size: int = 112) -> BasicAugmentation:
        """The center view, nothing random."""
        return cls(size, random=False)

    @classmethod
    def of(cls, preset: Preset, size: int = 112) -> BasicAugmentation:
        """Make a preset by its name. Raises ValueError for an unknown name."""
        presets = {name: getattr(cls, name.replace("-", "_")) for name in get_args(Preset)}
        if preset not in presets:
            raise ValueError(f"augmentation must be one of {sorted(presets)}, got {preset!r}")
        return presets[preset](size)

    def with_normalization(self, mean: Sequence[float], std: Sequence[float]) -> BasicAugmentation:
        """Replace the normalization, one value each for R, G and B: those of an encoder."""
        mean_rgb, std_rgb = ((r, g, b) for r, g, b in (mean, std))
        return replace(self, mean=mean_rgb, std=std_rgb)

    def center(self, sizes: Tensor) -> ViewParameters:
        """Return the parameters of evaluation: resize the short side, crop the center, no jitter.

        Args:
            sizes: (B, 2), (H, W) of the frames.
        """
        half = self._square(sizes)
        affine = geometry.crop(torch.cat([-half, half], dim=1))
        factors = color.ColorFactors.neutral(len(sizes))
        return ViewParameters(affine, factors, torch.zeros(len(sizes)), self.mean, self.std)

    def draw(self, sizes: Tensor, generator: torch.Generator) -> ViewParameters:
        """Draw random parameters for every sample.

        Args:
            sizes: (B, 2), (H, W) of the frames, as in `ClipBatch.sizes`.
            generator: a CPU generator, the only source of randomness.
        """
        if not self.random:
            return self.center(sizes)
        sizes = sizes.cpu()
        batch = len(sizes)

        def uniform(low: float, high: float) -> Tensor:
            return torch.rand(batch, generator=generator) * (high - low) + low

        half = self._square(sizes) if self.scale is None else self._resized(sizes, generator)
        # The crop may lie anywhere inside of the frame.
        room = (1 - half).clamp(min=0)
        middle = torch.stack([uniform(-1, 1), uniform(-1, 1)], dim=1) * room
        affine = geometry.crop(torch.cat([middle - half, middle + half], dim=1))
        affine = geometry.compose(affine, geometry.flip(uniform(0, 1) < self.flip))
        if self.rotation:
            angle = uniform(-self.rotation, self.rotation)
            turn = geometry.rotate(angle, sizes[:, 1] / sizes[:, 0])
            affine = geometry.compose(turn, affine)

        *factors, hue = self.jitter
        jittered = uniform(0, 1) < self.jitter_p
        bright, contrast, saturation = (
            torch.where(jittered, uniform(max(0.0, 1 - j), 1 + j), torch.ones(batch))
            for j in factors
        )
        turns = torch.where(jittered, uniform(-hue, hue), torch.zeros(batch))
        gray = uniform(0, 1) < self.gray_p
        drawn = color.ColorFactors(bright, contrast, saturation, turns, gray)
        if self.jitter_one:
            drawn = drawn.keep_one(torch.randint(4, (batch,), generator=generator))
        blurred = uniform(0, 1) < self.blur_p
        sigma = torch.where(blurred, uniform(*self.blur_sigma), torch.zeros(batch))
        return ViewParameters(affine, drawn, sigma, self.mean, self.std, self.black_outside)

    def _square(self, sizes: Tensor) -> Tensor:
        """Half extents (B, 2) in (x, y) of the square crop from the resized frame."""
        sides = sizes.cpu().float().flip(1)
        return sides.amin(dim=1, keepdim=True) / self.short_side / sides

    def _resized(self, sizes: Tensor, generator: torch.Generator, tries: int = 10) -> Tensor:
        """Half extents (B, 2) of random resized crops, drawn as torchvision draws them.

        Deviation: if none of the tries fits into the frame, the box has torchvision's size but a
        random position; torchvision centers it.
        """
        assert self.scale is not None
        sides = sizes.float().flip(1)[:, None]  # (B, 1, 2): W, H
        batch = len(sizes)
        low, high = self.scale
        area = torch.rand(batch, tries, generator=generator) * (high - low) + low
        area = area * sides.prod(dim=-1)
        low, high = (math.log(value) for value in self.ratio)
        ratio = torch.exp(torch.rand(batch, tries, generator=generator) * (high - low) + low)
        boxes = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=-1)
        fits = (boxes <= sides).all(dim=-1)
        # The first try that fits; if none does, the largest box of an allowed ratio.
        first = fits.int().argmax(dim=1)
        chosen = boxes[torch.arange(batch), first]
        width, height = sides[:, 0, 0], sides[:, 0, 1]
        aspect = (width / height).clamp(*self.ratio)
        fallback = torch.stack(
            [torch.minimum(width, height * aspect), torch.minimum(height, width / aspect)], dim=1
        )
        return torch.where(fits.any(dim=1)[:, None], chosen, fallback) / sides[:, 0]


def make_view(
    batch: ClipBatch,
    params: ViewParameters,
    *,
    size: int,
    warp_offsets: Tensor | None = None,
    bumps: Tensor | None = None,
    phi: Tensor | None = None,
    camera: Tensor | None = None,
) -> Tensor:
    """Make one view of every clip: a crop with color jitter, optionally with DSM's disturbances.

    Args:
        batch: B clips of T frames, on any device.
        params: from `BasicAugmentation.draw` or `.center`.
        size: side of the view in pixels.
        warp_offsets: (B, N, 2), from `disturb.draw_offsets`: the warp of DSM's positive.
        bumps: (B, N, 5), from `disturb.draw_bumps`: the warp of DSM's public code, instead.
        phi: (B, T-1), from `disturb.draw_phi`: the flow scaling of DSM's negative; needs
            `batch.flow`.
        camera: (B, T-1, 2, 3), the camera's motion, which phi leaves as it is: `flow.find_camera`.

    Returns:
        float32 (B, 3, T, size, size), normalized RGB, on the batch's device.

    Raises:
        ValueError: phi is given for a batch without flow, or params are of another batch size.

    >>> from unscene.video.clip import Clip, ClipBatch
    >>> gray = torch.full((8, 60, 80), 128, dtype=torch.uint8)
    >>> clip = Clip(gray, gray[:, ::2, ::2], gray[:, ::2, ::2], torch.arange(8).double() / 25)
    >>> batch = ClipBatch.of([clip, clip])
    >>> params = BasicAugmentation.paper(32).draw(batch.sizes, torch.Generator().manual_seed(0))
    >>> make_view(batch, params, size=32).shape
    torch.Size([2, 3, 8, 32, 32])
    """
    if len(params) != len(batch):
        raise ValueError(f"{len(params)} sets of parameters for a batch of {len(batch)}")
    with fp32_context(batch.device):
        device = batch.device
        affine = params.affine.to(device)
        if warp_offsets is not None:
            grid = disturb.warp(affine, warp_offsets.to(device), (size, size))
        elif bumps is not None:
            grid = disturb.warp_bumps(affine, bumps.to(device), (size, size))
        else:
            grid = geometry.grid(affine, (size, size))
        frames = None
        if phi is not None:
            if batch.flow is None:
                raise ValueError(
                    "flow scaling needs batch.flow: see `unscene.motion.flow.add_flow`"
                )
            grid, frames = disturb.scale_flow(grid, batch.flow, phi.to(device), camera)
        factors = params.color.to(device)
        full_range, bt709 = batch.full_range, batch.bt709

        def matrix(mean_yuv: Tensor) -> Tensor:
            return color.view_matrix(
                factors, mean_yuv, full_range, bt709, mean=params.mean, std=params.std
            )

        shrinkage = geometry.shrinkage(params.affine, batch.sizes.cpu(), (size, size))
        return render(
            batch,
            grid,
            matrix,
            frames=frames,
            blur_sigma=params.blur_sigma.to(device)
            if bool((params.blur_sigma > 0).any())
            else None,
            clamp=color.bounds(params.mean, params.std),
            pool=pool_from(shrinkage),
            black_outside=params.black_outside,
        )
