"""Encoders by name, and the spec that describes one."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from unscene import __version__
from unscene.encoders import EncoderSpec, create_encoder, known_encoders
from unscene.errors import UnsceneError


def test_known_encoders_are_sorted_names() -> None:
    assert known_encoders() == sorted(known_encoders())
    assert {"c3d", "i3d", "s3dg", "r3d34", "r2plus1d18", "r3d-narrow"} <= set(known_encoders())


@pytest.mark.parametrize(("typed", "meant"), [("r3d81", "r3d18"), ("C3d", "c3d"), ("s3d", "s3dg")])
def test_an_unknown_name_lists_the_known_ones_and_the_closest(typed: str, meant: str) -> None:
    with pytest.raises(UnsceneError) as caught:
        create_encoder(typed)
    message = str(caught.value)
    assert repr(typed) in message
    assert f"did you mean '{meant}'?" in message
    assert all(name in message for name in known_encoders())


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(UnsceneError, match=r"'vit'\. Known encoders: c3d, "):
        create_encoder("vit")


def test_an_unknown_option_lists_the_accepted_ones() -> None:
    with pytest.raises(UnsceneError, match=r"r3d-narrow has no option wide.*stages, width"):
        create_encoder("r3d-narrow", wide=8)
    with pytest.raises(UnsceneError, match=r"c3d has no option width; it accepts input"):
        create_encoder("c3d", width=8)
    with pytest.raises(UnsceneError, match=r"r3d18 has no option depth"):
        create_encoder("r3d18", depth=34)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("r3d-narrow", {"width": 0}, "width must be a whole number > 0, got 0"),
        ("r3d-narrow", {"stages": 2.5}, "stages must be a whole number > 0, got 2.5"),
        ("r3d-narrow", {"width": "16"}, "width must be a whole number > 0, got '16'"),
        ("r3d10", {"in_channels": True}, "in_channels must be a whole number > 0, got True"),
        ("r2plus1d10", {"stem": "wide"}, "stem must be one of .*'hara'.* got 'wide'"),
        ("r2plus1d10", {"layout": "hara"}, "layout must be one of .*'vcop'.* got 'hara'"),
        ("r3d10", {"shortcut": "C"}, "shortcut must be one of .*'A', 'B'.* got 'C'"),
        ("i3d", {"padding": "valid"}, "padding must be one of .*'same'.* got 'valid'"),
        ("s3dg", {"gating": True}, "gating must be one of .*'blocks'.* got True"),
        ("s3dg", {"norm_eps": 0.0}, "norm_eps must be a number above 0"),
    ],
)
def test_an_impossible_value_is_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UnsceneError, match=message):
        create_encoder(name, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("c3d", {}),
        ("r3d10", {"stem": "cmd", "in_channels": 2}),
        ("r3d-narrow", {"width": 4, "stages": 2, "in_channels": 1}),
        ("r3d18", {"shortcut": "A", "stem": "tran"}),
        ("r2plus1d10", {"layout": "vcop", "stem": "tran", "in_channels": 2}),
        ("mc3-18", {}),
        ("i3d", {"padding": "same"}),
        ("s3dg", {"gating": "blocks", "norm_eps": 1e-5}),
    ],
)
def test_the_spec_rebuilds_the_same_architecture(name: str, options: dict[str, object]) -> None:
    with torch.device("meta"):
        first = create_encoder(name, **options)
        spec = EncoderSpec.from_json(json.loads(json.dumps(first.spec.to_json())))
        second = create_encoder(spec.name, **spec.options)
    assert spec == first.spec == second.spec
    assert spec.unscene == __version__
    shapes = [{k: v.shape for k, v in e.state_dict().items()} for e in (first, second)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "frames must be a whole number"),
        ({"size": 112.0}, "size must be a whole number"),
        ({"mean": "grey"}, "mean must be a list of numbers"),
        ({"std": (0.2, 0.2)}, "one value per channel"),
        ({"std": (0.2, 0.2, 0.0)}, "std must be above 0"),
        ({"options": None}, "options must be a table"),
    ],
)
def test_an_impossible_spec_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UnsceneError, match=message):
        dataclasses.replace(EncoderSpec("c3d", {}, dim=512), **change)


@pytest.mark.parametrize("value", [torch.zeros(1), float("nan"), {1, 2}])
def test_a_spec_that_json_cannot_hold_is_refused(value: object) -> None:
    spec = EncoderSpec("c3d", {}, dim=512, trained_on={"loss": value})
    with pytest.raises(UnsceneError, match="spec of c3d: options and trained_on must be JSON"):
        spec.to_json()
