"""Each view of the decoupling score changes one thing, and leaves the other alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from media import write
from unscene.data.listing import open_catalog
from unscene.data.loading import Batch
from unscene.encoders import EncoderSpec
from unscene.evaluate.decoupling_views import PerturbationFactory

SPEC = EncoderSpec("none", {}, 1, 8, 1, 48, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def views(path: Path, luma: list[np.ndarray]) -> list[dict[str, Tensor]]:
    """Views of the one clip of a video, drawn with eight seeds."""
    write(path, luma, options={"crf": "4"})
    videos = open_catalog(path.parent).videos
    factories = [PerturbationFactory(videos, SPEC, seed, "cpu") for seed in range(8)]
    batch = Batch.of([factories[0].make_dataset(1)[0, 0]])
    return [factory.make_views(batch, 0, 0) for factory in factories]


def likeness(one: Tensor, other: Tensor) -> float:
    """The correlation of the brightness of two pictures."""
    gray = torch.stack([picture.mean(dim=1).flatten() for picture in (one, other)])
    return float(torch.corrcoef(gray)[0, 1])


def test_color_keeps_every_edge_in_its_place_and_crop_does_not(tmp_path: Path) -> None:
    """A checkerboard that is pushed to the right."""
    rows, columns = np.mgrid[:64, :64] // 4
    board = (70 + 60 * ((rows + columns) % 2)).astype(np.uint8)
    for view in views(tmp_path / "a.mp4", [np.roll(board, t, axis=1) for t in range(12)]):
        assert likeness(view["anchor"], view["colour"]) > 0.99
        assert likeness(view["anchor"], view["crop"]) < 0.9
        assert (view["anchor"] - view["colour"]).abs().mean() > 0.01


def test_crop_keeps_every_color_and_color_does_not(tmp_path: Path) -> None:
    """A wall of one color, on which the light changes."""
    wall = [np.full((64, 64), 80 + 6 * t, np.uint8) for t in range(12)]
    for view in views(tmp_path / "a.mp4", wall):
        anchor, color, crop = (view[k].mean((0, 3, 4)) for k in ("anchor", "colour", "crop"))
        torch.testing.assert_close(crop, anchor, atol=0.01, rtol=0)
        assert (color - anchor).abs().max() > 0.02
