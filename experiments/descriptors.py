"""What do encoders reach that need no training, on the footage of the other experiments?

    python experiments/descriptors.py scenes --seeds 0 1 2 --correlations 0.9
    python experiments/descriptors.py real --footage brightened
    python experiments/descriptors.py audit-scenes --seeds 0 1 2
    python experiments/descriptors.py audit-real --footage brightened

`scenes` is moving_scenes.py, `real` is real_scenes.py, and the two audits are audit_controls.py and
audit_real.py, with `hof`, `mbh`, `hof+mbh`, `energy` and `color` (encoders/descriptors.py) in place
of trained encoders. They take their own clips: 16 frames at stride 2, 80 pixels (`color`: 2 frames
at stride 8, 32 pixels). The flow of a clip is computed once for all of them.

A descriptor has no seed: that of its rows is the footage's, where footage has one. Rows go to
experiments/rows/descriptors.jsonl.gz. What is in that file is not run again. Retrieval by cosine is
of raw features, as for trained encoders; rows with "standardize" are of features less the mean of
the gallery, divided by its deviation.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import product
from pathlib import Path
from typing import Any

import torch
from audit_controls import ASKED, BATCH, audit_rows
from generated import scenes
from moving_scenes import decoupled, score_scenes
from real_scenes import extract_places, score_places
from real_tables import LIT, catalogs
from torch import Tensor
from trained import ROWS, append_and_show, footage_here, rows_in

from unscene.audit.run import audit
from unscene.demo.run import CLIPS
from unscene.encoders import VideoEncoder, create_encoder, descriptors
from unscene.encoders.flow_input import read_flow
from unscene.encoders.resolving import ResolvedEncoder
from unscene.evaluate.features import Features, extract_together
from unscene.results.rows import Row

_MINIMUM = (2, 32, 32)
# Columns of what `SharedFlow` computes: hof+mbh and energy.
COLUMNS = {"hof": slice(9), "mbh": slice(9, 27), "hof+mbh": slice(27), "energy": slice(27, 43)}
PLACES_CLIPS = 4  # per video, as in real_scenes.py


class SharedFlow:
    """The descriptors of flow together. The same clips are described once, whoever asks."""

    def __init__(self) -> None:
        self._parts = [create_encoder(name) for name in ("hof+mbh", "energy")]
        self._known: dict[bytes, Tensor] = {}
        self._last: tuple[Tensor, Tensor] | None = None
        descriptors.read_flow = self._read_flow  # type: ignore[assignment]

    def __call__(self, clip: Tensor) -> Tensor:
        """(B, 43): hof, mbh and energy of clips (B, 3, T, H, W)."""
        key = blake2b(clip.contiguous().numpy().tobytes(), digest_size=16).digest()
        if key not in self._known:
            self._known[key] = torch.cat([part(clip) for part in self._parts], dim=1)
        return self._known[key]

    def _read_flow(self, clip: Tensor, *normalization: Any, **how: Any) -> Tensor:
        if self._last is None or self._last[0] is not clip:
            self._last = clip, read_flow(clip, *normalization, **how)
        return self._last[1]


class Part(VideoEncoder):
    """A descriptor that takes its numbers from the shared ones; the same as the descriptor."""

    def __init__(self, name: str, shared: SharedFlow) -> None:
        spec = create_encoder(name).spec
        super().__init__(spec, stage_dims=(spec.dim,), minimum=_MINIMUM)
        self._shared = shared

    def forward(self, clip: Tensor) -> Tensor:
        """Features (B, D)."""
        return self._shared(clip)[:, COLUMNS[self.spec.name]]


def groups() -> list[list[VideoEncoder]]:
    """All descriptors; those of a group take the same clips."""
    shared = SharedFlow()
    return [[Part(name, shared) for name in COLUMNS], [create_encoder("color")]]


def run_scenes(args: argparse.Namespace) -> None:
    """Rows of generated footage. The test videos of a seed are the same at all correlations."""
    encoders = groups()
    for seed in args.seeds:
        tested: list[dict[str, Features]] = [{} for _ in range(5)]
        for correlation in args.correlations:
            test = {"correlation": correlation, "note": ""}
            if _known(args.out, "moving scenes", seed, **test):
                continue
            footage = scenes(args.work, correlation, seed)
            wanted = [split for split in footage if split == "train" or not tested[0]]
            for split in wanted:
                found = [
                    one
                    for group in encoders
                    for one in extract_together(
                        group, footage[split].videos, clips=CLIPS, batch_size=16, workers=1
                    )
                ]
                for kept, of_split in zip(tested, found, strict=True):
                    kept[split] = of_split
            rows: list[Row] = []
            for encoder, features in zip(_flat(encoders), tested, strict=True):
                for apart in ({}, {"standardize": True}):
                    rows += score_scenes(encoder.spec, features, footage, seed, test | apart)
                if encoder.spec.frames > 2 and args.decouple:
                    rows += decoupled(encoder, footage["unseen"], seed, test)
            append_and_show(args.out, rows, f"{correlation} seed {seed}")


def run_real(args: argparse.Namespace) -> None:
    """Rows of real footage."""
    test = {"note": _note(args)}
    if _known(args.out, "arid6", 0, **test):
        return
    tables = catalogs(args.footage, args.work)
    found = [one for group in groups() for one in extract_places(group, tables, PLACES_CLIPS)]
    rows = [
        row
        for spec, features in found
        for apart in ({}, {"standardize": True})
        for row in score_places(spec, features, tables, PLACES_CLIPS, 0, test | apart)
    ]
    append_and_show(args.out, rows, args.footage)


def run_audit_scenes(args: argparse.Namespace) -> None:
    """Rows of the audit on generated footage."""
    for seed, encoder in product(args.seeds, _flat(groups())):
        test = {"note": "", "videos": args.videos}
        if _known(args.out, "moving scenes", seed, encoder.spec.name, **test):
            continue
        found = audit(
            scenes(args.work, 0.9, seed)["unseen"],
            [ResolvedEncoder(encoder, encoder.spec.name, "")],
            label="motion",
            measures=ASKED,
            videos=args.videos,
            seed=seed,
            batch_size=BATCH,
            baseline=False,
        )
        rows = audit_rows(found, seed, data="moving scenes", split="unseen", test=test)
        append_and_show(args.out, rows, f"audit, seed {seed}")


def run_audit_real(args: argparse.Namespace) -> None:
    """Rows of the audit on ARID's training videos."""
    videos = catalogs(args.footage, args.work)["arid6-train"]
    test = {"note": _note(args), "batch_size": BATCH}
    for encoder in _flat(groups()):
        if _known(args.out, "arid6", 0, encoder.spec.name, **test):
            continue
        opened = [ResolvedEncoder(encoder, encoder.spec.name, "")]
        found = audit(videos, opened, measures=("swap", "time"), batch_size=BATCH, baseline=False)
        rows = audit_rows(found, 0, data="arid6", split="train", test=test)
        append_and_show(args.out, rows, f"audit, {args.footage}")


def _flat(encoders: Sequence[Sequence[VideoEncoder]]) -> Iterator[VideoEncoder]:
    return (encoder for group in encoders for encoder in group)


def _note(args: argparse.Namespace) -> str:
    return "" if args.footage == "original" else str(args.footage)


def _known(path: Path, data: str, seed: int, method: str = "hof", **test: Any) -> bool:
    """Whether there are rows of a descriptor already, of this footage and these settings."""
    return any(
        (row["data"], row["seed"], row["method"]) == (data, seed, method)
        and all(row["test"].get(name) == value for name, value in test.items())
        for row in rows_in(path)
    )


_RUNS = {
    "scenes": run_scenes,
    "real": run_real,
    "audit-scenes": run_audit_scenes,
    "audit-real": run_audit_real,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=list(_RUNS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--correlations", type=float, nargs="+", default=[0.9])
    parser.add_argument("--decouple", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--videos", type=int, default=200, help="of an audit of generated footage")
    parser.add_argument("--footage", choices=LIT, default="original")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs", "descriptors"))
    parser.add_argument("--out", type=Path, default=ROWS / "descriptors.jsonl.gz")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.what in ("scenes", "audit-scenes") or footage_here():
        _RUNS[args.what](args)


if __name__ == "__main__":
    main()
