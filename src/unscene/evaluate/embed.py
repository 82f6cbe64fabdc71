"""`unscene.embed`: video files or arrays in, one feature vector for each out.

Files are decoded and sampled as in `features.extract`. An array is one clip that is already
sampled. Both are resized, cropped and normalized by the same code, so that the same frames have the
same features, except that a file's chroma has half the resolution of an array's colors.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unscene.config import DEFAULT_ENCODER
from unscene.data.catalog import Catalog, Skipped, Video
from unscene.data.listing import Data, open_catalog, report_skipped
from unscene.device import pick_device
from unscene.encoders import VideoEncoder, resolve_encoder
from unscene.errors import UnsceneError, check_at_least
from unscene.evaluate.features import Features, extract
from unscene.imports import import_pandas
from unscene.progress import count_progress
from unscene.video.clip import Clip, ClipBatch
from unscene.views.augment import make_view
from unscene.views.encoder_input import center_view

Array = NDArray[np.uint8] | Tensor
Arrays = Array | Sequence[Array]


@dataclass(frozen=True, repr=False)
class Embeddings:
    """Feature vectors of N videos or clips.

    Attributes:
        values: float32 (N, D).
        videos: the N videos, with their labels and columns; empty for arrays.
        skipped: videos that could not be read, and why. They have no row in `values`.
    """

    values: NDArray[np.float32]
    videos: tuple[Video, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        count, dim = self.values.shape
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"Embeddings({count} x {dim}{skipped})"

    @property
    def paths(self) -> list[str]:
        """N absolute paths; empty for arrays."""
        return [video.path for video in self.videos]

    @property
    def labels(self) -> list[str | None]:
        """N classes, None where unknown; empty for arrays."""
        return [video.label for video in self.videos]

    def to_pandas(self) -> Any:
        """Return a data frame with a row per video.

        Its columns are path, label, start, end, those of the CSV, and the feature as 0, 1, 2 ...

        Raises:
            UnsceneError: pandas is not installed.
        """
        pandas = import_pandas()
        values = pandas.DataFrame(self.values)
        about = [
            {"path": v.path, "label": v.label, "start": v.start, "end": v.end, **v.columns}
            for v in self.videos
        ]
        return pandas.concat([pandas.DataFrame(about), values], axis=1) if about else values


def embed(
    videos: Data | Arrays,
    encoder: object = DEFAULT_ENCODER,
    *,
    clips_per_video: int = 10,
    batch_size: int = 16,
    workers: int = 0,
    device: str = "auto",
) -> Embeddings:
    """Compute one feature vector for each video file or clip.

    Args:
        videos: files: a folder, a CSV, a video, an official split ("ucf101-1-test:FOLDER"), a
            catalog, or a list of videos. Or clips: a uint8 array or tensor of RGB frames of shape
            (N, T, H, W, 3), or a list of N of them of shape (T, H, W, 3), whose H and W may differ.
            T is `encoder.spec.frames`; the frames of a clip are `encoder.spec.stride` frames of the
            video apart.
        encoder: "hof+mbh", histograms of optical flow, needs no training, and "motion" comes
            trained with the package. Or a saved run, the name of an architecture (untrained),
            "hf:FOLDER" or "package.module:factory", as `--encoder` on the command line; or a
            model, see `load_encoder`.
        clips_per_video: the feature of a file is the mean over so many uniformly spaced clips. An
            array is one clip.
        batch_size: number of clips encoded at once.
        workers: number of processes that read files; 0 reads in this one.
        device: "auto" is a GPU if there is one.

    Returns:
        Embeddings with values of shape (N, D). Files that cannot be read are left out; they are
        reported on stderr and in `skipped`.

    Raises:
        UnsceneError: no video can be read, arrays of another type or shape, an encoder that cannot
            be loaded, or features that are not finite.

    >>> clips = np.zeros((2, 8, 48, 64, 3), np.uint8)
    >>> embeddings = embed(clips, "r3d-narrow")
    >>> embeddings
    Embeddings(2 x 64)
    >>> embeddings.values.dtype
    dtype('float32')
    """
    check_at_least(1, clips_per_video=clips_per_video, batch_size=batch_size)
    check_at_least(0, workers=workers)
    model = resolve_encoder(encoder).encoder
    where = pick_device(device)
    if _are_arrays(videos):
        clips = _check_clips(videos, model)
        return Embeddings(_embed_clips(clips, model, batch_size, where))
    catalog = open_catalog(cast("Data", videos))
    with count_progress(catalog.source, len(catalog)) as progress:
        found = extract(
            model,
            catalog.videos,
            clips=clips_per_video,
            batch_size=batch_size,
            workers=workers,
            device=where,
            progress=progress,
        )
    skipped = catalog.skipped + found.skipped
    report_skipped(replace(catalog, videos=found.videos, skipped=skipped))
    return Embeddings(found.values.numpy(), found.videos, skipped)


def _are_arrays(videos: Data | Arrays) -> TypeGuard[Arrays]:
    if isinstance(videos, np.ndarray | Tensor):
        return True
    if isinstance(videos, str | os.PathLike | Catalog):
        return False
    return len(videos) > 0 and not isinstance(videos[0], str | os.PathLike)


def _check_clips(clips: Arrays, encoder: VideoEncoder) -> list[Tensor]:
    """The clips as tensors (T, H, W, 3). Raises UnsceneError if one is not such a clip."""
    if isinstance(clips, np.ndarray | Tensor) and clips.ndim != 5:
        raise UnsceneError(
            f"an array of clips has the axes (clip, frame, height, width, color), not the shape "
            f"{tuple(clips.shape)}; one clip alone is clip[None]"
        )
    spec, checked = encoder.spec, []
    for number, clip in enumerate(clips):
        if not isinstance(clip, np.ndarray | Tensor):
            raise UnsceneError(f"clip {number}: is no array or tensor, but {type(clip).__name__}")
        shape = tuple(clip.shape)
        if len(shape) != 4 or shape[-1] != 3 or 0 in shape:
            raise UnsceneError(
                f"clip {number}: has the shape {shape}; it must be (frames, height, width, 3), "
                "with the colors red, green and blue last"
            )
        if clip.dtype not in (torch.uint8, np.dtype(np.uint8)):
            raise UnsceneError(
                f"clip {number}: has the type {clip.dtype}; it must be uint8, with colors in 0..255"
            )
        if shape[0] != spec.frames:
            raise UnsceneError(
                f"clip {number}: has {shape[0]} frames, and {spec.name} takes {spec.frames}, every "
                f"{spec.stride} frames of the video; sample so many, or pass files"
            )
        # Torch takes neither read-only arrays nor negative strides.
        checked.append(
            clip
            if isinstance(clip, Tensor)
            else torch.from_numpy(np.require(clip, None, ["C", "W"]))
        )
    if not checked:
        raise UnsceneError("no clips: the array is empty")
    return checked


@torch.inference_mode()
def _embed_clips(
    clips: Sequence[Tensor], encoder: VideoEncoder, batch_size: int, device: torch.device
) -> NDArray[np.float32]:
    # Views are made from YUV. Each color is rendered as the luma of a clip without chroma, whose
    # red then is that color, so that nothing is rounded on the way.
    spec, view = encoder.spec, replace(center_view(encoder), mean=(0.0,) * 3, std=(1.0,) * 3)
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1, 1) for v in (spec.mean, spec.std))
    was_training = encoder.training
    encoder.eval().to(device)
    found = []
    try:
        for start in range(0, len(clips), batch_size):
            some = clips[start : start + batch_size]
            batch = ClipBatch.of([_as_luma(c) for clip in some for c in clip.cpu().unbind(-1)])
            batch = batch.to(device)
            red = make_view(batch, view.center(batch.sizes), size=spec.size)[:, 0]
            found.append(encoder((red.unflatten(0, (-1, 3)) - mean) / std).float().cpu())
    finally:
        encoder.train(was_training)
    values = torch.cat(found)
    names = tuple(Video(f"clip {number}") for number in range(len(clips)))
    Features(values, names, torch.arange(len(clips))).check()
    return values.numpy()


def _as_luma(color: Tensor) -> Clip:
    """One color of a clip, uint8 (T, H, W), as a gray clip."""
    steps, height, width = color.shape
    neutral = torch.full((steps, (height + 1) // 2, (width + 1) // 2), 128, dtype=torch.uint8)
    times = torch.arange(steps, dtype=torch.float64)
    return Clip(color.contiguous(), neutral, neutral, times, full_range=True)
