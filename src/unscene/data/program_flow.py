"""Motion programs -> items that hold the flow of their viewings; no file is read.

An item is addressed by (draw, index) like that of a video, and its generator is seeded by (seed,
draw, index): every draw is another program, and batches depend neither on the number of workers nor
on where a run was resumed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from unscene.data.loading import Item, ItemDataset
from unscene.synthetic.contrasts import Actions, Flow, Negatives, Sides, draw_contrast
from unscene.synthetic.measured_flow import measure_flow
from unscene.video.clip import Clip

_VIEWINGS = 6  # at most, of a program


class ProgramDataset(ItemDataset):
    """Viewings of motion programs, as flow that was measured.

    Args:
        programs: of an epoch; each is drawn once, and the next epoch has others.
        steps: flows of a clip.
        rate: flows per second.
        grid: cells along each side of a flow.
        noise: factor of the noise, see `measured_flow.measure_flow`.
        actions, sides: see `contrasts.draw_contrast`.
        same_side: anchor and positive face the same side.
        negatives: that come with each program.
        seed: of all draws.

    >>> dataset = ProgramDataset(8, steps=12, rate=15.0, grid=32)
    >>> {name: clip.flow.shape for name, clip in dataset[0, 0].clips.items()}
    {'anchor': torch.Size([12, 32, 32, 2]), 'positive': torch.Size([12, 32, 32, 2])}
    """

    def __init__(
        self,
        programs: int,
        *,
        steps: int,
        rate: float,
        grid: int,
        noise: float = 1.0,
        actions: Actions = "whole",
        sides: Sides = "all",
        same_side: bool = False,
        negatives: Negatives | None = None,
        seed: int = 0,
    ) -> None:
        self.programs, self.grid, self.noise, self.seed = programs, grid, noise, seed
        self.times = np.linspace(-steps / 2, steps / 2, steps + 1) / rate
        self.actions, self.sides = actions, sides
        self.same_side, self.negatives = same_side, negatives

    def __len__(self) -> int:
        return self.programs

    def __getitem__(self, key: tuple[int, int]) -> Item:
        draw, index = key
        rng = np.random.default_rng([self.seed, draw, index])
        contrast = draw_contrast(
            rng,
            self.times,
            self.grid,
            actions=self.actions,
            sides=self.sides,
            same_side=self.same_side,
            negatives=self.negatives,
        )
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        flows = contrast.flows.items()
        clips = {name: self._measure(flow, generator) for name, flow in flows}
        return Item(clips, index, numbers=torch.from_numpy(contrast.numbers).float())

    def _measure(self, flow: Flow, generator: torch.Generator) -> Clip:
        """A clip without pixels that has this flow, as it would be measured."""
        seen = measure_flow(torch.from_numpy(flow)[None], generator, noise=self.noise)[0]
        plane = torch.empty(len(seen) + 1, 0, 0, dtype=torch.uint8)
        return Clip(plane, plane, plane, torch.from_numpy(self.times), flow=seen.half())

    def estimate_bytes(self, indices: Iterable[int]) -> int:
        return _VIEWINGS * (len(self.times) - 1) * self.grid**2 * 4  # two float16
