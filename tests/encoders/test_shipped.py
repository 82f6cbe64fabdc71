"""Encoders that come with the package: found by lying there, small, and what they were."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unscene.cli.main import main
from unscene.config import find_config, read_config
from unscene.encoders import (
    create_encoder,
    known_shipped,
    load_encoder,
    read_spec,
    resolve_encoder,
    save_encoder,
    shipped,
)
from unscene.encoders.resolving import locate_encoder
from unscene.encoders.shipping import HALF_ERROR, measure_half_error, ship_encoder
from unscene.errors import UnsceneError
from unscene.results.tables import collect_rows
from unscene.synthetic.generate import ScenesReport
from unscene.train.config import build

ROOT = Path(__file__).resolve().parents[2]
NAME = "motion-test"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved encoder with a history, as a training would write it."""
    out = tmp_path_factory.mktemp("trained") / "run"
    torch.manual_seed(0)
    encoder = create_encoder("motion-net", width=8)
    history = {"method": "motion-programs", "steps": 7, "seed": 3, "settings": {"lr": 0.002}}
    encoder.spec = replace(encoder.spec, frames=5, trained_on=history)
    save_encoder(encoder, out)
    return out


@pytest.fixture
def folder(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the package with one encoder in it."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / f"{NAME}.md").write_text("# Motion, tested\n")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    ship_encoder(run, NAME)
    return folder


def test_a_file_that_lies_there_is_an_encoder(run: Path, folder: Path) -> None:
    assert known_shipped() == [NAME]
    found = resolve_encoder(NAME)
    assert (found.name, found.trained) == (NAME, True)
    assert "comes with unscene, weights" in found.note
    history = found.encoder.spec.trained_on
    assert (history["method"], history["trained_by"]) == (NAME, "motion-programs")
    assert (history["steps"], history["seed"], len(history["weights"])) == (7, 3, 12)
    assert not found.encoder.training
    assert found.encoder.spec.frames == 5
    with pytest.raises(UnsceneError, match=rf"did you mean '{NAME}'.*without training: {NAME}"):
        resolve_encoder("motion-tes")


def test_half_precision_takes_half_the_space_and_hardly_changes_a_feature(
    run: Path, folder: Path
) -> None:
    whole, half = run / "encoder.safetensors", folder / f"{NAME}.safetensors"
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    before, after = load_encoder(run), load_encoder(NAME)
    assert all(p.dtype == torch.float32 for p in after.parameters())
    error = measure_half_error(before, after)
    assert 0 < error < HALF_ERROR


def test_its_name_wins_over_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / NAME).mkdir()
    assert locate_encoder(NAME) == NAME
    assert resolve_encoder(NAME).path == folder / f"{NAME}.safetensors"


def test_rows_hold_the_fingerprint_of_its_weights(
    folder: Path, tmp_path: Path, moving: ScenesReport
) -> None:
    rows = tmp_path / "rows.jsonl"
    line = ["evaluate", "retrieve", str(moving.train), "--encoder", NAME, "--clips", "1"]
    line += ["--workers", "0", "--label", "motion", "--no-baseline", "--out", str(rows)]
    assert main(line) == 0
    (row, *_) = collect_rows([rows])
    weights = resolve_encoder(NAME).encoder.spec.trained_on["weights"]
    assert (row["method"], row["encoder"]) == (NAME, "motion-net")
    assert row["config"]["weights"] == weights


def test_what_is_not_shipped(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shipped"
    folder.mkdir()
    with pytest.raises(UnsceneError, match="write the model card first"):
        ship_encoder(run, NAME, folder)
    (folder / f"{NAME}.md").write_text("# Motion\n")
    untrained = tmp_path / "untrained"
    save_encoder(create_encoder("motion-net", width=8), untrained)
    with pytest.raises(UnsceneError, match="only a trained encoder is shipped"):
        ship_encoder(untrained, NAME, folder)
    monkeypatch.setattr(shipped, "LARGEST", 1000)
    with pytest.raises(UnsceneError, match="at most 1,000 bytes"):
        ship_encoder(run, NAME, folder)
    assert [path.name for path in folder.iterdir()] == [f"{NAME}.md"]


def test_the_model_card_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--card", NAME]) == 0
    assert capsys.readouterr().out == "# Motion, tested\n\n"
    assert main(["doctor", "--card", "motion-tes"]) == 1
    assert f"did you mean {NAME}" in capsys.readouterr().err


def test_it_is_trained_further(folder: Path, tmp_path: Path) -> None:
    line = ["pretrain", "--method", "motion-programs", "--encoder", NAME, "--frames", "5"]
    line += ["--grid", "16", "--batch_size", "2", "--max_steps", "1", "--workers", "0"]
    assert main([*line, "--accelerator", "cpu", "--out", str(tmp_path / "more")]) == 0
    began = read_spec(tmp_path / "more").trained_on["began"]
    assert (began["encoder"], began["method"], began["steps"]) == (NAME, NAME, 7)


def test_what_comes_with_the_package_is_small_and_has_card_and_recipe() -> None:
    for name in known_shipped():
        assert (shipped.FOLDER / f"{name}.safetensors").stat().st_size <= shipped.LARGEST
        assert shipped.read_card(name).startswith("# ")
        spec = resolve_encoder(name).encoder.spec
        assert spec.trained_on["steps"] > 0
    recipes = sorted(path.stem for path in find_config("motion").parent.glob("*.yaml"))
    assert set(known_shipped()) <= set(recipes)
    for name in recipes:
        build(read_config(find_config(name)))


@pytest.mark.slow
def test_the_wheel_holds_what_lies_there(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="builds the wheel; `make` installs it with the tests")
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    own = copy / "src" / "unscene" / "encoders" / "shipped"
    for path in folder.iterdir():
        shutil.copy(path, own)
    build_wheel = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build_wheel, check=True, cwd=copy)
    (wheel,) = tmp_path.glob("*.whl")
    held = {entry.filename: entry.file_size for entry in zipfile.ZipFile(wheel).infolist()}
    inside = {f"unscene/encoders/shipped/{path.name}": path for path in own.iterdir()}
    assert {f"unscene/encoders/shipped/{NAME}.{end}" for end in ("safetensors", "json", "md")} <= (
        inside.keys() & held.keys()
    )
    assert inside.keys() <= held.keys()
    sizes = [size for name, size in held.items() if name.endswith(".safetensors")]
    assert sizes
    assert max(sizes) <= shipped.LARGEST
    assert "unscene/recipes/encoders/motion.yaml" in held
