"""Batches of every video in order, for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler


class SequentialBatches(Sampler[list[tuple[int, int]]]):
    """Batches of every video in order; `draws` says how many clips of each.

    Args:
        draws: number of clips of each video.
        batch_size: number of clips, at most.
        whole: begin a new batch rather than split the clips of a video, unless one fills a batch.

    >>> list(SequentialBatches([2, 1], batch_size=2))
    [[(0, 0), (1, 0)], [(0, 1)]]
    >>> list(SequentialBatches([1, 2], batch_size=2, whole=True))
    [[(0, 0)], [(0, 1), (1, 1)]]
    """

    def __init__(self, draws: Sequence[int], batch_size: int, *, whole: bool = False) -> None:
        self.batches: list[list[tuple[int, int]]] = []
        for index, count in enumerate(draws):
            for draw in range(count):
                full = not self.batches or len(self.batches[-1]) == batch_size
                if full or (whole and draw == 0 and len(self.batches[-1]) + count > batch_size):
                    self.batches.append([])
                self.batches[-1].append((draw, index))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        yield from self.batches
