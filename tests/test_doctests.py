"""Examples in docstrings (`>>>`) run and print what they show."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples(source: Path) -> list[str]:
    """Names of the modules under `source` whose text has an example."""
    files = (p for p in sorted(source.rglob("*.py")) if ">>> " in p.read_text(encoding="utf-8"))
    parts = (path.relative_to(source).with_suffix("").parts for path in files)
    return [".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts]


# An empty list would skip the test.
@pytest.mark.parametrize("name", modules_with_examples(SOURCE) or ["unscene"])
def test_examples_print_what_they_show(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(import_module(name), optionflags=OPTIONS)
    assert found.failed == 0


def test_a_wrong_example_fails(capsys: pytest.CaptureFixture[str]) -> None:
    planted = ModuleType("planted", "An example.\n\n>>> 0.1 + 0.2\n0.300...\n>>> 1 + 1\n3\n")
    assert doctest.testmod(planted, optionflags=OPTIONS) == (1, 2)
    assert "Expected:\n    3\nGot:\n    2" in capsys.readouterr().out


def test_modules_with_examples_are_found(tmp_path: Path) -> None:
    (tmp_path / "house" / "room").mkdir(parents=True)
    (tmp_path / "house" / "room" / "__init__.py").write_text('"""\n>>> 1\n1\n"""\n')
    (tmp_path / "house" / "a.py").write_text('"""\n>>> 1\n1\n"""\n')
    (tmp_path / "house" / "b.py").write_text('"""Nothing."""\n')
    assert modules_with_examples(tmp_path) == ["house.a", "house.room"]
