"""A stopped and resumed run equals an unbroken one, bit by bit."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from interrupted import at, checkpoint, crash, interrupt, silent, terminate
from unscene.cli.main import main
from unscene.config import continue_config, read_config
from unscene.data.listing import open_catalog
from unscene.encoders import load_encoder
from unscene.errors import UnsceneError
from unscene.methods.moco import MoCo, Settings
from unscene.synthetic.generate import ScenesReport
from unscene.train.config import build, flat
from unscene.train.pretrain import pretrain, pretrain_once

Make = Callable[..., Any]


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for key in sorted(value, key=str) for t in tensors(value[key])]
    return [t for item in value for t in tensors(item)] if isinstance(value, list) else []


def assert_same_run(one: Path, other: Path) -> None:
    a, b = checkpoint(one), checkpoint(other)
    assert a["global_step"] == b["global_step"]
    assert a["state_dict"].keys() == b["state_dict"].keys()
    names = a["state_dict"].keys()
    assert any("queue.features" in name for name in names)
    assert any("momentum_encoder.network" in name for name in names)
    for name in names:
        assert torch.equal(a["state_dict"][name], b["state_dict"][name]), name
    for ours, theirs in zip(a["optimizer_states"], b["optimizer_states"], strict=True):
        mine, other_ = tensors(ours["state"]), tensors(theirs["state"])
        assert len(mine) == len(other_) > 0
        assert all(torch.equal(x, y) for x, y in zip(mine, other_, strict=True))
    assert a["lr_schedulers"][0]["last_epoch"] == b["lr_schedulers"][0]["last_epoch"]
    encoders = [(out / "encoder.safetensors").read_bytes() for out in (one, other)]
    assert encoders[0] == encoders[1]


def logged(out: Path) -> list[tuple[int, str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return [(int(row["step"]), row["loss"]) for row in csv.DictReader(file)]


STEPS = 6


@pytest.fixture(scope="module")
def unbroken(tiny: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    pretrain(tiny(out, max_steps=STEPS), report=silent)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_ctrl_c_and_resume(workers: int, tiny: Make, tmp_path: Path, unbroken: Path) -> None:
    config = tiny(tmp_path, max_steps=STEPS, workers=workers)
    outcome = pretrain(config, report=at(2, interrupt))
    assert not outcome.finished
    assert 2 <= outcome.steps < STEPS
    assert "continue with: unscene pretrain --resume" in outcome.account
    assert load_encoder(tmp_path).spec.trained_on["steps"] == outcome.steps
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    again = pretrain(config, resume=True, report=silent)
    assert again.finished
    assert again.steps == STEPS
    assert_same_run(tmp_path, unbroken)
    assert logged(tmp_path) == logged(unbroken)  # each step once, the earlier ones kept


@pytest.mark.slow
def test_what_the_network_draws_is_resumed_too(tiny: Make, tmp_path: Path) -> None:
    """CMD's transformer has dropout, whose masks are of the step, not of the process."""
    names = {"method": "cmd", "max_steps": 4, "side_encoders": "narrow", "motion_frames": 4}
    changes = names | {"predictor_dim": 16, "predictor_hidden": 12, "motion_negatives": 1}
    pretrain(tiny(tmp_path / "whole", **changes), report=silent)
    config = tiny(tmp_path / "parts", **changes)
    pretrain(config, report=at(2, interrupt))
    pretrain(config, resume=True, report=silent)
    whole, parts = (checkpoint(tmp_path / name)["state_dict"] for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert logged(tmp_path / "whole") == logged(tmp_path / "parts")


def test_sigterm_saves_too(tiny: Make, tmp_path: Path) -> None:
    outcome = pretrain(tiny(tmp_path, max_steps=STEPS), report=at(2, terminate))
    assert 2 <= outcome.steps < STEPS
    assert checkpoint(tmp_path)["global_step"] == outcome.steps


def test_a_crash_goes_back_to_the_last_checkpoint(
    tiny: Make, tmp_path: Path, unbroken: Path
) -> None:
    config = tiny(tmp_path, max_steps=STEPS, save_every=2)
    with pytest.raises(RuntimeError, match="power cut"):
        pretrain(config, report=at(5, crash))
    assert checkpoint(tmp_path)["global_step"] == 4
    pretrain(config, resume=True, report=silent)
    assert_same_run(tmp_path, unbroken)
    assert logged(tmp_path) == logged(unbroken)


def test_resuming_twice_and_resuming_what_is_finished(
    tiny: Make, tmp_path: Path, unbroken: Path
) -> None:
    config = tiny(tmp_path, max_steps=STEPS)
    pretrain(config, report=at(1, interrupt))
    pretrain(config, resume=True, report=at(4, interrupt))
    last = pretrain(config, resume=True, report=silent)
    summary = (tmp_path / "summary.json").read_text()
    done = pretrain(config, resume=True, report=silent)
    assert done.finished
    assert done.steps == STEPS
    assert done == last
    assert (tmp_path / "summary.json").read_text() == summary
    assert_same_run(tmp_path, unbroken)
    assert logged(tmp_path) == logged(unbroken)


def test_seconds_of_the_earlier_part_are_counted(tiny: Make, tmp_path: Path) -> None:
    config = tiny(tmp_path, max_steps=3)
    pretrain(config, report=at(1, interrupt))
    path = tmp_path / "last.ckpt"
    saved = checkpoint(tmp_path)
    saved["callbacks"]["Saver"]["seconds"] = 1000.0
    torch.save(saved, path)
    pretrain(config, resume=True, report=silent)
    assert 1000 < load_encoder(tmp_path).spec.trained_on["seconds"] < 1100


@pytest.mark.parametrize("where", ["checkpoint", "encoder"])
def test_a_full_disk_leaves_what_was_saved(
    where: str, tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbroken: Path
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    saves, syncs = L.Trainer.save_checkpoint, os.fsync
    calls = {"checkpoint": 0, "encoder": 0}

    def save(self: L.Trainer, path: Path, *rest: Any, **more: Any) -> None:
        calls["checkpoint"] += 1
        if where == "checkpoint" and calls["checkpoint"] > 1:
            Path(path).write_bytes(b"half a checkpoint")
            raise full
        saves(self, path, *rest, **more)

    def sync(file: int) -> None:
        calls["encoder"] += 1
        if where == "encoder" and calls["encoder"] > 2:  # weights and record of the first save
            raise full
        syncs(file)

    config = tiny(tmp_path, max_steps=STEPS, save_every=2)
    with monkeypatch.context() as patch:
        patch.setattr(L.Trainer, "save_checkpoint", save)
        patch.setattr(os, "fsync", sync)
        with pytest.raises(UnsceneError, match=r"No space left on device.*--resume") as caught:
            pretrain(config, report=silent)
    assert str(tmp_path) in str(caught.value)
    assert "step 2" in str(caught.value)
    assert load_encoder(tmp_path).spec.trained_on["steps"] == 2
    assert checkpoint(tmp_path)["global_step"] == (2 if where == "checkpoint" else 4)
    assert not list(tmp_path.glob(".*"))  # no half-written file is left
    pretrain(config, resume=True, report=silent)
    assert_same_run(tmp_path, unbroken)


def test_a_checkpoint_of_other_networks_is_refused(tiny: Make, tmp_path: Path) -> None:
    config = tiny(tmp_path)
    pretrain(config, report=at(1, interrupt))
    saved = checkpoint(tmp_path)
    last = list(saved["state_dict"])[-1]
    del saved["state_dict"][last]
    torch.save(saved, tmp_path / "last.ckpt")
    before = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(f"# as its version wrote it\n{before}")
    with pytest.raises(UnsceneError, match=rf"last.ckpt: .*{re.escape(last)}.*another --out"):
        pretrain(config, resume=True, report=silent)
    assert (tmp_path / "config.yaml").read_text() == f"# as its version wrote it\n{before}"


def test_resume_without_a_run(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(UnsceneError, match=r"no last.ckpt to resume from"):
        pretrain(tiny(tmp_path), resume=True)


def test_config_round_trip(unbroken: Path) -> None:
    saved = read_config(unbroken / "config.yaml")
    assert flat(build(saved)) == saved


def test_the_command_in_the_config_reproduces_the_run(unbroken: Path, tmp_path: Path) -> None:
    file = unbroken / "config.yaml"
    command = file.read_text().splitlines()[0].split("`")[1]
    assert command.startswith("unscene pretrain ")
    words = {"THIS_FILE": str(file), "OTHER_FOLDER": str(tmp_path)}
    assert main([words.get(word, word) for word in command.split()[1:]]) == 0
    assert_same_run(tmp_path, unbroken)


def test_resume_from_another_configuration_says_what_differs(unbroken: Path) -> None:
    saved = read_config(unbroken / "config.yaml")
    with pytest.raises(UnsceneError) as caught:
        continue_config(build, flat, saved, {"lr": 0.5, "method": "moco", "workers": 3, "seed": 0})
    message = str(caught.value)
    assert "lr: was 0.001, now 0.5" in message
    assert "method: was 'dsm', now 'moco'" in message
    assert "workers" not in message  # free to change
    assert "seed" not in message  # the same
    assert continue_config(build, flat, saved, {"workers": 3}).workers == 3
    assert json.dumps(flat(continue_config(build, flat, saved, {}))) == json.dumps(saved)


def test_called_once_more_it_goes_on_or_does_nothing(tiny: Make, tmp_path: Path) -> None:
    config = tiny(tmp_path, max_steps=3, save_every=1)
    with pytest.raises(KeyboardInterrupt):
        pretrain_once(replace(config, workers=1), report=at(1, interrupt))
    (tmp_path / "summary.json").unlink()  # as after a power cut
    outcome = pretrain_once(config)
    assert outcome is not None
    assert outcome.finished
    assert pretrain_once(config) is None
    with pytest.raises(UnsceneError, match="max_steps: was 3, now 4"):
        pretrain_once(replace(config, max_steps=4))


def test_an_open_queue_is_no_other_configuration(tiny: Make, tmp_path: Path) -> None:
    config = tiny(tmp_path, max_steps=3, queue=0)
    with pytest.raises(KeyboardInterrupt):
        pretrain_once(config, report=at(1, interrupt))
    assert pretrain_once(config, report=silent) is not None
    assert pretrain_once(config) is None
    with pytest.raises(UnsceneError, match="queue: was 1, now 6"):
        pretrain_once(replace(config, settings=replace(config.settings, queue=6)))


def test_an_open_queue_counts_the_videos_that_are_trained_on(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Settings, "fit", lambda s, videos: s if s.queue else replace(s, queue=videos)
    )
    monkeypatch.setattr(MoCo, "refuses", lambda _, video: "no" if video.path[-5] in "01" else None)
    made = pretrain(tiny(tmp_path / "a", method="moco", queue=0), report=silent)
    assert "6 videos used, 2 skipped" in made.account
    config = read_config(made.out / "config.yaml")
    assert config["queue"] == 6
    # Its weights are those of a run with that queue.
    pretrain(build(config | {"out": str(tmp_path / "b")}), report=silent)
    one, other = (checkpoint(tmp_path / name)["state_dict"] for name in "ab")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_number_of_processes_is_refused(tiny: Make, tmp_path: Path) -> None:
    config = tiny(tmp_path)
    pretrain(config, report=at(1, interrupt))
    saved = checkpoint(tmp_path)
    assert saved["processes"] == 1
    for devices in (2, 8):
        with pytest.raises(UnsceneError, match=rf"1 processes .* would be {devices}.*--devices 1"):
            pretrain(replace(config, devices=devices), resume=True, report=silent)
    torch.save(saved | {"processes": 8}, tmp_path / "last.ckpt")
    with pytest.raises(UnsceneError, match=r"8 processes .* would be 1.*--devices 8"):
        pretrain(config, resume=True, report=silent)


def test_other_videos_are_refused_and_counted(
    tiny: Make, tmp_path: Path, moving: ScenesReport
) -> None:
    data, kept = tmp_path / "data", tmp_path / "kept.mp4"
    shutil.copytree(moving.train.parent / "train", data)
    config = tiny(tmp_path / "run", data=str(data))
    pretrain(config, report=at(1, interrupt))
    catalog = open_catalog(data)
    relabelled = tuple(replace(video, label="other") for video in catalog.videos)
    for videos, said in (
        (catalog.videos[1:], "of 8, 0 came and 1 went"),
        (catalog.videos[::-1], "of 8, all are here, but in another order"),
    ):
        with pytest.raises(UnsceneError, match=said):
            pretrain(config, resume=True, catalog=replace(catalog, videos=videos), report=silent)
    shutil.move(data / "00003.mp4", kept)
    shutil.copy(data / "00004.mp4", data / "00009.mp4")
    with pytest.raises(UnsceneError, match=r"of 8, 1 came and 1 went.*Put back .*another --out"):
        pretrain(config, resume=True, report=silent)
    (data / "00009.mp4").unlink()
    shutil.move(kept, data / "00003.mp4")
    same = replace(open_catalog(data), videos=relabelled)  # nothing here reads labels
    assert pretrain(config, resume=True, catalog=same, report=silent).finished


def test_the_account_of_a_resumed_run_is_of_all_its_parts(
    tiny: Make, tmp_path: Path, moving: ScenesReport
) -> None:
    shutil.copytree(moving.train.parent / "train", tmp_path / "data")
    config = tiny(tmp_path / "run", data=str(tmp_path / "data"), max_steps=STEPS)
    catalog = open_catalog(config.data)
    bad = tmp_path / "data" / "00003.mp4"
    whole = bad.read_bytes()
    bad.write_bytes(bytes(len(whole)))
    first = pretrain(config, catalog=catalog, report=at(3, interrupt))
    bad.write_bytes(whole)
    second = pretrain(config, resume=True, catalog=catalog, report=silent)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [entry["path"] for entry in summary["failed"]] == [str(bad)]
    assert second.seconds > first.seconds > 0
    clips = STEPS * config.settings.batch_size
    assert second.clips_per_second * second.seconds == pytest.approx(clips)
