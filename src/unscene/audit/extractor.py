"""A model under audit: it is fed clips and returns features and maps, which are counted.

Several measures want the same views of a batch: its center views, frozen or shuffled clips, clips
with swapped backgrounds. Each of them is made, and encoded, once per batch (`FeatureExtractor.keep`
and `encode_once`); when the next batch comes, it is forgotten. Memory stays that of one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from unscene.audit.footage import center_view
from unscene.data.loading import Batch
from unscene.encoders import EncoderSpec, VideoEncoder
from unscene.errors import UnsceneError
from unscene.views.background_swap import Segmentation, segment_motion

_T = TypeVar("_T")


@contextmanager
def preserve_state(encoders: Sequence[VideoEncoder]) -> Iterator[None]:
    """Restore the modes and the device of encoders afterwards, also after an error."""
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


class FeatureExtractor:
    """An encoder in evaluation mode that counts the clips it encodes.

    Args:
        encoder: any, also one of `encoders.foreign`; it is moved to the device and put into
            evaluation mode (`preserve_state` undoes both).
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
        self._kept: dict[str, Any] = {}

    @property
    def spec(self) -> EncoderSpec:
        """The input that the encoder takes."""
        return self.encoder.spec

    def center(self, batch: Batch) -> Tensor:
        """Center views (B, C, T, size, size) of a batch, see `footage.center_view`."""
        return self.keep(batch, "center view", lambda: center_view(batch, self.spec))

    def freeze(self, batch: Batch) -> Tensor:
        """Center views that repeat their middle frame."""
        view = self.center(batch)
        middle = view.shape[2] // 2
        return view[:, :, middle : middle + 1].expand_as(view)

    def segment(self, batch: Batch) -> Segmentation:
        """What moves in the center views of a batch, and their static scene."""
        return self.keep(
            batch,
            "segments",
            lambda: segment_motion(self.center(batch), std=self.spec.std, follow_camera=True),
        )

    def anchors(self, batch: Batch) -> Tensor:
        """Features (B, D) of the center views of a batch."""
        return self.encode_once(batch, "anchor", lambda: self.center(batch))

    def encode_once(self, batch: Batch, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Features (B, D) of views that several measures may want.

        Args:
            batch: the current one; those before it are forgotten.
            name: of the views; one name always means views made in the same way.
            make: renders the views; called by the first measure that wants them.
        """
        return self.keep(batch, f"features of {name}", lambda: self.features(make()))

    def maps_once(self, batch: Batch, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Maps of views that several measures may want; as `encode_once`.

        Raises:
            NoMapsError: the encoder has none.
        """
        return self.keep(batch, f"maps of {name}", lambda: self.maps(make()))

    def keep(self, batch: Batch, name: str, make: Callable[[], _T]) -> _T:
        """Return what `make` makes of a batch; it is called once per batch and name."""
        if self._batch is not batch:
            self._batch, self._kept = batch, {}
        if name not in self._kept:
            self._kept[name] = make()
        found: _T = self._kept[name]
        return found

    @torch.inference_mode()
    def features(self, clips_BCTHW: Tensor) -> Tensor:
        """Encode clips as features (B, D), float32 on the CPU.

        Raises:
            UnsceneError: a feature is not finite.
        """
        return self._encode(clips_BCTHW, self.encoder, "features")

    @torch.inference_mode()
    def maps(self, clips_BCTHW: Tensor) -> Tensor:
        """Encode clips as maps (B, D, T', H', W'), float32 on the CPU.

        Raises:
            NoMapsError: the encoder has none (`encoders.foreign`).
            UnsceneError: a map is not finite.
        """
        return self._encode(clips_BCTHW, self.encoder.forward_maps, "maps")

    def _encode(
        self, clips_BCTHW: Tensor, function: Callable[[Tensor], Tensor], what: str
    ) -> Tensor:
        parts = clips_BCTHW.split(self.batch_size)
        self.forwards += len(clips_BCTHW)
        found = [function(part.to(self.device)).float().cpu() for part in parts]
        return check_finite(torch.cat(found), self.encoder, what)


def check_finite(values: Tensor, encoder: VideoEncoder, what: str) -> Tensor:
    """Return the output of an encoder if all its numbers are finite.

    Scores of others would look like real ones.

    Raises:
        UnsceneError: names the encoder and `what` the values are.
    """
    if not bool(values.isfinite().all()):
        raise UnsceneError(f"{encoder.spec.name}: its {what} are not finite numbers")
    return values
