"""The audit's report says what the numbers say, of any models and measures, and needs nothing but
itself."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import cv2
import numpy as np
import pytest
from seeing import Known, edges, measure_once, measured, motion, no_maps

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.adversarial import Adversarial
from unscene.audit.measures.response import Response
from unscene.audit.measures.where import Saliency
from unscene.audit.registry import known_measures
from unscene.audit.report.charts import SHARES, scale_for
from unscene.audit.report.films import split_film
from unscene.audit.report.page import render
from unscene.audit.report.words import ScoreWords, spell_number
from unscene.audit.result import Audit, Coverage, Finding, Measured, ModelAudit, Section, Verdict
from unscene.audit.saliency_pictures import film
from unscene.encoders import EncoderSpec
from unscene.results.statistics import Score

VOID = frozenset({"meta", "img", "br", "input", "line", "polyline", "polygon"})


class Page(HTMLParser):
    """Tags must close in order; attributes and text are kept."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data.replace("\u00a0", " ")


def score(value: float, half: float = 0.04, n: int = 90, *, chance: float | None = None) -> Score:
    return Score(value, (value - half, value + half), n, chance=chance)


def swap(share: float, order: float) -> Measured:
    return Measured(
        "swap",
        {"motion_share": score(share, chance=0.5), "order": score(order)},
        details={
            "nearest": {"motion": share, "background": 1 - share, "other": 0.0},
            "left_out": {"the camera moves": 7},
        },
        forwards=100,
    )


def time(share: float) -> Measured:
    altered = {
        "frozen": {"side": "motion", "distance": 0.3, "rank": share, "ci95": (0.1, 0.9), "n": 90},
        "warp": {"side": "scene", "distance": 0.1, "rank": 0.2, "ci95": (0.1, 0.3), "n": 90},
    }
    return Measured("time", {"motion": score(share)}, details={"altered": altered})


def reliance(below: float) -> Measured:
    classes = {
        "left & right": {"static": 0.2, "normal": 0.6, "gain": 2.0, "n": 20},
        "up": {"static": 0.5, "normal": 0.4, "gain": -0.2, "n": 20},
    }
    scores = {
        "classes_below_5_percent": Score(below, (0.0, 1.0), 2),
        "gain": Score(1.5, (0.9, 2.1), 40),
        "accuracy_normal": score(0.5),
        "accuracy_static": score(0.35),
    }
    return Measured("reliance", scores, details={"classes": classes})


def model(name: str, value: float | None, *measures: Measured, sentence: str = "") -> ModelAudit:
    sentence = sentence or f"It watches something: {value}."
    verdict = Verdict(None, None, 90, "", sentence, "none")
    if value is not None:
        found: Finding = "motion" if value > 0.55 else "scene" if value < 0.45 else "open"
        verdict = Verdict(value, (value - 0.05, value + 0.05), 90, "swap", sentence, found)
    spec = EncoderSpec("r3d18", {}, dim=512)
    return ModelAudit(name, f"where {name} is from", spec, verdict, list(measures), forwards=7)


def audit(*models: ModelAudit) -> Audit:
    data = {
        "source": "clips",
        "videos": 90,
        "skipped": [{"path": "bad.mp4", "reason": "no video in it"}],
        "fingerprint": "0123456789abcdef",
        "label": None,
        "classes": 0,
    }
    return Audit(data, {"seed": 0, "measures": ["swap", "time"]}, list(models))


@pytest.fixture(scope="module")
def seen(scenes: Footage) -> Audit:
    """Two encoders with known maps, through the real measures."""
    models = []
    for name, maps, value in (("follows", motion, 0.9), ("stares", edges, 0.2)):
        found = [measure_once(kind, maps, scenes) for kind in (Saliency, Response, Adversarial)]
        models.append(model(name, value, swap(value, 0.8), time(value), reliance(0.5), *found))
    return audit(*models)


# -- the page --------------------------------------------------------------------------------------


def test_page_is_well_formed_and_self_contained(seen: Audit) -> None:
    text = render(seen)
    page = Page(text)
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "video"}
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for key in ("src", "href", "srcset", "data"):
            value = attributes.get(key) or "data:"
            assert value.startswith("data:") or value.removeprefix("#") in ids
        assert not [key for key in attributes if key.startswith("on")]
    assert "http:" not in text
    assert "https:" not in text
    assert not re.search(r"@import|url\(", text)


def test_every_picture_has_words_and_decodes(seen: Audit) -> None:
    images = [a for tag, a in Page(render(seen)).tags if tag == "img"]
    films = 4 * (2 + 2) + 2 * 3 * (1 + 2)  # clip, what moves, two models; three kinds of clips
    assert len(images) == films + 2 * 4  # and a filmstrip of each clip for each model
    for image in images:
        assert len(image["alt"] or "") > 10
        data = base64.b64decode((image["src"] or "").split(",", 1)[1], validate=True)
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
    for tag, attributes in Page(render(seen)).tags:
        if tag == "svg":
            assert attributes["role"] == "img"
            assert len(attributes["aria-label"] or "") > 20


def test_every_section_has_its_question_and_its_numbers(seen: Audit) -> None:
    text = Page(render(seen)).text
    for one in seen.models[0].measures:
        words = known_measures()[one.name].words
        assert words.title in text
        assert words.how in text
        for name, found in one.scores.items():
            assert words.scores[name].name in text
            assert words.scores[name].text(found) in text
    for words_ in ("bad.mp4", "no video in it", "0123456789abcdef", "the camera moves: 7"):
        assert words_ in text
    assert "left & right" in text


def test_charts_stand_where_the_numbers_say(seen: Audit) -> None:
    text = render(audit(model("a", 0.7, swap(0.7, 0.6))))
    assert 'class="dot" style="left:70.0%"' in text
    assert 'class="range" style="left:66.0%;width:8.00%"' in text
    assert 'class="chance" style="left:50.00%"' in text
    assert Page(text).text.count("by chance: 50 %") == 2  # of the verdict, of the share: not order
    assert SHARES.place(1.3) == 100
    signed = scale_for([-0.12, 0.31], signed=True)
    assert signed.place(0) == 50
    assert signed.low == -signed.high <= -0.31
    assert scale_for([1.7]).high >= 1.7


# -- the verdict -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "headline"),
    [
        ([0.8], "a watches something."),
        ([None], "No verdict on a."),
        ([0.8, 0.3], "Of 2 models, a watches the motion."),
        ([0.8, 0.7, 0.3], "Of 3 models, a and b watch the motion."),
        ([0.8, 0.9], "Both models watch the motion."),
        ([0.5, 0.3, None], "None of 3 models is shown to watch the motion."),
        ([None, None], "No verdict on any of 2 models."),
        ([], "No model was audited."),
    ],
)
def test_the_headline_claims_what_the_intervals_carry(
    values: list[float | None], headline: str
) -> None:
    models = [model(name, value) for name, value in zip("abc", values, strict=False)]
    text = render(audit(*models))
    assert f"<title>unscene audit: {headline}</title>" in text
    assert headline in Page(text).text


def test_the_headline_on_one_model_is_its_verdict() -> None:
    for sentence, headline in (
        ("It watches the scene: 31 % of clips.", "a watches the scene."),
        ("Neither clearly prevails: 51 % of clips.", "a: neither clearly prevails."),
        ("Without a colon.", "a: 51 % motion."),
    ):
        text = render(audit(model("a", 0.51, sentence=sentence)))
        assert f"<title>unscene audit: {headline}</title>" in text


def covered(name: str, *counts: Any) -> ModelAudit:
    one = model(name, 0.3)
    return replace(one, verdict=replace(one.verdict, coverage=Coverage(*counts)))


def test_the_headline_says_how_many_videos_it_rests_on() -> None:
    same, other = (19, 40, {"the camera moves": 21}), (40, 40)
    words = "Evaluated on 19 of 40 videos; the camera moves in 21."
    for models in ([covered("a", *same)], [covered("a", *same), covered("b", *same)]):
        page = render(audit(*models))
        assert re.search(rf"<h1 class=\"bad\">[^<]+<small>{words}</small></h1>", page)
    text = Page(render(audit(covered("a", *same), covered("b", *other)))).text
    assert "a: 19 of 40 videos; the camera moves in 21. b: 40 of 40 videos." in text
    assert "<small>" not in render(audit(model("a", 0.3)))


def test_a_model_without_verdict_says_why() -> None:
    text = Page(render(audit(model("a", None, sentence="No verdict. time: 2 frames.")))).text
    assert "No verdict. time: 2 frames." in text


@pytest.mark.parametrize(
    ("trained", "words"), [(True, "trainedyes"), (False, "trainedno"), (None, "trainedunknown")]
)
def test_only_what_is_known_of_the_training_is_said(trained: bool | None, words: str) -> None:
    one = replace(model("a", 0.8), trained=trained)
    assert words in Page(render(audit(one))).text
    assert audit(one).to_json()["models"][0]["trained"] is trained


# -- sentences -------------------------------------------------------------------------------------


def says(found: Measured) -> str:
    return known_measures()[found.name].sentence(found)


def where(auc: float, gain: float) -> Measured:
    return Measured("where", {"auc": score(auc, chance=0.5), "gain": score(gain, chance=0.0)})


def test_sentences_turn_with_the_numbers() -> None:
    assert "more than by chance (0.80 [0.76, 0.84])" in says(where(0.8, 0.3))
    assert "seeing the motion adds to that (+0.30" in says(where(0.8, 0.3))
    # Surely above nothing, and yet too little to speak of.
    tiny = replace(where(0.8, 0.0), scores={"auc": score(0.8), "gain": score(0.03, 0.01)})
    assert "adds hardly anything" in says(tiny)
    assert "looks at moving and still pixels alike" in says(where(0.51, 0.3))
    assert "looks at still pixels" in says(where(0.3, -0.2))
    assert "it looks at appearance" in says(where(0.3, -0.2))
    assert "further when the motion changes than when the scene does" in says(time(0.9))
    assert "further when the scene changes than when the motion does" in says(time(0.1))
    assert "frozen moves them furthest and warp least" in says(time(0.9))
    assert "1 of 2 classes" in says(reliance(0.5))


@pytest.mark.parametrize(
    ("value", "half", "words", "mark"),
    [
        (0.2, 0.03, "is drawn to", "○ drawn to static objects"),
        (0.02, 0.01, "is not drawn to", "◐ not drawn to static objects"),
        (0.02, 0.2, "is not clearly drawn to", "◐ not clearly drawn to static objects"),
        (-0.2, 0.05, "is not drawn to", "◐ not drawn to static objects"),
    ],
)
def test_nothing_is_settled_by_a_wide_interval(
    value: float, half: float, words: str, mark: str
) -> None:
    found = Measured("adversarial", {"drawn": score(value, half, chance=0.0)})
    assert f"{words} a static object" in says(found)
    assert mark in Page(render(audit(model("a", 0.8, found)))).text


def glance(*measures: Measured) -> list[str]:
    """The answers at a glance on a model of these results, by measure."""
    text = Page(render(audit(model("a", 0.8, *measures)))).text
    return re.findall(r"[●◐○] [a-z, ]+[a-z]", text.partition("At a glance")[2])


def test_no_answer_contradicts_the_scores_beside_it() -> None:
    """Nothing speaks for the motion that a network blind to motion does as well."""
    assert glance(where(0.8, 0.3))[0] == "● motion attracts it"
    # What seeing the motion adds counts only for a model that looks at what moves.
    assert glance(where(0.5, 0.3))[0] == "◐ looks at moving and still pixels alike"
    assert glance(where(0.3, 0.3))[0] == "○ looks at what stands still"
    assert glance(where(0.8, -0.2))[0] == "○ appearance alone attracts it"
    for spearman, gain, answer in (
        (0.5, 0.3, "● responds to motion"),
        (0.5, 0.0, "◐ responds no more than to frozen clips"),
        (0.0, 0.3, "◐ no clear response"),
        (-0.5, 0.3, "◐ responds less, the more moves"),
    ):
        scores = {"spearman": score(spearman, chance=0.0), "gain": score(gain, chance=0.0)}
        assert glance(Measured("response", scores, details={"curves": []}))[0] == answer
    # Who is not drawn to a static object may simply be blind: freezing has to count for more.
    for frozen, answer in ((0.9, "● not drawn to static objects, notices freezing"),
                           (0.1, "◐ not drawn to static objects")):  # fmt: skip
        scores = {
            "drawn": score(0.0, 0.01, chance=0.0),
            "static_moved": score(frozen),
            "paste_moved": score(0.1),
        }
        assert glance(Measured("adversarial", scores))[0] == answer
    # The order of frames decides between the motion and the appearance of what moves.
    assert glance(swap(0.9, 0.8))[0] == "● follows the motion"
    assert glance(swap(0.9, 0.5))[0] == "○ follows what moves by appearance"


def test_measures_that_differ_are_named() -> None:
    text = Page(render(audit(model("a", 0.8, swap(0.9, 0.8), time(0.1))))).text
    assert "measures differ" in text
    assert "“Does it follow the motion or the background?” for the motion" in text
    assert "further: another motion or another scene?” for the scene or for appearance" in text
    assert "measures differ" not in Page(render(audit(model("a", 0.8, swap(0.9, 0.8))))).text


def test_an_untrained_twin_stands_under_its_model() -> None:
    twin = model("a (untrained twin)", 0.3, swap(0.31, 0.62), time(0.22))
    one = replace(model("a", 0.8, swap(0.9, 0.8), time(0.7)), untrained_twin=twin)
    both = audit(one, replace(model("b", 0.8, swap(0.9, 0.8)), no_twin="it is a function"))
    text = render(both)
    page = Page(text)
    assert page.open == []
    assert page.text.count("a (untrained twin)") >= 3  # tables and legends
    # In every chart, right below the model, in its color, and with another sign.
    bars = re.findall(r'<div class="bar (m[^"]*)"><span class="who">([^<]*)</span>', text)
    assert bars[:3] == [("m0", "a"), ("m0 untrained", "untrained twin"), ("m1", "b")]
    assert "untrained twin 31 % [27, 35]" in page.text
    assert "the same architecture with random weights" in page.text
    assert "none: it is a function" in page.text
    # It is no model of its own.
    assert "Both models watch the motion." in page.text
    assert "same architecture" not in Page(render(audit(replace(one, untrained_twin=None)))).text


def test_numbers_as_text() -> None:
    assert spell_number(0.624, "share") == "62 %"
    assert spell_number(0.624, "number") == "0.62"
    assert [spell_number(v, "signed") for v in (0.1, -0.1, 0.001, -0.001)] == [
        "+0.10", "−0.10", "0.00", "0.00"
    ]  # fmt: skip
    assert [spell_number(v, "change") for v in (1.5, -0.2, 0.001)] == ["+150 %", "−20 %", "0 %"]
    assert ScoreWords("").text(score(0.5)) == "50 % [46, 54]"


# -- what is missing, unknown or hostile -----------------------------------------------------------


def test_what_does_not_apply_says_why(scenes: Footage) -> None:
    extractor = FeatureExtractor(Known(no_maps))
    absent = [
        Measured("reliance", absent="no labels: name their column with --label"),
        measured(Saliency(extractor, scenes), scenes, extractor),
    ]
    partly = Measured("adversarial", {"static_moved": score(1.2)}, absent="no saliency: no maps")
    absent.append(Measured("response", absent="a: has no curve"))  # as encoders begin their errors
    text = Page(render(audit(model("a", 0.8, *absent, partly), model("b", 0.7, swap(0.7, 0.7)))))
    assert "this does not apply: has no curve" in text.text
    assert "this does not apply: no labels" in text.text
    assert "this does not apply: this model has no maps" in text.text
    assert "with limits: no saliency" in text.text
    assert "does not apply" in text.text
    assert text.open == []


def test_unknown_measures_are_shown_as_they_are() -> None:
    picture = film(np.zeros((2, 8, 8, 3), dtype=np.uint8))
    found = Measured(
        "smell",
        {
            "rose_share": score(0.4),
            "depth": Score(3.1, (2.0, 4.4), 9),
            "lean": score(-0.3, chance=0.0),
        },
        details={"anything": [1, {"deep": None}]},
        pictures={"cloud.png": picture},
    )
    text = Page(render(audit(model("a", 0.8, found))))
    for words in ("Smell", "Rose share", "0.40 [0.36, 0.44]", "3.10 [2.00, 4.40]", "−0.30"):
        assert words in text.text
    assert next(a for tag, a in text.tags if tag == "img")["alt"] == "cloud.png of a"


def test_names_cannot_break_the_page(seen: Audit) -> None:
    wild: Any = '"><script>alert(1)</script>'
    first = seen.models[0]
    shown = [dict(entry, label=wild, video=wild) for entry in first.measures[3].details["shown"]]
    looked = replace(first.measures[3], details=dict(first.measures[3].details, shown=shown))
    hostile = replace(first, name=wild, note=wild, measures=[looked, Measured(wild, absent=wild)])
    text = render(replace(audit(hostile), data={"source": wild}))
    assert "<script" not in text
    assert Page(text).open == []


def test_names_are_shown_as_they_are() -> None:
    """A minus sign is for numbers."""
    curve = {"video": "a-b.mp4", "label": "", "times": [0, 1], "response": [0, 1], "motion": [1, 2]}
    scores = {"spearman": score(-0.5, chance=0.0), "gain": score(0.0, chance=0.0)}
    found = Measured("response", scores, details={"curves": [curve | {"spearman": -0.5}]})
    text = Page(render(audit(model("r3d-narrow", 0.8, found)))).text
    assert "r3d-narrow −0.50" in text
    assert "r3d−narrow" not in text


def test_an_audit_without_models_is_a_page() -> None:
    assert Page(render(audit())).open == []


def test_frames_come_back_from_a_film() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(split_film(film(frames)), frames)
    with pytest.raises(ValueError, match="not a picture"):
        split_film(b"GIF89a")


def test_a_heading_and_sections_of_the_caller_come_first(seen: Audit) -> None:
    heading = Section("Motion & more", "<p>What this is.</p>")
    extra = [Section("Examples <b>", '<div class="film">moves</div>'), Section("Rows", "<p>n</p>")]
    text = render(seen, heading, extra)
    page = Page(text)
    assert page.open == []
    assert "<title>Motion &amp; more</title>" in text
    assert text.count("<h1") == 1
    places = [
        text.index(f">{words}<")
        for words in ("Motion &amp; more", "What this is.", "Examples &lt;b&gt;", "Rows",
                      "Of 2 models, follows watches the motion.", "At a glance")
    ]  # fmt: skip
    assert places == sorted(places)
    # One switch for the films of all sections, in the first that has some.
    assert text.count('id="still"') == 1
    assert places[2] < text.index('id="still"') < places[3]
