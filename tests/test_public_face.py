"""`import unscene`: the names that stay."""

from __future__ import annotations

import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unscene
from tiny_runs import TINY
from unscene.audit.run import audit as run_audit
from unscene.synthetic.generate import ScenesReport


def test_every_public_name_is_there_and_described() -> None:
    for name in unscene.__all__:
        assert getattr(unscene, name) is not None
    assert set(unscene.__all__) <= set(dir(unscene))
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    missing = [name for name in unscene.__all__ if not re.search(rf"`{name}\b", page)]
    assert missing == []
    with pytest.raises(AttributeError, match="no attribute 'tran'"):
        _ = unscene.tran  # type: ignore[attr-defined]


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, unscene; sys.exit(any(m in sys.modules for m in ('torch', 'av', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_help_on_audit_shows_the_function() -> None:
    """The name is that of a package, which can be called."""
    code = "import sys, unscene; unscene.audit; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
    assert inspect.signature(unscene.audit) == inspect.signature(run_audit)
    page = pydoc.plain(pydoc.render_doc(unscene.audit))
    assert "Audit video models: do they watch the motion or the scene?" in page
    assert re.search(r"unscene\.audit\(\s+data: .*,\s+encoders: .*,\s+\*,\s+out: .*= None,", page)
    assert "encoders: a list of texts" in page
    assert "no such measure" in page


def small(**changes: Any) -> dict[str, Any]:
    names = ("encoder_options", "size", "frames", "stride", "batch_size", "dim", "max_steps")
    shared = {name: TINY[name] for name in (*names, "workers", "accelerator")}
    return shared | {"encoder": "r3d-narrow", "method": "moco", "monitor": "none"} | changes


def test_train_embed_audit(moving: ScenesReport, tmp_path: Path) -> None:
    quiet: Any = lambda *_: None  # noqa: E731
    outcome = unscene.pretrain(moving.train, out=tmp_path / "run", report=quiet, **small())
    assert outcome.finished
    assert outcome.steps == TINY["max_steps"]
    again = unscene.pretrain(
        moving.train, out=tmp_path / "run", resume=True, report=quiet, **small()
    )
    assert again.steps == outcome.steps
    encoder = unscene.load_encoder(outcome.out)
    found = unscene.embed(moving.seen, encoder, workers=0)
    assert found.values.shape == (4, encoder.dim)
    assert found.values.dtype == np.float32
    result = unscene.audit(
        str(moving.seen), [encoder], out=tmp_path / "audit", measures=("swap",), label="motion"
    )
    assert len(result.models) == 1
    assert (tmp_path / "audit" / "report.html").exists()


def test_mistakes_are_refused(moving: ScenesReport, tmp_path: Path) -> None:
    for changes, said in (
        ({"warp": True}, "--warp changes nothing in moco"),
        ({"tempurature": 1.0}, "did you mean temperature"),
        ({"max_step": 3}, "did you mean max_steps"),
        ({"method": "mocco"}, "did you mean moco"),
    ):
        with pytest.raises(unscene.UnsceneError, match=said):
            unscene.pretrain(moving.train, out=tmp_path / "run", **small(**changes))
    with pytest.raises(unscene.UnsceneError, match="holds no run to resume"):
        unscene.pretrain(moving.train, out=tmp_path / "run", resume=True, **small())
    assert not (tmp_path / "run").exists()
