"""What a picture's numbers mean and which way it is up: the same answer in every place."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

import media
from unscene.prepare.inspect import inspect
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.transcode import transcode
from unscene.video.clip import Clip
from unscene.video.decode import read_clips
from unscene.video.picture_format import PictureFormat, choose_matrix
from unscene.video.probe import probe
from unscene.video.sampling import Request

Read = Callable[..., Clip]
ONE = 0x10000  # 16.16 fixed point
# (a, b, c, d) of a display matrix: x goes to (a, b), y to (c, d); and what a player then shows.
SHOWN: dict[str, tuple[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]]] = {
    "nothing": ((0, 0, 0, 0), lambda luma: luma),
    "mirrored": ((-ONE, 0, 0, ONE), lambda luma: luma[..., ::-1]),
    "upside down": ((ONE, 0, 0, -ONE), lambda luma: luma[..., ::-1, :]),
    "turned half": ((-ONE, 0, 0, -ONE), lambda luma: luma[..., ::-1, ::-1]),
    "transposed": ((0, ONE, ONE, 0), lambda luma: luma.swapaxes(-1, -2)),
    "turned clockwise": ((0, ONE, -ONE, 0), lambda luma: np.rot90(luma, -1, (-2, -1))),
    "across": (
        (0, -ONE, -ONE, 0),
        lambda luma: luma[..., ::-1, ::-1].swapaxes(-1, -2),
    ),
}


def show(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Patch the display matrix of an mp4."""
    data, (a, b, c, d) = bytearray(path.read_bytes()), matrix
    place = data.index(b"tkhd") + 4 + 40
    data[place : place + 24] = struct.pack(">6i", a, b, 0, c, d, 0)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", SHOWN)
def test_pictures_and_vectors_are_mirrored_and_turned(
    tmp_path: Path, read: Read, name: str
) -> None:
    matrix, shown = SHOWN[name]
    frames = media.pan(6, (64, 96), (3, 1))
    path = media.write(tmp_path / "a.mp4", frames, options={"qp": "0", **media.PAN})
    request = Request(0.0, {"clip": (0, 5)}, motion=("clip",))
    flat = read_clips(path, request)["clip"]
    turned = read_clips(show(path, matrix), request)["clip"]
    for plane in ("y", "u", "v"):
        wanted = shown(getattr(flat, plane).numpy())
        np.testing.assert_array_equal(getattr(turned, plane).numpy(), wanted)
    assert turned.motion is not None
    assert flat.motion is not None
    np.testing.assert_array_equal(turned.motion.valid.numpy(), shown(flat.motion.valid.numpy()))
    a, b, c, d = (value // ONE for value in matrix) if any(matrix) else (1, 0, 0, 1)
    seen = turned.motion.vectors[turned.motion.valid].median(dim=0).values
    assert seen.tolist() == [-3 * a - c, -3 * b - d]
    height, width = turned.size
    assert (probe(path).height, probe(path).width) == (height, width)
    assert (inspect(path).height, inspect(path).width) == (height, width)
    transcode(path, tmp_path / "out.mp4", TranscodeSettings(0, quality=1))
    again = read(tmp_path / "out.mp4").y[0].numpy().astype(int)
    assert np.abs(again - turned.y[0].numpy()).mean() < 2


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_picture_is_what_ffmpeg_says(tmp_path: Path, degrees: int) -> None:
    path = media.turn(media.write(tmp_path / "a.mp4", media.drift(2)), degrees)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        picture_format = PictureFormat.of(frame)
        assert (picture_format.turns, picture_format.mirrored) == (frame.rotation // 90 % 4, False)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "name"),
    [
        ("libx264", "yuv420p", "a.mp4"),
        ("libx264", "yuv444p", "a.mp4"),
        ("mjpeg", "yuvj420p", "a.avi"),
        ("libx265", "gray", "a.mp4"),
        ("wrapped_avframe", "gray", "a.y4m"),
        ("ffv1", "gray", "a.mkv"),
        ("ffv1", "gray10le", "a.mkv"),
        ("ffv1", "ya8", "a.mkv"),
    ],
)
@pytest.mark.parametrize("tag", [None, 1, 2])
def test_reader_transcoder_and_check_see_the_same_light(
    *, tmp_path: Path, read: Read, codec: str, pix_fmt: str, name: str, tag: int | None
) -> None:
    path, out = tmp_path / name, tmp_path / "out.mp4"
    level = 60 * (4 if "10" in pix_fmt else 1)
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        if tag is not None:
            stream.codec_context.color_range = tag
        for i in range(3):
            frame = av.VideoFrame(96, 64, pix_fmt)
            for k, plane in enumerate(frame.planes):
                values = np.frombuffer(plane, np.uint16 if level > 60 else np.uint8)
                values[:] = 128 if k else level
            frame.pts = i
            if tag is not None:
                frame.color_range = tag
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))

    def light(clip: Clip) -> float:
        luma = clip.y.float().mean().item()
        return luma / 255 if clip.full_range else (luma - 16) / 219

    seen = light(read(path))
    assert min(abs(seen - 60 / 255), abs(seen - 44 / 219)) < 0.005
    assert light(read(path, short_side=32)) == pytest.approx(seen, abs=0.005)
    for side in (0, 32):
        transcode(path, out, TranscodeSettings(side, quality=1))
        assert light(read(out)) == pytest.approx(seen, abs=0.005)
    light = inspect(path).light
    assert (
        light is None if pix_fmt in ("gray10le", "ya8") else light == pytest.approx(seen, abs=5e-3)
    )


def test_the_matrix_of_streams_that_name_none_goes_by_height() -> None:
    assert choose_matrix(1, 240) == "bt709"
    assert choose_matrix(7, 240) == "bt709"  # SMPTE 240M differs from it by a hundredth
    assert choose_matrix(9, 240) == "bt709"
    assert choose_matrix(5, 1080) == choose_matrix(6, 1080) == "bt601"
    assert choose_matrix(2, 719) == "bt601"
    assert choose_matrix(2, 720) == "bt709"
