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
from unscene.errors import UnsceneError
from unscene.files import write_atomically
from unscene.methods.base import Method
from unscene.methods.presets import SPOKEN, resolve
from unscene.methods.reads import check_read
from unscene.methods.registry import create_method
from unscene.methods.settings import Settings
from unscene.preview import page, tiles
from unscene.train.config import RunConfig
from unscene.train.suited import remarks, suited
from unscene.views import picture
from unscene.views.augment import IMAGENET_MEAN, IMAGENET_STD, BasicAugmentation, make_view
from unscene.views.flow import view_flow

# Views that are pictures. The others are motion and are drawn as flow.
_PICTURES = ("anchor", "positive", "negative", "second", "key")


def preview(
    data: str,
    out: Path,
    *,
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
        videos: how many; fewer if DATA has fewer.
        method, preset, overrides: see `methods.settings.resolve`.
        seed: of windows and views.

    Returns:
        The picture's path.

    Raises:
        UnsceneError: no usable video, unknown names, settings that the method does not read,
            `videos` below 1, or `out` does not end in .png.
    """
    if videos < 1:
        raise UnsceneError(f"videos {videos}: must be at least 1")
    if out.suffix.lower() != ".png":
        raise UnsceneError(f"{out}: the picture is a PNG; give a name that ends in .png")
    settings = resolve(method, preset, overrides)
    check_read(method, overrides or {})
    drawn = _method(method, settings)
    catalog = suited(open_catalog(data), drawn)
    batch = _read(catalog, drawn, videos, seed)
    sheets = _sheets(
        catalog, drawn, _method(method, replace(settings, size=picture.TILE)), batch, seed
    )
    titles = _titles(settings, sheets[0])
    with write_atomically(out) as temporary:
        page.draw_page(
            temporary,
            sheets,
            titles,
            heading=f"What {SPOKEN.get(method, method)} learns from",
            caption=_caption(settings, titles),
        )
    return out


def _method(name: str, settings: Settings) -> Method:
    # Views need neither a real encoder nor a queue: the smallest ones are enough.
    return create_method(name, create_encoder("r3d-narrow"), replace(settings, queue=1))


def _read(catalog: Catalog, method: Method, videos: int, seed: int) -> Batch:
    """Read one clip of every chosen video and report the videos that failed."""
    count = min(videos, len(catalog))
    # The centers of `count` equal parts: different classes, if there are class folders.
    chosen = [int((i + 0.5) * len(catalog) / count) for i in range(count)]
    dataset = method.dataset(catalog.videos, seed=seed)
    batch = Batch.of([dataset[draw, index] for draw, index in enumerate(chosen)])
    if catalog.skipped:
        print(catalog.summary(), file=sys.stderr)
    for remark in remarks(catalog, method, together=0):
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
    drawn = {name: view for name, view in drawn.items() if name in _PICTURES}
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
    batch: Batch, views: dict[str, Tensor], settings: Settings
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
        found["flow"] = view_flow(clip.flow, params.affine, (size, size)).numpy(), shown
    motion = views.get("motion")
    if motion is not None and settings.motion_from != "difference":
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


def _titles(settings: Settings, sheet: page.VideoViews) -> dict[str, str]:
    """Describe every row of the picture."""
    how = {
        (True, True): "shifted in time, each step stretched or stalled",
        (True, False): "each step stretched or stalled",
        (False, True): "another moment of the video",
    }
    sentences = {
        "anchor": "the clip",
        "positive": _positive(settings),
        "negative": "same scene, disturbed motion: "
        + how.get((settings.flow_scaling, settings.shift), ""),
        "second": "another moment with "
        + ("its own crop and color" if settings.crop_first else "the same crop and color"),
    }
    if "key" in sheet.views:
        sentences["key"] = "a key frame, to be matched with its clip"
    titles = {name: text for name, text in sentences.items() if name in sheet.views}
    if "flow" in sheet.flows:
        titles["flow"] = "optical flow of the clip the negative is made from"
    if "motion" in sheet.flows:
        when = {"future": f"{settings.motion_gap} frames after", "present": "at the end of"}
        titles["motion"] = (
            f"motion to be predicted: {settings.motion_frames} frames, {when[settings.motion_at]} "
            "the clip"
        )
    return titles


def _positive(settings: Settings) -> str:
    """Describe what the positive shares with the anchor and what it does not."""
    scene = ["warped scene"] if settings.warp else []
    if settings.other_scene:
        scene.append("sometimes the scene of another video")
    if not scene:
        return "the same clip with another crop and color"
    return f"same motion, {', '.join(scene)}"


def _caption(settings: Settings, titles: dict[str, str]) -> str:
    every = {1: "consecutive", 2: "every 2nd", 3: "every 3rd"}
    stride = every.get(settings.stride, f"every {settings.stride}th")
    odd = "" if settings.augmentation == "none" else " Color changes are part of it."
    shown = f"{settings.frames} frames, {stride}, {settings.size} \u00d7 {settings.size} pixels"
    return f"{_aim(settings, titles)} Shown as the network sees it: {shown}.{odd}"


def _aim(settings: Settings, titles: dict[str, str]) -> str:
    pulled = [f"the {name}" for name in ("positive", "second") if name in titles]
    if not pulled:
        tasks = {"motion": "predicts the motion", "context": "matches the clip with its key frame"}
        parts = [text for task, text in tasks.items() if settings.tasks in (task, "both")]
        return f"From the anchor, training {' and '.join(parts)}."
    away = "the negative" if "negative" in titles else "other videos"
    near = pulled[0] if len(pulled) == 1 else "both other views"
    if settings.foretell:
        return f"Training pulls {near} to the anchor, pushes {away} away and predicts the motion."
    return f"Training pulls {near} to the anchor and pushes {away} away."
