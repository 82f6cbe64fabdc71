"""Drawing: pixels come back right, graph paper shares the views' draws, rows are what there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from unscene.cli.main import main
from unscene.errors import UnsceneError
from unscene.html.fonts import make_printable
from unscene.preview import page, tiles
from unscene.preview import run as preview_module
from unscene.preview.run import preview
from unscene.synthetic.generate import ScenesReport
from unscene.train.config import CPU
from unscene.video.clip import Clip, ClipBatch
from unscene.views import picture
from unscene.views.augment import IMAGENET_MEAN, IMAGENET_STD, BasicAugmentation, make_view
from unscene.views.disturb import draw_offsets

SMALL = {"frames": 4, "stride": 1, "size": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small videos of different size, one with a name in many scripts, and one broken file."""
    root = tmp_path_factory.mktemp("videos")
    for name, size, count in (("映像 $x_1$ 😀.mp4", 48, 12), ("b.mp4", 64, 5)):
        with av.open(str(root / name), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = size + 16, size, "yuv420p"
            for t in range(count):
                pixels = np.full((size, size + 16, 3), 60, dtype=np.uint8)
                pixels[size // 3 : size // 2, 3 * t : 3 * t + 12] = (240, 200, 40)
                for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
    (root / "broken.mp4").write_bytes(b"not a video")
    return root


# -- images ------------------------------------------------------------------------------------


def test_to_rgb_undoes_the_normalization() -> None:
    colors = torch.tensor([0.0, 0.5, 1.0])
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    view = ((colors - mean) / std).view(1, 3, 1, 1, 1).expand(2, 3, 4, 5, 6)
    image = picture.to_rgb(view, IMAGENET_MEAN, IMAGENET_STD)
    assert image.shape == (2, 4, 5, 6, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - [0, 128, 255]).max() <= 1


def test_no_motion_is_white_and_directions_differ() -> None:
    assert (tiles.color_flow(np.zeros((2, 3, 2), np.float32), 1.0) == 255).all()
    ways = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], dtype=np.float32)
    right, left, down, up = tiles.color_flow(ways[None], 1.0)[0].astype(int)
    assert right[0] > 200 > right[2]  # what moves to the right is red
    assert len({tuple(c) for c in (right, left, down, up)}) == 4
    wheel = tiles.draw_color_wheel(64).astype(int)
    assert np.abs(wheel[32, 54] - right).max() < 60  # the legend agrees
    assert (wheel[0, 0] == picture.PAGE).all()


def test_reach_ignores_noise() -> None:
    assert tiles.find_reach(np.full((1, 4, 4, 2), 1e-4, np.float32)) == 0.02
    assert tiles.find_reach(np.full((1, 4, 4, 2), 0.3, np.float32)) > 0.3


def test_time_slice_draws_the_path_of_a_moving_bar() -> None:
    frames = np.zeros((8, 16, 16, 3), np.uint8)
    for t in range(8):
        frames[t, 4:7, 2 * t : 2 * t + 2] = 255
    row = tiles.find_busiest_row(frames)
    assert row in (4, 5, 6)
    drawn = tiles.cut_time_slice(frames, row, tile=16)
    columns = drawn[..., 0].argmax(axis=1)
    assert (np.diff(columns) >= 0).all()
    assert columns[0] < 2
    assert columns[-1] == 14


@pytest.mark.parametrize(("total", "expected"), [(16, 8), (8, 8), (5, 5), (1, 1)])
def test_pick_frames_includes_first_and_last_and_none_twice(total: int, expected: int) -> None:
    shown = picture.pick_frames(total)
    assert len(shown) == len(set(shown)) == expected
    assert (shown[0], shown[-1]) == (0, total - 1)


def test_only_dark_views_are_brightened() -> None:
    dark = {"anchor": np.full((2, 4, 4, 3), 12, np.uint8)}
    dark["anchor"][0, 0] = 40
    lifted, done = picture.brighten(dark)
    assert done
    assert lifted["anchor"].mean() > 60
    bright = {"anchor": np.full((2, 4, 4, 3), 140, np.uint8)}
    same, done = picture.brighten(bright)
    assert not done
    assert same["anchor"] is bright["anchor"]


def test_graph_paper_is_bent_by_the_warp(make_clip: Callable[..., Clip]) -> None:
    batch = tiles.draw_graph_paper(ClipBatch.of([make_clip(size=(64, 64))]))
    params = BasicAugmentation.none(64).center(batch.sizes)
    offsets = draw_offsets(1, torch.Generator().manual_seed(0))
    straight = make_view(batch, params, size=64)[0, 0, 0]
    bent = make_view(batch, params, size=64, warp_offsets=offsets)[0, 0, 0]
    # Rows of straight paper are all line or evenly dotted: columns of a bent one are not constant.
    assert straight.std(dim=1).min() < 0.2
    assert bent.std(dim=1).min() > 0.3


def test_names_are_made_printable() -> None:
    assert make_printable("Jump_8.mp4") == "Jump_8.mp4"
    assert "\u6620" not in make_printable("\u6620.mp4")
    assert make_printable("\udcff\n.mp4").endswith(".mp4")
    assert len(make_printable("x" * 300, 60)) <= 60


# -- the whole picture -------------------------------------------------------------------------


def test_dsm_draws_every_row(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = _spy(monkeypatch)
    path = preview(str(folder), tmp_path / "deep" / "views.png", videos=5, overrides=SMALL)
    image = cv2.imread(str(path))
    assert image is not None
    assert image.shape[1] > 1000
    assert "broken.mp4" in capsys.readouterr().err
    ((videos, titles),) = drawn
    assert len(videos) == 2  # as many as there are
    assert list(titles) == ["anchor", "positive", "negative", "flow"]
    assert set(videos[0].flows) == {"flow"}
    assert [p.name for p in path.parent.iterdir()] == ["views.png"]


def test_moco_has_neither_negative_nor_flow(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = _spy(monkeypatch)
    both = [
        cv2.imread(
            str(preview(str(folder), tmp_path / f"{m}.png", videos=1, method=m, overrides=SMALL))
        )
        for m in ("moco", "dsm")
    ]
    assert list(drawn[0][1]) == ["anchor", "positive"]
    assert not drawn[0][0][0].flows
    row = picture.TILE + 6
    assert both[1].shape[0] - both[0].shape[0] == 2 * row


def test_same_seed_same_picture(folder: Path, tmp_path: Path) -> None:
    def draw(name: str, seed: int) -> bytes:
        path = preview(str(folder), tmp_path / name, videos=1, overrides=SMALL, seed=seed)
        return path.read_bytes()

    first = draw("a.png", 0)
    assert draw("b.png", 0) == first
    assert draw("c.png", 1) != first


def test_warp_shows_in_the_graph_paper(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = _spy(monkeypatch)
    for warp in (True, False):
        preview(str(folder), tmp_path / f"w{warp}.png", videos=1, overrides=SMALL | {"warp": warp})
    bent, straight = (videos[0].papers["positive"] for videos, _ in drawn)
    assert np.abs(bent.astype(int) - straight).mean() > 10
    assert "warped" in drawn[0][1]["positive"]
    assert "warped" not in drawn[1][1]["positive"]


def test_every_step_of_the_motion_to_be_predicted_is_shown_once(
    moving: ScenesReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = _spy(monkeypatch)
    strips: list[np.ndarray] = []
    strip = page.filmstrip

    def watching(frames: np.ndarray) -> np.ndarray:
        strips.append(frames)
        return strip(frames)

    monkeypatch.setattr(page, "filmstrip", watching)
    given = SMALL | {"motion_frames": 5, "motion_gap": 2}
    preview(str(moving.train), tmp_path / "m.png", videos=1, method="cmd", overrides=given)
    ((videos, titles),) = drawn
    flow, over = videos[0].flows["motion"]
    motion = strips[-1]
    assert len(motion) == len(flow) == len(over) - 1 == 5
    for step, shown in zip(flow, motion, strict=True):
        assert bool(np.abs(step).any()) == bool((shown != shown[..., :1]).any())
    assert titles["motion"] == "motion to be predicted: 5 frames, 2 frames after the clip"


def test_the_command_takes_what_changes_the_views(
    moving: ScenesReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = _spy(monkeypatch)
    line = ["views", str(moving.train), "--method", "cmd", "--videos", "1", "--size", "32"]
    line += ["--frames", "4", "--stride", "1", "--tasks", "motion", "--motion_from", "flow"]
    assert main([*line, "--motion_frames", "3", "--out", str(tmp_path / "v.png")]) == 0
    ((videos, titles),) = drawn
    assert list(titles) == ["anchor", "motion"]
    assert len(videos[0].flows["motion"][0]) == 3


def test_a_single_frame_has_no_slice_of_time(
    moving: ScenesReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sliced: list[int] = []
    cut = page.cut_time_slice

    def watching(frames: np.ndarray, row: int) -> np.ndarray:
        sliced.append(len(frames))
        return cut(frames, row)

    monkeypatch.setattr(page, "cut_time_slice", watching)
    given = SMALL | {"tasks": "context"}
    preview(str(moving.train), tmp_path / "c.png", videos=1, method="cmd", overrides=given)
    assert sliced == [SMALL["frames"]]  # the clip's, and none of the key frame


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"videos": 0}, "at least 1"),
        ({"out": "views.jpg"}, "ends in .png"),
        ({"method": "dms"}, "dsm"),
        ({"method": "moco", "overrides": {"flow": "codec"}}, "--flow changes nothing in moco"),
    ],
)
def test_bad_arguments_are_refused(
    folder: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    arguments = {"videos": 1, "method": "dsm"} | changes
    out = tmp_path / str(arguments.pop("out", "views.png"))
    with pytest.raises(UnsceneError, match=message):
        preview(str(folder), out, **arguments)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def _spy(
    monkeypatch: pytest.MonkeyPatch,
) -> list[tuple[list[page.VideoViews], dict[str, str]]]:
    """Record the arguments of `draw_page`, which still draws."""
    seen = []
    draw = page.draw_page

    def spying(path: Path, videos: list, titles: dict, **rest: str) -> None:
        seen.append((videos, titles))
        draw(path, videos, titles, **rest)

    monkeypatch.setattr(preview_module.page, "draw_page", spying)
    return seen


def test_the_picture_shows_the_clips_that_a_cpu_trains_on(
    moving: ScenesReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}

    def note(data: str, out: Path, **given: object) -> Path:
        seen.update(given)
        return out

    monkeypatch.setattr("unscene.preview.run.preview", note)
    monkeypatch.setattr("unscene.device.uses_gpu", lambda _: False)
    line = ["views", str(moving.train), "--out", str(tmp_path / "views.png")]
    assert main(line) == 0
    assert seen["overrides"] == {"size": CPU["size"], "frames": CPU["frames"]}
    assert main([*line, "--size", "64"]) == 0
    assert seen["overrides"] == {"size": 64, "frames": CPU["frames"]}
    monkeypatch.setattr("unscene.device.uses_gpu", lambda _: True)
    assert main(line) == 0
    assert seen["overrides"] == {}
