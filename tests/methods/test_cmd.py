"""CMD: its losses against slow loops, its networks, what it refuses, its ablations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cmd_parts import INDEX, SMALL, B, batch, method, run, unit

import media
from unscene.data.listing import open_catalog
from unscene.encoders import create_encoder
from unscene.encoders.blocks import Block
from unscene.errors import UnsceneError
from unscene.methods.cmd import CMDNetwork
from unscene.methods.motion_prediction import combine_scales, position_nce
from unscene.methods.predictor import NormHead
from unscene.methods.registry import resolve
from unscene.preview.run import preview
from unscene.synthetic.generate import ScenesReport
from unscene.train.preflight import find_compatible_videos

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
            rivals += [
                query[b, n] @ others[c, h, m] / tau
                for c in range(videos)
                for h in range(hard)
                for m in range(positions)
                if c == b or index[c] != index[b]
            ]
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
    # A shift of all rows alike is taken away by the batch norm behind it. The decoder begins with
    # zeros, among which its first attention has nothing to choose.
    idle = "decoder.0.own."
    assert [name for name in still if not name.endswith("bias") and idle not in name] == []


def test_the_two_losses_can_be_weighed() -> None:
    model = method(task_weights=(0.5, 3.0))
    result = run(model, batch(model))
    total = 3 * result.metrics["motion"] + 0.5 * result.metrics["context"]
    torch.testing.assert_close(result.loss.detach(), total)
    with pytest.raises(UnsceneError, match="task_weights"):
        method(task_weights=(0.0, 1.0))


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
    assert model.motion_names == ("motion",)
    assert run(model, data).loss.item() == pytest.approx(1.0)  # it begins by predicting nothing
    torch.nn.init.normal_(model.embedder.motion.values.weight)
    result = run(model, data)
    views = model.views(data, torch.Generator().manual_seed(7))
    maps = model.embedder.clip_maps(views["anchor"])
    given = model.embedder.motion.values(model.embedder.motion.predictor(maps))
    t, h, w = model.embedder.motion.positions
    assert given.shape == (B, t * h * w, 2)
    cells = views["motion"].reshape(B, 2, t, 4 // t, h, 32 // h, w, 32 // w)
    target = cells.mean(dim=(3, 5, 7)).flatten(2).mT
    share = (given - target).square().mean() / target.square().mean()
    torch.testing.assert_close(result.loss, share)


def test_where_next_to_nothing_moves_an_error_is_a_share_of_what_usually_does() -> None:
    prediction = method(tasks="motion", motion_loss="l2").embedder.motion
    maps = torch.randn(B, *prediction.predictor.project.weight.shape[1:], 2, 4, 4)

    def lost(speed: float) -> float:
        """The loss of a prediction that is 0.1 off everywhere."""
        target = torch.full((B, 2, 4, 32, 32), speed)
        prediction.values.bias.data.fill_(speed + 0.1)
        return prediction(maps, [target], torch.eye(B, dtype=torch.bool))[0].item()

    def share(moved: float) -> Any:
        return pytest.approx(0.1**2 / moved, rel=1e-3)

    assert lost(0.2) == share(0.2**2)
    assert lost(0.4) == share(0.4**2)  # the usual is 0.1 from now on, the mean of both
    assert lost(0.3) == share(0.3**2)  # more than a quarter of it
    usual = (0.2**2 + 0.4**2 + 0.3**2) / 4  # with the one of nothing that follows
    assert lost(0.0) == share(usual / 4)
    prediction.eval()
    assert lost(0.0) == share(usual / 4)  # who only looks changes nothing
    saved = prediction.state_dict()
    older = {k: v for k, v in saved.items() if k not in ("usual", "batches")}
    fresh = method(tasks="motion", motion_loss="l2").embedder.motion
    fresh.usual += 1
    fresh.load_state_dict(older)
    assert fresh.usual == 0
    fresh.load_state_dict(saved)
    assert fresh.usual.item() == pytest.approx(usual, rel=1e-3)


def test_a_batch_of_one_video_is_an_error() -> None:
    model = method()
    with pytest.raises(UnsceneError, match="single video"):
        run(model, batch(model, (3, 3, 3, 3)))


@pytest.mark.parametrize("loss", ["nce", "l2"])
def test_motion_alone_can_be_learned_from_one_video(loss: str) -> None:
    model = method(tasks="motion", motion_loss=loss)
    assert torch.isfinite(run(model, batch(model, (3, 3, 3, 3))).loss)


# -- networks ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["c3d", "r3d26", "r2plus1d26"])
def test_tokens_and_positions_are_the_papers(name: str) -> None:
    with torch.device("meta"):
        encoder = create_encoder(name)
        network = CMDNetwork(encoder, resolve("cmd", "paper"))
        maps = network.clip_maps(torch.empty(2, 3, 16, 112, 112))
        channels = 512 if name == "c3d" else 2048
        assert maps.shape == (2, channels, 2, 7, 7)
        assert network.motion.positions == (1, 7, 7)
        assert network.motion.features(torch.empty(2, 2, 8, 112, 112)).shape == (2, 49, 512)
        predicted = network.motion.predictor(maps)
        assert predicted.shape == (2, 49, 512)
        assert network.motion.query(predicted).shape == (2, 49, 512)
        query, key = network.context(maps, torch.empty(2, 3, 1, 112, 112))
        assert query.shape == key.shape == (2, 512)


@pytest.mark.parametrize("scales", ["sum", "concat"])
def test_two_scales_are_the_coarse_map_and_the_fine_ones_time_steps(scales: str) -> None:
    encoder = create_encoder("r3d-narrow", width=8).eval()
    settings = resolve("cmd", "default", SMALL | {"scales": scales})
    network = CMDNetwork(encoder, settings).eval()
    clip = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    fine, coarse = encoder.forward_stages(clip)[-2:]
    maps = network.clip_maps(clip)
    assert fine.shape[2] == 2 * coarse.shape[2]
    steps = torch.cat([fine[:, :, 0::2], fine[:, :, 1::2]], dim=1)
    if scales == "concat":
        torch.testing.assert_close(maps[:, 32:], steps)
        whole = maps[:, :32]
    else:
        whole = maps - steps
    for corner in (0, -1):
        torch.testing.assert_close(whole[..., corner, corner], coarse[..., corner, corner])


def test_a_clip_too_short_for_two_steps_repeats_its_last() -> None:
    encoder = create_encoder("r3d-narrow", width=8).eval()
    fine, coarse = torch.randn(1, 16, 1, 4, 4), torch.zeros(1, 32, 1, 2, 2)
    torch.testing.assert_close(
        combine_scales(encoder, [fine, coarse]), torch.cat([fine, fine], dim=1)
    )


def test_the_transformer_knows_a_future_position_by_its_query_alone() -> None:
    predictor = method().embedder.motion.predictor.eval()
    maps = torch.randn(1, 32, *method().embedder.motion.tokens)
    before = predictor(maps)
    order = torch.arange(len(predictor.queries)).roll(1)
    with torch.no_grad():
        predictor.queries.copy_(predictor.queries[order])
    torch.testing.assert_close(predictor(maps), before[:, order])
    with torch.no_grad():
        predictor.queries.fill_(0.5)
    same = predictor(maps)
    torch.testing.assert_close(same[:, 1:], same[:, :1].expand_as(same[:, 1:]))


def test_heads_give_unit_rows_of_any_leading_shape() -> None:
    rows = NormHead(6, 5, 7)(torch.randn(3, 4, 6))
    assert rows.shape == (3, 4, 5)
    torch.testing.assert_close(rows.norm(dim=-1), torch.ones(3, 4))


def test_the_linear_predictor_sees_only_its_own_position() -> None:
    linear = method(predictor="linear").embedder.motion.predictor.eval()
    around = method().embedder.motion.predictor.eval()
    t, h, w = method().embedder.motion.tokens
    maps = torch.randn(1, 32, t, h, w, requires_grad=True)
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
    with pytest.raises(UnsceneError, match=r"no video can be used by this method.*are needed"):
        pretrain(build(given))
    outcome = pretrain(build(given | {"frames": 4}), report=lambda *_: None)
    assert outcome.finished


def test_what_is_too_short_among_others_is_counted_and_named(tmp_path: Path) -> None:
    for number, frames in enumerate((30, 6, 30, 12)):
        media.write(tmp_path / f"{number}.mp4", media.drift(frames), options=media.PAN)
    left = find_compatible_videos(
        open_catalog(tmp_path), method(frames=4, stride=2, motion_frames=4)
    )
    assert [Path(video.path).name for video in left.videos] == ["0.mp4", "2.mp4"]
    said = "frames, and 13 are needed: lower --frames or --stride"
    assert [(Path(one.path).name, one.reason) for one in left.skipped] == [
        ("1.mp4", f"6 {said}"),
        ("3.mp4", f"12 {said}"),
    ]
    assert "2 videos used, 2 skipped" in left.summary()


@pytest.mark.slow
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


@pytest.mark.parametrize(("preset", "start"), [("default", 1.0), ("paper", 0.0)])
def test_blocks_of_the_side_encoders_start_as_their_shortcut_as_the_authors_do(
    preset: str, start: float
) -> None:
    model = method(side_norms_zero=resolve("cmd", preset).side_norms_zero)
    network = model.embedder
    assert isinstance(network, CMDNetwork)
    sides = [network.context.encoder, network.motion.motion_encoder]
    blocks = [one for side in sides for one in side.modules() if isinstance(one, Block)]
    assert len(blocks) == 6
    for block in blocks:
        assert (block.residual[-1].weight == start).all()
        assert (block.residual[1].weight == 1).all()
