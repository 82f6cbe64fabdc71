"""Use other people's video models as encoders.

    adapt(module)                 torch modules, such as torchvision's video models
    adapt(module, axes="BTCHW")   another order of axes; "BCHW": an image model, frame by frame
    adapt(module.encode)          a method of a module
    adapt(function)               any function of a clip
    adapt(model)                  of transformers: VideoMAE, TimeSformer, ViViT, V-JEPA 2

The feature of a module is the input of its classifier; its map is the last output that is one. Both
are found by running one clip of zeros with hooks on all submodules (`hooks`). If they cannot be
found, an error says so, and `head`, `layer` and `grid` name them.

A model that normalizes frames itself takes mean 0 and std 1 (RGB in 0..1) or std 1/255 (0..255).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from unscene.encoders.base import EncoderSpec, VideoEncoder
from unscene.encoders.hooks import Axes, HookReader, ModelOutput, module_of, tensors
from unscene.encoders.transformers_models import TransformersModel, is_transformers
from unscene.errors import UnsceneError

# The normalization of torchvision.models.video, for its weights from Kinetics-400.
_TORCHVISION_MEAN = (0.43216, 0.394666, 0.37645)
_TORCHVISION_STD = (0.22803, 0.22145, 0.216989)


class NoMapsError(UnsceneError):
    """The model has features but no feature maps."""


class Reader(Protocol):
    """Runs a model on clips and returns its features, maps and logits."""

    def __call__(self, clip_BCTHW: Tensor) -> ModelOutput: ...


class ForeignEncoder(VideoEncoder):
    """A model from another library with the interface of VideoEncoder; made by `adapt`.

    Everything is differentiable, so that Grad-CAM works. A module with parameters in float16 or
    bfloat16 gets clips of that type; features, maps and logits are always float32.

    Attributes:
        model: the model; a module, or the owner of a method, moves and changes mode with the
            encoder.
        has_logits: whether `logits` is available.
    """

    def __init__(self, model: object, spec: EncoderSpec, reader: Reader) -> None:
        super().__init__(spec, stage_dims=(spec.dim,), minimum=(1, 1, 1))
        self.model = model
        # Registers the owner of a method as a submodule; a module must not be listed twice.
        self._owner = None if isinstance(model, nn.Module) else module_of(model)
        self._reader = reader
        self.has_logits = False

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        """Compute the features of a batch of clips, (B, D)."""
        return self.read(clip_BCTHW).features

    def logits(self, clip_BCTHW: Tensor) -> Tensor:
        """Compute (B, K), one logit per class. Raises UnsceneError if the model has none."""
        found = self.read(clip_BCTHW).logits
        if found is None:
            raise UnsceneError(f"{self.spec.name}: has no logits; its output is a feature")
        return found

    def prepare_training(self, frames: int, size: int) -> None:
        """Check that the model can be trained on such clips, and freeze what the feature ignores.

        Weights that the feature does not depend on (a classifier, a decoder) would get no gradient,
        and training on several devices needs one for every weight that is not frozen.

        Raises:
            UnsceneError: the model does not take the clips, or has no weights to train.
        """
        if isinstance(self._reader, HookReader):
            self._reader.forget_maps()
        training, own = self.training, self.spec
        features = _run_zeros(
            self.eval(), frames, size, f"--frames {own.frames} --size {own.size} are its own"
        ).features
        if not features.requires_grad:
            raise UnsceneError(f"{own.name}: has no weights to train")
        features.sum().backward()
        for parameter in self.parameters():
            parameter.requires_grad_(parameter.grad is not None)
            parameter.grad = None
        self.train(training)

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        read = self.read(clip_BCTHW)
        if read.maps is None:
            raise NoMapsError(f"{self.spec.name}: {read.why}")
        return [read.maps]

    def read(self, clip: Tensor) -> ModelOutput:
        """Compute features, maps and logits in one run. Raises UnsceneError as `forward` does."""
        self._check(clip)
        own = next((t.dtype for t in tensors(self.model) if t.is_floating_point()), clip.dtype)
        try:
            read = self._reader(clip.to(own))
        except UnsceneError as error:
            raise UnsceneError(f"{self.spec.name}: {error}") from error
        if read.features.ndim != 2 or read.features.shape[0] != clip.shape[0]:
            raise UnsceneError(
                f"{self.spec.name}: {len(clip)} clips gave a feature of shape "
                f"{tuple(read.features.shape)}; it must be (batch, dim): check axes and head"
            )
        logits = None if read.logits is None else read.logits.float()
        # The source is not converted: a copy would have no gradient.
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
    """Make an encoder from any video or image model.

    Args:
        model: one of
            - a model of transformers, or a torch module;
            - a function of a float clip that returns a tensor (features (B, D), logits (B, K),
              tokens (B, N, D) or maps (B, D, T', H', W')) or a mapping with "features", "maps" and
              "logits". For a method of a module, the module moves and changes mode with the
              encoder. Other functions get clips on the caller's device;
            - a VideoEncoder. It is returned itself; frames, stride, size, mean and std replace
              those of its `spec`.
        name: name of the encoder; None: the name of the class or function. A VideoEncoder keeps
            its own.
        axes: axes of the clips that the model takes. "BCHW": it takes images, and the features of
            the frames are averaged. None: "BCTHW", or "BCHW" for a model of timm.
        frames, stride, size: number of frames, video frames from one to the next, and side in
            pixels of the clips. None: the model's own configuration, else 16, 4 and 112.
        mean, std: normalization of RGB in 0..1, one value per channel. None: the model's own, else
            those of ImageNet.
        head: name of the submodule whose input is the feature and whose output is the logits, such
            as "blocks.5.proj"; "" if the output is the feature. None: fc, head, heads or
            classifier, if the model has one of them.
        layer: name of the submodule whose output is the map or the tokens. None: the last one.
        grid: (T', H', W') of tokens; additional tokens at the front are class tokens. None: that
            of the patch embedding.

    Returns:
        An encoder in evaluation mode.

    Raises:
        UnsceneError: the model is none of these, does not take such clips, or has no such
            submodule; or axes, head, layer or grid are given for a model that does not need them.

    >>> encoder = adapt(nn.Conv3d(3, 8, 3), name="small", frames=4, size=16)
    >>> encoder(torch.zeros(2, 3, 4, 16, 16)).shape
    torch.Size([2, 8])
    """
    clips = {"frames": frames, "stride": stride, "size": size, "mean": mean, "std": std}
    given: dict[str, Any] = {key: value for key, value in clips.items() if value is not None}
    read = {"axes": axes, "head": head, "layer": layer, "grid": grid}
    if isinstance(model, VideoEncoder):
        _refuse(read, model.spec.name, "an encoder of unscene")
        return _with_clips(model, given)
    if not callable(model):
        raise UnsceneError(
            f"{model!r} is not a model: pass a torch module, a function of a clip, or a "
            "VideoEncoder"
        )
    name = name or _name_of(model)
    if is_transformers(model):
        _refuse(read, name, "a model of transformers")
        reader: Reader = TransformersModel(model)
        own = TransformersModel.clips(model)
    else:
        own = _read_clip_settings(model)
        function: Callable[..., Any] = model
        order = own.pop("axes", "BCTHW")
        reader = HookReader(function, axes or order, head=head, layer=layer, grid=grid)
    return _check_by_running(model, EncoderSpec(name, {}, dim=1, **(own | given)), reader)


def _refuse(options: Mapping[str, object], name: str, kind: str) -> None:
    """Raise UnsceneError if an option is given that is not needed for this kind of model."""
    for option, value in options.items():
        if value is not None:
            raise UnsceneError(f"{name}: {option} is for other modules; {kind} needs none")


def _with_clips(encoder: VideoEncoder, given: dict[str, Any]) -> VideoEncoder:
    """Change frames, stride, size, mean or std of one of our encoders; in evaluation mode."""
    spec = replace(encoder.spec, **given) if given else encoder.spec
    if spec.channels != encoder.spec.channels:
        raise UnsceneError(
            f"{spec.name} takes {encoder.spec.channels} channels: mean and std need one value for "
            f"each, got {spec.channels}"
        )
    encoder.spec = spec
    return encoder.eval()


def _check_by_running(model: object, spec: EncoderSpec, reader: Reader) -> ForeignEncoder:
    """Run two clips of zeros to find D, and to fail here rather than in the middle of an audit."""
    encoder = ForeignEncoder(model, spec, reader).eval()  # batch norm must not update on zeros
    with torch.no_grad():
        read = _run_zeros(
            encoder, spec.frames, spec.size, "set axes, frames and size to what it takes"
        )
    spec = replace(spec, dim=read.features.shape[1])
    adapted = ForeignEncoder(model, spec, reader)
    adapted.has_logits = read.logits is not None
    return adapted.eval()


def _run_zeros(encoder: ForeignEncoder, frames: int, size: int, remedy: str) -> ModelOutput:
    """Run two clips of zeros. Raises UnsceneError with a remedy if the model does not take them."""
    spec = encoder.spec
    shape = (2, spec.channels, frames, size, size)
    device = next((p.device for p in tensors(encoder.model)), torch.device("cpu"))
    try:
        return encoder.read(torch.zeros(shape, device=device))
    except UnsceneError:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UnsceneError(
            f"{spec.name}: does not take clips (batch, channels, frames, height, width) = "
            f"{'x'.join(map(str, shape))}: {reason}; {remedy}"
        ) from error


def _name_of(model: object) -> str:
    named = getattr(model, "__name__", None)
    return str(named) if named else type(model).__name__


def _read_clip_settings(model: object) -> dict[str, Any]:
    """Read from a model of torchvision or timm which clips it was trained on."""
    if type(model).__module__.startswith("torchvision.models.video"):
        return {"mean": _TORCHVISION_MEAN, "std": _TORCHVISION_STD}
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None)
    if not isinstance(config, dict) or not hasattr(model, "forward_features"):
        return {}
    found = {key: config[key] for key in ("mean", "std") if key in config}
    shape = config.get("input_size")
    if shape is not None:
        found["size"] = int(shape[-1])
        # (C, H, W) is an image; video models have (C, T, H, W).
        found["axes"] = "BCHW" if len(shape) == 3 else "BCTHW"
        if len(shape) == 4:
            found["frames"] = int(shape[1])
    return found
