"""From a line of text to an encoder."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foreign_parts import clips, tiny
from unscene.encoders import create_encoder, load_encoder, save_encoder
from unscene.encoders.foreign import adapt
from unscene.encoders.resolving import names_new_encoder, resolve_encoder
from unscene.errors import UnsceneError
from unscene.evaluate.embed import embed


def test_resolving_pretrained_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("videomae")
    model.save_pretrained(tmp_path / "mae")
    settings = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}
    (tmp_path / "mae" / "preprocessor_config.json").write_text(json.dumps(settings))
    resolved = resolve_encoder(f"hf:{tmp_path / 'mae'}")
    with torch.no_grad():
        assert torch.allclose(resolved.encoder(clips()), adapt(model)(clips()), atol=1e-6)
    assert (resolved.name, resolved.trained) == ("mae", None)
    assert resolved.encoder.spec.mean == pytest.approx((0.1, 0.2, 0.3))
    with pytest.raises(UnsceneError, match=r"hf:.*nothing"):
        resolve_encoder(f"hf:{tmp_path / 'nothing'}")

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("transformers"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    real = builtins.__import__
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnsceneError, match="pip install transformers"):
        resolve_encoder("hf:anything")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_resolving_pretrained_models_saved_in_half(tmp_path: Path, dtype: torch.dtype) -> None:
    tiny("videomae").to(dtype).save_pretrained(tmp_path)
    encoder = resolve_encoder(f"hf:{tmp_path}").encoder
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    with torch.no_grad():
        features = encoder(clips())
    assert features.dtype == torch.float32
    assert features.isfinite().all()


def test_resolving_one_of_ours(tmp_path: Path) -> None:
    first, second = (resolve_encoder("r3d-narrow", seed=0) for _ in range(2))
    assert (first.name, first.trained) == ("r3d-narrow", False)
    assert "randomly initialized" in first.note
    for one, two in zip(first.encoder.parameters(), second.encoder.parameters(), strict=True):
        assert torch.equal(one, two)
    save_encoder(first.encoder, tmp_path / "saved")
    resolved = resolve_encoder(str(tmp_path / "saved"))
    assert (resolved.name, resolved.trained) == ("saved", None)  # its weights may be anyone's
    assert resolve_encoder(resolved.encoder).trained is None
    first.encoder.spec.trained_on.update({"method": "dsm", "steps": 7, "seed": 1})
    save_encoder(first.encoder, tmp_path / "saved")
    resolved = resolve_encoder(f"mine={tmp_path / 'saved'}")
    assert (resolved.name, resolved.trained) == ("mine", True)
    assert resolve_encoder(resolved.encoder).trained is True
    assert "dsm, 7 steps, seed 1" in resolved.note
    clip = clips(size=36)
    expected = load_encoder(tmp_path / "saved").eval()(clip)
    assert torch.equal(resolved.encoder(clip), expected)


def test_resolving_a_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mymodels.py").write_text(
        "from torch import nn\n"
        "def plain():\n    return lambda x: x.mean(dim=(2, 3, 4))\n"
        "def chosen():\n    return plain(), {'frames': 3, 'size': 20, 'name': 'mine'}\n"
        "def wrong():\n    return 1, 2, 3\n"
        "def misspelled():\n    return plain(), {'frame': 3}\n"
        "def sized(width):\n    return plain()\n"
        "def broken():\n    raise RuntimeError('weights.pt is not here')\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    resolved = resolve_encoder("mymodels:plain")
    assert not resolved.encoder.training
    assert sys.path == before
    assert (resolved.name, resolved.encoder.spec.frames) == ("plain", 16)
    assert resolved.trained is None
    spec = resolve_encoder("mymodels:chosen").encoder.spec
    assert (spec.frames, spec.size, spec.name) == (3, 20, "mine")
    for function, message in (
        ("wrong", r"'mymodels:wrong': a tuple must be \(model, options"),
        ("misspelled", r"option 'frame'; did you mean frames\?"),
        ("sized", r"'mymodels:sized': needs arguments \(.*'width'\); write a function without"),
        ("broken", r"'mymodels:broken': the function failed: RuntimeError: weights.pt is not here"),
        ("nn", r"'mymodels:nn': is not a function; write a function without arguments"),
    ):
        with pytest.raises(UnsceneError, match=message):
            resolve_encoder(f"mymodels:{function}")
    for text in ("mymodels:nothing", "nosuchmodule:factory", ":x"):
        with pytest.raises(UnsceneError, match=r"package\.module:factory"):
            resolve_encoder(text)


def test_a_model_in_memory_is_adapted() -> None:
    model = torch.nn.Conv3d(3, 8, 3)
    resolved = resolve_encoder(model)
    assert resolved.note == "Conv3d passed in from Python"
    assert resolved.trained is None
    assert load_encoder(model).dim == 8
    encoder = load_encoder((model, {"frames": 4, "size": 20, "name": "small"}))
    assert (encoder.spec.name, encoder.spec.frames) == ("small", 4)
    clips_BTHWC = np.zeros((2, 4, 24, 24, 3), np.uint8)
    assert embed(clips_BTHWC, (model, {"frames": 4, "size": 20})).values.shape == (2, 8)
    for nonsense in (3, None, [model]):
        with pytest.raises(UnsceneError, match="is not a model"):
            load_encoder(nonsense)
    with pytest.raises(UnsceneError, match=r"only encoders of unscene .* can be saved"):
        resolve_encoder(model, to_train=True)


@pytest.mark.parametrize("text", ["r3d180", "no/such/folder"])
def test_resolving_nothing(text: str) -> None:
    words = r"no such file or folder, and no encoder is called.*r3d18.*hf:FOLDER"
    with pytest.raises(UnsceneError, match=words):
        resolve_encoder(text)
    for name in (f"{text}.pth", f"mine={text}.ckpt", f"{text}.safetensors"):
        with pytest.raises(UnsceneError, match=r"': no such file$"):
            resolve_encoder(name)


def test_a_name_means_the_architecture_though_a_folder_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    saved = resolve_encoder("r2d-narrow", seed=5).encoder
    save_encoder(saved, tmp_path / "r3d-narrow")
    assert load_encoder("r3d-narrow").spec.name == "r3d-narrow"
    assert "write ./r3d-narrow for the saved encoder" in capsys.readouterr().err
    for text in ("./r3d-narrow", "mine=./r3d-narrow", str(tmp_path / "r3d-narrow")):
        resolved = resolve_encoder(text)
        assert (resolved.encoder.spec.name, resolved.trained) == ("r2d-narrow", None)
        assert resolved.path is not None
    assert load_encoder(Path("r3d-narrow")).spec.name == "r2d-narrow"
    assert [names_new_encoder(t) for t in ("r3d-narrow", "a=r3d18", "./r3d-narrow")] == [
        *(True, True, False)
    ]


def test_an_encoder_to_train() -> None:
    """Without a seed, weights are drawn as `create_encoder` draws them."""
    torch.manual_seed(3)
    new = resolve_encoder("r3d-narrow", seed=None, options={"width": 4}, to_train=True).encoder
    after = torch.rand(1)
    torch.manual_seed(3)
    expected = create_encoder("r3d-narrow", width=4)
    assert new.training
    assert torch.equal(after, torch.rand(1))
    for one, two in zip(new.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, two)
    torch.manual_seed(0)
    expected = create_encoder("r3d-narrow")
    given = resolve_encoder("r3d-narrow", seed=0)
    for one, two in zip(given.encoder.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, two)
    assert resolve_encoder(given) is given
    assert resolve_encoder(expected).encoder is expected
    assert expected.training


def test_what_cannot_be_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "othermodels.py").write_text(
        "def mean():\n    return lambda x: x.mean(dim=(2, 3, 4))\n"
        "def ours():\n"
        "    from unscene.encoders import create_encoder\n"
        "    return create_encoder('r3d-narrow', width=4)\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsceneError, match="othermodels:mean' has no weights to train"):
        resolve_encoder("othermodels:mean", to_train=True)
    assert resolve_encoder("othermodels:ours", to_train=True).encoder.training
    with pytest.raises(UnsceneError, match="has its own"):
        resolve_encoder("othermodels:ours", options={"width": 8})
