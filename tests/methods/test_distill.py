"""Distill: a frozen encoder of motion teaches another one, alone or beside another method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from method_parts import SMALL, batch, small_encoder

from unscene.cli.main import main
from unscene.encoders import create_encoder, load_encoder, save_encoder
from unscene.errors import UnsceneError
from unscene.methods.distill import Distill
from unscene.methods.registry import create_method, keep_read, resolve
from unscene.synthetic.generate import ScenesReport


def make(**changes: Any) -> Distill:
    settings = resolve("distill", "default", keep_read("distill", SMALL) | changes)
    made = create_method("distill", small_encoder("distill"), settings)
    assert isinstance(made, Distill)
    return made


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A saved motion-net with a history."""
    torch.manual_seed(1)
    encoder = create_encoder("motion-net", width=8)
    encoder.spec = replace(encoder.spec, trained_on={"method": "motion-programs", "steps": 1})
    save_encoder(encoder, tmp_path / "teacher")
    return tmp_path / "teacher"


def step(model: Distill, **options: Any) -> Any:
    return model(batch(**options), torch.Generator().manual_seed(0))


def test_raw_features_are_regressed_with_marss_error(teacher: Path) -> None:
    """L = alpha x mean squared error between the head's prediction and the teacher's features."""
    model = make(teacher=str(teacher), teacher_scale="raw", teacher_weight=50.0).eval()
    data = batch()
    views = model.views(data, torch.Generator().manual_seed(0))
    pixels = views["teacher"] * torch.tensor(model.basic.std).view(3, 1, 1, 1)
    pixels = pixels + torch.tensor(model.basic.mean).view(3, 1, 1, 1)
    with torch.no_grad():
        target = load_encoder(teacher)(pixels)  # its mean is 0 and its deviation 1
        student = model.embedder.head(model.encoder(views["taught"]))
        found = model.loss(data, views)
    assert target.norm() > 0
    assert torch.allclose(found.loss, 50 * F.mse_loss(student, target), rtol=1e-4)


def test_the_teacher_sees_the_frames_crop_and_flip_of_the_student_and_no_jitter() -> None:
    size = load_encoder("hof+mbh").spec.size
    model = make(size=size, augmentation="modern")
    views = model.views(batch(), torch.Generator().manual_seed(0))
    assert views["taught"].shape == views["teacher"].shape == (3, 3, 4, size, size)
    assert not torch.equal(views["taught"], views["teacher"])  # jitter
    plain = make(size=size, augmentation="paper")
    plain.basic = replace(plain.basic, jitter=(0.0,) * 4, gray_p=0.0, blur_p=0.0)
    views = plain.views(batch(), torch.Generator().manual_seed(0))
    assert torch.allclose(views["taught"], views["teacher"], atol=1e-5)


def test_the_teacher_reads_frames_of_the_size_that_is_asked_for(teacher: Path) -> None:
    model = make(teacher=str(teacher), teacher_size=40)
    assert load_encoder(teacher).spec.size != 40
    assert model.views(batch(), torch.Generator().manual_seed(0))["teacher"].shape[-1] == 40
    with pytest.raises(UnsceneError, match="raise --teacher_size 8"):
        make(teacher=str(teacher), teacher_size=8)


def test_the_teacher_stays_as_it_is_and_learns_nothing(teacher: Path) -> None:
    model = make(teacher=str(teacher)).train()
    before = {name: value.clone() for name, value in model.teacher.state_dict().items()}
    assert not model.teacher.training
    assert model.encoder.training
    step(model).loss.backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(p.grad is not None for p in model.embedder.parameters())
    for name, value in model.teacher.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_standardized_targets_have_mean_0_and_variance_1() -> None:
    model = make().train()
    views = model.views(batch(), torch.Generator().manual_seed(0))
    target = model._read_target(views["teacher"])  # the statistics are those of this batch
    assert torch.allclose(target.mean(dim=0), torch.zeros(27), atol=1e-3)
    varies = target.square().mean(dim=0) > 0.5
    assert varies.sum() > 10
    assert torch.allclose(target[:, varies].square().mean(dim=0), torch.ones(1), atol=0.05)
    kept = model.mean.clone()
    model.eval()
    model._read_target(views["teacher"] + 1)
    assert torch.equal(model.mean, kept)


@pytest.mark.parametrize("beside", ["moco", "dsm-triplet", "unscene"])
def test_beside_another_method_its_loss_is_added(beside: str) -> None:
    options = {"queue": 6} if beside == "moco" else {}
    if beside == "unscene":
        options = {"prediction_weight": 0.0, "stages": 2}
    model = make(beside=beside, beside_options=options, teacher_weight=0.5).eval()
    assert model.beside is not None
    assert model.beside.encoder is model.encoder
    data = batch()
    views = model.views(data, torch.Generator().manual_seed(0))
    assert {"taught", "teacher", "anchor", "positive"} <= views.keys()
    with torch.no_grad():
        found = model.loss(data, views)
        others = {k: v for k, v in views.items() if k not in ("taught", "teacher")}
        own = model.beside.loss(data, others).loss
    assert torch.allclose(found.loss, own + 0.5 * found.metrics["taught"], atol=1e-5)
    model.after_step()


def test_a_queue_that_is_left_open_is_fitted() -> None:
    settings = resolve("distill", "default", {"beside": "moco"})
    assert settings.fit(80).beside_options == {"queue": 10}  # type: ignore[attr-defined]
    assert resolve("distill").fit(80) == resolve("distill")


def test_cosine() -> None:
    model = make(teacher_loss="cosine").eval()
    found = step(model)
    assert torch.allclose(found.loss, 1 - found.metrics["taught_cosine"])


def test_what_it_refuses() -> None:
    for changes, said in (
        ({"teacher": "r3d-narrow"}, "name a trained encoder"),
        ({"teacher": "nothing"}, "encoder 'nothing'"),
        ({"beside": "distill"}, "name another method"),
        ({"beside": "nothing"}, "unknown method 'nothing'"),
        ({"beside": "motion-programs"}, "generates what it learns from"),
        ({"beside": "moco", "beside_options": {"warp": True}}, "changes nothing in moco"),
    ):
        with pytest.raises(UnsceneError, match=said):
            make(**changes)


@pytest.mark.slow
def test_from_the_command_line_resumed_and_previewed(
    tmp_path: Path, moving: ScenesReport, teacher: Path
) -> None:
    out = tmp_path / "run"
    line = ["pretrain", str(moving.train), "--method", "distill", "--teacher", str(teacher)]
    line += ["--beside", "moco", "--frames", "4", "--stride", "1", "--size", "32", "--dim", "8"]
    line += ["--batch_size", "4", "--max_steps", "2", "--workers", "0", "--accelerator", "cpu"]
    line += ["--encoder", "r3d-narrow", "--encoder_options", '{"width": 8, "stages": 2}']
    assert main([*line, "--out", str(out), "--monitor", "none"]) == 0
    assert main(["pretrain", "--resume", "--out", str(out)]) == 0
    history = load_encoder(out).spec.trained_on
    assert history["settings"]["teacher"] == str(teacher)
    assert history["settings"]["beside_options"] == {"queue": 1}
    picture = tmp_path / "views.png"
    shown = ["views", str(moving.train), "--method", "distill", "--frames", "4", "--stride", "1"]
    assert main([*shown, "--size", "32", "--videos", "1", "--out", str(picture)]) == 0
    assert picture.stat().st_size > 1000
