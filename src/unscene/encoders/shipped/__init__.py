"""Encoders that come with the package, and need no training: `--encoder NAME`.

    NAME.safetensors   the weights, in half precision, at most 4 MB
    NAME.json          the spec, and the checksum of the weights
    NAME.md            the model card: what it was trained on, where it fails, its numbers

An encoder is found by lying in this folder. `encoders/shipping.py` puts one here, and
`recipes/encoders/NAME.yaml` trains it again. This file imports no torch.
"""

from __future__ import annotations

from pathlib import Path

from unscene.errors import UnsceneError, describe_unknown

FOLDER = Path(__file__).parent
LARGEST = 4_000_000  # bytes of a file of weights


def known_shipped() -> list[str]:
    """List the encoders that come with the package, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def read_card(name: str) -> str:
    """Read the model card of an encoder that comes with the package, Markdown.

    Raises:
        UnsceneError: there is no such encoder.
    """
    if name not in known_shipped():
        raise UnsceneError(
            describe_unknown("encoder that comes with unscene", name, known_shipped())
        )
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")
