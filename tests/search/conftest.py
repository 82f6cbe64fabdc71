"""A small index of videos that are made on the spot, with an encoder that is cheap."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from footage import ENCODER, make_footage

from unscene.search.build import build_index
from unscene.search.index import Index
from unscene.search.store import Store

pytest.importorskip("lancedb", reason="needs the extra find")


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Footage and an index of it, which tests read only."""
    root = tmp_path_factory.mktemp("indexed")
    footage = make_footage(root / "footage")
    build_index(footage, root / "index", encoder=ENCODER)
    return footage, root / "index"


@pytest.fixture
def index(indexed: tuple[Path, Path]) -> Index:
    return Index.open(indexed[1])


@pytest.fixture
def own(indexed: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A copy of footage and index, which a test may change."""
    for source, name in zip(indexed, ("footage", "index"), strict=True):
        shutil.copytree(source, tmp_path / name)
    footage, place = tmp_path / "footage", tmp_path / "index"
    store = Store(place)
    there = [replace(one, path=str(footage / one.name)) for one in store.files()]
    store.put_files(replace(one, source=str(footage)) for one in there)
    store.write_about(replace(store.about(), sources=(str(footage),)))
    return footage, place


@pytest.fixture
def reindex() -> Callable[..., Any]:
    """reindex(footage, index) brings an index up to date."""
    return lambda footage, out, **options: build_index(footage, out, **options)
