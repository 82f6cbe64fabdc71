"""Frames are normalized as an encoder's spec says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from media import pan, write
from unscene.data.listing import open_catalog
from unscene.encoders import EncoderSpec, VideoEncoder
from unscene.evaluate.features import Features, extract

Triple = tuple[float, float, float]


class Average(VideoEncoder):
    """The mean color of what it is shown; as a map, the colors themselves."""

    def __init__(self, mean: Triple, std: Triple) -> None:
        spec = EncoderSpec("average", {}, 3, frames=2, stride=1, size=16, mean=mean, std=std)
        super().__init__(spec, stage_dims=(3,), minimum=(1, 1, 1))

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        return clip_BCTHW.mean((2, 3, 4))

    def forward_maps(self, clip_BCTHW: Tensor) -> Tensor:
        return clip_BCTHW


@pytest.mark.parametrize("mode", ["video", "clip"])
def test_frames_are_normalized_as_the_encoder_says(mode: str, tmp_path: Path) -> None:
    for i in range(2):
        write(tmp_path / f"{i}.mp4", pan(6 + i, (32, 40), (2, i)))
    videos = open_catalog(tmp_path).videos
    mean, std = (0.2, 0.5, 0.7), (0.1, 0.25, 2.0)

    def read(encoder: VideoEncoder) -> Features:
        return extract(encoder, videos, mode=mode, clips=2)  # type: ignore[arg-type]

    plain, normal = read(Average((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))), read(Average(mean, std))
    assert plain.values.shape[1] == (3 if mode == "video" else 3 * 2 * 7 * 7)
    colors = plain.values.view(len(plain.values), 3, -1)
    assert 0 <= colors.min() < colors.max() <= 1
    expected = (colors - torch.tensor(mean)[:, None]) / torch.tensor(std)[:, None]
    torch.testing.assert_close(normal.values, expected.flatten(1), rtol=1e-4, atol=1e-4)
