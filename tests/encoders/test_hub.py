"""Encoders on the Hugging Face Hub, without a network: folders, a fake HfApi, a fake download."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import unscene
from unscene.encoders import VideoEncoder, create_encoder, load_encoder, resolve_encoder
from unscene.encoders.hub import (
    describe_encoder,
    find_pretrained,
    from_pretrained,
    push_to_hub,
    save_pretrained,
)
from unscene.errors import UnsceneError

huggingface_hub = pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
FILES = ["README.md", "config.json", "encoder.json", "encoder.safetensors"]


class FakeHub:
    """Keeps what is uploaded in a folder, and gives it out again."""

    def __init__(self, root: Path) -> None:
        self.root, self.made, self.commits = root, [], []  # type: ignore[var-annotated]

    def __call__(self, token: str | None = None) -> FakeHub:
        self.token = token
        return self

    def create_repo(self, repo_id: str, private: bool | None, exist_ok: bool) -> SimpleNamespace:
        self.made.append((repo_id, private, exist_ok))
        return SimpleNamespace(repo_id=repo_id)

    def upload_folder(self, repo_id: str, folder_path: Path, **how: Any) -> str:
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        self.commits.append(how["commit_message"])
        return f"https://hub.example/{repo_id}/commit/1"

    def download(self, repo_id: str, filename: str, **how: Any) -> str:
        path = self.root / repo_id / filename
        if not path.is_file():
            raise huggingface_hub.errors.LocalEntryNotFoundError(f"no {filename} in {repo_id}")
        return str(path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", fake)
    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", fake.download)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fake.download)
    return fake


def trained() -> VideoEncoder:
    encoder = create_encoder("r3d-narrow", width=8).eval()
    history = {"method": "dsm", "steps": 10, "seed": 3, "settings": {"lr": 0.1}}
    encoder.spec = replace(encoder.spec, trained_on=history)
    return encoder


def same(one: VideoEncoder, other: VideoEncoder) -> bool:
    clip = torch.randn(1, 3, 8, 36, 36, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return one.spec == other.spec and torch.equal(one(clip), other(clip))


def test_pushed_and_loaded_again(hub: FakeHub) -> None:
    encoder = trained()
    address = unscene.push_to_hub(encoder, "me/motion", private=True, token="secret")
    assert address == "https://hub.example/me/motion/commit/1"
    assert hub.made == [("me/motion", True, True)]
    assert (hub.token, hub.commits) == ("secret", ["r3d-narrow by unscene"])
    assert sorted(p.name for p in (hub.root / "me/motion").iterdir()) == FILES
    back = unscene.from_pretrained("me/motion")
    assert same(encoder, back)
    assert not back.training
    resolved = resolve_encoder("hf:me/motion")
    assert same(encoder, resolved.encoder)
    assert (resolved.name, resolved.trained) == ("motion", True)
    assert resolved.note == "r3d-narrow trained by dsm, 10 steps, seed 3; from hf:me/motion"


def test_folders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = trained()
    folder = save_pretrained(encoder, tmp_path / "mine")
    assert sorted(p.name for p in folder.iterdir()) == FILES
    assert same(encoder, from_pretrained(folder))
    assert same(encoder, load_encoder(f"hf:{folder}"))
    assert same(encoder, load_encoder(str(folder)))
    from unscene.encoders.hub import make_adapter

    assert same(encoder, make_adapter().from_pretrained(str(folder)).encoder)
    assert caplog.records == []  # the mixin misses no config.json
    unscene.save_encoder(encoder, tmp_path / "plain")
    assert same(encoder, from_pretrained(tmp_path / "plain"))


def test_the_files_of_transformers_are_left_to_transformers(tmp_path: Path, hub: FakeHub) -> None:
    (tmp_path / "mae").mkdir()
    (tmp_path / "mae" / "config.json").write_text("{}")
    assert find_pretrained(str(tmp_path / "mae")) is None
    (hub.root / "you/mae").mkdir(parents=True)
    (hub.root / "you/mae/config.json").write_text("{}")
    assert find_pretrained("you/mae") is None
    with pytest.raises(UnsceneError, match=r"you/mae: no encoder.json in you/mae; name a folder"):
        from_pretrained("you/mae")


def test_what_is_not_there(tmp_path: Path) -> None:
    """HF_HUB_OFFLINE is set in tests, so this asks no network."""
    with pytest.raises(UnsceneError, match=r"name a folder that exists, or an encoder of unscene"):
        from_pretrained("nobody/nothing")
    with pytest.raises(UnsceneError, match=r"a/b/c: .*name a folder that exists"):
        from_pretrained("a/b/c")
    with pytest.raises(UnsceneError, match=r"x/y: not uploaded \(.*log in with `hf auth login`"):
        push_to_hub(trained(), "x/y")
    assert find_pretrained("nobody/nothing") is None


def test_what_cannot_be_saved_is_not_pushed(hub: FakeHub) -> None:
    with pytest.raises(UnsceneError, match="hof: only encoders of unscene"):
        push_to_hub(load_encoder("hof"), "me/hof")
    assert not (hub.root / "me/hof").exists()


def test_a_repository_that_names_code_runs_none(tmp_path: Path, hub: FakeHub) -> None:
    push_to_hub(trained(), "you/bad")
    record = hub.root / "you/bad/encoder.json"
    content = json.loads(record.read_text())
    content["options"] = {"factory": "os:getcwd"}
    record.write_text(json.dumps(content))
    with pytest.raises(UnsceneError, match="runs no code that a file names"):
        load_encoder("hf:you/bad")


def test_model_cards(hub: FakeHub) -> None:
    push_to_hub(trained(), "me/motion")
    card = (hub.root / "me/motion/README.md").read_text()
    assert card.startswith("---\nlibrary_name: unscene\n")
    assert "# motion\n" in card
    stride = trained().spec.stride
    assert f"| clips | 8 frames at stride {stride}, 36 x 36 pixels |" in card
    assert "Trained by method dsm, steps 10, seed 3." in card
    assert 'from_pretrained("me/motion")' in card
    assert huggingface_hub.ModelCard(card).data.library_name == "unscene"
    push_to_hub(trained(), "me/other", card="# Mine\n")
    assert (hub.root / "me/other/README.md").read_text() == "# Mine\n"
    shipped = describe_encoder(load_encoder("motion"), "me/copy")
    assert "**Where it fails.**" in shipped
    assert "optical flow of the clip" in shipped
    assert "weights are random" in describe_encoder(create_encoder("r3d-narrow"), "a/b")


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unscene.encoders.hub import make_adapter

    folder = save_pretrained(trained(), tmp_path / "mine")
    make_adapter.cache_clear()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (
        lambda: push_to_hub(trained(), "me/x"),
        lambda: save_pretrained(trained(), tmp_path / "x"),
        lambda: from_pretrained("me/x"),
    ):
        with pytest.raises(UnsceneError, match=r"pip install 'unscene\[hub\]'"):
            call()
    assert from_pretrained(folder).dim == 32  # a folder needs no library
    assert find_pretrained("me/x") is None


def test_encoders_import_without_the_library() -> None:
    code = "import sys, unscene.encoders; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
