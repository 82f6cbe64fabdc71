"""An encoder -> a file that runs without this package: ONNX, or a program of torch.export.

    unscene export motion --out motion.onnx
    unscene export runs/mine --out mine.pt2

    reads RGB               clip (B, 3, T, S, S), float, normalized  ->  feature (B, D)
    reads flow or vectors   flow (B, T-1, G, G, 2), float            ->  feature (B, D)

The batch axis is dynamic, all others are those of the encoder's spec. DIS and motion vectors are no
operators of a network, so what is exported of an encoder of motion is the network over flow
(`VideoEncoder.forward_flow`, pooled), and the file says so. `flow_input.read_flow` computes the
flow; averaged over G x G cells it is what the file takes.

The spec and a description of input and output are stored inside the file as JSON, under the key
`unscene`; `read_exported` reads them. Every file is compared with the encoder before it gets its
name.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from unscene import __version__
from unscene.encoders.base import VideoEncoder
from unscene.encoders.registry import known_descriptors
from unscene.encoders.shipped import known_shipped
from unscene.encoders.two_stream import TwoStream
from unscene.errors import UnsceneError
from unscene.files import check_free, write_atomically
from unscene.imports import import_extra

Format = Literal["onnx", "torch"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
TOLERANCE = 1e-4  # largest difference of a feature, as a share of its length
_BATCHES = (1, 3)  # that are compared; the example that is traced has 2 clips
_KEY = "unscene"  # of the metadata
_FORMAT = 1  # of the metadata
_LARGEST = 2_000_000_000  # bytes of weights; protobuf, which ONNX files are, ends at 2 GB
_FLOW_SCALE = 0.05  # of random flow, normalized units: a tenth of what a fast hand reaches


@dataclass(frozen=True)
class Exported:
    """A file that was written and compared with the encoder.

    Attributes:
        path: of the file.
        format: "onnx" or "torch".
        bytes: its size.
        difference: the largest difference of a feature from the encoder's, as a share of its
            length, on random clips in batches of 1 and 3.
        metadata: what `read_exported` reads from the file.
    """

    path: Path
    format: Format
    bytes: int
    difference: float
    metadata: dict[str, Any]


class _OverFlow(nn.Module):
    """The network of an encoder of motion: flow (B, P, G, G, 2) in, features (B, D) out."""

    def __init__(self, encoder: VideoEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        encoder.flow_grid = None  # the flow has that many cells already

    def forward(self, flow_BPGG2: Tensor) -> Tensor:
        return self.encoder(flow_BPGG2.movedim(-1, 1))


def export_encoder(
    encoder: VideoEncoder,
    path: str | Path,
    format: Format | None = None,
    *,
    overwrite: bool = False,
) -> Exported:
    """Write an encoder as a file that runs without this package; see the header of this file.

    Weights are stored in single precision; the encoder itself is not changed.

    Args:
        encoder: any encoder that is a network.
        path: of the file; its name ends in .onnx or .pt2.
        format: "onnx" (for onnxruntime and others) or "torch" (for `torch.export.load`); None: by
            the end of the name.
        overwrite: replace a file that is there.

    Raises:
        UnsceneError: the encoder is no network or cannot be traced; the file exists or cannot be
            written; onnx, onnxscript or onnxruntime is missing; or the file's features differ from
            the encoder's by more than `TOLERANCE` of their length. No file is left behind then.

    >>> import tempfile
    >>> from unscene.encoders import create_encoder
    >>> made = export_encoder(create_encoder("r3d-narrow"), tempfile.mkdtemp() + "/narrow.pt2")
    >>> made.format, made.difference < 1e-4, made.metadata["input"]["shape"]
    ('torch', True, ['batch', 3, 8, 36, 36])
    """
    path = Path(path)
    format = _choose_format(path, format)
    check_free(path, overwrite=overwrite)
    _check_network(encoder)
    if format == "onnx":
        for module in ("onnx", "onnxscript", "onnxruntime"):  # before the work
            import_extra(module, "export", f"{path}: writing ONNX")
    network = copy.deepcopy(encoder).cpu().float().eval()
    metadata = _describe(network)
    shape = tuple(metadata["input"]["shape"][1:])
    model = network if network.input == "rgb" else _OverFlow(network).eval()
    draw = _make_clips(shape, 1.0 if network.input == "rgb" else _FLOW_SCALE)
    write, load = (_write_onnx, _load_onnx) if format == "onnx" else (_write_torch, _load_torch)
    with write_atomically(path) as temporary:
        with _quiet(), torch.no_grad():
            write(_trace(model, draw(2), network.spec.name), temporary, json.dumps(metadata))
            difference = _compare(model, load(temporary), draw)
        if not difference <= TOLERANCE:
            raise UnsceneError(
                f"{path}: features of the exported {network.spec.name} differ from the encoder's "
                f"by {difference:.2g} of their length, and {TOLERANCE:g} is allowed; nothing was "
                f"written. Try --format {'torch' if format == 'onnx' else 'onnx'}"
            )
        size = temporary.stat().st_size
    return Exported(path, format, size, difference, metadata)


def read_exported(path: str | Path) -> dict[str, Any]:
    """Read the metadata of a file that `export_encoder` wrote.

    Returns:
        "spec" (`EncoderSpec.to_json`), "input" and "output" (shape, axes, and a description in
        words), "unscene" (the version), "format" (of this record).

    Raises:
        UnsceneError: the file is missing or was not written by `export_encoder`.
    """
    path = Path(path)
    if not path.is_file():
        raise UnsceneError(f"{path}: does not exist; write it: unscene export ENCODER --out {path}")
    text = None
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as content:
                names = [name for name in content.namelist() if name.endswith(f"/{_KEY}.json")]
                text = content.read(names[0]).decode() if names else None
        elif path.suffix == SUFFIXES["onnx"]:
            onnx = import_extra("onnx", "export", f"{path}: reading ONNX")
            model = onnx.load(path, load_external_data=False)
            text = {entry.key: entry.value for entry in model.metadata_props}.get(_KEY)
    except OSError as error:
        raise UnsceneError(f"{path}: cannot be read ({error.strerror})") from error
    except UnsceneError:
        raise
    except Exception as error:  # protobuf's own, of a damaged file
        raise UnsceneError(f"{path}: is no readable ONNX file; export it again") from error
    if text is None:
        raise UnsceneError(f"{path}: was not written by `unscene export`: it has no record")
    return json.loads(text)


def _choose_format(path: Path, format: Format | None) -> Format:
    if format is not None and format not in get_args(Format):
        raise UnsceneError(f"format {format!r}: must be one of {', '.join(get_args(Format))}")
    by_suffix = {suffix: name for name, suffix in SUFFIXES.items()}
    found = by_suffix.get(path.suffix)
    if found is None or format not in (None, found):
        wanted = SUFFIXES[format] if format else " or ".join(by_suffix)
        raise UnsceneError(f"{path}: the name of an exported encoder must end in {wanted}")
    return found


def _check_network(encoder: VideoEncoder) -> None:
    """Raise UnsceneError for an encoder that is not one network."""
    name = encoder.spec.name
    if isinstance(encoder, TwoStream):
        raise UnsceneError(
            f"encoder {name}: its motion half computes flow of pixels, which is no operator of a "
            "network; export its two encoders into two files and join their features"
        )
    if next(encoder.parameters(), None) is None:
        known = ", ".join(known_descriptors())
        raise UnsceneError(
            f"encoder {name}: is no network: it has no weights, and computes with what is no "
            f"operator of one (so do {known}). Export an encoder with weights, such as "
            f"{known_shipped()[0]}, or save the features of `unscene.embed`"
        )


def _flow_shape(encoder: VideoEncoder) -> tuple[int, ...]:
    """(P, G, G, 2) of the flow that the network takes."""
    grid = encoder.flow_grid or encoder.spec.size
    return encoder.spec.frames - 1, grid, grid, 2


def _describe(encoder: VideoEncoder) -> dict[str, Any]:
    """Make the metadata of a file."""
    spec = encoder.spec
    if encoder.input == "rgb":
        source: dict[str, Any] = {
            "name": "clip",
            "shape": ["batch", spec.channels, spec.frames, spec.size, spec.size],
            "axes": "batch, channel, frame, height, width",
            "text": (
                "RGB in 0..1, less mean and divided by std of the spec; frames of the video at "
                f"stride {spec.stride}"
            ),
        }
    else:
        vectors = ", here it was read from the codec's motion vectors"
        vectors = vectors if encoder.input == "vectors" else ""
        source = {
            "name": "flow",
            "shape": ["batch", *_flow_shape(encoder)],
            "axes": "batch, pair of frames, row, column, (x, y)",
            "text": (
                "this is the network over flow, not over pixels: flow between consecutive frames "
                f"of a clip ({spec.frames} frames of the video at stride {spec.stride}, "
                f"{spec.size} x {spec.size} pixels), with the camera's motion taken out, pointing "
                "back, in units of half a frame, averaged over the cells of the grid; "
                "unscene.encoders.flow_input.read_flow computes it of pixels" + vectors
            ),
        }
    return {
        "format": _FORMAT,
        "unscene": __version__,
        "spec": spec.to_json(),
        "reads": encoder.input,
        "input": source | {"dtype": "float32"},
        "output": {"name": "feature", "shape": ["batch", encoder.dim], "dtype": "float32"},
    }


def _make_clips(shape: tuple[int, ...], scale: float) -> Callable[[int], Tensor]:
    def draw(batch: int) -> Tensor:
        generator = torch.Generator().manual_seed(batch)
        return torch.randn((batch, *shape), generator=generator) * scale

    return draw


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports libraries that it would know and that nobody needs."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _trace(model: nn.Module, example: Tensor, name: str) -> torch.export.ExportedProgram:
    model(example[:1])  # what models from outside find out with their first clip, they know then
    try:
        axes = {0: torch.export.Dim("batch", min=1)}
        return torch.export.export(model, (example,), dynamic_shapes=(axes,))
    except Exception as error:  # whatever is in the code of a model from outside
        first = str(error).strip().partition("\n")[0]
        raise UnsceneError(
            f"encoder {name}: torch.export cannot trace it ({type(error).__name__}: {first}); "
            "export it with its own library"
        ) from error


def _write_torch(program: torch.export.ExportedProgram, path: Path, metadata: str) -> None:
    torch.export.save(program, path, extra_files={f"{_KEY}.json": metadata})


def _write_onnx(program: torch.export.ExportedProgram, path: Path, metadata: str) -> None:
    tensors = program.state_dict.values()
    size = sum(one.numel() * one.element_size() for one in tensors)
    if size > _LARGEST:
        raise UnsceneError(
            f"{path}: {size:,} bytes of weights do not fit into an ONNX file: write --out NAME.pt2"
        )
    described = json.loads(metadata)
    made = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        input_names=[described["input"]["name"]],
        output_names=[described["output"]["name"]],
    )
    assert made is not None
    made.model.metadata_props[_KEY] = metadata
    made.model.producer_name, made.model.producer_version = "unscene", __version__
    made.save(path)


def _load_torch(path: Path) -> Callable[[Tensor], Tensor]:
    return torch.export.load(path).module()


def _load_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    runtime = import_extra("onnxruntime", "export", f"{path}: checking ONNX")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda clip: torch.from_numpy(session.run(None, {name: clip.numpy()})[0])


def _compare(
    model: nn.Module, exported: Callable[[Tensor], Tensor], draw: Callable[[int], Tensor]
) -> float:
    """Measure the largest difference of a feature, as a share of its length."""
    largest = 0.0
    for batch in _BATCHES:
        clips = draw(batch)
        wanted, found = model(clips), exported(clips)
        if found.shape != wanted.shape:
            return float("inf")
        lengths = wanted.norm(dim=1).clamp(min=1e-6)
        share = float(((found - wanted).norm(dim=1) / lengths).max())
        largest = max(largest, share) if share == share else float("inf")
    return largest
