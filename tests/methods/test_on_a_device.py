"""A training step on a device that is not the CPU: no tensor of the CPU meets one of the device.

The device is torch's "meta": it works out shapes and holds no numbers, and as a GPU does, it
refuses to compute with what lies on the CPU. Values that a step reads back from its device,
which makes it wait on a GPU, are supplied here (`ANSWERS`); any other read fails, as on "meta".
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from noise import noise, vectors
from torch import Tensor
from torch.overrides import TorchFunctionMode

from unscene.data.loading import Batch
from unscene.encoders import create_encoder
from unscene.methods.registry import create_method, keep_read, resolve

B, T, F, SIDE = 3, 4, 4, 40
SMALL: dict[str, Any] = {
    "size": 36, "frames": T, "stride": 1, "queue": 8, "batch_size": B, "motion_frames": F,
    "dim": 8, "stages": 2, "motion_negatives": 1, "side_encoders": "narrow", "predictor_dim": 16,
    "predictor_hidden": 12,
}  # fmt: skip


def frame_sizes(tensor: Tensor) -> Tensor:
    assert tensor.shape == (B, 2)
    assert tensor.dtype == torch.int64
    return torch.full((B, 2), SIDE)


ANSWERS: dict[Callable[..., Any], Callable[[Tensor], Any]] = {
    Tensor.cpu: frame_sizes,
    # (B, B) says which videos of a batch are the same one: not all of them are. Else, yes.
    Tensor.all: lambda same: torch.tensor(same.shape != (B, B)),
    Tensor.__int__: lambda strides: 1,
    Tensor.__float__: lambda shrinkage: 1.0,
    torch.nonzero: lambda blurred: torch.nonzero(torch.ones(blurred.shape)),
}


class Answering(TorchFunctionMode):
    """Supplies the values that a step reads back from the device."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        alone = len(args) == 1 and not kwargs
        if func in ANSWERS and alone and isinstance(args[0], Tensor) and args[0].is_meta:
            return ANSWERS[func](args[0])
        return func(*args, **(kwargs or {}))


def batch(before: int) -> Batch:
    """Every window that any method reads, those of motion with frames before their F."""
    clips = {name: noise(0, B, T, SIDE) for name in ("clip", "shifted", "second", "key")}
    for name in ("motion", "other0", "other1", "other2"):
        window = noise(0, B, before + F, SIDE)
        clips[name] = replace(window, motion=vectors(0, B, before + F, SIDE))
    for name, clip in clips.items():
        clips[name] = replace(clip, flow=torch.zeros(B, clip.frames - 1, 32, 32, 2).half())
    return Batch(clips, torch.arange(B))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("moco", {"augmentation": "modern"}),
        ("dsm", {"other_scene": 1.0}),
        ("dsm-triplet", {}),
        ("hdc", {}),
        ("unscene", {}),
        ("cmd", {"motion_from": "flow", "motion_loss": "l2", "predictor": "linear"}),
        ("cmd", {"motion_from": "vectors+residual"}),
    ],
)
def test_a_step_stays_on_its_device(
    name: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # "meta" has none
    torch.manual_seed(0)
    method = create_method(
        name,
        create_encoder("r3d-narrow", stages=2),
        resolve(name, "default", keep_read(name, SMALL | changes)),
    ).to("meta")
    given = batch(1 if "motion_from" in changes else 0).to("meta")
    with Answering():
        result = method(given, torch.Generator().manual_seed(0))
        result.loss.backward()
        method.after_step()
    numbers = {"loss": result.loss, **result.metrics}
    assert {key for key, number in numbers.items() if not number.is_meta} == set()
    assert all(parameter.is_meta for parameter in method.parameters())
    trained = [p for p in method.embedder.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.is_meta for p in trained)
