"""What counts as evidence: files, and enough of them, and numbers; what an audit leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import controls
import pytest
import torch
from controls import Control
from seeing import Known, brightness, motion
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.base import FEWEST
from unscene.audit.registry import known_measures
from unscene.audit.result import Measured
from unscene.audit.run import audit
from unscene.data.catalog import Catalog, Video
from unscene.data.listing import open_catalog
from unscene.encoders import VideoEncoder, create_encoder
from unscene.errors import UnsceneError
from unscene.results.statistics import share

pytestmark = pytest.mark.slow

ALL = tuple(known_measures())


def narrow() -> VideoEncoder:
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=4)
    encoder.spec = replace(encoder.spec, frames=8, stride=2, size=36)
    return encoder


def listed(folder: Path, rows: Sequence[str]) -> Catalog:
    (folder / "list.csv").write_text("\n".join(["path,label,start,end", *rows]))
    return open_catalog(folder / "list.csv")


def segments(videos: Sequence[Video], folder: Path) -> Catalog:
    """Three segments of each."""
    return listed(
        folder,
        [
            f"{v.path},{v.columns['motion']},{k / 10},{k / 10 + 0.7}"
            for v in videos
            for k in range(3)
        ],
    )


def run_measure(encoder: VideoEncoder, footage: Footage, name: str) -> tuple[Measured, list[int]]:
    """What a measure found, and the files that it took down."""
    measure = known_measures()[name](FeatureExtractor(encoder), footage)
    for batch in footage.batches(encoder.spec):
        measure.update(batch)
    return measure.compute(), getattr(measure, "owner", None) or getattr(measure, "files", [])


# -- files -----------------------------------------------------------------------------------------


def test_segments_of_a_file_are_no_evidence_of_their_own(places: Footage, tmp_path: Path) -> None:
    footage = Footage(segments(places.videos[:8], tmp_path), label="label")
    assert footage.files.tolist() == [k // 3 for k in range(24)]
    assert Footage(places.catalog).files.tolist() == list(range(len(places.videos)))
    for name in ("swap", "time"):
        found, files = run_measure(Control(controls.looks), footage, name)
        assert len(files) == 24
        assert set(files) == set(range(8))
        assert {score.n for score in found.scores.values()} == {8}
        for row in found.details.get("altered", {}).values():
            assert row["n"] == 8
    found, _ = run_measure(Control(controls.averaged_frames), footage, "swap")
    order = torch.full((8,), 0.5, dtype=torch.float64).numpy()
    assert found.scores["order"] == share(order, footage.files[::3])  # as wide as of 8 files
    for name in ("where", "adversarial"):
        found, files = run_measure(Known(motion, size=48), footage, name)
        assert found.scores
        assert set(files) == set(range(8))


def test_a_file_that_is_named_thrice_is_one(places: Footage, tmp_path: Path) -> None:
    """By another name, or by a link: the interval stays as wide."""
    rows = []
    for k, video in enumerate(places.videos[:8]):
        (tmp_path / f"{k}.mp4").symlink_to(video.path)
        rows += [f"{video.path},,,", f"{k}.mp4,,,", f"{k}.mp4,,0,1.28"]
    once = Footage(replace(places.catalog, videos=places.videos[:8]))
    thrice = Footage(listed(tmp_path, rows))
    one, three = (
        run_measure(Known(brightness, size=48), f, "where")[0].scores for f in (once, thrice)
    )
    for name in ("auc", "gain", "share"):
        assert three[name].value == pytest.approx(one[name].value, abs=0.02)
        assert three[name].ci95 == pytest.approx(one[name].ci95, abs=0.02)


# -- enough of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [False, True])
def test_from_a_handful_of_files_nothing_is_concluded(
    cut: bool, places: Footage, tmp_path: Path
) -> None:
    """Seven videos, or three segments of each."""
    few = places.videos[: FEWEST - 1]
    catalog = segments(few, tmp_path) if cut else replace(places.catalog, videos=few)
    label = "label" if cut else "motion"
    (model,) = audit(catalog, [Known(motion, size=48)], label=label, device="cpu").models
    assert [found.name for found in model.measures] == list(ALL)
    for found in model.measures:
        if found.name == "distinctions":  # rests on generated figures, not on the videos
            continue
        assert not found.scores
        if found.name != "response":  # for which these move too steadily
            # One of the seven is alone in its class.
            count = 6 if found.name == "reliance" else 7
            assert f"only {count} video files" in found.absent
            assert "at least 8" in found.absent
    assert (model.verdict.value, model.verdict.finding) == (None, "none")
    assert "only 7 video files in all, and an interval takes at least 8" in model.verdict.sentence


def test_eight_are_enough(places: Footage) -> None:
    catalog = replace(places.catalog, videos=places.videos[:FEWEST])
    wanted = [name for name in ALL if name != "response"]
    found = audit(catalog, [Known(motion, size=48)], label="motion", measures=wanted, device="cpu")
    for measured in found.models[0].measures:
        assert measured.scores, measured.absent
    assert found.models[0].verdict.n == 8


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in ALL if name != "response"])
def test_weights_that_are_no_numbers_stop_every_measure(name: str, places: Footage) -> None:
    encoder = narrow()
    for parameter in list(encoder.parameters())[-2:]:
        parameter.data.fill_(float("nan"))
    with pytest.raises(UnsceneError, match="are not finite numbers"):
        audit(places.catalog, [encoder], label="motion", measures=[name], videos=8, device="cpu")


# -- and the encoder comes back --------------------------------------------------------------------


class Moved(Control):
    """Has a weight that nobody reads, on a device that an audit leaves."""

    def __init__(self, function: controls.Function) -> None:
        super().__init__(function)
        self.weight = torch.nn.Parameter(torch.empty(1, device="meta"))

    def to(self, device: object) -> Moved:  # type: ignore[override]
        self.weight = torch.nn.Parameter(torch.empty(1, device=str(device)))
        return self


def broken(clip: Tensor) -> Tensor:
    return clip.mean(dim=(2, 3, 4)) * float("nan")


@pytest.mark.parametrize("function", [controls.constant, broken])
def test_an_encoder_comes_back_as_it_was(function: controls.Function, places: Footage) -> None:
    trained, moved = narrow().train(), Moved(function).train()
    for module in list(trained.modules())[3:7]:
        module.training = False  # batch norm that somebody froze
    modes = [module.training for module in trained.modules()]
    catalog = replace(places.catalog, videos=places.videos[:2])
    try:
        audit(catalog, [trained, moved, trained], measures=["swap"], device="cpu")
    except UnsceneError:
        assert function is broken
    assert [module.training for module in trained.modules()] == modes
    assert moved.training
    assert moved.weight.device.type == "meta"
