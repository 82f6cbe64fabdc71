"""From a line of text to an encoder."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_parts import clips, tiny

from unscene.encoders import load_encoder, save_encoder
from unscene.encoders.foreign import adapt
from unscene.encoders.opening import open_encoder
from unscene.errors import UnsceneError


def test_opening_pretrained_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("videomae")
    model.save_pretrained(tmp_path / "mae")
    settings = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}
    (tmp_path / "mae" / "preprocessor_config.json").write_text(json.dumps(settings))
    opened = open_encoder(f"hf:{tmp_path / 'mae'}")
    with torch.no_grad():
        assert torch.allclose(opened.encoder(clips()), adapt(model)(clips()), atol=1e-6)
    assert (opened.name, opened.trained) == ("mae", True)
    assert opened.encoder.spec.mean == pytest.approx((0.1, 0.2, 0.3))
    with pytest.raises(UnsceneError, match=r"hf:.*nothing"):
        open_encoder(f"hf:{tmp_path / 'nothing'}")

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("transformers"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    real = builtins.__import__
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnsceneError, match="pip install transformers"):
        open_encoder("hf:anything")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_opening_pretrained_models_saved_in_half(tmp_path: Path, dtype: torch.dtype) -> None:
    tiny("videomae").to(dtype).save_pretrained(tmp_path)
    encoder = open_encoder(f"hf:{tmp_path}").encoder
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    with torch.no_grad():
        features = encoder(clips())
    assert features.dtype == torch.float32
    assert features.isfinite().all()


def test_opening_one_of_ours(tmp_path: Path) -> None:
    first, second = (open_encoder("r3d-narrow", seed=0) for _ in range(2))
    assert (first.name, first.trained) == ("r3d-narrow", False)
    assert "randomly initialised" in first.note
    for one, two in zip(first.encoder.parameters(), second.encoder.parameters(), strict=True):
        assert torch.equal(one, two)
    save_encoder(first.encoder, tmp_path / "saved")
    opened = open_encoder(str(tmp_path / "saved"))
    assert (opened.name, opened.trained) == ("saved", False)
    first.encoder.spec.trained_on.update({"method": "dsm", "steps": 7, "seed": 1})
    save_encoder(first.encoder, tmp_path / "saved")
    opened = open_encoder(f"mine={tmp_path / 'saved'}")
    assert (opened.name, opened.trained) == ("mine", True)
    assert "dsm, 7 steps, seed 1" in opened.note
    clip = clips(size=36)
    expected = load_encoder(tmp_path / "saved").eval()(clip)
    assert torch.equal(opened.encoder(clip), expected)


def test_opening_a_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mymodels.py").write_text(
        "from torch import nn\n"
        "def plain():\n    return lambda x: x.mean(dim=(2, 3, 4))\n"
        "def chosen():\n    return plain(), {'frames': 3, 'size': 20, 'name': 'mine'}\n"
        "def wrong():\n    return 1, 2, 3\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    opened = open_encoder("mymodels:plain")
    assert sys.path == before
    assert (opened.name, opened.encoder.spec.frames) == ("plain", 16)
    spec = open_encoder("mymodels:chosen").encoder.spec
    assert (spec.frames, spec.size, spec.name) == (3, 20, "mine")
    with pytest.raises(UnsceneError, match="returned a tuple"):
        open_encoder("mymodels:wrong")
    for text in ("mymodels:nothing", "nosuchmodule:factory", ":x"):
        with pytest.raises(UnsceneError, match=r"package\.module:factory"):
            open_encoder(text)


@pytest.mark.parametrize("text", ["r3d180", "no/such/folder"])
def test_opening_nothing(text: str) -> None:
    with pytest.raises(UnsceneError, match=r"no such file or folder.*r3d18.*hf:FOLDER"):
        open_encoder(text)
