"""Encoders by name. A new encoder is one more row of a table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from unscene.encoders import descriptors
from unscene.encoders.base import EncoderSpec, Input, VideoEncoder
from unscene.encoders.c3d import C3D
from unscene.encoders.i3d import I3D
from unscene.encoders.motion_net import MotionNet
from unscene.encoders.resnet3d import mc3, narrow, r2d, r2plus1d, r3d
from unscene.encoders.s3dg import S3DG
from unscene.encoders.shipped import known_shipped
from unscene.encoders.two_stream import JOINED, TwoStream
from unscene.errors import UnsceneError, find_nearest

_DESCRIPTORS: dict[str, Callable[..., VideoEncoder]] = {
    "color": descriptors.color,
    "energy": descriptors.energy,
    "hof": descriptors.hof,
    "hof+mbh": descriptors.hof_mbh,
    "hof-vectors": descriptors.hof_vectors,
    "mbh": descriptors.mbh,
}
_ENCODERS: dict[str, Callable[..., VideoEncoder]] = {
    "c3d": C3D,
    "i3d": I3D,
    "mc3-18": partial(mc3, 18),
    "motion-net": MotionNet,
    "r2d-narrow": partial(narrow, "2d"),
    "r2d10": partial(r2d, 10),
    "r2d18": partial(r2d, 18),
    "r2plus1d10": partial(r2plus1d, 10),
    "r2plus1d18": partial(r2plus1d, 18),
    "r2plus1d26": partial(r2plus1d, 26),
    "r3d-narrow": partial(narrow, "3d"),
    **{f"r3d{depth}": partial(r3d, depth) for depth in (10, 18, 26, 34, 50, 101, 152, 200)},
    "s3dg": S3DG,
}


def known_encoders() -> list[str]:
    """List the architectures that `create_encoder` takes, sorted."""
    return sorted(_ENCODERS)


def known_descriptors() -> list[str]:
    """List what `create_encoder` takes beside architectures: encoders without weights, sorted."""
    return sorted(_DESCRIPTORS)


def unknown_encoder(name: str) -> str:
    """Make the message for an unknown name; it suggests the nearest known one."""
    close = find_nearest(str(name), [*_ENCODERS, *_DESCRIPTORS, *known_shipped()])
    hint = f", did you mean {close!r}?" if close else "."
    return (
        f"no encoder is called {name!r}{hint} Known encoders: {', '.join(known_encoders())}; "
        f"without training: {', '.join([*known_shipped(), *known_descriptors()])}"
    )


def create_encoder(name: str, **options: Any) -> VideoEncoder:
    """Create a new, untrained encoder; call `torch.manual_seed` first to fix its weights.

    Args:
        name: one of `known_encoders()` or `known_descriptors()`, or "two-stream", whose options
            `rgb` and `motion` are a name or the record of a spec (`EncoderSpec.to_json`) each.
        options: `in_channels` (all ResNets), `stem` (R3D and R(2+1)D), `shortcut` (R3D), `layout`
            (R(2+1)D), `width`, `stages` and `pool` (narrow networks): see
            `unscene.encoders.resnet3d`. `padding` of I3D, `gating` and `norm_eps` of S3D-G.
            `input` (all architectures): "rgb"; "flow" for one that reads optical flow without the
            camera's motion; "vectors" for one that reads the codec's motion vectors as such flow.

    Returns:
        The encoder on the CPU, in training mode like any new module.

    Raises:
        UnsceneError: no such encoder, no such option, or a value that the option does not take.

    >>> encoder = create_encoder("r3d-narrow", width=8)
    >>> encoder.dim, encoder.spec.frames, encoder.spec.size
    (32, 8, 36)
    """
    if name == JOINED:
        return TwoStream(_create_part(options, "rgb"), _create_part(options, "motion"))
    make = (_ENCODERS | _DESCRIPTORS).get(name)
    if make is None:
        raise UnsceneError(unknown_encoder(name))
    accepted = [*inspect.signature(make).parameters, *(["input"] if name in _ENCODERS else [])]
    unknown = sorted(options.keys() - set(accepted))
    if unknown:
        raise UnsceneError(
            f"encoder {name} has no option {', '.join(unknown)}; "
            f"it accepts {', '.join(sorted(accepted)) or 'none'}"
        )
    reads = options.pop("input", None)
    if reads not in (None, *get_args(Input)):
        raise UnsceneError(
            f"encoder {name}: input must be one of {', '.join(get_args(Input))}, got {reads!r}"
        )
    encoder = make(**options)
    if reads == "flow" or reads == "vectors":
        encoder.read_flow_of_clips(reads)
    if reads == "rgb" and encoder.input != "rgb":
        raise UnsceneError(f"encoder {name}: it reads flow only")
    return encoder


def _create_part(options: dict[str, Any], role: str) -> VideoEncoder:
    """One of the two encoders of "two-stream"."""
    part = options.get(role)
    if isinstance(part, str):
        return create_encoder(part)
    if not isinstance(part, dict) or options.keys() != {"rgb", "motion"}:
        raise UnsceneError(
            f"encoder {JOINED}: rgb and motion must each be the name of an architecture or the "
            f"record of a spec, got {options!r}"
        )
    spec = EncoderSpec.from_json(part)
    encoder = create_encoder(spec.name, **spec.options)
    encoder.spec = spec
    return encoder
