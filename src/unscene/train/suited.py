"""The videos that a method can learn from: the others are counted and named; and what to know of
those before a training that takes hours."""

from __future__ import annotations

from unscene.data.catalog import Catalog
from unscene.errors import UnsceneError
from unscene.methods.base import Method


def suited(catalog: Catalog, method: Method) -> Catalog:
    """The catalog without the videos that the method refuses, which are skipped with its reason.

    Raises:
        UnsceneError: it refuses all of them.
    """
    left = catalog.exclude(method.refuses)
    if catalog.videos and not left.videos:
        first = method.refuses(catalog.videos[0])
        raise UnsceneError(
            f"{catalog.source}: no video is of use to this method; the first: {first}"
        )
    return left


def remarks(catalog: Catalog, method: Method, *, together: int) -> list[str]:
    """What will not be as its user may think, a sentence each.

    Args:
        together: clips of a step, of all processes.
    """
    frames, stride = method.settings.frames, method.settings.stride
    said = []
    videos = len(catalog)
    if together > videos:
        said.append(
            f"a batch of {together} clips shows some of the {videos} videos more than once; a "
            "smaller --batch_size does not"
        )
    least = (frames - 1) * stride + 1
    shorter = [video.frames for video in catalog.videos if video.frames < least]
    if shorter:
        said.append(
            f"{len(shorter)} of {videos} videos are shorter than the {least} frames that a clip of "
            f"{frames} at stride {stride} spans (the shortest has {min(shorter)}): such clips jump "
            "back to the beginning, which is motion to learn from, too; a lower --stride or "
            "--frames shows them as they are"
        )
    learns_from = method.learns_from_vectors()
    inexact = [
        video
        for video in catalog.videos
        if video.info is not None and not video.info.exact and learns_from(video)
    ]
    if inexact:
        said.append(
            f"the motion vectors of {len(inexact)} of {videos} videos need not be the motion from "
            f"the frame before ({inexact[0].path} is the first): they announce B-frames, several "
            "references or interlacing; `unscene prepare` makes files whose vectors are, with a "
            "key frame every 12 frames"
        )
    return [f"{catalog.source}: {sentence}" for sentence in said]
