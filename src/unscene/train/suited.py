"""The videos that a method can learn from; the others are counted and named."""

from __future__ import annotations

from dataclasses import replace

from unscene.errors import UnsceneError
from unscene.methods.base import Method
from unscene.video.catalog import Catalog, Skipped


def suited(catalog: Catalog, method: Method) -> Catalog:
    """The catalog without the videos that the method refuses, which are skipped with its reason.

    Raises:
        UnsceneError: it refuses all of them.
    """
    reasons = [method.refuses(video) for video in catalog.videos]
    if catalog.videos and all(reasons):
        raise UnsceneError(
            f"{catalog.source}: no video is of use to this method; the first: {reasons[0]}"
        )
    judged = list(zip(catalog.videos, reasons, strict=True))
    videos = tuple(video for video, why in judged if why is None)
    skipped = tuple(Skipped(video.path, why) for video, why in judged if why is not None)
    return replace(catalog, videos=videos, skipped=catalog.skipped + skipped)
