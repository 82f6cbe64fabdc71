"""Arrows run only towards the files: each room imports its own and the rooms before it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "unscene"

# Rooms of one rank import neither each other nor anything of a higher rank.
RANKS = {
    "video": 0, "synthetic": 0, "results": 0,
    "data": 1, "motion": 1,
    "encoders": 2, "prepare": 2,
    "views": 3, "methods": 4, "train": 5,
    "preview": 6, "evaluate": 6,
    "audit": 7, "search": 7, "reproduce": 7, "api": 7,
    "demo": 8, "explore": 8,  # the demo ends in an audit's report
    "cli": 9, "__main__": 10,
}  # fmt: skip
# What all rooms may use.
FOR_ALL = {
    *("compiled", "config", "device", "errors", "files", "html", "imports", "progress", "signals"),
    "__init__",
}


def room(path: Path, source: Path) -> str:
    parts = path.relative_to(source).with_suffix("").parts
    return parts[0]


def rank(name: str) -> int:
    return RANKS[name]


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
        if own == "__init__":  # the public face: its names come from everywhere
            continue
        for other in sorted(imported(path) - FOR_ALL - {own}):
            if own in FOR_ALL or rank(other) >= rank(own):
                wrong.append(f"{path.relative_to(source)} imports {other}")
    return wrong


def file_of(module: str, source: Path) -> Path | None:
    """The file of a module or package of this package."""
    below = source.joinpath(*module.split(".")[1:])
    for path in (below.with_suffix(".py"), below / "__init__.py"):
        if module.startswith("unscene") and path.exists():
            return path
    return None


def imported_files(path: Path, source: Path) -> set[Path]:
    """Files of this package that a file imports, anywhere in it, for type checking only too.

    `from package import name` is an import of the file `package/name.py`, if there is one, and else
    of `package/__init__.py`.
    """
    found: set[Path | None] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {file_of(alias.name, source) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            for alias in node.names:
                found.add(file_of(f"{module}.{alias.name}", source) or file_of(module, source))
    # The root holds the version and, for type checking, the public face.
    return {one for one in found if one is not None} - {path, source / "__init__.py"}


def circles(source: Path) -> list[str]:
    """Files that import themselves through others: pairs and longer circles."""
    imports = {path: imported_files(path, source) for path in source.rglob("*.py")}
    found = []
    for path in sorted(imports):
        reached, left = set[Path](), list(imports[path])
        while left:
            one = left.pop()
            if one not in reached:
                reached.add(one)
                left += imports[one]
        if path in reached:
            found.append(str(path.relative_to(source)))
    return found


def test_no_files_import_each_other() -> None:
    assert circles(SOURCE) == []


def test_a_planted_circle_is_caught(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    (tmp_path / "video" / "__init__.py").write_text("from unscene.video.c import y\n")
    (tmp_path / "video" / "a.py").write_text("from unscene.video.b import x\n")
    (tmp_path / "video" / "b.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from unscene.video import a\n"
    )
    (tmp_path / "video" / "c.py").write_text("from unscene.video import a\n")
    assert circles(tmp_path) == ["video/a.py", "video/b.py"]
    (tmp_path / "video" / "c.py").write_text("from unscene.video import y\n")
    assert circles(tmp_path) == [f"video/{name}.py" for name in ("__init__", "a", "b", "c")]


def test_no_arrow_runs_the_other_way() -> None:
    assert wrong_arrows(SOURCE) == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("video/clip.py", "from unscene.views.color import view_matrix"),
        ("video/clip.py", "from unscene.data.catalog import Video"),
        ("motion/flow.py", "from unscene.data.catalog import Video"),
        ("video/clip.py", "import unscene.encoders"),
        ("encoders/base.py", "from unscene import views"),
        ("views/color.py", "def f():\n    from unscene.methods.settings import Settings"),
        ("methods/moco.py", "from unscene.train import config"),
        ("train/pretrain.py", "from unscene.evaluate.probing import linear_probe"),
        ("train/pretrain.py", "from unscene.cli.main import main"),
        ("audit/run.py", "from unscene.search.index import open_index"),
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
        "evaluate/a.py": "from unscene.train.config import build\nfrom unscene.results import rows",
        "cli/a.py": "from unscene.audit.report.page import report\nimport unscene.demo.run",
        "demo/a.py": "from unscene.evaluate.run import evaluate\nfrom unscene.html import document",
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
    assert {name: length for name, length in lengths.items() if length > 500} == {}
    assert not [name for name in lengths if re.search(r"(^|/)_?(utils?|helpers?)\.py$", name)]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body, its docstring not counted."""
    body = function.body
    if ast.get_docstring(function) is not None and len(body) > 1:
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def test_functions_are_short() -> None:
    long = {
        f"{path.relative_to(SOURCE)}:{node.name}": body_lines(node)
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > 50
    }
    assert long == {}


@pytest.mark.parametrize(
    "name",
    [
        *("errors.py", "methods/settings.py", "train/config.py", "evaluate/finetuning/config.py"),
        *(str(path.relative_to(SOURCE)) for path in SOURCE.glob("cli/*.py")),
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
