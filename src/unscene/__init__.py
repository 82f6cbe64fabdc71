"""unscene: video representations that watch the motion, not the scene.

The public face; everything else may change. Names are imported when they are first used, so that
`import unscene` takes no time.

    load_encoder   any encoder by one text: a saved run, an architecture, hf:FOLDER, module:factory
    pretrain       train an encoder on videos without labels
    embed          features of video files or arrays
    build_index    make an index of footage, or bring one up to date
    Index          search in it for moments like another one, label them, group them
    audit          does an encoder watch the motion or the scene?
    open_catalog   the videos of a folder, a CSV file or an official list, checked
    push_to_hub, from_pretrained   an encoder of ours on the Hugging Face Hub
    create_encoder, save_encoder, VideoEncoder, Embeddings, Outcome, UnsceneError
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unscene.api import pretrain
    from unscene.audit.run import audit
    from unscene.data.listing import open_catalog
    from unscene.encoders import VideoEncoder, create_encoder, load_encoder, save_encoder
    from unscene.encoders.hub import from_pretrained, push_to_hub
    from unscene.errors import UnsceneError
    from unscene.evaluate.embed import Embeddings, embed
    from unscene.search.build import build_index
    from unscene.search.index import Index
    from unscene.train.pretrain import Outcome

__version__ = "0.1.0"
__all__ = [
    "Embeddings",
    "Index",
    "Outcome",
    "UnsceneError",
    "VideoEncoder",
    "__version__",
    "audit",
    "build_index",
    "create_encoder",
    "embed",
    "from_pretrained",
    "load_encoder",
    "open_catalog",
    "pretrain",
    "push_to_hub",
    "save_encoder",
]
_HOMES = {
    **dict.fromkeys(("VideoEncoder", "create_encoder", "load_encoder"), "unscene.encoders"),
    **dict.fromkeys(("Embeddings", "embed"), "unscene.evaluate.embed"),
    "Index": "unscene.search.index",
    "Outcome": "unscene.train.pretrain",
    "UnsceneError": "unscene.errors",
    "build_index": "unscene.search.build",
    **dict.fromkeys(("from_pretrained", "push_to_hub"), "unscene.encoders.hub"),
    "open_catalog": "unscene.data.listing",
    "pretrain": "unscene.api",
    "save_encoder": "unscene.encoders",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "audit":  # a package that can be called, see there
        return import_module("unscene.audit")
    if name not in _HOMES:
        raise AttributeError(f"module 'unscene' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
