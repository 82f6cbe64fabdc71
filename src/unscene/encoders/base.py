"""The interface of all encoders (VideoEncoder) and what is needed to use one (EncoderSpec).

In: clips. Out: feature maps and features.

Convention
----------
A clip is `clip_BCTHW`: float, axes batch, channel, frame, height, width; channels in RGB order,
normalized with `spec.mean` and `spec.std`. A feature map is (B, D, T', H', W'), a feature (B, D).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from torch import Tensor, nn

from unscene import __version__
from unscene.encoders.flow_input import encode_flow, read_flow
from unscene.errors import UnsceneError
from unscene.motion.flow import DIS_LEAST

SPEC_FORMAT = 1
Pool = Literal["avg", "max"]
Input = Literal["rgb", "flow", "vectors"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class EncoderSpec:
    """All about an encoder except the weights: architecture, clips that it takes, and history.

    It is plain data: `to_json` and `from_json` are inverses. A trainer records its own clips with
    `encoder.spec = dataclasses.replace(encoder.spec, frames=..., trained_on={...})`.

    Attributes:
        name: architecture, one of `known_encoders()`, or what a model from outside is called.
        options: keyword arguments of `create_encoder` in addition to the name; of a model from
            outside, how it is built again (`weights.build_encoder`).
        dim: D, length of a feature.
        frames: T, number of frames in a clip.
        stride: video frames from one frame of a clip to the next.
        size: height and width of a clip in pixels.
        mean: one value per channel, subtracted from RGB in [0, 1]; its length is the number of
            channels.
        std: one value per channel, by which the difference is divided.
        trained_on: method, steps, fingerprint of the data and so on; empty if untrained.
        unscene: version of this package that made the spec.
        format: version of this record.

    >>> spec = EncoderSpec("r3d-narrow", {"width": 8}, dim=32, frames=8, size=36)
    >>> EncoderSpec.from_json(spec.to_json()) == spec
    True
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
                f"encoder spec: mean and std need one value per channel and std must be above 0, "
                f"got mean {list(self.mean)} and std {list(self.std)}"
            )

    @property
    def channels(self) -> int:
        """C, channels of a clip."""
        return len(self.mean)

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON types. Raises UnsceneError if a value has no JSON form."""
        try:
            return json.loads(json.dumps(asdict(self), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise UnsceneError(
                f"encoder spec of {self.name}: options and trained_on must be JSON values: {error}"
            ) from error

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> EncoderSpec:
        """Rebuild a spec from `to_json`. Raises UnsceneError on a newer format or wrong fields."""
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
            raise UnsceneError(f"not the fields of an encoder record, missing or unknown: {wrong}")
        return cls(**record)


class VideoEncoder(nn.Module):
    """A video encoder without classifier: clips in, feature maps or features out.

    A subclass calls this constructor first, builds its layers, calls `initialize` last and
    implements `_stages`.

    Attributes:
        spec: see EncoderSpec; may be replaced by a spec with other clip settings.
        stage_dims: channels of each map that `forward_stages` returns.
        minimum: smallest (T, H, W) of a clip.
        pool: how maps become features. "avg" is the mean over time and space, as in the papers.
            "max" is the mean over time of the largest value in space, which keeps small objects
            in front of a large background.
        input: what the layers read of a clip. "rgb": the clip. "flow": the three channels of
            `flow_input.encode_flow`, of the flow between its frames without the camera's motion.
            "vectors": the same of the codec's motion vectors, wherever clips are read from files;
            where there are only pixels (arrays, or pixels that an audit altered), of their flow.
        flow_grid: cells along each side of that flow; None: as many as the clip has pixels.

    An encoder of flow or vectors also takes flow that is already known, as a clip of two channels
    (B, 2, T-1, H, W): x and y in normalized units, pointing back, the camera taken out.

    Shape:
        forward: (B, C, T, H, W) -> (B, D).
        forward_maps: (B, C, T, H, W) -> (B, D, T', H', W').
        forward_stages: (B, C, T, H, W) -> a list of (B, D_k, T_k, H_k, W_k), shallow to deep.

    >>> import torch
    >>> from unscene.encoders import create_encoder
    >>> encoder = create_encoder("r3d-narrow").eval()
    >>> clip = torch.zeros(2, 3, 8, 36, 36)
    >>> encoder(clip).shape, encoder.forward_maps(clip).shape
    (torch.Size([2, 64]), torch.Size([2, 64, 4, 3, 3]))
    >>> [tuple(stage.shape[1:]) for stage in encoder.forward_stages(clip)]
    [(16, 8, 9, 9), (32, 8, 5, 5), (64, 4, 3, 3)]
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
        self.input: Input = "rgb"
        self.flow_grid: int | None = None
        if pool not in get_args(Pool):
            raise UnsceneError(f"{spec.name}: pool must be one of {get_args(Pool)}, got {pool!r}")
        self.pool: Pool = pool

    @property
    def dim(self) -> int:
        """D, length of a feature."""
        return self.stage_dims[-1]

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        """Compute the features of a batch of clips, (B, D), by pooling `forward_maps`."""
        maps = self.forward_maps(clip_BCTHW)
        if self.pool == "max":
            return maps.amax(dim=(3, 4)).mean(dim=2)
        return maps.mean(dim=(2, 3, 4))

    def forward_maps(self, clip_BCTHW: Tensor) -> Tensor:
        """Compute the last feature map of a batch of clips, (B, D, T', H', W')."""
        return self.forward_stages(clip_BCTHW)[-1]

    def forward_stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        """Compute one feature map per stage, shallow to deep: (B, stage_dims[k], T_k, H_k, W_k).

        Raises UnsceneError if the clip is not float, has other axes or channels, or is smaller
        than `minimum`.
        """
        if self.input != "rgb" and clip_BCTHW.ndim == 5 and clip_BCTHW.shape[1] == 2:
            return self._stages_of_flow(clip_BCTHW.movedim(1, -1))
        self._check(clip_BCTHW)
        if self.input == "rgb":
            return self._stages(clip_BCTHW)
        return self._stages_of_flow(read_flow(clip_BCTHW, self.spec.mean, self.spec.std))

    def forward_flow(self, flow_BPHW2: Tensor) -> list[Tensor]:
        """Compute the feature maps of flow instead of clips, as `forward_stages`.

        Args:
            flow_BPHW2: (B, T-1, H, W, 2), normalized units, the camera taken out; of any source.

        Raises:
            UnsceneError: the encoder reads RGB.
        """
        if self.input == "rgb":
            raise UnsceneError(f"{self.spec.name} reads RGB, not flow")
        return self._stages_of_flow(flow_BPHW2)

    def read_flow_of_clips(
        self, source: Literal["flow", "vectors"] = "flow", *, grid: int | None = None
    ) -> None:
        """Make the layers read flow instead of RGB, with one frame more: T flows need T+1 frames.

        Args:
            source: where flow comes from, see `input`; of an encoder that reads flow already, only
                this changes.
            grid: see `flow_grid`.
        """
        if self.input == "rgb":
            frames, height, width = self.minimum
            self.minimum = frames + 1, max(height, DIS_LEAST), max(width, DIS_LEAST)
            self.spec = replace(self.spec, frames=self.spec.frames + 1)
            self.flow_grid = grid
        self.input = source
        self.spec = replace(self.spec, options=self.spec.options | {"input": source})

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def _stages_of_flow(self, flow_BPHW2: Tensor) -> list[Tensor]:
        return self._stages(encode_flow(flow_BPHW2, self.flow_grid))

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
                f"pass {channels} channels on the second axis, and longer or larger clips"
            )
        if not clip.is_floating_point():
            raise UnsceneError(
                f"{self.spec.name} takes float clips normalized with spec.mean and spec.std, "
                f"got {clip.dtype}"
            )

    def initialize(self) -> None:
        """Draw all weights from torch's global generator.

        Convolutions: Kaiming normal, fan out; biases: 0; batch norm: scale 1, shift 0.

        Source: He et al. 2015, "Delving Deep into Rectifiers".
        """
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm3d):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
