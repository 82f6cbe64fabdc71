"""Scores for `train.monitor`: cheap enough to be repeated while an encoder trains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from unscene.data.catalog import Catalog, Video
from unscene.encoders import VideoEncoder
from unscene.evaluate.decoupling import decouple
from unscene.evaluate.features import extract
from unscene.evaluate.retrieval import retrieve
from unscene.methods.settings import ClipSettings
from unscene.train.monitor import Measure


def measure_decoupling(catalog: Catalog, settings: ClipSettings, seed: int) -> Measure:
    """Make a measure without labels: the decoupling score of some videos of the training set."""

    def measure(encoder: VideoEncoder, count: int, device: torch.device) -> dict[str, float]:
        _set_clips(encoder, settings)
        found = decouple(encoder, _sample(catalog.videos, count, seed), seed=seed, device=device)
        means = {"decoupling_trained": found.trained, "decoupling_untrained": found.untrained}
        return {name: mean.value for name, mean in means.items() if mean is not None}

    return measure


def measure_knn(catalog: Catalog, settings: ClipSettings, seed: int) -> Measure:
    """Make a measure with labels: recall@1 among some training videos (leave one out)."""
    labeled = tuple(video for video in catalog.videos if video.label is not None)

    def measure(encoder: VideoEncoder, count: int, device: torch.device) -> dict[str, float]:
        _set_clips(encoder, settings)
        some = _sample(labeled, count, seed)
        features = extract(encoder, some, clips=1, device=device)
        return {"knn": retrieve(features, features, ks=(1,))["retrieval_r1"].value}

    return measure


def _set_clips(encoder: VideoEncoder, settings: ClipSettings) -> None:
    """Evaluate on clips like those of the training; a saved encoder has them in its spec."""
    s = settings
    encoder.spec = replace(encoder.spec, frames=s.frames, stride=s.stride, size=s.size)


def _sample(videos: tuple[Video, ...], count: int, seed: int) -> list[Video]:
    order = np.random.default_rng(seed).permutation(len(videos))
    return [videos[i] for i in sorted(order[:count])]
