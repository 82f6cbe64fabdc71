"""Encoders on disk: what is written comes back, and everything else is refused by name."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path

import pytest
import torch

from unscene.encoders import (
    LoadReport,
    VideoEncoder,
    create_encoder,
    load_encoder,
    load_weights,
    read_spec,
    save_encoder,
)
from unscene.encoders.foreign import adapt
from unscene.errors import UnsceneError


def narrow(seed: int = 0, **options: int) -> VideoEncoder:
    torch.manual_seed(seed)
    encoder = create_encoder("r3d-narrow", **({"width": 4, "stages": 2} | options))
    encoder(torch.randn(2, 3, 4, 16, 16))  # moves the statistics of batch norm off 0 and 1
    return encoder.eval()


def feature(encoder: VideoEncoder) -> torch.Tensor:
    clip = torch.randn(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(9))
    with torch.inference_mode():
        return encoder.eval()(clip)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def edit_record(folder: Path, **changes: object) -> None:
    path = folder / "encoder.json"
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in record.items() if v is not None}))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "best"
    save_encoder(narrow(), folder)
    return folder


def test_a_saved_encoder_comes_back_to_the_bit(saved: Path) -> None:
    assert sorted(contents(saved)) == ["encoder.json", "encoder.safetensors"]
    for path in (saved, saved / "encoder.json", str(saved / "encoder.safetensors")):
        encoder = load_encoder(path)
        assert torch.equal(feature(encoder), feature(narrow()))
        assert encoder.spec == narrow().spec == read_spec(path)


def test_saving_twice_gives_the_same_bytes(saved: Path) -> None:
    before = contents(saved)
    save_encoder(load_encoder(saved).to(memory_format=torch.channels_last_3d), saved)
    assert contents(saved) == before


def test_a_name_in_place_of_a_folder(tmp_path: Path) -> None:
    written = save_encoder(narrow(), tmp_path / "v1.2.safetensors")
    assert written == tmp_path / "v1.2.safetensors"
    assert sorted(contents(tmp_path)) == ["v1.2.json", "v1.2.safetensors"]
    assert torch.equal(feature(load_encoder(tmp_path / "v1.2.json")), feature(narrow()))


def test_the_spec_of_the_training_is_kept(tmp_path: Path) -> None:
    encoder = narrow()
    facts = {"method": "dsm", "steps": 300, "data": {"fingerprint": "ab12"}}
    encoder.spec = dataclasses.replace(encoder.spec, frames=4, size=16, trained_on=facts)
    save_encoder(encoder, tmp_path)
    assert load_encoder(tmp_path).spec.trained_on == facts
    assert read_spec(tmp_path).frames == 4


def test_files_are_as_readable_as_any_other(saved: Path) -> None:
    plain = saved / "plain"
    plain.touch()
    assert {path.stat().st_mode for path in saved.iterdir()} == {plain.stat().st_mode}


@pytest.mark.parametrize("name", ["theirs", "r3d-narrow"])
def test_what_could_not_be_loaded_is_not_written(tmp_path: Path, name: str) -> None:
    theirs = adapt(torch.nn.Conv3d(3, 4, 3), name=name, frames=4, size=16)
    with pytest.raises(UnsceneError, match=f"{name}: only encoders of unscene .*hf:FOLDER"):
        save_encoder(theirs, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


# -- writing fails -------------------------------------------------------------------------------


@pytest.mark.parametrize("fails_at", [1, 2])
@pytest.mark.parametrize("first_time", [True, False])
def test_a_full_disk_keeps_the_previous_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int, first_time: bool
) -> None:
    if not first_time:
        save_encoder(narrow(seed=1), tmp_path)
    before = contents(tmp_path)
    calls = 0

    def full(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnsceneError, match=r"encoder.safetensors.*No space left.*free some space"):
        save_encoder(narrow(seed=2), tmp_path)
    assert contents(tmp_path) == before
    monkeypatch.undo()
    save_encoder(narrow(seed=2), tmp_path)
    assert torch.equal(feature(load_encoder(tmp_path)), feature(narrow(seed=2)))


def test_an_open_file_stays_readable_while_it_is_replaced(saved: Path) -> None:
    before = (saved / "encoder.safetensors").read_bytes()
    with (saved / "encoder.safetensors").open("rb") as reader:
        save_encoder(narrow(seed=1), saved)
        assert reader.read() == before


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("notes")
    with pytest.raises(UnsceneError, match=r"run: not an encoder"):
        save_encoder(narrow(), tmp_path / "run")
    with pytest.raises(UnsceneError, match=r"could not be written"):
        save_encoder(narrow(), tmp_path / "run" / "best")


# -- partial loads -------------------------------------------------------------------------------


def test_a_complete_load_reports_so(saved: Path) -> None:
    target = narrow(seed=7)
    report = load_weights(target, saved)
    assert report.complete
    assert report.matched == tuple(target.state_dict())
    assert str(report) == f"{len(report.matched)} matched"
    assert torch.equal(feature(target), feature(narrow()))


def test_a_partial_load_says_what_matched_and_copies_only_that(saved: Path) -> None:
    target = narrow(seed=7, stages=3)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    source = narrow().state_dict()
    report = load_weights(target, saved, strict=False)
    after = target.state_dict()

    # Both have stem, layers 0 and 1; layer 1 has another stride, not another shape.
    assert set(report.matched) == set(source)
    assert {key.split(".")[1] for key in report.missing} == {"2"}
    assert report.unexpected == report.mismatched == ()
    assert all(torch.equal(after[key], source[key]) for key in report.matched)
    assert all(torch.equal(after[key], before[key]) for key in report.missing)


def test_unexpected_and_mismatched_weights_are_distinguished(tmp_path: Path) -> None:
    save_encoder(narrow(stages=3, in_channels=3), tmp_path)
    torch.manual_seed(0)
    target = create_encoder("r3d-narrow", width=4, stages=2, in_channels=2)
    report = load_weights(target, tmp_path, strict=False)
    assert report.mismatched == ("stem.0.weight",)
    assert report.missing == ()
    assert {key.split(".")[1] for key in report.unexpected} == {"2"}
    assert not report.complete


def test_strict_refuses_a_partial_load_and_copies_nothing(saved: Path) -> None:
    target = narrow(seed=7, stages=3)
    before = feature(target)
    with pytest.raises(
        UnsceneError, match=r"do not fit ResNet3D: 36 matched; 18 missing \(layers\.2\..*, \.\.\.\)"
    ):
        load_weights(target, saved)
    assert torch.equal(feature(target), before)


def test_weights_of_which_none_fits_are_refused_even_if_not_strict(saved: Path) -> None:
    with pytest.raises(UnsceneError, match="no weight fits Linear: 0 matched; 2 missing"):
        load_weights(torch.nn.Linear(2, 2), saved, strict=False)


def test_a_report_shows_the_first_keys_only() -> None:
    report = LoadReport(("a",), (), tuple("bcdef"), ("g",))
    assert str(report) == "1 matched; 5 unexpected (b, c, d, ...); 1 mismatched (g)"


# -- reading what is no encoder ------------------------------------------------------------------


class Trap:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["model.pt", "encoder.safetensors"])
def test_a_pickle_is_never_opened(saved: Path, name: str) -> None:
    torch.save({"weight": Trap(saved / "sprung")}, saved / name)
    for read in (load_encoder, lambda path: load_weights(narrow(), path)):
        with pytest.raises(UnsceneError, match=rf"{name}: (not |holds an object of)"):
            read(saved / name)
    assert not (saved / "sprung").exists()


@pytest.mark.parametrize("kept", [0, 4, 200, -1])
def test_a_cut_file_is_refused(saved: Path, kept: int) -> None:
    path = saved / "encoder.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UnsceneError, match=r"encoder.safetensors: not a complete safetensors file"):
        load_encoder(saved)


def test_weights_of_another_run_are_refused(saved: Path, tmp_path: Path) -> None:
    other = save_encoder(narrow(seed=1), tmp_path / "other")
    other.replace(saved / "encoder.safetensors")
    with pytest.raises(UnsceneError, match=r"not the weights that encoder.json describes"):
        load_encoder(saved)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "not readable as JSON"),
        ("", "not readable as JSON"),
        ("[]", "not the record of an encoder"),
        ('{"name": "c3d"}', "not the record of an encoder"),
    ],
)
def test_a_wrong_record_is_refused(saved: Path, text: str, message: str) -> None:
    (saved / "encoder.json").write_text(text)
    with pytest.raises(UnsceneError, match=rf"encoder.json: {message}"):
        load_encoder(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2, "unscene": "9.9"}, r"format 2 by unscene 9\.9.*upgrade unscene"),
        ({"format": None}, "no `format` number"),
        ({"frames": None, "color": 1}, r"\['color', 'frames'\]"),
        ({"frames": "many"}, "frames must be a whole number"),
        ({"name": "r3d-broad"}, "no encoder is called 'r3d-broad'.*did you mean 'r3d-narrow'"),
        ({"options": {"depth": 3}}, "no option depth"),
        ({"dim": 99}, "has 3 channels and dim 8, but the record says 3 and 99"),
        ({"mean": [0.5], "std": [0.5]}, "but the record says 1 and 8"),
    ],
)
def test_a_record_that_builds_no_such_encoder_is_refused(
    saved: Path, changes: dict[str, object], message: str
) -> None:
    edit_record(saved, **changes)
    with pytest.raises(UnsceneError, match=rf"encoder.json: .*{message}"):
        load_encoder(saved)


def test_a_record_of_another_width_is_refused(saved: Path) -> None:
    edit_record(saved, options={"width": 8, "stages": 1})  # dim 8 as before
    with pytest.raises(UnsceneError, match=r"encoder.safetensors: the weights do not fit"):
        load_encoder(saved)


@pytest.mark.parametrize("name", ["encoder.json", "encoder.safetensors"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(UnsceneError, match=rf"{name}: no such file"):
        load_encoder(saved)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsceneError, match=r"nowhere/encoder.json: no such file"):
        load_encoder(tmp_path / "nowhere")
    with pytest.raises(UnsceneError, match=r"nowhere/encoder.safetensors: no such file"):
        load_weights(narrow(), tmp_path / "nowhere")
