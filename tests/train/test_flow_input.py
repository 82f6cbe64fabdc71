"""Encoders of flow and of motion vectors are trained by the same methods as encoders of RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unscene.cli.main import main
from unscene.data.listing import open_catalog
from unscene.data.loading import Batch
from unscene.encoders import create_encoder, load_encoder, resolve_encoder, save_encoder
from unscene.errors import UnsceneError
from unscene.methods.registry import create_method, resolve
from unscene.synthetic.generate import ScenesReport
from unscene.train.config import build, flat
from unscene.video.planes import PlaneReader

_METHODS = ("moco", "dsm", "dsm-triplet", "hdc", "unscene")
_SMALL = {"size": 32, "frames": 6, "stride": 1, "shift_range": (1, 3), "batch_size": 4}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["moco", "dsm-triplet"])
@pytest.mark.parametrize("reads", ["flow", "vectors"])
def test_methods_train_encoders_of_motion(
    method: str, reads: str, tmp_path: Path, moving: ScenesReport
) -> None:
    out = tmp_path / "run"
    line = ["pretrain", str(moving.train), "--out", str(out), "--method", method]
    line += ["--encoder", "r3d-narrow", "--encoder_options", '{"width": 8}', "--input", reads]
    line += ["--size", "32", "--frames", "6", "--stride", "2", "--batch_size", "4"]
    line += ["--max_steps", "2", "--workers", "0", "--accelerator", "cpu"]
    assert main(line) == 0
    encoder = load_encoder(out)
    assert encoder.input == reads
    assert (encoder.spec.frames, encoder.spec.trained_on["method"]) == (6, method)
    line = ["evaluate", "retrieve", str(moving.train), "--encoder", str(out), "--clips", "1"]
    assert main([*line, "--workers", "0", "--label", "motion"]) == 0


def settings_of(method: str, **changes: object) -> object:
    wanted = _SMALL | ({"side_encoders": "narrow"} if method == "unscene" else {}) | changes
    names = type(resolve(method)).names()
    return resolve(method, overrides={k: v for k, v in wanted.items() if k in names}).fit(8)


@pytest.mark.parametrize("method", _METHODS)
def test_views_of_vectors_are_made_without_pixels_and_teach(
    method: str, moving: ScenesReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a frame was converted")

    monkeypatch.setattr(PlaneReader, "__call__", refuse)
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=8, input="vectors")
    made = create_method(method, encoder, settings_of(method))
    catalog = open_catalog(str(moving.train))
    dataset = made.dataset(catalog.videos)
    batch = Batch.of([dataset[0, index] for index in range(4)])
    views = made.views(batch, torch.Generator().manual_seed(0))
    assert views["anchor"].shape == (4, 2, 5, 32, 32)
    assert views["anchor"].abs().max() > 0.01
    again = made.views(batch, torch.Generator().manual_seed(0))
    assert torch.equal(views["anchor"], again["anchor"])
    if method == "dsm-triplet":
        assert not torch.allclose(views["negative"], views["positive"])
    result = made(batch, torch.Generator().manual_seed(0))
    result.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    assert any(p.grad.abs().sum() > 0 for p in encoder.parameters() if p.grad is not None)


def test_what_needs_pixels_says_so(moving: ScenesReport) -> None:
    encoder = create_encoder("r3d-narrow", width=8, input="vectors")
    with pytest.raises(UnsceneError, match=r"this method needs pixels.*--input flow"):
        create_method("cmd", encoder, settings_of("cmd"))
    with pytest.raises(UnsceneError, match="--motion_from difference needs some"):
        create_method("unscene", encoder, settings_of("unscene", motion_from="difference"))
    method = create_method("moco", encoder, settings_of("moco"))
    (video, *_) = open_catalog(str(moving.train)).videos
    assert video.info is not None
    assert method.refuses(video) is None
    assert method.learns_from_vectors()(video)


def test_the_flag_is_the_option_of_a_new_encoder_and_the_source_of_a_saved_one(
    tmp_path: Path,
) -> None:
    new = resolve_encoder("r3d-narrow", reads="vectors", options={"width": 8}).encoder
    assert new.spec.options["input"] == "vectors"
    assert new.spec.options["width"] == 8
    save_encoder(new, tmp_path / "saved")
    saved = resolve_encoder(str(tmp_path / "saved"), reads="flow").encoder
    assert (saved.input, saved.spec.options["input"]) == ("flow", "flow")
    assert saved.spec.frames == new.spec.frames
    flow = torch.from_numpy(np.random.default_rng(0).normal(0, 0.05, (1, 2, 8, 36, 36))).float()
    with torch.no_grad():
        assert torch.equal(saved(flow), new(flow))  # the weights are the same
    for encoder, reads in (("r3d-narrow", "flow"), (str(tmp_path / "saved"), "rgb")):
        saved = load_encoder(encoder)
        with pytest.raises(UnsceneError, match=f"--input {reads}: it reads"):
            resolve_encoder(saved, reads=reads)  # type: ignore[arg-type]
    with pytest.raises(UnsceneError, match="it reads rgb; hof-vectors reads vectors"):
        load_encoder("hof", reads="vectors")


def test_a_configuration_keeps_the_input(tmp_path: Path) -> None:
    config = build({"data": "videos/", "method": "moco", "input": "vectors"})
    assert config.input == "vectors"
    assert build(flat(config)).input == "vectors"
    assert build({"data": "videos/", "method": "moco"}).input is None
    with pytest.raises(UnsceneError, match="input 'depth': must be one of rgb, flow, vectors"):
        build({"data": "videos/", "method": "moco", "input": "depth"})
