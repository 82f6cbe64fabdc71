"""Decoupling score: does an encoder separate the motion from the scene? Needs no labels.

Every clip is encoded three times: as it is (the anchor a), with the same motion in a perturbed
scene (p), and with another motion in the same scene (n). The score of a pair of perturbations is
the share of clips for which cos(a, p) > cos(a, n); a tie counts as half.

    scene side      trained    warp, color, crop              used in DSM's positives
                    untrained  background, overlay
    motion side     trained    shift, flow                    used in DSM's negatives
                    untrained  reversed, frozen, shuffled

`decoupling_views` describes the perturbations and what is equal in all of them. "Trained" are those
that DSM with the paper's settings is trained on: a high score there may only reflect the training.
A pair is untrained if both of its sides are. The two summaries are means over all trained and all
untrained pairs; mixed pairs are only in the table.

How to read it: compare it with an untrained network of the same architecture, not with 0.5. Such a
network already wins some pairs, above all those with frozen (no change at all), and mostly scores
below 0.5. An encoder that ignores the order of frames scores 0 against reversed and shuffled.
Motion that looks the same backward (waving) or later (a steady run) counts against a perfect
encoder too. Videos in which nothing moves are left out, since all their motions are the same.
Features that are never negative (after a ReLU) have cosines near 1; only the order of cosines
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unscene.data.catalog import Catalog, Skipped, Video, number_files
from unscene.data.loading import make_loader
from unscene.data.sequential import SequentialBatches
from unscene.encoders import EncoderSpec, VideoEncoder
from unscene.errors import UnsceneError, check_at_least
from unscene.evaluate.decoupling_views import MOTION, SCENE, PerturbationFactory
from unscene.results.rows import Row, build_rows
from unscene.results.statistics import Score, bootstrap, ratio, score, share, sum_by_cluster

PAIRS = tuple(f"{p}>{n}" for p in SCENE for n in MOTION)
TRAINED = tuple(f"{p}>{n}" for p in SCENE for n in MOTION if SCENE[p] and MOTION[n])
UNTRAINED = tuple(f"{p}>{n}" for p in SCENE for n in MOTION if not (SCENE[p] or MOTION[n]))
TIE = 1e-6  # smaller differences of cosines are rounding


@dataclass(frozen=True)
class Decoupling:
    """How often the same motion was nearer than the same scene.

    Attributes:
        pairs: scores by pair ("warp>reversed" ...), over the files in which both perturbations are
            possible. Clips and segments of a file are averaged first, because they are not
            independent. Pairs that are possible in no file are missing.
        trained, untrained: means over the pairs of `TRAINED` and of `UNTRAINED`; None without any.
        n: number of files in at least one pair.
        left_out: number of clips without a perturbation, by perturbation and reason ("background:
            only the camera moves" ...); "all: nothing moves" counts clips that are in no pair.
        skipped: videos that could not be read, and why.
    """

    pairs: dict[str, Score]
    trained: Score | None
    untrained: Score | None
    n: int
    left_out: dict[str, int]
    skipped: tuple[Skipped, ...] = ()


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
    """Compute the decoupling score of an encoder on videos without labels.

    Frames, stride and size are those of `encoder.spec`. Everything random is a function of the
    seed, the index of a video and the number of its clip. The encoder runs in evaluation mode, and
    returns to its own mode afterwards.

    Args:
        encoder: takes clips of at least 3 frames of 3 channels.
        videos: of a checked catalog.
        clips: uniformly spaced clips per video.
        batch_size: number of views encoded at once; a clip has up to 11.
        workers: number of processes that read videos; 0 reads in this one.
        seed: of the perturbations.
        device: makes and encodes the views.
        progress: called as progress(done, total) in videos.

    Raises:
        UnsceneError: the encoder takes fewer than 3 frames, its features are not finite, no video
            can be read, or nothing moves in any of them.
    """
    return decouple_together(
        [encoder],
        videos,
        clips=clips,
        batch_size=batch_size,
        workers=workers,
        seed=seed,
        device=device,
        progress=progress,
    )[0]


@torch.inference_mode()
def decouple_together(
    encoders: Sequence[VideoEncoder],
    videos: Sequence[Video],
    *,
    clips: int = 1,
    batch_size: int = 8,
    workers: int = 0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> list[Decoupling]:
    """Compute the decoupling scores of several encoders on the same views, which are made once.

    Args:
        encoders: take the same clips: frames, stride, size and normalization are those of the
            first.
        videos, clips, batch_size, workers, seed, device, progress: as for `decouple`.

    Returns:
        One for each encoder.

    Raises:
        UnsceneError: as `decouple` does.
    """
    check_at_least(1, clips=clips, batch_size=batch_size)
    factory = PerturbationFactory(videos, encoders[0].spec, seed, device)
    order = SequentialBatches([clips] * len(videos), 1)
    batches = make_loader(factory.make_dataset(clips), order, workers=workers)
    files = number_files(videos)
    index: list[int] = []
    cosines: list[list[dict[str, float]]] = [[] for _ in encoders]
    skipped: dict[str, Skipped] = {}
    with ExitStack() as modes:
        for encoder in encoders:
            modes.callback(encoder.train, encoder.training)
            encoder.eval().to(device)
        for done, (((draw, video),), batch) in enumerate(zip(order, batches, strict=True), 1):
            skipped.update({failure.path: failure for failure in batch.failures})
            if len(batch) and (views := factory.make_views(batch.to(device), draw, video)):
                index.append(files[video])
                for encoder, found in zip(encoders, cosines, strict=True):
                    found.append(_cosines(encoder, views, batch_size))
            if progress is not None:
                progress(done // clips, len(videos))
    if not index:
        causes = [f"{s.path}: {s.reason}" for s in skipped.values()][:3] or ["nothing moves"]
        raise UnsceneError(f"none of {len(videos)} videos can be scored; {'; '.join(causes)}")
    left_out = dict(sorted(factory.left_out.items()))
    return [_score(np.array(index), c, left_out, tuple(skipped.values())) for c in cosines]


def _score(
    index: NDArray[np.int64],
    cosines: Sequence[Mapping[str, float]],
    left_out: dict[str, int],
    skipped: tuple[Skipped, ...],
) -> Decoupling:
    wins = compare_pairs(index, cosines, SCENE, MOTION)
    shown = {k: column[~np.isnan(column)] for k, column in zip(PAIRS, wins.T, strict=True)}
    return Decoupling(
        pairs={pair: score(column) for pair, column in shown.items() if len(column)},
        trained=average_pairs(wins[:, [PAIRS.index(pair) for pair in TRAINED]]),
        untrained=average_pairs(wins[:, [PAIRS.index(pair) for pair in UNTRAINED]]),
        n=len(wins),
        left_out=left_out,
        skipped=skipped,
    )


def make_decoupling_rows(
    found: Decoupling,
    spec: EncoderSpec,
    catalog: Catalog,
    *,
    split: str,
    clips: int = 1,
    name: str = "",
    seed: int | None = None,
    twin_of: str = "",
) -> list[Row]:
    """Turn a decoupling score into rows.

    Args:
        found: the score of an encoder with this spec on this catalog.
        split: the part of the data that the score is about.
        clips: clips per video, as passed to `decouple`.
        name, seed, twin_of: as for `build_rows`.

    Returns:
        Rows "decoupling_trained", "decoupling_untrained", "decoupling/warp>reversed" ... Their
        chance is that of a coin, which is not what an untrained network scores.
    """
    means = {"decoupling_trained": found.trained, "decoupling_untrained": found.untrained}
    scores = {name: mean for name, mean in means.items() if mean is not None}
    scores |= {f"decoupling/{pair}": share for pair, share in found.pairs.items()}
    return build_rows(
        spec,
        {metric: replace(one, chance=0.5) for metric, one in scores.items()},
        data=catalog.source,
        split=split,
        label="none",
        fingerprint=catalog.fingerprint(),
        views=clips,
        test={"protocol": "decouple", "left_out": found.left_out},
        name=name,
        seed=seed,
        twin_of=twin_of,
    )


def _cosines(encoder: VideoEncoder, views: dict[str, Tensor], size: int) -> dict[str, float]:
    """cos(anchor, view) for each view, by its name."""
    stacked = torch.cat(list(views.values()))
    parts = [stacked[start : start + size] for start in range(0, len(stacked), size)]
    features = torch.cat([encoder(part).double().cpu() for part in parts])
    if not bool(features.isfinite().all()):
        raise UnsceneError(f"{encoder.spec.name}: its features are not finite")
    features = F.normalize(features, dim=1)
    return dict(zip(views, (features @ features[0]).tolist(), strict=True))


def compare_pairs(
    index: NDArray[np.int64],
    cosines: Sequence[Mapping[str, float]],
    scene: Iterable[str],
    motion: Iterable[str],
) -> NDArray[np.float64]:
    """Compute for each video the share of its clips for which the scene side is nearer.

    Args:
        index: (M,), the video of every clip; N different ones.
        cosines: for each clip, cos(anchor, view) by the name of the view. Views may be missing.
        scene, motion: names of the views of the two sides, S and M of them.

    Returns:
        (N, S * M), ordered by index, with the motion side as the inner loop; nan where a video has
        no clip with both views.
    """
    p, n = (
        np.array([[c.get(name, np.nan) for name in side] for c in cosines])
        for side in (list(scene), list(motion))
    )
    ahead = (p[:, :, None] - n[:, None]).reshape(len(index), -1)
    there = ~np.isnan(ahead)
    won = np.where(np.abs(ahead) <= TIE, 0.5, ahead > 0) * there
    return ratio(sum_by_cluster(won, index), sum_by_cluster(there.astype(np.float64), index))


def average_pairs(wins: NDArray[np.float64]) -> Score | None:
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
