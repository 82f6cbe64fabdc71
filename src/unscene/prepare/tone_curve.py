"""Dark or flat pictures -> the whole range of luma, with one curve for the whole video.

As the "levels" of image editors: what is nearly the darkest becomes black, nearly the brightest
white, and a logarithm lifts what is between where most of it is dark. One curve, so that nothing
flickers and the codec finds the same motion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_BLACK, _WHITE, _GRAY = 16, 235, 128  # limited range
VISIBLE = 17  # luma up to here says nothing: black bars are not to lift the picture between them
_TAILS = 0.005  # of all pixels may become plain black, and plain white
_MIDDLE = 0.4  # of the range: where the median is lifted to, if it is below and the next allows
_MOST, _STEEPEST = 8.0, 16.0  # levels that one level becomes, overall and in the darkest parts
_BENDS = np.geomspace(1e-3, 1e3, 200)


@dataclass(frozen=True, eq=False)
class ToneCurve:
    """Two look-up tables for 8-bit planes of limited range.

    Attributes:
        luma: uint8 (256,), never falling.
        chroma: uint8 (256,), away from gray by as much as luma is lifted in the middle.
    """

    luma: np.ndarray
    chroma: np.ndarray

    @classmethod
    def of(cls, lumas: Iterable[np.ndarray]) -> ToneCurve:
        """From uint8 luma planes (H, W) of some frames; without any light, nothing changes."""
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
        if span > high - low:  # hardly any contrast: plain white stays white, plain black black
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
