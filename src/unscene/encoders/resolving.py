"""Resolving an encoder: from the text after `--encoder` to a model. Every command uses this file.

    r3d18                      one of our architectures (`known_encoders()`), untrained
    hof                        a descriptor (`known_descriptors()`), which needs no training
    motion                     an encoder that comes with the package (`known_shipped()`)
    runs/dsm, best.safetensors an encoder that unscene saved: its folder or one of its two files
    FILE.pth, last.ckpt        a published checkpoint (see `checkpoints`), or one of our trainings
    hf:FOLDER, hf:USER/NAME    a video model of transformers, from disk or the Hugging Face Hub; or
                               an encoder of ours that was put there (see `hub`)
    package.module:factory     what the function returns, see `foreign.adapt`
    package.module:factory@RUN the same with the weights of a run that began with it
    two-stream:RGB,MOTION      two of these joined, an encoder of RGB and one of flow or vectors
    NAME=...                   any of these with another name in tables and reports

From Python, a model itself will do: a `VideoEncoder`, or whatever `foreign.adapt` takes.

The same text means the same model in every command. The name of an architecture, or of an encoder
that comes with the package, always means that: write ./r3d18 for a saved encoder in a folder called
r3d18.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from unscene.encoders import shipped
from unscene.encoders.base import Input, VideoEncoder
from unscene.encoders.checkpoints import read_checkpoint
from unscene.encoders.foreign import ForeignEncoder, adapt
from unscene.encoders.hub import find_pretrained
from unscene.encoders.registry import (
    create_encoder,
    known_descriptors,
    known_encoders,
    unknown_encoder,
)
from unscene.encoders.transformers_models import describe_model, load_pretrained
from unscene.encoders.two_stream import JOINED, TwoStream
from unscene.encoders.weights import (
    FACTORY,
    TRANSFORMERS,
    check_can_be_saved,
    is_saved_encoder,
    read_checksum,
    read_encoder,
)
from unscene.errors import UnsceneError, check_known
from unscene.files import expand_home, make_absolute
from unscene.imports import import_from_here

_HUB = "hf:"
_TWO = f"{JOINED}:"
_WEIGHTS = (".pth", ".pt", ".ckpt", ".tar", ".safetensors")  # how files of weights usually end


@dataclass(frozen=True)
class ResolvedEncoder:
    """An encoder and where it comes from.

    Attributes:
        encoder: on the CPU.
        name: a short name for tables and reports.
        note: where it comes from, as a phrase.
        trained: True if unscene trained its weights, False if it has just drawn them. None for
            all others: weights do not tell whether they are trained.
        path: the file or folder that it was read from, if any.
    """

    encoder: VideoEncoder
    name: str
    note: str
    trained: bool | None = None
    path: Path | None = None


def load_encoder(encoder: object, *, seed: int = 0, reads: Input | None = None) -> VideoEncoder:
    """Load any encoder: by the text that `--encoder` takes, by a path, or from a torch module.

    Args:
        encoder: a saved run, the name of an architecture, "hf:FOLDER" or "package.module:factory".
            A `pathlib.Path` always means a file or folder. Or a model: a torch module, or
            (model, options of `foreign.adapt`).
        seed: initializes the weights of an untrained architecture.
        reads: "rgb", "flow" or "vectors", see `resolve_encoder`. None: what the encoder reads.

    Returns:
        The encoder, on the CPU and in evaluation mode.

    Raises:
        UnsceneError: see `resolve_encoder`.

    >>> encoder = load_encoder("r3d-narrow")
    >>> encoder.dim, encoder.spec.frames, encoder.training
    (64, 8, False)
    """
    return resolve_encoder(encoder, seed=seed, reads=reads).encoder


def resolve_encoder(
    encoder: object,
    *,
    seed: int | None = 0,
    options: Mapping[str, Any] | None = None,
    reads: Input | None = None,
    to_train: bool = False,
) -> ResolvedEncoder:
    """Find the model that `--encoder` names; the same text means the same model in every command.

    Args:
        encoder: text in one of the forms above; a `pathlib.Path`, which always means a file or
            folder; a `VideoEncoder` or `ResolvedEncoder`, which keeps its mode and its device; or
            any other model, alone or as (model, options), see `foreign.adapt`.
        seed: initializes the weights of an untrained architecture. The state of torch's global
            generator stays as it is. None: draw from that generator instead.
        options: keyword arguments of an untrained architecture, see `create_encoder`.
        reads: the input of an untrained architecture. An encoder that reads flow, trained or not,
            can take it from the codec's vectors instead ("vectors"), and the other way round
            ("flow"). None: what the encoder reads.
        to_train: return the encoder in training mode instead of evaluation mode, with a spec by
            which it can be built again, and refuse models that `save_encoder` could not save.

    Raises:
        UnsceneError: the text has none of these forms, the model cannot be loaded, options are
            given for a model that is not a new one, it has another input than `reads`, or it could
            not be saved after training.
    """
    if reads is not None and isinstance(encoder, str) and names_new_encoder(encoder):
        options = {**(options or {}), "input": reads}
    if isinstance(encoder, ResolvedEncoder):
        resolved = encoder
    elif isinstance(encoder, VideoEncoder):
        history = str(encoder.spec.trained_on.get("method", "")) or "passed in from Python"
        resolved = ResolvedEncoder(encoder, encoder.spec.name, history, _is_trained(encoder))
    elif isinstance(encoder, str | os.PathLike):
        text = encoder if isinstance(encoder, str) else Path(encoder)
        resolved = _resolve(text, seed, dict(options or {}), to_train)
        resolved.encoder.train(to_train)
    else:
        model, adapted = _adapt(encoder, "model")
        resolved = ResolvedEncoder(
            adapted, adapted.spec.name, f"{type(model).__name__} passed in from Python"
        )
    if reads is not None:
        _choose_input(resolved, reads)
    if to_train:
        if isinstance(resolved.encoder, TwoStream):
            raise UnsceneError(_explain_streams(resolved.name))
        if next(resolved.encoder.parameters(), None) is None:
            raise UnsceneError(
                f"encoder {resolved.name}: it has no weights that could be trained; evaluate it as "
                f"it is, or train one of {', '.join(known_encoders())}"
            )
        check_can_be_saved(resolved.encoder)
    return resolved


def _choose_input(resolved: ResolvedEncoder, reads: Input) -> None:
    """Have an encoder of flow take it from elsewhere; raise UnsceneError for any other change."""
    encoder = resolved.encoder
    if reads == encoder.input:
        return
    if "rgb" in (reads, encoder.input) or encoder.spec.name in known_descriptors():
        other = "; hof-vectors reads vectors" if encoder.spec.name == "hof" else ""
        raise UnsceneError(
            f"encoder {resolved.name}: --input {reads}: it reads {encoder.input}{other}. "
            f"--input is for a new encoder ({', '.join(known_encoders())}), or flow instead of "
            "vectors and back"
        )
    encoder.read_flow_of_clips("vectors" if reads == "vectors" else "flow")


def names_new_encoder(text: str) -> bool:
    """Whether the text names one of our architectures, to be initialized anew.

    >>> names_new_encoder("r3d18"), names_new_encoder("./r3d18")
    (True, False)
    """
    return _split_name(text)[1] in known_encoders()


def locate_encoder(text: str) -> str:
    """Make the path in `--encoder` absolute, so that it means the same model from every folder.

    Text that names no file or folder stays as it is.

    >>> locate_encoder("r3d18"), locate_encoder("a=hf:user/model")
    ('r3d18', 'a=hf:user/model')
    """
    name, rest = _split_name(text)
    start, path = f"{name}=" if name else "", rest
    if rest.startswith(_TWO):
        parts = rest.removeprefix(_TWO).split(",")
        return f"{start}{_TWO}{','.join(map(locate_encoder, parts))}"
    if rest.startswith(_HUB):
        start, path = f"{start}{_HUB}", rest.removeprefix(_HUB)
    elif not expand_home(rest).exists() and ":" in rest and "@" in rest:
        factory, _, path = rest.partition("@")
        start = f"{start}{factory}@"
    if rest in (*known_encoders(), *shipped.known_shipped()) or not expand_home(path).exists():
        return text
    return f"{start}{make_absolute(expand_home(path))}"


def _resolve(
    text: str | Path, seed: int | None, options: dict[str, Any], to_train: bool
) -> ResolvedEncoder:
    if isinstance(text, Path):
        return _read(expand_home(text))
    name, text = _split_name(text)
    if text in known_encoders():
        resolved = _untrained(text, seed, options)
    elif text in known_descriptors() and not options:
        resolved = ResolvedEncoder(create_encoder(text), text, "needs no training")
    elif options:
        raise UnsceneError(
            f"--encoder_options are for a new encoder ({', '.join(known_encoders())}); "
            f"{text} has its own. Where they come from --config, pass --encoder_options '{{}}' too"
        )
    elif text in shipped.known_shipped():
        resolved = _shipped(text)
    elif text.startswith(_TWO):
        resolved = _joined(text.removeprefix(_TWO), seed, to_train)
    elif text.startswith(_HUB):
        resolved = _pretrained(text.removeprefix(_HUB), to_train)
    elif expand_home(text).exists():
        resolved = _read(expand_home(text))
    elif Path(text).suffix in _WEIGHTS:
        raise UnsceneError(f"encoder {text!r}: no such file")
    elif ":" in text:
        resolved = _made(text, to_train)
    else:
        raise UnsceneError(
            f"encoder {text!r}: no such file or folder, and {unknown_encoder(text)}. "
            "Other models are written FILE.pth, package.module:factory or hf:FOLDER"
        )
    return replace(resolved, name=name) if name else resolved


def _split_name(text: str) -> tuple[str, str]:
    """NAME=ENCODER as (NAME, ENCODER); the name is empty if there is none."""
    name, equals, rest = text.partition("=")
    if not equals or text.startswith(_HUB) or expand_home(text).exists():
        return "", text
    if not name or not rest:
        raise UnsceneError(f"encoder {text!r}: write NAME=ENCODER, or the encoder alone")
    return name, rest


def _read(path: Path) -> ResolvedEncoder:
    return _published(path) if path.exists() and not is_saved_encoder(path) else _saved(path)


def _published(path: Path) -> ResolvedEncoder:
    found = read_checkpoint(path)
    print(f"encoder {found.summary}", file=sys.stderr)
    trained = _is_trained(found.encoder)
    name = path.stem if trained else found.encoder.spec.trained_on.get("method", path.stem)
    note = f"{found.encoder.spec.name} of {found.title}, from {path}"
    return ResolvedEncoder(found.encoder, name, note, trained, path)


def _is_trained(encoder: VideoEncoder) -> bool | None:
    """Whether unscene trained it: True or unknown."""
    history = encoder.spec.trained_on
    weightless = next(encoder.parameters(), None) is None
    return True if history and "publisher" not in history and not weightless else None


def _saved(path: Path, network: VideoEncoder | None = None) -> ResolvedEncoder:
    encoder = read_encoder(path, network)
    history = encoder.spec.trained_on
    name = path.stem if path.suffix in (".safetensors", ".json") else path.resolve().name
    if not history:
        note = f"{encoder.spec.name} from {path}, not trained by unscene"
        return ResolvedEncoder(encoder, name, note, path=path)
    facts = [f"{encoder.spec.name} trained by {history.get('method', 'an unnamed method')}"]
    facts += [f"published by {history['publisher']}"] if "publisher" in history else []
    facts += [f"{history['steps']} steps"] if "steps" in history else []
    facts += [f"seed {history['seed']}"] if "seed" in history else []
    facts += [f"initialized from {history['began']['encoder']}"] if "began" in history else []
    note = f"{', '.join(facts)}; from {path}"
    return ResolvedEncoder(encoder, name, note, _is_trained(encoder), path)


def _shipped(name: str) -> ResolvedEncoder:
    """An encoder that comes with the package; its history names the file of weights."""
    path = shipped.FOLDER / f"{name}.safetensors"
    encoder = read_encoder(path)
    identity = read_checksum(path)[:12]
    history = encoder.spec.trained_on | {"weights": identity}
    encoder.spec = replace(encoder.spec, trained_on=history)
    note = f"{encoder.spec.name} that comes with unscene, weights {identity}"
    return ResolvedEncoder(encoder, name, note, trained=True, path=path)


def _untrained(name: str, seed: int | None, options: dict[str, Any]) -> ResolvedEncoder:
    if (expand_home(name) / "encoder.json").exists():
        print(
            f"encoder {name}: the untrained architecture; write ./{name} for the saved encoder in "
            "the folder of that name",
            file=sys.stderr,
        )
    if seed is None:
        encoder = create_encoder(name, **options)
        return ResolvedEncoder(encoder, name, "randomly initialized, not trained", trained=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = create_encoder(name, **options)
    note = f"randomly initialized with seed {seed}, not trained"
    return ResolvedEncoder(encoder, name, note, trained=False)


def _joined(text: str, seed: int | None, to_train: bool) -> ResolvedEncoder:
    rgb, comma, motion = text.partition(",")
    if to_train:
        raise UnsceneError(_explain_streams(_TWO + text))
    if not (rgb and comma and motion):
        raise UnsceneError(f"encoder {_TWO}{text}: write {_TWO}RGB,MOTION")
    parts = [resolve_encoder(one, seed=seed) for one in (rgb, motion)]
    encoder = TwoStream(*(part.encoder for part in parts))
    names, notes = ([getattr(part, field) for part in parts] for field in ("name", "note"))
    untrained = all(part.trained is False for part in parts)
    note = f"two streams joined: {'; '.join(notes)}"
    return ResolvedEncoder(encoder, "+".join(names), note, False if untrained else None)


def _explain_streams(name: str) -> str:
    return (
        f"encoder {name}: its two streams take clips of different lengths and sizes, so each is "
        "trained alone; join them when both are trained"
    )


def _made(text: str, to_train: bool) -> ResolvedEncoder:
    named, at, run = text.partition("@")
    module, _, function = named.partition(":")
    try:
        factory = getattr(import_from_here(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnsceneError(f"encoder {text!r}: {error}; write package.module:factory") from error
    made, encoder = _adapt(_call(factory, text), f"encoder {text!r}", name=function)
    if to_train and isinstance(encoder, ForeignEncoder):
        if next(encoder.parameters(), None) is None:
            raise UnsceneError(f"encoder {text!r} has no weights to train")
        encoder.spec = replace(encoder.spec, options={FACTORY: named})
    if at:
        return _saved(expand_home(run), encoder)
    return ResolvedEncoder(encoder, function, f"{type(made).__name__}, made by {text}")


def _call(factory: Any, text: str) -> object:
    """Call a factory of `--encoder package.module:factory`.

    Raises:
        UnsceneError: it needs arguments, or it fails.
    """
    remedy = "write a function without arguments that returns the model"
    if not callable(factory):
        raise UnsceneError(f"encoder {text!r}: is not a function; {remedy}")
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise UnsceneError(f"encoder {text!r}: needs arguments ({error}); {remedy}") from error
    except ValueError:  # a built-in without a signature
        pass
    try:
        return factory()
    except UnsceneError:
        raise
    except Exception as error:
        raise UnsceneError(
            f"encoder {text!r}: the function failed: {type(error).__name__}: {error}"
        ) from error


def _adapt(made: object, what: str, **defaults: Any) -> tuple[object, VideoEncoder]:
    """A model, or (model, options of `adapt`), as the model itself and an encoder."""
    options: Mapping[str, Any] = {}
    if isinstance(made, tuple):
        if len(made) != 2 or not isinstance(made[1], Mapping):
            raise UnsceneError(f"{what}: a tuple must be (model, options of foreign.adapt)")
        made, options = made
        check_known(f"{what}: option", options, list(inspect.signature(adapt).parameters)[1:])
    return made, adapt(made, **(defaults | dict(options)))


def _pretrained(name: str, to_train: bool) -> ResolvedEncoder:
    if (folder := find_pretrained(name)) is not None:
        saved = _saved(folder)
        note = saved.note.replace(str(folder), f"{_HUB}{name}")
        return replace(saved, name=Path(name).name, note=note)
    model, options = load_pretrained(name)
    encoder = adapt(model, **options)
    if to_train:
        encoder.spec = replace(encoder.spec, options={TRANSFORMERS: describe_model(model)})
    note = f"{type(model).__name__} of transformers, from {name}"
    return ResolvedEncoder(encoder, Path(name).name, note)
