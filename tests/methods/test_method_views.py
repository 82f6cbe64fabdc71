"""What each method shows its encoder, and the rows of the paper's Table 4."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from method_parts import batch, batch_for, clips, method, views
from torch import Tensor

from unscene.errors import UnsceneError
from unscene.methods.registry import known_methods, resolve
from unscene.video.clip import ClipBatch
from unscene.views import encoder_input
from unscene.views.color import ColorFactors

# Table 4 by its three flags: warp, flow scaling, shift.
TABLE_4 = [
    (False, False, False), (True, False, False), (False, True, True), (True, True, False),
    (True, False, True), (True, True, True),
]  # fmt: skip


@pytest.mark.parametrize(("warp", "flow", "shift"), TABLE_4)
def test_each_row_of_table_4_changes_the_views_it_names(
    warp: bool, flow: bool, shift: bool
) -> None:
    # Without random crops the views differ by the disturbances alone.
    model = method("dsm", augmentation="none", warp=warp, flow_scaling=flow, shift=shift)
    data = batch()
    got = views(model, data)
    plain = views(method("moco", augmentation="none"), data)["anchor"]
    torch.testing.assert_close(got["anchor"], plain)
    assert torch.equal(got["positive"], plain) != warp
    assert ("negative" in got) == (flow or shift)
    assert (model.sampler().shift is not None) == shift
    assert set(model.transforms()) == ({"shifted" if shift else "clip"} if flow else set())
    if flow or shift:
        source = batch(clip=data.clips["shifted" if shift else "clip"])
        undisturbed = views(method("moco", augmentation="none"), source)["anchor"]
        assert torch.equal(got["negative"], undisturbed) != flow
        # Equation 3 leaves the first frame as it is.
        torch.testing.assert_close(got["negative"][:, :, 0], undisturbed[:, :, 0])


@pytest.mark.parametrize("name", ["dsm", "dsm-triplet", "unscene"])
def test_the_camera_taken_out_changes_the_negative_and_what_is_predicted(name: str) -> None:
    data = batch()
    inside, without = (
        views(method(name, camera=c, augmentation="none"), data) for c in ("in", "out")
    )
    differing = {view for view in inside if not torch.equal(inside[view], without[view])}
    assert differing == {"negative"} | ({"motion"} if name == "unscene" else set())
    torch.testing.assert_close(without["negative"][:, :, 0], inside["negative"][:, :, 0])


@pytest.mark.parametrize("source", ["vectors", "vectors+residual", "flow"])
def test_a_camera_that_pans_is_no_motion_to_predict(source: str) -> None:
    data = batch()
    pans = data.clips["motion"]
    assert pans.motion is not None
    pixels = torch.tensor([-2.0, 1.0]).half()  # back
    still = replace(pans.motion, vectors=pixels.expand_as(pans.motion.vectors))
    pan = replace(pans, motion=still)
    if source == "flow":
        pan = replace(pan, flow=(pixels / 20).expand(len(pans), 3, 32, 32, 2))
    data.clips["motion"] = pan
    for camera in ("in", "out"):
        given = {"motion_from": source, "camera": camera, "augmentation": "none"}
        seen = views(method("cmd", **given, motion_negatives=0), data)["motion"][:, :2]
        if camera == "out":
            assert seen.abs().max() < 2e-3
        else:
            # The view shows 35 px on 32; motion is a share of 10 px.
            expected = torch.tensor([0.2, -0.1])[:, None, None, None] * 32 / 35
            torch.testing.assert_close(seen, expected.expand_as(seen), atol=2e-3, rtol=0)


def test_papers_have_the_camera_in() -> None:
    for name in ("dsm", "dsm-triplet", "cmd"):
        for preset in ("paper", "official-code"):
            assert resolve(name, preset).camera == "in"


def test_rows_of_table_4_are_one_flag_apart() -> None:
    full = resolve("dsm", "paper")
    for flag in ("warp", "flow_scaling", "shift"):
        other = resolve("dsm", "paper", {flag: False})
        assert [k for k, v in vars(full).items() if vars(other)[k] != v] == [flag]


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_every_frame_of_a_positive_gets_the_same_map(preset: str) -> None:
    got = views(method("dsm", preset), batch(clip=clips(1, still=True), shifted=clips(2)))
    first = got["positive"][:, :, :1]
    torch.testing.assert_close(got["positive"], first.expand_as(got["positive"]))
    assert not torch.allclose(got["positive"][0], got["positive"][1])  # a map for every sample
    assert not torch.allclose(got["positive"], got["anchor"])


def test_the_negative_is_made_of_the_shifted_clip() -> None:
    dark, light = clips(1, level=40), clips(1, level=200)
    got = views(method("dsm", "paper"), batch(clip=dark, shifted=light))
    assert got["negative"].mean() > got["positive"].mean() + 1


def test_codec_vectors_are_read_only_for_flow_scaling() -> None:
    assert method("dsm", flow="codec").sampler().motion == ("shifted",)
    assert method("dsm", flow="auto").sampler().motion == ("shifted",)
    assert method("dsm", flow="dis").sampler().motion == ()
    assert method("dsm", flow="auto").vectors().keys() == {"shifted"}
    assert method("unscene", flow="auto", motion_from="vectors+residual").vectors().keys() == {
        "shifted"  # not the motion that is to be predicted
    }
    assert method("dsm", flow="codec").vectors() == {}
    assert method("dsm", flow="codec", shift=False).sampler().motion == ("clip",)
    assert method("dsm", flow="codec", flow_scaling=False).sampler().motion == ()


@pytest.mark.parametrize(
    ("preset", "jittered"), [("paper", [True, False, False]), ("default", [True, True, True])]
)
def test_which_views_get_colour_jitter(
    preset: str, jittered: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    original = encoder_input.make_view

    def record(clip: ClipBatch, params: Any, **rest: Any) -> Tensor:
        neutral = ColorFactors.neutral(len(params))
        seen.append(
            not all(
                torch.equal(getattr(params.color, name), getattr(neutral, name))
                for name in ("brightness", "contrast", "saturation", "hue")
            )
        )
        return original(clip, params, **rest)

    monkeypatch.setattr(encoder_input, "make_view", record)
    views(method("dsm", preset), batch())
    assert seen == jittered


def test_no_augmentation_means_none_under_the_paper_preset_too() -> None:
    model = method("dsm", "paper", augmentation="none", warp=False)
    got = views(model, batch())
    assert torch.equal(got["anchor"], got["positive"])


def test_the_same_generator_gives_the_same_views() -> None:
    model, data = method("dsm"), batch()
    first, again, other = views(model, data, 5), views(model, data, 5), views(model, data, 6)
    for name in first:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


@pytest.mark.parametrize("name", known_methods())
def test_shapes_and_metrics(name: str) -> None:
    model = method(name)
    result = model(batch_for(model), torch.Generator().manual_seed(0))
    assert result.loss.shape == ()
    assert all(not value.requires_grad for value in result.metrics.values())
    own_negative = name in ("dsm", "dsm-triplet", "unscene")
    assert ("negative" in result.metrics) == own_negative
    result.loss.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trained)


def test_triplet_without_a_negative_is_refused() -> None:
    with pytest.raises(UnsceneError, match="needs a negative"):
        method("dsm-triplet", flow_scaling=False, shift=False)


@pytest.mark.parametrize("queue_of", ["anchor", "key"])
def test_the_queue_never_holds_the_batch_it_is_compared_with(
    queue_of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unscene.methods import moco as moco_file

    seen: list[tuple[Tensor, Tensor]] = []
    original = moco_file.info_nce

    def record(query: Tensor, positive: Tensor, queue: Tensor, **rest: Any) -> Tensor:
        seen.append(((query if queue_of == "anchor" else positive).detach(), queue.clone()))
        return original(query, positive, queue, **rest)

    monkeypatch.setattr(moco_file, "info_nce", record)
    model = method("dsm", queue_of=queue_of, batch_negatives=False)
    before = None
    for step in range(3):
        model(batch(clip=clips(step), shifted=clips(9)), torch.Generator().manual_seed(step))
        features, queue = seen[-1]
        assert not any(torch.equal(row, held) for row in features for held in queue)
        if before is not None:  # and it does hold the batch before
            assert all(any(torch.equal(row, held) for held in queue) for row in before)
        model.after_step()
        before = features


def test_batch_negatives_are_the_keys_of_the_other_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    from unscene.methods import moco as moco_file

    seen: dict[str, Tensor] = {}
    original = moco_file.info_nce

    def record(query: Tensor, positive: Tensor, queue: Tensor, **rest: Any) -> Tensor:
        seen.update(positive=positive, queue=queue, mask=rest["mask"])
        return original(query, positive, queue, **rest)

    monkeypatch.setattr(moco_file, "info_nce", record)
    model = method("moco", queue=5, batch_negatives=True)
    inputs = batch(clip=clips(0))
    twice = replace(inputs, index=torch.tensor([4] * len(inputs)))  # one video in every place
    model(inputs, torch.Generator().manual_seed(0))
    count = len(inputs)
    assert torch.equal(seen["queue"][5:], seen["positive"])
    assert torch.equal(seen["mask"][:, 5:], torch.eye(count, dtype=torch.bool))
    assert not seen["mask"][:, :5].any()
    model(twice, torch.Generator().manual_seed(0))
    assert seen["mask"][:, 5:].all()


def test_a_method_can_be_copied_after_a_step() -> None:
    model = method("moco")
    model(batch(), torch.Generator().manual_seed(0))
    copy.deepcopy(model)


def test_without_the_warp_the_papers_positive_is_mocos() -> None:
    data = batch(clip=clips(1), shifted=clips(2))
    unwarped = views(method("dsm", "paper", warp=False), data)["positive"]
    plain = views(method("moco", "paper"), data)["positive"]
    torch.testing.assert_close(unwarped, plain)
    warped = views(method("dsm", "paper"), data)["positive"]
    assert not torch.allclose(warped, plain)


def test_more_stages_than_the_encoder_has_are_refused() -> None:
    for name in ("hdc", "unscene"):
        with pytest.raises(UnsceneError, match=r"stages 3: .* has 2; pass --stages 2"):
            method(name, stages=3)


def test_a_queue_of_open_length_is_an_error_when_it_is_used() -> None:
    model = method("moco", queue=0)
    model(batch(clip=clips(1)), torch.Generator())
    with pytest.raises(UnsceneError, match=r"Settings\.fit"):
        model.after_step()
