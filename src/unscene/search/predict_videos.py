"""What was learned, applied to an index or to videos that are in none.

labels.safetensors    of `unscene label`: features of the index, or of the same encoder
a folder              of `unscene evaluate finetune`: its own network reads the videos
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unscene.data.catalog import Catalog, Video
from unscene.data.listing import Data, open_catalog
from unscene.device import pick_device
from unscene.encoders import VideoEncoder, load_encoder
from unscene.encoders.weights import fingerprint_encoder
from unscene.errors import UnsceneError, check_at_least
from unscene.evaluate.finetuning.classifier import Classifier, load_classifier
from unscene.motion.strength import STILL
from unscene.search.embedding import embed_windows
from unscene.search.label_model import LabelModel
from unscene.search.predict import Predictions, Rules, make_predictions, predict_windows
from unscene.search.windows import WindowPlan, Windows

Model = LabelModel | Classifier
Progress = Callable[[int, int], None]
_THRESHOLD, _LOW = 0.5, 0.3  # of a fine-tuned classifier, which has no threshold of its own


@dataclass(frozen=True)
class Reading:
    """How videos are read and embedded.

    Attributes:
        batch_size: clips read and encoded at once.
        workers: processes that read videos; 0: this one.
        device: "auto" is a GPU if there is one.
        progress: called as progress(done, total) in windows.
    """

    batch_size: int = 16
    workers: int = 0
    device: str = "auto"
    progress: Progress | None = None

    def __post_init__(self) -> None:
        check_at_least(1, batch_size=self.batch_size)
        check_at_least(0, workers=self.workers)


@dataclass(frozen=True)
class VideoFile:
    """A video file that was read for predictions; `name` is relative to DATA."""

    path: str
    name: str
    duration: float
    fps: float


@dataclass(frozen=True, eq=False)
class EmbeddedVideos:
    """Windows of videos that are in no index.

    Attributes:
        windows: their features; `windows.file` is a position in `files`.
        files: those of which a window could be read, by name.
        skipped: (path, reason) of the others, and of windows that could not be read.
    """

    windows: Windows
    files: tuple[VideoFile, ...]
    skipped: tuple[tuple[str, str], ...]


def load_model(model: Model | str | os.PathLike[str]) -> Model:
    """Load a file of learned labels, or the folder of a fine-tuned classifier.

    Raises:
        UnsceneError: there is neither.
    """
    if isinstance(model, LabelModel | Classifier):
        return model
    return load_classifier(Path(model)) if Path(model).is_dir() else LabelModel.load(model)


def make_rules(
    model: Model,
    length: float,
    *,
    threshold: float | None = None,
    low: float | None = None,
    least: float | None = None,
    gap: float | None = None,
) -> Rules:
    """The rules of a model; None: its own threshold, and half of a window of `length` seconds."""
    if isinstance(model, LabelModel):
        return Rules.of(model, threshold=threshold, low=low, least=least, gap=gap)
    return Rules.choose(
        (_THRESHOLD, _LOW), length, threshold=threshold, low=low, least=least, gap=gap
    )


def predict_videos(
    model: Model, data: Data, reading: Reading | None = None, **rules: float | None
) -> Predictions:
    """Predict intervals of videos that are in no index.

    Args:
        model: see `load_model`.
        data: as for `open_catalog`.
        reading: how the videos are read.
        rules: threshold, low, least, gap; see `make_rules`.

    Raises:
        UnsceneError: no video can be read, or the encoder of the labels is not the one that it was.
    """
    encoder: VideoEncoder = model if isinstance(model, Classifier) else _load_own(model)
    lengths = (model.length, model.hop) if isinstance(model, LabelModel) else (None, None)
    plan = WindowPlan.of(encoder.spec, *lengths)
    how = make_rules(model, plan.length, **rules)
    found = embed_videos(encoder, open_catalog(data), plan, reading or Reading())
    if isinstance(model, LabelModel):
        still = found.windows.motion < STILL
        return predict_windows(
            model, found.windows, found.files, still=still, rules=how, skipped=found.skipped
        )
    return _classify(model, found, plan, how)


def classify_index(
    model: Classifier,
    paths: Sequence[str],
    length: float,
    hop: float,
    reading: Reading | None = None,
    **rules: float | None,
) -> Predictions:
    """Predict intervals of files of an index by a fine-tuned classifier, which reads the videos.

    Args:
        model: the classifier.
        paths: of the files.
        length, hop: of the windows of the index.
        reading, rules: as for `predict_videos`.
    """
    how = make_rules(model, length, **rules)
    plan = WindowPlan.of(model.spec, length, hop)
    found = embed_videos(model, open_catalog(list(paths)), plan, reading or Reading())
    return _classify(model, found, plan, how)


def _classify(
    model: Classifier, found: EmbeddedVideos, plan: WindowPlan, rules: Rules
) -> Predictions:
    values = found.windows.vectors.astype(np.float64)  # its features are probabilities
    return make_predictions(
        model.names, values, found.windows, found.files, plan.hop, rules, found.skipped
    )


def _load_own(model: LabelModel) -> VideoEncoder:
    """The encoder that labels were learned with. Raises UnsceneError if it is another one now."""
    encoder = load_encoder(model.encoder)
    if fingerprint_encoder(encoder) != model.fingerprint:
        raise UnsceneError(
            f"{model.encoder}: is not the encoder that the labels were learned with (its weights "
            "have another fingerprint); bring that one back, or index and label again"
        )
    return encoder


def embed_videos(
    encoder: VideoEncoder, catalog: Catalog, plan: WindowPlan, reading: Reading
) -> EmbeddedVideos:
    """Embed the windows of all videos of a catalog, as an index does.

    Raises:
        UnsceneError: no window can be read.
    """
    videos = sorted(catalog.videos, key=lambda video: (video.path, video.start))
    files = _describe_files(videos, catalog)
    numbers = {file.path: number for number, file in enumerate(files)}
    total = sum(plan.count(video.duration) for video in videos)
    columns: list[tuple[int, Any, Any, Any, Any]] = []
    skipped = [(one.path, one.reason) for one in catalog.skipped]
    done = 0
    for part in embed_windows(
        encoder,
        videos,
        plan,
        batch_size=reading.batch_size,
        workers=reading.workers,
        device=pick_device(reading.device),
    ):
        video = videos[part.video]
        starts, ends = (video.start + one for one in plan.spans(part.number, video.duration))
        columns.append((numbers[video.path], starts, ends, part.motion, part.vectors))
        skipped += [(video.path, reason) for reason in part.reasons]
        done += len(part.number)
        if reading.progress is not None:
            reading.progress(done, total)
    windows = _join(columns, encoder.dim)
    if not len(windows):
        reasons = "; ".join(f"{path}: {reason}" for path, reason in skipped[:3])
        raise UnsceneError(f"{catalog.source}: no video could be read. {reasons}")
    read = np.unique(windows.file)
    windows = replace(windows, file=np.searchsorted(read, windows.file))
    return EmbeddedVideos(
        windows, tuple(files[number] for number in read), tuple(dict.fromkeys(skipped))
    )


def _describe_files(videos: Sequence[Video], catalog: Catalog) -> list[VideoFile]:
    """The files of videos, each once, in the order of these."""
    files = []
    for path, info in {video.path: video.info for video in videos}.items():
        assert info is not None, "the catalog is not checked"
        files.append(VideoFile(path, catalog.name_of(path), info.duration, info.fps))
    return files


def _join(columns: Sequence[tuple[int, Any, Any, Any, Any]], dim: int) -> Windows:
    def whole(place: int, empty: Any) -> Any:
        return np.concatenate([empty, *(part[place] for part in columns)])

    counts = [len(part[1]) for part in columns]
    none = np.empty(0)
    return Windows(
        np.arange(sum(counts)),
        np.repeat(np.array([part[0] for part in columns], np.int64), counts),
        whole(1, none),
        whole(2, none),
        whole(3, none.astype(np.float32)),
        whole(4, np.empty((0, dim), np.float32)),
    )


def count_skipped(predictions: Predictions) -> Iterator[tuple[str, int, str]]:
    """For each reason, the first path, how many paths there are, and the reason."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in predictions.skipped:
        by_reason.setdefault(reason, []).append(path)
    for reason, paths in by_reason.items():
        yield paths[0], len(paths), reason
