"""Experiments reuse earlier runs and rows only if their settings are the same."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog
from unscene.results.rows import Row
from unscene.synthetic.generate import ScenesReport

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
SETTINGS: dict[str, Any] = {
    **{"encoder": "r3d-narrow", "frames": 4, "stride": 1, "size": 32, "batch_size": 4},
    **{"max_steps": 2, "workers": 0, "accelerator": "cpu", "devices": 1},
}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import trained

    return trained


@pytest.fixture
def videos(moving: ScenesReport) -> Catalog:
    return open_catalog(moving.train)


def test_a_run_is_found_again_but_not_for_other_settings(
    trained: Any, videos: Catalog, tmp_path: Path
) -> None:
    def encoder(method: str = "moco", **changes: Any) -> Any:
        return trained.Training(tmp_path, "x", SETTINGS | changes).encoder(method, videos, 0)

    first = encoder().spec.trained_on
    weights = (tmp_path / "moco-x-0" / "encoder.safetensors").stat().st_mtime_ns
    assert encoder(workers=1).spec.trained_on == first
    with pytest.raises(SystemExit, match=r"moco-x-0: was trained with other settings:\n") as caught:
        encoder(max_steps=3, lr=0.5)
    assert "  max_steps: was 2, now 3\n" in str(caught.value)
    assert "  lr: was 0.001, now 0.5\n" in str(caught.value)
    assert "--note" in str(caught.value)
    assert (tmp_path / "moco-x-0" / "encoder.safetensors").stat().st_mtime_ns == weights
    # As if `temperature` were newer than the run.
    config = tmp_path / "moco-x-0" / "config.yaml"
    values = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({k: v for k, v in values.items() if k != "temperature"}))
    assert encoder().spec.trained_on == first
    with pytest.raises(SystemExit, match=r"temperature: was 0\.1, now 0\.25"):
        encoder(temperature=0.25)


def test_a_run_as_long_as_another_has_so_many_times_the_steps(
    trained: Any, videos: Catalog, tmp_path: Path
) -> None:
    def steps(max_steps: int) -> int:
        training = trained.Training(tmp_path, "x", SETTINGS | {"max_steps": max_steps})
        return training.encoder("moco-time", videos, 0).spec.trained_on["steps"]

    assert steps(2) == steps(2) == 6
    with pytest.raises(SystemExit, match="max_steps: was 6, now 9"):
        steps(3)


def test_rows_are_known_but_not_for_other_settings(trained: Any, tmp_path: Path) -> None:
    def row(method: str, **changes: Any) -> dict[str, Any]:
        row = Row(method, "d", "s", "l", "m", 0.5, (0.1, 0.9), 7, 0, 1.0, "r3d-narrow", "f", 4, 2)
        clip = {"frames": 4, "stride": 1, "size": 32}
        about = {"test": {"note": ""} | clip, "config": {"batch_size": 4} | clip}
        return asdict(row) | about | changes

    def done(rows: list[dict[str, Any]], method: str, **changes: Any) -> bool:
        clips, note = changes.pop("clips", 4), changes.pop("note", "")
        training = trained.Training(tmp_path, "x", SETTINGS | changes)
        return training.done(rows, method, 0, clips=clips, note=note)

    rows = [row("moco"), row("random", config={}, steps=0), row("moco-time", steps=6)]
    for method in ("moco", "random", "moco-time"):
        assert done(rows, method)
        assert not done(rows, method, note="other")
    assert done(rows, "random", max_steps=3)
    assert not done(rows, "dsm")
    for method, changes, said in (
        ("moco", {"max_steps": 3}, "max_steps: was 2, now 3"),
        ("moco", {"temperature": 0.25}, "temperature: was 0.1, now 0.25"),
        ("moco", {"clips": 10}, "clips: was 4, now 10"),
        ("random", {"size": 48}, "size: was 32, now 48"),
        ("moco-time", {"lr": 0.5}, "lr: was 0.001, now 0.5"),
    ):
        with pytest.raises(SystemExit, match=f"{method}, seed 0: there are rows .*\n  {said}"):
            done(rows, method, **changes)
    assert done([row("moco", steps=9), *rows], "moco")  # any that agrees will do
    # A setting that had another name when the row was written.
    old = row("moco", config=row("moco")["config"] | {"twin_momentum": 0.9})
    assert done([old], "moco", key_momentum=0.9)
    with pytest.raises(SystemExit, match=r"key_momentum: was 0\.9, now 0\.8"):
        done([old], "moco", key_momentum=0.8)
