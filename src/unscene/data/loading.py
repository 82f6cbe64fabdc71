"""Workers that read windows, and batches of what they read.

A dataset item is addressed by (draw, index): the random generator of an item is seeded by (seed,
draw, index), so what is read does not depend on how many workers read it or where a run resumed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from unscene.data.catalog import Skipped, Video
from unscene.data.processes import start_fork_server
from unscene.errors import UnsceneError, VideoError
from unscene.video.clip import Clip, ClipBatch
from unscene.video.decode import read_clips
from unscene.video.sampling import ClipSampler

Transform = Callable[[Clip], Clip]
_ATTEMPTS = 20  # videos tried for one place in a batch before the data counts as unusable


@dataclass(frozen=True)
class Item:
    """The clips read from one video, and which files failed before one could be read."""

    clips: dict[str, Clip]
    index: int
    failures: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Batch:
    """B items.

    Attributes:
        clips: by the names that the sampler gave them.
        index: int64 (B,), which videos of the catalog.
        failures: files that could not be read and were replaced by others.
    """

    clips: dict[str, ClipBatch]
    index: Tensor
    failures: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.index)

    def _map(self, function: Callable[[ClipBatch], ClipBatch], index: Tensor) -> Batch:
        return Batch({k: function(clip) for k, clip in self.clips.items()}, index, self.failures)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        return self._map(lambda clip: clip.to(device, non_blocking), self.index.to(device))

    def pin_memory(self) -> Batch:
        return self._map(lambda clip: clip.pin_memory(), self.index.pin_memory())

    @classmethod
    def of(cls, items: Sequence[Item]) -> Batch:
        read = [item for item in items if item.clips]
        names = read[0].clips if read else ()
        return cls(
            clips={name: ClipBatch.of([item.clips[name] for item in read]) for name in names},
            index=torch.tensor([item.index for item in read], dtype=torch.long),
            failures=tuple(failure for item in items for failure in item.failures),
        )


class ClipDataset(Dataset[Item]):
    """Windows of videos, drawn by a sampler.

    Args:
        videos: of a checked catalog.
        sampler: draws the windows.
        transforms: for each clip name what a worker does with the clip (optical flow, say).
        vectors: for each clip name of which videos the vectors are read that the sampler asks for
            beside frames; of all where nothing is said.
        seed: of all draws.
        short_side: shrink larger frames to this short side, in pixels.
        replace_failed: True: a video that fails gives its place to another one (training); False:
            its item has no clips, and its batch is one smaller (tests).
    """

    def __init__(
        self,
        videos: Sequence[Video],
        sampler: ClipSampler,
        *,
        transforms: dict[str, Transform] | None = None,
        vectors: dict[str, Callable[[Video], bool]] | None = None,
        seed: int = 0,
        short_side: int | None = None,
        replace_failed: bool = True,
    ) -> None:
        self.videos = list(videos)
        self.sampler = sampler
        self.transforms = transforms or {}
        self.vectors = vectors or {}
        self.seed = seed
        self.short_side = short_side
        self.replace_failed = replace_failed

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        draw, index = key
        rng = np.random.default_rng([self.seed, draw, index])
        failures: list[Skipped] = []
        for _ in range(_ATTEMPTS):
            try:
                return Item(self._read(draw, index, rng), index, tuple(failures))
            except VideoError as error:
                failures.append(Skipped(error.path, error.reason))
                if not self.replace_failed:
                    return Item({}, index, tuple(failures))
                index = int(rng.integers(len(self.videos)))
        raise UnsceneError(
            f"{_ATTEMPTS} videos in a row could not be read; the last: "
            f"{failures[-1].path}: {failures[-1].reason}"
        )

    def _read(self, draw: int, index: int, rng: np.random.Generator) -> dict[str, Clip]:
        video = self.videos[index]
        assert video.info is not None
        request = self.sampler.draw(video.duration, video.info.fps, rng, draw)
        unwanted = {name for name, wanted in self.vectors.items() if not wanted(video)}
        motion = tuple(name for name in request.motion if name not in unwanted)
        request = replace(request, motion=motion)
        clips = read_clips(
            video.path, request, start=video.start, end=video.end, short_side=self.short_side
        )
        for name, transform in self.transforms.items():
            clips[name] = transform(clips[name])
        return clips


class StepBatches(Sampler[list[tuple[int, int]]]):
    """Which videos make up the batch of each step: a pure function of (seed, step).

    Every epoch is a new permutation of the videos, cut into batches of the whole world (all
    processes together), each process taking its share; a rest too small for a batch is left for
    other epochs. Fewer videos than one batch are repeated to fill it. Iterating starts at the step
    that `position` names and ends at `steps` (one epoch if not given), through all epochs without a
    pause, so a resumed run reads on exactly where the stopped one ended.
    """

    def __init__(
        self,
        videos: int,
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        position: Callable[[], int] = lambda: 0,
        steps: int | None = None,
    ) -> None:
        self.videos, self.batch_size = videos, batch_size
        self.seed, self.rank, self.world = seed, rank, world
        self.position = position
        self.epoch_steps = max(1, videos // (batch_size * world))
        self.steps = self.epoch_steps if steps is None else steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.position(), self.steps):
            yield self.batch(step)

    def batch(self, step: int) -> list[tuple[int, int]]:
        """(draw, index) of every item of this process in the batch of a step."""
        epoch, number = divmod(step, self.epoch_steps)
        order = np.random.default_rng([self.seed, 0xB, epoch]).permutation(self.videos)
        whole = self.batch_size * self.world
        chosen = np.resize(order, max(whole, self.videos))[number * whole : (number + 1) * whole]
        places = range(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        return [(step * whole + place, int(chosen[place])) for place in places]


class SequentialBatches(Sampler[list[tuple[int, int]]]):
    """Every video in order, as often as `draws` says of it, in batches."""

    def __init__(self, draws: Sequence[int], batch_size: int) -> None:
        self.keys = [(draw, index) for index, count in enumerate(draws) for draw in range(count)]
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.keys) // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for first in range(0, len(self.keys), self.batch_size):
            yield self.keys[first : first + self.batch_size]


def make_loader(
    dataset: ClipDataset,
    batches: Sampler[list[tuple[int, int]]],
    *,
    workers: int,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """A DataLoader over batches; decoders live and die inside its workers.

    Workers are never forked from this process: OpenCV's and OpenMP's threads do not survive a fork,
    and a worker that then asks for optical flow waits for them for ever. Scripts that train with
    workers therefore need the usual `if __name__ == "__main__":`.
    """
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # items in, batches out
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=Batch.of,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        prefetch_factor=2 if workers else None,
        worker_init_fn=_quiet_worker,
        multiprocessing_context=start_fork_server(__name__) if workers else None,
    )


def _quiet_worker(worker: int) -> None:
    """Workers share the machine with the training process, and leave Ctrl-C and SIGTERM to it: a
    command's processes get both at once, and it wants to save the step at hand."""
    torch.set_num_threads(1)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
