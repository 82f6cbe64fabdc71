"""CMD: its views, and what stands in for vectors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from cmd_parts import SIDE, B, batch, method, run

from unscene.views.augment import BasicAugmentation, make_view

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


def test_differences_stand_in_for_vectors() -> None:
    model = method(motion_from="difference", augmentation="none")
    data = batch(model)
    seen = model.views(data, torch.Generator())["motion"]
    frames = make_view(
        data.clips["motion"], model.basic.center(data.clips["motion"].sizes), size=32
    )
    torch.testing.assert_close(seen, frames[:, :, 1:] - frames[:, :, :-1])
    assert seen.shape == (B, 3, 4, 32, 32)
    assert torch.isfinite(run(model, data).loss)
    assert model.sampler().motion_as == "frames"


def test_flow_stands_in_for_vectors() -> None:
    model = method(motion_from="flow", augmentation="none")
    data = batch(model)
    # Flow points back: everything comes from the left and from below, 2 px and 1 px of the frame.
    back = torch.tensor([-2.0, 1.0]) * 2 / SIDE
    flow = back.half().expand(B, 4, 32, 32, 2).clone()
    data.clips["motion"] = replace(data.clips["motion"], flow=flow)
    seen = model.views(data, torch.Generator())["motion"]
    assert seen.shape == (B, 2, 4, 32, 32)
    # The view shows the frame's middle 35 px on 32.
    wanted = torch.tensor([2.0, -1.0]) * 32 / 35 / 10
    torch.testing.assert_close(seen.mean(dim=(0, 2, 3, 4)), wanted, atol=2e-4, rtol=0)
    assert float(seen.flatten(3).std(dim=3).max()) < 1e-3
    assert torch.isfinite(run(model, data).loss)


@pytest.mark.parametrize("predictor", ["transformer", "linear"])
def test_all_that_is_random_comes_from_the_generator(predictor: str) -> None:
    model = method(predictor=predictor)
    data = batch(model)
    first = run(model, data).loss.item()
    torch.rand(3)  # torch's own state has moved on
    before = torch.get_rng_state()
    assert run(model, data).loss.item() == first
    assert torch.equal(torch.get_rng_state(), before)
    assert model(data, torch.Generator().manual_seed(8)).loss.item() != first


def test_other_moments_have_crops_of_their_own() -> None:
    model = method(motion_limit=100.0)
    data = batch(model)
    data.clips["other0"] = data.clips["motion"]
    views = model.views(data, torch.Generator().manual_seed(0))
    assert not torch.equal(views["other0"], views["motion"])
