"""The notebook of examples/ runs from top to bottom, and is committed without outputs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "find_moments.ipynb"
RUN = """
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
nbformat.write(notebook, "executed.ipynb")
"""


def read(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


def test_it_is_committed_without_outputs() -> None:
    code = [cell for cell in read(NOTEBOOK) if cell["cell_type"] == "code"]
    assert len(code) >= 8
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    for name in ("nbclient", "ipykernel", "lancedb"):
        pytest.importorskip(name, reason=f"needs {name}")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK)],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outputs = [one for cell in read(tmp_path / "executed.ipynb") for one in cell.get("outputs", ())]
    text = "".join("".join(one.get("text", "")) for one in outputs)
    found = re.search(r"precision at 3: ([\d.]+) \(chance ([\d.]+)\)", text)
    assert found, text
    assert float(found[1]) > 2 * float(found[2])
    information = re.search(r"adjusted mutual information ([\d.]+), above chance", text)
    assert information, text
    assert re.search(r"^0000\d\.mp4 [\d.]+-[\d.]+ program-0\d 0?[\d.]+$", text, re.MULTILINE), text
    pictures = [one for one in outputs if "image/jpeg" in one.get("data", {})]
    assert len(pictures) >= 4
