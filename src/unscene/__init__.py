"""unscene: video representations that watch the motion, not the scene."""

__version__ = "0.1.0"
