"""Dark or flat pictures -> the full range of luma, with one tone curve for the whole video.

Like the "levels" of image editors: nearly the darkest luma becomes black, nearly the brightest
becomes white, and a logarithm lifts what is between where most of it is dark. The curve is the same
for all frames, so that nothing flickers and the codec finds the same motion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_BLACK, _WHITE, _GRAY = 16, 235, 128  # limited range
VISIBLE = 17  # lower luma is ignored, so that black bars do not brighten the picture
_TAILS = 0.005  # share of pixels that may become plain black, and plain white
_MIDDLE = 0.4  # of the range; a lower median is lifted to it, as far as the next limits allow
_MOST, _STEEPEST = 8.0, 16.0  # maximum slope, overall and in the darkest parts
_BENDS = np.geomspace(1e-3, 1e3, 200)


@dataclass(frozen=True, eq=False)
class ToneCurve:
    """Two look-up tables for 8-bit planes of limited range.

    Attributes:
        luma: uint8 (256,), increasing.
        chroma: uint8 (256,), saturation raised by as much as the median of luma.
    """

    luma: np.ndarray
    chroma: np.ndarray

    @classmethod
    def fit(cls, lumas: Iterable[np.ndarray]) -> ToneCurve:
        """Fit a curve to uint8 luma planes (H, W); if all is black, the curve changes nothing."""
        counts = np.zeros(256)
        for plane in lumas:
            counts += np.bincount(plane.ravel(), minlength=256)
        level = np.arange(256.0)
        visible = np.where(level > VISIBLE, counts, 0)
        if not visible.sum():
            return cls(level.astype(np.uint8), level.astype(np.uint8))
        low = np.searchsorted(np.cumsum(counts) / counts.sum(), _TAILS)
        middle, high = np.searchsorted(np.cumsum(visible) / visible.sum(), [0.5, 1 - _TAILS])
        low, middle, high = np.clip([low, middle, high], _BLACK, _WHITE).astype(float)
        span = max(high - low, (_WHITE - _BLACK) / _MOST)
        if span > high - low:  # low contrast: keep plain white white and plain black black
            low -= (span - (high - low)) * (low - _BLACK) / (_WHITE - _BLACK - (high - low))
        scale = (_WHITE - _BLACK) / span
        lifted = np.log1p(_BENDS * (middle - low) / span) / np.log1p(_BENDS)
        fits = (lifted <= _MIDDLE) & (scale * _BENDS / np.log1p(_BENDS) <= _STEEPEST)
        bend = _BENDS[fits].max(initial=_BENDS[0])
        bent = np.log1p(bend * np.clip((level - low) / span, 0, 1)) / np.log1p(bend)
        luma = _BLACK + (_WHITE - _BLACK) * bent
        gain = min((luma[round(middle)] - _BLACK) / max(middle - _BLACK, 1), _MOST)
        chroma = np.clip(_GRAY + (level - _GRAY) * max(gain, 1.0), 16, 240)
        return cls(np.round(luma).astype(np.uint8), np.round(chroma).astype(np.uint8))
