"""Video models of the library transformers: VideoMAE, TimeSformer, ViViT, V-JEPA 2.

All take (B, T, C, H, W) and put out tokens. The order of tokens and the feature differ:

    model        tokens                      feature (the input of its own classifier)
    videomae     time, rows, columns         mean, then fc_norm if it has one
    timesformer  class, rows, columns, time  the class token
    vivit        class, time, rows, columns  the class token
    vjepa2       time, rows, columns         its attentive pooler's output, else the mean

transformers is not a dependency of this package. Only `load_pretrained` imports it, when called.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from unscene.encoders.base import IMAGENET_MEAN, IMAGENET_STD
from unscene.encoders.hooks import Grid, ModelOutput
from unscene.errors import UnsceneError

Triple = tuple[float, ...]
_HALF: Triple = (0.5, 0.5, 0.5)
_PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class _Kind:
    """What differs between model types.

    Attributes:
        pixels: name of the argument for the frames.
        extra: further arguments.
        time_last: whether time is the fastest axis of the tokens.
        mean, std: normalization of RGB in 0..1 in its published image processor.
    """

    pixels: str = "pixel_values"
    extra: tuple[tuple[str, Any], ...] = ()
    time_last: bool = False
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD


_KINDS = {
    "videomae": _Kind(),
    "timesformer": _Kind(time_last=True, mean=(0.45,) * 3, std=(0.225,) * 3),
    # RGB is scaled to -1..1 first and then normalized with mean and std 0.5.
    "vivit": _Kind(mean=(0.75,) * 3, std=(0.25,) * 3),
    "vjepa2": _Kind("pixel_values_videos", (("skip_predictor", True),)),
}


def is_transformers(model: object) -> bool:
    """Whether a model is from transformers, supported or not."""
    return hasattr(getattr(model, "config", None), "model_type") and hasattr(model, "base_model")


class TransformersModel:
    """Reads features, maps and logits of a model of transformers.

    Args:
        model: with or without a classifier.

    Raises:
        UnsceneError: its type is none of the four.
    """

    def __init__(self, model: object) -> None:
        self.model: Any = model
        self.kind = _kind(model)

    @staticmethod
    def clips(model: object) -> dict[str, Any]:
        """Read frames, size, mean and std of the clips for which the model is configured."""
        config: Any = getattr(model, "config", None)
        kind = _kind(model)
        size = getattr(config, "image_size", None) or config.crop_size
        frames = getattr(config, "num_frames", None) or config.frames_per_clip
        return {
            "frames": int(frames),
            "size": int(size if isinstance(size, int) else size[0]),
            "mean": kind.mean,
            "std": kind.std,
        }

    def __call__(self, clip_BCTHW: Tensor) -> ModelOutput:
        frames_BTCHW = clip_BCTHW.transpose(1, 2)
        base: Callable[..., Any] = self.model.base_model
        batch, tokens = (
            clip_BCTHW.shape[0],
            base(**{self.kind.pixels: frames_BTCHW}, **dict(self.kind.extra))[0],
        )
        grid = self._grid(clip_BCTHW)
        if tokens.shape[0] != batch:  # TimeSformer with attention in space only: frame by frame
            return self._frame_by_frame(tokens.unflatten(0, (batch, -1)), grid)
        extra = tokens.shape[1] - math.prod(grid)
        if not 0 <= extra <= 1:
            raise UnsceneError(f"{tokens.shape[1]} tokens do not fit on a grid of {grid}")
        features = self._feature(tokens, extra)

        def arrange(tokens: Tensor) -> Tensor:
            t, h, w = grid
            places = tokens[:, extra:]
            if self.kind.time_last:
                return places.unflatten(1, (h, w, t)).permute(0, 4, 3, 1, 2)
            return places.unflatten(1, grid).movedim(-1, 1)

        return ModelOutput(features, self._logits(features), tokens, arrange)

    def _frame_by_frame(self, tokens_BTND: Tensor, grid: Grid) -> ModelOutput:
        def arrange(tokens: Tensor) -> Tensor:
            return tokens[:, :, 1:].unflatten(2, grid[1:]).movedim(-1, 1)

        features = tokens_BTND[:, :, 0].mean(dim=1)
        return ModelOutput(features, self._logits(features), tokens_BTND, arrange)

    def _feature(self, tokens: Tensor, extra: int) -> Tensor:
        pooler = getattr(self.model, "pooler", None)
        if self.model.config.model_type == "vjepa2" and isinstance(pooler, nn.Module):
            pooled: Tensor = pooler(tokens)
            return pooled
        if extra:
            return tokens[:, 0]
        norm = getattr(self.model, "fc_norm", None)
        if isinstance(norm, nn.Module):
            normed: Tensor = norm(tokens.mean(dim=1))
            return normed
        # A VideoMAE classifier without mean pooling reads the first token, as in its code.
        return tokens[:, 0] if hasattr(self.model, "fc_norm") else tokens.mean(dim=1)

    def _logits(self, features: Tensor) -> Tensor | None:
        classifier = getattr(self.model, "classifier", None)
        if not isinstance(classifier, nn.Linear):
            return None
        logits: Tensor = classifier(features)
        return logits

    def _grid(self, clip: Tensor) -> Grid:
        config = self.model.config
        tubelet: Any = getattr(config, "tubelet_size", 1)
        if isinstance(tubelet, int):
            patch: Any = config.patch_size
            rows, columns = (patch, patch) if isinstance(patch, int) else patch
        else:
            tubelet, rows, columns = tubelet
        return clip.shape[2] // tubelet, clip.shape[3] // rows, clip.shape[4] // columns


def load_pretrained(name: str) -> tuple[nn.Module, dict[str, Any]]:
    """Load a model of transformers with its weights, and read the mean and std of its processor.

    Args:
        name: a folder that `save_pretrained` wrote, or a name on the Hugging Face Hub, which is
            downloaded unless it is in the cache.

    Returns:
        The model in float32, of the class named in its configuration, and keyword arguments for
        `adapt`.

    Raises:
        UnsceneError: transformers is not installed, or there is no such model.
    """
    try:
        library = import_module("transformers")
    except ImportError as error:
        raise UnsceneError(
            f"hf:{name}: needs the library transformers; run `pip install transformers`"
        ) from error
    try:
        config = library.AutoConfig.from_pretrained(name)
        classes = getattr(config, "architectures", None) or ["AutoModel"]
        # Clips are float32, whatever precision the model was saved in.
        model: nn.Module = getattr(library, classes[0]).from_pretrained(name, dtype="float32")
        processor = _processor(library, name)
    except (OSError, ValueError, AttributeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UnsceneError(
            f"hf:{name}: {reason}; pass a folder written by save_pretrained or a name on the Hub"
        ) from error
    return model, read_normalization(processor) if processor else {}


def describe_model(model: nn.Module) -> dict[str, Any]:
    """Describe a model's architecture in JSON types, for `build_model`."""
    config: Any = model.config
    return {"class": type(model).__name__, "config": json.loads(config.to_json_string(False))}


def build_model(record: dict[str, Any]) -> nn.Module:
    """Build a model, with random weights, from what `describe_model` wrote.

    Only classes of transformers of the four supported types are built: a record runs no other code.

    Raises:
        UnsceneError: transformers is not installed, or the record names no such class.
    """
    try:
        library = import_module("transformers")
    except ImportError as error:
        raise UnsceneError(
            "needs the library transformers; run `pip install transformers`"
        ) from error
    try:
        settings = dict(record["config"])
        kind = settings.pop("model_type")
        if kind not in _KINDS:
            raise ValueError(f"type {kind!r} is none of {', '.join(_KINDS)}")
        made = getattr(library, str(record["class"]))
        if not issubclass(made, library.PreTrainedModel) or made.config_class.model_type != kind:
            raise ValueError(f"class {record['class']!r} is no model of type {kind}")
        model: nn.Module = made(library.AutoConfig.for_model(kind, **settings))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnsceneError(f"not the record of a model of transformers: {error}") from error
    return model


def read_normalization(processor: dict[str, Any]) -> dict[str, Triple]:
    """Convert the settings of an image processor to mean and std for RGB in 0..1.

    The processor multiplies RGB in 0..255 by rescale_factor, subtracts 1 if `offset`, and
    normalizes.
    """
    factor = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1.0
    # ViViT's processor has "offset" even if its file does not mention it.
    offset = bool(processor.get("offset", "Vivit" in str(processor.get("image_processor_type"))))
    mean, std = (0.0,) * 3, (1.0,) * 3
    if processor.get("do_normalize", True):
        mean = tuple(processor.get("image_mean", _HALF))
        std = tuple(processor.get("image_std", _HALF))
    scale = 255 * factor
    return {
        "mean": tuple((m + offset) / scale for m in mean),
        "std": tuple(s / scale for s in std),
    }


def _processor(library: Any, name: str) -> dict[str, Any]:
    """Read the settings of the image processor from its file; its class would need torchvision."""
    for file in _PROCESSORS:
        local = Path(name) / file
        if not Path(name).is_dir():
            found = library.utils.cached_file(
                name, file, _raise_exceptions_for_missing_entries=False
            )
            local = Path(found) if found else local
        if local.is_file():
            settings: dict[str, Any] = json.loads(local.read_text(encoding="utf-8"))
            return settings
    return {}


def _kind(model: object) -> _Kind:
    config: Any = getattr(model, "config", None)
    if config.model_type not in _KINDS:
        raise UnsceneError(
            f"{type(model).__name__}: of transformers, {', '.join(_KINDS)} are supported, not "
            f"{config.model_type}; pass a function from a clip to features instead"
        )
    return _KINDS[config.model_type]
