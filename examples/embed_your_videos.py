"""Compute features of your own videos, save them, and print each video's nearest neighbors.

`features.npz` holds one vector per video with its path and label; `neighbors.csv` the three videos
that are most similar to each. Without `--videos` it generates 24 short videos; without `--encoder`
the network is untrained, which shows the format and finds little. Seconds on a CPU.

    python examples/embed_your_videos.py
    python examples/embed_your_videos.py --videos VIDEOS --encoder runs/mine
"""

import argparse
import csv
from pathlib import Path

import numpy as np

import unscene
from unscene.synthetic.generate import MovingScenes, generate

FOOTAGE = MovingScenes(train_videos=24, seen_videos=0, unseen_videos=0)


def main() -> None:
    """Embed, save, and search."""
    parser = argparse.ArgumentParser(description="Features and nearest neighbors of videos.")
    parser.add_argument("--videos", help="a folder of videos, class folders or a CSV")
    parser.add_argument("--encoder", default="r3d-narrow", help="as --encoder of every command")
    parser.add_argument("--clips", type=int, default=5, help="clips per video that are averaged")
    parser.add_argument("--neighbors", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/features"))
    given = parser.parse_args()
    videos = given.videos or generate(given.out / "footage", FOOTAGE, workers=2).train

    # One vector per file; files that cannot be read are reported and have no row.
    found = unscene.embed(videos, given.encoder, clips_per_video=given.clips)
    labels = [label or "" for label in found.labels]
    given.out.mkdir(parents=True, exist_ok=True)
    np.savez(given.out / "features.npz", values=found.values, paths=found.paths, labels=labels)

    # Cosine similarity of all pairs; a video is not its own neighbor.
    unit = found.values / np.linalg.norm(found.values, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    count = min(given.neighbors, len(found) - 1)
    nearest = similarity.argsort(axis=1)[:, ::-1][:, :count]
    with (given.out / "neighbors.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "rank", "neighbor", "cosine"])
        for i, row in enumerate(nearest):
            table.writerows(
                (found.paths[i], rank, found.paths[j], f"{similarity[i, j]:.4f}")
                for rank, j in enumerate(row, start=1)
            )
    for i, row in enumerate(nearest[:5]):
        print(f"{Path(found.paths[i]).name} ({labels[i]}) is most similar to")
        for j in row:
            print(f"  {similarity[i, j]:.3f}  {Path(found.paths[j]).name} ({labels[j]})")
    print(f"{found} in {given.out / 'features.npz'}, neighbors in {given.out / 'neighbors.csv'}")


if __name__ == "__main__":
    main()
