"""Audit a video model of the library transformers: does it watch the motion or the scene?

Without `--model` it audits a tiny VideoMAE with random weights, so that it runs offline. Beside
the model stands its untrained twin: the same architecture with random weights, on the same clips.
Without `--data` it generates 48 videos in which motion and scene are independent. It writes
report.html and audit.json, in about a minute on two idle CPU cores.

    pip install transformers
    python examples/audit_transformers_model.py
    python examples/audit_transformers_model.py --model hf:FOLDER --data VIDEOS

FOLDER is a VideoMAE, TimeSformer, ViViT or V-JEPA 2 that `save_pretrained` wrote; input size,
number of frames and normalization come from its own files. With a name instead of a folder,
`hf:MCG-NJU/videomae-base`, transformers downloads the model first.
"""

import argparse
from pathlib import Path

import torch

import unscene
from unscene.synthetic.generate import MovingScenes, generate

FOOTAGE = MovingScenes(train_videos=48, seen_videos=0, unseen_videos=0, correlation=0.0)


def save_tiny_model(folder: Path) -> str:
    """Save a VideoMAE with random weights and return the text by which --encoder finds it."""
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=32,
        patch_size=8,
        num_frames=8,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
    )
    VideoMAEForVideoClassification(config).save_pretrained(folder)
    return f"random VideoMAE=hf:{folder}"


def main() -> None:
    """Audit the model and its untrained twin, and print the verdict."""
    parser = argparse.ArgumentParser(description="Audit a video model of transformers.")
    parser.add_argument("--model", help="hf:FOLDER or hf:USER/NAME")
    parser.add_argument("--data", help="your own videos: a folder, class folders or a CSV")
    parser.add_argument("--videos", type=int, default=48, help="audit at most this many")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    given = parser.parse_args()
    model = given.model or save_tiny_model(given.out / "tiny-videomae")
    data = given.data or str(generate(given.out / "audit-footage", FOOTAGE, workers=2).train)
    found = unscene.audit(
        data,
        model,
        videos=given.videos,
        workers=2,
        out=given.out / "audit",
        overwrite=True,
    )
    (audited,) = found.models
    print(f"{audited.name}: {audited.verdict.sentence}")
    for one in filter(None, (audited, audited.untrained_twin)):
        print(one.name)
        for measured in one.measures:
            for name, score in list(measured.scores.items())[:1]:  # the headline of each measure
                low, high = score.ci95
                print(f"  {measured.name:12} {name:24} {score.value:.2f} [{low:.2f}, {high:.2f}]")
    print(given.out / "audit" / "report.html")


if __name__ == "__main__":
    main()
