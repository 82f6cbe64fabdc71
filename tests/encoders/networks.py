"""The architectures that tests look at, made once: with real weights, or shapes alone."""

from __future__ import annotations

from functools import cache

import torch

from unscene.encoders import VideoEncoder, create_encoder

# One of each kind of network with real weights; the deeper ones are the same code, and their
# shapes and counts are checked without memory on the "meta" device.
BUILT = ("c3d", "i3d", "r2plus1d10", "r3d-narrow", "r3d10", "s3dg")


@cache
def built(name: str) -> VideoEncoder:
    torch.manual_seed(0)
    return create_encoder(name)


@cache
def on_meta(name: str, **options: object) -> VideoEncoder:
    with torch.device("meta"):
        return create_encoder(name, **options)


def maps_of(encoder: VideoEncoder, t: int, h: int, w: int) -> list[tuple[int, ...]]:
    if encoder.input == "flow":
        maps = encoder.forward_flow(torch.empty(2, t - 1, h, w, 2, device="meta"))
    else:
        maps = encoder.forward_stages(torch.empty(2, encoder.spec.channels, t, h, w, device="meta"))
    return [tuple(one.shape) for one in maps]


def random_clip(encoder: VideoEncoder, t: int, h: int, w: int, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, encoder.spec.channels, t, h, w, generator=generator)
