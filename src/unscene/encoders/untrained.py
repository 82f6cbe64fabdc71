"""An untrained network of the same architecture as any encoder: the yardstick of its scores.

    model                           how its weights are drawn
    one of `known_encoders()`       as `create_encoder` draws them
    a model of transformers         as its class draws them, from the model's configuration
    any other torch module          in a copy, every layer by its own `reset_parameters`; if there
                                    are 3D batch norms, convolutions as in
                                    `VideoEncoder.initialize`, as such networks usually are

What no layer draws anew (class tokens, position embeddings, layers without `reset_parameters`)
keeps its values, in random order: the scale stays, what was learned goes. A parameter with a single
value therefore stays. Running statistics of norms are those of a new network, mean 0 and variance
1. Other buffers are fixed parts of the architecture (tables of positions, masks) and stay.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from unscene.encoders.base import VideoEncoder
from unscene.encoders.foreign import ForeignEncoder
from unscene.encoders.hooks import module_of
from unscene.encoders.registry import create_encoder, known_encoders
from unscene.encoders.transformers_models import is_transformers
from unscene.errors import UnsceneError, first_line

_RESETS = ("reset_parameters", "_reset_parameters")  # the second: nn.MultiheadAttention
_NEW_NORM = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}


def make_untrained_twin(encoder: VideoEncoder, seed: int = 0) -> VideoEncoder:
    """Make an untrained network of the same architecture, which takes the same clips.

    Args:
        encoder: of any kind that `resolve_encoder` returns, on any device. It stays as it is.
        seed: of the weights. The state of torch's global generator stays as it is.

    Returns:
        An encoder on the CPU, in evaluation mode, with the same spec but for an empty `trained_on`.
        For one of `known_encoders()` the weights are those of `load_encoder(name, seed=seed)`. See
        the header of this file for other models.

    Raises:
        UnsceneError: the model is a function, whose weights cannot be reached; it has no weights or
            hides some from torch; or it cannot be copied.

    >>> from unscene.encoders import load_encoder
    >>> encoder = load_encoder("r3d-narrow", seed=7)
    >>> twin, same = make_untrained_twin(encoder), load_encoder("r3d-narrow", seed=0)
    >>> clip = torch.ones(1, 3, 8, 36, 36)
    >>> torch.equal(twin(clip), same(clip)), torch.equal(twin(clip), encoder(clip))
    (True, False)
    """
    _check_weights_are_reachable(encoder)
    try:
        twin = copy.deepcopy(encoder).cpu().eval()
    except Exception as error:  # whatever a foreign module raises
        raise UnsceneError(
            f"{_cannot(encoder)} it cannot be copied ({first_line(error)})"
        ) from error
    twin.spec = replace(encoder.spec, trained_on={})
    # Generators of other devices draw nothing here.
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        new = _build_anew(encoder)
        if new is None or not _copy_weights(new, _module(twin)):
            _draw_weights(twin, dict(encoder.named_parameters()))
    return twin


def _check_weights_are_reachable(encoder: VideoEncoder) -> None:
    if isinstance(encoder, ForeignEncoder) and module_of(encoder.model) is None:
        raise UnsceneError(
            f"{_cannot(encoder)} it is a function, and its weights cannot be reached; pass the "
            "torch module, or a method of it"
        )
    if next(encoder.parameters(), None) is None:
        raise UnsceneError(f"{_cannot(encoder)} it has no weights")
    seen = {id(parameter) for parameter in encoder.parameters()}
    for name, module in encoder.named_modules():
        for attribute, value in vars(module).items():
            if not attribute.startswith("_") and {*_weights_in(value)} - seen:
                place = f"{name}.{attribute}".lstrip(".")
                raise UnsceneError(
                    f"{_cannot(encoder)} {place} holds networks where torch does not see their "
                    "weights; use nn.ModuleList or nn.ModuleDict"
                )


def _weights_in(value: object) -> Iterator[int]:
    """The identities of weights of the modules in a plain list, tuple or dictionary."""
    if isinstance(value, dict | list | tuple):
        for module in value.values() if isinstance(value, dict) else value:
            if isinstance(module, nn.Module):
                yield from map(id, module.parameters())


def _build_anew(encoder: VideoEncoder) -> nn.Module | None:
    """Build the network as its library does; None if only a copy can be drawn anew."""
    model: Any = _module(encoder)
    try:
        if is_transformers(model):
            new: nn.Module = type(model)(copy.deepcopy(model.config))
            return new
        if encoder.spec.name in known_encoders():
            return create_encoder(encoder.spec.name, **encoder.spec.options)
    except Exception:  # a class of the caller with another constructor, or a name of ours
        return None
    return None


def _module(encoder: VideoEncoder) -> nn.Module:
    model = encoder.model if isinstance(encoder, ForeignEncoder) else encoder
    return model if isinstance(model, nn.Module) else encoder


def _copy_weights(new: nn.Module, twin: nn.Module) -> bool:
    """Copy all weights, if the two have the same names and shapes."""
    mine, others = twin.state_dict(), new.state_dict()
    if {k: v.shape for k, v in mine.items()} != {k: v.shape for k, v in others.items()}:
        return False
    twin.load_state_dict(others)
    return True


def _draw_weights(twin: VideoEncoder, trained: dict[str, nn.Parameter]) -> None:
    """Draw the weights of a copy, in place; `trained` are those of the original by name."""
    for module in reversed(list(twin.modules())):  # parts first, as in a constructor
        _reset(module)
    # Without it, deep stacks of convolutions and norms that are still the identity fade out.
    if not isinstance(twin, ForeignEncoder) or _has_batch_norm(twin):
        twin.initialize()
    for name, parameter in twin.named_parameters():
        if parameter.numel() > 1 and torch.equal(parameter, trained[name].cpu()):
            parameter.copy_(_shuffle(parameter))


def _reset(module: nn.Module) -> None:
    for name in _RESETS:
        reset = getattr(module, name, None)
        if callable(reset):
            try:
                reset()
            except Exception:  # it needs arguments: what it did not change is shuffled
                continue
            return
    buffers = dict(module.named_buffers(recurse=False))
    if "running_var" in buffers:  # such as FrozenBatchNorm of torchvision, which has only buffers
        for name in _NEW_NORM.keys() & buffers.keys():
            buffers[name].fill_(_NEW_NORM[name])


def _has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(module, nn.BatchNorm3d) for module in network.modules())


def _shuffle(values: Tensor) -> Tensor:
    return values.flatten()[torch.randperm(values.numel())].view_as(values)


def _cannot(encoder: VideoEncoder) -> str:
    return f"{encoder.spec.name}: no untrained network of the same architecture can be made:"
