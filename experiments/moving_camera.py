"""What does taking the camera out bring: to estimates, to descriptors, to what is trained?

    python experiments/moving_camera.py error
    python experiments/moving_camera.py train --seeds 0 1 2
    python experiments/moving_camera.py scenes --seeds 0 1 2
    python experiments/moving_camera.py real

`error` compares the estimated camera with the true one of generated footage, from DIS flow and from
the codec's vectors. `train` pre-trains DSM (Triplet) and unscene on moving scenes under a moving
camera, with the camera's motion in what they scale and predict or taken out, and evaluates them
beside the untrained encoder; `scenes` evaluates descriptors of flow there, with the camera in or
out, `real` on ARID. Rows go to experiments/rows/moving_camera.jsonl.gz; what is there is not run
again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import torch
from descriptors import PLACES_CLIPS
from generated import scenes, training
from moving_scenes import score_scenes
from real_scenes import extract_places, score_places
from real_tables import LIT, catalogs
from torch import Tensor
from trained import ROWS, append, append_and_show, footage_here, rows_in

from unscene.data.catalog import Catalog
from unscene.demo.run import CLIPS, FOOTAGE
from unscene.encoders import VideoEncoder, create_encoder
from unscene.encoders.flow_input import read_flow
from unscene.evaluate.features import Features, extract_together
from unscene.motion.camera import (
    CameraMotion,
    estimate_camera,
    stabilize_flow,
    stabilize_vectors,
)
from unscene.motion.flow import flow_between
from unscene.motion.histograms import hof, mbh
from unscene.results.rows import Row
from unscene.results.statistics import score
from unscene.synthetic import figure_scenes, plan
from unscene.synthetic.generate import FigureScenes, MovingScenes, encode_video
from unscene.video.decode import read_clips
from unscene.video.motion_vectors import MotionBatch
from unscene.video.sampling import Request

# The largest motion of the camera, before objects of 2 to 4 px/frame.
CAMERA: dict[str, Any] = {"pan": 3, "zoom": 0.01, "rotation": 1, "shake": 0.5}
NOTE, CORRELATION = "moving camera", 0.9
SYSTEMS = ("unscene", "triplet")
SETTINGS: dict[str, Any] = {"batch_size": 16, "workers": 0}  # else those of the demo
# Columns of `Histograms`.
DESCRIBED = {
    "hof": slice(9),
    "hof+mbh": slice(27),
    "hof-camera-in": slice(27, 36),
    "hof+mbh-camera-in": slice(27, 54),
}
# Videos that are evaluated; motions take turns, so each has as many.
EVALUATED = {"train": 320, "seen": 80, "unseen": 400}
VIDEOS = 8  # of each motion of the camera whose estimate is compared with the truth


class Histograms:
    """hof and mbh of clips, of flow without and with the camera; of the same clips once."""

    def __init__(self) -> None:
        self._last: tuple[Tensor, Tensor] | None = None

    def __call__(self, clip: Tensor) -> Tensor:
        """(B, 54): 9 numbers of hof and 18 of mbh, camera out; the same, camera in."""
        if self._last is None or self._last[0] is not clip:
            flow = read_flow(clip, (0.0,) * 3, (1.0,) * 3, stabilize=False)
            stable = stabilize_flow(flow, aspect=flow.shape[-2] / flow.shape[-3])
            maps = [kind(one, (4, 4)) for one in (stable, flow) for kind in (hof, mbh)]
            self._last = clip, torch.cat(maps, dim=2).square().mean(dim=(1, 3, 4)).sqrt()
        return self._last[1]


class Part(VideoEncoder):
    """A descriptor that takes its numbers from the shared ones."""

    def __init__(self, name: str, shared: Histograms) -> None:
        spec = create_encoder(name.partition("-")[0]).spec
        spec = replace(spec, trained_on={"method": name})
        super().__init__(spec, stage_dims=(spec.dim,), minimum=(2, 32, 32))
        self.columns, self._shared = DESCRIBED[name], shared

    def forward(self, clip: Tensor) -> Tensor:
        """Features (B, D)."""
        return self._shared(clip)[:, self.columns]


def run_train(args: argparse.Namespace) -> None:
    """Rows of encoders trained on moving scenes under a moving camera."""
    runs = training(args.work, f"{CORRELATION}-camera", SETTINGS | {"max_steps": args.steps})
    for system, seed in product(SYSTEMS, args.seeds):
        methods = [f"{system}-camera-{where}" for where in ("in", "out")]
        if not _known(args.out, "random", seed):
            methods.insert(0, "random")
        if _known(args.out, methods[-1], seed):
            continue
        footage = scenes(args.work, CORRELATION, seed, "camera", CAMERA)
        encoders = {method: runs.encoder(method, footage["train"], seed) for method in methods}
        _evaluate(args.out, encoders, footage, seed)


def run_scenes(args: argparse.Namespace) -> None:
    """Rows of descriptors on the same videos."""
    for seed in args.seeds:
        if _known(args.out, "hof", seed):
            continue
        footage = scenes(args.work, CORRELATION, seed, "camera", CAMERA)
        shared = Histograms()
        _evaluate(args.out, {name: Part(name, shared) for name in DESCRIBED}, footage, seed)
        _evaluate(args.out, {"color": create_encoder("color")}, footage, seed)


def _evaluate(
    out: Path, encoders: Mapping[str, VideoEncoder], footage: dict[str, Catalog], seed: int
) -> None:
    """Append rows of encoders that take the same clips."""
    some = {k: replace(c, videos=c.videos[: EVALUATED[k]]) for k, c in footage.items()}
    found: list[dict[str, Features]] = [{} for _ in encoders]
    for split, catalog in some.items():
        of_split = extract_together(
            list(encoders.values()), catalog.videos, clips=CLIPS, batch_size=32
        )
        for one, own in zip(of_split, found, strict=True):
            own[split] = one
    for (name, encoder), features in zip(encoders.items(), found, strict=True):
        for apart in ({}, {"standardize": True}) if name in DESCRIBED else ({},):
            test = {"correlation": CORRELATION, "note": NOTE} | apart
            rows = score_scenes(encoder.spec, features, some, seed, test)
            append_and_show(out, rows, method=name)


def run_real(args: argparse.Namespace) -> None:
    """Rows of descriptors on ARID, the camera in or out."""
    note = "" if args.footage == "original" else args.footage
    if _known(args.out, "hof", 0, note):
        return
    tables = catalogs(args.footage, args.work)
    tables = {name: tables[name] for name in ("arid6-train", "arid6-test")}
    shared = Histograms()
    encoders = [Part(name, shared) for name in DESCRIBED]
    places = extract_places(encoders, tables, PLACES_CLIPS)
    for name, (spec, features) in zip(DESCRIBED, places, strict=True):
        for apart in ({}, {"standardize": True}):
            test = {"note": note} | apart
            rows = score_places(spec, features, tables, PLACES_CLIPS, 0, test)
            append_and_show(args.out, rows, method=name)


def run_error(args: argparse.Namespace) -> None:
    """Rows of the error of the estimated camera, mean over the frame, in px of the frame."""
    if any(row["metric"] == "camera_error_px" for row in rows_in(args.out)):
        return
    still = dict.fromkeys(CAMERA, 0)
    plain = replace(FOOTAGE, frames=16)
    for name in ("still", *CAMERA, "all"):
        some = CAMERA if name == "all" else {k: v for k, v in CAMERA.items() if k == name}
        spec = replace(plain, **(still | some))
        append(args.out, list(_measure(spec, plan, "moving scenes", name)))
    for name in ("still", *figure_scenes.CAMERA, "all"):
        cameras = figure_scenes.CAMERA if name == "all" else (name,) if name != "still" else ()
        figures = FigureScenes(frames=16, camera=cameras)
        append(args.out, list(_measure(figures, figure_scenes, "figures", name)))


def _measure(
    spec: MovingScenes | FigureScenes, kind: ModuleType, data: str, camera: str
) -> Iterator[Row]:
    """Rows of one kind of camera motion: "none" is the error of taking it to stand still."""
    errors: dict[str, list[float]] = {"none": [], "dis": [], "vectors": []}
    for index in range(VIDEOS):
        pixels = kind.render_video(spec, "train", index)[0]
        true = torch.from_numpy(kind.get_camera(spec, "train", index)).float()
        with TemporaryDirectory() as folder:
            path = Path(folder, "a.mp4")
            encode_video(path, pixels, fps=spec.fps)
            request = Request(0.0, {"clip": tuple(range(spec.frames))}, motion=("clip",))
            clip = read_clips(path, request)["clip"]
        assert clip.motion is not None
        flow = torch.from_numpy(flow_between(clip.y.numpy(), "medium"))
        vectors = MotionBatch.of([clip.motion])
        # What was taken out, where there are vectors: those of the first frame point nowhere.
        taken = vectors.vectors.float() - stabilize_vectors(vectors).vectors.float()
        grid = vectors.valid.shape[2:]
        place = CameraMotion(true, torch.ones(len(true)))
        pixel = torch.tensor([spec.size / 2] * 2)
        off = (taken[0, 1:] - place.flow((grid[0], grid[1])) * pixel).norm(dim=-1)
        has = vectors.valid[0, 1:]
        size = (spec.size, spec.size)
        found = estimate_camera(flow).flow(size) - place.flow(size)
        errors["none"].append(float((place.flow(size) * pixel).norm(dim=-1).mean()))
        errors["dis"].append(float((found * pixel).norm(dim=-1).mean()))
        errors["vectors"].append(float(off[has].mean()))
    for name, values in errors.items():
        mean = score(np.array(values), shares=False)
        about = {"camera": camera, "size": spec.size, "frames": spec.frames}
        yield Row(
            name, data, "train", "camera", "camera_error_px", mean.value, mean.ci95, mean.n, 0, 0.0,
            test=about,
        )  # fmt: skip
        print(f"{data} {camera:<9} {name:<8} {mean.value:.3f} {mean.ci95}", flush=True)


def _known(path: Path, method: str, seed: int, note: str = NOTE) -> bool:
    """Whether there are rows of a method already."""
    wanted = (method, seed, note)
    return any((r["method"], r["seed"], r["test"].get("note")) == wanted for r in rows_in(path))


_RUNS = {"error": run_error, "train": run_train, "scenes": run_scenes, "real": run_real}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=list(_RUNS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--footage", choices=LIT, default="original")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs", "moving_camera"))
    parser.add_argument("--out", type=Path, default=ROWS / "moving_camera.jsonl.gz")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.what != "real" or footage_here():
        _RUNS[args.what](args)


if __name__ == "__main__":
    main()
