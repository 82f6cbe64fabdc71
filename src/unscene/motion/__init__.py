"""Frames or motion vectors -> what moves."""

from unscene.motion.flow import (
    NoVectorsError,
    accumulate_vectors,
    add_flow,
    codec_flow,
    dis_flow,
    fill_keyframes,
    has_usable_vectors,
    make_flow_transform,
)

__all__ = [
    "NoVectorsError",
    "accumulate_vectors",
    "add_flow",
    "codec_flow",
    "dis_flow",
    "fill_keyframes",
    "has_usable_vectors",
    "make_flow_transform",
]
