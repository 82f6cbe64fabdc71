"""`unscene views`: the training views of a method, drawn from YOUR footage before any training.

In: DATA and a method's settings. Out: one PNG.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unscene.data.catalog import Catalog, Video
from unscene.data.listing import open_catalog
from unscene.data.loading import Batch
from unscene.encoders import create_encoder
from unscene.errors import UnsceneError, check_at_least
from unscene.files import check_free, write_atomically
from unscene.methods.base import Method
from unscene.methods.motion_prediction import MotionSettings, name_motion_clips
from unscene.methods.registry import create_method, find_method, generates, resolve
from unscene.methods.settings import ClipSettings
from unscene.preview import page, tiles
from unscene.train.config import RunConfig
from unscene.train.preflight import describe_pitfalls, find_compatible_videos
from unscene.views import picture
from unscene.views.augment import IMAGENET_MEAN, IMAGENET_STD, BasicAugmentation, make_view
from unscene.views.flow import find_camera, take_out, view_flow


def preview(
    data: str,
    out: Path,
    *,
    overwrite: bool = False,
    videos: int = 4,
    method: str = RunConfig.method,
    preset: str = "default",
    overrides: dict[str, Any] | None = None,
    seed: int = 0,
) -> Path:
    """Draw the views of a few videos of DATA, spread evenly over it.

    Args:
        data: as in every command; files that cannot be used are skipped and reported on stderr.
        out: the picture, a file name that ends in .png.
        overwrite: replace the picture if there is one.
        videos: how many; fewer if DATA has fewer.
        method, preset, overrides: see `methods.registry.resolve`.
        seed: of clips and views.

    Returns:
        The picture's path.

    Raises:
        UnsceneError: no usable video, a method that reads none, unknown names, settings that the
            method does not read, `videos` below 1, or `out` does not end in .png, exists or cannot
            be written.
    """
    check_at_least(1, videos=videos)
    if out.suffix.lower() != ".png":
        raise UnsceneError(f"{out}: the picture is a PNG; give a name that ends in .png")
    check_free(out, overwrite=overwrite)
    settings = resolve(method, preset, overrides)
    if generates(method):
        raise UnsceneError(
            f"{method} generates what it learns from, so it has no views of {data}; its figures "
            "are those of `unscene scenes --kind figures`"
        )
    drawn = _method(method, settings)
    catalog = find_compatible_videos(open_catalog(data), drawn)
    batch = _read(catalog, drawn, videos, seed)
    sheets = _sheets(
        catalog, drawn, _method(method, replace(settings, size=picture.TILE)), batch, seed
    )
    titles = _titles(drawn, sheets[0])
    with write_atomically(out) as temporary:
        page.draw_page(
            temporary,
            sheets,
            titles,
            heading=f"What {find_method(method).title} learns from",
            caption=_caption(drawn),
        )
    return out


def _method(name: str, settings: ClipSettings) -> Method:
    # Nothing is encoded: the smallest encoder is enough.
    return create_method(name, create_encoder("r3d-narrow"), settings.fit(1))


def _read(catalog: Catalog, method: Method, videos: int, seed: int) -> Batch:
    """Read one clip of every chosen video and report the videos that failed."""
    count = min(videos, len(catalog))
    # The centers of `count` equal parts: different classes, if there are class folders.
    chosen = [int((i + 0.5) * len(catalog) / count) for i in range(count)]
    dataset = method.dataset(catalog.videos, seed=seed)
    batch = Batch.of([dataset[draw, index] for draw, index in enumerate(chosen)])
    if catalog.skipped:
        print(catalog.summary(), file=sys.stderr)
    for remark in describe_pitfalls(catalog, method, together=0):
        print(remark, file=sys.stderr)
    for failure in batch.failures:
        print(f"{failure.path}: {failure.reason} (another video takes its place)", file=sys.stderr)
    return batch


def _sheets(
    catalog: Catalog, method: Method, large: Method, batch: Batch, seed: int
) -> list[page.VideoViews]:
    """Make the views and, with the same random parameters, graph paper at the size of the tiles."""
    drawn = method.views(batch, torch.Generator().manual_seed(seed))
    flows = _flows(batch, drawn, method.settings)
    settings = method.settings  # motion is no picture; it is drawn as flow
    motion = name_motion_clips(settings) if isinstance(settings, MotionSettings) else ()
    drawn = {name: view for name, view in drawn.items() if name not in motion}
    paper = Batch({k: tiles.draw_graph_paper(clip) for k, clip in batch.clips.items()}, batch.index)
    ruled = large.views(paper, torch.Generator().manual_seed(seed))
    views = {k: picture.to_rgb(v, IMAGENET_MEAN, IMAGENET_STD) for k, v in drawn.items()}
    papers = {k: picture.to_rgb(ruled[k], IMAGENET_MEAN, IMAGENET_STD) for k in drawn}
    names = _names([catalog.videos[i] for i in batch.index.tolist()])
    return [
        page.VideoViews(
            name,
            {k: view[b] for k, view in views.items()},
            {k: view[b] for k, view in papers.items()},
            {k: (flow[b], shown[b]) for k, (flow, shown) in flows.items()},
        )
        for b, name in enumerate(names)
    ]


def _flows(
    batch: Batch, views: dict[str, Tensor], settings: ClipSettings
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Make flow by the name of its row, with the frames over which it is drawn.

    "flow" is computed by the workers and drawn over its clip, both in the center view. "motion" is
    what the network is to predict, drawn over the anchor's last frame.
    """
    size, found = settings.size, {}
    clip = next((c for c in batch.clips.values() if c.flow is not None), None)
    if "negative" in views and clip is not None and clip.flow is not None and clip.frames > 1:
        params = BasicAugmentation.none(size).center(clip.sizes)
        shown = picture.to_rgb(make_view(clip, params, size=size), params.mean, params.std)
        flow = clip.flow
        if getattr(settings, "camera", "in") == "out":  # what is scaled
            flow = take_out(flow, find_camera(clip))
        found["flow"] = view_flow(flow, params.affine, (size, size)).numpy(), shown
    motion = views.get("motion")
    if motion is None or not isinstance(settings, MotionSettings):
        return found
    if settings.motion_from != "difference":
        back = -motion[:, :2].permute(0, 2, 3, 4, 1) * (settings.motion_limit * 2 / size)
        still = views["anchor"][:, :, -1:].expand(-1, -1, motion.shape[2] + 1, -1, -1)
        found["motion"] = back.numpy(), picture.to_rgb(still, IMAGENET_MEAN, IMAGENET_STD)
    return found


def _names(videos: list[Video]) -> list[str]:
    """Return file names, with their folder if two files have the same name."""
    count = Counter(Path(video.path).name for video in videos)
    names = []
    for video in videos:
        path = Path(video.path)
        name = path.name if count[path.name] == 1 else f"{path.parent.name}/{path.name}"
        names.append(name if video.label is None else f"{name}  ({video.label})")
    return names


def _titles(method: Method, sheet: page.VideoViews) -> dict[str, str]:
    """Describe every row of the picture."""
    captions = method.captions()
    return {name: captions.get(name, "") for name in (*sheet.views, *sheet.flows)}


def _caption(method: Method) -> str:
    settings = method.settings
    every = {1: "consecutive", 2: "every 2nd", 3: "every 3rd"}
    stride = every.get(settings.stride, f"every {settings.stride}th")
    plain = getattr(settings, "augmentation", "none") == "none"
    odd = "" if plain else " Color changes are part of it."
    shown = f"{settings.frames} frames, {stride}, {settings.size} \u00d7 {settings.size} pixels"
    return f"{method.aim()} Shown as the network sees it: {shown}.{odd}"
