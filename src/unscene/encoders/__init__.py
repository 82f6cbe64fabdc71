"""Views -> features: video encoders, how they are saved, and how `--encoder` is resolved."""

from unscene.encoders.base import EncoderSpec, VideoEncoder
from unscene.encoders.registry import create_encoder, known_descriptors, known_encoders
from unscene.encoders.resolving import ResolvedEncoder, load_encoder, resolve_encoder
from unscene.encoders.shipped import known_shipped
from unscene.encoders.two_stream import TwoStream
from unscene.encoders.untrained import make_untrained_twin
from unscene.encoders.weights import LoadReport, load_weights, read_spec, save_encoder

__all__ = [
    "EncoderSpec",
    "LoadReport",
    "ResolvedEncoder",
    "TwoStream",
    "VideoEncoder",
    "create_encoder",
    "known_descriptors",
    "known_encoders",
    "known_shipped",
    "load_encoder",
    "load_weights",
    "make_untrained_twin",
    "read_spec",
    "resolve_encoder",
    "save_encoder",
]
