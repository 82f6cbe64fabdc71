"""That what is set reaches the optimizer, and that every step draws anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from interrupted import at, interrupt, silent
from unscene.errors import UnsceneError
from unscene.methods.registry import resolve
from unscene.train import engine
from unscene.train.module import PretrainModule
from unscene.train.optimizer import create_optimizer, make_step_generator
from unscene.train.pretrain import pretrain

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("given", "kind", "wanted"),
    [
        (
            {"optimizer": "sgd", "lr": 0.2, "momentum": 0.8, "weight_decay": 0.01},
            torch.optim.SGD,
            {"momentum": 0.8, "weight_decay": 0.01, "nesterov": True, "initial_lr": 0.2},
        ),
        (
            {"optimizer": "adamw", "lr": 0.02, "weight_decay": 0.03},
            torch.optim.AdamW,
            {"weight_decay": 0.03, "initial_lr": 0.02},
        ),
    ],
)
def test_settings_reach_the_optimizer(
    given: dict[str, Any], kind: type[torch.optim.Optimizer], wanted: dict[str, Any]
) -> None:
    settings = resolve("moco", "paper", given | {"nesterov": True})
    made = create_optimizer(settings, [nn.Parameter(torch.ones(1))], 10, 5)["optimizer"]
    assert isinstance(made, kind)
    (group,) = made.param_groups
    assert {name: group[name] for name in wanted} == wanted


def test_settings_of_a_run_reach_its_trainer(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    made = engine.create_trainer

    def spied(*values: Any, **named: Any) -> Any:
        seen["trainer"] = made(*values, **named)
        return seen["trainer"]

    monkeypatch.setattr(engine, "create_trainer", spied)
    flags = {"optimizer": "sgd", "nesterov": True, "momentum": 0.7, "clip_gradient": 3.0}
    pretrain(tiny(tmp_path, max_steps=1, **flags), report=silent)
    assert seen["trainer"].gradient_clip_val == 3.0
    (group,) = seen["trainer"].optimizers[0].param_groups
    assert (group["nesterov"], group["momentum"]) == (True, 0.7)


def test_every_step_and_process_draws_by_itself() -> None:
    def drawn(step: int, process: int, seed: int = 0) -> float:
        module: Any = SimpleNamespace(global_step=step, global_rank=process)
        return torch.rand((), generator=make_step_generator(module, seed)).item()

    cases = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert len({drawn(*case) for case in cases}) == len(cases)
    assert [drawn(*case) for case in cases] == [drawn(*case) for case in cases]


def test_a_step_is_given_its_own_generator(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    forward = PretrainModule.training_step

    def spied(self: PretrainModule, *given: Any) -> Any:
        method = self.method
        before = method.views

        def views(batch: Any, generator: torch.Generator) -> Any:
            seeds.append(generator.initial_seed())
            return before(batch, generator)

        monkeypatch.setattr(method, "views", views)
        result = forward(self, *given)
        monkeypatch.setattr(method, "views", before)
        return result

    monkeypatch.setattr(PretrainModule, "training_step", spied)
    pretrain(tiny(tmp_path, max_steps=3), report=silent)
    assert len(set(seeds)) == len(seeds) == 3


def test_other_segments_of_the_same_files_are_other_videos(tiny: Make, tmp_path: Path) -> None:
    video = Path(tiny(tmp_path).data).parent / "train"
    files = sorted(video.rglob("*.mp4"))[:6]
    table = tmp_path / "segments.csv"

    def written(start: float) -> str:
        lines = [f"{file},{start},{start + 0.3}" for file in files]
        table.write_text("\n".join(["path,start,end", *lines]) + "\n")
        return str(table)

    config = tiny(tmp_path / "run", data=written(0.0), max_steps=4)
    assert not pretrain(config, report=at(1, interrupt)).finished
    written(0.1)
    with pytest.raises(UnsceneError, match="6 came and 6 went"):
        pretrain(config, resume=True, report=silent)
