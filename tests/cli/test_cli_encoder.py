"""The same `--encoder` text means the same model in every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from unscene.cli.main import main
from unscene.encoders import resolve_encoder, resolving, save_encoder
from unscene.synthetic.generate import ScenesReport

_SMALL = "--frames 4 --stride 1 --size 32 --workers 0 --batch_size 4"
_COMMANDS = {
    "retrieve": "evaluate retrieve {data} --workers 0",
    "probe": "evaluate probe {data} --train {data} --workers 0",
    "decouple": "evaluate decouple {data} --workers 0",
    "finetune": f"evaluate finetune {{data}} --train {{data}} --out run {_SMALL} --label motion",
    "audit": "audit {data} --out report --workers 0",
    "pretrain": f"pretrain {{data}} --out run --method moco --queue 8 {_SMALL} --max_steps 1",
}
_FORMS = {
    "r3d-narrow": "_untrained",  # although there is a folder of that name
    "./r3d-narrow": "_saved",
    "r3d-narrow/encoder.json": "_saved",
    "mine=./r3d-narrow": "_saved",
    "mymodels:ours": "_made",
    "hf:folder": "_pretrained",
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
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save_encoder(resolve_encoder("r2d-narrow").encoder, tmp_path / "r3d-narrow")
    called: list[str] = []

    def stop_at(name: str) -> None:
        def stop(*args: object) -> None:
            called.append(name)
            raise StoppedError

        monkeypatch.setattr(resolving, name, stop)

    for name in set(_FORMS.values()):
        stop_at(name)
    line = [*_COMMANDS[command].format(data=moving.train).split(), "--encoder", text]
    if text.startswith("hf:") and command in ("pretrain", "finetune"):
        assert main(line) == 1
        assert "training takes encoders of unscene" in capsys.readouterr().err
        assert not called
        return
    with pytest.raises(StoppedError):
        main(line)
    assert called == [_FORMS[text]]
