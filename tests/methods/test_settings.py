"""The printed numbers, the presets, and what is said about values that cannot be."""

from __future__ import annotations

from dataclasses import fields

import pytest

from unscene.config import as_plain, convert_values
from unscene.errors import UnsceneError
from unscene.methods import dsm
from unscene.methods.registry import keep_read, resolve

# Whose numbers the DSM paper and its code give.
OF_DSM = ("moco", "dsm", "dsm-triplet")
PRESETS = ("default", "paper", "official-code")
# A method that reads a setting, for settings that MoCo does not read.
READER = {
    **dict.fromkeys(("margin", "warp_reach", "flow_max", "warp_points", "shift_range"), "unscene"),
    **dict.fromkeys(("basic_on", "flow", "warp"), "unscene"),
    **dict.fromkeys(("contrasts", "sc_pool", "crop_reach", "stages", "stage_weights"), "hdc"),
}


@pytest.mark.parametrize("method", OF_DSM)
def test_paper_numbers(method: str) -> None:
    s = resolve(method, "paper")
    if method != "dsm-triplet":
        assert (s.temperature, s.key_momentum, s.queue) == (1.0, 0.99, 6536)
    assert (s.optimizer, s.lr, s.momentum, s.weight_decay) == ("sgd", 0.003, 0.9, 5e-4)
    assert (s.schedule, s.drops) == ("step", (80, 120, 160))
    assert (s.batch_size, s.epochs) == (128, 200)
    assert (s.frames, s.stride, s.dim, s.head) == (16, 4, 128, "linear")
    if method != "moco":
        assert (s.warp_reach, s.flow_max, s.shift_range) == (0.2, 5.0, (2, 20))
    if method == "dsm-triplet":
        assert s.margin == 0.5
    assert s.warmup == 0


@pytest.mark.parametrize("method", OF_DSM)
def test_official_code_numbers(method: str) -> None:
    s = resolve(method, "official-code")
    assert s.weight_decay == 1e-4
    if method != "dsm-triplet":
        assert (s.temperature, s.key_momentum) == (0.07, 0.999)
        assert (s.queue, s.queue_of, s.trained_negative) == (16384, "key", True)
    if method != "moco":
        assert (s.basic_on, s.warp_kind, s.warp_on) == ("all", "bumps", "anchor")
        assert s.shift_start == "anywhere"
    assert (s.epochs, s.drops) == (240, (120, 160, 200))
    assert s.augmentation == "dsm-code"
    assert not getattr(s, "flow_scaling", False)


def test_which_disturbances_each_method_has() -> None:
    for preset in PRESETS:
        moco = resolve("moco", preset)
        assert not {"warp", "flow_scaling", "shift", "basic_on"} & set(moco.names())
        assert moco.queue_of == "key"
        assert moco.batch_negatives == (preset == "default")
        for method in ("dsm", "dsm-triplet"):
            s = resolve(method, preset)
            assert s.warp
            assert s.shift
            assert s.flow_scaling == (preset != "official-code")
    assert resolve("dsm", "paper").basic_on == "anchor"
    assert resolve("dsm", "paper").queue_of == "anchor"
    assert resolve("dsm").basic_on == "all"


def test_overrides_win_and_none_means_unset() -> None:
    s = resolve("dsm", "paper", {"lr": 0.5, "queue": None, "drops": [1, 2]})
    assert (s.lr, s.queue, s.drops) == (0.5, 6536, (1, 2))
    changed = {
        f.name for f in fields(s) if getattr(s, f.name) != getattr(resolve("dsm", "paper"), f.name)
    }
    assert changed == {"lr", "drops"}


def test_as_plain_resolves_to_itself() -> None:
    s = resolve("dsm-triplet", "official-code", {"frames": 8})
    assert resolve("dsm-triplet", "default", as_plain(s)) == s
    moco = resolve("moco", "default", keep_read("moco", as_plain(s)))
    assert (moco.frames, moco.lr, moco.drops) == (8, s.lr, s.drops)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("dms",), ["unknown method 'dms'", "did you mean dsm?", "dsm, dsm-triplet, hdc, moco"]),
        (("dsm", "papers"), ["unknown preset", "default, paper, official-code"]),
        (("hdc", "official-code"), ["no preset", "default, paper"]),
        (("dsm", "paper", {"temprature": 1}), ["unknown setting", "did you mean temperature?"]),
    ],
)
def test_unknown_names_list_the_known(arguments: tuple, said: list[str]) -> None:
    with pytest.raises(UnsceneError) as caught:
        resolve(*arguments)
    for text in said:
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frames", 0), ("stride", 0), ("size", -1), ("dim", 0), ("queue", -1), ("epochs", 0),
        ("batch_size", 0), ("temperature", 0.0), ("lr", -1.0), ("lr", float("nan")),
        ("margin", -0.1), ("weight_decay", -1.0), ("warp_reach", -1.0), ("flow_max", -1.0),
        ("momentum", -1.0), ("warp_points", 1), ("key_momentum", 1.5), ("warmup", 1.0),
        ("shift_range", (5, 2)), ("shift_range", (-1, 2)), ("augmentation", "strong"),
        ("basic_on", "none"), ("flow", "raft"), ("head", "deep"), ("queue_of", "b"),
        ("optimizer", "lars"), ("schedule", "linear"), ("contrasts", "all"), ("sc_pool", "1d"),
        ("stages", 0), ("stage_weights", (1.0,)), ("stage_weights", (0.0, 0.0, 0.0)),
        ("stage_weights", (-1.0, 1.0, 1.0)), ("stage_weights", (1.0, float("nan"), 1.0)),
        ("crop_reach", -1),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_named(field: str, value: object) -> None:
    with pytest.raises(UnsceneError, match=field) as caught:
        resolve(READER.get(field, "moco"), "default", {field: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("lr", "fast", "a number"), ("frames", 4.5, "a whole number"),
        ("frames", True, "a whole number"), ("warp", "yes", "true or false"),
        ("drops", 3, "a list"), ("drops", "35", "a list"), ("shift_range", [1], "2 whole numbers"),
        ("head", "deep", "one of linear, mlp"), ("stage_weights", 1.0, "a list of numbers"),
        ("stage_weights", ["a"], "a number"),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_named(field: str, value: object, words: str) -> None:
    with pytest.raises(UnsceneError, match=field) as caught:
        resolve(READER.get(field, "moco"), "default", {field: value})
    assert words in str(caught.value)


def test_numbers_that_yaml_reads_as_text_are_numbers() -> None:
    assert convert_values(dsm.Settings, {"lr": "1e-3", "queue": 64.0}) == {"lr": 1e-3, "queue": 64}


def test_flow_scaling_of_one_frame_is_refused() -> None:
    with pytest.raises(UnsceneError, match="frames 1"):
        resolve("dsm", "paper", {"frames": 1})
    assert resolve("moco", "paper", {"frames": 1}).frames == 1


def test_an_open_queue_suits_the_number_of_videos() -> None:
    open_ = resolve("dsm")
    assert open_.queue == 0
    assert open_.fit(1000).queue == 125
    assert open_.fit(2).queue == 1
    assert open_.fit(10**6).queue == 4096
    assert resolve("dsm", "paper").fit(10).queue == 6536
