"""Several labels of several splits at once."""

from __future__ import annotations

import torch
from features_of import features

from unscene.data.catalog import Catalog
from unscene.encoders import EncoderSpec
from unscene.evaluate.labels import score_labels
from unscene.evaluate.probing import probe
from unscene.evaluate.retrieval import retrieve


def test_each_label_of_each_split_has_its_rows() -> None:
    """Only labels that the training videos know are searched for among them."""
    generator = torch.Generator().manual_seed(0)
    motions, scenes = list("aabb") * 6, list("xyxy") * 6
    splits = {
        name: features(torch.randn(24, 5, generator=generator), motions, scene=places)
        for name, places in (("train", scenes), ("new", list("uvuv") * 6))
    }
    catalogs = {name: Catalog(name, one.videos) for name, one in splits.items()}
    pairs = [("label", "new"), ("scene", "new")]
    spec = EncoderSpec("one", {}, 5)
    rows = score_labels(spec, splits, catalogs, pairs, data="d", views=3, seed=7)
    new, train = splits["new"], splits["train"]
    within = ["retrieval_loo_r1", "retrieval_loo_r5", "retrieval_loo_r10", "retrieval_loo_map"]
    across = ["retrieval_r1", "retrieval_r5", "retrieval_r10", "retrieval_map"]
    metrics = {label: [r.metric for r in rows if r.label == label] for label, _ in pairs}
    assert metrics == {"label": [*within, *across, "probe_top1", "knn_top1"], "scene": within}
    found = {row.metric: row.value for row in rows if row.label == "label"}
    assert found["retrieval_loo_map"] == retrieve(new, new)["retrieval_map"].value
    assert found["retrieval_map"] == retrieve(new, train)["retrieval_map"].value
    assert found["probe_top1"] == probe(train, new).scores["probe_top1"].value
    assert {(row.split, row.views, row.seed, row.data) for row in rows} == {("new", 3, 7, "d")}
    prints = [catalogs[name].fingerprint() for name in ("new", "train")]
    assert {row.fingerprint for row in rows} == {"+".join(prints)}
