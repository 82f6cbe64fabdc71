"""`unscene views`: what a method would train on, drawn from YOUR footage before any training."""

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
from unscene.preview import page as picture_page
from unscene.train.config import RunConfig
from unscene.train.suited import remarks, suited
from unscene.views import picture
from unscene.views.augment import IMAGENET_MEAN, IMAGENET_STD, BasicAugmentation, make_view
from unscene.views.flow import view_flow

# Views that are pictures; of the others the motion is drawn as flow.
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
        data: as everywhere; files that cannot be used are skipped and accounted for on stderr.
        out: the picture, .png.
        videos: how many; fewer if DATA has fewer.
        method, preset, overrides: see `methods.settings.resolve`.
        seed: of windows and views.

    Returns:
        The picture's path.

    Raises:
        UnsceneError: no usable video, unknown names, what the method never reads, `videos` below
            1, or not a .png.
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
        picture_page.draw(
            temporary,
            sheets,
            titles,
            heading=f"What {SPOKEN.get(method, method)} learns from",
            caption=_caption(settings, titles),
        )
    return out


def _method(name: str, settings: Settings) -> Method:
    # Nothing is encoded: the smallest encoder will do, and views need no queue.
    return create_method(name, create_encoder("r3d-narrow"), replace(settings, queue=1))


def _read(catalog: Catalog, method: Method, videos: int, seed: int) -> Batch:
    """One window of every chosen video, and a word about those that failed."""
    count = min(videos, len(catalog))
    # The middles of `count` equal parts: with class folders, other classes each time.
    chosen = [int((i + 0.5) * len(catalog) / count) for i in range(count)]
    dataset = method.dataset(catalog.videos, seed=seed)
    batch = Batch.of([dataset[draw, index] for draw, index in enumerate(chosen)])
    if catalog.skipped:
        print(catalog.summary(), file=sys.stderr)
    for remark in remarks(catalog, method, together=0):
        print(remark, file=sys.stderr)
    for failure in batch.failures:
        print(f"{failure.path}: {failure.reason} (another video is shown)", file=sys.stderr)
    return batch


def _sheets(
    catalog: Catalog, method: Method, large: Method, batch: Batch, seed: int
) -> list[picture_page.VideoViews]:
    """Views and, by the same random draws, graph paper at the size of the picture's tiles."""
    drawn = method.views(batch, torch.Generator().manual_seed(seed))
    flows = _flows(batch, drawn, method.settings)
    drawn = {name: view for name, view in drawn.items() if name in _PICTURES}
    paper = Batch({k: picture.graph_paper(clip) for k, clip in batch.clips.items()}, batch.index)
    ruled = large.views(paper, torch.Generator().manual_seed(seed))
    views = {k: picture.to_rgb(v, IMAGENET_MEAN, IMAGENET_STD) for k, v in drawn.items()}
    papers = {k: picture.to_rgb(ruled[k], IMAGENET_MEAN, IMAGENET_STD) for k in drawn}
    names = _names([catalog.videos[i] for i in batch.index.tolist()])
    return [
        picture_page.VideoViews(
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
    """Flow by the name of its row, and what it is painted over: that of the workers, with its clip,
    as the centre view of the frame shows them; and the motion that is to be foretold, as it is
    shown to the network, over the anchor's last frame."""
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
    """File names, with the folder where that tells two of them apart."""
    count = Counter(Path(video.path).name for video in videos)
    names = []
    for video in videos:
        path = Path(video.path)
        name = path.name if count[path.name] == 1 else f"{path.parent.name}/{path.name}"
        names.append(name if video.label is None else f"{name}  ({video.label})")
    return names


def _titles(settings: Settings, sheet: picture_page.VideoViews) -> dict[str, str]:
    """A sentence for every row there is."""
    how = {
        (True, True): "later, and each step stretched or stalled",
        (True, False): "each step stretched or stalled",
        (False, True): "another moment of the video",
    }
    sentences = {
        "anchor": "the clip",
        "positive": _positive(settings),
        "negative": "same scene, motion disturbed: "
        + how.get((settings.flow_scaling, settings.shift), ""),
        "second": "another moment, "
        + ("cropped and coloured anew" if settings.crop_first else "cropped and coloured alike"),
    }
    if "key" in sheet.views:
        sentences["key"] = "a key frame: which context belongs to the clip?"
    titles = {name: text for name, text in sentences.items() if name in sheet.views}
    if "flow" in sheet.flows:
        titles["flow"] = "what moves where in the clip the negative is made of"
    if "motion" in sheet.flows:
        when = {"future": f"{settings.motion_gap} after", "present": "at the end of"}
        titles["motion"] = (
            f"{settings.motion_frames} frames in a row, {when[settings.motion_at]} the clip: "
            "to be foretold"
        )
    return titles


def _positive(settings: Settings) -> str:
    """What the positive has of the anchor, and what it has not."""
    scene = ["scene warped"] if settings.warp else []
    if settings.other_scene:
        scene.append("at times another video's scene")
    if not scene:
        return "the same clip, cropped and coloured anew"
    return f"same motion, {', '.join(scene)}"


def _caption(settings: Settings, titles: dict[str, str]) -> str:
    every = {1: "in a row", 2: "every 2nd", 3: "every 3rd"}
    stride = every.get(settings.stride, f"every {settings.stride}th")
    odd = "" if settings.augmentation == "none" else " Odd colours belong to it."
    shown = f"{settings.frames} frames, {stride}, {settings.size} \u00d7 {settings.size} pixels"
    return f"{_aim(settings, titles)} Shown as the network sees it: {shown}.{odd}"


def _aim(settings: Settings, titles: dict[str, str]) -> str:
    pulled = [f"the {name}" for name in ("positive", "second") if name in titles]
    if not pulled:
        what = {"motion": "what will move where", "context": "which key frame is its own"}
        asked = [text for task, text in what.items() if settings.tasks in (task, "both")]
        return f"Asked of the anchor: {' and '.join(asked)}."
    away = "the negative" if "negative" in titles else "other videos"
    near = pulled[0] if len(pulled) == 1 else "both other views"
    if settings.foretell:
        return f"Training pulls {near} to the anchor, pushes {away} away, foretells the motion."
    return f"Training pulls {near} towards the anchor and pushes {away} away."
