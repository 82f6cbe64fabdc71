"""CMD: its losses against slow loops, its views, its networks, what it refuses, its ablations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from noise import noise, vectors
from torch import Tensor

from unscene.encoders import create_encoder
from unscene.errors import UnsceneError
from unscene.methods.cmd import CMD, CMDNetwork
from unscene.methods.foretell import NormHead, position_nce
from unscene.methods.presets import resolve
from unscene.methods.registry import create_method
from unscene.train.preview import preview
from unscene.video.catalog import open_catalog
from unscene.video.clip import ClipBatch
from unscene.video.loading import Batch
from unscene.video.scenes import ScenesReport
from unscene.views.augment import BasicAugmentation

SMALL: dict[str, Any] = {
    "size": 32, "frames": 4, "stride": 1, "dim": 8, "batch_size": 4, "predictor_dim": 16,
    "predictor_hidden": 12, "side_encoders": "narrow", "motion_frames": 4, "motion_negatives": 2,
}  # fmt: skip
B, SIDE = 4, 40
INDEX = (0, 1, 2, 1)  # the second and the fourth are of the same video


def method(**changes: Any) -> CMD:
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=8)
    made = create_method("cmd", encoder, resolve("cmd", "default", SMALL | changes))
    assert isinstance(made, CMD)
    return made


def pixels(seed: int, frames: int, flow: bool = False) -> ClipBatch:
    clip = noise(seed, B, frames, SIDE)
    if not flow:
        return clip
    generator = torch.Generator().manual_seed(seed)
    moved = torch.randn(B, frames - 1, 32, 32, 2, generator=generator).half() * 0.05
    return replace(clip, flow=moved)


def moving_only(seed: int) -> ClipBatch:
    """Vectors without pixels, as `Request.motion_only` reads them."""
    whole = pixels(seed, 1)
    none = {name: getattr(whole, name)[:, :0] for name in ("y", "u", "v")}
    return replace(whole, motion=vectors(seed, B, 4, SIDE), **none)


def batch(model: CMD, index: tuple[int, ...] = INDEX) -> Batch:
    """What the sampler of the method would have read."""
    clips = {"clip": pixels(1, 4)}
    if model.settings.tasks != "motion":
        clips["key"] = pixels(2, 1)
    source = model.settings.motion_from
    for seed, name in enumerate(model.windows, 3):
        clips[name] = (
            moving_only(seed) if source == "vectors" else pixels(seed, 5, source == "flow")
        )
    return Batch(clips, torch.tensor(index))


def run(model: CMD, data: Batch) -> Any:
    return model(data, torch.Generator().manual_seed(7))


def unit(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


# -- the losses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("hard", [0, 2])
@pytest.mark.parametrize("index", [(0, 1, 2), (5, 1, 5)])
def test_position_nce_is_the_slow_loop(hard: int, index: tuple[int, ...]) -> None:
    videos, positions, tau = 3, 4, 0.2
    query, true = unit(videos, positions, 6, seed=0), unit(videos, positions, 6, seed=1)
    others = unit(videos, hard, positions, 6, seed=2)
    terms, hits = [], []
    for b in range(videos):
        for n in range(positions):
            near = query[b, n] @ true[b, n] / tau
            rivals = [
                query[b, n] @ true[c, m] / tau
                for c in range(videos)
                for m in range(positions)
                if (c == b and m != n) or index[c] != index[b]
            ]
            rivals += [query[b, n] @ others[b, h, m] / tau for h in range(hard) for m in range(4)]
            terms.append(torch.logsumexp(torch.stack([near, *rivals]), 0) - near)
            hits.append(float(near > max(rivals)))
    places = torch.tensor(index)
    own = places[:, None] == places[None]
    loss, found = position_nce(query, true, others if hard else None, own, tau)
    torch.testing.assert_close(loss, torch.stack(terms).mean())
    assert float(found) == pytest.approx(sum(hits) / len(hits))


def test_the_loss_is_the_sum_of_both_and_reaches_every_network() -> None:
    model = method()
    result = run(model, batch(model))
    total = result.metrics["motion"] + result.metrics["context"]
    torch.testing.assert_close(result.loss.detach(), total)
    result.loss.backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # A shift of all rows alike is taken away by the batch norm behind it.
    assert [name for name in still if not name.endswith("bias")] == []


def test_the_context_loss_is_info_nce_of_clips_and_key_frames() -> None:
    model = method(tasks="context").eval()
    data = batch(model)
    result = run(model, data)
    views = model.views(data, torch.Generator().manual_seed(7))
    maps = model.embedder.clip_maps(views["anchor"])
    query, key = model.embedder.context(maps, views["key"])
    terms = []
    for b in range(B):
        rivals = [c for c in range(B) if c == b or INDEX[c] != INDEX[b]]
        logits = torch.stack([query[b] @ key[c] / 0.1 for c in rivals])
        terms.append(torch.logsumexp(logits, 0) - query[b] @ key[b] / 0.1)
    torch.testing.assert_close(result.loss, torch.stack(terms).mean())


def test_the_l2_loss_is_the_share_of_the_mean_vectors_that_is_missed() -> None:
    model = method(tasks="motion", motion_loss="l2").eval()
    data = batch(model)
    assert model.windows == ("motion",)
    assert run(model, data).loss.item() == pytest.approx(1.0)  # it begins by predicting nothing
    torch.nn.init.normal_(model.embedder.motion.values.weight)
    result = run(model, data)
    views = model.views(data, torch.Generator().manual_seed(7))
    maps = model.embedder.clip_maps(views["anchor"])
    given = model.embedder.motion.values(model.embedder.motion.predictor(maps))
    t, h, w = model.embedder.motion.positions
    cells = views["motion"].unfold(2, 4 // t, 4 // t)[:, :, :t]
    assert given.shape == (B, t * h * w, 2)
    assert cells.shape[2] == t
    target = F.adaptive_avg_pool3d(views["motion"], (t, h, w)).flatten(2).mT
    share = (given - target).square().mean() / target.square().mean()
    torch.testing.assert_close(result.loss, share)


def test_a_batch_of_one_video_is_an_error() -> None:
    model = method()
    with pytest.raises(UnsceneError, match="single video"):
        run(model, batch(model, (3, 3, 3, 3)))


# -- views ---------------------------------------------------------------------------------------


def test_the_motion_is_flipped_and_cropped_as_the_clip_is() -> None:
    model = method(motion_limit=100.0)
    data = batch(model)
    whole = BasicAugmentation(32, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    model.basic = whole
    plain = model.views(data, torch.Generator())["motion"]
    model.basic = replace(whole, flip=1.0)
    flipped = model.views(data, torch.Generator())["motion"]
    torch.testing.assert_close(flipped[:, 0], -plain[:, 0].flip(-1))
    torch.testing.assert_close(flipped[:, 1], plain[:, 1].flip(-1))
    wrong = method(motion_corrected=False, motion_limit=100.0)
    wrong.basic = model.basic
    slip = wrong.views(data, torch.Generator())["motion"]  # its pixels are those of the source
    torch.testing.assert_close(slip[:, 0], (-flipped[:, 0] * 40 / 32).clamp(-1, 1))


def test_forward_motion_is_minus_the_codecs_vector_over_the_limit() -> None:
    model = method(augmentation="none")
    data = batch(model)
    motion = data.clips["motion"].motion
    assert motion is not None
    # The view shows the frame's middle 35 px on 32.
    wanted = (-motion.vectors.float() * 32 / 35).clamp(-10, 10) / 10
    seen = model.views(data, torch.Generator())["motion"]
    assert seen.shape == (B, 2, 4, 32, 32)
    middle = seen[..., 16, 16]
    torch.testing.assert_close(middle, wanted[:, :, 2, 2].mT, atol=1e-4, rtol=0)


def test_differences_and_flow_stand_in_for_vectors() -> None:
    for source, channels in (("difference", 3), ("flow", 2)):
        model = method(motion_from=source)
        data = batch(model)
        views = model.views(data, torch.Generator().manual_seed(0))
        assert views["motion"].shape == (B, channels, 4, 32, 32)
        assert views["motion"].abs().amax() > 0
        assert torch.isfinite(run(model, data).loss)
        assert model.sampler().motion_as == "frames"


# -- networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["c3d", "r3d26", "r2plus1d26"])
def test_tokens_and_positions_are_the_papers(name: str) -> None:
    with torch.device("meta"):
        encoder = create_encoder(name)
        network = CMDNetwork(encoder, resolve("cmd", "paper"))
        maps = network.clip_maps(torch.empty(2, 3, 16, 112, 112))
        channels = 512 if name == "c3d" else 2048 + 2 * 1024
        assert maps.shape == (2, channels, 2, 7, 7)
        assert network.motion.positions == (1, 7, 7)
        assert network.motion.features(torch.empty(2, 2, 8, 112, 112)).shape == (2, 49, 512)
        predicted = network.motion.predictor(maps)
        assert predicted.shape == (2, 49, 512)
        assert network.motion.query(predicted).shape == (2, 49, 512)
        query, key = network.context(maps, torch.empty(2, 3, 1, 112, 112))
        assert query.shape == key.shape == (2, 512)


def test_two_scales_are_the_coarse_map_beside_the_fine_ones_time_steps() -> None:
    encoder = create_encoder("r3d-narrow", width=8).eval()
    network = CMDNetwork(encoder, resolve("cmd", "default", SMALL)).eval()
    clip = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    fine, coarse = encoder.forward_stages(clip)[-2:]
    maps = network.clip_maps(clip)
    assert fine.shape[2] == 2 * coarse.shape[2]
    torch.testing.assert_close(maps[:, 32:48], fine[:, :, 0::2])
    torch.testing.assert_close(maps[:, 48:], fine[:, :, 1::2])
    torch.testing.assert_close(maps[:, :32, :, 0, 0], coarse[..., 0, 0])
    torch.testing.assert_close(maps[:, :32, :, -1, -1], coarse[..., -1, -1])


def test_heads_give_unit_rows_of_any_leading_shape() -> None:
    rows = NormHead(6, 5, 7)(torch.randn(3, 4, 6))
    assert rows.shape == (3, 4, 5)
    torch.testing.assert_close(rows.norm(dim=-1), torch.ones(3, 4))


def test_the_linear_predictor_sees_only_its_own_position() -> None:
    linear = method(predictor="linear").embedder.motion.predictor.eval()
    around = method().embedder.motion.predictor.eval()
    t, h, w = method().embedder.motion.tokens
    maps = torch.randn(1, 64, t, h, w, requires_grad=True)
    for predictor, local in ((linear, True), (around, False)):
        first = predictor(maps)[0, 0, 0]
        (gradient,) = torch.autograd.grad(first, maps)
        assert bool((gradient[..., -1, -1] == 0).all()) == local


# -- flags and data ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [
        {"tasks": "context", "context_from": "any"},
        {"tasks": "motion"},
        {"motion_at": "present"},
        {"motion_loss": "l2"},
        {"predictor": "linear", "predictor_dim": 15},
    ],
)
def test_every_ablation_trains(flags: dict[str, Any]) -> None:
    model = method(**flags)
    result = run(model, batch(model))
    result.loss.backward()
    assert torch.isfinite(result.loss)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_the_sampler_follows_the_flags() -> None:
    assert method().sampler().least == 3 + 3 + 4
    assert resolve("cmd", "paper").motion_frames == 8
    assert method(motion_at="present").sampler().gap is None
    assert not method(tasks="context").sampler().motion
    assert not method(context_from="any").sampler().key_only
    assert method(motion_loss="l2").sampler().others == 0


def test_short_videos_and_those_without_vectors_are_refused(moving: ScenesReport) -> None:
    video = open_catalog(str(moving.train)).videos[0]
    assert video.info is not None
    assert method().refuses(video) is None
    long = method(frames=64, stride=4)
    assert "are needed" in str(long.refuses(video))
    vp9 = replace(video, info=replace(video.info, codec="vp9", vectors=False))
    assert "vp9 carries no motion vectors" in str(method().refuses(vp9))
    assert method(motion_from="flow").refuses(vp9) is None
    assert method(tasks="context").refuses(vp9) is None


def test_a_width_that_the_heads_cannot_share_is_an_error() -> None:
    with pytest.raises(UnsceneError, match="predictor_dim 20: must be a multiple of 8"):
        method(predictor_dim=20)


def test_pretraining_leaves_out_what_is_too_short(moving: ScenesReport, tmp_path: Path) -> None:
    from unscene.train.config import build
    from unscene.train.pretrain import pretrain

    given = SMALL | {
        "data": str(moving.train), "out": str(tmp_path / "run"), "method": "cmd", "max_steps": 2,
        "encoder": "r3d-narrow", "encoder_options": {"width": 8}, "workers": 0, "frames": 64,
        "accelerator": "cpu",
    }  # fmt: skip
    with pytest.raises(UnsceneError, match=r"no video is of use to this method.*are needed"):
        pretrain(build(given))
    outcome = pretrain(build(given | {"frames": 4}), report=lambda *_: None)
    assert outcome.finished


def test_views_of_cmd_are_drawn(moving: ScenesReport, tmp_path: Path) -> None:
    from PIL import Image

    overrides = {"size": 32, "frames": 4, "stride": 1, "motion_frames": 4}
    paths = [
        preview(str(moving.train), tmp_path / f"{task}.png", videos=1, method="cmd",
                overrides=overrides | {"tasks": task})
        for task in ("both", "motion", "context")
    ]  # fmt: skip
    heights = []
    for path in paths:
        with Image.open(path) as picture:
            heights.append(picture.size[1])
    assert heights[0] > max(heights[1:])  # a row for the key frame, and one for the motion
