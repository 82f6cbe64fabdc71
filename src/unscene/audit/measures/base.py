"""What all measures of the audit share: what they are given, and what they hand on.

A measure sees the footage once, batch by batch, beside the others: nothing is decoded twice, and
memory is that of a batch.

    watcher = Watcher(encoder)
    measures = [Time(watcher, footage), Swap(watcher, footage), ...]
    for batch in footage.batches(encoder.spec):
        batch = batch.to(watcher.device)
        for measure in measures:
            measure.see(batch)
    found = [measure.finish() for measure in measures]

Measures also share what they take for evidence: files, however many segments and windows there are
of each, and at least `FEWEST`. And they share what they show: the centre views of a batch and the
features of views that several want are made once (`Watcher.centre`, `Watcher.parted`,
`Watcher.once`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from unscene.audit.footage import centre_view
from unscene.data.loading import Batch
from unscene.encoders import EncoderSpec, VideoEncoder
from unscene.errors import UnsceneError
from unscene.results.statistics import Score
from unscene.views.background_swap import Segmentation, segment_motion

_T = TypeVar("_T")

# Files that a score rests on. A bootstrap over fewer covers the truth far less often than it says:
# of nominal 95 % intervals 52 % did over 2, 72 % over 3, 83 % over 5, 89 % over 8.
FEWEST = 8


def too_few(files: Iterable[int], which: str) -> str:
    """Why there is no score: "" if there are files enough for an interval, else how many there are.

    Args:
        files: of all that was measured, as in `Footage.files`; they may come many times.
        which: what they have that others may lack, "in which something moves" say.
    """
    count = len(set(files))
    if count >= FEWEST:
        return ""
    return (
        f"only {count} video file{'s' * (count != 1)} {which}, and an interval takes at least "
        f"{FEWEST}"
    )


def counted(left_out: Mapping[str, int]) -> str:
    """Why windows or videos were left out, in words: "nothing moves in 3, ..."; "" for none."""
    return ", ".join(f"{reason} in {count}" for reason, count in sorted(left_out.items()))


@contextmanager
def as_they_were(encoders: Sequence[VideoEncoder]) -> Iterator[None]:
    """Afterwards, or after an error, encoders are in the mode and on the device that they were
    handed over in."""
    modes = [{module: module.training for module in one.modules()} for one in encoders]
    homes = [
        next((tensor.device for tensor in (*one.parameters(), *one.buffers())), None)
        for one in encoders
    ]
    try:
        yield
    finally:
        for encoder, mode, home in zip(encoders, modes, homes, strict=True):
            for module, training in mode.items():
                module.training = training
            if home is not None:
                encoder.to(home)


@dataclass(frozen=True)
class Measured:
    """What a measure found out about one model.

    Attributes:
        name: "reliance", "time", "swap", "where", "response" or "adversarial".
        scores: by name, the headline first; none if the measure does not apply. Their chance is
            what a model that knows nothing would get; one that untrained networks do not have by
            chance has none.
        absent: why the measure (or a part of it) does not apply, in words; "" if it does.
        details: JSON types only: curves, classes, counts.
        pictures: PNG files by name, for the report.
        forwards: clips that were encoded for it, shared ones counted by who came first.
    """

    name: str
    scores: Mapping[str, Score] = field(default_factory=dict)
    absent: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    forwards: int = 0


def against(scores: Mapping[str, Score], chance: Mapping[str, float]) -> dict[str, Score]:
    """The scores, each with its chance if it has one; `chance` may name others too."""
    return {name: replace(one, chance=chance.get(name)) for name, one in scores.items()}


class Measure(Protocol):
    """One question put to a model. Built as Kind(watcher, footage)."""

    name: str

    def see(self, batch: Batch) -> None:
        """Take in a batch of `Footage.batches`, never an empty one, on the watcher's device."""

    def finish(self) -> Measured:
        """What was found, after all batches."""


class Watcher:
    """An encoder that is asked only, and counts the clips it is shown.

    Args:
        encoder: any (`encoders.foreign` makes one of other people's models); it is moved to the
            device and stays in evaluation mode (`as_they_were` undoes both).
        device: where it runs.
        batch_size: clips encoded at once.

    Attributes:
        forwards: clips encoded so far.
    """

    def __init__(
        self, encoder: VideoEncoder, *, device: torch.device | str = "cpu", batch_size: int = 16
    ) -> None:
        self.encoder = encoder.eval().to(device)
        self.device, self.batch_size = torch.device(device), batch_size
        self.forwards = 0
        self._batch: Batch | None = None
        self._made: dict[str, Any] = {}

    @property
    def spec(self) -> EncoderSpec:
        """What the encoder has to be fed."""
        return self.encoder.spec

    def centre(self, batch: Batch) -> Tensor:
        """Its centre views (B, C, T, size, size), as `footage.centre_view`, rendered once."""
        return self.keep(batch, "centre view", lambda: centre_view(batch, self.spec))

    def parted(self, batch: Batch) -> Segmentation:
        """What moves in its centre views and the scene it moves in, found once."""
        return self.keep(
            batch, "parted", lambda: segment_motion(self.centre(batch), std=self.spec.std)
        )

    def anchors(self, batch: Batch) -> Tensor:
        """Features (B, D) of its centre views, encoded once."""
        return self.once(batch, "anchor", lambda: self.centre(batch))

    def once(self, batch: Batch, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Features (B, D) of views of a batch that several measures may ask for, encoded once.

        Args:
            batch: the one that is being seen; those before it are forgotten.
            name: of the views; one name stands for one way to make them.
            make: renders the views, called only if nobody has asked before.
        """
        return self.keep(batch, f"features of {name}", lambda: self.features(make()))

    def keep(self, batch: Batch, name: str, make: Callable[[], _T]) -> _T:
        """What is made of a batch, made once; it is forgotten when another batch comes."""
        if self._batch is not batch:
            self._batch, self._made = batch, {}
        if name not in self._made:
            self._made[name] = make()
        found: _T = self._made[name]
        return found

    @torch.inference_mode()
    def features(self, clips_BCTHW: Tensor) -> Tensor:
        """(B, D), float32 on the CPU. Raises UnsceneError if a feature is not finite."""
        parts = clips_BCTHW.split(self.batch_size)
        self.forwards += len(clips_BCTHW)
        features = [self.encoder(part.to(self.device)).float().cpu() for part in parts]
        return finite(torch.cat(features), self.encoder, "features")

    @torch.inference_mode()
    def maps(self, clips_BCTHW: Tensor) -> Tensor:
        """(B, D, T', H', W'), float32 on the CPU.

        Raises:
            NoMapsError: the encoder has none (`encoders.foreign`).
            UnsceneError: a map is not finite.
        """
        parts = clips_BCTHW.split(self.batch_size)
        self.forwards += len(clips_BCTHW)
        maps = [self.encoder.forward_maps(part.to(self.device)).float().cpu() for part in parts]
        return finite(torch.cat(maps), self.encoder, "maps")


def finite(found: Tensor, encoder: VideoEncoder, what: str) -> Tensor:
    """What an encoder answered, of any shape, if it is numbers throughout: a score of others would
    look as if it had been measured. Raises UnsceneError otherwise, with the name of the answer."""
    if not bool(found.isfinite().all()):
        raise UnsceneError(f"{encoder.spec.name}: its {what} are not finite numbers")
    return found
