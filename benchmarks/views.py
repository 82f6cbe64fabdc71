"""Views: DSM's triplet from decoded planes, against per-frame PIL and against kornia.

The triplet is anchor (basic augmentation), positive (that and a thin-plate warp) and negative (that
and flow scaling, flow given). The alternatives do the same work with the same ranges; what they
could not know is given to them: the spline is linear in its points for them too, and kornia starts
from RGB floats. As a = b(c1), p = s(c2), n = t(c3) are made of three clips, PIL turns the frames of
each into RGB, as ours turns the planes of each.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import kornia.augmentation as ka
import numpy as np
import torch
import torch.nn.functional as F
from harness import Options, Row, footage, turns
from PIL import Image, ImageEnhance

from unscene.motion.flow import add_flow
from unscene.video.clip import Clip, ClipBatch
from unscene.video.decode import read_clips
from unscene.video.sampling import Request, clip_offsets
from unscene.views import BasicAugmentation, draw_offsets, draw_phi, make_view, tps_grid

CLIPS, FRAMES, SIZE, SHORT = 8, 16, 112, 128
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run(options: Options) -> Iterator[Row]:
    torch.manual_seed(0)
    with footage(CLIPS) as (paths, kind):
        request = Request(0.0, {"clip": clip_offsets(FRAMES, 4)})
        paths = [paths[k % len(paths)] for k in range(CLIPS)]
        clips = [add_flow(read_clips(path, request)["clip"], "dis", grid=SIZE) for path in paths]
    batch = ClipBatch.of(clips)
    generator = torch.Generator().manual_seed(0)
    repetitions = options.times(5, 2)

    def ours() -> None:
        triplet(batch, generator)

    def pil() -> None:
        pil_triplet(clips, np.random.default_rng(0))

    rgb = torch.stack([torch.stack([to_tensor(f) for f in pil_frames(clip)]) for clip in clips])
    anchor, positive = kornia_pipeline(warp=False), kornia_pipeline(warp=True)

    def with_kornia() -> None:
        anchor(rgb)
        positive(rgb)
        anchor(scaled(rgb, batch))

    mine, per_frame, kornia = turns(ours, pil, with_kornia, repetitions=repetitions)
    threads = torch.get_num_threads()
    for name, seconds, against, target in (
        ("pil", per_frame, "PIL and cv2.remap, frame by frame (as the authors')", ">= 10"),
        ("kornia", kornia, "kornia VideoSequential on RGB floats", ">= 5"),
    ):
        yield Row(
            name=f"views.{name}",
            what=f"DSM triplets of {FRAMES}x{SIZE}x{SIZE}",
            ours=CLIPS / mine,
            alternative=CLIPS / seconds,
            against=against,
            unit="triplets/s",
            ratio=seconds / mine,
            target=target,
            repetitions=repetitions,
            note=f"batch of {CLIPS} from {kind}, {threads} torch thread(s)",
        )


def triplet(batch: ClipBatch, generator: torch.Generator) -> list[torch.Tensor]:
    """What methods.dsm does where all three views get the basic augmentation."""
    basic = BasicAugmentation.paper(SIZE)
    offsets = draw_offsets(len(batch), generator)
    phi = draw_phi(len(batch), batch.frames, generator)
    return [
        make_view(batch, basic.draw(batch.sizes, generator), size=SIZE, **disturbance)
        for disturbance in ({}, {"warp_offsets": offsets}, {"phi": phi})
    ]


def pil_frames(clip: Clip) -> list[Image.Image]:
    """Planes to RGB pictures."""
    height, width = clip.size
    frames = []
    for y, u, v in zip(clip.y.numpy(), clip.u.numpy(), clip.v.numpy(), strict=True):
        chroma = (Image.fromarray(c).resize((width, height), Image.Resampling.BILINEAR)
                  for c in (u, v))  # fmt: skip
        frames.append(Image.merge("YCbCr", (Image.fromarray(y), *chroma)).convert("RGB"))
    return frames


def to_tensor(frame: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(frame).transpose(2, 0, 1) / np.float32(255))


def pil_triplet(clips: list[Clip], rng: np.random.Generator) -> list[list[torch.Tensor]]:
    """The same three views, a Python loop over PIL pictures."""
    views: list[list[torch.Tensor]] = [[], [], []]
    step = (np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1)).astype(np.float32)
    for clip in clips:
        offsets = torch.from_numpy(rng.uniform(-0.2, 0.2, (1, 25, 2)).astype(np.float32))
        warp = ((tps_grid(offsets, (SIZE, SIZE))[0].numpy() + 1) * SIZE - 1) / 2
        flow = clip.flow.float().numpy() * (SIZE / 2)
        for view, made in enumerate(views):
            frames = pil_frames(clip)
            angle, (left, top) = rng.uniform(-10, 10), rng.random(2)
            jitter, order = rng.uniform(-1, 1, 4), rng.permutation(4)
            phi = rng.uniform(0, 5, len(frames))
            out = []
            for t in range(len(frames)):
                scaling = view == 2 and t > 0
                frame = cropped(frames[t - 1 if scaling else t], angle, left, top)
                if view == 1:
                    frame = remapped(frame, warp)
                elif scaling:
                    # The flow belongs to the frame; the authors compute it on the crop.
                    frame = remapped(frame, step + flow[t - 1] * np.float32(phi[t]))
                out.append(normalized(jittered(frame, jitter, order)))
            made.append(torch.stack(out, 1))
    return views


def cropped(frame: Image.Image, angle: float, left: float, top: float) -> Image.Image:
    frame = frame.rotate(angle)
    scale = SHORT / min(frame.size)
    width, height = round(frame.width * scale), round(frame.height * scale)
    frame = frame.resize((width, height), Image.Resampling.BILINEAR)
    x, y = int(left * (width - SIZE)), int(top * (height - SIZE))
    return frame.crop((x, y, x + SIZE, y + SIZE))


def remapped(frame: Image.Image, where: np.ndarray) -> Image.Image:
    where = where.astype(np.float32)
    moved = cv2.remap(
        np.asarray(frame), where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return Image.fromarray(moved)


def jittered(frame: Image.Image, jitter: np.ndarray, order: np.ndarray) -> Image.Image:
    """torchvision's ColorJitter(0.5, 0.5, 0.25, 0.5) on PIL pictures."""
    for k in order:
        if k == 0:
            frame = ImageEnhance.Brightness(frame).enhance(1 + 0.5 * jitter[0])
        elif k == 1:
            frame = ImageEnhance.Contrast(frame).enhance(1 + 0.5 * jitter[1])
        elif k == 2:
            frame = ImageEnhance.Color(frame).enhance(1 + 0.25 * jitter[2])
        else:
            hue, saturation, value = frame.convert("HSV").split()
            turned = np.asarray(hue) + np.uint8(int(jitter[3] * 127) % 256)
            turned = Image.fromarray(turned)
            frame = Image.merge("HSV", (turned, saturation, value)).convert("RGB")
    return frame


def normalized(frame: Image.Image) -> torch.Tensor:
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return to_tensor(frame).sub_(mean).div_(std)


def kornia_pipeline(*, warp: bool) -> ka.VideoSequential:
    steps = [
        ka.RandomRotation(10.0, p=1.0),
        ka.Resize(SHORT, side="short"),
        ka.RandomCrop((SIZE, SIZE), p=1.0),
        *([ka.RandomThinPlateSpline(0.2, p=1.0)] if warp else []),
        ka.ColorJitter(0.5, 0.5, 0.25, 0.5, p=1.0),
        ka.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    ]
    return ka.VideoSequential(*steps, data_format="BTCHW", same_on_frame=True)


def scaled(rgb: torch.Tensor, batch: ClipBatch) -> torch.Tensor:
    """Flow scaling of RGB floats (B, T, C, H, W), which kornia has not: a remap of whole frames."""
    pairs, (height, width) = FRAMES - 1, rgb.shape[-2:]
    flow = batch.flow.flatten(0, 1).permute(0, 3, 1, 2).float()
    flow = F.interpolate(flow, (height, width), mode="bilinear").permute(0, 2, 3, 1)
    phi = torch.rand(CLIPS * pairs, 1, 1, 1) * 5
    still = F.affine_grid(torch.eye(2, 3)[None], [1, 1, height, width], align_corners=False)
    moved = F.grid_sample(
        rgb[:, :-1].flatten(0, 1), still + phi * flow, padding_mode="border", align_corners=False
    )
    return torch.cat([rgb[:, :1], moved.unflatten(0, (CLIPS, pairs))], dim=1)
