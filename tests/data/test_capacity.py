"""Memory of batches: what is far larger than the view is shrunk while it is read, and nothing else;
workers are as many as shared memory and open files allow."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import media
from unscene.data import capacity
from unscene.data.capacity import BatchMemory
from unscene.data.listing import open_catalog
from unscene.data.loading import (
    Batch,
    ClipDataset,
    estimate_memory,
    limit_short_side,
)
from unscene.data.sequential import SequentialBatches
from unscene.encoders import create_encoder
from unscene.methods.registry import create_method, resolve
from unscene.motion.flow import make_flow_transform
from unscene.video.clip import ClipBatch
from unscene.video.sampling import RandomClipSampler


def write(path: Path, size: tuple[int, int], frames: int = 6) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, size, np.uint8)
    pictures = [np.roll(noise, i, axis=1) for i in range(frames)]
    return media.write(path, pictures, options={"preset": "ultrafast", "qp": "40"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of the size of UCF101, one of 480 pixels and one of 720."""
    root = tmp_path_factory.mktemp("sizes")
    for name, size in (("a", (240, 320)), ("b", (240, 320)), ("c", (480, 640)), ("d", (720, 1280))):
        write(root / f"{name}.mp4", size)
    return root


@pytest.mark.parametrize("method", ["moco", "dsm-triplet"])
def test_only_what_is_far_larger_than_the_view_is_shrunk(method: str, folder: Path) -> None:
    videos = open_catalog(folder).videos
    settings = resolve(method, "default", {"frames": 4, "stride": 1, "size": 112}).fit(4)
    made = create_method(method, create_encoder("r3d-narrow"), settings)
    batch = Batch.of([made.dataset(videos)[0, index] for index in range(4)])
    clip = batch.clips["clip"]
    assert clip.sizes.tolist() == [[240, 320], [240, 320], [480, 640], [480, 853]]
    taken = sum(map(count_bytes, batch.clips.values()))
    assert 4 * made.dataset(videos).estimate_bytes(range(4)) == pytest.approx(taken, rel=1e-3)
    whole = made.dataset(videos)
    whole.short_side = None
    for index in range(3):
        one, other = (data[0, index].clips["clip"] for data in (made.dataset(videos), whole))
        assert torch.equal(one.y, other.y)
        assert torch.equal(one.u, other.u)


def test_the_limit() -> None:
    assert limit_short_side(0, 224) == 4 * 224
    assert limit_short_side(128, 224) == 128  # what the user says


def count_bytes(clip: ClipBatch) -> int:
    """Of all large tensors."""
    found = [clip.y, clip.u, clip.v, *([] if clip.flow is None else [clip.flow])]
    if clip.motion is not None:
        found += [clip.motion.vectors, clip.motion.valid]
    return sum(tensor.nbytes for tensor in found)


@pytest.mark.parametrize("adds", ["nothing", "flow", "vectors"])
def test_the_estimate_is_what_a_batch_takes(adds: str, folder: Path) -> None:
    dataset = ClipDataset(
        open_catalog(folder).videos,
        RandomClipSampler(3, 2, shift=(1, 1), motion=("clip",) if adds == "vectors" else ()),
        transforms={"clip": make_flow_transform(112)} if adds == "flow" else {},
        short_side=480,
    )
    order = SequentialBatches([1] * 4, 2)
    batches = [Batch.of([dataset[key] for key in keys]) for keys in order]
    taken = [sum(map(count_bytes, batch.clips.values())) for batch in batches]
    memory = estimate_memory(dataset, order)
    assert memory.largest == pytest.approx(max(taken), rel=1e-3)
    assert memory.usual == pytest.approx(max(taken), rel=1e-3)
    assert estimate_memory(dataset, order, processes=2).largest == 2 * memory.largest
    small = ClipDataset(dataset.videos[:2], dataset.sampler, transforms=dataset.transforms)
    order = SequentialBatches([1] * 2, 2)
    assert estimate_memory(small, order).usual == pytest.approx(taken[0], rel=1e-3)


MEMORY = BatchMemory(largest=20_000_000, usual=10_000_000)  # 60 MB with two workers


@pytest.mark.parametrize(
    ("free", "workers", "said"),
    [
        (None, 2, ""),
        (61_000_000, 2, ""),
        (64_000_000, 4, "64 MB are free in /dev/shm, and 4 reading.* 100 MB.*only 2 read"),
        (10_000_000, 2, "none is started, as by --workers 0.*--shm-size"),
    ],
)
def test_workers_fit_into_shared_memory(
    free: int | None, workers: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "free_shared_memory", lambda: free)
    count, remark = MEMORY.fit_workers(workers)
    assert count == (0 if free == 10_000_000 else 2)
    if said:
        assert re.search(said, remark), remark
    else:
        assert remark == ""


def test_workers_fit_into_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "count_open_files", lambda: (20, 64))
    count, remark = MEMORY.fit_workers(2)
    assert count == 0
    assert "64 are allowed, too few for 2 reading processes" in remark
    assert "ulimit -n" in remark
    monkeypatch.setattr(capacity, "count_open_files", lambda: (20, 256))
    assert MEMORY.fit_workers(2) == (2, "")


def test_more_memory_than_is_free_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "free_memory", lambda: 50_000_000)
    assert "50 MB are free: lower --batch_size or --workers" in MEMORY.describe(2)
    monkeypatch.setattr(capacity, "free_memory", lambda: 70_000_000)
    assert MEMORY.describe(2) == (
        "memory: a batch of clips takes up to 20 MB, all that are held at a time 60 MB"
    )
