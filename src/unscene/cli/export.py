"""`unscene export`: an encoder as ONNX or as a program of torch.export.

unscene export motion --out motion.onnx
unscene export runs/mine --out mine.pt2
"""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from unscene.cli import ENCODER
from unscene.files import expand_home

HELP = "write an encoder as ONNX or for torch.export"


def flags(parser: ArgumentParser) -> None:
    parser.add_argument("encoder", type=str, help=ENCODER)
    parser.add_argument(
        "--out", type=str, required=True, help="file to write, FILE.onnx or FILE.pt2"
    )
    parser.add_argument(
        "--format",
        type=str | None,
        help="onnx, or torch for torch.export.load (default: by the end of the file's name)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def run(values: Namespace) -> None:
    from unscene.encoders.export import TOLERANCE, export_encoder
    from unscene.encoders.resolving import resolve_encoder

    resolved = resolve_encoder(values.encoder)
    made = export_encoder(
        resolved.encoder, expand_home(values.out), values.format, overwrite=values.overwrite
    )
    print(f"{made.path}: {resolved.name} ({resolved.note}), {made.bytes / 1e6:.1f} MB")
    for side in ("input", "output"):
        told = made.metadata[side]
        shape = ", ".join(map(str, told["shape"]))
        print(f"{side:<7} {told['name']} ({shape}), {told['dtype']}")
    print(f"        {made.metadata['input']['text']}")
    print(
        f"checked on random clips in batches of 1 and 3: features differ from the encoder's by at "
        f"most {made.difference:.1g} of their length ({TOLERANCE:g} is allowed)"
    )
