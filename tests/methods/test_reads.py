"""The settings of a method are those that it reads."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from method_parts import batch_for, small_encoder
from noise import noise, vectors
from test_precision import SIDE, SMALL, B, T, clip

from unscene.config import OptimizerSettings
from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.encoders import create_encoder
from unscene.errors import UnsceneError
from unscene.methods.registry import (
    check_read,
    create_method,
    find_method,
    keep_read,
    known_methods,
    resolve,
    setting_names,
)
from unscene.methods.settings import ClipSettings
from unscene.video.probe import VideoInfo

TRAINING = {field.name for field in fields(OptimizerSettings)}

# Flags that make a method look at others.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "cmd": [{"motion_loss": "l2", "predictor": "linear"}, {"motion_from": "flow"}],
    "unscene": [{"motion_loss": "nce", "predictor": "transformer"}],
    "distill": [{"beside": "moco", "beside_options": {"queue": 6}}],
    "motion-programs": [{"shifted": True, "retimed": True}],
}


class Watched:
    """Settings that record which of them are read."""

    def __init__(self, settings: ClipSettings) -> None:
        self.settings, self.read = settings, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self.settings, name)


def batch(flow: bool) -> Batch:
    clips = {name: clip(seed) for seed, name in enumerate(("clip", "shifted", "second", "key"))}
    for seed, name in enumerate(("motion", "other0", "other1", "other2"), 4):
        one = clip(seed, T + 1) if flow else noise(seed, B, T, SIDE)
        clips[name] = one if flow else replace(one, motion=vectors(seed, B, T, SIDE))
    return Batch(clips, torch.arange(B))


@pytest.mark.parametrize("name", known_methods())
def test_what_a_method_reads(name: str) -> None:
    """Every setting of a method is read, and no other: the methods are watched at work."""
    read: set[str] = set()
    for changes in ({}, *VARIANTS.get(name, [])):
        given = keep_read(name, SMALL | changes)
        watched = Watched(resolve(name, "default", given))
        method = create_method(name, small_encoder(name), watched)  # type: ignore[arg-type]
        if find_method(name).generates:
            data = batch_for(method)
        else:
            method.sampler()
            method.transforms()
            data = batch(changes.get("motion_from") == "flow")
        method(data, torch.Generator())
        method.after_step()
        read |= watched.read
    settings = set(find_method(name).settings.names())
    assert read - TRAINING == settings - TRAINING


@pytest.mark.parametrize("name", known_methods())
def test_methods_that_need_motion_vectors_skip_videos_without_any(name: str) -> None:
    reads = "flow" if find_method(name).generates else "rgb"
    encoder = create_encoder("r3d-narrow", width=8, input=reads)
    method = create_method(name, encoder, resolve(name))
    vp9 = VideoInfo("vp9", "yuv420p", 640, 480, 25.0, 60.0, 1500, False, False, 0)
    refused = method.refuses(Video("a.webm", info=vp9))
    assert find_method(name).needs_vectors == ("no motion vectors" in str(refused))


def test_every_setting_is_read_by_some_method() -> None:
    read = {name for method in known_methods() for name in find_method(method).settings.names()}
    assert read == setting_names()


def test_the_commands_of_the_readme_ask_for_nothing_that_is_not_read() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    lines = text.replace("\\\n", " ").splitlines()  # commands go on behind a backslash
    commands = [line for line in lines if line.startswith("unscene pretrain ")]
    assert commands
    for command in commands:
        given = dict(re.findall(r"--(\w+) (\S+)", command))
        check_read(find_method(given.get("method", "dsm")), sorted(given.keys() & setting_names()))


def test_a_flag_that_changes_nothing_is_refused() -> None:
    check_read(find_method("dsm"), ["warp", "lr", "temperature"])
    with pytest.raises(UnsceneError, match=r"--warp changes nothing in moco.*dsm, dsm-triplet"):
        check_read(find_method("moco"), ["lr", "warp"])
    with pytest.raises(UnsceneError, match="--warp changes nothing in moco"):
        resolve("moco", "default", {"warp": True})
