"""MPEG-4 files for tests: restless ones, their packets, and ones with pictures changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import torch

import media
from unscene.video.clip import Motion
from unscene.video.packets import open_container

Parsed = list[tuple[int, int]]
Both = Callable[..., tuple[Motion, Motion]]
Change = Callable[[int, bytes], bytes | None]


def assert_same(mine: Motion, plain: Motion) -> None:
    assert torch.equal(mine.vectors, plain.vectors)
    assert torch.equal(mine.valid, plain.valid)
    assert torch.equal(mine.frames, plain.frames)
    assert (mine.size, mine.exact) == (plain.size, plain.exact)


def restless(frames: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """A texture that moves every which way, with noise, cuts and still corners: all kinds of
    macroblocks and codes."""
    rng = np.random.default_rng(3)
    scene = media.texture(size[0] + 64, size[1] + 64)
    for number in range(frames):
        dy, dx = rng.integers(0, 64, 2)
        luma = scene[dy : dy + size[0], dx : dx + size[1]].copy()
        half = size[1] // 2
        luma[:, half:] = scene[number % 32 :, number % 32 :][: size[0], : size[1] - half]
        noisy = rng.integers(0, 255, (24, 24))
        luma[8:32, 8:32] = noisy[: size[0] - 8, : size[1] - 8]
        luma[-16:, -32:] = 128
        yield luma


def packets(path: Path) -> tuple[bytes, list[bytes]]:
    with open_container(str(path)) as container:
        stream = container.streams.video[0]
        found = [bytes(packet) for packet in container.demux(stream) if packet.size]
        return stream.codec_context.extradata or b"", found


def remux(source: Path, target: Path, change: Change, extradata: bytes | None = None) -> Path:
    """The same packets, each as `change(number, data)` has it; None leaves it out."""
    with av.open(str(source)) as read, av.open(str(target), "w") as out:
        stream = read.streams.video[0]
        copy = out.add_stream_from_template(stream)
        if extradata is not None:
            copy.codec_context.extradata = extradata
        numbered = enumerate(packet for packet in read.demux(stream) if packet.size)
        for number, packet in numbered:
            data = change(number, bytes(packet))
            if data is None:
                continue
            one = av.Packet(data)
            one.pts, one.dts, one.duration = packet.pts, packet.dts, packet.duration
            one.time_base, one.is_keyframe, one.stream = packet.time_base, packet.is_keyframe, copy
            out.mux(one)
    return target


def rewritten(data: bytes, skip: int, bits: str) -> bytes:
    """A picture whose header has other bits, `skip` behind its kind and its seconds."""
    at = data.index(b"\0\0\1\xb6") + 4
    head = f"{int.from_bytes(data[at : at + 16], 'big'):0128b}"
    place = head.index("0", 2) + skip
    head = head[:place] + bits + head[place + len(bits) :]
    return data[:at] + int(head, 2).to_bytes(16, "big") + data[at + 16 :]
