"""`unscene audit`, from DATA and models to audit.json."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import controls
import pytest
import torch
from controls import Control

from media import pan, write
from unscene.audit.footage import Footage
from unscene.audit.measures.swap import Swap
from unscene.audit.registry import known_measures
from unscene.audit.report.page import render
from unscene.audit.report.words import ScoreWords
from unscene.audit.result import Audit, Measured, ModelAudit, Verdict
from unscene.audit.run import audit, compare, judge
from unscene.cli.main import main
from unscene.encoders import EncoderSpec, load_encoder, make_untrained_twin
from unscene.encoders.foreign import adapt
from unscene.encoders.resolving import ResolvedEncoder
from unscene.errors import UnsceneError
from unscene.results.statistics import Score

_MODELS = """
from dataclasses import replace
import torch
from unscene.encoders import create_encoder
def narrow():
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=4)
    encoder.spec = replace(encoder.spec, frames=8, stride=2, size=36)
    return encoder
def pixels():
    return lambda x: x.mean(dim=2)[..., ::6, ::6].flatten(1), {"frames": 8, "stride": 2, "size": 36}
"""


@pytest.fixture
def work(places: Footage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten videos in class folders, one of them broken, and two models beside them."""
    for k, video in enumerate(places.videos[:10]):
        folder = tmp_path / "videos" / video.columns["motion"]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(video.path, folder / f"{k}.mp4")
    (tmp_path / "videos" / "up" / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "auditmodels.py").write_text(_MODELS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_encoder_and_one_measure_need_no_list(work: Path) -> None:
    """A torch module is taken as it is; nn.Sequential could be mistaken for a list."""
    module = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 3), torch.nn.ReLU())
    options = {"frames": 8, "stride": 2, "size": 36}
    for encoders in ((module, options), adapt(module, **options), [(module, options)]):
        found = audit("videos", encoders, measures="swap", videos=2)
        assert [model.spec.dim for model in found.models] == [4]
        assert [one.name for one in found.models[0].measures] == ["swap"]
    with pytest.raises(UnsceneError, match="'r3d180': no such file or folder"):
        audit("videos", "r3d180")
    with pytest.raises(UnsceneError, match="unknown measure 'swaps'; did you mean swap"):
        audit("videos", module, measures="swaps")
    with pytest.raises(UnsceneError, match="nothing to audit"):
        audit("videos", [])


@pytest.mark.slow
def test_the_command(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["audit", "videos", "--encoder", "auditmodels:narrow"]
    arguments += ["--encoder", "px=auditmodels:pixels", "--out", "out", "--workers", "0"]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert "1 skipped" in shown.err
    found = json.loads((work / "out" / "audit.json").read_text())
    assert (found["format"], found["unscene"]) == (3, "0.1.0")
    assert found["data"]["videos"] == 10
    assert [Path(s["path"]).name for s in found["data"]["skipped"]] == ["broken.mp4"]
    assert (found["data"]["label"], found["data"]["classes"]) == ("label", 4)
    assert found["configuration"]["seed"] == 0
    narrow, pixels = found["models"]
    assert (narrow["name"], pixels["name"]) == ("narrow", "px")
    assert (narrow["trained"], pixels["trained"]) == (None, None)  # nothing says so
    for model in (narrow, pixels):
        measures = {measured["name"]: measured for measured in model["measures"]}
        assert list(measures) == list(known_measures())
        assert all("pictures" not in measured for measured in measures.values())
        swap = measures["swap"]["scores"]
        weaker = min(swap.values(), key=lambda score: score["value"])
        assert model["verdict"]["value"] == weaker["value"]
        assert model["verdict"]["measure"] == "swap"
        assert model["verdict"]["coverage"] == {"measured": 10, "of": 10, "left_out": {}}
        assert f"{model['verdict']['sentence']} Evaluated on 10 of 10 videos." in shown.out
        assert model["forwards"] == sum(m["forwards"] for m in measures.values())
        assert model["seconds"] > 0
        EncoderSpec.from_json(model["spec"])
    assert pixels["measures"][0]["scores"]["order"]["value"] == 0.5
    assert narrow["untrained_twin"]["trained"] is False
    assert "it is a function" in pixels["no_twin"]
    page = (work / "out" / "report.html").read_text()
    assert "narrow" in page
    assert "px" in page


@pytest.mark.parametrize(("below", "status"), [("0", 0), ("0.6", 3), ("1", 3)])
def test_fail_below(
    below: str, status: int, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The average of frames has a verdict of at most a half."""
    arguments = ["audit", "videos", "--encoder", "auditmodels:pixels", "--workers", "0"]
    arguments += ["--measures", "[swap]", "--out", "out", "--fail-below", below]
    assert main(arguments) == status
    assert ("a verdict is below" in capsys.readouterr().err) == bool(status)
    assert (work / "out" / "audit.json").exists()


def test_no_verdict_is_below_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "videos").mkdir()
    write(tmp_path / "videos" / "pan.mp4", pan(40))
    (tmp_path / "auditmodels.py").write_text(_MODELS)
    monkeypatch.chdir(tmp_path)
    arguments = ["audit", "videos", "--encoder", "auditmodels:pixels", "--workers", "0"]
    arguments += ["--measures", "[swap]", "--out", "out", "--fail-below", "0"]
    assert main(arguments) == 3
    verdict = json.loads((tmp_path / "out" / "audit.json").read_text())["models"][0]["verdict"]
    assert verdict["value"] is None
    assert "only 1 video file in all" in verdict["sentence"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--encoder", "nothing"], "no such file or folder"),
        (["--encoder", "auditmodels:pixels", "--fail-below", "3"], "from 0 to 1"),
        (
            ["--encoder", "auditmodels:pixels", "--measures", "[look]"],
            "unknown measure 'look'. Known: swap, time",
        ),
        (["--encoder", "auditmodels:pixels", "--videos", "0"], "videos 0: must be at least 1"),
        (["--encoder", "auditmodels:pixels", "--label", "mood"], "no label column 'mood'"),
        (
            ["--encoder", "auditmodels:pixels", "--batch_size", "1"],
            "batch_size 1: must be at least 2",
        ),
    ],
)
def test_mistakes_show_at_once(
    more: list[str], message: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "videos", "--out", "out", *more]) == 1
    assert message in capsys.readouterr().err
    assert not (work / "out").exists()


def test_results_are_not_overwritten(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["audit", "videos", "--encoder", "auditmodels:pixels", "--workers", "0"]
    arguments += ["--measures", "[swap]", "--out", "out"]
    assert main(arguments) == 0
    before = {path.name: path.read_bytes() for path in (work / "out").iterdir()}
    assert set(before) == {"audit.json", "report.html"}
    assert main([*arguments, "--seed", "1"]) == 1
    assert "out/audit.json: is there already; pass --overwrite" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (work / "out").iterdir()} == before
    assert main([*arguments, "--seed", "1", "--overwrite"]) == 0
    assert json.loads((work / "out" / "audit.json").read_text())["configuration"]["seed"] == 1


@pytest.mark.parametrize("error", [UnsceneError("stop"), KeyboardInterrupt()])
@pytest.mark.parametrize("when", ["update", "compute", "charts"])
def test_an_audit_that_fails_leaves_nothing(
    when: str, error: BaseException, places: Footage, tmp_path: Path
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Swap, when, fail)
        with pytest.raises(type(error)):
            audit(places.catalog, [Control(controls.looks)], measures=["swap"], videos=8, out=out)
    assert not out.exists()


def test_models_of_one_name_and_one_window(places: Footage) -> None:
    catalog = replace(places.catalog, videos=places.videos[:10])
    read: list[int] = []
    shown: list[int] = []

    def counted(clip: Any) -> Any:
        shown.append(len(clip))
        return clip.mean(dim=(2, 3, 4))

    encoders = [Control(counted), Control(counted), Control(counted, size=40)]
    opened = [ResolvedEncoder(encoder, "same", "") for encoder in encoders]
    original = Footage.batches

    def batches(footage: Footage, spec: EncoderSpec) -> Any:
        read.append(spec.size)
        return original(footage, spec)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Footage, "batches", batches)
        found = audit(catalog, opened, measures=["time"], videos=8, seed=1)
    assert [model.name for model in found.models] == ["same", "same (2)", "same (3)"]
    assert read == [48, 40]  # once for both that want the same windows
    assert found.data["videos"] == 8
    assert found.models[0].verdict.n == 8
    assert sum(model.forwards for model in found.models) == sum(shown)
    assert found.models[0].measures == found.models[1].measures
    assert found.data["label"] == "label"


def _sequential() -> tuple[torch.nn.Module, dict[str, Any]]:
    """A model from outside, with maps."""
    torch.manual_seed(5)
    layers = torch.nn.Conv3d(3, 6, 3, stride=(1, 2, 2)), torch.nn.ReLU(), torch.nn.Conv3d(6, 8, 3)
    return torch.nn.Sequential(*layers), {"frames": 8, "stride": 2, "size": 36, "name": "mine"}


def test_a_model_stands_beside_its_untrained_twin(places: Footage, tmp_path: Path) -> None:
    """The same architecture, clips and footage, which is read once for both."""
    catalog, reads = replace(places.catalog, videos=places.videos[:8]), []
    names = ["swap", "where", "adversarial"]
    original = Footage.batches

    def batches(footage: Footage, spec: EncoderSpec) -> Any:
        reads.append(spec)
        return original(footage, spec)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Footage, "batches", batches)
        found = audit(catalog, _sequential(), measures=names, out=tmp_path, seed=3)
    assert len(reads) == 1
    (model,) = found.models
    twin = model.untrained_twin
    assert twin is not None
    assert (twin.name, twin.trained) == ("mine (untrained twin)", False)
    assert twin.spec == model.spec
    assert twin.forwards == model.forwards
    assert model.no_twin == ""
    # It scores what an untrained network scores by itself; the model scores what it did before.
    alone = audit(
        catalog,
        [_sequential(), make_untrained_twin(adapt(_sequential()[0], **_sequential()[1]), 3)],
        measures=names,
        seed=3,
        baseline=False,
    ).models
    assert [one.untrained_twin for one in alone] == [None, None]
    assert all("--no-baseline" in one.no_twin for one in alone)
    assert model.measures == alone[0].measures
    assert [one.scores for one in twin.measures] == [one.scores for one in alone[1].measures]
    assert model.measures[1].scores != twin.measures[1].scores
    assert all(not one.pictures for one in twin.measures)
    value = ScoreWords("").text(twin.verdict.score or score(0, 0, 0))
    assert f"and {value} for its untrained twin" in model.verdict.sentence
    assert model.verdict.sentence.startswith(alone[0].verdict.sentence)
    written = json.loads((tmp_path / "audit.json").read_text())["models"]
    assert len(written) == 1  # the twin is no model of its own: --fail-below ignores it
    assert written[0]["untrained_twin"]["name"] == twin.name
    assert "pictures" not in written[0]["untrained_twin"]["measures"][0]


def test_the_twin_is_what_a_training_from_scratch_began_with(places: Footage) -> None:
    catalog = replace(places.catalog, videos=places.videos[:2])
    encoder = load_encoder("r3d-narrow", seed=1)
    encoder.spec = replace(encoder.spec, trained_on={"method": "dsm", "seed": 5})
    began = load_encoder("r3d-narrow", seed=5)
    used = []

    def record(*args: Any) -> Any:
        used.append(make_untrained_twin(*args))
        return used[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unscene.audit.run.make_untrained_twin", record)
        (model,) = audit(catalog, encoder, measures="swap", seed=3).models
    assert model.untrained_twin is not None
    assert "seed 5" in model.untrained_twin.note
    for one, two in zip(used[0].parameters(), began.parameters(), strict=True):
        assert torch.equal(one, two)


def test_why_a_model_has_no_untrained_twin(
    places: Footage, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = replace(places.catalog, videos=places.videos[:2])
    untrained = ResolvedEncoder(Control(controls.constant), "random", "", trained=False)
    function = ResolvedEncoder(Control(controls.looks), "looks", "")
    models = audit(catalog, [untrained, function], measures="swap").models
    assert [model.untrained_twin for model in models] == [None, None]
    assert models[0].no_twin == "the model itself is untrained"
    assert "it has no weights" in models[1].no_twin
    said = capsys.readouterr().err
    assert f"looks has no untrained twin: {models[1].no_twin}" in said
    assert "random has no" not in said
    assert f"none: {models[1].no_twin}" in render(Audit({}, {}, models))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "its features are not finite numbers"),
        (torch.OutOfMemoryError("out of memory"), "out of memory"),
    ],
)
def test_a_twin_that_fails_does_not_stop_the_audit(
    error: Exception | None, reason: str, places: Footage, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(clip: Any) -> Any:
        if error is not None:
            raise error
        return clip.mean(dim=(2, 3, 4)) * float("nan")

    catalog = replace(places.catalog, videos=places.videos[:8])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unscene.audit.run.make_untrained_twin", lambda *_: Control(broken))
        (model,) = audit(catalog, [Control(controls.flow)], measures="swap").models
    assert model.untrained_twin is None
    assert model.no_twin.endswith(reason)
    assert model.verdict.value is not None
    assert model.no_twin in capsys.readouterr().err


@pytest.mark.parametrize(
    ("twin", "words"),
    [
        ((0.3, 0.2, 0.4), "60 % [50, 70], and 30 % [20, 40] for its untrained twin."),
        ((0.5, 0.4, 0.6), "and 50 % [40, 60] for its untrained twin; the intervals overlap."),
    ],
)
def test_a_verdict_is_compared_with_that_of_the_twin(
    twin: tuple[float, float, float], words: str
) -> None:
    def verdict(value: float, low: float, high: float) -> Verdict:
        return Verdict(value, (low, high), 40, "swap", "It is so.", "open")

    own = verdict(0.6, 0.5, 0.7)
    assert compare(own, verdict(*twin)).sentence.endswith(words)
    none = Verdict(None, None, 0, "", "No verdict.", "none")
    assert (compare(own, none), compare(none, own)) == (own, none)
    # Different measures must not be compared.
    assert compare(own, replace(verdict(*twin), measure="time")) == own


def test_files_that_vanish_are_counted(work: Path) -> None:
    from unscene.data.listing import open_catalog

    catalog = open_catalog("videos")
    broken = sorted(work.glob("videos/*/*.mp4"))
    Path(catalog.videos[0].path).write_bytes(b"gone")
    found = audit(catalog, [Control(controls.constant)], measures=["swap"])
    assert found.data["videos"] == 9
    assert len(found.data["skipped"]) == 2
    for path in broken:
        path.write_bytes(b"gone")
    with pytest.raises(UnsceneError, match="none of 10 videos could be read"):
        audit(catalog, [Control(controls.constant)], measures=["swap"])


def test_a_feature_that_is_no_number_stops_the_audit(places: Footage) -> None:
    def broken(clip: Any) -> Any:
        return clip.mean(dim=(2, 3, 4)) * float("nan")

    with pytest.raises(UnsceneError, match="broken: its features are not finite"):
        audit(places.catalog, [Control(broken)], measures=["swap"])


def score(value: float, low: float, high: float) -> Score:
    return Score(value, (low, high), 40)


def measured(name: str, **scores: Score) -> Measured:
    return Measured(name, scores=scores, absent="" if scores else "nothing moves")


@pytest.mark.parametrize(
    ("swap", "begins", "value"),
    [
        (
            {"motion_share": score(0.9, 0.8, 1), "order": score(0.8, 0.7, 0.9)},
            "It watches the m",
            0.8,
        ),
        (
            {"motion_share": score(0.1, 0, 0.2), "order": score(0.8, 0.7, 0.9)},
            "It watches the s",
            0.1,
        ),
        (
            {"motion_share": score(0.9, 0.8, 1), "order": score(0.5, 0.3, 0.7)},
            "It follows what",
            0.5,
        ),
        ({"motion_share": score(0.9, 0.8, 1), "order": score(0.1, 0, 0.2)}, "It follows what", 0.1),
        ({"motion_share": score(0.6, 0.4, 0.7), "order": score(0.9, 0.8, 1)}, "Neither", 0.6),
        ({"motion_share": score(0.55, 0.4, 0.7), "order": score(0.5, 0.4, 0.6)}, "Neither", 0.5),
        ({"motion_share": score(0.9, 0.8, 1)}, "It watches the m", 0.9),
        # The share alone means the scene, whichever of the two is weaker.
        (
            {"motion_share": score(0.3, 0.24, 0.37), "order": score(0.2, 0.15, 0.26)},
            "It watches the s",
            0.2,
        ),
        (
            {"motion_share": score(0.3, 0.24, 0.37), "order": score(0.29, 0.1, 0.6)},
            "It watches the s",
            0.29,
        ),
        ({"motion_share": score(0.55, 0.4, 0.7), "order": score(0.1, 0, 0.2)}, "Neither", 0.1),
    ],
)
def test_the_verdict_is_the_weaker_share(swap: dict[str, Score], begins: str, value: float) -> None:
    """And its heading has the color of its words."""
    found = judge([measured("time", motion=score(0.3, 0.2, 0.4)), measured("swap", **swap)])
    assert found.sentence.startswith(begins)
    assert (found.value, found.measure) == (value, "swap")
    assert found.ci95 in {one.ci95 for one in swap.values()}
    for one in swap.values():
        assert f"{100 * one.value:.0f} %" in found.sentence
    words = {"It watches the m": "motion", "It watches the s": "scene", "Neither": "open"}
    assert found.finding == words.get(begins, "appearance")
    tone = {"motion": "good", "open": "open"}.get(found.finding, "bad")
    model = ModelAudit("m", "", EncoderSpec("any", {}, 1), found, [])
    assert f'<h1 class="{tone}">' in render(Audit({}, {}, [model]))


def test_only_the_share_has_a_chance() -> None:
    """What untrained networks score in the others depends on the network and the footage."""
    half = score(0.5, 0.4, 0.6)
    swapped = judge([measured("swap", motion_share=half, order=half)]).sentence
    assert swapped.count("chance") == 1
    assert "nearer to the motion video (chance: 50 %)" in swapped
    stand_in = judge([measured("time", motion=half)])
    assert "chance" not in stand_in.sentence
    assert "untrained" not in swapped + stand_in.sentence
    model = ModelAudit(
        "m", "", EncoderSpec("any", {}, 1), stand_in, [measured("time", motion=half)]
    )
    page = render(Audit({}, {}, [model]))
    assert "by chance" not in page
    assert "undecided" in page


@pytest.mark.parametrize(
    ("time", "begins"),
    [
        (score(0.3, 0.2, 0.4), "It watches the scene"),
        (score(0.7, 0.6, 0.8), "It watches the motion"),
        (score(0.5, 0.4, 0.6), "Neither"),
    ],
)
def test_time_stands_in_where_nothing_can_be_swapped(time: Score, begins: str) -> None:
    found = judge([measured("swap"), measured("time", motion=time)])
    assert found.sentence.startswith(begins)
    assert "No verdict from swap: nothing moves" in found.sentence
    assert (found.value, found.measure) == (time.value, "time")


def test_no_verdict() -> None:
    found = judge([measured("swap"), measured("reliance", gain=score(1, 0, 2))])
    assert found == Verdict(None, None, 0, "", "No verdict. swap: nothing moves.", "none")


def test_results_as_json() -> None:
    spec = EncoderSpec("any", {}, 1)
    found = Measured("swap", details={"a": (1, 2)}, pictures={"p.png": b"\x89"})
    concluded = Verdict(None, None, 0, "", "No verdict.", "none")
    model = ModelAudit("m", "", spec, concluded, [found])
    content = Audit({"source": "x"}, {}, [model]).to_json()
    assert content["models"][0]["measures"][0]["details"] == {"a": [1, 2]}
    assert json.loads(json.dumps(content)) == content
    assert found.pictures  # what was given is as it was
    nan = replace(model, measures=[Measured("swap", details={"a": float("nan")})])
    with pytest.raises(ValueError, match="JSON"):
        Audit({}, {}, [nan]).to_json()
