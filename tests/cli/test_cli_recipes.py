"""`unscene reproduce` of a recipe that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from unscene.cli.main import main

Captured = pytest.CaptureFixture[str]


def test_a_recipe_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "table9"]) == 1
    error = capsys.readouterr().err
    assert "table9: no such recipe; give the path of a file" in error
    assert "configuration" not in error
    (tmp_path / "recipes").mkdir()
    for name in ("one", "two"):
        (tmp_path / "recipes" / f"{name}.yaml").write_text("table: 1\n")
    assert main(["reproduce", "table9"]) == 1
    assert "In recipes/ there are one, two" in capsys.readouterr().err
    assert main(["reproduce", "two"]) == 1
    assert "did you mean recipes/two.yaml?" in capsys.readouterr().err
