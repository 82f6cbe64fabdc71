"""The encoder that a training begins with: a new one, or one that was trained before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unscene.encoders import VideoEncoder, create_encoder, read_spec, resolve_encoder
from unscene.encoders.resolving import names_new_encoder
from unscene.errors import UnsceneError
from unscene.files import expand_home
from unscene.train.config import RunConfig


def beginning(name: str, options: dict[str, Any]) -> VideoEncoder:
    """A new encoder, its weights as torch draws them, or a saved one as it was saved.

    Args:
        name: an architecture, or the folder or file of a saved encoder; see `resolve_encoder`.
        options: keyword arguments of an architecture.

    Raises:
        UnsceneError: it is neither, a saved one with options, or it takes other than RGB.
    """
    encoder = resolve_encoder(name, seed=None, options=options, to_train=True).encoder
    if encoder.spec.channels != 3:
        raise UnsceneError(f"{name} takes {encoder.spec.channels} channels; videos have 3")
    return encoder


def encoder_of(config: RunConfig, resume: bool) -> VideoEncoder:
    """The encoder of a pre-training, before its first step or for its checkpoint to fill.

    Its `spec.trained_on` is what went before this run: empty for a new one, else "encoder", the
    name it was given by, and its history.

    Raises:
        UnsceneError: as `beginning` and `check_clips` raise; a new run would be written over the
            encoder that it begins with.
    """
    torch.manual_seed(config.seed)
    new = names_new_encoder(config.encoder)
    own = Path(config.out) / "encoder.json"
    if not (new or resume) and _folder(expand_home(config.encoder)) == Path(config.out).resolve():
        raise UnsceneError(
            f"{config.out}: holds the encoder that is begun with; give another --out to keep it"
        )
    if resume and not new and own.exists():  # the one it began with may be gone
        spec = read_spec(own)
        encoder = create_encoder(spec.name, **spec.options)
        encoder.spec = replace(spec, trained_on=spec.trained_on.get("began", {}))
    else:
        encoder = beginning(config.encoder, config.encoder_options)
        history = {} if new else encoder.spec.trained_on | {"encoder": config.encoder}
        encoder.spec = replace(encoder.spec, trained_on=history)
    encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    check_clips(encoder, config.encoder, config.settings.frames, config.settings.size)
    return encoder


def _folder(encoder: Path) -> Path:
    """Where a saved encoder lies."""
    return (encoder if encoder.is_dir() else encoder.parent).resolve()


def check_clips(encoder: VideoEncoder, name: str, frames: int, size: int) -> None:
    """Raise UnsceneError if clips are smaller than the encoder, so called, can take."""
    t, h, w = encoder.minimum
    if frames < t or size < max(h, w):
        raise UnsceneError(
            f"encoder {name} takes clips of at least {t} frames of {max(h, w)} px, and "
            f"--frames {frames} --size {size} make smaller ones: raise them or take another encoder"
        )
