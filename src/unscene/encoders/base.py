"""What a video encoder is (VideoEncoder) and what has to be known to use one (EncoderSpec).

Convention
----------
A clip is `clip_BCTHW`: float, axes batch, channel, frame, height, width; channels in the order RGB,
normalised with `spec.mean` and `spec.std`. A feature map is (B, D, T', H', W'), a feature (B, D).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from torch import Tensor, nn

from unscene import __version__
from unscene.errors import UnsceneError

SPEC_FORMAT = 1
Pool = Literal["avg", "max"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class EncoderSpec:
    """Everything but the weights: how to build the encoder, what to feed it, where it comes from.

    It is plain data: `to_json` and `from_json` are inverses. A trainer records its own clips with
    `encoder.spec = dataclasses.replace(encoder.spec, frames=..., trained_on={...})`.

    Attributes:
        name: architecture, one of `known_encoders()`.
        options: keyword arguments that `create_encoder` was given beside the name.
        dim: D, length of a feature.
        frames: T, frames in a clip.
        stride: video frames from one frame of a clip to the next.
        size: height and width of a clip in pixels.
        mean: one value a channel, subtracted from RGB in [0, 1]; its length is the channel count.
        std: one value a channel, divided by after the mean is subtracted.
        trained_on: free-form: method, steps, fingerprint of the data ...; empty if untrained.
        unscene: version of this package that made the spec.
        format: version of this record.
    """

    name: str
    options: dict[str, Any]
    dim: int
    frames: int = 16
    stride: int = 4
    size: int = 112
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    trained_on: dict[str, Any] = field(default_factory=dict)
    unscene: str = __version__
    format: int = SPEC_FORMAT

    def __post_init__(self) -> None:
        for name in ("dim", "frames", "stride", "size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UnsceneError(
                    f"encoder spec: {name} must be a whole number > 0, got {value!r}"
                )
        for name in ("options", "trained_on"):
            if not isinstance(getattr(self, name), dict):
                raise UnsceneError(
                    f"encoder spec: {name} must be a table of names and values, "
                    f"got {getattr(self, name)!r}"
                )
        for name in ("mean", "std"):
            try:
                object.__setattr__(self, name, tuple(float(x) for x in getattr(self, name)))
            except (TypeError, ValueError):
                raise UnsceneError(
                    f"encoder spec: {name} must be a list of numbers, got {getattr(self, name)!r}"
                ) from None
        if not self.mean or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise UnsceneError(
                f"encoder spec: mean and std need one value a channel and std must be above 0, "
                f"got mean {list(self.mean)} and std {list(self.std)}"
            )

    @property
    def channels(self) -> int:
        """C, channels of a clip."""
        return len(self.mean)

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON types only. Raises UnsceneError if a value has no JSON form."""
        try:
            return json.loads(json.dumps(asdict(self), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise UnsceneError(
                f"encoder spec of {self.name}: options and trained_on must be JSON values: {error}"
            ) from error

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> EncoderSpec:
        """The spec that `to_json` made. Raises UnsceneError on a newer format or wrong fields."""
        version = record.get("format")
        if not isinstance(version, int) or version < 1:
            raise UnsceneError("not an encoder record: it has no `format` number")
        if version > SPEC_FORMAT:
            raise UnsceneError(
                f"written in format {version} by unscene {record.get('unscene', '?')}, and unscene "
                f"{__version__} reads up to format {SPEC_FORMAT}: upgrade unscene"
            )
        names = {entry.name for entry in fields(cls)}
        wrong = sorted(names ^ record.keys())
        if wrong:
            raise UnsceneError(f"fields missing from or foreign to an encoder record: {wrong}")
        return cls(**record)


class VideoEncoder(nn.Module):
    """A video backbone without its classifier: clips in, feature maps or features out.

    A subclass calls this constructor first, builds its layers, calls `initialize` last and
    implements `_stages`.

    Attributes:
        spec: see EncoderSpec; may be replaced by a spec with other clip settings.
        stage_dims: channels of each map that `forward_stages` returns.
        minimum: smallest (T, H, W) of a clip.
        pool: how maps become features. "avg" is the mean over time and space, as in the papers;
            "max" the mean over time of the largest value in space, which a small object on a large
            background does not get lost in.
    """

    def __init__(
        self,
        spec: EncoderSpec,
        *,
        stage_dims: Sequence[int],
        minimum: tuple[int, int, int],
        pool: Pool = "avg",
    ) -> None:
        super().__init__()
        self.spec = spec
        self.stage_dims = tuple(stage_dims)
        self.minimum = minimum
        if pool not in get_args(Pool):
            raise UnsceneError(f"{spec.name}: pool must be one of {get_args(Pool)}, got {pool!r}")
        self.pool: Pool = pool

    @property
    def dim(self) -> int:
        """D, length of a feature."""
        return self.stage_dims[-1]

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        """The features of a batch of clips, (B, D): `forward_maps`, pooled."""
        maps = self.forward_maps(clip_BCTHW)
        if self.pool == "max":
            return maps.amax(dim=(3, 4)).mean(dim=2)
        return maps.mean(dim=(2, 3, 4))

    def forward_maps(self, clip_BCTHW: Tensor) -> Tensor:
        """The last feature map of a batch of clips, (B, D, T', H', W')."""
        return self.forward_stages(clip_BCTHW)[-1]

    def forward_stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        """One feature map a stage, shallow to deep: (B, stage_dims[k], T_k, H_k, W_k) each.

        Raises UnsceneError if the clip is not float, or has other axes or channels, or is smaller
        than the encoder's strides permit.
        """
        self._check(clip_BCTHW)
        return self._stages(clip_BCTHW)

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def _check(self, clip: Tensor) -> None:
        shape = tuple(clip.shape)
        channels, (t, h, w) = self.spec.channels, self.minimum
        fits = (
            len(shape) == 5
            and shape[1] == channels
            and all(have >= need for have, need in zip(shape[2:], self.minimum, strict=True))
        )
        if not fits:
            raise UnsceneError(
                f"{self.spec.name} takes clips (batch, channels, frames, height, width) of "
                f"at least {channels}x{t}x{h}x{w}, got {'x'.join(map(str, shape))}: "
                f"give it {channels} channels in second place and longer or larger clips"
            )
        if not clip.is_floating_point():
            raise UnsceneError(
                f"{self.spec.name} takes float clips normalised with spec.mean and spec.std, "
                f"got {clip.dtype}"
            )

    def initialize(self) -> None:
        """Draw every weight anew from torch's global generator, as He et al. 2015 do for ReLU.

        Convolutions: Kaiming normal, fan out; biases: 0; batch norm: scale 1, shift 0.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm3d):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
