"""A handful of labels -> a classifier of windows, validated by file, and its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from window_worlds import CLASSES, About, File, World, make_world

from unscene.errors import UnsceneError
from unscene.search.classifier import fit_classifier
from unscene.search.examples import collect_examples, fit_weights, predict_weights
from unscene.search.label_model import LabelModel, is_label_model
from unscene.search.labels import Label, assign_labels
from unscene.search.windows import Windows


def named(model: LabelModel, world: World) -> np.ndarray:
    values = model.probabilities(world.windows.vectors)
    return np.where(values.max(axis=1) >= model.threshold, values.argmax(axis=1), 3)


def windows_of(*spans: tuple[int, float, float]) -> Windows:
    file, start, end = (np.array(column) for column in zip(*spans, strict=True))
    n = len(file)
    return Windows(
        np.arange(n), file, start, end, np.ones(n, np.float32), np.zeros((n, 1), np.float32)
    )


def test_a_window_has_the_label_that_covers_half_of_it_or_lies_half_in_it() -> None:
    files = [File("/clips/a"), File("/clips/b")]
    windows = windows_of((0, 0, 2), (0, 1, 3), (0, 2, 4), (0, 3, 5), (1, 0, 2), (1, 1, 3))
    labels = [
        Label("/clips/a", 2.0, 3.5, "x"),  # half of 1-3; three quarters of 2-4; a quarter of 3-5
        Label("/clips/b", 0.6, 1.2, "y"),  # short: whole in 0-2, a third in 1-3
        Label("/clips/a", 3.5, 9.0, "z"),
        Label("/elsewhere", 0.0, 9.0, "z"),
    ]
    assert assign_labels(windows, files, labels).tolist() == [-1, 0, 0, 2, 1, -1]


def test_a_correction_inside_a_longer_label_holds_where_it_was_made() -> None:
    windows = windows_of((0, 0, 2), (0, 2, 4), (0, 4, 6))
    longer = Label("/clips/a", 0.0, 6.0, "walk")
    correction = Label("/clips/a", 2.0004, 3.9998, "jump")  # rounded
    for labels in ([longer, correction], [correction, longer]):
        found = [labels[i].label for i in assign_labels(windows, [File("/clips/a")], labels)]
        assert found == ["walk", "jump", "walk"]
    brief = [Label("/clips/a", 0.5, 0.5008, "blink")]  # less than what counts as the same
    assert assign_labels(windows, [File("/clips/a")], brief).tolist() == [0, -1, -1]


@pytest.mark.parametrize("seed", [0, 1])
def test_three_labels_a_class_name_the_windows_of_other_files(seed: int) -> None:
    world = make_world(seed)
    labels = world.pick(3, seed)
    model = fit_classifier(world.windows, world.files, labels, About())
    assert model.classes == CLASSES
    given = named(model, world)
    unlabeled = assign_labels(world.windows, world.files, labels) < 0
    right = (given == world.truth)[unlabeled & (world.truth < 3)].mean()
    wrong = (given < 3)[unlabeled & (world.truth == 3)].mean()
    assert right > 0.6
    assert wrong < 0.3  # what is unlike all labels has no class
    score = model.validation.score
    assert score is not None
    assert score.chance is not None
    assert score.ci95[0] > score.chance
    assert 0.2 < score.chance < 0.45


def test_features_without_information_score_as_chance() -> None:
    world = make_world(2, files=12)
    differences = []
    for seed in range(6):
        noise = np.random.default_rng(seed).normal(size=world.windows.vectors.shape)
        windows = replace(world.windows, vectors=noise.astype(np.float32))
        model = fit_classifier(windows, world.files, world.labels, About(), seed=seed)
        score = model.validation.score
        assert score is not None
        assert score.chance is not None
        differences.append(score.value - score.chance)
        if score.ci95[0] <= score.chance:
            assert model.sentences()[1].startswith("That is not clearly above chance")
    assert abs(np.mean(differences)) < 0.07  # over 12 seeds: -0.007, with an error of 0.02
    assert model.validation.how == "5 folds of files"


def test_what_differs_between_files_only_is_not_learned_as_a_class() -> None:
    """Each class in files of its own, and features that tell files apart, not classes."""
    rng = np.random.default_rng(0)
    world = make_world(3, files=6)
    shift = rng.normal(size=(6, 32)) * 3
    vectors = shift[world.windows.file] + rng.normal(size=(len(world.windows), 32))
    windows = replace(world.windows, vectors=vectors.astype(np.float32))
    labels = [
        Label(file.path, 10.0 * i, 10.0 * i + 4, CLASSES[number % 3])
        for number, file in enumerate(world.files)
        for i in range(4)
    ]
    model = fit_classifier(windows, world.files, labels, About())
    score = model.validation.score
    assert score is not None
    assert score.value < 0.5  # within a file it would be 1


def test_a_class_in_one_file_has_no_number() -> None:
    world = make_world(0)
    first = world.files[0].path
    labels = [one for one in world.pick(3) if one.label != "wave"]
    labels += [Label(first, 50.0, 52.0, "wave"), Label(first, 54.0, 56.0, "wave")]
    labels = [one for one in labels if one.path != first or one.label == "wave"]
    model = fit_classifier(world.windows, world.files, labels, About())
    assert model.validation.one_file == {"wave": "0.mp4"}
    assert model.validation.score is not None
    assert set(model.validation.score.classes) == {"jump", "run"}
    assert model.sentences()[-1] == (
        "wave: all labels are in one file (0.mp4), so no honest number exists for it; label some "
        "in another file."
    )


def test_labels_of_one_file_only_give_no_number_at_all() -> None:
    world = make_world(0, files=3, share=0.7)
    labels = world.pick(2, files=1)
    assert {one.label for one in labels} == set(CLASSES)
    model = fit_classifier(world.windows, world.files, labels, About())
    assert model.validation.score is None
    assert model.threshold == 0.25  # three classes and none of them
    assert model.sentences()[0] == (
        "A moment is named from a probability of 0.25, that of a moment that tells nothing. No "
        "class has labels in two files: label moments in a second one."
    )
    assert len(model.sentences()) == 5


def test_one_class_is_enough() -> None:
    world = make_world(0)
    labels = [one for one in world.pick(4) if one.label == "run"]
    model = fit_classifier(world.windows, world.files, labels, About())
    assert model.classes == ("run",)
    assert model.validation.score is None  # nothing to tell apart
    assert model.validation.found is not None
    found = model.probabilities(world.windows.vectors)[:, 0] >= model.threshold
    assert found[world.truth == 1].mean() > 0.6
    assert found[world.truth != 1].mean() < 0.25


def test_counterexamples_lower_the_probability_of_what_is_like_them() -> None:
    world = make_world(1)
    others = [one for one in world.labels if one.label == "wave"]
    labels = [one for one in world.pick(4) if one.label == "run"]
    plain = fit_classifier(world.windows, world.files, labels, About())
    against = [replace(one, label="other") for one in others[:4]]
    model = fit_classifier(world.windows, world.files, labels + against, About())
    assert model.classes == ("run",)
    assert model.counts == {"other": 4, "run": 4}
    waves = world.windows.vectors[world.truth == 2]
    assert model.probabilities(waves).mean() < plain.probabilities(waves).mean()
    assert model.validation.score is not None  # run against the rest
    assert model.validation.chosen
    assert "which cross-validation chose against the counterexamples" in model.sentences()[1]
    assert not plain.validation.chosen
    assert "label some of it as 'other'" in plain.sentences()[-1]
    assert plain.sentences("Press 0.") == [*plain.sentences()[:-1], "Press 0."]


def test_files_labeled_completely_give_counterexamples() -> None:
    world = make_world(1, files=6)
    paths = {file.path for file in world.files[:4]}
    labels = [one for one in world.labels if one.path in paths]
    model = fit_classifier(world.windows, world.files, labels, About(), complete=True)
    still = np.zeros(len(world.windows), bool)
    examples, _ = collect_examples(
        world.windows, world.files, labels, still=still, complete=True, seed=0
    )
    against = (examples.moment < 0) & ~examples.sample
    assert set(examples.file[against]) == {0, 1, 2, 3}
    assert (world.truth[assign_labels(world.windows, world.files, labels) >= 0] < 3).all()
    assert set(examples.file[examples.sample]) == {4, 5}
    assert model.validation.found is not None
    assert model.validation.found > 0.6
    assert model.validation.chosen


def test_weights_do_not_depend_on_how_many_windows_a_label_has() -> None:
    world = make_world(0)
    labels = world.pick(3)
    still = np.zeros(len(world.windows), bool)
    examples, _ = collect_examples(
        world.windows, world.files, labels, still=still, complete=False, seed=0
    )
    weights = examples.weigh()
    for position in range(len(labels)):
        assert weights[examples.moment == position].sum() == pytest.approx(1.0)
    for kind in range(4):
        assert weights[examples.target == kind].sum() == pytest.approx(3.0)


def test_the_weights_are_those_of_scikit_learn() -> None:
    world = make_world(0)
    still = np.zeros(len(world.windows), bool)
    for names in (CLASSES, ("run",)):
        labels = [one for one in world.pick(3) if one.label in names]
        examples, _ = collect_examples(
            world.windows, world.files, labels, still=still, complete=False, seed=0
        )
        theirs = LogisticRegression(C=20 / 32, max_iter=2000).fit(
            examples.values, examples.target, sample_weight=examples.weigh()
        )
        ours = predict_weights(examples.values, *fit_weights(examples))
        np.testing.assert_allclose(ours, theirs.predict_proba(examples.values), atol=1e-9)


def test_still_windows_count_only_if_somebody_labels_some() -> None:
    world = make_world(0)
    still = np.zeros(len(world.windows), bool)
    still[::4] = True
    moving = [
        one for one in world.labels
        if not still[assign_labels(world.windows, world.files, [one]) >= 0].any()
    ]  # fmt: skip
    labels = [one for name in CLASSES for one in [m for m in moving if m.label == name][:2]]
    model = fit_classifier(world.windows, world.files, labels, About(), still=still)
    assert not model.still
    resting = Label(world.files[0].path, 0.0, 3.0, "rest")
    model = fit_classifier(world.windows, world.files, [*labels, resting], About(), still=still)
    assert model.still


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "there is no label of a class to learn; label some moments"),
        ([Label("/clips/0.mp4", 1, 3, "other")], "only of the background"),
        ([Label("/clips/0.mp4", 59.9, 60.0, "run")], "run: no window of the index lies in a label"),
    ],
)
def test_labels_that_teach_nothing_are_refused(labels: list[Label], message: str) -> None:
    world = make_world(0, files=1)
    windows = world.windows[world.windows.end < 55]
    with pytest.raises(UnsceneError, match=message):
        fit_classifier(windows, world.files, labels, About())


def test_one_class_that_is_everywhere_is_refused() -> None:
    world = make_world(0, files=1)
    everything = [Label("/clips/0.mp4", 0, 60, "run")]
    with pytest.raises(UnsceneError, match="all footage is labeled 'run', so there is nothing"):
        fit_classifier(world.windows, world.files, everything, About())


def test_a_model_is_saved_whole_and_read_back(tmp_path: Path) -> None:
    world = make_world(0)
    model = fit_classifier(world.windows, world.files, world.pick(3), About())
    path = model.save(tmp_path / "new" / "labels.safetensors")
    again = LabelModel.load(path)
    assert again.sentences() == model.sentences()
    assert again.validation == model.validation
    assert (again.classes, again.counts, again.length) == (model.classes, model.counts, 2.0)
    vectors = world.windows.vectors
    np.testing.assert_array_equal(again.probabilities(vectors), model.probabilities(vectors))
    assert [one.name for one in path.parent.iterdir()] == ["labels.safetensors"]
    assert b"pickle" not in path.read_bytes()
    assert is_label_model(path)


def test_a_model_is_the_same_whenever_it_is_fitted() -> None:
    world = make_world(0)
    labels = world.pick(3)
    one, two = (fit_classifier(world.windows, world.files, labels, About()) for _ in range(2))
    np.testing.assert_array_equal(one.weight, two.weight)
    assert one.validation == two.validation


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    world = make_world(0, files=2)
    whole = fit_classifier(world.windows, world.files, world.pick(1), About()).save(
        tmp_path / "whole.safetensors"
    )
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:-100])
    (tmp_path / "text.safetensors").write_text("file,start,end,label\n")
    save_file({"mean": np.zeros(3)}, tmp_path / "other.safetensors")
    newer = whole.read_bytes().replace(rb"\"format\": 1", rb"\"format\": 9")
    (tmp_path / "newer.safetensors").write_bytes(newer)
    for name, message in (
        ("none", "no such file; name a file that `unscene label` wrote"),
        ("cut", "or is damaged"),
        ("text", "holds no labels that were learned"),
        ("other", "holds no labels that were learned"),
        ("newer", "which is newer"),
    ):
        with pytest.raises(UnsceneError, match=message):
            LabelModel.load(tmp_path / f"{name}.safetensors")
        assert not is_label_model(tmp_path / f"{name}.safetensors")


def test_features_of_another_encoder_are_refused() -> None:
    world = make_world(0)
    model = fit_classifier(world.windows, world.files, world.pick(1), About())
    model.check_encoder("motion", About().fingerprint, "index")
    with pytest.raises(UnsceneError, match=r"index: its features are of the encoder hof \(ffff"):
        model.check_encoder("hof", "ffff", "index")
    with pytest.raises(UnsceneError, match="features of 32 numbers, of the encoder motion"):
        model.probabilities(np.zeros((2, 16), np.float32))
