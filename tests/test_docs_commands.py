"""Every command of README, CONTRIBUTING and docs/ is accepted by its parser, and runs.

The pages are read (`documented.py`), so that a new command is tested as soon as it is written. It
runs in a folder with tiny footage, small networks and few steps: `PATHS` says what replaces its
paths, `SMALL` which flags are added. `ELSEWHERE` lists what is not run here, with the reason.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import media
import unscene
from documented import PAGES, ROOT, Step, read_steps, spans, steps
from official_footage import write_official_sets
from unscene.cli.main import _COMMANDS, main
from unscene.synthetic.generate import MovingScenes, generate

# What a command names -> what is in the folder of the test (see `workplace`).
PATHS = {
    "VIDEOS": "videos",
    "DATA": "videos",
    "TEST": "test.csv",
    "TRAIN": "train.csv",
    "GALLERY": "train.csv",
    "/data/UCF101": "sets/ucf101",
    "/data/UCF101-gop12": "sets/ucf101-gop12",
    "/data/HMDB51": "sets/hmdb51",
    "/data/KINETICS": "sets/kinetics",
}
_SHORT = "--frames 4 --stride 1 --size 32"
SMALL = {
    "pretrain": f"--max_steps 2 --batch_size 4 --workers 0 --accelerator cpu {_SHORT}",
    "views": f"--videos 2 {_SHORT}",
    "audit": "--videos 8 --workers 0 --device cpu --overwrite",
    "evaluate retrieve": "--clips 1 --workers 0 --device cpu",
    "evaluate probe": "--clips 1 --workers 0 --device cpu",
    "evaluate decouple": "--clips 1 --workers 0 --device cpu",
    "evaluate finetune": "--epochs 1 --min_steps 1 --batch_size 4 --clips 1 --workers 0"
    " --accelerator cpu",
    "scenes": "--train_videos 8 --seen_videos 4 --unseen_videos 4 --size 32 --frames 26"
    " --workers 1",
    "prepare": "--workers 0",
    "index": "--workers 0",
    "predict": "--workers 0",
    "reproduce": "--dry_run --workers 0 --accelerator cpu",
}
SMALL_OBJECT = "--object_size [8,12] --speed [1,2]"  # which figures do not have
SMALL_MOTION = "--side_encoders narrow"
PREDICT_MOTION = {("--method", "cmd"), ("--method", "unscene")}
# The same for functions of `unscene` in blocks of Python.
SMALL_CALLS: dict[str, dict[str, Any]] = {
    "pretrain": {
        **{"max_steps": 2, "batch_size": 4, "frames": 4, "stride": 1, "size": 32},
        **{"workers": 0, "accelerator": "cpu"},
    },
    "audit": {"videos": 8, "workers": 0, "device": "cpu"},
    "build_index": {"device": "cpu"},
    "embed": {"clips_per_video": 1, "workers": 0, "device": "cpu"},
}
# A command by its first words -> where it runs. Checked here: target, file or folder exist.
ELSEWHERE = {
    "unscene demo": "make demo runs it, and tests/demo with a few steps",
    "unscene explore": "serves until it is ended; tests/explore serves an index",
    "make": "runs these tests (make test) or tools of .venv; `make demo` is the demo",
    "pip install": "make does it, from the same checkout",
    "pip wheel": "builds the wheel of the same checkout",
    ". .venv/bin/activate": "of the shell",
    "python experiments/": "takes real footage or hours; mypy checks experiments/",
    "python examples/": "tests/test_examples.py runs them",
    "git": "fetches from elsewhere",
    "def factory():": "needs torchvision; tests/encoders/test_foreign_real.py does this",
}
# Exit statuses that are no mistake: an audit below --fail-below.
FAILS_ON_PURPOSE = {3: "--fail-below"}

EVERY = [step for page in PAGES for step in steps(page)]
COMMANDS = [step for step in EVERY if not step.python and step.words[0] == "unscene"]


def elsewhere(step: Step) -> str | None:
    """The entry of `ELSEWHERE` that a step falls under."""
    typed = step.text.removeprefix(".venv/bin/")
    return next((start for start in ELSEWHERE if typed.startswith(start)), None)


def command_of(words: list[str]) -> str:
    """ "evaluate retrieve" of such a command's words, without "unscene"."""
    return " ".join(words[1:3] if words[1] == "evaluate" else words[1:2])


@pytest.mark.parametrize("step", COMMANDS, ids=str)
def test_the_parser_takes_it(
    step: Step, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = step.words[1]
    assert (ROOT / "src" / "unscene" / "cli" / f"{name}.py").exists(), f"{step}: no such command"
    monkeypatch.setattr(import_module(f"unscene.cli.{name}"), "run", lambda values: 0)
    assert main(step.words[1:]) == 0, f"{step}\n{capsys.readouterr().err}"


@pytest.mark.parametrize("step", [step for step in EVERY if elsewhere(step)], ids=str)
def test_what_runs_elsewhere_is_there(step: Step) -> None:
    words = step.words if not step.python else []
    if words[:1] == ["make"]:
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets), str(step)
    for word in words[1:]:
        if word.endswith(".py"):
            source = (ROOT / word).read_text(encoding="utf-8")
            for flag in (word for word in words if word.startswith("--")):
                assert flag in source or f'"{flag[2:]}"' in source, f"{step}: no flag {flag}"


@cache
def known_flags(command: str) -> frozenset[str]:
    """The flags that a command's --help shows, for any method and any kind of footage."""
    from unscene.methods.registry import known_methods

    lines = [[*command.split(), "--help"]]
    if command in ("pretrain", "views"):
        lines += [[command, "--method", method, "--help"] for method in known_methods()]
    if command == "scenes":
        lines += [[command, "--kind", "figures", "--help"]]
    return frozenset().union(*(re.findall(r"--[\w-]+", _printed(line)) for line in lines))


def _printed(line: list[str]) -> str:
    from contextlib import redirect_stdout
    from io import StringIO

    out = StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit):
        main(line)
    return out.getvalue()


_PROTOCOLS = ("retrieve", "probe", "finetune", "decouple")
_ALL = (
    *(name for name in _COMMANDS if name != "evaluate"),
    *(f"evaluate {protocol}" for protocol in _PROTOCOLS),
)


@pytest.mark.parametrize("page", PAGES)
def test_flags_in_sentences_are_flags(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    scripts = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "experiments").glob("*.py"))
    wrong = []
    for span in spans(text):
        flags = re.findall(r"(?:^|\s)(--[\w-]+)", span)
        words = span.split()
        if words[0] == "unscene" and len(words) > 1 and re.match(r"[a-z]", words[1]):
            command = command_of(words)
            if not any(known.startswith(command) for known in _ALL):
                wrong.append(span)
                continue
            known = known_flags(command) if command in _ALL else frozenset()
        elif span.startswith("--"):
            known = frozenset().union(*map(known_flags, _ALL))
            known |= {
                flag for flag in flags if f'"{flag}"' in scripts or f'"{flag[2:]}"' in scripts
            }
        else:
            continue
        wrong += [f"{span}: {flag}" for flag in flags if flag not in known]
    assert wrong == []


def shrunk(words: list[str]) -> list[str]:
    """A command of a page as the test types it, without "unscene"."""
    typed = [PATHS.get(word, word) for word in words[1:]]
    typed += SMALL.get(command_of(words), "").split()
    if words[1] == "scenes" and "figures" not in words:
        typed += SMALL_OBJECT.split()
    if words[1] == "pretrain" and any(pair in PREDICT_MOTION for pair in pairwise(words)):
        typed += SMALL_MOTION.split()
    return typed


def shrunk_call(function: Callable[..., Any], changes: dict[str, Any]) -> Callable[..., Any]:
    """A function of `unscene` that runs with small settings, whatever it is called with."""

    def call(*given: Any, **named: Any) -> Any:
        motion = {"side_encoders": "narrow"} if named.get("method") in ("cmd", "unscene") else {}
        return function(*given, **named | changes | motion)

    return call


def small(name: str, stem: str = "", in_channels: int = 3) -> Any:
    """A tiny network under the name of a large one."""
    from unscene.encoders import create_encoder

    encoder = create_encoder("r3d-narrow", width=8, in_channels=in_channels)
    encoder.spec = replace(encoder.spec, name=name, options={}, frames=4, stride=1, size=32)
    return encoder


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with footage, datasets and a package of models, to type commands in."""
    from unscene.encoders import registry

    spec = MovingScenes(
        train_videos=12, seen_videos=8, unseen_videos=0, size=32, frames=26,
        motions=("left", "up"), scenes=2, unseen_scenes=1, object_size=(8.0, 12.0),
        speed=(1.0, 2.0),
    )  # fmt: skip
    generate(tmp_path / "made", spec)
    for split, name in (("train", "train.csv"), ("seen", "test.csv")):
        head, *lines = (tmp_path / "made" / f"{split}.csv").read_text().splitlines()
        columns = head.split(",")
        path, motion = columns.index("path"), columns.index("motion")
        rows = [line.split(",") for line in lines]
        for row in rows:
            row[path] = f"made/{row[path]}"
            folder = tmp_path / "videos" / row[motion]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / row[path], folder / f"{split}-{Path(row[path]).name}")
        head = head if "label" in columns else f"{head},label"
        rows = rows if "label" in columns else [[*row, row[motion]] for row in rows]
        (tmp_path / name).write_text("\n".join([head, *map(",".join, rows)]) + "\n")
    write_official_sets(tmp_path / "sets", frames=26)
    media.write(tmp_path / "query.mp4", media.drift(150))
    named = [path.relative_to(tmp_path / "videos") for path in (tmp_path / "videos").glob("*/t*")]
    rows = [f"{path},0,1,{path.parent}" for path in sorted(named)[::3]]
    (tmp_path / "labels.csv").write_text("\n".join(["file,start,end,label", *rows]) + "\n")
    for name in registry.known_encoders():
        if name not in ("r3d-narrow", "hof+mbh", "motion-net"):  # small already
            monkeypatch.setitem(registry._ENCODERS, name, partial(small, name))
    for name, changes in SMALL_CALLS.items():
        monkeypatch.setattr(unscene, name, shrunk_call(getattr(unscene, name), changes))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] in ("mypackage", "my")]:
        del sys.modules[name]


MODEL = """
import torch

def build():
    return torch.nn.Sequential(
        torch.nn.Conv3d(3, 8, 3, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool3d(1),
        torch.nn.Flatten(), torch.nn.Linear(8, 2),
    ), {"frames": 4, "stride": 1, "size": 32}
"""


def named_encoders(step: Step) -> list[str]:
    """The encoders that a command or code takes as given."""
    if step.python:
        return re.findall(r"""load_encoder\(["'](runs/[^"']+)""", step.text)
    return [value.rpartition("=")[2] for flag, value in pairwise(step.words) if flag == "--encoder"]


def bring_encoders(step: Step) -> None:
    """Write what a step takes as its encoders: modules and, where a page does not train one
    first, saved encoders."""
    for value in named_encoders(step):
        module, colon, function = value.partition(":")
        if colon and module != "hf":
            file = Path(*module.split(".")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(MODEL.replace("build", function))
        elif "/" in value and step.page != "README.md" and not Path(value).exists():
            from unscene.encoders import save_encoder

            save_encoder(small("r3d18"), Path(value))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [page for page in PAGES if any(s.page == page for s in EVERY)])
def test_the_commands_of_a_page_run_in_its_order(
    page: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for step in steps(page):
        if elsewhere(step):
            continue
        assert step.python or step.words[0] == "unscene", f"{step}: neither run nor in ELSEWHERE"
        with ExitStack() as stack:
            stack.callback(capsys.readouterr)
            bring_encoders(step)
            if step.python:
                exec(compile(step.text, str(step), "exec"), names)
                continue
            status = main(shrunk(step.words))
            allowed = status == 0 or FAILS_ON_PURPOSE.get(status, "?") in step.words
            assert allowed, f"{step}: exit status {status}\n{capsys.readouterr().err[-2000:]}"


def test_commands_are_read_from_a_page() -> None:
    text = """
Say `unscene audit` or `--size 3`.

```
$ unscene views VIDEOS   # a picture
unscene pretrain VIDEOS \\
    --size 36 [--frames 8]
ls
```

    make test   # all

```python
import unscene
```
"""
    found = list(read_steps("p.md", text))
    assert [(step.line, step.text) for step in found] == [
        (5, "unscene views VIDEOS"),
        (6, "unscene pretrain VIDEOS --size 36 --frames 8"),
        (11, "make test"),
        (14, "import unscene"),
    ]
    assert spans(text) == ["unscene audit", "--size 3"]


@pytest.mark.parametrize("line", ["unscene veiws x", "unscene views x --sise 3"])
def test_what_is_no_command_is_refused(line: str) -> None:
    assert main(Step("p.md", 1, line).words[1:]) == 2
