"""The table that names the methods."""

from __future__ import annotations

from unscene.encoders import VideoEncoder
from unscene.methods.base import Method
from unscene.methods.cmd import CMD
from unscene.methods.dsm import DSM, DSMTriplet
from unscene.methods.hdc import HDC
from unscene.methods.moco import MoCo
from unscene.methods.settings import Settings
from unscene.methods.unscene import Unscene

_METHODS: dict[str, type[Method]] = {
    "moco": MoCo,
    "dsm": DSM,
    "dsm-triplet": DSMTriplet,
    "hdc": HDC,
    "cmd": CMD,
    "unscene": Unscene,
}


def create_method(name: str, encoder: VideoEncoder, settings: Settings) -> Method:
    """A method by its name in `settings.METHODS` (`settings.resolve` has checked it)."""
    return _METHODS[name](encoder, settings)
