"""What methods' settings share: clips, views, embedding, optimizer. Imports no torch.

Every method adds its own fields: `methods/<name>.py` holds a class `Settings` on top of
`CommonSettings`, and the components that several methods share (`triplet_views.py`, `hdc.py`,
`motion_prediction.py`) hold the settings that they read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self

from unscene.config import OptimizerSettings, require

# What trained best in our trials (experiments/LOG.md). The default preset of every method but CMD's
# schedule builds on it.
OURS: dict[str, Any] = {
    "optimizer": "adamw",
    "lr": 1e-3,
    "weight_decay": 1e-4,
    "schedule": "cosine",
    "warmup": 0.05,
    "batch_size": 32,
}


@dataclass(frozen=True, kw_only=True)
class ClipSettings(OptimizerSettings):
    """Clips and embedding, which every method reads.

    Attributes:
        frames: T, number of frames per clip.
        stride: distance between neighboring frames of a clip, in frames of the video.
        size: side of the square views in pixels.
        dim: D, length of the embedding.
    """

    # Which fields change what `unscene views` draws; every class of settings adds its own.
    drawn: ClassVar[tuple[str, ...]] = ("frames", "stride", "size")

    frames: int = 16
    stride: int = 4
    size: int = 112
    dim: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = ("frames", "stride", "size", "dim")
        require(self, counts, lambda v: v >= 1, "must be at least 1")

    def fit(self, videos: int) -> Self:
        """Settings whose open values suit the number of training videos."""
        return self

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All settings that the method reads."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def drawn_names(cls) -> tuple[str, ...]:
        """The settings that change what the views look like."""
        found = [name for base in reversed(cls.__mro__) for name in vars(base).get("drawn", ())]
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, kw_only=True)
class CommonSettings(ClipSettings):
    """The basic augmentation, of every method that reads videos.

    Attributes:
        augmentation: preset of the basic augmentation.
    """

    drawn: ClassVar[tuple[str, ...]] = ("augmentation",)

    augmentation: Literal["paper", "dsm-code", "mild", "modern", "cmd", "cmd-finetune", "none"] = (
        "paper"
    )
