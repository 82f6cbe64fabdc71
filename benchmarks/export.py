"""Exported encoders: onnxruntime against torch on one thread, and the sizes of the files."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import onnxruntime
import torch
from harness import Options, Row, turns

from unscene.encoders import load_encoder, save_encoder
from unscene.encoders.export import export_encoder

CLIPS = {"motion": 8, "r3d18": 1, "i3d": 1}  # encoder -> clips in a batch


def run(options: Options) -> Iterator[Row]:
    for name, batch in CLIPS.items():
        yield from _compare(name, batch, options)


def _compare(name: str, batch: int, options: Options) -> Iterator[Row]:
    encoder = load_encoder(name)
    with tempfile.TemporaryDirectory(prefix="unscene-bench-") as folder:
        made = export_encoder(encoder, Path(folder) / "a.onnx")
        program = export_encoder(encoder, Path(folder) / "a.pt2")
        saved = save_encoder(encoder, Path(folder) / "saved").stat().st_size
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(
            made.path, settings, providers=["CPUExecutionProvider"]
        )
        clips = torch.randn(batch, *made.metadata["input"]["shape"][1:]) * 0.1
        given = clips if encoder.input == "rgb" else clips.movedim(-1, 1)

        def torch_side() -> None:
            with torch.inference_mode():
                encoder(given)

        def onnx_side() -> None:
            session.run(None, {made.metadata["input"]["name"]: clips.numpy()})

        # CPU seconds: others may use the machine.
        ours, other = turns(
            onnx_side, torch_side, repetitions=options.times(7), clock=time.process_time
        )
    yield Row(
        name=f"export.{name}",
        what=f"{name} on {batch} clip{'s' * (batch > 1)}, ONNX in onnxruntime",
        ours=ours * 1000,
        alternative=other * 1000,
        against="the encoder in torch",
        unit="CPU ms",
        ratio=ours / other,
        target="",
        repetitions=options.times(7),
        note=(
            f".onnx {made.bytes / 1e6:.1f} MB, .pt2 {program.bytes / 1e6:.1f} MB, .safetensors "
            f"{saved / 1e6:.1f} MB; features differ by {made.difference:.0e} of their length"
        ),
    )
