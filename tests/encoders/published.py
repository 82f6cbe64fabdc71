"""State dicts as publishers write them, with random weights, and what their networks compute.

Written from the key names, shapes and layer orders of the public repositories, with functions of
torch alone: nothing here knows the package's encoders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]
Triple = tuple[int, int, int]
Network = Callable[[Weights, Tensor], Tensor]


# All weights are parts of this one tensor, so that a file of 60 million weights has 30 MB.
_NOISE = torch.randn(7_500_000, generator=torch.Generator().manual_seed(3))


class Published:
    """Collects random weights under their published names.

    Weights of convolutions have a variance of 1; the running variances of the norms after them
    make up for it.

    Args:
        counted: whether batch norms count batches, as since torch 0.4.1.
    """

    def __init__(self, counted: bool = True) -> None:
        self.weights: Weights = {}
        self.counted = counted
        self.drawn, self.fan = 0, 1

    def normal(self, *shape: int) -> Tensor:
        count = math.prod(shape)
        self.drawn += 1
        begin = self.drawn * 104_729 % (len(_NOISE) - count)
        return _NOISE[begin : begin + count].view(shape)

    def conv(
        self, name: str, inputs: int, outputs: int, kernel: Triple, bias: bool = False
    ) -> None:
        self.fan = inputs * math.prod(kernel)
        self.weights[f"{name}.weight"] = self.normal(outputs, inputs, *kernel)
        if bias:
            self.weights[f"{name}.bias"] = self.normal(outputs) * math.sqrt(self.fan)

    def norm(self, name: str, width: int) -> None:
        self.weights[f"{name}.weight"] = 1 + 0.1 * self.normal(width)
        self.weights[f"{name}.bias"] = 0.1 * self.normal(width)
        scale = math.sqrt(self.fan / 2)
        self.weights[f"{name}.running_mean"] = 0.1 * scale * self.normal(width)
        self.weights[f"{name}.running_var"] = scale**2 * (1 + 0.1 * self.normal(width).abs())
        if self.counted:
            self.weights[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def linear(self, name: str, inputs: int, outputs: int) -> None:
        self.weights[f"{name}.weight"] = self.normal(outputs, inputs) / math.sqrt(inputs)
        self.weights[f"{name}.bias"] = self.normal(outputs)


def conv(w: Weights, name: str, x: Tensor, stride: Sequence[int] | int = 1) -> Tensor:
    kernel = w[f"{name}.weight"]
    around = tuple(side // 2 for side in kernel.shape[2:])
    return F.conv3d(x, kernel, w.get(f"{name}.bias"), stride, around)


def norm(w: Weights, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    mean, var = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, w[f"{name}.weight"], w[f"{name}.bias"], eps=eps)


def factored_width(i: int, o: int, k: Triple) -> int:
    t, h, s = k
    return (t * h * s * i * o) // (h * s * i + t * o)


# -- residual networks ---------------------------------------------------------------------------

STAGES = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


def blocks_of(depth: int) -> list[tuple[int, int, int, int, int]]:
    """(stage from 1, block from 0, inputs, width, stride), the width before any expansion."""
    grow, inputs, found = 4 if depth >= 50 else 1, 64, []
    for stage, count in enumerate(STAGES[depth], start=1):
        width = 64 << (stage - 1)
        for block in range(count):
            found.append((stage, block, inputs, width, 2 if stage > 1 and block == 0 else 1))
            inputs = width * grow
    return found


def hara(depth: int, shortcut: str = "B", *, counted: bool = True, classes: int = 700) -> Weights:
    """kenshohara/3D-ResNets-PyTorch, models/resnet.py."""
    made, grow = Published(counted), 4 if depth >= 50 else 1
    made.conv("conv1", 3, 64, (7, 7, 7))
    made.norm("bn1", 64)
    for stage, block, inputs, width, stride in blocks_of(depth):
        name = f"layer{stage}.{block}"
        if grow == 1:
            shapes = [(inputs, width, 3), (width, width, 3)]
        else:
            shapes = [(inputs, width, 1), (width, width, 3), (width, width * 4, 1)]
        for k, (i, o, side) in enumerate(shapes, start=1):
            made.conv(f"{name}.conv{k}", i, o, (side,) * 3)
            made.norm(f"{name}.bn{k}", o)
        if shortcut == "B" and (stride > 1 or inputs != width * grow):
            made.conv(f"{name}.downsample.0", inputs, width * grow, (1, 1, 1))
            made.norm(f"{name}.downsample.1", width * grow)
    made.linear("fc", 512 * grow, classes)
    return made.weights


def run_hara(w: Weights, x: Tensor, depth: int) -> Tensor:
    x = norm(w, "bn1", conv(w, "conv1", x, (1, 2, 2))).relu()
    x = F.max_pool3d(x, 3, 2, 1)
    for stage, block, _, _, stride in blocks_of(depth):
        name, y = f"layer{stage}.{block}", x
        last = 3 if depth >= 50 else 2
        for k in range(1, last + 1):
            step = stride if k == last - 1 else 1
            y = norm(w, f"{name}.bn{k}", conv(w, f"{name}.conv{k}", y, step))
            y = y.relu() if k < last else y
        if f"{name}.downsample.0.weight" in w:
            x = norm(w, f"{name}.downsample.1", conv(w, f"{name}.downsample.0", x, stride))
        elif x.shape != y.shape:
            x = F.avg_pool3d(x, 1, stride)
            zeros = torch.zeros(len(x), y.shape[1] - x.shape[1], *x.shape[2:])
            x = torch.cat([x, zeros], dim=1)
        x = (x + y).relu()
    return x


def torchvision_kernels(network: str, stage: int) -> tuple[Triple, Triple | None]:
    """The kernel of a block's convolutions and of the one over time after it."""
    if network == "r2plus1d":
        return (1, 3, 3), (3, 1, 1)
    return ((1, 3, 3) if network == "mc3" and stage > 1 else (3, 3, 3)), None


def torchvision(network: str) -> Weights:
    """torchvision.models.video: "r3d", "mc3", "r2plus1d" of depth 18."""
    made = Published()
    if network == "r2plus1d":
        made.conv("stem.0", 3, 45, (1, 7, 7))
        made.norm("stem.1", 45)
        made.conv("stem.3", 45, 64, (3, 1, 1))
        made.norm("stem.4", 64)
    else:
        made.conv("stem.0", 3, 64, (3, 7, 7))
        made.norm("stem.1", 64)
    for stage, block, inputs, width, stride in blocks_of(18):
        kernel, after = torchvision_kernels(network, stage)
        middle = factored_width(inputs, width, (3, 3, 3))
        for k, i in ((1, inputs), (2, width)):
            name = f"layer{stage}.{block}.conv{k}"
            if after:
                made.conv(f"{name}.0.0", i, middle, kernel)
                made.norm(f"{name}.0.1", middle)
                made.conv(f"{name}.0.3", middle, width, after)
            else:
                made.conv(f"{name}.0", i, width, kernel)
            made.norm(f"{name}.1", width)
        if stride > 1:
            made.conv(f"layer{stage}.{block}.downsample.0", inputs, width, (1, 1, 1))
            made.norm(f"layer{stage}.{block}.downsample.1", width)
    made.linear("fc", 512, 400)
    return made.weights


def run_torchvision(w: Weights, x: Tensor, network: str) -> Tensor:
    x = norm(w, "stem.1", conv(w, "stem.0", x, (1, 2, 2))).relu()
    if network == "r2plus1d":
        x = norm(w, "stem.4", conv(w, "stem.3", x)).relu()
    for stage, block, _, _, stride in blocks_of(18):
        name, y = f"layer{stage}.{block}", x
        in_time = 1 if network == "mc3" and stage > 1 else stride
        for k, s, t in ((1, stride, in_time), (2, 1, 1)):
            unit = f"{name}.conv{k}"
            if network == "r2plus1d":
                y = norm(w, f"{unit}.0.1", conv(w, f"{unit}.0.0", y, (1, s, s))).relu()
                y = conv(w, f"{unit}.0.3", y, (t, 1, 1))
            else:
                y = conv(w, f"{unit}.0", y, (t, s, s))
            y = norm(w, f"{unit}.1", y)
            y = y.relu() if k == 1 else y
        if f"{name}.downsample.0.weight" in w:
            x = conv(w, f"{name}.downsample.0", x, (in_time, stride, stride))
            x = norm(w, f"{name}.downsample.1", x)
        x = (x + y).relu()
    return x


def vcop_conv(made: Published, name: str, i: int, o: int, k: Triple, factored: bool) -> None:
    if not factored:
        made.conv(f"{name}.temporal_spatial_conv", i, o, k)
        return
    middle = factored_width(i, o, k)
    made.conv(f"{name}.spatial_conv", i, middle, (1, *k[1:]))
    made.norm(f"{name}.bn", middle)
    made.conv(f"{name}.temporal_conv", middle, o, (k[0], 1, 1))


def vcop_names() -> list[tuple[str, int, int, int]]:
    """Names of blocks, inputs, width, stride of VCOP's networks of depth 10."""
    return [
        (f"conv{stage + 1}.block1", inputs, width, stride)
        for stage, _, inputs, width, stride in blocks_of(10)
    ]


def vcop_resnet(factored: bool) -> Weights:
    """xudejing/video-clip-order-prediction, models/r3d.py and r21d.py, layer_sizes (1, 1, 1, 1)."""
    made = Published()
    vcop_conv(made, "conv1", 3, 64, (3, 7, 7), factored)
    made.norm("bn1", 64)
    for name, inputs, width, stride in vcop_names():
        if stride > 1:
            vcop_conv(made, f"{name}.downsampleconv", inputs, width, (1, 1, 1), factored)
            made.norm(f"{name}.downsamplebn", width)
        for k, i in ((1, inputs), (2, width)):
            vcop_conv(made, f"{name}.conv{k}", i, width, (3, 3, 3), factored)
            made.norm(f"{name}.bn{k}", width)
    return made.weights


def run_vcop_resnet(w: Weights, x: Tensor) -> Tensor:
    def unit(name: str, x: Tensor, t: int, s: int) -> Tensor:
        if f"{name}.temporal_spatial_conv.weight" in w:
            return conv(w, f"{name}.temporal_spatial_conv", x, (t, s, s))
        x = norm(w, f"{name}.bn", conv(w, f"{name}.spatial_conv", x, (1, s, s))).relu()
        return conv(w, f"{name}.temporal_conv", x, (t, 1, 1))

    x = norm(w, "bn1", unit("conv1", x, 1, 2)).relu()
    for name, _, _, stride in vcop_names():
        y = norm(w, f"{name}.bn1", unit(f"{name}.conv1", x, stride, stride)).relu()
        y = norm(w, f"{name}.bn2", unit(f"{name}.conv2", y, 1, 1))
        if stride > 1:
            x = norm(w, f"{name}.downsamplebn", unit(f"{name}.downsampleconv", x, stride, stride))
        x = (x + y).relu()
    return x


# -- C3D -----------------------------------------------------------------------------------------

C3D = {"1": (3, 64), "2": (64, 128), "3a": (128, 256), "3b": (256, 256)}
C3D |= {"4a": (256, 512), "4b": (512, 512), "5a": (512, 512), "5b": (512, 512)}


def vcop_c3d() -> Weights:
    """xudejing/video-clip-order-prediction, models/c3d.py: convolutions with biases."""
    made = Published()
    for name, (inputs, outputs) in C3D.items():
        made.conv(f"conv{name}", inputs, outputs, (3, 3, 3), bias=True)
        made.norm(f"bn{name}", outputs)
    made.linear("linear", 512, 101)
    return made.weights


def run_vcop_c3d(w: Weights, x: Tensor) -> Tensor:
    for name in C3D:
        x = norm(w, f"bn{name}", conv(w, f"conv{name}", x)).relu()
        if name in ("1", "2", "3b", "4b"):
            x = F.max_pool3d(x, (1, 2, 2) if name == "1" else 2)
    return x


# -- Inception -----------------------------------------------------------------------------------

# Inputs, then widths: 1x1 | 1x1 -> 3x3 | 1x1 -> 3x3 | pool -> 1x1.
INCEPTION = {
    "3b": (192, 64, 96, 128, 16, 32, 32),
    "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64),
    "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64),
    "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128),
    "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}


def i3d() -> Weights:
    """piergiaj/pytorch-i3d, pytorch_i3d.py."""
    made = Published()

    def unit(name: str, i: int, o: int, k: int) -> None:
        made.conv(f"{name}.conv3d", i, o, (k, k, k))
        made.norm(f"{name}.bn", o)

    unit("Conv3d_1a_7x7", 3, 64, 7)
    unit("Conv3d_2b_1x1", 64, 64, 1)
    unit("Conv3d_2c_3x3", 64, 192, 3)
    for name, (i, point, reduce1, wide1, reduce2, wide2, pooled) in INCEPTION.items():
        widths = {
            **{"b0": (i, point, 1), "b1a": (i, reduce1, 1), "b1b": (reduce1, wide1, 3)},
            **{"b2a": (i, reduce2, 1), "b2b": (reduce2, wide2, 3), "b3b": (i, pooled, 1)},
        }
        for branch, sizes in widths.items():
            unit(f"Mixed_{name}.{branch}", *sizes)
    made.conv("logits.conv3d", 1024, 400, (1, 1, 1), bias=True)
    return made.weights


def same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """TensorFlow's "SAME": zeros around x, one more at the end if their number is odd."""
    pads: list[int] = []
    for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        total = max((math.ceil(size / s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def run_i3d(w: Weights, x: Tensor) -> Tensor:
    def unit(name: str, x: Tensor, s: int = 1) -> Tensor:
        kernel = w[f"{name}.conv3d.weight"]
        k: Triple = tuple(kernel.shape[2:])  # type: ignore[assignment]
        x = F.conv3d(same(x, k, (s, s, s)), kernel, stride=s)
        return norm(w, f"{name}.bn", x, eps=1e-3).relu()

    def pool(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
        return F.max_pool3d(same(x, kernel, stride), kernel, stride)

    x = pool(unit("Conv3d_1a_7x7", x, 2), (1, 3, 3), (1, 2, 2))
    x = unit("Conv3d_2c_3x3", unit("Conv3d_2b_1x1", x))
    x = pool(x, (1, 3, 3), (1, 2, 2))
    for name in INCEPTION:
        if name == "4b":
            x = pool(x, (3, 3, 3), (2, 2, 2))
        if name == "5b":
            x = pool(x, (2, 2, 2), (2, 2, 2))
        mixed = f"Mixed_{name}"
        x = torch.cat(
            [
                unit(f"{mixed}.b0", x),
                unit(f"{mixed}.b1b", unit(f"{mixed}.b1a", x)),
                unit(f"{mixed}.b2b", unit(f"{mixed}.b2a", x)),
                unit(f"{mixed}.b3b", pool(x, (3, 3, 3), (1, 1, 1))),
            ],
            dim=1,
        )
    return x


Names = Callable[[str, str, int], list[tuple[str, str]]]


def coclr_names(block: str, branch: str, kernel: int) -> list[tuple[str, str]]:
    """Names of the convolutions of a unit and of their norms, TengdaHan/CoCLR."""
    name = {"1a": "Conv_1a", "2b": "Conv_2b", "2c": "Conv_2c"}.get(block, f"Mixed_{block}.{branch}")
    if kernel == 1:
        return [(f"{name}.conv", f"{name}.bn")]
    return [(f"{name}.conv{k}", f"{name}.bn{k}") for k in (1, 2)]


def torchvision_s3d_names(block: str, branch: str, kernel: int) -> list[tuple[str, str]]:
    """The same in torchvision.models.video.s3d."""
    order = [
        "1a",
        "",
        "2b",
        "2c",
        "",
        "3b",
        "3c",
        "",
        *("4b", "4c", "4d", "4e", "4f"),
        "",
        "5b",
        "5c",
    ]
    name = f"features.{order.index(block)}" + (f".{branch}" if branch else "")
    if branch == "branch0.0":
        name = name.removesuffix(".0")
    if kernel == 1:
        return [(f"{name}.0", f"{name}.1")]
    return [(f"{name}.{k}.0", f"{name}.{k}.1") for k in (0, 1)]


def s3d(names: Names, gated: bool = False) -> Weights:
    """S3D of CoCLR or torchvision."""
    made = Published()

    def unit(block: str, branch: str, i: int, o: int, k: int) -> None:
        kernels = [(1, 1, 1)] if k == 1 else [(1, k, k), (k, 1, 1)]
        for (conv_name, norm_name), kernel in zip(names(block, branch, k), kernels, strict=True):
            made.conv(conv_name, i, o, kernel)
            made.norm(norm_name, o)
            i = o

    unit("1a", "", 3, 64, 7)
    unit("2b", "", 64, 64, 1)
    unit("2c", "", 64, 192, 3)
    for block, (i, point, reduce1, wide1, reduce2, wide2, pooled) in INCEPTION.items():
        unit(block, "branch0.0", i, point, 1)
        unit(block, "branch1.0", i, reduce1, 1)
        unit(block, "branch1.1", reduce1, wide1, 3)
        unit(block, "branch2.0", i, reduce2, 1)
        unit(block, "branch2.1", reduce2, wide2, 3)
        unit(block, "branch3.1", i, pooled, 1)
        for k, width in enumerate((point, wide1, wide2, pooled)):
            if gated:
                made.linear(f"Mixed_{block}.gating_b{k}.fc", width, width)
    return made.weights


def torchvision_s3d() -> Weights:
    """torchvision.models.video.s3d."""
    made = Published()
    made.conv("classifier.1", 1024, 400, (1, 1, 1), bias=True)
    return s3d(torchvision_s3d_names) | made.weights


def coclr(gated: bool) -> Weights:
    """CoCLR's S3D or S3D-G, whose layers have a second name each."""
    made = s3d(coclr_names, gated)
    second = {"Conv_1a": "block1.0", "Conv_2b": "block2.1", "Conv_2c": "block2.2"}
    for block in INCEPTION:
        second[f"Mixed_{block}"] = f"block{block[0]}.{'abcdef'.index(block[1])}"
    doubles = {key.replace(n := key.split(".")[0], second[n], 1): t for key, t in made.items()}
    return made | doubles


def run_s3d(w: Weights, x: Tensor, names: Names, eps: float) -> Tensor:
    def unit(block: str, branch: str, x: Tensor, k: int, s: int = 1) -> Tensor:
        strides = [(1, s, s), (s, 1, 1)]
        for (conv_name, norm_name), stride in zip(names(block, branch, k), strides, strict=False):
            x = norm(w, norm_name, conv(w, conv_name, x, stride), eps).relu()
        return x

    def gate(block: str, k: int, x: Tensor) -> Tensor:
        name = f"Mixed_{block}.gating_b{k}.fc"
        if f"{name}.weight" not in w:
            return x
        gates = F.linear(x.mean(dim=(2, 3, 4)), w[f"{name}.weight"], w[f"{name}.bias"]).sigmoid()
        return x * gates[:, :, None, None, None]

    x = F.max_pool3d(unit("1a", "", x, 7, 2), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    x = unit("2c", "", unit("2b", "", x, 1), 3)
    x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    for block in INCEPTION:
        if block == "4b":
            x = F.max_pool3d(x, 3, 2, 1)
        if block == "5b":
            x = F.max_pool3d(x, 2, 2)
        branches = [
            unit(block, "branch0.0", x, 1),
            unit(block, "branch1.1", unit(block, "branch1.0", x, 1), 3),
            unit(block, "branch2.1", unit(block, "branch2.0", x, 1), 3),
            unit(block, "branch3.1", F.max_pool3d(x, 3, 1, 1), 1),
        ]
        x = torch.cat([gate(block, k, branch) for k, branch in enumerate(branches)], dim=1)
    return x
