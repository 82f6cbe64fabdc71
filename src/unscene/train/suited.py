"""The videos that a method can learn from; the others are counted and named."""

from __future__ import annotations

from unscene.errors import UnsceneError
from unscene.methods.base import Method
from unscene.video.catalog import Catalog


def suited(catalog: Catalog, method: Method) -> Catalog:
    """The catalog without the videos that the method refuses, which are skipped with its reason.

    Raises:
        UnsceneError: it refuses all of them.
    """
    left = catalog.without(method.refuses)
    if catalog.videos and not left.videos:
        first = method.refuses(catalog.videos[0])
        raise UnsceneError(
            f"{catalog.source}: no video is of use to this method; the first: {first}"
        )
    return left
