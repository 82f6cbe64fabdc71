"""Features of several splits of one data set -> rows: retrieval and probes of several labels.

The splits have known labels ("motion", "scene"), of which only one should be easy to read from a
good encoder; see `synthetic.generate`. One of the splits is "train".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from unscene.data.catalog import Catalog
from unscene.encoders import EncoderSpec
from unscene.evaluate.features import Features
from unscene.evaluate.probing import probe
from unscene.evaluate.retrieval import retrieve
from unscene.results.rows import Row, build_rows

KS = (1, 5, 10)


def score_labels(
    spec: EncoderSpec,
    features: Mapping[str, Features],
    catalogs: Mapping[str, Catalog],
    pairs: Iterable[tuple[str, str]],
    *,
    data: str,
    views: int,
    seed: int,
    test: Mapping[str, Any] | None = None,
    standardize: bool = False,
) -> list[Row]:
    """Retrieval and probes of labels, each on a split.

    retrieval_rK searches the training videos, as the DSM paper does. retrieval_loo_rK searches the
    other videos of the split (leave one out), where motion and scene are independent.

    Args:
        spec: of the encoder.
        features, catalogs: by split, "train" among them.
        pairs: (label, split) to score.
        data, views, seed, test: as for `build_rows`.
        standardize: as for `retrieve`. The probe, which always standardizes, is left out then.

    Returns:
        "retrieval_loo_rK" and "retrieval_loo_map" of every pair. Where the training videos have all
        classes of the split, also "retrieval_rK", "retrieval_map", "probe_top1" and "knn_top1".

    Raises:
        UnsceneError: no such label column, or a feature that is not finite.
    """
    search = partial(retrieve, ks=KS, standardize=standardize)
    rows = []
    for label, split in pairs:
        query, gallery = features[split], features["train"]
        scores = {
            metric.replace("_", "_loo_"): found
            for metric, found in search(query, query, label).items()
        }
        if set(query.labels(label)) <= set(gallery.labels(label)):  # not so for new scenes
            scores |= search(query, gallery, label)
            scores |= {} if standardize else probe(gallery, query, label).scores
        rows += build_rows(
            spec,
            scores,
            data=data,
            split=split,
            label=label,
            fingerprint="+".join(catalogs[part].fingerprint() for part in (split, "train")),
            views=views,
            seed=seed,
            test=test,
        )
    return rows
