"""Saved encoders: encoder.safetensors (the weights) beside encoder.json (the spec).

Nothing is ever unpickled. The JSON record holds the spec and `weights_sha256`, the checksum of the
weights file, which detects two files that do not belong together. Both are written under temporary
names in the same folder and renamed when both are complete: a failed write keeps the previous
files, and the checksum detects an interruption between the two renames.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from unscene.encoders.base import EncoderSpec, VideoEncoder
from unscene.encoders.foreign import ForeignEncoder, adapt
from unscene.encoders.registry import create_encoder, known_descriptors, known_encoders
from unscene.encoders.state_dicts import read_safetensors
from unscene.encoders.transformers_models import build_model
from unscene.encoders.two_stream import TwoStream
from unscene.errors import UnsceneError
from unscene.files import encode_text

_STEM = "encoder"
_CHECKSUM = "weights_sha256"
_SHOWN_KEYS = 3
# In the options of the spec of a model from outside: how its network is built again.
TRANSFORMERS, FACTORY = "transformers", "factory"


@dataclass(frozen=True)
class LoadReport:
    """Which weights of a file match those of a module, by their state_dict keys.

    Attributes:
        matched: in both, with the same shape; copied.
        missing: in the module only; unchanged.
        unexpected: in the file only; not used.
        mismatched: in both, with different shapes; unchanged.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether file and module match entirely."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} matched"]
        for name in ("missing", "unexpected", "mismatched"):
            keys = getattr(self, name)
            if keys:
                more = ", ..." if len(keys) > _SHOWN_KEYS else ""
                parts.append(f"{len(keys)} {name} ({', '.join(keys[:_SHOWN_KEYS])}{more})")
        return "; ".join(parts)


def save_encoder(encoder: VideoEncoder, path: str | Path, *, half: bool = False) -> Path:
    """Save an encoder's weights and spec; returns the path of the weights.

    Args:
        encoder: on any device, in any memory format.
        path: a folder, created if needed, for encoder.safetensors and encoder.json; or a file name
            that ends in .safetensors, beside which the .json is written.
        half: store the weights in half precision, in half the space.

    Raises:
        UnsceneError: the files cannot be written (disk full, no permission); previous files of the
            same name stay as they are and no others are left behind. Or `read_encoder` could not
            rebuild the encoder, see `check_can_be_saved`.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> save_encoder(create_encoder("r3d-narrow"), folder).name
    'encoder.safetensors'
    >>> read_spec(folder).name, read_encoder(folder).dim
    ('r3d-narrow', 64)
    """
    check_can_be_saved(encoder)
    weights, record = _pair(Path(path))
    tensors = {  # copies, since models from outside may share some
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in encoder.state_dict().items()
    }
    if half:
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    payload = safetensors.torch.save(tensors, metadata={"format": "pt"})
    content = encoder.spec.to_json() | {_CHECKSUM: hashlib.sha256(payload).hexdigest()}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        weights.parent.mkdir(parents=True, exist_ok=True)
        _replace_together({weights: payload, record: encode_text(text)})
    except OSError as error:
        raise UnsceneError(
            f"{weights}: the encoder could not be written ({error}); "
            "free some space or choose another folder"
        ) from error
    return weights


def check_can_be_saved(encoder: VideoEncoder) -> None:
    """Raise UnsceneError if `read_encoder` could not rebuild the encoder.

    It can rebuild ours, two of ours that are joined, and those that
    `resolve_encoder(text, to_train=True)` returned.
    """
    if isinstance(encoder, TwoStream):
        for part in (encoder.rgb, encoder.motion):
            if part.spec.name not in known_descriptors():
                check_can_be_saved(part)
            if TRANSFORMERS in part.spec.options or FACTORY in part.spec.options:
                raise UnsceneError(
                    f"{encoder.spec.name}: {part.spec.name} is no encoder of unscene"
                )
        return
    if isinstance(encoder, ForeignEncoder):
        known = {TRANSFORMERS, FACTORY} & encoder.spec.options.keys()
    else:
        known = {encoder.spec.name} & set(known_encoders())
    if not known:
        raise UnsceneError(
            f"{encoder.spec.name}: only encoders of unscene ({', '.join(known_encoders())}) can be "
            "saved and loaded again; name a model from outside as --encoder hf:FOLDER or "
            "package.module:factory, so that it can be built again"
        )


def build_encoder(spec: EncoderSpec) -> VideoEncoder:
    """Build the network that a spec describes, with random weights, in training mode.

    Raises:
        UnsceneError: no such architecture, or a factory made it: unscene runs no code that a file
            names.
    """
    if factory := spec.options.get(FACTORY):
        raise UnsceneError(
            f"made by {factory}, and unscene runs no code that a file names; pass --encoder "
            f"{factory}@FOLDER to run it"
        )
    if TRANSFORMERS not in spec.options:
        return create_encoder(spec.name, **spec.options)
    clips = {name: getattr(spec, name) for name in ("frames", "stride", "size", "mean", "std")}
    model = build_model(spec.options[TRANSFORMERS])
    return adapt(model, name=spec.name, **clips).train()


def read_encoder(path: str | Path, network: VideoEncoder | None = None) -> VideoEncoder:
    """Read an encoder that `save_encoder` wrote, on the CPU, in training mode like any new module.

    File and architecture must match entirely; for a partial match see `load_weights`.

    Args:
        path: the folder, the .safetensors or the .json.
        network: takes the weights; None: one that is built as the spec says.

    Raises:
        UnsceneError: a file is missing, of another kind or truncated, does not belong to the other
            file, or comes from a newer version.
    """
    weights, record = _pair(Path(path))
    spec, checksum = _read_record(record)
    if not weights.is_file():
        raise UnsceneError(f"{weights}: no such file; {record.name} needs its weights beside it")
    tensors = read_safetensors(weights)
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != checksum:
        raise UnsceneError(
            f"{weights}: these are not the weights that {record.name} describes (checksums differ);"
            " copy both files again from where they were saved"
        )
    try:
        encoder = network or build_encoder(spec)
    except UnsceneError as error:
        remedy = "" if FACTORY in spec.options else "; upgrade unscene or correct the record"
        raise UnsceneError(f"{record}: {error}{remedy}") from error
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
    """Copy weights from a file into a module by name and shape, in place.

    Args:
        module: any module, such as an encoder of another width for a partial match.
        path: a .safetensors file, or a folder that `save_encoder` wrote; the .json is not needed.
        strict: raise, before anything is copied, unless file and module match entirely.

    Returns:
        Which weights match and which do not.

    Raises:
        UnsceneError: no readable weights, an incomplete match with `strict`, or no match at all.
    """
    weights, _ = _pair(Path(path))
    return _fill(module, read_safetensors(weights), weights, strict=strict)


def compare_weights(own: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> LoadReport:
    """Compare tensors by name and shape: those of a module, `own`, with those of a file."""
    shared = [key for key in own if key in others]
    return LoadReport(
        matched=tuple(key for key in shared if own[key].shape == others[key].shape),
        missing=tuple(key for key in own if key not in others),
        unexpected=tuple(key for key in others if key not in own),
        mismatched=tuple(key for key in shared if own[key].shape != others[key].shape),
    )


def is_saved_encoder(path: Path) -> bool:
    """Whether an existing path is what `save_encoder` writes, not a published checkpoint."""
    return (
        path.is_dir()
        or path.suffix == ".json"
        or (path.suffix == ".safetensors" and path.with_suffix(".json").exists())
    )


def read_spec(path: str | Path) -> EncoderSpec:
    """Read the spec of a saved encoder without its weights. Raises as `read_encoder` does."""
    _, record = _pair(Path(path))
    return _read_record(record)[0]


def read_checksum(path: str | Path) -> str:
    """Read the checksum of a saved encoder's weights. Raises as `read_encoder` does."""
    return _read_record(_pair(Path(path))[1])[1]


def _pair(path: Path) -> tuple[Path, Path]:
    """Find the weights file and the record that belong to a path."""
    if path.suffix in (".safetensors", ".json"):
        return path.with_suffix(".safetensors"), path.with_suffix(".json")
    if path.is_file():
        raise UnsceneError(
            f"{path}: not an encoder that unscene saved, which is a folder or a .safetensors file; "
            "`load_encoder` reads published checkpoints too"
        )
    return path / f"{_STEM}.safetensors", path / f"{_STEM}.json"


def _replace_together(contents: dict[Path, bytes]) -> None:
    """Write all files under temporary names, then rename them; a failed write changes no file."""
    written: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            # Not tempfile: its files are readable by their owner only, also after the rename.
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
            f"{path}: no such file; an encoder is a .safetensors and a .json file of the same "
            "name, as written by `unscene pretrain`"
        )
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnsceneError(f"{path}: not readable as JSON ({error}); copy it again") from error
    if not isinstance(content, dict) or not isinstance(content.get(_CHECKSUM), str):
        raise UnsceneError(f"{path}: not the record of an encoder: it has no {_CHECKSUM}")
    checksum = content.pop(_CHECKSUM)
    try:
        return EncoderSpec.from_json(content), checksum
    except UnsceneError as error:
        raise UnsceneError(f"{path}: {error}") from error


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path, *, strict: bool) -> LoadReport:
    report = compare_weights(module.state_dict(), tensors)
    if strict and not report.complete:
        raise UnsceneError(
            f"{path}: the weights do not fit {type(module).__name__}: {report}; "
            "use the encoder from which they were saved, or strict=False to copy what matches"
        )
    if not report.matched:
        raise UnsceneError(f"{path}: no weight fits {type(module).__name__}: {report}")
    module.load_state_dict({key: tensors[key] for key in report.matched}, strict=False)
    return report


def fingerprint_encoder(encoder: VideoEncoder) -> str:
    """Compute a fingerprint of an encoder: equal for equal architecture, clips and weights.

    >>> first, second = (create_encoder("r3d-narrow") for _ in range(2))
    >>> fingerprint_encoder(first) == fingerprint_encoder(second)
    False
    """
    spec = encoder.spec.to_json()
    about = {name: spec[name] for name in ("name", "options", "dim", "frames", "stride", "size")}
    text = json.dumps([about, spec["mean"], spec["std"], encoder.input], sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
