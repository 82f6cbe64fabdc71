"""Clips for other people's models, and models of transformers that are small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

T, SIZE = 4, 32
SMALL: dict[str, Any] = {"frames": T, "size": SIZE}


def clips(frames: int = T, size: int = SIZE, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(0))


def moves_with(maps: Callable[[Tensor], Tensor]) -> None:
    """A change at one time and place is in the map at that time and place, and nowhere else."""
    clip, other = clips(), clips()
    other[:, :, 2:4, 16:24, 8:16] += 3  # second tubelet, third row, second column
    changed = (maps(clip) - maps(other)).abs().amax(dim=(0, 1)) > 1e-6
    assert changed.nonzero().tolist() == [[1, 2, 1]]


def tiny(kind: str, **options: Any) -> Any:
    """A model of transformers with random weights, as small as its class permits."""
    transformers = pytest.importorskip("transformers")
    common = {
        "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "num_labels": 5,
    }  # fmt: skip
    sizes: dict[str, Any] = {"image_size": SIZE, "patch_size": 8, "num_frames": T}
    name = {"videomae": "VideoMAE", "timesformer": "Timesformer", "vivit": "Vivit"}.get(
        kind, "VJEPA2"
    )
    if kind == "vivit":
        sizes = {"image_size": SIZE, "tubelet_size": [2, 8, 8], "num_frames": T}
    if kind == "vjepa2":
        sizes = {
            "crop_size": SIZE, "patch_size": 8, "frames_per_clip": T, "pred_hidden_size": 24,
            "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1, "num_pooler_layers": 1,
            "mlp_ratio": 1.0,
        }  # fmt: skip
    else:
        sizes["intermediate_size"] = 24
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**common, **sizes, **options)
    made = getattr(transformers, f"{name}ForVideoClassification")(config)
    with torch.no_grad():  # as drawn, all is so small that tokens hardly differ
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    return made.eval()
