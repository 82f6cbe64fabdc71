"""Views to features: video backbones of the field, written here, and how they are kept on disk."""

from unscene.encoders.base import EncoderSpec, VideoEncoder
from unscene.encoders.registry import create_encoder, known_encoders
from unscene.encoders.weights import (
    LoadReport,
    load_encoder,
    load_weights,
    read_spec,
    save_encoder,
)

__all__ = [
    "EncoderSpec",
    "LoadReport",
    "VideoEncoder",
    "create_encoder",
    "known_encoders",
    "load_encoder",
    "load_weights",
    "read_spec",
    "save_encoder",
]
