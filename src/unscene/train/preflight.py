"""What a run that goes on must share with its beginning, or its steps would be other ones.

Which videos make up a batch follows from the list of all videos and from how many processes share
the batch: with a file more, or a device more, every later batch and the last step are others.
"""

from __future__ import annotations

import os
import pickle
from hashlib import blake2b
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn

from unscene.data.catalog import Catalog
from unscene.errors import UnsceneError

# In a checkpoint, beside what Lightning puts there.
PROCESSES, VIDEOS = "processes", "videos"


def opened(checkpoint: Path) -> dict[str, Any]:
    """A checkpoint, its tensors left on the disk. Raises UnsceneError if it is no whole one."""
    try:
        return torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, OSError, EOFError) as error:
        raise UnsceneError(
            f"{checkpoint}: is no whole checkpoint ({str(error).splitlines()[0]}); copy it again, "
            "or begin a new run in another --out"
        ) from error


def check_processes(checkpoint: Path, world: int) -> None:
    """Raise UnsceneError unless as many processes trained it as there are now.

    Also if it is no whole checkpoint. One that does not say is taken.
    """
    before = opened(checkpoint).get(PROCESSES, world)
    if before != world:
        raise UnsceneError(
            f"{checkpoint.parent}: {before} processes (one a device) shared the batches of this "
            f"run, and now there would be {world}: size and order of the batches, the number of "
            f"steps and the learning rate of a step would be others. Give --devices {before}, or "
            "begin a new run in another --out."
        )


def check_networks(checkpoint: Path, module: nn.Module) -> None:
    """Raise UnsceneError unless a checkpoint's weights fit; before anything in OUT is written."""
    try:
        module.load_state_dict(opened(checkpoint)["state_dict"])
    except RuntimeError as error:
        found = " ".join(str(error).splitlines()[1].split())
        raise UnsceneError(
            f"{checkpoint}: its networks are built otherwise than those of now "
            f"({shorten(found, 160, placeholder=' ...')}). Has the encoder that it began with been "
            "trained anew, or is this another version of unscene? Go on with what it began with, "
            "or begin a new run in another --out."
        ) from error


def names_of(catalog: Catalog) -> Tensor:
    """int64 (N,): a number for each video, made of its name, the size of its file and its segment.

    Labels have none: no training without labels reads them.
    """
    root = Path(catalog.root or catalog.source)
    root = root if root.is_dir() else root.parent
    numbers = []
    for video in catalog.videos:
        file = Path(video.path)
        size = file.stat().st_size if file.exists() else -1
        row = repr((os.path.relpath(video.path, root), size, video.start, video.end))
        digest = blake2b(row.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        numbers.append(int.from_bytes(digest, "big", signed=True))
    return torch.tensor(numbers, dtype=torch.long)


def check_videos(checkpoint: Path, catalog: Catalog) -> None:
    """Raise UnsceneError unless a checkpoint was trained on these videos, in this order."""
    now = names_of(catalog)
    before = opened(checkpoint).get(VIDEOS, now)
    if torch.equal(before, now):
        return
    known, here = set(before.tolist()), set(now.tolist())
    came, went = len(here - known), len(known - here)
    counted = f"{came} came and {went} went, one whose file has changed counting as both"
    raise UnsceneError(
        f"{catalog.source}: its videos are not those that {checkpoint.parent} began with: of "
        f"{len(before)}, {counted if came or went else 'all are here, but in another order'}. "
        "Every batch would be another one. Put back what it began with, or begin a new run on what "
        "there is now in another --out."
    )
