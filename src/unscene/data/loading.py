"""A catalog of videos -> batches of clips, read by worker processes.

An item of the dataset is addressed by (draw, index). Its random generator is seeded by (seed, draw,
index), so what is read depends neither on the number of workers nor on where a run was resumed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from multiprocessing.reduction import ForkingPickler
from operator import itemgetter
from traceback import walk_tb
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info
from torch.utils.data.dataloader import _BaseDataLoaderIter

from unscene.data.capacity import PREFETCH, BatchMemory
from unscene.data.catalog import Skipped, Video
from unscene.data.processes import (
    end_with_parent,
    explain_failure,
    ignore_stops,
    kill_workers,
    start_fork_server,
)
from unscene.errors import ReadingError, UnsceneError, VideoError
from unscene.signals import defer_stops, interruptible
from unscene.video.clip import Clip, ClipBatch
from unscene.video.decode import read_clips
from unscene.video.planes import shrink
from unscene.video.sampling import ClipSampler, Request, join_requests
from unscene.video.vectors import BLOCK

Transform = Callable[[Clip], Clip]
_ORDINARY, _VIEWS = 480, 4  # pixels, multiples of the view: see limit_short_side
_FIRST_BATCHES = 16  # whose memory is estimated
_LONG = 3600.0  # seconds: of a video that any sampler can draw from
_ATTEMPTS = 20  # videos that are tried for one item before the data counts as unusable


@dataclass(frozen=True)
class Item:
    """The clips read from one video.

    Attributes:
        clips: by the names that the sampler gave them; empty if the video failed.
        index: of the video in the catalog.
        failures: files that failed before this video was read.
        numbers: what is known of generated clips, of any shape.
    """

    clips: dict[str, Clip]
    index: int
    failures: tuple[Skipped, ...] = ()
    numbers: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """The clips of B videos.

    Attributes:
        clips: by the names that the sampler gave them.
        index: int64 (B,), index of every video in the catalog.
        failures: files that could not be read and were replaced by others.
        numbers: (B, ...), what is known of generated clips.
    """

    clips: dict[str, ClipBatch]
    index: Tensor
    failures: tuple[Skipped, ...] = ()
    numbers: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)

    def _map(self, function: Callable[[Any], Any]) -> Batch:
        clips = {name: function(clip) for name, clip in self.clips.items()}
        numbers = None if self.numbers is None else function(self.numbers)
        return Batch(clips, function(self.index), self.failures, numbers)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        return self._map(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        return self._map(lambda part: part.pin_memory())

    @classmethod
    def of(cls, items: Sequence[Item]) -> Batch:
        """Stack items; items without clips are left out."""
        read = [item for item in items if item.clips]
        names = read[0].clips if read else ()
        numbers = [item.numbers for item in read if item.numbers is not None]
        return cls(
            clips={name: ClipBatch.of([item.clips[name] for item in read]) for name in names},
            index=torch.tensor([item.index for item in read], dtype=torch.long),
            failures=tuple(failure for item in items for failure in item.failures),
            numbers=torch.stack(numbers) if numbers else None,
        )


class ItemDataset(Dataset[Item]):
    """What a training reads or generates: items, addressed by (draw, index)."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, key: tuple[int, int]) -> Item:
        raise NotImplementedError

    def estimate_bytes(self, indices: Iterable[int]) -> int:
        """Bytes of one item of a batch of these indices."""
        raise NotImplementedError

    def read_together(self, keys: Sequence[tuple[int, int]]) -> list[Item]:
        """Return the items of several keys."""
        return [self[key] for key in keys]


class ClipDataset(ItemDataset):
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

    def read_together(self, keys: Sequence[tuple[int, int]]) -> list[Item]:
        """Return the items of several keys; what a sampler `joins` is read in one pass.

        All other clips are read one by one, and so is what fails.
        """
        if not getattr(self.sampler, "joins", False):
            return super().read_together(keys)
        items: list[Item] = []
        for index, group in groupby(keys, key=itemgetter(1)):
            draws = [draw for draw, _ in group]
            try:
                items += self._read_passes(index, draws)
            except VideoError:
                items += [self[draw, index] for draw in draws]
        return items

    def _read_passes(self, index: int, draws: Sequence[int]) -> list[Item]:
        video, items = self.videos[index], []
        assert video.info is not None
        requests = []
        for draw in draws:
            rng = np.random.default_rng([self.seed, draw, index])
            requests.append(self.sampler.draw(video.duration, video.info.fps, rng, draw))
        while requests:
            joined, names = join_requests(requests, video.info.fps)
            clips = self._read_clips(video, joined)
            for of in names:
                found = {name: self._transform(name, clips[one]) for name, one in of.items()}
                items.append(Item(found, index))
            requests = requests[len(names) :]
        return items

    def estimate_bytes(self, indices: Iterable[int]) -> int:
        """Bytes of one item of a batch of these videos, which is padded to the largest frame."""
        known = [info for i in indices if (info := self.videos[i].info) is not None]
        if not known:
            return 0
        coded = max(info.height for info in known), max(info.width for info in known)
        read = [shrink((info.height, info.width), self.short_side) for info in known]
        pixels = max(height for height, _ in read) * max(width for _, width in read)
        request = self.sampler.draw(_LONG, 25.0, np.random.default_rng(0))
        pictures = [o for name, o in request.offsets.items() if name not in request.motion_only]
        frames = sum(map(len, pictures)) + (request.key_frame is not None)
        total = math.ceil(1.5 * frames * pixels)  # YUV 4:2:0
        for name in {*request.motion, *request.motion_only}.difference(self.transforms):
            span = request.offsets[name][-1] - request.offsets[name][0] + 1
            blocks = math.prod(-(-side // BLOCK) for side in coded)
            total += 5 * span * blocks  # two float16 and a bool
        for name, transform in self.transforms.items():
            grid = getattr(transform, "keywords", {}).get("grid", 0)  # of optical flow
            total += 4 * (len(request.offsets[name]) - 1) * grid**2  # two float16
        return total

    def _read(self, draw: int, index: int, rng: np.random.Generator) -> dict[str, Clip]:
        video = self.videos[index]
        assert video.info is not None
        request = self.sampler.draw(video.duration, video.info.fps, rng, draw)
        unwanted = {name for name, wanted in self.vectors.items() if not wanted(video)}
        motion = tuple(name for name in request.motion if name not in unwanted)
        request = replace(request, motion=motion)
        clips = self._read_clips(video, request)
        return {name: self._transform(name, clip) for name, clip in clips.items()}

    def _read_clips(self, video: Video, request: Request) -> dict[str, Clip]:
        assert video.info is not None
        return read_clips(
            video.path,
            request,
            start=video.start,
            end=video.end,
            fps=video.info.fps,
            short_side=self.short_side,
        )

    def _transform(self, name: str, clip: Clip) -> Clip:
        return self.transforms[name](clip) if name in self.transforms else clip


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


class _Loader(DataLoader[Batch]):
    """A DataLoader that a signal stops while it waits, and whose errors say what to do."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        batches: Iterator[Batch] | None = None
        try:
            with defer_stops():
                batches = super().__iter__()
        except (OSError, EOFError, KeyboardInterrupt) as error:
            _discard_half_started(error, batches)
            if isinstance(error, KeyboardInterrupt):
                raise
            cannot = f"the processes that read videos cannot be started ({error}); try --workers 0"
            raise ReadingError(explain_failure(error) or cannot) from error
        while True:
            try:
                with interruptible():
                    batch = next(batches)
            except StopIteration:
                return
            except (OSError, EOFError, RuntimeError) as error:
                if reason := explain_failure(error):
                    raise ReadingError(reason) from error
                raise
            if isinstance(batch, UnsceneError):
                raise batch
            yield batch


def _discard_half_started(error: BaseException, started: Iterator[Batch] | None) -> None:
    """Keep an iterator that failed while it started from complaining about itself when it ends.

    Its workers may still be starting: what they need goes with the iterator, so they end before.

    Args:
        error: with the iterator in its frames, if it failed.
        started: the iterator, if it is complete.
    """
    halves = [frame.f_locals.get("self") for frame, _ in walk_tb(error.__traceback__)]
    for half in (*halves, started):
        if isinstance(half, _BaseDataLoaderIter):
            vars(half)["_shutdown"] = True
            kill_workers(vars(half).get("_workers", ()))


class _Reader(Dataset[Item | UnsceneError]):
    """A dataset whose errors are items: raised in a worker, torch would wrap them in tracebacks."""

    def __init__(self, dataset: ItemDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, key: tuple[int, int]) -> Item | UnsceneError:
        try:
            return self.dataset[key]
        except UnsceneError as error:
            return error
        except MemoryError as error:
            return ReadingError(explain_failure(error) or "memory ran out")

    def __getitems__(self, keys: list[tuple[int, int]]) -> Sequence[Item | UnsceneError]:
        """The items of a batch, as torch's DataLoader asks for them."""
        try:
            return self.dataset.read_together(keys)
        except UnsceneError as error:
            return [error]
        except MemoryError as error:
            return [ReadingError(explain_failure(error) or "memory ran out")]


class _Parcel:
    """A batch whose tensors lie in shared memory, ready to be sent.

    torch would do so in a thread that has nobody to tell of its errors: the batch would be lost,
    and the training would wait for it forever.
    """

    def __init__(self, batch: Batch) -> None:
        self.content = bytes(ForkingPickler.dumps(batch))

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return ForkingPickler.loads, (self.content,)


def _collate(items: Sequence[Item | UnsceneError]) -> Batch | _Parcel | UnsceneError:
    read: list[Item] = []
    for item in items:
        if isinstance(item, UnsceneError):
            return item
        read.append(item)
    batch = Batch.of(read)
    if get_worker_info() is None:
        return batch
    try:
        return _Parcel(batch)
    except (OSError, RuntimeError) as error:
        if reason := explain_failure(error):
            return ReadingError(reason)
        raise


def limit_short_side(short_side: int, size: int) -> int:
    """The short side, in pixels, to which larger frames are shrunk while they are read.

    By default that is four times the view, but at least 480. A batch is padded to its largest
    frame, so a 4K file would take 50 times the memory of ordinary footage; and shrunk, even a crop
    of a fifth of its area has more pixels than the view. Ordinary footage stays as it is.

    Args:
        short_side: the user's, in pixels; 0 to choose it.
        size: of the views, in pixels.

    >>> limit_short_side(0, 112), limit_short_side(0, 224), limit_short_side(256, 112)
    (480, 896, 256)
    """
    return short_side or max(_ORDINARY, _VIEWS * size)


def estimate_memory(
    dataset: ItemDataset, batches: Sampler[list[tuple[int, int]]], processes: int = 1
) -> BatchMemory:
    """Estimate the memory of batches from the sizes of the videos, without reading any.

    Args:
        processes: that read such batches at the same time, on this machine.
    """
    first = [[index for _, index in keys] for keys in islice(batches, _FIRST_BATCHES)]
    most = max(map(len, first), default=0)
    usual = max((len(some) * dataset.estimate_bytes(some) for some in first), default=0)
    largest = most * dataset.estimate_bytes(range(len(dataset)))
    return BatchMemory(processes * largest, processes * usual)


def make_loader(
    dataset: ItemDataset,
    batches: Sampler[list[tuple[int, int]]],
    *,
    workers: int,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Make a DataLoader over batches; files are decoded inside its workers.

    Workers are never forked from this process: threads of OpenCV and OpenMP do not survive a fork,
    and a worker that computes optical flow would wait for them forever. Scripts that use workers
    therefore need the usual `if __name__ == "__main__":`. Where shared memory or open files do not
    suffice for so many workers, fewer read, or this process; that is said on stderr.

    Raises:
        ReadingError: on iteration; a worker died or cannot send, or a script lacks that line.
        UnsceneError: on iteration, what the dataset raises.
    """
    if workers:
        memory = estimate_memory(dataset, batches, getattr(batches, "world", 1))
        workers, remark = memory.fit_workers(workers)
        if remark:
            print(remark, file=sys.stderr)
    return _Loader(
        _Reader(dataset),  # type: ignore[arg-type]  # items in, batches out
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        prefetch_factor=PREFETCH if workers else None,
        worker_init_fn=_start_worker,
        multiprocessing_context=start_fork_server(__name__) if workers else None,
    )


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)
    end_with_parent()
    ignore_stops()
