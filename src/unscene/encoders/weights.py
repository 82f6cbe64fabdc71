"""Encoders on disk: encoder.safetensors (the weights) beside encoder.json (the spec).

Nothing here is ever unpickled. The JSON record is the spec and `weights_sha256`, the checksum of
the weights file, so that two files which do not belong together are noticed. Both are written under
temporary names in the same folder and renamed when both are complete: a failed write leaves the
former files, and the checksum notices a stop between the two renames.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from unscene.encoders.base import EncoderSpec, VideoEncoder
from unscene.encoders.foreign import ForeignEncoder
from unscene.encoders.registry import create_encoder, known_encoders
from unscene.errors import UnsceneError

_STEM = "encoder"
_CHECKSUM = "weights_sha256"
_SHOWN_KEYS = 3


@dataclass(frozen=True)
class LoadReport:
    """Which weights of a file found their place in a module. Names are state_dict keys.

    Attributes:
        matched: in both, with one shape; these were copied.
        missing: in the module only; these kept their values.
        unexpected: in the file only; these were left out.
        mismatched: in both, with different shapes; the module's kept their values.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether file and module agree entirely."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} matched"]
        for name in ("missing", "unexpected", "mismatched"):
            keys = getattr(self, name)
            if keys:
                more = ", ..." if len(keys) > _SHOWN_KEYS else ""
                parts.append(f"{len(keys)} {name} ({', '.join(keys[:_SHOWN_KEYS])}{more})")
        return "; ".join(parts)


def save_encoder(encoder: VideoEncoder, path: str | Path) -> Path:
    """Write an encoder's weights and spec; returns the path of the weights.

    Args:
        encoder: on any device, in any memory format.
        path: a folder, made if need be, for encoder.safetensors and encoder.json; or a name that
            ends in .safetensors, beside which the .json goes.

    Raises:
        UnsceneError: the files cannot be written (disk full, no permission); former files of the
            same name stay as they are and no others are left behind. Or the encoder is none of
            `known_encoders()`, so that `read_encoder` could not rebuild it.
    """
    check_can_be_saved(encoder)
    weights, record = _pair(Path(path))
    tensors = {k: v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()}
    payload = safetensors.torch.save(tensors, metadata={"format": "pt"})
    content = encoder.spec.to_json() | {_CHECKSUM: hashlib.sha256(payload).hexdigest()}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        weights.parent.mkdir(parents=True, exist_ok=True)
        _replace_together({weights: payload, record: text.encode()})
    except OSError as error:
        raise UnsceneError(
            f"{weights}: the encoder could not be written ({error}); "
            "free some space or choose another folder"
        ) from error
    return weights


def check_can_be_saved(encoder: VideoEncoder) -> None:
    """Raise UnsceneError if `read_encoder` could not rebuild the encoder: it is not one of ours."""
    if isinstance(encoder, ForeignEncoder) or encoder.spec.name not in known_encoders():
        raise UnsceneError(
            f"{encoder.spec.name}: only encoders of unscene ({', '.join(known_encoders())}) can be "
            "saved and loaded again; save the weights of this model with its own library, and pass "
            "the model as --encoder package.module:factory or hf:FOLDER"
        )


def read_encoder(path: str | Path) -> VideoEncoder:
    """Read an encoder that `save_encoder` wrote, on the CPU, in training mode like any new module.

    File and architecture must agree entirely; for a partial match see `load_weights`.

    Args:
        path: the folder, the .safetensors or the .json.

    Raises:
        UnsceneError: a file is missing, is no such file, is cut short, does not belong to the
            other, or comes from a newer version; the message names file and remedy.
    """
    weights, record = _pair(Path(path))
    spec, checksum = _read_record(record)
    if not weights.is_file():
        raise UnsceneError(f"{weights}: no such file; {record.name} needs its weights beside it")
    tensors = _read_tensors(weights)
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != checksum:
        raise UnsceneError(
            f"{weights}: these are not the weights that {record.name} describes (checksums differ);"
            " copy both files again from where they were saved"
        )
    try:
        encoder = create_encoder(spec.name, **spec.options)
    except UnsceneError as error:
        raise UnsceneError(f"{record}: {error}; upgrade unscene or correct the record") from error
    if (encoder.dim, encoder.spec.channels) != (spec.dim, spec.channels):
        raise UnsceneError(
            f"{record}: {spec.name} with options {spec.options} has {encoder.spec.channels} "
            f"channels and dim {encoder.dim}, but the record says {spec.channels} and {spec.dim}; "
            "copy both files again from where they were saved"
        )
    encoder.spec = spec
    _fill(encoder, tensors, weights, strict=True)
    return encoder


def load_weights(module: nn.Module, path: str | Path, *, strict: bool = True) -> LoadReport:
    """Copy weights into a module by name and shape, in place.

    Args:
        module: any module; an encoder of another width, say, for a partial match.
        path: a .safetensors file, or a folder that `save_encoder` wrote. No .json is needed.
        strict: refuse, before anything is copied, unless file and module agree entirely.

    Returns:
        What matched and what did not.

    Raises:
        UnsceneError: no readable weights, not a complete match though strict, or no match at all.
    """
    weights, _ = _pair(Path(path))
    return _fill(module, _read_tensors(weights), weights, strict=strict)


def read_spec(path: str | Path) -> EncoderSpec:
    """Read the spec of a saved encoder without its weights. Raises as `read_encoder` does."""
    _, record = _pair(Path(path))
    return _read_record(record)[0]


def _pair(path: Path) -> tuple[Path, Path]:
    """The weights file and the record that a path stands for."""
    if path.suffix in (".safetensors", ".json"):
        return path.with_suffix(".safetensors"), path.with_suffix(".json")
    if path.is_file():
        raise UnsceneError(
            f"{path}: not an encoder. It takes a folder or a file .safetensors as written by "
            "unscene; pickled checkpoints (.pt, .pth, .ckpt) are never opened, "
            "for they can run code: convert theirs with safetensors.torch.save_file"
        )
    return path / f"{_STEM}.safetensors", path / f"{_STEM}.json"


def _replace_together(contents: dict[Path, bytes]) -> None:
    """Write all files under temporary names, then rename them all; a failed write changes none."""
    written: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            # Not tempfile: its files are for their owner only, and a rename would keep that.
            written[path] = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
            with written[path].open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in written.items():
            temporary.replace(path)
    finally:
        for temporary in written.values():
            with suppress(FileNotFoundError):
                temporary.unlink()


def _read_record(path: Path) -> tuple[EncoderSpec, str]:
    if not path.is_file():
        raise UnsceneError(
            f"{path}: no such file; an encoder is a .safetensors and a .json of one name, "
            "as `unscene pretrain` writes them"
        )
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnsceneError(f"{path}: not readable as JSON ({error}); copy it again") from error
    if not isinstance(content, dict) or not isinstance(content.get(_CHECKSUM), str):
        raise UnsceneError(f"{path}: not an encoder's record; it has no {_CHECKSUM}")
    checksum = content.pop(_CHECKSUM)
    try:
        return EncoderSpec.from_json(content), checksum
    except UnsceneError as error:
        raise UnsceneError(f"{path}: {error}") from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UnsceneError(f"{path}: no such file; give a folder or a .safetensors file")
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise UnsceneError(
            f"{path}: not a whole safetensors file ({error}); copy or save it again"
        ) from error


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path, *, strict: bool) -> LoadReport:
    own = module.state_dict()
    shared = [key for key in own if key in tensors]
    report = LoadReport(
        matched=tuple(key for key in shared if own[key].shape == tensors[key].shape),
        missing=tuple(key for key in own if key not in tensors),
        unexpected=tuple(key for key in tensors if key not in own),
        mismatched=tuple(key for key in shared if own[key].shape != tensors[key].shape),
    )
    if strict and not report.complete:
        raise UnsceneError(
            f"{path}: the weights do not fit {type(module).__name__}: {report}; "
            "use the encoder they were saved from, or strict=False to take what matches"
        )
    if not report.matched:
        raise UnsceneError(f"{path}: no weight fits {type(module).__name__}: {report}")
    module.load_state_dict({key: tensors[key] for key in report.matched}, strict=False)
    return report
