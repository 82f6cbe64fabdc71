"""A catalog of videos -> batches of clips, read by worker processes.

An item of the dataset is addressed by (draw, index). Its random generator is seeded by (seed, draw,
index), so what is read depends neither on the number of workers nor on where a run was resumed.
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
from unscene.data.processes import end_with_parent, start_fork_server
from unscene.errors import UnsceneError, VideoError
from unscene.video.clip import Clip, ClipBatch
from unscene.video.decode import read_clips
from unscene.video.sampling import ClipSampler

Transform = Callable[[Clip], Clip]
_ATTEMPTS = 20  # videos that are tried for one item before the data counts as unusable


@dataclass(frozen=True)
class Item:
    """The clips read from one video.

    Attributes:
        clips: by the names that the sampler gave them; empty if the video failed.
        index: of the video in the catalog.
        failures: files that failed before this video was read.
    """

    clips: dict[str, Clip]
    index: int
    failures: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Batch:
    """The clips of B videos.

    Attributes:
        clips: by the names that the sampler gave them.
        index: int64 (B,), index of every video in the catalog.
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
        """Stack items; items without clips are left out."""
        read = [item for item in items if item.clips]
        names = read[0].clips if read else ()
        return cls(
            clips={name: ClipBatch.of([item.clips[name] for item in read]) for name in names},
            index=torch.tensor([item.index for item in read], dtype=torch.long),
            failures=tuple(failure for item in items for failure in item.failures),
        )


class ClipDataset(Dataset[Item]):
    """Clips of videos, drawn by a sampler; addressed by (draw, index of the video).

    Args:
        videos: of a checked catalog.
        sampler: draws the requests.
        transforms: function that a worker applies to a clip (optical flow, for example), by name of
            the clip.
        vectors: for which videos the motion vectors that the sampler requests are read, by name of
            the clip; for all videos if the name is missing.
        seed: of all draws.
        short_side: shrink larger frames to this short side, in pixels.
        replace_failed: True: a video that cannot be read is replaced by another one (training).
            False: its item has no clips, and its batch is smaller by one (evaluation).

    Raises:
        UnsceneError: on access, if 20 videos in a row cannot be read.
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
            video.path,
            request,
            start=video.start,
            end=video.end,
            fps=video.info.fps,
            short_side=self.short_side,
        )
        for name, transform in self.transforms.items():
            clips[name] = transform(clips[name])
        return clips


class StepBatches(Sampler[list[tuple[int, int]]]):
    """Chooses the videos of every training step: a pure function of (seed, step).

    Every epoch is a new permutation of the videos, cut into batches of the whole world (all
    processes together), of which each process takes its share. The rest that is too small for a
    batch is left out of this epoch. If there are fewer videos than one batch holds, they are
    repeated. Iteration starts at the step that `position` returns and ends at `steps` (default: one
    epoch), across epochs, so a resumed run reads on exactly where it was stopped.

    >>> batches = StepBatches(5, batch_size=2, seed=0)
    >>> len(batches), batches.batch(0)
    (2, [(0, 0), (1, 2)])
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
        """List (draw, index) of every item of this process in the batch of a step."""
        epoch, number = divmod(step, self.epoch_steps)
        order = np.random.default_rng([self.seed, 0xB, epoch]).permutation(self.videos)
        whole = self.batch_size * self.world
        chosen = np.resize(order, max(whole, self.videos))[number * whole : (number + 1) * whole]
        places = range(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        return [(step * whole + place, int(chosen[place])) for place in places]


class SequentialBatches(Sampler[list[tuple[int, int]]]):
    """Batches of every video in order; `draws` says how many clips of each.

    >>> list(SequentialBatches([2, 1], batch_size=2))
    [[(0, 0), (1, 0)], [(0, 1)]]
    """

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
    """Make a DataLoader over batches; files are decoded inside its workers.

    Workers are never forked from this process: threads of OpenCV and OpenMP do not survive a fork,
    and a worker that computes optical flow would wait for them forever. Scripts that use workers
    therefore need the usual `if __name__ == "__main__":`.
    """
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # items in, batches out
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=Batch.of,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        prefetch_factor=2 if workers else None,
        worker_init_fn=_start_worker,
        multiprocessing_context=start_fork_server(__name__) if workers else None,
    )


def _start_worker(worker: int) -> None:
    """Use one thread, and ignore Ctrl-C and SIGTERM.

    All processes of a command get the signals; the training process saves its step and then stops.
    """
    torch.set_num_threads(1)
    end_with_parent()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
