"""Everything that is checked before a training starts, in pre-training and fine-tuning alike.

In this order, so that a mistake shows before the next, slower step: the folder and the number of
processes (`begin`), the encoder and its clips (`make_initial_encoder`, `check_clips`), the videos
that a method can learn from (`find_compatible_videos`, `describe_pitfalls`), and whether a resumed
run has the videos (`check_same_videos`) and networks (`check_networks`) that it started with. Which
videos make up a batch follows from the list of all videos and from how many processes share the
batch: with a file more, or a device more, every later batch and the last step are different.
"""

from __future__ import annotations

import os
import pickle
import shlex
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn

from unscene.config import CONFIG, RunOptions
from unscene.data.catalog import Catalog
from unscene.data.loading import ClipDataset, ItemDataset, StepBatches, estimate_memory
from unscene.device import count_processes
from unscene.encoders import VideoEncoder, read_spec, resolve_encoder
from unscene.encoders.base import Input
from unscene.encoders.foreign import ForeignEncoder
from unscene.encoders.resolving import names_new_encoder
from unscene.encoders.weights import FACTORY, build_encoder
from unscene.errors import UnsceneError
from unscene.files import check_writable
from unscene.methods.base import Method
from unscene.train.config import RunConfig

CHECKPOINT, ENCODER = "last.ckpt", "encoder.safetensors"
# In a checkpoint, beside what Lightning puts there.
PROCESSES, VIDEOS = "processes", "videos"


@dataclass(frozen=True)
class Start:
    """How a training starts.

    Attributes:
        checkpoint: to resume from; None: a new run.
        processes: that share each batch.
    """

    checkpoint: Path | None
    processes: int

    @property
    def resumes(self) -> bool:
        return self.checkpoint is not None


def check_folder(out: str) -> None:
    """Raise UnsceneError if a training could not write to a folder, or to one below it."""
    check_writable(Path(out) / CONFIG)
    try:
        out.encode()
    except UnicodeEncodeError as error:
        raise UnsceneError(
            f"--out {out}: is not UTF-8, and neither torch nor TensorBoard take such a name; give "
            "another --out"
        ) from error


def begin(run: RunOptions, *, resume: bool) -> Start:
    """Check the folder and the processes of a run, before anything is read.

    Raises:
        UnsceneError: OUT cannot be written, is not UTF-8, or holds another run or a saved encoder;
            there is nothing or no whole checkpoint to resume, another number of processes than
            before, or no GPU.
    """
    checkpoint = Path(run.out) / CHECKPOINT
    processes = count_processes(run.devices, run.accelerator)
    check_folder(run.out)
    if resume and not checkpoint.exists():
        raise UnsceneError(
            f"{run.out}: no {CHECKPOINT} to resume from, nothing was saved yet; start again with "
            f"--config {shlex.quote(str(Path(run.out) / CONFIG))} instead of --resume"
        )
    if resume:
        check_processes(checkpoint, processes)
    elif checkpoint.exists():
        raise UnsceneError(
            f"{run.out}: already holds a run; continue it with --resume or give another --out"
        )
    elif (Path(run.out) / ENCODER).exists():
        raise UnsceneError(
            f"{run.out}: already holds an encoder ({ENCODER}), which would be replaced; give "
            "another --out"
        )
    if run.accelerator == "gpu" and not torch.cuda.is_available():
        raise UnsceneError("--accelerator gpu: no GPU is visible here; `unscene doctor` says more")
    return Start(checkpoint if resume else None, processes)


def open_initial_encoder(
    name: str, options: dict[str, Any], reads: Input | None = None
) -> VideoEncoder:
    """Create a new encoder, with weights as torch draws them, or load another one.

    Args:
        name: as `resolve_encoder` takes it.
        options: keyword arguments of an architecture.
        reads: its input, as `resolve_encoder` takes it.

    Raises:
        UnsceneError: there is no such model, it cannot be trained or does not take RGB, or options
            or another input are given for one that is not new.
    """
    resolved = resolve_encoder(name, seed=None, options=options, reads=reads, to_train=True)
    encoder = resolved.encoder
    if encoder.spec.channels != 3:
        raise UnsceneError(f"{name} takes {encoder.spec.channels} channels; videos have 3")
    return encoder


def make_initial_encoder(config: RunConfig, resume: bool) -> VideoEncoder:
    """Return the encoder of a pre-training before its first step, or for its checkpoint to fill.

    Its `spec.trained_on` is the history before this run: empty for a new encoder, else "encoder"
    (the name it was given by) and what it was trained on.

    Raises:
        UnsceneError: as `open_initial_encoder` and `check_clips` raise.
    """
    torch.manual_seed(config.seed)
    new = names_new_encoder(config.encoder)
    own = Path(config.out) / "encoder.json"
    if resume and not new and own.exists():  # the initial one may be gone
        spec = read_spec(own)
        # Only the caller's text can name a factory.
        made = FACTORY in spec.options
        encoder = open_initial_encoder(config.encoder, {}) if made else build_encoder(spec)
        encoder.spec = replace(spec, trained_on=spec.trained_on.get("began", {}))
    else:
        encoder = open_initial_encoder(config.encoder, config.encoder_options, config.input)
        history = {} if new else encoder.spec.trained_on | {"encoder": config.encoder}
        encoder.spec = replace(encoder.spec, trained_on=history)
    check_clips(encoder, config.encoder, config.settings.frames, config.settings.size)
    use_channels_last(encoder)
    return encoder


def use_channels_last(network: nn.Module) -> None:
    """Lay out the weights of 3D convolutions with channels last, which is faster; in place."""
    if not any(parameter.ndim == 4 for parameter in network.parameters()):  # torch refuses those
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def check_clips(encoder: VideoEncoder, name: str, frames: int, size: int) -> None:
    """Raise UnsceneError if the encoder, so called, does not take such clips.

    Weights of a model from outside that its feature does not depend on are frozen.
    """
    if isinstance(encoder, ForeignEncoder):
        encoder.prepare_training(frames, size)
    t, h, w = encoder.minimum
    if frames < t or size < max(h, w):
        raise UnsceneError(
            f"encoder {name} takes clips of at least {t} frames of {max(h, w)} px, and "
            f"--frames {frames} --size {size} make smaller ones: raise them or take another encoder"
        )


def find_compatible_videos(catalog: Catalog, method: Method) -> Catalog:
    """Return the catalog without the videos that the method refuses; their reasons are kept.

    Raises:
        UnsceneError: it refuses all of them.
    """
    left = catalog.exclude(method.refuses)
    if catalog.videos and not left.videos:
        first = method.refuses(catalog.videos[0])
        raise UnsceneError(
            f"{catalog.source}: no video can be used by this method; the first: {first}"
        )
    return left


def describe_pitfalls(catalog: Catalog, method: Method, *, together: int) -> list[str]:
    """Say what may surprise the user of these videos, one sentence each.

    Args:
        together: clips per step, of all processes.
    """
    frames, stride = method.settings.frames, method.settings.stride
    said = []
    videos = len(catalog)
    if together > videos:
        said.append(
            f"a batch of {together} clips shows some of the {videos} videos more than once; a "
            "smaller --batch_size does not"
        )
    least = (frames - 1) * stride + 1
    shorter = [video.frames for video in catalog.videos if video.frames < least]
    if shorter:
        said.append(
            f"{len(shorter)} of {videos} videos are shorter than the {least} frames that a clip of "
            f"{frames} at stride {stride} spans (the shortest has {min(shorter)}): such clips jump "
            "back to the start, which looks like motion; lower --stride or --frames to avoid it"
        )
    learns_from = method.learns_from_vectors()
    inexact = [
        video
        for video in catalog.videos
        if video.info is not None and not video.info.exact and learns_from(video)
    ]
    if inexact:
        said.append(
            f"the motion vectors of {len(inexact)} of {videos} videos may not point to the "
            f"previous frame ({inexact[0].path} is the first): the streams have B-frames, several "
            "references or interlacing; `unscene prepare` writes files whose vectors do, with a "
            "key frame every 12 frames"
        )
    return [f"{catalog.source}: {sentence}" for sentence in said]


def describe_reading(
    run: RunOptions, dataset: ItemDataset, batch_size: int, start: Start
) -> list[str]:
    """Say how much memory batches take, and which videos are shrunk while they are read."""
    batches = StepBatches(len(dataset), batch_size, seed=run.seed, world=start.processes)
    memory = estimate_memory(dataset, batches, start.processes)
    said = [memory.describe(run.workers)]
    if not isinstance(dataset, ClipDataset):
        return said
    limit = dataset.short_side
    shorts = [min(v.info.height, v.info.width) for v in dataset.videos if v.info is not None]
    if limit is not None and (larger := sum(short > limit for short in shorts)):
        said.append(
            f"{larger} of {len(shorts)} videos are large (the largest has a short side of "
            f"{max(shorts)} pixels); they are shrunk to {limit} while they are read (--short_side)"
        )
    return said


def open_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """Open a checkpoint, its tensors left on the disk. Raises UnsceneError if it is incomplete."""
    try:
        return torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, OSError, EOFError) as error:
        raise UnsceneError(
            f"{checkpoint}: is not a complete checkpoint ({str(error).splitlines()[0]}); copy it "
            "again, or start a new run in another --out"
        ) from error


def check_processes(checkpoint: Path, world: int) -> None:
    """Raise UnsceneError unless a checkpoint was trained by as many processes as there are now.

    A checkpoint that does not say is accepted; an incomplete one is not.
    """
    before = open_checkpoint(checkpoint).get(PROCESSES, world)
    if before != world:
        raise UnsceneError(
            f"{checkpoint.parent}: {before} processes (one a device) shared the batches of this "
            f"run, and now there would be {world}: size and order of the batches, the number of "
            f"steps and the learning rate of each step would change. Give --devices {before}, or "
            "begin a new run in another --out."
        )


def check_networks(checkpoint: Path, module: nn.Module) -> None:
    """Raise UnsceneError unless a checkpoint's weights fit; before anything in OUT is written."""
    try:
        module.load_state_dict(open_checkpoint(checkpoint)["state_dict"])
    except RuntimeError as error:
        found = " ".join(str(error).splitlines()[1].split())
        raise UnsceneError(
            f"{checkpoint}: its networks differ from those of this run "
            f"({shorten(found, 160, placeholder=' ...')}). Was its initial encoder trained again, "
            "or is this another version of unscene? Resume with what it started with, or start a "
            "new run in another --out."
        ) from error


def identify_videos(catalog: Catalog) -> Tensor:
    """Return int64 (N,): a number for each video, from its name, file size and segment.

    Labels do not count: no training without labels reads them.
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


def check_same_videos(checkpoint: Path, catalog: Catalog) -> None:
    """Raise UnsceneError unless a checkpoint was trained on these videos, in this order."""
    now = identify_videos(catalog)
    before = open_checkpoint(checkpoint).get(VIDEOS, now)
    if torch.equal(before, now):
        return
    known, here = set(before.tolist()), set(now.tolist())
    came, went = len(here - known), len(known - here)
    counted = f"{came} came and {went} went, one whose file has changed counting as both"
    raise UnsceneError(
        f"{catalog.source}: its videos are not those that {checkpoint.parent} started with: of "
        f"{len(before)}, {counted if came or went else 'all are here, but in another order'}. "
        "Every batch would be different. Put back those videos, or start a new run on the present "
        "ones in another --out."
    )
