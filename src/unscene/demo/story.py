"""What the demo's report shows beside numbers: sample retrievals, thumbnails, curves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unscene.data.catalog import Video
from unscene.demo.charts import Shot
from unscene.demo.report import Example
from unscene.errors import UnsceneError
from unscene.evaluate.features import Features
from unscene.evaluate.retrieval import find_nearest
from unscene.video.clip import ClipBatch
from unscene.video.decode import read_clips
from unscene.video.sampling import Request
from unscene.views import picture
from unscene.views.augment import BasicAugmentation, make_view


def examples(
    features: dict[str, dict[str, Features]], methods: Sequence[str], count: int = 4
) -> list[Example]:
    """The first unseen videos of different motions, and what each method finds for them."""
    queries = features["random"]["unseen"]
    examples = []
    for video in one_per_motion(queries.videos)[: 2 * count : 2]:
        row = queries.videos.index(video)
        neighbours: dict[str, list[Shot]] = {}
        hits: dict[str, list[bool]] = {}
        for method in methods:
            gallery = features[method]["train"]
            query = features[method]["unseen"].values[row : row + 1]
            found = [gallery.videos[i] for i in find_nearest(query, gallery.values, 3)[0].tolist()]
            neighbours[method] = [shot(v) for v in found]
            hits[method] = [v.value("motion") == video.value("motion") for v in found]
        examples.append(Example(shot(video), neighbours, hits))
    return examples


def one_per_motion(videos: tuple[Video, ...]) -> list[Video]:
    first: dict[str, Video] = {}
    for video in videos:
        first.setdefault(video.value("motion"), video)
    return list(first.values())


def shot(video: Video) -> Shot:
    """Eight frames of a video as RGB."""
    request = Request(0.0, {"clip": tuple(range(0, 24, 3))})
    batch = ClipBatch.of([read_clips(video.path, request)["clip"]])
    size = int(batch.sizes.min())
    basic = BasicAugmentation(size, short_side=1.0, random=False)
    view = make_view(batch, basic.center(batch.sizes), size=size)[0]
    frames = picture.to_rgb(view, basic.mean, basic.std)
    return Shot(np.asarray(frames), video.value("motion"), f"scene {video.value('scene')}")


def curve(path: Path) -> list[tuple[int, dict[str, float]]]:
    """(step, metrics) as logged in a run's metrics.csv."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UnsceneError(f"{path}: cannot be read ({error}); delete the run's folder") from error
    return [
        (int(row["step"]), {k: float(v) for k, v in row.items() if v and k != "step"})
        for row in rows
    ]
