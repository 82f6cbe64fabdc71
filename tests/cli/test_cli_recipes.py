"""`unscene reproduce` takes the name of a recipe in any folder, or the path of a file."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from unscene.cli.main import main
from unscene.config import RECIPES

Captured = pytest.CaptureFixture[str]
ROOT = Path(__file__).resolve().parents[2]


def test_a_name_works_in_any_folder_and_a_path_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table1-dsm-c3d").mkdir()  # a folder of that name is in nobody's way
    assert main(["reproduce", "table1-dsm-c3d"]) == 1
    assert "table1-dsm-c3d needs ucf101 and hmdb51: add --ucf101" in capsys.readouterr().err
    assert main(["reproduce", "table1-dsm-c3d", "--show"]) == 0
    (tmp_path / "own.yaml").write_text(capsys.readouterr().out)
    assert (tmp_path / "own.yaml").read_text() == (RECIPES / "table1-dsm-c3d.yaml").read_text()
    assert main(["reproduce", "own.yaml"]) == 1
    assert "own needs ucf101 and hmdb51" in capsys.readouterr().err


def test_a_recipe_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    for wrong in ("table1-dsm-cd3", "recipes/table1-dsm-c3d.yaml", "./table1-dsm-c3d"):
        assert main(["reproduce", wrong]) == 1
        error = capsys.readouterr().err
        assert f"{wrong.removeprefix('./')}: no such recipe; did you mean table1-dsm-c3d?" in error
        assert "configuration" not in error
    assert main(["reproduce", "zzz"]) == 1
    assert "zzz: no such recipe; `unscene reproduce --list` shows the names" in (
        capsys.readouterr().err
    )
    assert main(["reproduce"]) == 1
    assert "name a RECIPE: `unscene reproduce --list`" in capsys.readouterr().err


def test_the_list_shows_every_recipe_with_one_line_each(capsys: Captured) -> None:
    assert main(["reproduce", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {path.stem for path in RECIPES.glob("*.yaml")}
    assert all("  DSM, table " in line for line in lines if line.startswith("table"))
    assert lines[-1].endswith("HDC, table 1: HDC, 3D ResNet-18, pre-trained on Kinetics")


@pytest.mark.slow
def test_the_wheel_holds_the_recipes(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="builds the wheel; `make` installs it with the tests")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, check=True, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {f"unscene/recipes/{path.name}" for path in RECIPES.glob("*.yaml")} <= held
