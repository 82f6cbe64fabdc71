"""Features of videos, and `evaluate` from an encoder and a CSV to rows."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from features_of import features

from media import pan, write
from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog
from unscene.encoders import VideoEncoder, create_encoder, load_encoder, save_encoder
from unscene.errors import UnsceneError
from unscene.evaluate.features import _encode, extract
from unscene.evaluate.retrieval import retrieve
from unscene.evaluate.run import evaluate, evaluate_decoupling
from unscene.results.rows import read_rows
from unscene.synthetic.generate import ScenesReport
from unscene.video.clip import ClipBatch
from unscene.video.decode import read_clips
from unscene.video.sampling import Request, UniformClipSampler
from unscene.views.augment import BasicAugmentation, make_view


@pytest.fixture
def encoder() -> VideoEncoder:
    torch.manual_seed(0)
    made = create_encoder("r3d-narrow", width=8, stages=2)
    made.spec = replace(made.spec, frames=4, stride=1, size=32)
    return made


@pytest.fixture
def saved(encoder: VideoEncoder, tmp_path: Path) -> Path:
    save_encoder(encoder, tmp_path / "encoder")
    return tmp_path / "encoder"


@pytest.fixture
def catalog(moving: ScenesReport) -> Catalog:
    return open_catalog(moving.train)


def test_a_feature_is_the_mean_over_windows(encoder: VideoEncoder, catalog: Catalog) -> None:
    found = extract(encoder, catalog.videos, clips=3, batch_size=4)
    encoder.eval()
    basic = BasicAugmentation.none(32)
    for video, value in zip(catalog.videos, found.values, strict=True):
        assert video.info is not None
        parts = []
        for number in range(3):
            request = UniformClipSampler(4, 1, 3).draw(
                video.duration, video.info.fps, np.random.default_rng(0), number
            )
            clip = ClipBatch.of([read_clips(video.path, request)["clip"]])
            with torch.no_grad():
                parts.append(encoder(make_view(clip, basic.center(clip.sizes), size=32))[0])
        torch.testing.assert_close(value, torch.stack(parts).mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (5, 0), (16, 1)])
def test_order_does_not_depend_on_batches_or_workers(
    batch_size: int, workers: int, encoder: VideoEncoder, catalog: Catalog
) -> None:
    want = extract(encoder, catalog.videos, clips=2)
    got = extract(encoder, catalog.videos, clips=2, batch_size=batch_size, workers=workers)
    assert got.videos == want.videos == catalog.videos
    torch.testing.assert_close(got.values, want.values, rtol=1e-4, atol=1e-5)
    back = extract(encoder, catalog.videos[::-1], clips=2)
    torch.testing.assert_close(back.values.flip(0), want.values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_encoder_keeps_its_mode_and_weights(
    training: bool, encoder: VideoEncoder, catalog: Catalog
) -> None:
    encoder.train(training)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    extract(encoder, catalog.videos[:2], clips=1)
    assert encoder.training == training
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])  # batch statistics too


def test_videos_that_cannot_be_read_are_counted(
    encoder: VideoEncoder, moving: ScenesReport, tmp_path: Path
) -> None:
    shutil.copytree(moving.train.parent / "train", tmp_path / "data")
    videos = open_catalog(tmp_path / "data").videos
    for name in ("00001.mp4", "00002.mp4"):
        (tmp_path / "data" / name).write_bytes(b"gone")
    tiled = extract(encoder, videos, mode="clip")
    assert tiled.owner.unique().tolist() == list(range(6))
    whole = extract(encoder, [v for v in videos if v in tiled.videos], mode="clip")
    torch.testing.assert_close(tiled.values, whole.values)
    done: list[tuple[int, int]] = []
    found = extract(encoder, videos, clips=2, batch_size=2, progress=lambda *at: done.append(at))
    assert [Path(s.path).name for s in found.skipped] == ["00001.mp4", "00002.mp4"]
    assert [Path(v.path).name for v in found.videos] == [
        f"{i:05d}.mp4" for i in range(8) if i not in (1, 2)
    ]
    assert done[-1] == (8, 8)
    encoder.train()
    with pytest.raises(UnsceneError, match="none of 2 videos could be read"):
        extract(encoder, videos[1:3], clips=1)
    assert encoder.training


def test_a_feature_that_is_not_finite_names_its_video(
    encoder: VideoEncoder, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encoder.forward
    third = torch.tensor([0.0, 0.0, float("nan"), 0.0, 0.0])[:, None]
    monkeypatch.setattr(encoder, "forward", lambda view: whole(view) + third)
    with pytest.raises(UnsceneError, match=r"00002\.mp4: its feature is not finite \(1 of 5"):
        extract(encoder, catalog.videos[:5], clips=1)


def test_a_name_is_an_encoder_that_is_untrained(moving: ScenesReport) -> None:
    rows = evaluate("retrieve", str(moving.train), "r3d-narrow", clips=1)
    again = evaluate("retrieve", str(moving.train), "r3d-narrow", clips=1)
    assert {row.method for row in rows} == {"random"}
    assert [row.value for row in rows] == [row.value for row in again]
    for path in ("./r3d-narrow", Path("r3d-narrow")):  # a folder that is not there
        with pytest.raises(UnsceneError, match=r"r3d-narrow.*: no such file"):
            evaluate("retrieve", str(moving.train), path, clips=1)
    with pytest.raises(UnsceneError, match=r"or folder, and no encoder .* 'r3d-narow', did you"):
        evaluate("retrieve", str(moving.train), "r3d-narow", clips=1)


def test_retrieve_leaves_one_out(saved: Path, moving: ScenesReport, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    rows = evaluate("retrieve", str(moving.train), saved, clips=2, ks=(1, 5, 10), out=out)
    # Seven others: no room for ten.
    assert [row.metric for row in rows] == ["retrieval_r1", "retrieval_r5", "retrieval_map"]
    first = rows[0]
    assert (first.method, first.steps, first.seed, first.config) == ("random", 0, 0, {})
    assert (first.n, first.views, first.label, first.encoder) == (8, 2, "label", "r3d-narrow")
    assert first.fingerprint == open_catalog(moving.train).fingerprint()
    assert first.split == "leave-one-out"
    assert [record["value"] for record in read_rows(out)] == [row.value for row in rows]


def test_rows_are_added_and_replaced_only_by_the_same_measurement(
    saved: Path, moving: ScenesReport, tmp_path: Path
) -> None:
    out, train = tmp_path / "rows.jsonl", str(moving.train)

    def there() -> list[tuple[str, str, int]]:
        return [(row["metric"], row["label"], row["views"]) for row in read_rows(out)]

    evaluate("retrieve", train, saved, clips=1, out=out)
    first = there()
    assert len(first) == 2  # of four classes, five and ten would say nothing
    evaluate("probe", str(moving.seen), saved, train=train, clips=1, out=out)
    probed = [("probe_top1", "label", 1), ("knn_top1", "label", 1)]
    assert there() == first + probed
    evaluate("retrieve", train, saved, clips=1, label="scene", out=out)
    scenes = [(metric, "scene", 1) for metric, _, _ in first]
    assert there() == first + probed + scenes
    evaluate("retrieve", train, saved, clips=1, out=out)  # again
    assert there() == probed + scenes + first
    evaluate_decoupling(train, saved, out=out)
    evaluate_decoupling(train, saved, out=out)
    assert sum(metric == "decoupling_trained" for metric, _, _ in there()) == 1
    out.write_text('{"loss": 1}\n')
    with pytest.raises(UnsceneError, match="holds no rows of results, and is not overwritten"):
        evaluate("retrieve", train, saved, clips=1, out=out)
    assert out.read_text() == '{"loss": 1}\n'


def test_rows_keep_the_outcome_of_every_video(
    saved: Path, moving: ScenesReport, tmp_path: Path
) -> None:
    shutil.copytree(moving.seen.parent / "seen", tmp_path / "seen")
    shutil.copy(moving.seen, tmp_path / "seen.csv")
    test, train, out = str(tmp_path / "seen.csv"), str(moving.train), tmp_path / "rows.jsonl"
    rows = evaluate("retrieve", test, saved, train=train, clips=1, ks=(1, 5), out=out)
    rows += evaluate("probe", test, saved, train=train, clips=1, out=out)
    kept = {row.metric: row.outcomes for row in rows}
    assert kept.pop("retrieval_map") == {}  # no share of videos
    values = {row.metric: row.value for row in rows}
    assert len(kept) == 4
    for metric, outcomes in kept.items():
        assert outcomes.keys() == {"hits"}  # every video has a file of its own
        assert len(outcomes["hits"]) == len(open_catalog(test)) == 4
        assert outcomes["hits"].count("1") / 4 == values[metric]
    assert [record["outcomes"] for record in read_rows(out)] == [row.outcomes for row in rows]
    # A video that breaks after it was listed keeps its place. Among all eight, every class is.
    listed = open_catalog(test)
    third = Path(listed.videos[2].path)
    third.write_bytes(b"gone")
    encoder = load_encoder(saved)
    broken, whole = (
        extract(encoder, some.videos, clips=1) for some in (listed, open_catalog(train))
    )
    found = retrieve(broken, whole, ks=(8,))["retrieval_r8"]
    assert (found.n, found.outcomes) == (3, {"hits": "11-1"})


def test_segments_keep_the_number_of_their_file_and_clips_no_outcome() -> None:
    values = torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]])
    labels = ["run", "run", "jump", "run"]
    both = features(values, labels, files=[0, 1, 1, 2])
    assert retrieve(both, both, ks=(1,))["retrieval_r1"].outcomes == {
        "hits": "1100",
        "files": [0, 1, 1, 2],
    }
    clips = features(values, labels[::2], owner=[0, 0, 1, 1])
    assert retrieve(clips, clips, ks=(1,))["retrieval_r1"].outcomes == {}


def test_retrieve_by_clips(saved: Path, moving: ScenesReport) -> None:
    """Windows of 4 frames at stride 1, end to end, over videos of 12 frames."""
    rows = evaluate("retrieve", str(moving.seen), saved, train=str(moving.train), mode="clip")
    first = rows[0]
    assert first.views == 0
    assert first.test["mode"] == "clip"
    assert first.n == 4 * first.test["gallery"] / 8  # 4 and 8 videos of one length
    assert first.n == 4 * 3
    assert set(first.classes) == {video.label for video in open_catalog(moving.seen).videos}


def test_a_clip_feature_is_the_pooled_map_of_its_window(
    encoder: VideoEncoder, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unscene.evaluate.features._IN_MEMORY", 0)  # on disk, as large ones are
    found = extract(encoder, catalog.videos[:3], mode="clip", batch_size=5)
    encoder.eval()
    basic, row = BasicAugmentation.none(32), 0
    for number, video in enumerate(catalog.videos[:3]):
        assert video.info is not None
        frames = round(video.duration * video.info.fps)
        for first in range(0, frames - 3, 4):
            request = Request(first / video.info.fps, {"clip": (0, 1, 2, 3)})
            clip = ClipBatch.of([read_clips(video.path, request)["clip"]])
            view = make_view(clip, basic.center(clip.sizes), size=32)
            with torch.no_grad():
                maps = encoder.forward_maps(view)
            want = torch.nn.functional.adaptive_max_pool3d(maps, (2, 7, 7)).flatten()
            torch.testing.assert_close(found.values[row], want, rtol=1e-4, atol=1e-5)
            assert found.owner[row] == number
            row += 1
    assert row == len(found.values)


def test_a_clip_order_feature_is_the_mean_of_max_pooled_maps(
    encoder: VideoEncoder, catalog: Catalog
) -> None:
    found = extract(encoder, catalog.videos[:2], mode="clip-order", clips=3, stride=2)
    encoder.eval()
    basic, sampler = BasicAugmentation.none(32), UniformClipSampler(4, 2, 3)
    for row, video in zip(found.values, catalog.videos, strict=False):
        assert video.info is not None
        pooled = []
        for number in range(3):
            rng = np.random.default_rng()  # not used
            request = sampler.draw(video.duration, video.info.fps, rng, number)
            clip = ClipBatch.of([read_clips(video.path, request)["clip"]])
            view = make_view(clip, basic.center(clip.sizes), size=32)
            with torch.no_grad():
                (maps,) = encoder.forward_maps(view)
            rows, columns = maps.shape[2] // 2 * 2, maps.shape[3] // 2 * 2
            even = maps[:, :, :rows, :columns].unfold(2, 2, 2).unfold(3, 2, 2)
            pooled.append(even.amax((-1, -2)).flatten())
        torch.testing.assert_close(row, torch.stack(pooled).mean(0), rtol=1e-4, atol=1e-5)
    # C3D's conv5b of 16 frames of 112 pixels.
    monkeyed = SimpleNamespace(forward_maps=lambda view: torch.zeros(1, 512, 2, 7, 7))
    assert _encode(monkeyed, torch.empty(0), "clip-order").shape == (1, 9216)  # type: ignore[arg-type]


def test_another_stride_is_used_and_stands_in_the_rows(saved: Path, moving: ScenesReport) -> None:
    """Clips of 4 frames end to end over 12: three at stride 1, one at stride 3."""
    seen, train = str(moving.seen), str(moving.train)
    one = evaluate("retrieve", seen, saved, train=train, mode="clip")[0]
    three = evaluate("retrieve", seen, saved, train=train, mode="clip", stride=3)[0]
    assert one.n == 3 * three.n
    assert (one.test["stride"], three.test["stride"]) == (1, 3)
    with pytest.raises(UnsceneError, match="stride -1: must be at least 0"):
        evaluate("retrieve", seen, saved, train=train, stride=-1)


def test_probe_with_a_training_set(saved: Path, moving: ScenesReport) -> None:
    rows = evaluate(
        "probe", str(moving.seen), saved, train=str(moving.train), label="scene", clips=1
    )
    assert [row.metric for row in rows] == ["probe_top1", "knn_top1"]
    assert set(rows[0].test["chosen"]) == {"probe_top1", "knn_top1"}
    assert set(rows[0].classes) <= {"0", "1", "2", "3"}
    assert (rows[0].n, rows[0].split, rows[0].label) == (4, "seen", "scene")
    both = [open_catalog(path).fingerprint() for path in (moving.seen, moving.train)]
    assert rows[0].fingerprint == "+".join(both)


def test_the_training_of_the_encoder_is_in_the_row(
    encoder: VideoEncoder, moving: ScenesReport, tmp_path: Path
) -> None:
    history = {"method": "dsm", "seed": 3, "steps": 70, "seconds": 9.5, "settings": {"lr": 0.1}}
    encoder.spec = replace(encoder.spec, trained_on=history)
    save_encoder(encoder, tmp_path)
    row = evaluate("retrieve", str(moving.train), tmp_path, clips=1)[0]
    assert (row.method, row.seed, row.steps, row.seconds) == ("dsm", 3, 70, 9.5)
    assert row.config == {"lr": 0.1}


def test_frames_shrunk_while_reading_are_reported_in_the_row(
    saved: Path, moving: ScenesReport
) -> None:
    whole, small, large = (
        evaluate("retrieve", str(moving.train), saved, clips=1, short_side=side)
        for side in (0, 16, 64)
    )
    assert "short_side" not in whole[0].test
    assert (small[0].test["short_side"], large[0].test["short_side"]) == (16, 64)
    found = [{row.metric: row.value for row in rows} for rows in (whole, small, large)]
    assert found[2] == found[0]  # nothing to shrink
    assert found[1] != found[0]


def test_videos_without_the_label_are_skipped_and_reported(
    saved: Path, moving: ScenesReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with moving.train.open(newline="") as file:
        records = list(csv.DictReader(file))
    for record in records:
        record["path"] = str(moving.train.parent / record["path"])
    records[2]["scene"] = ""
    table = tmp_path / "some.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, records[0].keys())
        writer.writeheader()
        writer.writerows([*records, {"path": "nowhere.mp4", "scene": "0"}])
    rows = evaluate("retrieve", str(table), saved, label="scene", clips=1)
    assert rows[0].n == 7
    said = capsys.readouterr().err
    assert "7 videos used, 2 skipped" in said
    assert "has no value in column 'scene'" in said
    assert "nowhere.mp4" in said


def test_videos_shared_with_the_gallery_is_reported(
    saved: Path, moving: ScenesReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "mixed.csv"
    videos = open_catalog(moving.train).videos[:2]
    lines = [f"{videos[0].path},{videos[0].label}", f"{videos[1].path},sideways"]
    table.write_text("\n".join(["path,label", *lines]) + "\n")
    evaluate("retrieve", str(table), saved, train=str(moving.train), clips=1)
    said = capsys.readouterr().err
    assert "1 test videos count as wrong" in said
    assert "(sideways)" in said
    assert "2 test videos are also in the training set" in said


def test_windows_without_a_perturbation_are_reported(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    for name, frames in (("short", 5), ("long", 20)):
        write(tmp_path / "data" / f"{name}.mp4", pan(frames, (48, 48), (2, 0)))
    found = evaluate_decoupling(str(tmp_path / "data"), saved)[0].test["left_out"]
    assert found["shift: video too short"] == 1
    said = capsys.readouterr().err
    assert all(f"left out: {reason} ({count} clips)" in said for reason, count in found.items())


def test_mistakes_are_reported_before_anything_is_encoded(
    saved: Path, moving: ScenesReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unscene.evaluate.run.extract_together", None)
    seen = str(moving.seen)
    with pytest.raises(UnsceneError, match="no label column 'actor'; its columns are label"):
        evaluate("retrieve", seen, saved, label="actor")
    with pytest.raises(UnsceneError, match="carry no labels"):
        evaluate("retrieve", str(moving.seen.parent / "seen"), saved)
    with pytest.raises(UnsceneError, match="--train"):
        evaluate("probe", seen, saved)
    with pytest.raises(UnsceneError, match="retrieve, probe"):
        evaluate("finetune", seen, saved)  # type: ignore[arg-type]
    with pytest.raises(UnsceneError, match="mode 'clips'"):
        evaluate("retrieve", seen, saved, mode="clips")  # type: ignore[arg-type]
    with pytest.raises(UnsceneError, match="leave out --mode clip"):
        evaluate("probe", seen, saved, train=seen, mode="clip")
    with pytest.raises(UnsceneError, match="device 'gpu'"):
        evaluate("retrieve", seen, saved, device="gpu")
    with pytest.raises(UnsceneError, match="no label column 'place'"):
        evaluate("retrieve", seen, saved, apart="place")
    with pytest.raises(UnsceneError, match="short_side -1"):
        evaluate("retrieve", seen, saved, short_side=-1)
    with pytest.raises(UnsceneError, match="clips 0"):
        evaluate("retrieve", seen, saved, clips=0)
    for protocol in (partial(evaluate, "retrieve"), evaluate_decoupling):
        with pytest.raises(UnsceneError, match="workers -1: must be at least 0"):
            protocol(seen, saved, workers=-1)
        with pytest.raises(UnsceneError, match="is a folder, not a file; name another place"):
            protocol(seen, saved, out=tmp_path)
        (tmp_path / "file").touch()
        with pytest.raises(UnsceneError, match=r"rows\.jsonl: cannot be written: .*file is not a"):
            protocol(seen, saved, out=tmp_path / "file" / "rows.jsonl")
    other = tmp_path / "other.csv"
    other.write_text(f"path,label\n{open_catalog(seen).videos[0].path},down\n")
    for name in ("retrieve", "probe"):
        with pytest.raises(UnsceneError, match=r"none of its classes \(down\) is one of those"):
            evaluate(name, str(other), saved, train=seen)  # type: ignore[arg-type]
    with pytest.raises(UnsceneError, match=r"encoder\.json"):
        evaluate("retrieve", seen, tmp_path / "nothing")
    one = tmp_path / "one_class.csv"
    paths = [video.path for video in open_catalog(seen).videos]
    one.write_text("path,label\n" + "".join(f"{path},left\n" for path in paths))
    with pytest.raises(UnsceneError, match="all training videos are 'left' in column 'label'"):
        evaluate("probe", seen, saved, train=str(one))
    for given in ({"data": str(one)}, {"data": seen, "train": str(one)}):
        with pytest.raises(UnsceneError, match="all videos to search in are 'left'"):
            evaluate("retrieve", encoder=saved, **given)
    # Two segments of one file are never compared with each other.
    one.write_text(f"path,label,start,end\n{paths[0]},left,0,0.2\n{paths[0]},up,0.2,\n")
    with pytest.raises(UnsceneError, match=r"a gallery of 2 is too small.*of a query's own file"):
        evaluate("retrieve", str(one), saved)
