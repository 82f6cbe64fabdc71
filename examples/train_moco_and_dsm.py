"""Train MoCo and DSM top to bottom with the parts of the library, and compare what they learned.

It shows how clips are sampled, how DSM's views are made, what the loss is, and how an encoder is
evaluated by retrieval. `unscene.pretrain` does the same, and saves, resumes and uses GPUs.

By default it generates footage in which the scene gives away the motion in 90 % of the training
videos. It takes about three minutes on two idle CPU cores; `--steps 20` shows that it runs.

    python examples/train_moco_and_dsm.py [--data VIDEOS]    # class folders, or a CSV with labels
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

import unscene
from unscene.data.catalog import Video
from unscene.data.loading import ClipDataset, StepBatches, make_loader
from unscene.evaluate.features import extract
from unscene.evaluate.retrieval import retrieve
from unscene.methods.contrastive import Head, MomentumEncoder, Queue, info_nce
from unscene.motion.flow import make_flow_transform
from unscene.synthetic.generate import MovingScenes, generate
from unscene.video.sampling import RandomClipSampler
from unscene.views import BasicAugmentation, draw_offsets, draw_phi, make_view


def train(method: str, videos: Sequence[Video], steps: int) -> unscene.VideoEncoder:
    """Train an encoder without labels."""
    dsm = method == "DSM"
    torch.manual_seed(0)  # both methods start from the same weights
    encoder = unscene.create_encoder("r3d-narrow")
    frames, stride, size = encoder.spec.frames, encoder.spec.stride, encoder.spec.size
    network = torch.nn.Sequential(encoder, Head(encoder.dim, 128, "mlp")).train()
    momentum_encoder, queue = MomentumEncoder(network), Queue(16, 128)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    # Clips: a random one of each video; for DSM also a copy that is shifted in time, with its flow.
    sampler = RandomClipSampler(frames, stride, shift=(2, 20) if dsm else None)
    transforms = {"shifted": make_flow_transform(size)} if dsm else {}
    dataset = ClipDataset(videos, sampler, transforms=transforms)
    loader = make_loader(dataset, StepBatches(len(videos), 32, steps=steps), workers=2)
    basic, generator = BasicAugmentation.mild(size), torch.Generator().manual_seed(0)

    for step, batch in enumerate(loader, start=1):
        # Views (B, 3, T, H, W): crop, rotation and color jitter. DSM's positive warps the scene.
        clip = batch.clips["clip"]
        anchor = make_view(clip, basic.draw(clip.sizes, generator), size=size)
        warp = draw_offsets(len(clip), generator) if dsm else None
        params = basic.draw(clip.sizes, generator)
        keys = [make_view(clip, params, size=size, warp_offsets=warp)]
        if dsm:  # the negative: the same scene, each step of its motion stretched or stalled
            shifted, phi = batch.clips["shifted"], draw_phi(len(clip), frames, generator)
            params = basic.draw(shifted.sizes, generator)
            keys.append(make_view(shifted, params, size=size, phi=phi))

        # InfoNCE. The scene cannot tell DSM's positive from its negative; the motion can.
        query = network(anchor)
        positive, *rest = momentum_encoder(torch.cat(keys)).chunk(len(keys))
        others, negative = queue.features.clone(), rest[0] if rest else None
        loss = info_nce(query, positive, others, temperature=0.1, negative=negative)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        momentum_encoder.follow(network, 0.95)
        queue.push(positive)
        if step % 50 == 0 or step == steps:
            print(f"{method}: step {step}, loss {loss.item():.3f}", flush=True)
    return encoder


def main() -> None:
    """Train both, and search for test videos of the same motion, and of the same scene."""
    parser = argparse.ArgumentParser(description="Train MoCo and DSM, and compare them.")
    parser.add_argument("--data", help="your own videos, with labels for the evaluation")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("runs/examples"), help="generated footage")
    given = parser.parse_args()
    data, tests = given.data, [(given.data, "label")]
    if data is None:
        footage = generate(given.out / "footage", MovingScenes(own_place=True), workers=2)
        data, tests = footage.train, [(footage.unseen, "motion"), (footage.seen, "scene")]
    videos = unscene.open_catalog(data).videos
    encoders = {"untrained": unscene.load_encoder("r3d-narrow")}
    encoders |= {method: train(method, videos, given.steps) for method in ("MoCo", "DSM")}
    for split, label in tests:
        for name, encoder in encoders.items():
            features = extract(encoder, unscene.open_catalog(split).videos, clips=2, workers=2)
            found = retrieve(features, features, label, ks=(1,))["retrieval_r1"]
            low, high = found.ci95
            print(f"{name:10} recall@1 of the {label}: {found.value:.2f} [{low:.2f}, {high:.2f}]")


if __name__ == "__main__":
    main()
