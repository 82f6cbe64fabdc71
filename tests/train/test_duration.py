"""How long a run takes: said before it starts on a CPU, after a few steps, and what to do next."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from unscene.cli.main import main
from unscene.config import read_config
from unscene.encoders import create_encoder
from unscene.synthetic.generate import ScenesReport
from unscene.train import duration
from unscene.train.config import build, find_cpu_defaults
from unscene.train.duration import describe_rate, time_clip, warn_of_days
from unscene.train.module import PretrainModule
from unscene.train.pretrain import pretrain

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


# -- before the first step ------------------------------------------------------------------------


def test_a_cpu_has_defaults_of_its_own(no_gpu: None) -> None:
    small = {"encoder": "r3d-narrow", "size": 56, "frames": 8}
    assert find_cpu_defaults({"data": "videos", "encoder": None}) == small
    assert find_cpu_defaults({"method": "cmd"}) == small | {"side_encoders": "narrow"}
    assert find_cpu_defaults({"size": 64, "frames": 4}) == {"encoder": "r3d-narrow"}
    for given in (
        {"encoder": "r3d18"},
        {"encoder": "runs/saved"},
        {"encoder_options": {"in_channels": 3}},
        {"preset": "paper"},
    ):
        assert find_cpu_defaults(given) == {}
    # A file, a recipe and a run that is resumed have their own: nothing is added to `build`.
    assert build({"data": "videos"}).encoder == "r3d18"


def test_a_gpu_keeps_the_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_cpu_defaults({}) == {}
    assert find_cpu_defaults({"accelerator": "cpu"})["encoder"] == "r3d-narrow"


def test_the_time_of_a_clip_leaves_the_encoder_alone() -> None:
    encoder = create_encoder("r3d-narrow", width=8)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    state = torch.get_rng_state()
    small, large = (min(time_clip(encoder, 8, size) for _ in range(3)) for size in (16, 128))
    assert 0 < small < large  # 64 times as many pixels
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in encoder.parameters())


def module_of(config: Any, catalog: Any) -> PretrainModule:
    from unscene.methods.registry import create_method

    method = create_method(
        config.method, create_encoder(config.encoder), config.settings.fit(len(catalog))
    )
    return PretrainModule(
        method, catalog.videos, seed=0, processes=1, max_steps=config.max_steps,
        workers=0, short_side=None,
    )  # fmt: skip


def test_days_are_said_with_what_makes_them_hours(
    moving: ScenesReport, monkeypatch: pytest.MonkeyPatch, no_gpu: None
) -> None:
    """A clip of r3d10 takes 3 s here, and one of r3d-narrow 0.01 s."""
    from unscene.data.listing import open_catalog

    catalog = open_catalog(moving.train)
    monkeypatch.setattr(
        duration,
        "time_clip",
        lambda encoder, *_: 3.0 if "narrow" not in encoder.spec.name else 0.01,
    )
    config = build({"data": "x", "encoder": "r3d10", "batch_size": 4, "max_steps": 14400})
    module = module_of(config, catalog)
    head, small, fewer = warn_of_days(config, module)
    assert "at least 2 days 0 h on this CPU" in head
    assert "14,400 steps have 4 clips each" in head
    assert small.split() == [
        *("--encoder", "r3d-narrow", "--size", "56", "--frames", "8"),
        *("at", "least", "9", "min", "36", "s"),
    ]
    assert fewer.split()[:2] == ["--max_steps", "3000"]
    # So many steps that the small encoder takes days, too: both flags together.
    config = replace(config, max_steps=14_400_000)
    module.total_steps = 14_400_000
    _, small, _ = warn_of_days(config, module)
    flags = shlex.split(small.partition("   at least")[0])
    suggested = build(
        {"data": "x", **dict(zip((f[2:] for f in flags[::2]), flags[1::2], strict=True))}
    )
    assert suggested.max_steps == 900_000
    module.total_steps = 3000
    assert warn_of_days(config, module) == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    module.total_steps = 14_400
    assert warn_of_days(config, module) == []


# -- after a few steps, and at the end ------------------------------------------------------------


def test_days_are_said_after_a_few_steps() -> None:
    now = datetime(2026, 11, 29, 12, 0)
    first, second = describe_rate(36.0, 10_000, 9_900, now)
    assert first == (
        "36 s a step: about 4 days 4 h for all 10,000 steps; done at 15:00 on Thursday, 03 December"
    )
    assert "With --max_steps 1000 it is about 10 h 0 min" in second


@pytest.mark.slow
def test_a_run_says_how_long_it_takes_and_what_comes_next(
    moving: ScenesReport,
    flags: Callable[..., list[str]],
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    no_gpu: None,
) -> None:
    out = tmp_path / "my run"
    line = flags(out, method="moco", max_steps=24, monitor="none")
    for name in ("encoder", "encoder_options", "frames", "size"):
        del line[line.index(f"--{name}") : line.index(f"--{name}") + 2]
    assert main(line) == 0
    said = capsys.readouterr()
    assert "--encoder r3d-narrow --size 56 --frames 8. On a GPU they are r3d18, 112 px" in said.err
    assert len(re.findall(r"s a step: about \d+ s for all 24 steps; done at", said.err)) == 1
    saved = read_config(out / "config.yaml")
    assert (saved["encoder"], saved["size"], saved["frames"]) == ("r3d-narrow", 56, 8)
    *_, evaluation, auditing, embedding = map(shlex.split, said.out.strip().splitlines())
    assert evaluation[1:3] == ["evaluate", "retrieve"]
    assert main([*evaluation[1:], "--clips", "1", "--workers", "0"]) == 0
    assert main([*auditing[1:], "--videos", "4", "--measures", "swap", "--workers", "0"]) == 0
    assert (out / "audit" / "report.html").exists()
    assert embedding[:2] == ["python", "-c"]
    capsys.readouterr()
    exec(embedding[2], {})
    assert capsys.readouterr().out == "(8, 64)\n"


def test_videos_without_classes_are_not_searched_by_class(
    moving: ScenesReport, tiny: Callable[..., Any], tmp_path: Path
) -> None:
    from unscene.data.listing import open_catalog

    catalog = open_catalog(moving.train)
    videos = tuple(replace(video, label=None) for video in catalog.videos)
    config = tiny(tmp_path, max_steps=1)
    outcome = pretrain(config, catalog=replace(catalog, videos=videos), report=lambda *_: None)
    assert outcome.commands[0].startswith("unscene evaluate decouple ")
