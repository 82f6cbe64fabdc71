"""A video classifier: an encoder and a linear layer, which fine-tuning trains together.

OUT/encoder.safetensors, .json       as for any encoder
OUT/classifier.safetensors, .json    weight (K, D) and bias (K,); the K class names in that order

    classifier = load_classifier("runs/finetune").eval()
    classifier(clip_BCTHW)           # (B, K), the probabilities of classifier.names
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from unscene.encoders import VideoEncoder, save_encoder
from unscene.encoders.weights import read_encoder
from unscene.errors import UnsceneError
from unscene.files import write_atomically, write_text

_STEM = "classifier"


class Classifier(VideoEncoder):
    """A video encoder whose feature of a clip is the probability of each class.

    Because it is an encoder, `features.extract` averages its probabilities over the clips of a
    video. Its feature maps are those of the encoder inside.

    Args:
        encoder: computes the features; shared, not copied.
        names: K classes, in the order of the outputs.
        dropout: probability that a feature is dropped in training.

    Attributes:
        linear: the layer from features (B, D) to logits (B, K).

    >>> from unscene.encoders import create_encoder
    >>> classifier = Classifier(create_encoder("r3d-narrow"), ["run", "jump"])
    >>> classifier(torch.zeros(4, 3, 8, 32, 32)).shape
    torch.Size([4, 2])
    """

    def __init__(self, encoder: VideoEncoder, names: Sequence[str], dropout: float = 0.0) -> None:
        super().__init__(encoder.spec, stage_dims=encoder.stage_dims, minimum=encoder.minimum)
        self.encoder = encoder
        self.input, self.flow_grid = encoder.input, encoder.flow_grid
        self.names = tuple(names)
        self.dropout = dropout
        self.linear = nn.Linear(encoder.dim, len(self.names))

    @property
    def dim(self) -> int:
        """K, the number of classes."""
        return len(self.names)

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        """The probability of each class, (B, K)."""
        return self.logits(clip_BCTHW).float().softmax(dim=1)

    def logits(self, clip_BCTHW: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Logits of the classes, (B, K).

        Args:
            clip_BCTHW: as for the encoder.
            generator: on the CPU; draws the dropout, so that a resumed run draws the same. None: no
                dropout.
        """
        feature = self.encoder(clip_BCTHW)
        if generator is not None and self.dropout:
            kept = torch.rand(feature.shape, generator=generator) >= self.dropout
            feature = feature * kept.to(feature) / (1 - self.dropout)
        logits: Tensor = self.linear(feature)
        return logits

    def forward_stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        """The feature maps of the encoder."""
        return self.encoder.forward_stages(clip_BCTHW)


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Write the encoder and the linear layer into a folder; every file whole or not at all.

    Raises:
        UnsceneError: a file cannot be written.
    """
    encoder = save_encoder(classifier.encoder, folder)
    state = classifier.linear.state_dict()
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    payload = safetensors.torch.save(tensors, metadata={"format": "pt"})
    record = {
        "classes": classifier.names,
        "weights_sha256": hashlib.sha256(payload).hexdigest(),
        "encoder_sha256": hashlib.sha256(encoder.read_bytes()).hexdigest(),
    }
    target = folder / f"{_STEM}.safetensors"
    try:
        with write_atomically(target) as temporary:
            temporary.write_bytes(payload)
        write_text(
            target.with_suffix(".json"), json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        )
    except OSError as error:
        raise UnsceneError(
            f"{target}: the classifier could not be written ({error.strerror}); free some space"
        ) from error


def load_classifier(folder: str | Path) -> Classifier:
    """Load what `save_classifier` wrote, on the CPU, in training mode like any new module.

    Raises:
        UnsceneError: a file is missing, is not whole, or belongs to another encoder.
    """
    folder = Path(folder)
    encoder = read_encoder(folder)
    weights = folder / f"{_STEM}.safetensors"
    try:
        record: Any = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
        payload = weights.read_bytes()
        classifier = Classifier(encoder, record["classes"])
        sums = [
            hashlib.sha256(content).hexdigest()
            for content in (payload, (folder / "encoder.safetensors").read_bytes())
        ]
        if sums != [record["weights_sha256"], record["encoder_sha256"]]:
            raise UnsceneError(
                f"{weights}: does not belong to the encoder or the .json beside it (checksums "
                "differ); copy all four files again from where they were saved"
            )
        classifier.linear.load_state_dict(safetensors.torch.load(payload))
    except FileNotFoundError as error:
        raise UnsceneError(
            f"{error.filename}: no such file; a classifier is four files in one folder "
            "(encoder and classifier, .safetensors and .json), as `unscene evaluate finetune` "
            "writes them"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UnsceneError(f"{weights}: cannot be read ({error}); copy it again") from error
    return classifier
