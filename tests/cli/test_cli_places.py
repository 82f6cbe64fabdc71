"""~ is a home folder wherever a flag names a file, and names are looked at before work begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unscene.cli.main import main
from unscene.files import expand_home
from unscene.synthetic.generate import ScenesReport

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder; what is taken for a name here would lie in ./here."""
    folder, here = tmp_path / "home", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    (folder / "e").mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(here)
    return folder


class StoppedError(Exception):
    pass


def caught(monkeypatch: pytest.MonkeyPatch, target: str) -> list[tuple[tuple, dict[str, Any]]]:
    """The calls of a function that is stopped as it begins."""
    calls: list[tuple[tuple, dict[str, Any]]] = []

    def stop(*given: Any, **named: Any) -> None:
        calls.append((given, named))
        raise StoppedError

    monkeypatch.setattr(target, stop)
    return calls


@pytest.mark.parametrize(
    ("line", "target", "name", "expected"),
    [
        ("audit x --encoder a --out ~/o", "unscene.audit.run.audit", "out", Path("o")),
        ("demo --out ~/o", "unscene.demo.run.demo", 0, Path("o")),
        ("scenes ~/o", "unscene.synthetic.generate.generate", 0, Path("o")),
        ("views x --out ~/o.png", "unscene.preview.run.preview", 1, Path("o.png")),
        ("prepare x ~/o", "unscene.prepare.plan.make_plan", 1, Path("o")),
        ("evaluate retrieve x --encoder ~/e", "unscene.encoders.resolving.read_encoder", 0, "e"),
        ("evaluate probe x --encoder e --out ~/o", "unscene.evaluate.run.evaluate", "out", "o"),
        ("evaluate decouple x --encoder e --out ~/o",
         "unscene.evaluate.run.evaluate_decoupling", "out", "o"),
        ("reproduce ~/r.yaml", "unscene.reproduce.recipe.read_recipe", 0, "r.yaml"),
    ],
)  # fmt: skip
def test_a_home_folder_in_a_flag(
    line: str,
    target: str,
    name: int | str,
    expected: str | Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = caught(monkeypatch, target)
    with pytest.raises(StoppedError):
        main(line.split())
    ((given, named),) = calls
    assert (given[name] if isinstance(name, int) else named[name]) == home / expected


def test_a_home_folder_of_a_training(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    calls = caught(monkeypatch, "unscene.train.pretrain.pretrain")
    (home / "c.yaml").write_text("data: films\nlr: 0.5\n")
    with pytest.raises(StoppedError):
        main(["pretrain", "--config", "~/c.yaml", "--out", "~/o"])
    assert (calls[0][0][0].out, calls[0][0][0].settings.lr) == (str(home / "o"), 0.5)
    assert main(["pretrain", "--resume", "--out", "~/none"]) == 1
    assert f"{home / 'none'}: holds no run" in capsys.readouterr().err

    calls = caught(monkeypatch, "unscene.evaluate.finetuning.run.finetune")
    with pytest.raises(StoppedError):
        main(["evaluate", "finetune", "x", "--train", "y", "--encoder", "~/e", "--out", "~/o"])
    config = calls[0][0][0]
    assert (config.encoder, config.out) == (str(home / "e"), str(home / "o"))


def test_a_gallery_at_home(home: Path, moving: ScenesReport) -> None:
    from unscene.data.listing import list_videos

    (home / "films").symlink_to(moving.out)
    # Data are expanded where they are read: DATA and --train alike.
    assert list_videos("~/films/train.csv").videos


def test_places_that_are_no_home(home: Path) -> None:
    assert expand_home("~nobody-is-called-so/x") == Path("~nobody-is-called-so/x")
    assert expand_home("a/~/b") == Path("a/~/b")
    assert expand_home("~") == home


def test_results_look_at_names_before_they_write(home: Path, capsys: Captured) -> None:
    line = {
        "method": "dsm", "data": "films", "split": "test", "label": "action", "value": 0.5,
        "metric": "map", "ci95": [0.4, 0.6], "n": 5, "seed": 0,
    }  # fmt: skip
    (home / "rows.jsonl").write_text(json.dumps(line) + "\n")
    assert main(["results", "~/rows.jsonl", "--markdown", "~/x.md", "--plot", "~/p.jpg"]) == 1
    assert "ends in .png" in capsys.readouterr().err
    assert not (home / "x.md").exists()
    assert main(["results", "~/rows.jsonl", "--markdown", "~/x.md", "--plot", "~/p.png"]) == 0
    assert (home / "x.md").is_file()
    assert (home / "p.png").is_file()
    assert not Path("~").exists()
