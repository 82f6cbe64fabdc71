"""An encoder from a line of text, as the command line has it.

runs/dsm, dsm.safetensors      an encoder that unscene saved
r3d18                          one of ours, randomly initialised
my.package:factory             whatever the function returns: see `foreign.adapt`
hf:FOLDER, hf:USER/NAME        a video model of transformers, saved or on the Hugging Face Hub
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unscene.encoders.base import VideoEncoder
from unscene.encoders.foreign import adapt
from unscene.encoders.registry import create_encoder, known_encoders
from unscene.encoders.transformers_models import load_pretrained
from unscene.encoders.weights import load_encoder
from unscene.errors import UnsceneError
from unscene.files import place

_HUB = "hf:"


@dataclass(frozen=True)
class Opened:
    """An encoder, and what to say of it.

    Attributes:
        encoder: on the CPU, in evaluation mode.
        name: a short one.
        note: where it comes from, in words.
        trained: whether its weights were learnt, as far as is known.
    """

    encoder: VideoEncoder
    name: str
    note: str
    trained: bool = True


def open_encoder(text: str, *, seed: int = 0) -> Opened:
    """Open what a text names; "NAME=TEXT" gives it a name of its own.

    Args:
        text: one of the four forms above.
        seed: of the weights of one that is randomly initialised.

    Raises:
        UnsceneError: it is none of them, or cannot be loaded; says which forms there are.
    """
    name, found, rest = text.partition("=")
    if found and not Path(text).exists() and not text.startswith(_HUB):
        if not name or not rest:
            raise UnsceneError(f"encoder {text!r}: write NAME=ENCODER, or the encoder alone")
        opened = open_encoder(rest, seed=seed)
        return Opened(opened.encoder, name, opened.note, opened.trained)
    if text.startswith(_HUB):
        opened = _pretrained(text.removeprefix(_HUB))
    elif place(text).exists():
        opened = _saved(place(text))
    elif text in known_encoders():
        opened = _untrained(text, seed)
    elif ":" in text:
        opened = _made(text)
    else:
        raise UnsceneError(
            f"encoder {text!r}: no such file or folder, and no name of an encoder "
            f"({', '.join(known_encoders())}); other models are given as package.module:factory "
            "or hf:FOLDER"
        )
    opened.encoder.eval()
    return opened


def _saved(path: Path) -> Opened:
    encoder = load_encoder(path)
    history = encoder.spec.trained_on
    told = [f"{history[key]} {unit}" for key, unit in (("steps", "steps"),) if key in history]
    told += [f"seed {history['seed']}"] if "seed" in history else []
    told += [f"begun from {history['began']['encoder']}"] if "began" in history else []
    name = path.stem if path.suffix in (".safetensors", ".json") else path.resolve().name
    if not history:
        return Opened(encoder, name, f"{encoder.spec.name} from {path}, not trained", False)
    method = history.get("method", "an unnamed method")
    what = ", ".join([f"{encoder.spec.name} trained by {method}", *told])
    return Opened(encoder, name, f"{what}; from {path}")


def _untrained(name: str, seed: int) -> Opened:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = create_encoder(name)
    return Opened(encoder, name, f"randomly initialised with seed {seed}, not trained", False)


def _made(text: str) -> Opened:
    module, _, function = text.partition(":")
    # As `python -m` does: people keep their models beside where they work.
    added = os.getcwd() not in sys.path  # noqa: PTH109 - sys.path holds text
    if added:
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        factory = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnsceneError(f"encoder {text!r}: {error}; write package.module:factory") from error
    finally:
        if added:
            sys.path.remove(os.getcwd())  # noqa: PTH109
    made: Any = factory()
    options: Mapping[str, Any] = {}
    if isinstance(made, tuple):
        if len(made) != 2 or not isinstance(made[1], Mapping):
            raise UnsceneError(
                f"encoder {text!r}: returned a tuple; return a model, or (model, options of adapt)"
            )
        made, options = made
    encoder = adapt(made, **{"name": function} | dict(options))
    return Opened(encoder, function, f"{type(made).__name__}, as {text} made it")


def _pretrained(name: str) -> Opened:
    model, options = load_pretrained(name)
    encoder = adapt(model, **options)
    short = Path(name).name
    return Opened(encoder, short, f"{type(model).__name__} of transformers, from {name}")
