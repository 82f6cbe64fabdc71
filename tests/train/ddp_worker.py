"""One process of a two-process training, at the level of a method; used by test_distributed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from unscene.data.loading import Batch
from unscene.encoders import create_encoder
from unscene.methods.base import Method
from unscene.methods.registry import create_method, generates, keep_read, resolve
from unscene.video.clip import ClipBatch
from unscene.video.motion_vectors import MotionBatch

STEPS, GLOBAL, FRAMES, SIDE = 3, 4, 4, 32


def global_batch(step: int) -> Batch:
    generator = torch.Generator().manual_seed(step)

    def plane(side: int) -> torch.Tensor:
        shape = (GLOBAL, FRAMES, side, side)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)

    def clip() -> ClipBatch:
        flags = torch.zeros(GLOBAL, dtype=torch.bool)
        sizes = torch.tensor([[SIDE, SIDE]] * GLOBAL)
        return ClipBatch(plane(SIDE), plane(SIDE // 2), plane(SIDE // 2), sizes, flags, flags)

    def motion() -> ClipBatch:
        field = torch.randint(-9, 10, (GLOBAL, FRAMES, 4, 4, 2), generator=generator).half()
        valid = torch.ones(field.shape[:-1], dtype=torch.bool)
        frames = torch.arange(FRAMES).expand(GLOBAL, -1)
        sizes = torch.tensor([[SIDE, SIDE]] * GLOBAL)
        exact = torch.ones(GLOBAL, dtype=torch.bool)
        return replace(clip(), motion=MotionBatch(field, valid, frames, sizes, exact, 8))

    clips = {"clip": clip(), "shifted": clip(), "key": clip()}
    return Batch(clips | {"motion": motion(), "other0": motion()}, torch.arange(GLOBAL))


def generated_batch(method: Method, step: int) -> Batch:
    dataset = method.dataset([])
    return Batch.of([dataset[step * GLOBAL + i, i] for i in range(GLOBAL)])


def share(batch: Batch, rank: int, world: int) -> Batch:
    size = GLOBAL // world
    part = slice(rank * size, (rank + 1) * size)
    numbers = None if batch.numbers is None else batch.numbers[part]
    clips = {k: clip[part] for k, clip in batch.clips.items()}
    return Batch(clips, batch.index[part], numbers=numbers)


def train(name: str, rank: int, world: int) -> dict[str, Any]:
    """A few steps; batch norm in evaluation mode, nothing random but the weights."""
    torch.manual_seed(0)
    settings = resolve(
        name,
        "default",
        keep_read(name, {
            "frames": FRAMES, "size": SIDE, "augmentation": "none", "warp": False,
            "flow_scaling": False, "queue": 6, "dim": 8, "head": "linear", "predictor_dim": 16,
            "predictor_hidden": 12, "side_encoders": "narrow", "motion_negatives": 1,
            "motion_frames": FRAMES,
        }),
    )  # fmt: skip
    reads = "flow" if generates(name) else "rgb"
    encoder = create_encoder("r3d-narrow", width=8, stages=2, input=reads)
    method = create_method(name, encoder, settings).eval()
    model = DistributedDataParallel(method) if world > 1 else method
    trained = [p for p in method.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.05)
    losses = []
    for step in range(STEPS):
        batch = generated_batch(method, step) if generates(name) else global_batch(step)
        result = model(share(batch, rank, world), torch.Generator())
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        method.after_step()
        losses.append(result.loss.item())
    return {"losses": losses, "state": method.state_dict()}


def main(rank: int, world: int, name: str, folder: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{Path(folder).absolute()}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    try:
        torch.save(train(name, rank, world), Path(folder) / f"{rank}.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()
