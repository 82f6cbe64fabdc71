"""The same `--encoder` text means the same model in every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from unscene.cli.main import main
from unscene.encoders import (
    create_encoder,
    load_encoder,
    resolve_encoder,
    resolving,
    save_encoder,
)
from unscene.encoders.checkpoints import SPEC
from unscene.evaluate.embed import embed
from unscene.results.rows import read_rows
from unscene.synthetic.generate import ScenesReport

_SMALL = "--frames 4 --stride 1 --size 32 --workers 0 --batch_size 4"
_COMMANDS = {
    "retrieve": "evaluate retrieve {data} --workers 0",
    "probe": "evaluate probe {data} --train {data} --workers 0",
    "decouple": "evaluate decouple {data} --workers 0",
    "finetune": f"evaluate finetune {{data}} --train {{data}} --out run {_SMALL} --label motion",
    "audit": "audit {data} --out report --workers 0",
    "pretrain": f"pretrain {{data}} --out run --method moco --queue 8 {_SMALL} --max_steps 1",
    "embed": "",  # a function of Python
}
_FORMS = {
    "r3d-narrow": "_untrained",  # although there is a folder of that name
    "./r3d-narrow": "_saved",
    "r3d-narrow/encoder.json": "_saved",
    "mine=./r3d-narrow": "_saved",
    "mymodels:ours": "_made",
    "hf:folder": "_pretrained",
    "published.pth": "_published",
    "mine=published.pth": "_published",
    "published.safetensors": "_published",  # without a .json beside it
    "run.ckpt": "_published",
}


class StoppedError(Exception):
    """Raised in place of the function that was to be called."""


@pytest.mark.parametrize("command", _COMMANDS)
@pytest.mark.parametrize("text", _FORMS)
def test_every_command_resolves_it_alike(
    command: str,
    text: str,
    moving: ScenesReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_encoder(resolve_encoder("r2d-narrow").encoder, tmp_path / "r3d-narrow")
    for name in ("published.pth", "published.safetensors", "run.ckpt"):
        (tmp_path / name).touch()
    called: list[str] = []

    def stop_at(name: str) -> None:
        def stop(*args: object) -> None:
            called.append(name)
            raise StoppedError

        monkeypatch.setattr(resolving, name, stop)

    for name in set(_FORMS.values()):
        stop_at(name)
    line = [*_COMMANDS[command].format(data=moving.train).split(), "--encoder", text]
    with pytest.raises(StoppedError):
        embed(str(moving.train), text) if command == "embed" else main(line)
    assert called == [_FORMS[text]]


@pytest.fixture(scope="module")
def saved_in_every_way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one encoder, saved by unscene, as a checkpoint, and as plain weights."""
    folder = tmp_path_factory.mktemp("encoders")
    torch.manual_seed(8)
    encoder = create_encoder("r3d-narrow")
    save_encoder(encoder, folder / "saved")
    weights = encoder.state_dict()
    safetensors.torch.save_file(weights, folder / "plain.safetensors")
    torch.save({"epoch": 1, "model": wrap("module.", weights)}, folder / "plain.pth")
    training = {"state_dict": wrap("method.encoder.", weights), SPEC: encoder.spec.to_json()}
    torch.save(training, folder / "run.ckpt")
    return folder


def wrap(prefix: str, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}{key}": tensor for key, tensor in weights.items()}


def measure(command: str, line: str, encoder: str) -> Any:
    """What a command finds with an encoder: scores, weights or features."""
    if command == "embed":
        return embed(line, encoder, clips_per_video=1).values.tolist()
    assert main([*line.split(), "--encoder", encoder]) == 0
    if command == "pretrain":
        return {k: v.tolist() for k, v in load_encoder("run").state_dict().items()}
    if command == "audit":
        found = json.loads(Path("report/audit.json").read_text())
        return [(m["verdict"]["value"], m["measures"]) for m in found["models"]]
    file = "run/results.jsonl" if command == "finetune" else "rows.jsonl"
    return {row["metric"]: row["value"] for row in read_rows(Path(file))}


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_command_finds_the_same_however_the_encoder_was_saved(
    command: str,
    saved_in_every_way: Path,
    moving: ScenesReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = (_COMMANDS[command] or "{data}").format(data=moving.train)
    line += {"audit": " --measures time", "finetune": " --max_steps 1"}.get(command, "")
    if command in ("retrieve", "probe", "decouple"):
        line += " --clips 1 --no-baseline --out rows.jsonl"
    found = {}
    for name in ("saved", "plain.pth", "plain.safetensors", "run.ckpt"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        found[name] = measure(command, line, str(saved_in_every_way / name))
    assert found["saved"]
    assert all(values == found["saved"] for values in found.values())
