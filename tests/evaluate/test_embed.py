"""Features of files and of arrays, by one call."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from media import pan, write
from unscene.data.listing import open_catalog
from unscene.encoders import VideoEncoder, create_encoder
from unscene.errors import UnsceneError
from unscene.evaluate.embed import embed
from unscene.evaluate.features import extract
from unscene.synthetic.generate import ScenesReport


@pytest.fixture
def encoder() -> VideoEncoder:
    torch.manual_seed(0)
    made = create_encoder("r3d-narrow", width=8, stages=2)
    made.spec = replace(made.spec, frames=4, stride=1, size=32, mean=(0.3, 0.5, 0.4))
    return made


def decode(path: Path) -> np.ndarray:
    """All frames as RGB, (T, H, W, 3), by FFmpeg's own conversion."""
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def test_files_have_the_features_of_extract(encoder: VideoEncoder, moving: ScenesReport) -> None:
    catalog = open_catalog(moving.seen)
    want = extract(encoder, catalog.videos, clips=3)
    paths = [video.path for video in catalog.videos]
    for videos in (str(moving.seen), moving.seen, catalog, paths, [Path(p) for p in paths]):
        found = embed(videos, encoder, clips_per_video=3, device="cpu")
        assert found.values.dtype == np.float32
        assert np.array_equal(found.values, want.values.numpy())
        assert found.paths == paths
    found = embed(moving.seen, encoder, clips_per_video=3, workers=1)
    assert found.labels == want.labels("label")
    assert (repr(found), len(found)) == (f"Embeddings({len(paths)} x 16)", len(paths))


def test_arrays_have_the_features_of_the_same_frames(encoder: VideoEncoder, tmp_path: Path) -> None:
    def film(i: int) -> Path:
        # Within the limited range of video, beyond which FFmpeg clips RGB before it is resized.
        luma = [(60 + frame * 0.5).astype(np.uint8) for frame in pan(12, (48, 64), (3, i))]
        return write(tmp_path / f"{i}.mp4", luma)

    paths = [film(i) for i in range(3)]
    want = embed(paths, encoder, clips_per_video=1).values
    # The one uniformly spaced clip is in the middle.
    clips = [decode(path)[4:8] for path in paths]
    found = embed(np.stack(clips), encoder).values

    def difference(values: np.ndarray) -> float:
        return float(np.linalg.norm(values - want) / np.linalg.norm(want))

    assert difference(found) < 0.02  # FFmpeg rounds colors
    assert difference(embed(np.stack(clips)[:, ::-1], encoder).values) > 0.05
    clips[0].flags.writeable = False
    assert np.array_equal(embed(torch.from_numpy(np.stack(clips)), encoder).values, found)
    one_by_one = embed(clips, encoder, batch_size=1).values
    np.testing.assert_allclose(one_by_one, found, rtol=1e-4, atol=1e-5)


def test_colors_are_normalized_as_the_encoder_says(encoder: VideoEncoder) -> None:
    shown: list[torch.Tensor] = []
    encoder.register_forward_pre_hook(lambda _, args: shown.append(args[0]))
    clip = np.empty((4, 40, 50, 3), np.uint8)
    clip[...] = 51, 102, 255
    embed([clip], encoder, device="cpu")
    mean, std = (torch.tensor(values) for values in (encoder.spec.mean, encoder.spec.std))
    expected = (torch.tensor([0.2, 0.4, 1.0]) - mean) / std
    torch.testing.assert_close(
        shown[0], expected.view(1, 3, 1, 1, 1).expand(1, 3, 4, 32, 32), rtol=0, atol=1e-5
    )
    assert encoder.training  # as it was


def test_clips_of_different_sizes(encoder: VideoEncoder) -> None:
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (4, h, 40, 3), np.uint8) for h in (40, 57)]
    both = embed(clips, encoder).values
    alone = [embed([clip], encoder).values[0] for clip in clips]
    np.testing.assert_allclose(both, np.stack(alone), rtol=1e-3, atol=1e-4)


def test_files_that_cannot_be_read_are_reported(
    encoder: VideoEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.mp4", pan(8, (32, 40), (2, 0)))
    (tmp_path / "b.mp4").write_bytes(b"no video")
    for videos in (tmp_path, [tmp_path / "a.mp4", tmp_path / "b.mp4"]):
        found = embed(videos, encoder, clips_per_video=1)
        assert found.paths == [str(tmp_path / "a.mp4")]
        assert [skipped.path for skipped in found.skipped] == [str(tmp_path / "b.mp4")]
        assert repr(found) == "Embeddings(1 x 16, 1 skipped)"
        assert "b.mp4" in capsys.readouterr().err
    with pytest.raises(UnsceneError, match=r"(?s)list of 1: no video can be used.*b\.mp4"):
        embed([tmp_path / "b.mp4"], encoder)


CLIP = np.zeros((4, 32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("videos", "said"),
    [
        (CLIP, r"axes \(clip, frame, .*\(4, 32, 32, 3\); one clip alone is clip\[None\]"),
        ([CLIP, CLIP[0]], r"clip 1: has the shape \(32, 32, 3\); it must be \(frames, height"),
        ([np.moveaxis(CLIP, -1, 0)], r"clip 0: has the shape \(3, 4, 32, 32\).* last"),
        (np.zeros((2, 3, 32, 32, 3), np.uint8), "clip 0: has 3 frames, and r3d-narrow takes 4"),
        ([CLIP / 255], "clip 0: has the type float64; it must be uint8"),
        ([CLIP, None], "clip 1: is no array or tensor, but NoneType"),
        (CLIP[None][:0], "the array is empty"),
        ([], "the list of videos is empty"),
        ("nowhere.mp4", "nowhere.mp4: does not exist"),
    ],
)
def test_mistakes(videos: object, said: str, encoder: VideoEncoder) -> None:
    with pytest.raises(UnsceneError, match=said):
        embed(videos, encoder)  # type: ignore[arg-type]


def test_settings_and_features_that_mean_nothing(encoder: VideoEncoder) -> None:
    for name, value in (("clips_per_video", 0), ("batch_size", 0), ("workers", -1)):
        with pytest.raises(UnsceneError, match=f"{name} {value}: must be at least"):
            embed(CLIP[None], encoder, **{name: value})  # type: ignore[arg-type]
    with torch.no_grad():
        next(encoder.parameters()).fill_(float("nan"))
    with pytest.raises(UnsceneError, match="clip 0: its feature is not finite"):
        embed(CLIP[None], encoder)


def test_a_data_frame(
    encoder: VideoEncoder, moving: ScenesReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = embed(moving.seen, encoder, clips_per_video=1)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UnsceneError, match="pip install pandas"):
        found.to_pandas()
    monkeypatch.undo()
    pytest.importorskip("pandas")
    frame = found.to_pandas()
    assert frame.shape == (len(found), 16 + 4 + len(found.videos[0].columns))
    assert frame["path"].tolist() == found.paths
    assert frame["scene"].tolist() == [video.columns["scene"] for video in found.videos]
    assert np.array_equal(frame[list(range(16))].to_numpy(), found.values)
