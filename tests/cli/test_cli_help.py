"""What --help shows: every setting in words of its own, once."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, fields
from typing import Any

import pytest

from unscene.cli.main import main
from unscene.config import describe
from unscene.encoders import known_encoders
from unscene.evaluate.finetuning.config import FinetuneConfig
from unscene.methods.registry import find_method, known_methods
from unscene.train import config as train_config
from unscene.train.config import RunConfig

Captured = pytest.CaptureFixture[str]
_NO_FLAGS = "data", "settings"
_LEAVES = ["pretrain", "evaluate finetune", "evaluate retrieve", "evaluate probe"]
_LEAVES += ["evaluate decouple", "audit", "views", "demo", "results", "reproduce", "doctor"]
_LEAVES += ["explore"]


def help_of(command: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        main([*command.split(), "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


def texts_of(page: str) -> dict[str, str]:
    """Texts by flag, without defaults."""
    parts = re.split(r"^  --(\w[\w-]*)", page, flags=re.MULTILINE)
    found = {}
    for name, rest in zip(parts[1::2], parts[2::2], strict=True):
        own = rest.split("\n\n")[0]  # the next group's title follows an empty line
        _, _, text = re.sub(r"\n {20,}", "  ", own.rstrip()).partition("  ")
        found[name] = re.sub(r"\([^()]*default: .*\)$", "", " ".join(text.split())).strip()
    return found


@pytest.mark.parametrize(
    ("command", "owners"),
    [
        ("pretrain", (RunConfig, find_method("dsm-triplet").settings)),
        ("pretrain --method hdc", (RunConfig, find_method("hdc").settings)),
        ("evaluate finetune", (FinetuneConfig,)),
    ],
)
def test_every_setting_has_a_text_of_its_own(
    command: str, owners: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    page = help_of(command, monkeypatch, capsys)
    texts = texts_of(page)
    names = {f.name for owner in owners for f in fields(owner)} - set(_NO_FLAGS)
    assert names <= set(texts)
    assert [name for name in names if len(texts[name]) < 8] == []
    assert [text for text, count in Counter(texts.values()).items() if count > 1] == []
    groups = re.findall(r"^\S.*:$", page, flags=re.MULTILINE)
    assert "to start with:" in groups or "to begin with:" in groups
    assert len(groups) >= 6


@pytest.mark.parametrize("command", _LEAVES)
def test_no_word_of_python_and_one_default(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    page = help_of(command, monkeypatch, capsys)
    for word in ("null", "None", "`", "type:", "[options]"):
        assert word not in page
    assert max(map(len, page.splitlines())) <= 80
    for name, text in texts_of(page).items():
        assert text, f"--{name} has no text"
        assert "default: " not in text, f"--{name} has two defaults"


@pytest.mark.parametrize("method", known_methods())
def test_help_of_a_method_shows_what_it_reads_and_nothing_else(
    method: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    texts = texts_of(help_of(f"pretrain --method {method}", monkeypatch, capsys))
    own = {field.name for field in fields(RunConfig)} - set(_NO_FLAGS)
    assert set(texts) == own | set(find_method(method).settings.names()) | {"config", "resume"}


def test_defaults_are_those_of_the_method(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    pages = {
        method: " ".join(help_of(f"pretrain --method {method}", monkeypatch, capsys).split())
        for method in ("moco", "cmd")
    }
    assert "length of the embedding (default: 128)" in pages["moco"]
    assert "length of the embedding (default: 512)" in pages["cmd"]
    unbroken = pages["moco"].replace(" ", "")  # lines break at hyphens, too
    assert all(f"{name}(" in unbroken for name in known_methods())
    assert "of your own (default: dsm-" in pages["moco"]


def test_the_encoders_are_named(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    page = " ".join(help_of("pretrain", monkeypatch, capsys).split())
    assert f"one of {', '.join(known_encoders())}, or a saved encoder" in page


def test_what_is_not_given_counts_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def build(given: dict[str, Any]) -> Any:
        seen.update(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(train_config, "build", build)
    monkeypatch.setattr("unscene.cli.pretrain.build", build)
    assert main(["pretrain", "films", "--lr", "0.5", "--encoder", "r3d18"]) == 130
    assert seen == {"data": "films", "lr": 0.5, "encoder": "r3d18"}


def test_texts_are_those_of_their_settings() -> None:
    """A line that goes on may begin with another setting's name and a colon."""

    @dataclass
    class Two:
        """Two.

        Attributes:
            first: of two, it has a longer text, which says of the
                second: nothing.
            second, third: alike.
        """

        first: int = 0
        second: int = 0
        third: int = 0

    assert describe(Two) == {
        "first": "of two, it has a longer text, which says of the second: nothing.",
        "second": "alike.",
        "third": "alike.",
    }
