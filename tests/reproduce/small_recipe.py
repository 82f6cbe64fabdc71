"""A recipe of three short stages, for tests that run it or spoil it."""

from __future__ import annotations

from pathlib import Path

SMALL = """
table: 1
row: a small one
published: {ucf101: 50}
pretrain: {data: ucf101, method: moco, encoder: r3d-narrow, batch_size: 8}
evaluate:
  - {protocol: finetune, data: ucf101, splits: [1, 3], batch_size: 4}
  - {protocol: retrieve, data: ucf101, splits: [2], clips: 1}
"""


def file_with(tmp_path: Path, old: str = "", new: str = "") -> Path:
    """Its file, with something in it replaced."""
    assert old in SMALL
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.replace(old, new) if old else SMALL)
    return path
