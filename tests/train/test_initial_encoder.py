"""A training that goes on from a saved encoder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from interrupted import at, checkpoint, interrupt, silent
from unscene.cli.main import main
from unscene.config import read_config
from unscene.encoders import create_encoder, load_encoder, save_encoder
from unscene.encoders.checkpoints import SPEC
from unscene.encoders.resolving import resolve_encoder
from unscene.errors import UnsceneError
from unscene.methods.registry import create_method
from unscene.results.rows import build_rows
from unscene.results.statistics import Score
from unscene.train.config import build, flat
from unscene.train.pretrain import pretrain

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def first(tiny: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that others go on from."""
    out = tmp_path_factory.mktemp("first") / "run"
    pretrain(tiny(out, max_steps=2), report=silent)
    return out


def further(tiny: Make, out: Path, first: Path, **settings: Any) -> Any:
    return build(flat(tiny(out, **settings)) | {"encoder": str(first), "encoder_options": {}})


def test_it_begins_with_the_weights(tiny: Make, tmp_path: Path, first: Path) -> None:
    """A step too small to see leaves them, in the momentum encoder as well."""
    pretrain(further(tiny, tmp_path / "run", first, max_steps=1, lr=1e-12), report=silent)
    before, after = load_encoder(first).state_dict(), load_encoder(tmp_path / "run").state_dict()
    weights = [name for name in before if not name.endswith(("mean", "var", "tracked"))]
    assert len(weights) > 5
    for name in weights:
        torch.testing.assert_close(after[name], before[name], atol=1e-6, rtol=0)
    state = checkpoint(tmp_path / "run")["state_dict"]
    name = next(n for n in state if "momentum_encoder.network" in n and n.endswith(weights[0]))
    torch.testing.assert_close(state[name].contiguous(), before[weights[0]], atol=1e-6, rtol=0)


def test_the_history_is_kept(tiny: Make, tmp_path: Path, first: Path) -> None:
    out = tmp_path / "run"
    pretrain(further(tiny, out, first, max_steps=3), report=silent)
    was, now = load_encoder(first).spec, load_encoder(out).spec
    assert now.trained_on["steps"] == 3
    assert now.trained_on["began"] == {"encoder": str(first)} | was.trained_on
    assert now.options == was.options
    assert f"initialized from {first}" in resolve_encoder(str(out)).note
    found = {"retrieval_r1": Score(0.5, (0.4, 0.6), 9)}
    about = {"data": "d", "split": "s", "label": "l", "fingerprint": "f", "views": 1}
    (row,) = build_rows(now, found, **about)  # type: ignore[arg-type]
    before = row.config.pop("began")
    assert {k: before.pop(k) for k in ("method", "steps", "seed")} == {
        **{"method": "dsm", "steps": 2, "seed": 0}
    }
    assert before == was.trained_on["settings"]
    assert row.config == now.trained_on["settings"]
    (row,) = build_rows(was, found, **about)  # type: ignore[arg-type]
    assert "began" not in row.config


def test_it_resumes_where_the_first_is_gone(tiny: Make, tmp_path: Path, first: Path) -> None:
    gone = tmp_path / "gone"
    shutil.copytree(first, gone)
    runs = {name: further(tiny, tmp_path / name, gone, max_steps=4) for name in ("one", "two")}
    pretrain(runs["one"], report=silent)
    assert not pretrain(runs["two"], report=at(2, interrupt)).finished
    shutil.rmtree(gone)
    again = build(read_config(tmp_path / "two" / "config.yaml"))
    assert pretrain(again, resume=True, report=silent).finished
    one, two = (load_encoder(tmp_path / name) for name in ("one", "two"))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name
    assert two.spec.trained_on["began"] == one.spec.trained_on["began"]


def test_views_are_normalised_as_the_encoder_is(tiny: Make, tmp_path: Path) -> None:
    encoder = create_encoder("r3d-narrow", width=4)
    encoder.spec = replace(encoder.spec, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
    save_encoder(encoder, tmp_path / "first")
    config = further(tiny, tmp_path / "run", tmp_path / "first")
    method = create_method(config.method, encoder, config.settings)
    assert (method.basic.mean, method.basic.std) == (encoder.spec.mean, encoder.spec.std)
    two = replace(config, out=str(tmp_path / "two"), max_steps=3)
    pretrain(replace(two, out=str(tmp_path / "one")), report=silent)
    assert not pretrain(two, report=at(1, interrupt)).finished
    assert pretrain(two, resume=True, report=silent).finished
    one, other = (load_encoder(tmp_path / name) for name in ("one", "two"))
    for spec in (one.spec, other.spec):
        assert (spec.mean, spec.std) == (encoder.spec.mean, encoder.spec.std)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.mark.parametrize("place", ["alone", "beside the encoder, of an earlier version"])
def test_a_checkpoint_is_an_encoder_too(place: str, tmp_path: Path, first: Path) -> None:
    shutil.copytree(first, tmp_path / "run")
    path = tmp_path / "run" / "last.ckpt"
    if place == "alone":
        path = path.rename(tmp_path / "mine.ckpt")
    else:
        content = checkpoint(first)
        del content[SPEC]
        torch.save(content, path)
    wanted, found = load_encoder(first), resolve_encoder(str(path))
    assert found.trained is True
    assert "seconds" in (history := dict(found.encoder.spec.trained_on))
    assert history | {"seconds": 0} == wanted.spec.trained_on | {"seconds": 0}
    assert found.encoder.spec.options == wanted.spec.options
    for name, tensor in wanted.state_dict().items():
        assert torch.equal(tensor, found.encoder.state_dict()[name]), name


def test_the_command(tiny: Make, tmp_path: Path, first: Path) -> None:
    config = flat(tiny(tmp_path / "run", max_steps=1))
    flags = ["--method", config["method"], "--max_steps", "1", "--batch_size", "4"]
    flags += ["--frames", "4", "--stride", "1", "--size", "32", "--workers", "0", "--queue", "8"]
    command = ["pretrain", config["data"], "--encoder", str(first), "--out", str(tmp_path / "run")]
    assert main([*command, *flags]) == 0
    record = json.loads((tmp_path / "run" / "encoder.json").read_text())
    assert record["trained_on"]["began"]["encoder"] == str(first)


def test_a_folder_may_be_called_as_an_encoder_is(
    tiny: Make, tmp_path: Path, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(first, tmp_path / "r3d18")
    monkeypatch.chdir(tmp_path)
    flags = [
        "--out",
        "run",
        "--method",
        "dsm",
        "--max_steps",
        "1",
        "--batch_size",
        "4",
        "--workers",
        "0",
    ]
    flags += ["--frames", "4", "--stride", "1", "--size", "32", "--queue", "8"]
    assert main(["pretrain", tiny(tmp_path).data, "--encoder", "./r3d18", *flags]) == 0
    assert load_encoder("run").spec.name == "r3d-narrow"


def test_it_is_not_written_over(tiny: Make, tmp_path: Path, first: Path) -> None:
    shutil.copytree(first, tmp_path / "a")
    (tmp_path / "a" / "last.ckpt").unlink()
    for name in ("a", "a/encoder.safetensors"):
        config = further(tiny, tmp_path / "a", tmp_path / name, max_steps=1)
        with pytest.raises(UnsceneError, match="already holds an encoder"):
            pretrain(config, report=silent)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": "~nobody-of-that-name/run"}, "no such file or folder"),
        ({"encoder": "r3d-narow"}, "no such file or folder, and no encoder is called"),
        ({"encoder_options": {"width": 4}}, "has its own. Where they come from --config"),
    ],
)
def test_what_cannot_be_begun_with(
    changes: dict[str, Any], words: str, tiny: Make, tmp_path: Path, first: Path
) -> None:
    config = flat(further(tiny, tmp_path / "run", first, max_steps=1))
    with pytest.raises(UnsceneError, match=words):
        pretrain(build(config | changes), report=silent)


def test_flow_is_no_clip(tiny: Make, tmp_path: Path) -> None:
    encoder = create_encoder("r3d10", in_channels=2)
    save_encoder(encoder, tmp_path / "flow")
    with pytest.raises(UnsceneError, match="takes 2 channels; videos have 3"):
        pretrain(further(tiny, tmp_path / "run", tmp_path / "flow"), report=silent)
    with pytest.raises(UnsceneError, match="takes 2 channels; views have 3"):
        create_method("moco", encoder, tiny(tmp_path).settings)
