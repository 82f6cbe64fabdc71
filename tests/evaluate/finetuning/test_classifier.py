"""An encoder with a classifier: dropout, saving, loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unscene.encoders import create_encoder, save_encoder
from unscene.errors import UnsceneError
from unscene.evaluate.finetuning.classifier import Classifier, load_classifier, save_classifier


def test_dropout_is_drawn_from_the_generator() -> None:
    torch.manual_seed(0)
    classifier = Classifier(create_encoder("r3d-narrow", width=4, stages=2), "ab", dropout=0.75)
    classifier.eval()
    seen: list[torch.Tensor] = []
    classifier.linear.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    clip = torch.randn(64, 3, 4, 16, 16)
    with torch.no_grad():
        for generator in (None, *(torch.Generator().manual_seed(s) for s in (0, 0, 1))):
            classifier.logits(clip, generator)
    whole, one, same, other = seen
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    kept = one != 0
    torch.testing.assert_close(one[kept], whole[kept] * 4)
    assert kept[whole != 0].float().mean() == pytest.approx(0.25, abs=0.06)


def test_a_classifier_is_saved_with_its_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = Classifier(create_encoder("r3d-narrow", width=4, stages=2), ["größe", "b", "c"])
    save_classifier(classifier, tmp_path)
    again = load_classifier(tmp_path)
    assert again.names == ("größe", "b", "c")
    clip = torch.randn(2, 3, 4, 16, 16)
    with torch.no_grad():
        want, got = classifier.eval()(clip), again.eval()(clip)
    assert torch.equal(want, got)
    torch.testing.assert_close(got.sum(dim=1), torch.ones(2))
    save_encoder(create_encoder("r3d-narrow", width=4, stages=2), tmp_path)  # another one
    with pytest.raises(UnsceneError, match="does not belong to the encoder"):
        load_classifier(tmp_path)
    (tmp_path / "classifier.safetensors").unlink()
    with pytest.raises(UnsceneError, match="no such file; a classifier is"):
        load_classifier(tmp_path)
