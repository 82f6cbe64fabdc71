"""The benchmark of GPUs, as it runs, on a CPU with a tiny network."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from unscene.encoders import create_encoder

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu as module

    def narrow(name: str) -> Any:
        return create_encoder(name, width=8, stages=2)

    monkeypatch.setattr(module, "create_encoder", narrow)
    return module


@pytest.fixture
def bench(gpu: Any, tmp_path: Path) -> Any:
    from harness import generate

    paths = [str(tmp_path / f"{number}.avi") for number in range(2)]
    for seed, path in enumerate(paths):
        generate(path, 60, size=(48, 64), seed=seed)
    return gpu.Bench(torch.device("cpu"), paths, "generated", 1, 0, backend="aot_eager")


def test_all_rows_are_measured_on_a_cpu(gpu: Any, bench: Any) -> None:
    size = gpu.Size("r3d-narrow", 32, frames=4, batch=2)
    rows = {
        row.name.removeprefix("gpu.r3d-narrow-32"): row for row in gpu.measure_all((size,), bench)
    }
    assert list(rows) == ["", "-memory", "-flops", "-waiting", "-compiled", "-compiled-flops"]
    for row in rows.values():
        json.dumps(row.record())
        assert row.ours > 0
        assert row.alternative > 0
        assert row.ratio == pytest.approx(row.ours / row.alternative)
    assert 0 < rows["-flops"].ratio < 1
    assert rows["-flops"].ours / rows[""].ours == pytest.approx(
        rows["-compiled-flops"].ours / rows["-compiled"].ours
    )  # the same operations a clip
    assert "batch 2, CPU, generated" in rows["-waiting"].note


def test_operations_of_a_step_are_those_of_its_networks(gpu: Any, bench: Any) -> None:
    """Forward and backward of the anchor and forward of two keys: almost five forward passes."""
    from torch.utils.flop_counter import FlopCounterMode

    size = gpu.Size("r3d-narrow", 32, frames=4, batch=2)
    measured = gpu.measure_step(size, gpu.PLAIN, bench)
    with FlopCounterMode(display=False) as counter:
        gpu.create_encoder("r3d-narrow")(torch.rand(2, 3, 4, 32, 32))
    forward = counter.get_total_flops()
    # Products with the queue: loss, its gradient and the logged rank.
    loss = 3 * 2 * size.batch * gpu.QUEUE * 128
    # Backward is twice the forward pass, less the gradient of the pixels, which nobody needs.
    assert 4.5 * forward < measured.flops - loss < 5.1 * forward
    assert measured.clips == 2


def test_a_batch_that_memory_does_not_suffice_for_is_halved(
    gpu: Any, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def full(size: Any, *_: Any) -> str:
        tried.append(size.batch)
        if size.batch > 8:
            raise torch.OutOfMemoryError
        return "measured"

    monkeypatch.setattr(gpu, "measure_step", full)
    fits, found = gpu.measure_fitting(gpu.Size("r3d18", 224), gpu.FAST, bench)
    assert (tried, fits.batch, found) == ([32, 16, 8], 8, "measured")


def test_nothing_is_begun_after_its_time(gpu: Any, bench: Any) -> None:
    from dataclasses import replace

    late = replace(bench, deadline=time.monotonic())
    assert list(gpu.measure_all(gpu.SIZES, late)) == []


def test_without_a_gpu_it_says_so(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness import Options

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert list(gpu.run(Options())) == []
    assert "finds no GPU here" in capsys.readouterr().err
