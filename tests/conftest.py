"""Where tests find real footage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tiny_runs import flags, moving, tiny  # noqa: F401


@pytest.fixture(scope="session")
def footage_root() -> Path:
    """Folder of real videos ($UNSCENE_DATA or ../shared/data); tests skip where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("UNSCENE_DATA", default))
    if not root.is_dir():
        pytest.skip(f"no real footage at {root} (UNSCENE_DATA)")
    return root
