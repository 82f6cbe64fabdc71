"""The encoders by name. A new one is one row of the table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from unscene.encoders.base import VideoEncoder
from unscene.encoders.c3d import C3D
from unscene.encoders.i3d import I3D
from unscene.encoders.resnet3d import narrow, r2d, r2plus1d, r3d
from unscene.encoders.s3dg import S3DG
from unscene.errors import UnsceneError, find_nearest

_ENCODERS: dict[str, Callable[..., VideoEncoder]] = {
    "c3d": C3D,
    "i3d": I3D,
    "r2d-narrow": partial(narrow, "2d"),
    "r2d10": partial(r2d, 10),
    "r2d18": partial(r2d, 18),
    "r2plus1d10": partial(r2plus1d, 10),
    "r2plus1d18": partial(r2plus1d, 18),
    "r2plus1d26": partial(r2plus1d, 26),
    "r3d-narrow": partial(narrow, "3d"),
    "r3d10": partial(r3d, 10),
    "r3d18": partial(r3d, 18),
    "r3d26": partial(r3d, 26),
    "r3d34": partial(r3d, 34),
    "s3dg": S3DG,
}


def known_encoders() -> list[str]:
    """The names that `create_encoder` takes, sorted."""
    return sorted(_ENCODERS)


def unknown_encoder(name: str) -> str:
    """What to say of a name that is none of the known; suggests the nearest."""
    close = find_nearest(str(name), _ENCODERS)
    hint = f", did you mean {close!r}?" if close else "."
    return f"no encoder is called {name!r}{hint} Known encoders: {', '.join(known_encoders())}"


def create_encoder(name: str, **options: Any) -> VideoEncoder:
    """A new, untrained encoder; `torch.manual_seed` before it fixes its weights.

    Args:
        name: one of `known_encoders()`.
        options: of the encoder itself: `in_channels` of the ResNets, `stem` of R3D and R(2+1)D,
            `width`, `stages`, `pool` and `in_channels` of the narrow networks. See
            `unscene.encoders.resnet3d`.

    Raises:
        UnsceneError: no such encoder, no such option, or a value that the option cannot take.
    """
    if name not in _ENCODERS:
        raise UnsceneError(unknown_encoder(name))
    accepted = inspect.signature(_ENCODERS[name]).parameters
    unknown = sorted(options.keys() - accepted.keys())
    if unknown:
        raise UnsceneError(
            f"encoder {name} has no option {', '.join(unknown)}; "
            f"it accepts {', '.join(sorted(accepted)) or 'none'}"
        )
    return _ENCODERS[name](**options)
