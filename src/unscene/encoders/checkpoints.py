"""Files of weights that others published, and checkpoints of our trainings -> encoders.

A state dict is recognized by its keys and shapes, not by its name (see the table in `publishers`).
Prefixes (`module.`, `encoder_q.0.`, `base_network.`) are taken off and keys rewritten to ours. All
tensors of our encoder must be in the file, with their shapes. Tensors inside the published network
that ours has not are refused; others (classifiers, projection heads, queues, momentum encoders) are
counted and not used. The clips on which the published models were trained become those of the
encoder's spec.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from unscene.encoders.base import EncoderSpec, VideoEncoder
from unscene.encoders.publishers import PUBLISHERS, Publisher, Rules
from unscene.encoders.registry import create_encoder
from unscene.encoders.state_dicts import Weights, find_state_dict, read_file
from unscene.encoders.weights import build_encoder, compare_weights, read_spec
from unscene.errors import UnsceneError

SPEC = "encoder_spec"  # in checkpoints of unscene's trainings, beside what Lightning puts there
_REMEDY = "load it with its own code, in a function, and pass that as package.module:factory"
# Parts of the prefixes of networks that follow the trained one, or see something else.
_NOT_THE_ENCODER = ("encoder_k", "momentum", "key", "ema", "teacher", "target", "sampler", "twin")


@dataclass(frozen=True)
class Converted:
    """An encoder with published weights.

    Attributes:
        encoder: ours.
        title: the publisher.
        summary: what matched and what the encoder takes, a few sentences.
    """

    encoder: VideoEncoder
    title: str
    summary: str


def read_checkpoint(path: Path) -> Converted:
    """Read a published checkpoint, or one of unscene's trainings, as an encoder on the CPU.

    Raises:
        UnsceneError: the file cannot be read, is of no publisher of the table, or its tensors do
            not match the architecture.
    """
    content = read_file(path)
    weights = find_state_dict(content, path)
    if (spec := _spec_of_training(content, path)) is not None:
        return _convert_training(weights, spec, path)
    publisher, prefix = _recognize(weights, path)
    inside = {
        key.removeprefix(prefix): tensor
        for key, tensor in weights.items()
        if key.startswith(prefix)
    }
    renamed = _fold_biases(_rename(inside, publisher.rules))
    try:
        name, options = publisher.architecture(renamed)
        encoder = create_encoder(name, **options)
    except UnsceneError as error:
        raise UnsceneError(f"{path}: of {publisher.title}: {error}; {_REMEDY}") from error
    looks = f"looks like {_describe(encoder.spec)} of {publisher.title}"
    counted, unused = _fill(encoder, renamed, path, looks)
    encoder.spec = replace(
        encoder.spec, **publisher.clips, trained_on=_history(path, publisher.title)
    )
    others = len(weights) - len(inside)
    parts = [
        f"{path.name}: {_describe(encoder.spec)} of {publisher.title}, {counted}",
        *([f"not used: {', '.join(unused)}"] if unused else []),
        *([f"{others} tensors outside {prefix!r} not used"] if others else []),
        f"clips: {_describe_clips(encoder.spec)}",
        *([publisher.note] if publisher.note else []),
    ]
    return Converted(encoder, publisher.title, "; ".join(parts))


def _recognize(weights: Weights, path: Path) -> tuple[Publisher, str]:
    """Find the publisher and the prefix of the encoder's keys."""
    for publisher in PUBLISHERS:
        first = publisher.keys[0]
        prefixes = [
            key.removesuffix(first)
            for key, tensor in weights.items()
            if tensor.ndim == 5 and (key == first or key.endswith(f".{first}"))
        ]
        prefixes = [
            prefix
            for prefix in prefixes
            if publisher.inside in prefix
            and all(f"{prefix}{key}" in weights for key in publisher.keys)
        ]
        if prefixes:
            return publisher, min(prefixes, key=_rank_prefix)
    flat = not any(tensor.ndim == 5 for tensor in weights.values())
    first_keys = ", ".join(list(weights)[:3])
    known = ", ".join(dict.fromkeys(publisher.title for publisher in PUBLISHERS))
    why = "of no video model: there is no 3D convolution" if flat else "of no publisher known here"
    raise UnsceneError(
        f"{path}: its {len(weights)} tensors ({first_keys}, ...) are {why} ({known}). An encoder "
        f"that unscene saved needs its .json beside it. For others, {_REMEDY}"
    )


def _rank_prefix(prefix: str) -> tuple[bool, int]:
    return any(word in prefix for word in _NOT_THE_ENCODER), len(prefix)


def _rename(weights: Weights, rules: Rules) -> Weights:
    renamed = {}
    for key, tensor in weights.items():
        for pattern, new in rules:
            key = re.sub(pattern, new, key)
        if key:
            renamed[key] = tensor
    return renamed


def _fold_biases(weights: Weights) -> Weights:
    """Subtract the bias of a convolution from the running mean of the batch norm after it.

    Batch norm subtracts the mean, so this is the same function without a bias.
    """
    folded = dict(weights)
    for key, bias in weights.items():
        module, _, last = key.rpartition(".0.")
        mean = f"{module}.1.running_mean"
        if last == "bias" and mean in weights:
            folded[mean] = weights[mean] - bias
            del folded[key]
    return folded


def _fill(encoder: VideoEncoder, weights: Weights, path: Path, looks: str) -> tuple[str, list[str]]:
    """Copy all weights of the encoder; return what matched, and which tensors were not used.

    Raises:
        UnsceneError: some weights are missing or have other shapes, or the file's network has more.
    """
    own = encoder.state_dict()
    counters = [key for key in own if key.endswith("num_batches_tracked")]
    zeros = {key: own[key] for key in counters if key not in weights}  # not in files before 2018
    weights = {key: _squeeze_to(own, key, tensor) for key, tensor in weights.items()} | zeros
    report = compare_weights(own, weights)
    body = {key.split(".")[0] for key in own}
    foreign = [key for key in report.unexpected if key.split(".")[0] in body]
    rest = Counter(key.split(".")[0] for key in report.unexpected if key not in foreign)
    unused = [f"{name} ({count})" for name, count in rest.items()]
    wanted = len(own) - len(counters)
    matched = len([key for key in report.matched if key not in counters])
    counted = f"{matched} of {wanted} tensors match"
    if report.missing or report.mismatched or foreign:
        wrong = str(replace(report, unexpected=tuple(foreign), matched=())).partition("; ")[2]
        shapes = "".join(
            f"; {key} is {_shape(weights[key])} instead of {_shape(own[key])}"
            for key in report.mismatched[:1]
        )
        raise UnsceneError(f"{path}: {looks}, but {counted} ({wrong}{shapes}); {_REMEDY}")
    encoder.load_state_dict({key: weights[key] for key in own})
    return counted, unused


def _squeeze_to(own: Weights, key: str, tensor: torch.Tensor) -> torch.Tensor:
    """Give a linear layer's weight the axes of our 1x1x1 convolution."""
    if key in own and own[key].shape == (*tensor.shape, 1, 1, 1):
        return tensor.reshape(own[key].shape)
    return tensor


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _describe(spec: EncoderSpec) -> str:
    options = ", ".join(f"{name} {value}" for name, value in spec.options.items())
    return f"{spec.name} ({options})" if options else spec.name


def _describe_clips(spec: EncoderSpec) -> str:
    mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (spec.mean, spec.std))
    return f"{spec.frames} frames at stride {spec.stride}, {spec.size} px, mean {mean}, std {std}"


def _history(path: Path, title: str) -> dict[str, Any]:
    """Make the `trained_on` of a published encoder; the checksum tells its rows from others'."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    name = path.name.removesuffix(".tar")
    return {
        "method": name.rpartition(".")[0] or name,
        "publisher": title,
        "settings": {"weights_sha256": digest},
    }


# -- checkpoints of unscene ----------------------------------------------------------------------


def _spec_of_training(content: Mapping[str, Any], path: Path) -> EncoderSpec | None:
    """Read the spec in a checkpoint of `unscene pretrain` or `evaluate finetune`; None for others.

    Earlier versions put no spec into it; it is then that of the encoder in the same folder.
    """
    if SPEC in content:
        try:
            return EncoderSpec.from_json(content[SPEC])
        except UnsceneError as error:
            raise UnsceneError(f"{path}: {error}") from error
    if "pytorch-lightning_version" in content and (path.parent / "encoder.json").exists():
        return read_spec(path.parent)
    return None


def _convert_training(weights: Weights, spec: EncoderSpec, path: Path) -> Converted:
    encoder = build_encoder(spec)
    first = next(iter(encoder.state_dict()))
    prefixes = [key.removesuffix(first) for key in weights if key.endswith(f"encoder.{first}")]
    prefix = min(prefixes, key=_rank_prefix, default="")
    inside = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    counted, _ = _fill(encoder, inside, path, f"is of a training of {_describe(spec)}")
    encoder.spec = spec
    summary = f"{path.name}: {_describe(spec)}, {counted}, {prefix!r} of a training of unscene"
    return Converted(encoder, "unscene", summary)
