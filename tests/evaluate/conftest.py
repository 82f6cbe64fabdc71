"""What the tests of fine-tuning share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from finetunings import TINY, Make, films

from unscene.evaluate.finetuning.config import FinetuneConfig, build


@pytest.fixture(scope="session")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return films(tmp_path_factory.mktemp("footage") / "train", {"dark": 4, "bright": 4})


@pytest.fixture(scope="session")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return films(tmp_path_factory.mktemp("footage") / "test", {"dark": 2, "bright": 2})


@pytest.fixture
def make(train: Path, exam: Path) -> Make:
    def config(out: Path, **changes: Any) -> FinetuneConfig:
        given = TINY | {"data": str(exam), "train": str(train), "out": str(out)}
        return build(given | changes)

    return config
