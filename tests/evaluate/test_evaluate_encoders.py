"""`--encoder` means the same model in every protocol that evaluates a frozen encoder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from foreign_parts import tiny
from unscene.data.listing import open_catalog
from unscene.encoders import resolve_encoder, save_encoder
from unscene.errors import UnsceneError
from unscene.evaluate.features import extract
from unscene.evaluate.probing import probe
from unscene.evaluate.retrieval import retrieve
from unscene.evaluate.run import evaluate, evaluate_decoupling
from unscene.synthetic.generate import ScenesReport

FACTORY = """
def average():
    return (lambda clip: clip.mean(dim=(3, 4)).flatten(1)), {"frames": 4, "size": 32, "stride": 1}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One encoder of each kind, in the current folder."""
    save_encoder(resolve_encoder("r3d-narrow").encoder, tmp_path / "saved")
    (tmp_path / "evaluated_models.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("saved", "random"),
        ("r3d-narrow", "random"),
        ("hf:mae", "mae"),
        ("evaluated_models:average", "average"),
        ("mine=evaluated_models:average", "mine"),
    ],
)
def test_every_form_in_every_protocol(
    text: str, method: str, folder: Path, moving: ScenesReport
) -> None:
    if text == "hf:mae":
        tiny("videomae").save_pretrained(folder / "mae")
    train, test = str(moving.train), str(moving.seen)
    encoder = resolve_encoder(text).encoder
    known, query = (extract(encoder, open_catalog(data).videos, clips=2) for data in (train, test))
    runs: dict[str, Any] = {
        "retrieve": partial(evaluate, "retrieve", test, train=train, clips=2),
        "probe": partial(evaluate, "probe", test, train=train, clips=2),
    }
    expected = {"retrieve": retrieve(query, known), "probe": probe(known, query).scores}
    for protocol, run in runs.items():
        rows = [row for row in run(encoder=text) if not row.twin_of]
        assert {row.metric: row.value for row in rows} == {
            metric: score.value for metric, score in expected[protocol].items()
        }
        assert {(row.method, row.encoder) for row in rows} == {(method, encoder.spec.name)}
        assert {row.test["frames"] for row in rows} == {encoder.spec.frames}
        assert {row.name for row in rows} == {"mine" if "=" in text else ""}
    found, again = (
        {row.metric: row.value for row in evaluate_decoupling(test, one, baseline=False)}
        for one in (text, encoder)
    )
    assert found == again
    assert 0 <= found["decoupling_trained"] <= 1


def test_clips_of_a_model_without_maps_are_refused(folder: Path, moving: ScenesReport) -> None:
    with pytest.raises(UnsceneError, match=r"average: .*map"):
        evaluate("retrieve", str(moving.train), "evaluated_models:average", mode="clip")
