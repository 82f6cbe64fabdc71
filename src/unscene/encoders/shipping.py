"""A trained run -> an encoder that comes with the package.

    python -m unscene.encoders.shipping runs/motion motion

writes `shipped/motion.safetensors` (half precision) and `shipped/motion.json`. The model card
`shipped/motion.md` must be there before. Commit all three, with the recipe of the run.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from unscene.data.program_flow import ProgramDataset
from unscene.encoders import shipped
from unscene.encoders.base import VideoEncoder
from unscene.encoders.resolving import resolve_encoder
from unscene.encoders.weights import read_encoder, save_encoder
from unscene.errors import UnsceneError

HALF_ERROR = 0.01  # largest change of a feature by half precision, as a share of its length
_CLIPS = 16


def ship_encoder(run: str | Path, name: str, folder: Path | None = None) -> tuple[Path, float]:
    """Write the encoder of a run in half precision, beside its model card.

    Args:
        run: folder of a training, or any saved encoder that was trained.
        name: what `--encoder` will take, and the method of its rows.
        folder: None: that of the package.

    Returns:
        The file of weights, and the largest change of a feature, see `measure_half_error`.

    Raises:
        UnsceneError: the encoder is not trained, there is no model card, the file is larger than 4
            MB, or half precision changes a feature by more than 1 %; nothing is left behind.
    """
    folder = folder or shipped.FOLDER
    resolved = resolve_encoder(Path(run), to_train=True)
    encoder = resolved.encoder.eval()
    if not resolved.trained:
        raise UnsceneError(f"{run}: {resolved.note}; only a trained encoder is shipped")
    card = folder / f"{name}.md"
    if not card.is_file():
        raise UnsceneError(
            f"{card}: no such file; write the model card first: what the encoder was trained on, "
            "where it fails, and its numbers with intervals"
        )
    history = encoder.spec.trained_on
    encoder.spec = replace(
        encoder.spec, trained_on=history | {"method": name, "trained_by": history["method"]}
    )
    target = save_encoder(encoder, folder / f"{name}.safetensors", half=True)
    error, size = measure_half_error(encoder, read_encoder(target).eval()), target.stat().st_size
    if size > shipped.LARGEST or not error <= HALF_ERROR:
        target.unlink()
        target.with_suffix(".json").unlink()
        raise UnsceneError(
            f"{run}: {size:,} bytes in half precision, and a feature changes by {error:.2%}; at "
            f"most {shipped.LARGEST:,} bytes and {HALF_ERROR:.0%} are shipped"
        )
    return target, error


@torch.no_grad()
def measure_half_error(encoder: VideoEncoder, half: VideoEncoder) -> float:
    """Measure by how much half precision changes features.

    Args:
        encoder: in full precision, in evaluation mode.
        half: the same, read from a file in half precision.

    Returns:
        The largest length of a difference, as a share of the feature's length, over 16 clips: flow
        of generated figures for an encoder of flow, noise for one of RGB.
    """
    clips = _make_clips(encoder)
    before, after = encoder(clips), half(clips)
    return float(((before - after).norm(dim=1) / before.norm(dim=1)).max())


def _make_clips(encoder: VideoEncoder) -> Tensor:
    spec = encoder.spec
    if encoder.input == "rgb":
        shape = (_CLIPS, spec.channels, spec.frames, spec.size, spec.size)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0))
    grid = encoder.flow_grid or spec.size
    dataset = ProgramDataset(_CLIPS, steps=spec.frames - 1, rate=15.0, grid=grid)
    flows = [dataset[draw, 0].clips["anchor"].flow for draw in range(_CLIPS)]
    return torch.stack([flow.float().movedim(-1, 0) for flow in flows if flow is not None])


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("python -m unscene.encoders.shipping RUN NAME")
    try:
        target, error = ship_encoder(sys.argv[1], sys.argv[2])
    except UnsceneError as refused:
        raise SystemExit(str(refused)) from refused
    print(f"{target}: {target.stat().st_size:,} bytes; features change by at most {error:.3%}")


if __name__ == "__main__":
    main()
