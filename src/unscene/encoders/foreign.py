"""Other people's video models as encoders of ours.

    adapt(module)                 torch modules: torchvision's video models and all like them
    adapt(module, axes="BTCHW")   other axis orders; "BCHW": an image model (timm), frame by frame
    adapt(module.encode)          a method of a module
    adapt(function)               any function of a clip
    adapt(model)                  of transformers: VideoMAE, TimeSformer, ViViT, V-JEPA 2

The feature of a module is what its classifier reads, its maps are what was last a map: both are
found by running one clip of zeros and looking at what passes through the submodules (`hooks`). What
cannot be found is said: `head`, `layer` and `grid` name it.

A model that normalises frames itself takes mean 0 and std 1 (RGB in 0..1) or std 1/255 (0..255).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from unscene.encoders.base import EncoderSpec, VideoEncoder
from unscene.encoders.hooks import Axes, Hooks, Read, module_of, tensors
from unscene.encoders.transformers_models import TransformersModel, is_transformers
from unscene.errors import UnsceneError

# torchvision.models.video: what its weights of Kinetics-400 were trained with.
_TORCHVISION_MEAN = (0.43216, 0.394666, 0.37645)
_TORCHVISION_STD = (0.22803, 0.22145, 0.216989)


class NoMapsError(UnsceneError):
    """A model has features but no feature maps to look at."""


class Reader(Protocol):
    """Runs a model on clips and finds features, maps and logits in what it does."""

    def __call__(self, clip_BCTHW: Tensor) -> Read: ...


class ForeignEncoder(VideoEncoder):
    """A model of somebody else, run as an encoder of ours; made by `adapt`.

    Everything is differentiable, so that Grad-CAM works. A module that holds float16 or bfloat16
    is given clips of that kind; features, maps and logits are float32 whatever it is.

    Attributes:
        model: what runs; a module, or that of a method, moves with the encoder and changes mode
            with it.
        has_logits: whether `logits` answers.
    """

    def __init__(self, model: object, spec: EncoderSpec, reader: Reader) -> None:
        super().__init__(spec, stage_dims=(spec.dim,), minimum=(1, 1, 1))
        self.model = model
        # A method is no submodule by itself; a module must not be listed twice.
        self._owner = None if isinstance(model, nn.Module) else module_of(model)
        self._reader = reader
        self.has_logits = False

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        """(B, D)."""
        return self.read(clip_BCTHW).features

    def logits(self, clip_BCTHW: Tensor) -> Tensor:
        """(B, K), one number a class, before any softmax. Raises UnsceneError if it has none."""
        found = self.read(clip_BCTHW).logits
        if found is None:
            raise UnsceneError(f"{self.spec.name}: has no logits; its output is a feature")
        return found

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        read = self.read(clip_BCTHW)
        if read.maps is None:
            raise NoMapsError(f"{self.spec.name}: {read.why}")
        return [read.maps]

    def read(self, clip: Tensor) -> Read:
        """Features, maps and logits of one run. Raises UnsceneError as `forward` does."""
        self._check(clip)
        own = next((t.dtype for t in tensors(self.model) if t.is_floating_point()), clip.dtype)
        try:
            read = self._reader(clip.to(own))
        except UnsceneError as error:
            raise UnsceneError(f"{self.spec.name}: {error}") from error
        if read.features.ndim != 2 or len(read.features) != len(clip):
            raise UnsceneError(
                f"{self.spec.name}: {len(clip)} clips gave a feature of shape "
                f"{tuple(read.features.shape)}; it must be (batch, dim): check axes and head"
            )
        logits = None if read.logits is None else read.logits.float()
        # The source stays as it is: of a copy, what the model went on with has no gradient.
        return replace(
            read,
            features=read.features.float(),
            logits=logits,
            arrange=lambda source: read.arrange(source).float(),
        )


def adapt(
    model: object,
    *,
    name: str | None = None,
    axes: Axes | None = None,
    frames: int | None = None,
    stride: int | None = None,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    head: str | None = None,
    layer: str | None = None,
    grid: tuple[int, int, int] | None = None,
) -> VideoEncoder:
    """An encoder of ours from any model.

    Args:
        model: a model of transformers, a torch module, or a function from a float clip to a
            tensor: features (B, D), logits (B, K), tokens (B, N, D) or maps (B, D, T', H', W'); or
            a mapping with "features", "maps", "logits". A method of a module brings the module
            along: it moves and changes mode with the encoder. Any other function gets clips on
            whatever device its caller has them. Or a VideoEncoder, which is returned itself: frames
            to std that are given go into a new `spec`, which takes the place of its own.
        name: what to call it; its class or function name if not given. A VideoEncoder keeps its
            own.
        axes: of the clip that it takes. "BCHW": it takes images, and its answers are averaged
            over the frames. None: "BCTHW", or "BCHW" for a model of timm.
        frames, stride, size: the clips to feed it: T, frames of the video from one to the next,
            side in pixels. None: what the model says of itself, else 16 frames of 112 pixels, every
            fourth.
        mean, std: what RGB in 0..1 is normalised with, one value a channel. None: what the model
            says, else those of ImageNet.
        head: name of the submodule whose input is the feature and whose output the logits, such as
            "blocks.5.proj"; "" if the output is the feature. None: fc, head, heads or classifier
            if it has one of them.
        layer: name of the submodule whose output is the map, or the tokens. None: the last.
        grid: (T', H', W') of tokens; more tokens than that, at the front, are class tokens. None:
            that of the patch embedding.

    Returns:
        An encoder in evaluation mode: features would change with the batch otherwise.

    Raises:
        UnsceneError: it is none of these, cannot take such clips, or has no such submodule; or
            axes, head, layer or grid are given where they are known.
    """
    clips = {"frames": frames, "stride": stride, "size": size, "mean": mean, "std": std}
    given: dict[str, Any] = {key: value for key, value in clips.items() if value is not None}
    read = {"axes": axes, "head": head, "layer": layer, "grid": grid}
    if isinstance(model, VideoEncoder):
        _refuse(read, model.spec.name, "an encoder of unscene")
        return _fed(model, given)
    if not callable(model):
        raise UnsceneError(
            f"{model!r} is no model: give a torch module, a function of a clip, or a VideoEncoder"
        )
    name = name or _name(model)
    if is_transformers(model):
        _refuse(read, name, "a model of transformers")
        reader: Reader = TransformersModel(model)
        own = TransformersModel.clips(model)
    else:
        own = _own_clips(model)
        function: Callable[..., Any] = model
        order = own.pop("axes", "BCTHW")
        reader = Hooks(function, axes or order, head=head, layer=layer, grid=grid)
    return _tried(model, EncoderSpec(name, {}, dim=1, **(own | given)), reader)


def _refuse(options: Mapping[str, object], name: str, kind: str) -> None:
    """Raise UnsceneError if one of the options is given, since it is known of such a model."""
    for option, value in options.items():
        if value is not None:
            raise UnsceneError(f"{name}: {option} is for other modules; of {kind} it is known")


def _fed(encoder: VideoEncoder, given: dict[str, Any]) -> VideoEncoder:
    """One of ours, in evaluation mode, to be fed clips of other frames, stride, size, mean, std."""
    spec = replace(encoder.spec, **given) if given else encoder.spec
    if spec.channels != encoder.spec.channels:
        raise UnsceneError(
            f"{spec.name} takes {encoder.spec.channels} channels: give mean and std a value for "
            f"each, not {spec.channels}"
        )
    encoder.spec = spec
    return encoder.eval()


def _tried(model: object, spec: EncoderSpec, reader: Reader) -> ForeignEncoder:
    """Run two clips of zeros: learn D, and fail here rather than in the middle of an audit."""
    shape = (2, spec.channels, spec.frames, spec.size, spec.size)
    device = next((p.device for p in tensors(model)), torch.device("cpu"))
    encoder = ForeignEncoder(model, spec, reader).eval()  # a batch norm would learn from zeros
    try:
        with torch.no_grad():
            read = encoder.read(torch.zeros(shape, device=device))
    except UnsceneError:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UnsceneError(
            f"{spec.name}: does not take clips (batch, channels, frames, height, width) = "
            f"{'x'.join(map(str, shape))}: {reason}; name what it takes with axes, frames and size"
        ) from error
    spec = replace(spec, dim=read.features.shape[1])
    adapted = ForeignEncoder(model, spec, reader)
    adapted.has_logits = read.logits is not None
    return adapted.eval()


def _name(model: object) -> str:
    named = getattr(model, "__name__", None)
    return str(named) if named else type(model).__name__


def _own_clips(model: object) -> dict[str, Any]:
    """What a model of torchvision or timm says of the clips it was trained on."""
    if type(model).__module__.startswith("torchvision.models.video"):
        return {"mean": _TORCHVISION_MEAN, "std": _TORCHVISION_STD}
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None)
    if not isinstance(config, dict) or not hasattr(model, "forward_features"):
        return {}
    found = {key: config[key] for key in ("mean", "std") if key in config}
    shape = config.get("input_size")
    if shape is not None:
        found["size"] = int(shape[-1])
        # (C, H, W) is an image; a video model of timm's kind says (C, T, H, W).
        found["axes"] = "BCHW" if len(shape) == 3 else "BCTHW"
        if len(shape) == 4:
            found["frames"] = int(shape[1])
    return found
