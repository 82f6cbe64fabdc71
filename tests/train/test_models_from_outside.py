"""Training goes on from models of other libraries, and what it saves is an encoder again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from foreign_parts import SIZE, T, clips
from foreign_parts import tiny as tiny_transformer
from interrupted import at, interrupt, silent
from unscene.cli.main import main
from unscene.encoders import load_encoder, save_encoder
from unscene.encoders.foreign import ForeignEncoder
from unscene.encoders.resolving import resolve_encoder
from unscene.encoders.untrained import make_untrained_twin
from unscene.errors import UnsceneError
from unscene.train.config import build, flat
from unscene.train.pretrain import pretrain

Make = Callable[..., Any]

MODELS = """
import torch
from torch import nn

def plain():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv3d(3, 8, 3, stride=2), nn.BatchNorm3d(8), nn.ReLU())
    body.fc = nn.Identity()
    return nn.Sequential(body, nn.AdaptiveAvgPool3d(1), nn.Flatten()), {
        "frames": 4, "size": 32, "stride": 1, "layer": "0", "name": "mine"
    }

def images():
    torch.manual_seed(0)
    return nn.Conv2d(3, 8, 5, stride=4), {"axes": "BCHW", "frames": 4, "size": 32}

def weightless():
    return nn.AdaptiveAvgPool3d(1), {"frames": 4, "size": 32}
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a model of transformers, `mae`, and the module outsidemodels."""
    tiny_transformer("videomae").save_pretrained(tmp_path / "mae")
    (tmp_path / "outsidemodels.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def further(tiny: Make, out: str, encoder: str, **settings: Any) -> Any:
    small = {"frames": T, "size": SIZE, "stride": 1, "max_steps": 3} | settings
    config = flat(tiny(Path(out))) | {"encoder": encoder, "encoder_options": {}} | small
    return build(config)


# What `--encoder` takes before and after the training.
FORMS = {
    "hf:mae": "run",
    "outsidemodels:plain": "outsidemodels:plain@run",
    "outsidemodels:images": "outsidemodels:images@run",
}


@pytest.mark.parametrize("text", FORMS)
def test_it_is_trained_saved_resumed_and_evaluated(text: str, tiny: Make, models: Path) -> None:
    outcome = pretrain(further(tiny, "run", text), report=silent)
    named = Path.cwd() / "run"
    expected = FORMS[text].replace("run", str(named)) if "@" in FORMS[text] else str(named)
    assert all(expected in command for command in outcome.commands)
    before, after = load_encoder(text), resolve_encoder(FORMS[text])
    assert isinstance(after.encoder, ForeignEncoder)
    assert after.trained is True
    assert "trained by dsm, 3 steps" in after.note
    spec = after.encoder.spec
    assert (spec.name, spec.frames, spec.size) == (before.spec.name, T, SIZE)
    assert not after.encoder.training
    with torch.inference_mode():
        assert not torch.allclose(before(clips()), after.encoder(clips()))
    assert not pretrain(further(tiny, "other", text), report=at(1, interrupt)).finished
    assert pretrain(further(tiny, "other", text), resume=True, report=silent).finished
    other = load_encoder(FORMS[text].replace("run", "other"))
    for name, tensor in after.encoder.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    pretrain(further(tiny, "third", FORMS[text]), report=silent)  # again, from the saved one
    third = resolve_encoder(FORMS[text].replace("run", "third"))
    assert "initialized from" in third.note
    twin = make_untrained_twin(third.encoder)
    with torch.inference_mode():
        assert twin(clips()).isfinite().all()


def test_a_model_of_transformers_needs_its_folder_no_longer(
    tiny: Make, models: Path, moving: Any
) -> None:
    pretrain(further(tiny, "run", "hf:mae"), report=silent)
    (models / "mae").rename(models / "gone")
    encoder = load_encoder("run")
    save_encoder(encoder, "copy")
    with torch.inference_mode():
        assert torch.equal(load_encoder("copy")(clips()), encoder(clips()))
    data = str(moving.train)
    assert main(["evaluate", "retrieve", data, "--encoder", "run", "--workers", "0"]) == 0
    line = ["evaluate", "finetune", data, "--train", data, "--encoder", "run", "--out", "tuned"]
    assert main([*line, "--max_steps", "1", "--workers", "0", "--label", "motion"]) == 0
    assert load_encoder("tuned").spec.trained_on["method"] == "dsm+finetuned"


def test_no_code_is_run_that_a_saved_record_names(tiny: Make, models: Path) -> None:
    pretrain(further(tiny, "run", "outsidemodels:plain", max_steps=1), report=silent)
    with pytest.raises(UnsceneError, match=r"--encoder outsidemodels:plain@FOLDER to run it$"):
        load_encoder("run")
    record = json.loads(Path("run/encoder.json").read_text())
    for made in (
        {"class": "VideoMAEModel", "config": {"model_type": "auto"}},
        {"class": "pipeline", "config": {"model_type": "videomae"}},
        {"class": "VivitModel", "config": {"model_type": "videomae"}},
        {"config": {}},
    ):
        record["options"] = {"transformers": made}
        Path("run/encoder.json").write_text(json.dumps(record))
        with pytest.raises(UnsceneError, match="not the record of a model of transformers"):
            load_encoder("run")


@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        ("hf:mae", {"size": 48}, "does not take clips .*2x3x4x48x48.*--frames 4 --size 32 are"),
        ("outsidemodels:weightless", {}, "has no weights to train"),
        ("outsidemodels:plain@nowhere", {}, r"nowhere.encoder\.json: no such file"),
    ],
)
def test_what_cannot_be_trained_is_said_before_the_videos_are_read(
    text: str, settings: dict[str, int], words: str, tiny: Make, models: Path
) -> None:
    config = further(tiny, "run", text, data="no/such/videos", **settings)
    with pytest.raises(UnsceneError, match=words):
        pretrain(config, report=silent)
    assert not Path("run").exists()


def test_weights_without_influence_are_frozen(models: Path) -> None:
    encoder = resolve_encoder("hf:mae", to_train=True).encoder
    assert isinstance(encoder, ForeignEncoder)
    encoder.prepare_training(T, SIZE)
    frozen = {name for name, p in encoder.named_parameters() if not p.requires_grad}
    assert frozen == {"model.classifier.weight", "model.classifier.bias"}
    assert encoder.training
    assert all(parameter.grad is None for parameter in encoder.parameters())
