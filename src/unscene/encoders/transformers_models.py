"""Video models of the library transformers: VideoMAE, TimeSformer, ViViT, V-JEPA 2.

All take (B, T, C, H, W) and put out tokens; they differ in how tokens lie and what is the feature:

    model        tokens                      feature (what its own classifier reads)
    videomae     time, rows, columns         mean, then fc_norm if it has one
    timesformer  class, rows, columns, time  the class token
    vivit        class, time, rows, columns  the class token
    vjepa2       time, rows, columns         its attentive pooler's output, else the mean

transformers is no dependency of this package: whoever has such a model has it. Nothing here imports
it but `load_pretrained`, and that only when it is called.
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
from unscene.encoders.hooks import Grid, Read
from unscene.errors import UnsceneError

Triple = tuple[float, ...]
_HALF: Triple = (0.5, 0.5, 0.5)
_PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class _Kind:
    """What has to be known of a model type.

    Attributes:
        pixels: name of the argument.
        extra: further arguments.
        time_last: whether time runs fastest among the tokens.
        mean, std: of RGB in 0..1, as its published image processor has them.
    """

    pixels: str = "pixel_values"
    extra: tuple[tuple[str, Any], ...] = ()
    time_last: bool = False
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD


_KINDS = {
    "videomae": _Kind(),
    "timesformer": _Kind(time_last=True, mean=(0.45,) * 3, std=(0.225,) * 3),
    # RGB is brought to -1..1 first, and normalised with 0.5 after that.
    "vivit": _Kind(mean=(0.75,) * 3, std=(0.25,) * 3),
    "vjepa2": _Kind("pixel_values_videos", (("skip_predictor", True),)),
}


def is_transformers(model: object) -> bool:
    """Whether it is a model of transformers, known or not."""
    return hasattr(getattr(model, "config", None), "model_type") and hasattr(model, "base_model")


class TransformersModel:
    """Reads features, maps and logits of such a model.

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
        """The clips it was configured for: frames, size, mean, std."""
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

    def __call__(self, clip_BCTHW: Tensor) -> Read:
        frames_BTCHW = clip_BCTHW.transpose(1, 2)
        base: Callable[..., Any] = self.model.base_model
        batch, tokens = (
            len(clip_BCTHW),
            base(**{self.kind.pixels: frames_BTCHW}, **dict(self.kind.extra))[0],
        )
        grid = self._grid(clip_BCTHW)
        if len(tokens) != batch:  # TimeSformer with attention in space only: frame by frame
            return self._frame_by_frame(tokens.unflatten(0, (batch, -1)), grid)
        extra = tokens.shape[1] - math.prod(grid)
        if not 0 <= extra <= 1:
            raise UnsceneError(f"{tokens.shape[1]} tokens do not lie on a grid of {grid}")
        features = self._feature(tokens, extra)

        def arrange(tokens: Tensor) -> Tensor:
            t, h, w = grid
            places = tokens[:, extra:]
            if self.kind.time_last:
                return places.unflatten(1, (h, w, t)).permute(0, 4, 3, 1, 2)
            return places.unflatten(1, grid).movedim(-1, 1)

        return Read(features, self._logits(features), tokens, arrange)

    def _frame_by_frame(self, tokens_BTND: Tensor, grid: Grid) -> Read:
        def arrange(tokens: Tensor) -> Tensor:
            return tokens[:, :, 1:].unflatten(2, grid[1:]).movedim(-1, 1)

        features = tokens_BTND[:, :, 0].mean(dim=1)
        return Read(features, self._logits(features), tokens_BTND, arrange)

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
        # A VideoMAE classifier without mean pooling reads the first token, as its code has it.
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
    """A model of transformers with its weights, and the mean and std of its image processor.

    Args:
        name: a folder that `save_pretrained` wrote, or a name on the Hugging Face Hub, which is
            downloaded unless it was before.

    Returns:
        The model in float32, of the class that its configuration names, and keyword arguments for
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
        # In the precision it was saved in, it would take no clip of ours.
        model: nn.Module = getattr(library, classes[0]).from_pretrained(name, dtype="float32")
        processor = _processor(library, name)
    except (OSError, ValueError, AttributeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UnsceneError(
            f"hf:{name}: {reason}; give a folder written by save_pretrained or a name on the Hub"
        ) from error
    return model, read_normalization(processor) if processor else {}


def read_normalization(processor: dict[str, Any]) -> dict[str, Triple]:
    """mean and std of RGB in 0..1 that do what an image processor's settings do.

    It multiplies RGB in 0..255 by rescale_factor, takes 1 away if `offset`, and normalises.
    """
    factor = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1.0
    # Half of the library's processors have "offset" without saying so in their file.
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
    """The settings of its image processor; its class would need torchvision."""
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
            f"{type(model).__name__}: of transformers, {', '.join(_KINDS)} are known, not "
            f"{config.model_type}; give a function from a clip to features instead"
        )
    return _KINDS[config.model_type]
