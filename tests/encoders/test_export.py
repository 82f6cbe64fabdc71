"""Encoders as files that run without this package, compared with the encoders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from networks import BUILT, built

from foreign_parts import tiny
from unscene.cli.main import main
from unscene.encoders import EncoderSpec, VideoEncoder, create_encoder, known_encoders, load_encoder
from unscene.encoders import export as exporting
from unscene.encoders.export import TOLERANCE, export_encoder, read_exported
from unscene.encoders.flow_input import read_flow
from unscene.errors import UnsceneError

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
Captured = pytest.CaptureFixture[str]


def run_onnx(path: Path, clip: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = (one.name for one in session.get_inputs())
    return torch.from_numpy(session.run(None, {name: clip.numpy()})[0])


def smallest(encoder: VideoEncoder) -> VideoEncoder:
    """The encoder with a spec of the smallest clips that it takes."""
    frames, height, width = encoder.minimum
    size = max(height, width, 32)
    encoder.spec = replace(encoder.spec, frames=max(frames, 4), size=size)
    return encoder


QUICK = ("motion-net", "r3d-narrow")


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        pytest.param(name, suffix, marks=[] if name in QUICK else pytest.mark.slow)
        for suffix, names in ((".onnx", known_encoders()), (".pt2", (*QUICK, *BUILT)))
        for name in dict.fromkeys(names)
    ],
)
def test_every_architecture(name: str, suffix: str, tmp_path: Path) -> None:
    """As ONNX; as a program of torch.export one of each kind."""
    encoder = smallest(built(name) if name in BUILT else create_encoder(name)).eval()
    path = tmp_path / f"{name}{suffix}"
    made = export_encoder(encoder, path)
    assert made.difference <= TOLERANCE
    assert made.bytes == path.stat().st_size
    found = read_exported(path)
    assert found == made.metadata
    assert EncoderSpec.from_json(found["spec"]) == encoder.spec
    shape = (2, *found["input"]["shape"][1:])
    clip = torch.randn(shape, generator=torch.Generator().manual_seed(7)) * 0.1
    with torch.no_grad():
        wanted = encoder(clip if encoder.input == "rgb" else clip.movedim(-1, 1))
        loaded = torch.export.load(path).module() if suffix == ".pt2" else None
        got = run_onnx(path, clip) if loaded is None else loaded(clip)
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


def test_the_encoder_stays_as_it_was(tmp_path: Path) -> None:
    encoder = create_encoder("motion-net").train()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    export_encoder(encoder, tmp_path / "a.pt2")
    assert encoder.training
    assert encoder.flow_grid == 32
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_pixels_to_features_by_the_file_alone(tmp_path: Path) -> None:
    """What docs/find.md says: flow by `read_flow`, averaged over the cells, then the file."""
    encoder = load_encoder("motion")
    export_encoder(encoder, tmp_path / "motion.onnx")
    found = read_exported(tmp_path / "motion.onnx")
    assert "not over pixels" in found["input"]["text"]
    assert found["reads"] == "flow"
    assert found["spec"]["trained_on"]["method"] == "motion"
    clip = torch.rand(1, 3, 25, 160, 160, generator=torch.Generator().manual_seed(0))
    clip = F.avg_pool3d(clip, (1, 9, 9), 1, (0, 4, 4))  # so that DIS finds something
    flow = read_flow(clip, found["spec"]["mean"], found["spec"]["std"])
    cells = flow.unflatten(3, (32, 5)).unflatten(2, (32, 5)).mean(dim=(3, 5))
    assert list(cells.shape) == [1, *found["input"]["shape"][1:]]
    with torch.no_grad():
        wanted = encoder(clip)
    torch.testing.assert_close(run_onnx(tmp_path / "motion.onnx", cells), wanted)


def test_flow_at_the_size_of_the_clip(tmp_path: Path) -> None:
    encoder = create_encoder("r3d-narrow", input="flow")
    made = export_encoder(encoder, tmp_path / "a.onnx")
    assert made.metadata["input"]["shape"] == ["batch", 8, 36, 36, 2]


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_model_from_outside(suffix: str, tmp_path: Path) -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv3d(3, 8, 3, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool3d(1),
        torch.nn.Flatten(), torch.nn.Linear(8, 2),
    )  # fmt: skip
    encoder = load_encoder((model, {"frames": 8, "stride": 2, "size": 48, "name": "mine"}))
    made = export_encoder(encoder, tmp_path / f"mine{suffix}")
    assert made.metadata["output"]["shape"] == ["batch", encoder.dim]
    assert made.metadata["spec"]["name"] == "mine"


@pytest.mark.parametrize(
    "kind",
    [
        "videomae",
        *(pytest.param(k, marks=pytest.mark.slow) for k in ("timesformer", "vivit", "vjepa2")),
    ],
)
def test_models_of_transformers(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    encoder = load_encoder(tiny(kind))
    path = tmp_path / "model.onnx"
    assert export_encoder(encoder, path).difference <= TOLERANCE
    shape = (5, *read_exported(path)["input"]["shape"][1:])  # neither traced nor compared before
    clip = torch.randn(shape, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        torch.testing.assert_close(run_onnx(path, clip), encoder(clip), rtol=1e-3, atol=1e-4)


def test_an_encoder_of_vectors_says_so(tmp_path: Path) -> None:
    made = export_encoder(load_encoder("motion-vectors"), tmp_path / "a.pt2")
    assert made.metadata["reads"] == "vectors"
    assert "the codec's motion vectors" in made.metadata["input"]["text"]


def test_a_model_that_cannot_be_traced(tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(3))

        def forward(self, clip: torch.Tensor) -> torch.Tensor:
            return self.scale * float(clip.detach().numpy().mean())

    class Mean(Odd):
        def forward(self, clip: torch.Tensor) -> torch.Tensor:
            return super().forward(clip) + torch.zeros(len(clip), 3)

    encoder = load_encoder((Mean(), {"frames": 4, "size": 32, "name": "odd"}))
    with pytest.raises(UnsceneError, match=r"odd: torch.export cannot trace it .*own library"):
        export_encoder(encoder, tmp_path / "odd.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("hof", r"hof: is no network.*such as motion"),
        ("color", "color: is no network"),
        ("two-stream:r3d-narrow,motion", r"two-stream: its motion half.*into two files"),
    ],
)
def test_what_is_no_network_is_refused(encoder: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsceneError, match=message):
        export_encoder(load_encoder(encoder), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_names_formats_and_files_that_are_there(tmp_path: Path) -> None:
    encoder = create_encoder("r3d-narrow")
    with pytest.raises(UnsceneError, match=r"must end in \.onnx or \.pt2"):
        export_encoder(encoder, tmp_path / "a.bin")
    with pytest.raises(UnsceneError, match=r"must end in \.pt2"):
        export_encoder(encoder, tmp_path / "a.onnx", "torch")
    with pytest.raises(UnsceneError, match="must be one of onnx, torch"):
        export_encoder(encoder, tmp_path / "a.onnx", "tflite")  # type: ignore[arg-type]
    (tmp_path / "a.pt2").write_text("mine")
    with pytest.raises(UnsceneError, match="is there already; pass --overwrite"):
        export_encoder(encoder, tmp_path / "a.pt2")
    assert (tmp_path / "a.pt2").read_text() == "mine"
    export_encoder(encoder, tmp_path / "a.pt2", overwrite=True)
    assert read_exported(tmp_path / "a.pt2")["spec"]["name"] == "r3d-narrow"


def test_a_file_that_differs_from_the_encoder_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = exporting._load_torch
    monkeypatch.setattr(exporting, "_load_torch", lambda path: lambda x: load(path)(x) * 1.001)
    with pytest.raises(UnsceneError, match=r"differ from the encoder's by 0\.001 .*--format onnx"):
        export_encoder(create_encoder("r3d-narrow"), tmp_path / "a.pt2")
    monkeypatch.setattr(exporting, "_load_torch", lambda path: lambda x: load(path)(x) * torch.nan)
    with pytest.raises(UnsceneError, match="differ from the encoder's by inf"):
        export_encoder(create_encoder("r3d-narrow"), tmp_path / "a.pt2")
    assert list(tmp_path.iterdir()) == []


def test_weights_beyond_what_onnx_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_LARGEST", 1000)
    with pytest.raises(UnsceneError, match="do not fit into an ONNX file: write --out"):
        export_encoder(create_encoder("r3d-narrow"), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_have_no_record(tmp_path: Path) -> None:
    for name, content in (("a.onnx", b"\x07nothing"), ("a.pt2", b"nothing")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnsceneError, match=r"no readable ONNX file|not written by"):
            read_exported(tmp_path / name)
    with pytest.raises(UnsceneError, match=r"does not exist|cannot be read|not written by"):
        read_exported(tmp_path / "absent.onnx")


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(UnsceneError, match=r"onnxruntime .*pip install 'unscene\[export\]'"):
        export_encoder(create_encoder("r3d-narrow"), tmp_path / "a.onnx")
    export_encoder(create_encoder("r3d-narrow"), tmp_path / "a.pt2")


def test_the_command(tmp_path: Path, capsys: Captured) -> None:
    assert main(["export", "motion", "--out", str(tmp_path / "motion.onnx")]) == 0
    told = capsys.readouterr().out
    assert "motion (motion-net that comes with unscene" in told
    assert "flow (batch, 24, 32, 32, 2), float32" in told
    assert "(0.0001 is allowed)" in told
    model = onnx.load(tmp_path / "motion.onnx")
    onnx.checker.check_model(model)
    record = json.loads({entry.key: entry.value for entry in model.metadata_props}["unscene"])
    assert record["spec"]["frames"] == 25
    assert main(["export", "hof", "--out", str(tmp_path / "hof.onnx")]) == 1
    assert "is no network" in capsys.readouterr().err
    assert main(["export", "motion"]) == 2
