"""Encoders that read the codec's motion vectors: files without pixels, views, arrays, audits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import media
from unscene import embed
from unscene.audit.run import explain_input
from unscene.data import loading
from unscene.data.listing import open_catalog
from unscene.data.loading import ClipDataset
from unscene.encoders import (
    VideoEncoder,
    create_encoder,
    load_encoder,
    make_untrained_twin,
    resolve_encoder,
    save_encoder,
)
from unscene.errors import UnsceneError
from unscene.evaluate.features import extract
from unscene.video.clip import ClipBatch
from unscene.video.decode import read_clips
from unscene.video.planes import PlaneReader
from unscene.video.sampling import RandomClipSampler, Request, UniformClipSampler
from unscene.views import disturb, geometry
from unscene.views.augment import BasicAugmentation
from unscene.views.encoder_input import make_flow_view, read_for_encoder
from unscene.views.flow import view_flow, warp_flow

SIZE = (128, 160)


def object_over(scene_step: tuple[int, int], object_step: tuple[int, int]) -> Iterator[np.ndarray]:
    """A textured square over a texture, both moving by (x, y) px a frame, 26 frames."""
    scene, square = media.texture(320, 360, 1), media.texture(48, 48, 5)
    for t in range(26):
        x, y = 100 - scene_step[0] * t, 100 - scene_step[1] * t
        frame = scene[y : y + SIZE[0], x : x + SIZE[1]].copy()
        x, y = 10 + object_step[0] * t, 40 + object_step[1] * t
        frame[y : y + 48, x : x + 48] = square
        yield frame


def write(folder: Path, codec: str = "mpeg4", **steps: tuple[int, int]) -> Path:
    options = {"g": "12", "bf": "0"} if codec == "mpeg4" else media.PAN
    frames = object_over(steps.get("scene", (0, 0)), steps.get("object", (2, 0)))
    folder.mkdir(exist_ok=True)
    return media.write(folder / "a.mp4", frames, codec, options=options)


def encode(path: Path, encoder: VideoEncoder, **how: int) -> torch.Tensor:
    return extract(encoder, open_catalog(path.parent).videos, clips=1, **how).values[0]


@pytest.fixture
def no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a frame was converted")

    monkeypatch.setattr(PlaneReader, "__call__", refuse)


@pytest.mark.usefixtures("no_pixels")
@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("scene", [(0, 0), (2, 1)])
def test_hof_of_vectors_sees_the_object_and_not_the_camera(
    tmp_path: Path, codec: str, scene: tuple[int, int]
) -> None:
    to_the_right = scene[0] + 2, scene[1]  # past the scene
    path = write(tmp_path / "a", codec, scene=scene, object=to_the_right)
    feature = encode(path, load_encoder("hof-vectors"))
    # Flow points back: an object that moves to the right has flow to the left, bin 4 of 8.
    assert int(feature[:8].argmax()) == 4
    assert feature[4] > 2 * feature[0]
    assert feature[8].square() > 0.6  # the scene rests once the camera is taken out


def test_hof_of_vectors_is_near_that_of_flow(tmp_path: Path) -> None:
    path = write(tmp_path / "a", object=(2, 1))
    vectors, flow = (encode(path, load_encoder(name)) for name in ("hof-vectors", "hof"))
    assert torch.nn.functional.cosine_similarity(vectors, flow, dim=0) > 0.97


@pytest.mark.usefixtures("no_pixels")
@pytest.mark.parametrize("name", ["r3d-narrow", "motion-net"])
def test_any_architecture_reads_vectors_saved_loaded_and_untrained(
    tmp_path: Path, name: str
) -> None:
    torch.manual_seed(0)
    encoder = create_encoder(name, input="vectors").eval()
    assert encoder.spec.frames == create_encoder(name, input="flow").spec.frames
    path = write(tmp_path / "a")
    feature = encode(path, encoder)
    assert feature.isfinite().all()
    save_encoder(encoder, tmp_path / "saved")
    loaded = load_encoder(tmp_path / "saved")
    assert (loaded.input, loaded.flow_grid) == ("vectors", encoder.flow_grid)
    assert torch.allclose(encode(path, loaded), feature, atol=1e-5)
    twin = make_untrained_twin(loaded)
    assert twin.input == "vectors"
    assert encode(path, twin).shape == feature.shape


def test_pixels_alone_are_read_by_their_flow() -> None:
    coarse = torch.rand(2, 3, 9, 12, 12, generator=torch.Generator().manual_seed(0))
    clip = torch.nn.functional.interpolate(coarse, size=(9, 48, 48), mode="trilinear")
    of_vectors, of_flow = (create_encoder(name)(clip) for name in ("hof-vectors", "hof"))
    assert torch.allclose(of_vectors, of_flow)
    arrays = (clip.movedim(1, -1) * 255).byte().numpy()
    with pytest.raises(UnsceneError, match="has 9 frames, and hof-vectors takes 16"):
        embed(arrays, "hof-vectors")


def test_videos_without_vectors_are_skipped_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path / "a")
    media.write(tmp_path / "a" / "b.webm", media.pan(24, SIZE), "libvpx-vp9")
    videos = open_catalog(tmp_path / "a").videos
    found = extract(load_encoder("hof-vectors"), videos, clips=1)
    assert [Path(video.path).name for video in found.videos] == ["a.mp4"]
    (skipped,) = found.skipped
    assert "vp9 carries no motion vectors: `unscene prepare`" in skipped.reason


def test_vectors_are_the_same_whether_pixels_are_read_beside_them(tmp_path: Path) -> None:
    for codec in ("mpeg4", "libx264"):
        path = write(tmp_path / codec, codec, scene=(1, 1))
        alone, beside = (
            read_clips(path, Request(0.1, {"clip": tuple(range(20))}, **{how: ("clip",)}))["clip"]
            for how in ("motion_only", "motion")
        )
        assert alone.motion is not None
        assert beside.motion is not None
        assert (len(alone), len(beside)) == (0, 20)
        assert torch.equal(alone.motion.vectors, beside.motion.vectors)
        assert torch.equal(alone.motion.valid, beside.motion.valid)
        assert alone.motion.vectors.abs().sum() > 0


def flow_batch(tmp_path: Path) -> ClipBatch:
    encoder = create_encoder("motion-net", input="vectors")
    sampler, transforms = read_for_encoder(encoder, RandomClipSampler(6, 2), 80)
    path = write(tmp_path / "a", object=(2, 1))
    request = sampler.draw(26 / 25, 25.0, np.random.default_rng(0))
    clip = read_clips(path, request)["clip"]
    return ClipBatch.of([transforms["clip"](clip)])


def test_a_view_of_flow_moves_with_the_view(tmp_path: Path) -> None:
    batch = flow_batch(tmp_path)
    center = BasicAugmentation.none().center(batch.sizes)
    plain = make_flow_view(batch, center, size=16)
    assert plain.shape == (1, 2, 5, 16, 16)
    assert plain.abs().max() > 0.02
    twice = make_flow_view(batch, center, size=16, phi=torch.full((1, 5), 2.0))
    assert torch.allclose(twice, 2 * plain)
    still = make_flow_view(batch, center, size=16, warp_offsets=torch.zeros(1, 25, 2))
    assert torch.allclose(still, plain, atol=1e-3)


def test_a_warped_view_shows_where_things_went_in_the_warped_picture() -> None:
    generator = torch.Generator().manual_seed(0)
    affine = geometry.crop(torch.tensor([[-0.7, -0.8, 0.9, 0.6]]))
    flow = torch.tensor([0.02, -0.01]).expand(1, 2, 16, 16, 2)
    exact = view_flow(flow, affine, (24, 24))
    assert torch.allclose(warp_flow(flow, geometry.grid(affine, (24, 24))), exact, atol=1e-5)
    # A point u of the warped view shows W(u); one step earlier it was at u + v(u), where it has to
    # show W(u) + V.
    grid = disturb.warp(affine, disturb.draw_offsets(1, generator, reach=0.1), (64, 64))
    moved = geometry.pixel_centers((64, 64))[None] + warp_flow(flow, grid)[:, 0]
    there = torch.nn.functional.grid_sample(
        grid.movedim(-1, 1), moved, padding_mode="border", align_corners=False
    ).movedim(1, -1)
    inner = slice(8, -8)
    off = (there - grid - flow[0, 0, 0, 0])[:, inner, inner].norm(dim=-1)
    assert off.mean() < 0.002  # of a motion of 0.022


def test_clips_of_a_video_are_read_in_one_pass_and_are_those_read_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a", object=(2, 1))
    (video,) = open_catalog(path.parent).videos
    encoder = create_encoder("motion-net", input="vectors")
    drawn = UniformClipSampler(6, 2, 4)
    sampler, transforms = read_for_encoder(encoder, drawn, 80, centered=True)
    dataset = ClipDataset([video], sampler, transforms=transforms, replace_failed=False)
    alone = [dataset[draw, 0].clips["clip"].flow for draw in range(4)]
    passes = []
    read = loading.read_clips
    monkeypatch.setattr(loading, "read_clips", lambda *a, **k: passes.append(a) or read(*a, **k))
    together = dataset.read_together([(draw, 0) for draw in range(4)])
    assert len(passes) == 1
    for one, item in zip(alone, together, strict=True):
        assert one is not None
        assert torch.equal(item.clips["clip"].flow, one)
    assert not torch.equal(alone[0], alone[3])
    (tmp_path / "a" / "a.mp4").write_bytes(b"no video")
    failed = dataset.read_together([(0, 0), (1, 0)])
    assert [len(item.failures) for item in failed] == [1, 1]


def test_an_audit_says_that_altered_pixels_have_no_vectors() -> None:
    for name in ("hof-vectors", "two-stream:r3d-narrow,hof-vectors"):
        assert "altered pixels have no motion vectors" in explain_input(resolve_encoder(name)).note
    usual = resolve_encoder("hof")
    assert explain_input(usual) is usual
