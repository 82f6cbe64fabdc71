"""The settings of `unscene prepare` and the encoder options that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unscene.errors import UnsceneError


@dataclass(frozen=True)
class TranscodeSettings:
    """How files are transcoded.

    Attributes:
        short_side: short side in pixels, even; larger videos are shrunk to it; 0: keep the size.
        gop: frames from one key frame to the next.
        codec: h264 (libx264) or mpeg4 (MPEG-4 part 2).
        quality: crf of H.264 or qscale of MPEG-4, lower is better; default: 18 or 3.
        fps: resample to this frame rate; default: keep the times of all frames.
        brighten: stretch dark or flat videos to the full range, with one tone curve per video.

    Raises:
        UnsceneError: a value is out of range.

    >>> TranscodeSettings(short_side=112).size(width=320, height=240)
    (150, 112)
    """

    short_side: int = 128
    gop: int = 12
    codec: Literal["h264", "mpeg4"] = "h264"
    quality: float | None = None
    fps: float | None = None
    brighten: bool = False

    def __post_init__(self) -> None:
        low, high = (0, 51) if self.codec == "h264" else (1, 31)
        side, fps = self.short_side, self.fps
        even = side == 0 or (side >= 16 and side % 2 == 0)
        for name, fits, wanted in (
            ("short_side", even, "even and at least 16, or 0 to keep the size"),
            ("gop", self.gop >= 2, "at least 2 frames: key frames have no motion vectors"),
            ("codec", self.codec in ("h264", "mpeg4"), "h264 or mpeg4"),
            ("quality", low <= self.level <= high, f"from {low} (best) to {high} for {self.codec}"),
            ("fps", fps is None or 0.1 <= fps <= 1000, "from 0.1 to 1000"),
        ):
            if not fits:
                raise UnsceneError(f"{name} = {getattr(self, name)!r}; it must be {wanted}")

    @property
    def level(self) -> float:
        """The quality with its default filled in."""
        return (18 if self.codec == "h264" else 3) if self.quality is None else self.quality

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Compute the even (width, height) of the output for a source of this size."""
        short = min(width, height)
        if self.short_side and short > self.short_side:
            half = self.short_side / short / 2
            return 2 * round(width * half), 2 * round(height * half)
        return max(2, width // 2 * 2), max(2, height // 2 * 2)

    def encoder_options(self) -> dict[str, str]:
        """Options of FFmpeg's encoder.

        With one reference frame and no B-frames, every motion vector is the motion since the
        previous frame.
        """
        options = {"bf": "0", "refs": "1", "g": str(self.gop), "threads": "1"}
        if self.codec == "h264":
            # x264's default motion search (hexagon) is kept (experiments/vectors.py): wider ones
            # find what looks similar, not what moved there; narrower ones lose fast pans.
            options |= {"crf": f"{self.level:g}", "preset": "veryfast"}
            return options | {"keyint_min": str(self.gop), "sc_threshold": "0"}
        # MPEG-4's threshold works the other way round; 118 is FFmpeg's FF_QP2LAMBDA.
        options |= {"flags": "+qscale", "global_quality": str(round(self.level * 118))}
        return options | {"sc_threshold": "1000000000"}
