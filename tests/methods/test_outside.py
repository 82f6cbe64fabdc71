"""A method from outside the package: one module, and nothing else is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from unscene.cli.main import main
from unscene.encoders import load_encoder
from unscene.errors import UnsceneError
from unscene.methods import registry
from unscene.results.tables import collect_rows
from unscene.synthetic.generate import ScenesReport

Captured = pytest.CaptureFixture[str]

TOY = '''
"""Toy: the anchor must not move far from the positive."""

from dataclasses import dataclass

import torch

from unscene.config import require
from unscene.methods.base import Method, StepResult
from unscene.methods.settings import OURS, CommonSettings
from unscene.video.sampling import RandomClipSampler
from unscene.views.augment import make_view

TITLE = "Toy"


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Settings of the toy.

    Attributes:
        pull: weight of the distance between the two views.
    """

    drawn = ("pull",)

    pull: float = 2.0

    def __post_init__(self):
        super().__post_init__()
        require(self, ("pull",), lambda v: v > 0, "must be above 0")


PRESETS = {"default": OURS | {"epochs": 3}, "strong": {"pull": 5.0}}


class Toy(Method):
    def sampler(self):
        return RandomClipSampler(self.settings.frames, self.settings.stride)

    def views(self, batch, generator):
        clip = batch.clips["clip"]
        return {
            name: make_view(clip, self.basic.draw(clip.sizes, generator), size=self.settings.size)
            for name in ("anchor", "positive")
        }

    def loss(self, batch, views):
        anchor, positive = self.embedder(torch.cat(list(views.values()))).chunk(2)
        distance = (anchor - positive).square().sum(1).mean()
        return StepResult(self.settings.pull * distance, {"distance": distance.detach()})
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "toy_method.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(folder))
    yield "toy_method:Toy"
    registry.find_method.cache_clear()


def run_toy(
    toy: str, out: Path, moving: ScenesReport, *more: str, encoder: str = "r3d-narrow"
) -> int:
    small = ["--frames", "4", "--stride", "1", "--size", "32", "--batch_size", "4", "--dim", "8"]
    line = ["pretrain", str(moving.train), "--method", toy, "--encoder", encoder, *small]
    line += ["--encoder_options", json.dumps({"width": 8, "stages": 2}), "--workers", "0"]
    line += ["--max_steps", "2", "--accelerator", "cpu", "--monitor", "none", "--out", str(out)]
    return main([*line, *more])


def test_it_pretrains_resumes_and_is_evaluated(
    toy: str, tmp_path: Path, moving: ScenesReport, capsys: Captured
) -> None:
    out = tmp_path / "run"
    assert run_toy(toy, out, moving, "--pull", "3") == 0, capsys.readouterr().err
    assert "finished after 2 of 2 steps" in capsys.readouterr().out
    trained_on = load_encoder(out).spec.trained_on
    assert (trained_on["method"], trained_on["settings"]["pull"]) == (toy, 3.0)
    assert "distance" in (out / "metrics.csv").read_text().splitlines()[0]
    assert main(["pretrain", "--resume", "--out", str(out)]) == 0  # finished, found by its config
    rows = tmp_path / "rows.jsonl"
    line = ["evaluate", "retrieve", str(moving.train), "--encoder", str(out), "--clips", "1"]
    assert main([*line, "--workers", "0", "--out", str(rows)]) == 0
    assert {row["method"] for row in collect_rows([rows])} == {toy, "random"}  # and its twin


def test_it_is_previewed(toy: str, tmp_path: Path, moving: ScenesReport) -> None:
    out = tmp_path / "views.png"
    line = ["views", str(moving.train), "--method", toy, "--size", "32", "--frames", "4"]
    assert main([*line, "--stride", "1", "--videos", "1", "--out", str(out)]) == 0
    assert out.stat().st_size > 1000


def test_its_help_lists_its_settings(toy: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main(["pretrain", "--method", toy, "--help"])
    page = " ".join(capsys.readouterr().out.split())
    assert "--pull X weight of the distance between the two views (default: 2)" in page
    assert "default, strong" in page
    assert "--queue" not in page


def test_its_mistakes_are_named(
    toy: str, tmp_path: Path, moving: ScenesReport, capsys: Captured
) -> None:
    for more, said in (
        (["--pull", "0"], "pull 0.0: must be above 0"),
        (["--queue", "8"], "--queue changes nothing in toy_method:Toy"),
        (["--preset", "paper"], "no preset 'paper'"),
    ):
        assert run_toy(toy, tmp_path / "run", moving, *more) == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_module_here:X", "cannot import no_such_module_here"),
        ("unscene.errors:UnsceneError", "unscene.errors has no TITLE and no Settings"),
        ("unscene.methods.moco:Moco", "has 0 subclasses of Method called Moco"),
    ],
)
def test_what_is_no_method_is_refused(name: str, said: str) -> None:
    with pytest.raises(UnsceneError, match="method") as caught:
        registry.find_method(name)
    assert said in str(caught.value)


def test_a_file_in_the_folder_is_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FOLDER", tmp_path)
    registry.known_methods.cache_clear()
    (tmp_path / "toy_method.py").write_text(TOY)
    (tmp_path / "helper.py").write_text("SIZE = 3\n")
    try:
        assert registry.known_methods() == ("toy-method",)
    finally:
        registry.known_methods.cache_clear()
