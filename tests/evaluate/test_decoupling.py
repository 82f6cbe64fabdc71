"""The decoupling score on footage whose motion is known, by encoders whose answers are known."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from media import pan, texture, write
from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog
from unscene.data.loading import Batch
from unscene.encoders import EncoderSpec, VideoEncoder, create_encoder
from unscene.errors import UnsceneError
from unscene.evaluate.decoupling import (
    PAIRS,
    TRAINED,
    UNTRAINED,
    Decoupling,
    decouple,
    make_decoupling_rows,
)
from unscene.evaluate.decoupling_views import MOTION, SCENE, PerturbationFactory, ShiftedClipSampler
from unscene.synthetic.generate import MovingScenes, generate
from unscene.video.decode import read_clips
from unscene.video.sampling import UniformClipSampler

FRAMES, STRIDE, SIZE = 8, 2, 48


class Known(VideoEncoder):
    """An encoder that is one function: (B, 3, T, h, w), RGB in 0..1 -> (B, D)."""

    def __init__(self, function: Callable[[Tensor], Tensor], frames: int = FRAMES) -> None:
        spec = EncoderSpec(
            "known", {}, 1, frames, STRIDE, SIZE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
        )
        super().__init__(spec, stage_dims=(1,), minimum=(1, 1, 1))
        self.function = function
        self.batches: list[int] = []

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        self.batches.append(len(clip_BCTHW))
        return self.function(clip_BCTHW)


def small(frame: Tensor) -> Tensor:
    """A frame (B, 3, h, w) as 8 x 8 colors, (B, D)."""
    return F.adaptive_avg_pool2d(frame, 8).flatten(1)


def order_blind(view: Tensor) -> Tensor:
    """What is seen over the whole clip, in no order."""
    return small(view.mean(dim=2))


def scene_only(view: Tensor) -> Tensor:
    """The scene without what moves, minus its mean color."""
    still = small(view.median(dim=2).values)
    return still - still.mean(dim=1, keepdim=True)


def constant(view: Tensor) -> Tensor:
    return torch.ones(len(view), 4)


def motion_only(view: Tensor) -> Tensor:
    """Where what differs from the still part goes from frame to frame, (B, 2 (T-1)).

    On the torus that the objects live on: the middle is the angle of a first harmonic.
    """
    change = (view - view.median(dim=2, keepdim=True).values).norm(dim=1)
    change = F.relu(change - 0.3 * change.amax(dim=(1, 2, 3), keepdim=True))  # no halo, no noise
    turn = torch.exp(1j * math.pi * torch.linspace(-1, 1, view.shape[-1]))
    middles = torch.stack([change.sum(dim=axis) + 0j for axis in (2, 3)], dim=1) @ turn
    steps = middles[..., 1:] * middles[..., :-1].conj()
    return torch.where(steps.abs() > 1e-3, steps.angle(), 0.0).flatten(1)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Eight objects that move in four directions, each in a scene of its own."""
    spec = MovingScenes(
        train_videos=8,
        seen_videos=0,
        unseen_videos=0,
        size=SIZE,
        frames=32,
        motions=("left", "right", "up", "down"),
        scenes=8,
        correlation=0.0,
        object_size=(12.0, 16.0),
        speed=(1.5, 2.0),
        own_place=True,
        seed=3,
    )
    out = tmp_path_factory.mktemp("decouple") / "scenes"
    return open_catalog(generate(out, spec).train.parent / "train")


@pytest.fixture(scope="module")
def by_scene(catalog: Catalog) -> Decoupling:
    return decouple(Known(scene_only), catalog.videos)


def test_an_encoder_that_ignores_order_never_detects_reversal(catalog: Catalog) -> None:
    found = decouple(Known(order_blind), catalog.videos)
    for scene in SCENE:
        for motion in ("reversed", "shuffled"):
            assert found.pairs[f"{scene}>{motion}"].value == 0


def test_an_encoder_of_motion_is_right_where_no_training_helps(catalog: Catalog) -> None:
    found = decouple(Known(motion_only), catalog.videos)
    assert found.untrained is not None
    assert found.untrained.value >= 0.95
    for scene in SCENE:
        for motion in ("reversed", "frozen", "shuffled"):
            assert found.pairs[f"{scene}>{motion}"].value >= 0.85, (scene, motion)
    # A steady motion is the same at another time: the stub cannot win there, nor should it.
    assert found.pairs["crop>shift"].value < 0.9


def test_an_encoder_of_the_scene_is_wrong(by_scene: Decoupling) -> None:
    for scene in ("background", "overlay"):
        for motion in MOTION:
            assert by_scene.pairs[f"{scene}>{motion}"].value <= 0.125, (scene, motion)
    assert by_scene.untrained is not None
    assert by_scene.untrained.value == 0
    assert by_scene.untrained.ci95 == pytest.approx((0, 1.96**2 / (8 + 1.96**2)), abs=1e-4)


def test_an_encoder_that_says_nothing_is_even(catalog: Catalog) -> None:
    found = decouple(Known(constant), catalog.videos)
    assert set(found.pairs) == set(PAIRS)
    assert {share.value for share in found.pairs.values()} == {0.5}
    assert found.trained is not None
    assert (found.trained.value, found.trained.ci95, found.trained.n) == (0.5, (0.5, 0.5), 8)
    assert (found.n, found.left_out, found.skipped) == (8, {}, ())


def test_the_kinds_of_pairs(by_scene: Decoupling) -> None:
    assert len(PAIRS) == 25
    assert set(TRAINED) == {
        f"{p}>{n}" for p in ("warp", "colour", "crop") for n in ("shift", "flow")
    }
    assert set(UNTRAINED) == {
        f"{p}>{n}" for p in ("background", "overlay") for n in ("reversed", "frozen", "shuffled")
    }
    for mean, pairs in ((by_scene.trained, TRAINED), (by_scene.untrained, UNTRAINED)):
        assert mean is not None
        expected = np.mean([by_scene.pairs[pair].value for pair in pairs])
        assert math.isclose(mean.value, expected)
        assert mean.ci95[0] <= mean.value <= mean.ci95[1]


@pytest.fixture
def network() -> VideoEncoder:
    torch.manual_seed(0)
    made = create_encoder("r3d-narrow", width=8, stages=2)
    made.spec = replace(made.spec, frames=4, stride=2, size=32)
    return made


@pytest.mark.slow
def test_numbers_depend_on_the_seed_and_on_nothing_else(
    network: VideoEncoder, catalog: Catalog, tmp_path: Path
) -> None:
    # Frames of several sizes, one video too short to shift, one file that is none.
    for video in catalog.videos[:2]:
        shutil.copy(video.path, tmp_path)
    for i, size in enumerate(((64, 96), (80, 60))):
        write(tmp_path / f"pan{i}.mp4", pan(8 + 12 * i, size, (2, 1)))
    videos = open_catalog(tmp_path).videos
    (tmp_path / "00001.mp4").write_bytes(b"gone")
    done: list[tuple[int, int]] = []
    want = decouple(network.train(), videos, clips=2, progress=lambda *at: done.append(at))
    assert network.training
    assert done[-1] == (4, 4)
    assert [Path(s.path).name for s in want.skipped] == ["00001.mp4"]
    assert want.n == 3
    assert decouple(network, videos, clips=2, batch_size=3) == want
    assert decouple(network, videos, clips=2, workers=1) == want
    factories = [PerturbationFactory(videos, network.spec, seed, "cpu") for seed in (0, 1)]
    views = [s.make_views(Batch.of([s.make_dataset(1)[0, 0]]), 0, 0) for s in factories]
    assert torch.equal(views[0]["anchor"], views[1]["anchor"])
    for name in ("warp", "colour", "crop", "flow"):
        assert not torch.equal(views[0][name], views[1][name])


def test_segments_of_a_file_count_once_and_are_no_donors_of_each_other(
    network: VideoEncoder, tmp_path: Path
) -> None:
    write(tmp_path / "a.mp4", pan(40, (48, 48), (2, 0)))
    write(tmp_path / "b.mp4", pan(20, (48, 48), (0, 2)))
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    rows = ["a.mp4,0,0.8", "link.mp4,0.8,1.6", "b.mp4,,"]
    (tmp_path / "v.csv").write_text("\n".join(["path,start,end", *rows]))
    videos = open_catalog(tmp_path / "v.csv").videos
    found = decouple(network, videos)
    assert found.n == 2
    assert {score.n for score in found.pairs.values()} <= {1, 2}
    assert decouple(network, videos[:2]).left_out["background, overlay: no other scene"] == 2


def test_what_the_views_show(catalog: Catalog) -> None:
    factory = PerturbationFactory(catalog.videos, Known(constant).spec, 0, "cpu")
    dataset = factory.make_dataset(1)
    for index in range(3):
        views = factory.make_views(Batch.of([dataset[0, index]]), 0, index)
        assert set(views) == {"anchor", *SCENE, *MOTION}
        anchor = views["anchor"]
        assert {view.shape for view in views.values()} == {(1, 3, FRAMES, SIZE, SIZE)}
        assert torch.equal(views["reversed"].flip(2), anchor)
        frames, shown = anchor[0].transpose(0, 1), views["shuffled"][0].transpose(0, 1)
        order = [int((frames - one).abs().sum(dim=(1, 2, 3)).argmin()) for one in shown]
        assert sorted(order) == list(range(FRAMES))
        assert order not in (list(range(FRAMES)), list(range(FRAMES))[::-1])
        assert torch.equal(views["shuffled"], anchor[:, :, order])
        assert torch.equal(views["frozen"], anchor[:, :, 4:5].expand_as(anchor))
        assert torch.equal(views["flow"][:, :, 0], anchor[:, :, 0])
        # The two foreign scenes are the same one, and neither is the clip's own.
        foreign = 2 * views["overlay"] - anchor
        far = (views["background"] - foreign).abs().amax(dim=1) < 1e-5
        assert 0.6 < far.float().mean() < 0.99
        assert (foreign - anchor)[:, :, 0].abs().mean() > 0.05
    assert factory.left_out == {}


def test_clips_are_averaged_in_batches_of_their_own(catalog: Catalog) -> None:
    encoder = Known(constant)
    found = decouple(encoder, catalog.videos[:2], clips=2, batch_size=4)
    assert encoder.batches == [4, 4, 3] * 4
    assert {share.n for share in found.pairs.values()} == {2}


def test_videos_that_cannot_show_it_are_left_out_and_counted(
    catalog: Catalog, tmp_path: Path
) -> None:
    still = [texture(48, 48)] * 40
    write(tmp_path / "still.mp4", still)
    write(tmp_path / "panned.mp4", pan(40, (48, 48), (2, 0)))
    write(tmp_path / "short.mp4", pan(16, (48, 48), (0, 2)))
    shutil.copy(catalog.videos[0].path, tmp_path / "a.mp4")
    shutil.copy(catalog.videos[1].path, tmp_path / "b.mp4")
    found = decouple(Known(constant), open_catalog(tmp_path).videos)
    assert found.n == 4
    assert found.left_out == {
        "all: nothing moves": 1,
        "background: the camera cannot be followed": 2,
        "shift: video too short": 1,
    }
    counts = {pair: share.n for pair, share in found.pairs.items()}
    assert counts["background>shift"] == counts["background>reversed"] == 2
    assert counts["warp>shift"] == 3
    assert counts["warp>reversed"] == counts["overlay>flow"] == 4


def test_a_place_is_not_foreign_to_itself(catalog: Catalog, tmp_path: Path) -> None:
    """A fixed camera: many files, one scene. And a single file, of which segments are cut."""
    for name in "abc":
        shutil.copy(catalog.videos[0].path, tmp_path / f"{name}.mp4")
    found = decouple(Known(constant), open_catalog(tmp_path).videos)
    assert found.left_out == {"background, overlay: no other scene": 3}
    assert found.untrained is None
    assert found.trained is not None
    assert not any(pair.startswith(("background", "overlay")) for pair in found.pairs)
    metrics = [
        row.metric
        for row in make_decoupling_rows(found, Known(constant).spec, catalog, split="all")
    ]
    assert "decoupling_untrained" not in metrics


def test_rows(by_scene: Decoupling, catalog: Catalog) -> None:
    history = {"method": "dsm", "seed": 3, "steps": 70, "seconds": 9.5, "settings": {"lr": 0.1}}
    spec = replace(Known(constant).spec, trained_on=history)
    made = make_decoupling_rows(by_scene, spec, catalog, split="train", clips=1)
    assert [row.metric for row in made[:2]] == ["decoupling_trained", "decoupling_untrained"]
    assert {row.metric for row in made[2:]} == {f"decoupling/{pair}" for pair in PAIRS}
    first = made[0]
    assert (first.method, first.seed, first.steps, first.label) == ("dsm", 3, 70, "none")
    assert (first.n, first.views, first.split) == (8, 1, "train")
    assert first.fingerprint == catalog.fingerprint()
    assert by_scene.trained is not None
    assert (first.value, first.ci95) == (by_scene.trained.value, by_scene.trained.ci95)


def test_mistakes(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(UnsceneError, match="at least 3"):
        decouple(Known(constant, frames=2), catalog.videos)
    for name in ("clips", "batch_size"):
        with pytest.raises(UnsceneError, match=f"{name} 0"):
            decouple(Known(constant), catalog.videos, **{name: 0})
    with pytest.raises(UnsceneError, match="not finite"):
        decouple(Known(lambda view: torch.full((len(view), 2), torch.nan)), catalog.videos[:1])
    write(tmp_path / "still.mp4", [texture(48, 48)] * 40)
    videos = open_catalog(tmp_path).videos
    with pytest.raises(UnsceneError, match="none of 1 videos can be scored; nothing moves"):
        decouple(Known(constant), videos)
    (tmp_path / "still.mp4").write_bytes(b"gone")
    encoder = Known(constant).train()
    with pytest.raises(UnsceneError, match=r"none of 1 videos can be scored; .*still\.mp4"):
        decouple(encoder, videos)
    assert encoder.training


@pytest.mark.parametrize("total", [15, 16, 20, 23, 24, 31, 32, 40, 47, 48, 100, 1000])
@pytest.mark.parametrize("count", [1, 3])
def test_shifted_windows(total: int, count: int) -> None:
    fps, rng = 25.0, np.random.default_rng(0)
    for number in range(count):
        request = ShiftedClipSampler(8, 2, count).draw(total / fps, fps, rng, number)
        plain = UniformClipSampler(8, 2, count).draw(total / fps, fps, rng, number)
        begins = {name: request.at * fps + o[0] for name, o in request.offsets.items()}
        # The anchor is the clip that `extract` reads.
        assert math.isclose(begins["clip"], plain.at * fps, abs_tol=1e-6)
        room = total - 15
        free = max(plain.at * fps, room - plain.at * fps)
        if "shifted" not in begins:
            assert free < 4 + 0.01
            continue
        tau = abs(begins["shifted"] - begins["clip"])
        assert 4 <= round(tau) <= 8
        assert tau == pytest.approx(min(8, math.floor(free + 1e-3)))
        assert -0.01 <= begins["shifted"] <= room + 0.01
        assert np.diff(request.offsets["shifted"]).tolist() == [2] * 7


@pytest.mark.parametrize("total", [23, 24, 31, 40])
def test_shifted_windows_do_not_loop(total: int, tmp_path: Path) -> None:
    path = write(tmp_path / "pan.mp4", pan(total))
    for number in range(3):
        request = ShiftedClipSampler(8, 2, 3).draw(
            total / 25, 25.0, np.random.default_rng(0), number
        )
        clips = read_clips(path, request)
        assert "shifted" in clips
        for clip in clips.values():
            assert (clip.times.diff() > 0).all()
        assert not torch.equal(clips["clip"].times, clips["shifted"].times)
