"""The classes of torchvision and timm themselves, with random weights, where they are installed.

Neither is among the test tools (docs/architecture.md); `test_foreign.py` has models like theirs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from unscene.audit.saliency import class_cam
from unscene.encoders.foreign import ForeignEncoder, adapt

# Frames, side in pixels, shape of the feature maps of one clip.
VIDEO = {
    "r3d_18": (16, 112, (512, 2, 7, 7)),
    "mc3_18": (16, 112, (512, 16, 7, 7)),
    "r2plus1d_18": (16, 112, (512, 2, 7, 7)),
    "s3d": (16, 224, (1024, 2, 7, 7)),
    "mvit_v1_b": (16, 224, (768, 8, 7, 7)),
    "mvit_v2_s": (16, 224, (768, 8, 7, 7)),
    "swin3d_t": (16, 224, (768, 8, 7, 7)),
}
IMAGE = {
    "resnet18": (512, 8, 7, 7),
    "vit_tiny_patch16_224": (192, 8, 14, 14),
    "convnext_atto": (320, 8, 7, 7),
    "efficientnet_b0": (1280, 8, 7, 7),
    "swin_tiny_patch4_window7_224": (768, 8, 7, 7),
}


def installed(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # torchvision beside another torch: the second
        pytest.skip(f"{name} cannot be imported: {error}")


def answers(encoder: object, maps: tuple[int, ...], classes: int, reads_a_token: bool) -> None:
    """Features, maps and logits come from one run."""
    assert isinstance(encoder, ForeignEncoder)
    spec = encoder.spec
    clip = torch.randn(1, 3, spec.frames, spec.size, spec.size)
    read = encoder.read(clip)
    assert read.maps is not None
    assert read.logits is not None
    assert read.features.shape == (1, maps[0])
    assert read.maps.shape == (1, *maps)
    assert read.logits.shape == (1, classes)
    # Grad-CAM finds a way from the logits to the maps, unless a class token is all they read.
    assert (class_cam(encoder, clip) is None) == reads_a_token


@pytest.mark.parametrize("name", VIDEO)
def test_torchvision(name: str) -> None:
    make: Callable[..., object] = getattr(installed("torchvision.models.video"), name)
    frames, size, maps = VIDEO[name]
    encoder = adapt(make(weights=None), frames=frames, size=size)
    assert encoder.spec.mean == (0.43216, 0.394666, 0.37645)
    answers(encoder, maps, 400, name.startswith("mvit"))


@pytest.mark.parametrize("name", IMAGE)
def test_timm_frame_by_frame(name: str) -> None:
    model = installed("timm").create_model(name, pretrained=False)
    answers(adapt(model, frames=8, size=224), IMAGE[name], 1000, name.startswith("vit"))
