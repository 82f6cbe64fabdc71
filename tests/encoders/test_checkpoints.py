"""Published checkpoints: recognized by their keys, and the features of the published networks."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import published as p
import pytest
import safetensors.torch
import torch
from torch import Tensor

from unscene.encoders import create_encoder, load_encoder, save_encoder
from unscene.encoders.resolving import resolve_encoder
from unscene.errors import UnsceneError

Weights = dict[str, Tensor]

HARA_2020 = {"mean": (0.4345, 0.4051, 0.3775), "std": (0.2768, 0.2713, 0.2737)}
TORCHVISION = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
SMALL, INCEPTION = (1, 3, 8, 48, 48), (1, 3, 16, 64, 64)


class Case:
    """A published state dict and what must come of it.

    Args:
        weights: makes the state dict.
        run: what the published network computes from a clip: its last feature map.
        made: architecture and options of the encoder.
        clips: frames, stride, size; mean and std.
        clip: shape of the clip on which features are compared.
    """

    def __init__(
        self,
        weights: Callable[[], Weights],
        run: Callable[[Weights, Tensor], Tensor],
        made: tuple[str, dict[str, Any]],
        clips: tuple[int, int, int],
        normalization: dict[str, tuple[float, ...]],
        clip: tuple[int, ...] = SMALL,
    ) -> None:
        self.weights, self.run, self.made = weights, run, made
        self.clips, self.normalization, self.clip = clips, normalization, clip


def hara(depth: int, shortcut: str, options: dict[str, str]) -> Case:
    return Case(
        partial(p.hara, depth, shortcut),
        partial(p.run_hara, depth=depth),
        (f"r3d{depth}", options),
        (16, 1, 112),
        HARA_2020,
    )


def torchvision(network: str, name: str, options: dict[str, str]) -> Case:
    run = partial(p.run_torchvision, network=network)
    made = partial(p.torchvision, network)
    return Case(made, run, (name, options), (16, 2, 112), TORCHVISION)


def coclr(gated: bool) -> Case:
    return Case(
        partial(p.coclr, gated),
        partial(p.run_s3d, names=p.coclr_names, eps=1e-5),
        ("s3dg", {"gating": "blocks" if gated else "none", "norm_eps": 1e-5}),
        (32, 1, 128),
        {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
        INCEPTION,
    )


CASES = {
    "hara-18": hara(18, "B", {}),
    "hara-34-A": hara(34, "A", {"shortcut": "A"}),
    "hara-50": hara(50, "B", {}),
    "r3d_18": torchvision("r3d", "r3d18", {"stem": "tran"}),
    "mc3_18": torchvision("mc3", "mc3-18", {}),
    "r2plus1d_18": torchvision("r2plus1d", "r2plus1d18", {"layout": "torchvision"}),
    "s3d": Case(
        p.torchvision_s3d,
        partial(p.run_s3d, names=p.torchvision_s3d_names, eps=1e-3),
        ("s3dg", {"gating": "none"}),
        (128, 2, 224),
        TORCHVISION,
        INCEPTION,
    ),
    "vcop-c3d": Case(p.vcop_c3d, p.run_vcop_c3d, ("c3d", {}), (16, 1, 112), RAW),
    "vcop-r3d": Case(
        partial(p.vcop_resnet, False),
        p.run_vcop_resnet,
        ("r3d10", {"stem": "tran"}),
        (16, 1, 112),
        RAW,
    ),
    "vcop-r21d": Case(
        partial(p.vcop_resnet, True),
        p.run_vcop_resnet,
        ("r2plus1d10", {"layout": "vcop"}),
        (16, 1, 112),
        RAW,
    ),
    # Odd sizes, too: there "SAME" differs from symmetric padding at other layers.
    "i3d": Case(
        p.i3d,
        p.run_i3d,
        ("i3d", {"padding": "same"}),
        (64, 1, 224),
        {"mean": (0.5,) * 3, "std": (0.5,) * 3},
        (1, 3, 17, 64, 74),
    ),
    "coclr-s3d": coclr(gated=False),
    "coclr-s3dg": coclr(gated=True),
}


@pytest.mark.parametrize("name", CASES)
def test_a_published_state_dict_gives_the_published_features(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, path = CASES[name], tmp_path / f"{name}.pth"
    weights = case.weights()
    torch.save({"epoch": 200, "state_dict": weights, "optimizer": {"lr": 0.1}}, path)
    resolved = resolve_encoder(str(path))
    encoder, spec = resolved.encoder, resolved.encoder.spec
    assert (spec.name, spec.options) == case.made
    assert (spec.frames, spec.stride, spec.size) == case.clips
    assert {"mean": spec.mean, "std": spec.std} == case.normalization
    assert (resolved.name, resolved.trained, encoder.training) == (name, None, False)
    clip = torch.randn(case.clip, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        wanted = case.run(weights, clip)
        found = encoder.forward_maps(clip)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
    count = len([k for k in encoder.state_dict() if not k.endswith("num_batches_tracked")])
    said = capsys.readouterr().err
    assert f"{count} of {count} tensors match" in said
    assert f"{case.clips[0]} frames at stride {case.clips[1]}, {case.clips[2]} px" in said
    if "fc.weight" in weights:
        assert "not used: fc (2)" in said


@pytest.mark.parametrize(
    ("name", "count"),
    [("r3d_18", 33371472), ("mc3_18", 11695440), ("r2plus1d_18", 31505325), ("s3d", 8320048)],
)
def test_the_state_dicts_have_the_number_of_weights_that_torchvision_documents(
    name: str, count: int
) -> None:
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    weights = CASES[name].weights()
    assert sum(t.numel() for k, t in weights.items() if not k.endswith(buffers)) == count


def test_same_padding_is_what_makes_i3d_the_published_one(tmp_path: Path) -> None:
    """With symmetric padding, the same weights have other features."""
    torch.save(p.i3d(), tmp_path / "rgb_imagenet.pt")
    same = load_encoder(tmp_path / "rgb_imagenet.pt")
    symmetric = create_encoder("i3d").eval()
    symmetric.load_state_dict(same.state_dict())
    clip = torch.randn(INCEPTION, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        one, other = same(clip), symmetric(clip)
    assert (one - other).norm() > 0.02 * one.norm()


# -- wrappers ------------------------------------------------------------------------------------


def wrap(prefix: str, weights: Weights) -> Weights:
    return {f"{prefix}{key}": tensor for key, tensor in weights.items()}


MOCO = {"queue": torch.zeros(4, 8), "queue_ptr": torch.zeros(1, dtype=torch.long)}
WRAPPERS: dict[str, Callable[[Weights], dict[str, Any]]] = {
    "plain": lambda w: w,
    "state_dict": lambda w: {"state_dict": wrap("module.", w), "optimizer": {"lr": 0.1}},
    "model_state": lambda w: {"model_state": wrap("backbone.", w), "epoch": 3},
    "twice": lambda w: {"model": {"state_dict": wrap("module.encoder.0.", w)}},
    # The momentum encoder comes first, and must not be taken.
    "moco": lambda w: (
        wrap("encoder_k.", {k: 0 * t for k, t in w.items()}) | wrap("encoder_q.", w) | MOCO
    ),
}


@pytest.mark.parametrize(
    ("wrapper", "suffix"),
    [
        *((wrapper, ".pth") for wrapper in WRAPPERS),
        *(("state_dict", suffix) for suffix in (".pth.tar", ".ckpt", ".old", ".safetensors")),
    ],
)
def test_wrappers_and_prefixes_are_taken_off(wrapper: str, suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    weights = create_encoder("r3d-narrow").state_dict()
    path, content = tmp_path / f"model{suffix}", WRAPPERS[wrapper](weights)
    if suffix == ".safetensors":  # which holds tensors alone
        while not isinstance(next(iter(content.values())), Tensor):
            content = next(iter(content.values()))
        safetensors.torch.save_file(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=suffix != ".old")
    for key, tensor in load_encoder(str(path)).state_dict().items():
        assert torch.equal(tensor, weights[key]), key


def test_moco_around_a_network_of_torchvision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = p.torchvision("r3d")
    keys = {k: 0 * t for k, t in weights.items()}
    both = wrap("module.encoder_q.", weights) | wrap("module.encoder_k.", keys) | MOCO
    torch.save({"state_dict": both, "arch": "r3d_18"}, tmp_path / "moco.pth.tar")
    spec = (encoder := load_encoder(tmp_path / "moco.pth.tar")).spec
    assert torch.equal(encoder.state_dict()["stem.0.weight"], weights["stem.0.weight"])
    assert (spec.frames, spec.stride, spec.mean[0]) == (32, 1, 0.485)
    assert "tinapan-pt/VideoMoCo" in (said := capsys.readouterr().err)
    assert f"{len(weights) + 2} tensors outside 'module.encoder_q.' not used" in said


def test_hara_of_2018_takes_pixels_of_0_to_255(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = p.hara(18, "A", counted=False, classes=400)
    torch.save({"arch": "resnet-18", "state_dict": wrap("module.", weights)}, tmp_path / "r.pth")
    spec = load_encoder(tmp_path / "r.pth").spec
    pixel = torch.tensor([10.0, 100.0, 250.0])
    normalized = (pixel / 255 - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    wanted = pixel - torch.tensor([114.7748, 107.7354, 99.4750])
    torch.testing.assert_close(normalized, wanted, rtol=1e-4, atol=1e-3)
    assert "of 2018: RGB in 0..255" in capsys.readouterr().err


def test_weights_in_half_precision_become_float32(tmp_path: Path) -> None:
    torch.save(create_encoder("r3d-narrow").half().state_dict(), tmp_path / "half.pth")
    encoder = load_encoder(tmp_path / "half.pth")
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def test_a_converted_encoder_is_one_of_ours(tmp_path: Path) -> None:
    torch.save(p.vcop_resnet(True), tmp_path / "vcop.pth")
    encoder = resolve_encoder(f"clip-order={tmp_path / 'vcop.pth'}", to_train=True)
    assert (encoder.name, encoder.encoder.training) == ("clip-order", True)
    save_encoder(encoder.encoder, tmp_path / "saved")
    again = load_encoder(tmp_path / "saved")
    assert again.spec == encoder.encoder.spec
    assert again.spec.trained_on["method"] == "vcop"
    for key, tensor in encoder.encoder.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key]), key


@pytest.mark.parametrize("name", ["r3d-narrow", "s3dg"])
def test_a_plain_state_dict_of_ours(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    encoder = create_encoder(name)
    torch.save(encoder.state_dict(), tmp_path / "mine.pth")
    found = load_encoder(tmp_path / "mine.pth")
    assert found.spec.name == name
    for key, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, found.state_dict()[key]), key


# -- refusals ------------------------------------------------------------------------------------


def without(weights: Weights, start: str) -> Weights:
    return {key: tensor for key, tensor in weights.items() if not key.startswith(start)}


WIDE = p.hara(18)
WIDE["layer4.1.conv2.weight"] = torch.zeros(1024, 512, 3, 3, 3)
FLOW = p.i3d()
FLOW["Conv3d_1a_7x7.conv3d.weight"] = torch.zeros(64, 2, 7, 7, 7)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        # All stages but the first are lost: another depth than any.
        (
            {k: t for k, t in p.hara(18).items() if k.startswith(("conv1", "bn1", "layer1"))},
            r"kenshohara.*\[2\] blocks in its stages.*package\.module:factory",
        ),
        (
            {k: t for k, t in p.vcop_c3d().items() if "3a" in k},
            r"looks like c3d of xudejing.*but 5 of 40 tensors match \(35 missing \(conv1a",
        ),
        (
            without(p.hara(18), "bn1.running"),
            r"but 98 of 100 tensors match \(2 missing \(stem\.1\.running_mean",
        ),
        (WIDE, r"99 of 100.*1 mismatched.*is 1024x512x3x3x3 instead of 512x512x3x3x3"),
        (FLOW, r"stem\.0\.0\.weight is 64x2x7x7x7 instead of 64x3x7x7x7"),
        (
            p.hara(18) | {"layer2.0.nonlocal.weight": torch.zeros(3)},
            r"100 of 100.*1 unexpected \(layers\.1\.0\.nonlocal\.weight\).*module:factory",
        ),
        (
            {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.weight": torch.zeros(9, 64)},
            r"its 2 tensors \(conv1\.weight, fc\.weight, \.\.\.\).*there is no 3D convolution",
        ),
        (
            {"s1.pathway0_stem.conv.weight": torch.zeros(64, 3, 1, 7, 7)},
            r"of no publisher known here .*kenshohara.*piergiaj.*package\.module:factory",
        ),
    ],
)
def test_what_does_not_match_is_refused(weights: Weights, words: str, tmp_path: Path) -> None:
    torch.save({"state_dict": weights}, tmp_path / "model.pth")
    with pytest.raises(UnsceneError, match=rf"(?s)model\.pth: .*{words}"):
        resolve_encoder(str(tmp_path / "model.pth"))


class Runs:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_no_code_is_run(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    for name, content, words in (
        ("args", {"state_dict": p.vcop_c3d(), "args": argparse.Namespace(lr=1)}, "argparse"),
        ("module", torch.nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
        ("evil", {"state_dict": {}, "x": Runs(touched)}, "unscene runs no code from files"),
    ):
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(UnsceneError, match=rf"{name}\.pth: holds .*{words}.*weights_only"):
            resolve_encoder(str(tmp_path / f"{name}.pth"))
    assert not touched.exists()


def test_refusals_never_advise_to_run_code(tmp_path: Path) -> None:
    path = tmp_path / "pickle.pth"
    path.write_bytes(pickle.dumps(print, protocol=4))  # torch answers: use weights_only=False
    with pytest.raises(UnsceneError, match=r"pickle\.pth: is not a complete") as caught:
        resolve_encoder(str(path))
    assert "weights_only" not in str(caught.value)


def test_files_without_weights(tmp_path: Path) -> None:
    torch.save({"state_dict": p.vcop_c3d()}, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.pth").write_bytes(b"<!doctype html><title>Google Drive</title>")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "cut.safetensors").write_bytes(whole[:100])
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "none.pth")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    for name, words in {
        "cut.pth": "not a complete file of weights.*download or copy it again",
        "page.pth": "not a complete file of weights.*download or copy it again",
        "empty.pth": "not a complete file of weights.*download or copy it again",
        "cut.safetensors": "not a complete safetensors file",
        "none.pth": "holds no state dict; its entries are epoch, optimizer",
        "tensor.pth": r"holds a Tensor, not tensors by name",
    }.items():
        with pytest.raises(UnsceneError, match=rf"{name}: (is )?{words}"):
            resolve_encoder(str(tmp_path / name))
