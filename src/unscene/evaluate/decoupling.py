"""Does an encoder tell the motion from the scene? A score that needs no labels.

Of every window an anchor is shown, the same motion in a disturbed scene (p) and the same scene with
another motion (n). A pair's share is how often cos(a, p) > cos(a, n); an equal counts as half.

    scene side      trained    warp, colour, crop             what DSM's positives are made of
                    untrained  background, overlay
    motion side     trained    shift, flow                    what DSM's negatives are made of
                    untrained  reversed, frozen, shuffled

`decouple_views` says what they are and what is kept equal among them. "Trained" says what DSM with
the paper's settings is trained on: a high share there may be training remembered. A pair counts as
untrained only if both its sides are. The two summaries are means over the shares of all trained and
of all untrained pairs; mixed pairs stand in the table only.

How to read it: against the same encoder with random weights, not against 0.5. An untrained network
tells some pairs already, more of those with frozen (no change at all), and is mostly below 0.5. One
that ignores the order of frames has 0 against reversed and shuffled. What looks the same backwards
(waving) or later (a steady run) counts against a perfect encoder too. Videos in which nothing moves
are left out: all their motions are the same. Cosines of features that are never negative (after a
ReLU) are all near 1; only their order counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unscene.data.catalog import Catalog, Skipped, Video, number_files
from unscene.data.loading import SequentialBatches, make_loader
from unscene.encoders import EncoderSpec, VideoEncoder
from unscene.errors import UnsceneError
from unscene.evaluate.decoupling_views import MOTION, SCENE, PerturbationFactory
from unscene.results.rows import Row, build_rows
from unscene.results.statistics import Score, bootstrap, ratio, score, share, sum_by_cluster

PAIRS = tuple(f"{p}>{n}" for p in SCENE for n in MOTION)
TRAINED = tuple(f"{p}>{n}" for p in SCENE for n in MOTION if SCENE[p] and MOTION[n])
UNTRAINED = tuple(f"{p}>{n}" for p in SCENE for n in MOTION if not (SCENE[p] or MOTION[n]))
TIE = 1e-6  # cosines that differ by less differ by rounding


@dataclass(frozen=True)
class Decoupling:
    """How often the motion counted for more than the scene.

    Attributes:
        pairs: by "warp>reversed" and so on, over the files that can show both (the mean over the
            windows of a file and of all its segments is one number, for they are no independent
            evidence); pairs that no video can show are missing.
        trained, untrained: means over the pairs of `TRAINED` and `UNTRAINED` that are there; None
            if none is.
        n: files that are in some pair: as many as videos where none is cut into segments.
        left_out: "background: the camera moves" and so on -> windows without this disturbance,
            "all: nothing moves" -> windows that are in no pair.
        skipped: videos that could not be read, and why.
    """

    pairs: dict[str, Score]
    trained: Score | None
    untrained: Score | None
    n: int
    left_out: dict[str, int]
    skipped: tuple[Skipped, ...] = ()


@torch.inference_mode()
def decouple(
    encoder: VideoEncoder,
    videos: Sequence[Video],
    *,
    clips: int = 1,
    batch_size: int = 8,
    workers: int = 0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Decoupling:
    """Score an encoder on unlabelled videos.

    Windows and size are those in `encoder.spec`. All that is random is a function of the seed, a
    video's place in `videos` and the number of its window. The encoder is in evaluation mode
    meanwhile, and back in its own mode after.

    Args:
        videos: of a checked catalog.
        clips: uniformly spaced windows a video.
        batch_size: views encoded at once; a window has up to 11.
        workers: reading processes.
        progress: called as progress(done, total) in videos.

    Raises:
        UnsceneError: the encoder sees fewer than 3 frames, its features are not finite, no video
            can be read, or nothing moves in any.
    """
    for name, value in (("clips", clips), ("batch_size", batch_size)):
        if value < 1:
            raise UnsceneError(f"{name} {value}: must be at least 1")
    studio = PerturbationFactory(videos, encoder.spec, seed, device)
    order = SequentialBatches([clips] * len(videos), 1)
    batches = make_loader(studio.windows(clips), order, workers=workers)
    was_training = encoder.training
    encoder.eval().to(device)
    files = number_files(videos)
    index: list[int] = []
    cosines: list[dict[str, float]] = []
    skipped: dict[str, Skipped] = {}
    try:
        for done, ((draw, video), batch) in enumerate(zip(order.keys, batches, strict=True), 1):
            skipped.update({failure.path: failure for failure in batch.failures})
            if len(batch) and (views := studio.views(batch.to(device), draw, video)):
                index.append(files[video])
                cosines.append(_cosines(encoder, views, batch_size))
            if progress is not None:
                progress(done // clips, len(videos))
    finally:
        encoder.train(was_training)
    if not index:
        causes = [f"{s.path}: {s.reason}" for s in skipped.values()][:3] or ["nothing moves"]
        raise UnsceneError(f"none of {len(videos)} videos can be scored; {'; '.join(causes)}")
    wins = compare_pairs(np.array(index), cosines, SCENE, MOTION)
    shown = {k: column[~np.isnan(column)] for k, column in zip(PAIRS, wins.T, strict=True)}
    return Decoupling(
        pairs={pair: score(column) for pair, column in shown.items() if len(column)},
        trained=mean_of_pairs(wins[:, [PAIRS.index(pair) for pair in TRAINED]]),
        untrained=mean_of_pairs(wins[:, [PAIRS.index(pair) for pair in UNTRAINED]]),
        n=len(wins),
        left_out=dict(sorted(studio.left_out.items())),
        skipped=tuple(skipped.values()),
    )


def make_decoupling_rows(
    found: Decoupling, spec: EncoderSpec, catalog: Catalog, *, split: str, clips: int = 1
) -> list[Row]:
    """Rows "decoupling_trained", "decoupling_untrained", "decoupling/warp>reversed" and so on.

    Args:
        found: of an encoder with this spec on this catalog.
        split: part of the data the numbers are about.
        clips: windows a video, as `decouple` was given.
    """
    means = {"decoupling_trained": found.trained, "decoupling_untrained": found.untrained}
    scores = {name: mean for name, mean in means.items() if mean is not None}
    return build_rows(
        spec,
        scores | {f"decoupling/{pair}": share for pair, share in found.pairs.items()},
        data=catalog.source,
        split=split,
        label="none",
        fingerprint=catalog.fingerprint(),
        views=clips,
        test={"protocol": "decouple", "left_out": found.left_out},
    )


def _cosines(encoder: VideoEncoder, views: dict[str, Tensor], size: int) -> dict[str, float]:
    """cos(anchor, view) by the name of the view."""
    stacked = torch.cat(list(views.values()))
    parts = [stacked[start : start + size] for start in range(0, len(stacked), size)]
    features = torch.cat([encoder(part).double().cpu() for part in parts])
    if not bool(features.isfinite().all()):
        raise UnsceneError(f"{encoder.spec.name}: its features are not finite numbers")
    features = F.normalize(features, dim=1)
    return dict(zip(views, (features @ features[0]).tolist(), strict=True))


def compare_pairs(
    index: NDArray[np.int64],
    cosines: Sequence[Mapping[str, float]],
    scene: Iterable[str],
    motion: Iterable[str],
) -> NDArray[np.float64]:
    """Which share of its windows each video wins, pair by pair.

    Args:
        index: (M,), the video of every window; N are different.
        cosines: of every window, cos(anchor, view) by the name of the view, where it has one.
        scene, motion: names of the views of either side.

    Returns:
        (N, S * M), the videos in the order of their index, the motion side running faster; nan
        where a video does not show both.
    """
    p, n = (
        np.array([[c.get(name, np.nan) for name in side] for c in cosines])
        for side in (list(scene), list(motion))
    )
    ahead = (p[:, :, None] - n[:, None]).reshape(len(index), -1)
    there = ~np.isnan(ahead)
    won = np.where(np.abs(ahead) <= TIE, 0.5, ahead > 0) * there
    return ratio(sum_by_cluster(won, index), sum_by_cluster(there.astype(np.float64), index))


def mean_of_pairs(wins: NDArray[np.float64]) -> Score | None:
    """The mean over pairs of their shares, with a bootstrap interval over videos.

    Args:
        wins: (N, pairs), the share of each video, nan where it does not show a pair.

    Returns:
        None if no video shows any pair. Where all wins are 0 or all are 1, the interval is
        Wilson's.
    """
    table = wins[:, ~np.isnan(wins).all(axis=0)]
    if not table.size:
        return None
    known = ~np.isnan(table)
    shown = int(known.any(axis=1).sum())
    if (values := np.unique(table[known])).tolist() in ([0.0], [1.0]):
        return share(np.full(shown, values[0]), np.arange(shown))

    def mean(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
        pairs = ratio(sums, counts)
        return ratio(np.nansum(pairs, axis=1), (~np.isnan(pairs)).sum(axis=1).astype(np.float64))

    low, high = bootstrap([np.nan_to_num(table), known.astype(np.float64)], None, mean)
    value = float(np.nanmean(table, axis=0).mean())
    return Score(value, (float(low), float(high)), shown)
