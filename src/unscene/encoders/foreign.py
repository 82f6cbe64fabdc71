"""Other people's video models as encoders of ours."""

from __future__ import annotations

from unscene.errors import UnsceneError


class NoMapsError(UnsceneError):
    """A model has features but no feature maps to look at."""
