"""Arrows run only towards the files: each room imports its own and the rooms before it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "unscene"

# Rooms of one rank import neither each other nor anything of a higher rank.
RANKS = {
    "video": 0, "encoders": 0, "views": 1, "methods": 2, "train": 3, "evaluate": 4, "page": 4,
    "audit": 5, "search": 5,
}  # fmt: skip
# compiled.py, errors.py, files.py, precision.py, progress.py and the version are for all; demo.py,
# cli.py and the other files beside the rooms stand above them.
FOR_ALL = {"compiled", "errors", "files", "precision", "progress", "__init__"}
TOP = 9


def room(path: Path, source: Path) -> str:
    parts = path.relative_to(source).with_suffix("").parts
    return parts[0]


def rank(name: str) -> int:
    return RANKS.get(name, TOP)


def imported(path: Path) -> set[str]:
    """Rooms (or files beside them) of this package that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from unscene import x` may name a room; `from unscene.views import x` names one.
            names = [node.module or ""]
            if node.module == "unscene":
                names = [f"unscene.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "unscene" and len(parts) > 1 and parts[1] != "__version__":
                found.add(parts[1])
    return found


def wrong_arrows(source: Path) -> list[str]:
    wrong = []
    for path in sorted(source.rglob("*.py")):
        own = room(path, source)
        for other in sorted(imported(path) - FOR_ALL - {own}):
            if own in FOR_ALL or (rank(own) < TOP and rank(other) >= rank(own)):
                wrong.append(f"{path.relative_to(source)} imports {other}")
    return wrong


def test_no_arrow_runs_the_other_way() -> None:
    assert wrong_arrows(SOURCE) == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("video/clip.py", "from unscene.views.color import view_matrix"),
        ("video/clip.py", "import unscene.encoders"),
        ("encoders/base.py", "from unscene.video.clip import Clip"),
        ("encoders/base.py", "from unscene import views"),
        ("views/color.py", "def f():\n    from unscene.methods.settings import Settings"),
        ("methods/moco.py", "from unscene.train import config"),
        ("train/pretrain.py", "from unscene.evaluate.probe import linear_probe"),
        ("train/pretrain.py", "from unscene.cli import main"),
        ("audit/stress.py", "from unscene.search.index import open_index"),
        ("errors.py", "from unscene.video.clip import Clip"),
    ],
)
def test_a_planted_wrong_import_is_caught(place: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("import torch\nfrom unscene.errors import UnsceneError\n")
    assert wrong_arrows(tmp_path) == []
    path.write_text(line + "\n")
    assert len(wrong_arrows(tmp_path)) == 1


def test_the_right_arrows_are_allowed(tmp_path: Path) -> None:
    lines = {
        "views/a.py": "from unscene.video.clip import Clip\nfrom unscene.views import b",
        "methods/a.py": "from unscene import __version__\nfrom unscene.encoders import x",
        "evaluate/a.py": "from unscene.train.config import build",
        "cli.py": "from unscene.audit.report import report\nimport unscene.demo",
        "demo.py": "from unscene.evaluate.run import evaluate\nfrom unscene.report import page",
    }
    for place, line in lines.items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(line + "\n")
    assert wrong_arrows(tmp_path) == []


def test_files_are_short_and_no_utils() -> None:
    lengths = {
        str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCE.rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length >= 300} == {}
    assert not [name for name in lengths if re.search(r"(^|/)_?(utils?|helpers?)\.py$", name)]


@pytest.mark.parametrize(
    "name",
    [
        *("methods/settings.py", "train/config.py", "evaluate/finetune_config.py"),
        *(
            "cli.py",
            "errors.py",
            *(str(p.relative_to(SOURCE)) for p in SOURCE.glob("commands/*.py")),
        ),
    ],
)
def test_what_the_command_line_reads_first_imports_no_torch(name: str) -> None:
    tree = ast.parse((SOURCE / name).read_text(encoding="utf-8"))
    heads = set()
    for node in tree.body:  # imports inside of functions happen later
        if isinstance(node, ast.Import):
            heads |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            heads.add((node.module or "").split(".")[0])
    assert not heads & {"torch", "lightning", "av", "cv2", "numpy", "sklearn", "tqdm"}
