"""Encoders on the Hugging Face Hub: saved there, read from there, by huggingface_hub's mixin.

    unscene.push_to_hub(encoder, "USER/NAME")
    unscene.from_pretrained("USER/NAME"), unscene.from_pretrained("FOLDER"), --encoder hf:USER/NAME

A repository holds what `save_encoder` writes (encoder.safetensors and encoder.json), a model card
(README.md) and config.json, by which the Hub counts downloads. Reading unpickles nothing and runs
no code of the repository.

`VideoEncoder` itself is no subclass of the mixin: it must import without huggingface_hub, and the
mixin stores what a constructor was given, while an encoder is described by its spec. `HubEncoder`
stands between them.
"""

from __future__ import annotations

import json
from functools import cache
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from unscene.encoders.base import VideoEncoder
from unscene.encoders.shipped import known_shipped, read_card
from unscene.encoders.weights import check_can_be_saved, read_encoder, save_encoder
from unscene.errors import UnsceneError, first_line
from unscene.files import expand_home, write_text
from unscene.imports import import_extra

_FILES = ("encoder.json", "encoder.safetensors")
_PURPOSE = "the Hugging Face Hub"


@cache
def make_adapter() -> Any:
    """Make the class `HubEncoder(encoder, card)`: a ModelHubMixin around a VideoEncoder."""
    mixin: Any = import_extra("huggingface_hub", "hub", _PURPOSE).ModelHubMixin

    class HubEncoder(mixin, library_name="unscene"):  # type: ignore[call-arg]
        """Has `save_pretrained`, `from_pretrained` and `push_to_hub` of the mixin."""

        def __init__(self, encoder: VideoEncoder, card: str | None = None) -> None:
            self.encoder, self.card = encoder, card

        def _save_pretrained(self, save_directory: Path) -> None:
            spec = self.encoder.spec
            save_encoder(self.encoder, save_directory)
            config = {"library_name": "unscene", "encoder": spec.name, "dim": self.encoder.dim}
            write_text(save_directory / "config.json", json.dumps(config, indent=2) + "\n")
            card = self.card or describe_encoder(self.encoder, save_directory.name)
            write_text(save_directory / "README.md", card)

        @classmethod
        def _from_pretrained(cls, *, model_id: str, **how: Any) -> HubEncoder:
            folder = Path(model_id)
            if not folder.is_dir():
                names = ("revision", "cache_dir", "force_download", "local_files_only", "token")
                wanted = {name: how[name] for name in names if name in how}
                folder = _download(model_id, **wanted)
            return cls(read_encoder(folder).eval())

    return HubEncoder


def save_pretrained(
    encoder: VideoEncoder, folder: str | PathLike[str], *, card: str | None = None
) -> Path:
    """Write an encoder as a folder that can be uploaded to the Hub; returns the folder.

    Args:
        encoder: one that `save_encoder` can save.
        folder: created if needed; files of an earlier encoder in it are replaced.
        card: the model card, Markdown; None: written from the spec, see `describe_encoder`.

    Raises:
        UnsceneError: huggingface_hub is missing, or as `save_encoder`.
    """
    path = expand_home(folder)
    make_adapter()(encoder, card).save_pretrained(path)
    return path


def push_to_hub(
    encoder: VideoEncoder, repo: str, *, card: str | None = None, **options: Any
) -> str:
    """Upload an encoder to the Hugging Face Hub; `unscene.from_pretrained(repo)` reads it.

    Args:
        encoder: one that `save_encoder` can save.
        repo: "USER/NAME"; the repository is made if it does not exist.
        card: the model card, Markdown; None: written from the spec, see `describe_encoder`.
        options: of `ModelHubMixin.push_to_hub`: `private`, `token`, `commit_message`, `branch`,
            `create_pr`. Without a token, that of `hf auth login` is taken.

    Returns:
        The address of the commit.

    Raises:
        UnsceneError: huggingface_hub is missing, the encoder cannot be saved, or the Hub refuses.
    """
    adapter = make_adapter()
    check_can_be_saved(encoder)
    card = card or describe_encoder(encoder, repo)
    options = {"commit_message": f"{encoder.spec.name} by unscene"} | options
    try:
        return str(adapter(encoder, card).push_to_hub(repo, **options))
    except (OSError, ValueError) as error:
        raise UnsceneError(
            f"{repo}: not uploaded ({first_line(error)}); log in with `hf auth login`, and name a "
            "repository of yours as USER/NAME"
        ) from error


def from_pretrained(name: str | PathLike[str], **options: Any) -> VideoEncoder:
    """Load an encoder of unscene from the Hugging Face Hub or from a folder.

    Args:
        name: "USER/NAME" on the Hub, which is downloaded unless it is in the cache; or a folder
            that `save_encoder`, `save_pretrained` or a training wrote.
        options: of `ModelHubMixin.from_pretrained`: `revision`, `token`, `cache_dir`,
            `force_download`, `local_files_only`.

    Returns:
        The encoder, on the CPU and in evaluation mode.

    Raises:
        UnsceneError: huggingface_hub is missing, there is no such repository, or it holds no
            encoder of unscene.
    """
    path = expand_home(name)
    if path.is_dir():  # no library is needed
        return read_encoder(path).eval()
    try:
        return make_adapter().from_pretrained(fspath(name), **options).encoder
    except (OSError, ValueError, LookupError) as error:
        raise UnsceneError(
            f"{fspath(name)}: {first_line(error)}; name a folder that exists, or an encoder of "
            "unscene on the Hub as USER/NAME"
        ) from error


def find_pretrained(name: str) -> Path | None:
    """Find an encoder of unscene by what stands after `hf:`; download it if need be.

    Returns:
        A folder with encoder.json and encoder.safetensors; None where there is none: a model of
        another library, no such name, no connection, or no huggingface_hub.
    """
    path = expand_home(name)
    if path.is_dir():
        return path if (path / _FILES[0]).is_file() else None
    try:
        import_extra("huggingface_hub", "hub", _PURPOSE)
        return _download(name)
    except (OSError, ValueError, LookupError, UnsceneError):
        return None


def describe_encoder(encoder: VideoEncoder, name: str) -> str:
    """Write a model card, Markdown with the header of the Hub.

    Args:
        name: of the repository, "USER/NAME".

    >>> from unscene.encoders.registry import create_encoder
    >>> card = describe_encoder(create_encoder("r3d-narrow"), "me/narrow")
    >>> "not trained: its weights are random" in card
    True
    """
    spec = encoder.spec
    history = spec.trained_on
    reads = {"rgb": "RGB", "flow": "optical flow of the clip, without the camera's motion"}
    source = reads.get(encoder.input, "motion vectors of the codec, or flow where there are none")
    facts = {
        "architecture": f"`{spec.name}`",
        "reads": source,
        "clips": f"{spec.frames} frames at stride {spec.stride}, {spec.size} x {spec.size} pixels",
        "features": f"{encoder.dim} numbers",
        "weights": f"{sum(one.numel() for one in encoder.parameters()):,}",
        "unscene": spec.unscene,
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    if history.get("method") in known_shipped() and "weights" in history:
        about = read_card(history["method"]).partition("\n")[2].strip()
    elif history:
        told = {k: v for k, v in history.items() if not isinstance(v, dict | list)}
        about = (
            "Trained by "
            + ", ".join(f"{key} {value}" for key, value in told.items())
            + (". The whole record is in encoder.json.")
        )
    else:
        about = "It is not trained: its weights are random."
    return (
        "---\nlibrary_name: unscene\npipeline_tag: feature-extraction\n"
        "tags:\n- unscene\n- video\n- motion\n---\n"
        f"# {name.rpartition('/')[2]}\n\n"
        f"A video encoder of unscene.\n\n| | |\n|---|---|\n{table}\n\n{about}\n\n"
        f'```python\nimport unscene\n\nencoder = unscene.from_pretrained("{name}")\n'
        'print(unscene.embed("VIDEOS", encoder).values.shape)\n```\n'
    )


def _download(name: str, **how: Any) -> Path:
    """Download both files of a saved encoder; returns their folder in the cache."""
    library = import_extra("huggingface_hub", "hub", _PURPOSE)
    paths = [Path(library.hf_hub_download(name, file, **how)) for file in _FILES]
    return paths[0].parent
