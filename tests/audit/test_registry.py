"""A measure is one file: found in its folder, or named from outside of the package."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

import pytest

from unscene.audit import measures
from unscene.audit.footage import Footage
from unscene.audit.registry import find_measures, known_measures
from unscene.cli.main import main
from unscene.errors import UnsceneError

BRIGHTNESS = """
import numpy as np
import torch.nn.functional as F
from unscene.audit.measures.base import Measure
from unscene.audit.report.words import ScoreWords, Words
from unscene.audit.result import Measured
from unscene.results.statistics import score


class Brightness(Measure):
    name = "brightness"
    order = 1.5
    words = Words(
        "Do its features depend on brightness?",
        how="Clips at half the brightness.",
        scores={"same": ScoreWords("Similar when dark", kind="number")},
        headline="same",
        outcomes=(("robust", "good"), ("undecided", "open"), ("depends", "bad")),
        even=0.9,
    )

    def __init__(self, extractor, footage):
        super().__init__(extractor, footage)
        self.cosines, self.files = [], []

    def update(self, batch):
        dark = self.extractor.features(0.5 * self.extractor.center(batch))
        self.cosines += F.cosine_similarity(dark, self.extractor.anchors(batch)).tolist()
        self.files += self.footage.file_of(batch).tolist()

    def compute(self):
        found = score(np.array(self.cosines), videos=np.array(self.files), shares=False)
        return Measured(self.name, {"same": found}, details={"left_out": {"nothing": 2}})

    @classmethod
    def sentence(cls, measured):
        return cls.words.phrase(measured, "same", "is robust", "may be robust", "depends") + "."


class Other(Brightness):
    pass


class Unfinished(Measure):
    name = "unfinished"
"""
MODELS = """
def pixels():
    return lambda x: x.mean(dim=2)[..., ::6, ::6].flatten(1), {"frames": 8, "stride": 2, "size": 36}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "toymeasure.py").write_text(BRIGHTNESS)
    (tmp_path / "toymodels.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    for name in ("toymeasure", "toymodels"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_every_file_of_the_folder_is_a_measure() -> None:
    known = known_measures()
    assert list(known) == [
        *("swap", "time", "distinctions", "reliance", "where", "response", "adversarial")
    ]
    files = {path.stem for path in Path(measures.__path__[0]).glob("*.py")}
    assert files == {*known, "base", "__init__"}
    for name, kind in known.items():
        assert Path(inspect.getfile(kind)).stem == name


def test_a_measure_from_outside_is_in_the_report(folder: Path, places: Footage) -> None:
    videos = [video.path for video in places.videos[:9]]
    (folder / "videos.csv").write_text("\n".join(["path,label", *(f"{v},a" for v in videos)]))
    arguments = ["audit", "videos.csv", "--encoder", "toymodels:pixels", "--workers", "0"]
    arguments += ["--measures", "[time,toymeasure:Brightness,swap]", "--out", "out"]
    assert main(arguments) == 0
    found = json.loads((folder / "out" / "audit.json").read_text())
    assert found["configuration"]["measures"] == ["time", "toymeasure:Brightness", "swap"]
    names = [measured["name"] for measured in found["models"][0]["measures"]]
    assert names == ["swap", "brightness", "time"]  # by their order, not as they were given
    brightness = found["models"][0]["measures"][1]
    assert brightness["scores"]["same"]["n"] == 9
    assert brightness["forwards"] == 9
    page = (folder / "out" / "report.html").read_text()
    for text in (
        "Do its features depend on brightness?",
        "Clips at half the brightness.",
        "Similar when dark",
        "● robust",
        "is robust (0.99" if brightness["scores"]["same"]["value"] < 0.995 else "is robust (1.00",
        "nothing: 2",
    ):
        assert text in page


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no measures: choose from swap, time"),
        (["swop"], "unknown measure 'swop'; did you mean swap?"),
        (["nomodule:Any"], "measure 'nomodule:Any': No module named 'nomodule'"),
        (["toymeasure:Nothing"], "has no attribute 'Nothing'; write package.module:Class"),
        (["json:JSONDecoder"], "must be a subclass of unscene.audit.measures.base.Measure"),
        (["toymeasure:Unfinished"], "has no words and no compute and no update"),
        (["toymeasure:Brightness", "toymeasure:Other"], "another measure is called 'brightness'"),
    ],
)
def test_what_is_no_measure_is_refused(names: list[str], message: str, folder: Path) -> None:
    with pytest.raises(UnsceneError, match=message.replace("?", r"\?")):
        find_measures(names)
