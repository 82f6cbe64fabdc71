"""Small videos made on the spot, with known content, and a slow, plain decoder to compare with."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

PAN = {"bf": "0", "refs": "1", "g": "12", "sc_threshold": "0"}  # vectors are motion per frame
TURNS = {  # rows of a tkhd matrix that make a player turn the picture, 16.16 fixed point
    90: (0, 0x10000, 0, -0x10000, 0, 0),
    180: (-0x10000, 0, 0, 0, -0x10000, 0),
    270: (0, -0x10000, 0, 0x10000, 0, 0),
}


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Soft random texture, uint8 (height, width), 40..200: an encoder can follow it."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 4 + 2, width // 4 + 2))
    fine = coarse.repeat(4, axis=0).repeat(4, axis=1)[: height + 2, : width + 2]
    soft = (fine[:-2, :-2] + fine[1:-1, 1:-1] + fine[2:, 2:] + fine[:-2, 2:]) / 4
    return (soft * 160 + 40).astype(np.uint8)


def pan(
    frames: int, size: tuple[int, int] = (64, 96), step: tuple[int, int] = (2, 0)
) -> list[np.ndarray]:
    """Luma frames of a texture that moves by `step` = (x, y) pixels a frame."""
    height, width = size
    dx, dy = step
    margin = frames * max(abs(dx), abs(dy), 1)
    scene = texture(height + 2 * margin, width + 2 * margin)
    return [
        scene[margin - t * dy : margin - t * dy + height, margin - t * dx : margin - t * dx + width]
        for t in range(frames)
    ]


def over_scene(frames: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """Show moving frames in the middle of a scene that stands still, or it would be the camera."""
    height, width = frames[0].shape
    scene = texture(2 * height, 2 * width, seed=seed)
    shown = []
    for frame in frames:
        picture = scene.copy()
        picture[height // 2 : height // 2 + height, width // 2 : width // 2 + width] = frame
        shown.append(picture)
    return shown


def drift(frames: int, size: tuple[int, int] = (32, 64)) -> Iterator[np.ndarray]:
    """Luma frames of a texture that goes round and round, no two alike; cheap for long videos."""
    scene = texture(*size)
    for i in range(frames):
        luma = np.roll(scene, i, axis=1)
        luma[:8, :8], luma[8:16, :8] = 40 + i // 200 % 200, 40 + i % 200
        yield luma


def picture(luma: np.ndarray, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """A gray picture, with a little color in yuv420p and yuv444p so that swapped planes show."""
    height, width = luma.shape
    frame = av.VideoFrame(width, height, "yuv420p" if pix_fmt != "gray" else "gray")
    for plane, values in zip(frame.planes, (luma, 90, 170), strict=False):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        rows[: plane.height, : plane.width] = values
    return frame if pix_fmt == frame.format.name else frame.reformat(format=pix_fmt)


def write(
    path: Path | str,
    luma: Iterable[np.ndarray],
    codec: str = "libx264",
    *,
    pix_fmt: str = "yuv420p",
    rate: Fraction | int = 25,
    options: dict[str, str] | None = None,
    pts: Sequence[int] | None = None,
    full_range: bool | None = None,
    bt709: bool | None = None,
    metadata: dict[str, str] | None = None,
    format: str | None = None,
    muxer: dict[str, str] | None = None,
    audio_seconds: float = 0.0,
) -> Path:
    """Encode luma frames.

    Args:
        pts: time stamps in milliseconds; None: one every 1/rate seconds.
        full_range, bt709: flags to write into the stream, None leaves them out.
        audio_seconds: length of a silent audio track, 0 for none.
    """
    with av.open(str(path), "w", format=format, options=muxer or {}) as out:
        out.metadata.update(metadata or {})
        stream = None
        for i, values in enumerate(luma):
            frame = picture(values, pix_fmt)
            if stream is None:
                stream = out.add_stream(codec, rate=rate, options=dict(options or {}))
                stream.width, stream.height = frame.width, frame.height
                stream.pix_fmt = pix_fmt
                stream.thread_count = 1
                if pts is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
                if full_range is not None:
                    stream.codec_context.color_range = 2 if full_range else 1
                if bt709 is not None:
                    stream.codec_context.colorspace = 1 if bt709 else 6
                sound = out.add_stream("aac", rate=8000) if audio_seconds else None
            frame.pts = i if pts is None else pts[i]
            frame.time_base = Fraction(1, 1000) if pts is not None else 1 / Fraction(rate)
            out.mux(stream.encode(frame))
        assert stream is not None
        out.mux(stream.encode(None))
        if sound is not None:
            _silence(out, sound, audio_seconds)
    return Path(path)


def write_call(
    path: Path, parts: Sequence[tuple[int, tuple[int, int]]], codec: str = "libvpx"
) -> Path:
    """Encode pictures that change their size, as calls do: (frames, (H, W)) of each part.

    The container names the size of the first part.
    """
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.height, stream.width = parts[0][1]
        number = 0
        for count, size in parts:
            encoder = av.CodecContext.create(codec, "w")
            encoder.height, encoder.width = size
            encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
            encoder.options = {"bf": "0", "g": "12"} if codec == "libx264" else {"g": "12"}
            pictures = [picture(luma) for luma in drift(count, size)]
            for frame in pictures:
                frame.pts, frame.time_base, number = number, encoder.time_base, number + 1
            for packet in [p for frame in (*pictures, None) for p in encoder.encode(frame)]:
                packet.stream = stream
                out.mux(packet)
    return path


def write_audio(path: Path, codec: str = "aac", seconds: float = 1.0, cover: bool = False) -> Path:
    """A file with sound only or, if `cover`, with sound and a still cover picture."""
    with av.open(str(path), "w") as out:
        art = None
        if cover:
            art = out.add_stream("mjpeg", rate=1, options={"strict": "unofficial"})
            art.width, art.height, art.pix_fmt = 32, 32, "yuvj420p"
            art.disposition = av.stream.Disposition.attached_pic
        sound = out.add_stream(codec, rate=44100)
        if art is not None:
            out.mux(art.encode(picture(texture(32, 32), "yuvj420p")))
            out.mux(art.encode(None))
        _silence(out, sound, seconds)
    return path


def _silence(out: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    size = stream.codec_context.frame_size or 1024
    for i in range(int(seconds * stream.rate / size) + 1):
        frame = av.AudioFrame(format=stream.format.name, layout=stream.layout.name, samples=size)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = stream.rate, i * size
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def turn(path: Path, degrees: int) -> Path:
    """Patch the display matrix of an mp4: players then turn the picture clockwise."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # version and flags, times, ids, layer, volume
    a, b, u, c, d, v = TURNS[degrees]
    data[matrix : matrix + 24] = struct.pack(">6i", a, b, u, c, d, v)
    path.write_bytes(data)
    return path


@dataclass(frozen=True)
class Plain:
    """A whole video, decoded from the start, to compare every window with."""

    y: np.ndarray
    u: np.ndarray
    v: np.ndarray
    times: np.ndarray
    kinds: str

    def __len__(self) -> int:
        return len(self.y)


def decode(path: Path | str) -> Plain:
    """All frames through PyAV's own to_ndarray, without seeking, options or rotation."""
    planes, times, kinds = [], [], ""
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            height, width = frame.height, frame.width
            times.append(frame.time)
            kinds += av.video.frame.PictureType(frame.pict_type).name
            if height % 2 or width % 2:  # to_ndarray refuses odd sizes
                planes.append([_rows(plane) for plane in frame.planes])
            else:
                flat = frame.to_ndarray(format="yuv420p")
                quarter = flat[height:].reshape(2, height // 2, width // 2)
                planes.append([flat[:height], quarter[0], quarter[1]])
    y, u, v = (np.stack(each) for each in zip(*planes, strict=True))
    stamps = np.array(times, dtype=np.float64)  # None becomes nan
    return Plain(y, u, v, stamps - stamps[0], kinds)


def _rows(plane: av.video.plane.VideoPlane) -> np.ndarray:
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width].copy()
