"""What version 0.1 saved, before the layout of today, can still be used.

version_0.1/ was written by commit 3ba873c: an encoder with the features of a fixed clip, the
configuration and checkpoint of a DSM run that was stopped, and a fine-tuned classifier with its
checkpoint.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch

from unscene.config import read_config
from unscene.data.catalog import Video
from unscene.encoders import create_encoder, load_encoder
from unscene.evaluate.finetuning.classifier import load_classifier
from unscene.evaluate.finetuning.config import FinetuneConfig
from unscene.evaluate.finetuning.module import BestWeights, FinetuneModule
from unscene.methods.registry import create_method
from unscene.train.config import build
from unscene.train.module import PretrainModule
from unscene.train.preflight import check_networks, open_checkpoint

OLD = Path(__file__).parent / "version_0.1"


def test_an_encoder_gives_the_features_that_it_gave() -> None:
    kept = json.loads((OLD / "encoder" / "features.json").read_text())
    clip = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = load_encoder(OLD / "encoder")(clip)
    torch.testing.assert_close(features, torch.tensor(kept["features"]), rtol=1e-5, atol=1e-6)


def test_a_checkpoint_fits_the_networks_of_now() -> None:
    """Its momentum encoder and some of its settings had other names."""
    config = build(read_config(OLD / "run" / "config.yaml"))
    settings = config.settings.fit(8)
    assert (config.method, settings.key_momentum) == ("dsm", 0.99)  # type: ignore[attr-defined]
    encoder = create_encoder(config.encoder, **config.encoder_options)
    method = create_method(config.method, encoder, settings)
    videos = tuple(Video(f"/{number}.mp4") for number in range(8))
    module = PretrainModule(
        method, videos, seed=1, processes=1, max_steps=6, workers=0, short_side=0
    )
    checkpoint = OLD / "run" / "last.ckpt"
    check_networks(checkpoint, module)
    saved = open_checkpoint(checkpoint)["state_dict"]
    now = module.state_dict()
    assert len(saved) == len(now)
    for name, value in saved.items():
        assert torch.equal(now[name.replace(".twin.", ".momentum_encoder.")], value)


def test_a_checkpoint_of_a_fine_tuning_fits_the_networks_of_now() -> None:
    """What is now its classifier and the linear layer in it had other names."""
    checkpoint = OLD / "finetuned" / "last.ckpt"
    kept = load_classifier(OLD / "finetuned")
    config = FinetuneConfig(data="test", train="train", encoder="e", batch_size=2)
    videos = tuple(Video(f"/{number}.mp4", label) for number, label in enumerate(kept.names))
    module = FinetuneModule(copy.deepcopy(kept), videos, config, 1, "")
    check_networks(checkpoint, module)
    saved = open_checkpoint(checkpoint)
    last = saved["state_dict"]["recogniser.classifier.weight"]
    assert torch.equal(module.classifier.linear.weight, last)
    best = BestWeights(videos, 1, 1)
    best.load_state_dict(saved["callbacks"][best.state_key])
    assert best.best is not None
    module.classifier.load_state_dict(best.best)
    assert torch.equal(module.classifier.linear.weight, kept.linear.weight)


def test_a_classifier_loads() -> None:
    classifier = load_classifier(OLD / "finetuned")
    assert classifier.names == ("left", "up")
    assert classifier(torch.zeros(1, 3, 4, 32, 32)).shape == (1, 2)
