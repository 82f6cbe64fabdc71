"""What is read depends on (seed, draw, index) alone; batches on (seed, step) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import media
from unscene.data.catalog import Video
from unscene.data.listing import open_catalog
from unscene.data.loading import Batch, ClipDataset, StepBatches, make_loader
from unscene.data.sequential import SequentialBatches
from unscene.errors import UnsceneError
from unscene.methods.triplet_views import takes_vectors
from unscene.motion.flow import Source, make_flow_transform
from unscene.video.clip import Clip
from unscene.video.sampling import RandomClipSampler, UniformClipSampler

SAMPLER = RandomClipSampler(4, 2, shift=(1, 5))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Video]:
    root = tmp_path_factory.mktemp("loading")
    for i in range(5):
        size = (32, 48) if i % 2 else (40, 32)
        frames = [frame + i for frame in media.drift(20 + 7 * i, size)]
        media.write(root / f"{i}.mp4", frames, options={"preset": "ultrafast"})
    return list(open_catalog(root).videos)


def broken(videos: Sequence[Video], indices: Sequence[int], folder: Path) -> list[Video]:
    """The same videos, some of which were damaged after the catalog was made."""
    path = folder / "broken.mp4"
    path.write_text("no video " * 50)
    return [replace(v, path=str(path)) if i in indices else v for i, v in enumerate(videos)]


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.index, other.index) and all(
        torch.equal(getattr(one.clips[name], part), getattr(other.clips[name], part))
        for name in one.clips
        for part in ("y", "u", "v", "sizes")
    )


def test_flow_comes_from_vectors_where_they_serve_and_from_dis_elsewhere(tmp_path: Path) -> None:
    exact = {"bf": "0", "refs": "1", "preset": "veryfast"}
    for name, codec, size, options in (
        ("exact", "libx264", (112, 128), exact),
        ("small", "libx264", (64, 64), exact),
        ("loose", "libx264", (112, 128), {"bf": "2"}),
        ("keys", "libx264", (112, 128), exact | {"g": "1"}),
        ("vp9", "libvpx-vp9", (112, 128), {"deadline": "realtime", "cpu-used": "8"}),
    ):
        suffix = "webm" if name == "vp9" else "mp4"
        media.write(tmp_path / f"{name}.{suffix}", media.drift(20, size), codec, options=options)
    names = [Path(video.path).stem for video in open_catalog(tmp_path).videos]

    def flows(source: Source) -> dict[str, torch.Tensor | None]:
        dataset = ClipDataset(
            open_catalog(tmp_path).videos,
            RandomClipSampler(4, 2, motion=("clip",)),
            transforms={"clip": make_flow_transform(32, source)},
            vectors={"clip": takes_vectors},
        )
        batch = Batch.of([dataset[0, index] for index in range(len(names))])
        assert batch.clips["clip"].flow is not None
        return dict(zip(names, batch.clips["clip"].flow, strict=True))

    dis, auto = flows("dis"), flows("auto")
    assert {n for n in names if not torch.equal(auto[n], dis[n])} == {"exact"}
    shown = auto["exact"][..., 0].float() * 64  # pixels of a frame that is 128 wide
    assert shown.median().item() == pytest.approx(-2, abs=0.1)  # stride 2, one pixel a frame


def first_luma(clip: Clip) -> Clip:
    return clip.replace(y=clip.y[:1].expand_as(clip.y).contiguous())


def test_an_item_is_a_function_of_seed_draw_and_index(videos: list[Video]) -> None:
    def times(seed: int, draw: int, index: int) -> list[float]:
        clips = ClipDataset(videos, SAMPLER, seed=seed)[draw, index].clips
        return [*clips["clip"].times.tolist(), *clips["shifted"].times.tolist()]

    dataset = ClipDataset(videos, SAMPLER, seed=1)
    _ = [dataset[draw, 3] for draw in range(3)]  # what was read before does not matter
    item = dataset[7, 4]
    assert item.index == 4
    both = [*item.clips["clip"].times.tolist(), *item.clips["shifted"].times.tolist()]
    assert both == times(1, 7, 4)
    assert len({tuple(times(*key)) for key in ((1, 7, 4), (2, 7, 4), (1, 8, 4))}) == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one core
@pytest.mark.parametrize(("workers", "start"), [(1, "fork"), (2, "fork"), (1, "spawn")])
def test_any_number_of_workers_reads_the_same_batches(
    videos: list[Video], workers: int, start: str
) -> None:
    dataset = ClipDataset(videos, SAMPLER, seed=5)
    batches = StepBatches(len(videos), 2, seed=5, steps=4)
    alone = list(make_loader(dataset, batches, workers=0))
    data = make_loader(dataset, batches, workers=workers)
    data.multiprocessing_context = start
    together = list(data)
    assert len(alone) == len(together) == 4
    assert all(same(one, other) for one, other in zip(alone, together, strict=True))


def test_a_batch_pads_clips_and_keeps_their_sizes(videos: list[Video]) -> None:
    dataset = ClipDataset(videos, SAMPLER)
    batch = Batch.of([dataset[0, 0], dataset[0, 1]])
    assert len(batch) == 2
    assert set(batch.clips) == {"clip", "shifted"}
    assert batch.clips["clip"].y.shape == (2, 4, 40, 48)
    assert batch.clips["clip"].sizes.tolist() == [[40, 32], [32, 48]]
    assert batch.to("cpu").index.tolist() == [0, 1]


def test_transforms_run_on_the_clip_they_name(videos: list[Video]) -> None:
    item = ClipDataset(videos, SAMPLER, transforms={"clip": first_luma})[0, 0]
    assert (item.clips["clip"].y == item.clips["clip"].y[0]).all()
    assert not (item.clips["shifted"].y == item.clips["shifted"].y[0]).all()


def test_short_side_and_segments_reach_the_reader(videos: list[Video]) -> None:
    segment = replace(videos[4], start=0.2, end=0.6)
    dataset = ClipDataset([segment], RandomClipSampler(4, 1), short_side=16)
    for draw in range(10):
        clip = dataset[draw, 0].clips["clip"]
        assert min(clip.size) == 16
        assert float(clip.times.min()) > 0.19
        assert float(clip.times.max()) < 0.59


# ---- files that fail ----------------------------------------------------------------------------


def test_a_file_that_fails_is_replaced_and_reported(videos: list[Video], tmp_path: Path) -> None:
    bad = broken(videos, [1], tmp_path)
    dataset = ClipDataset(bad, SAMPLER)
    batch = Batch.of([dataset[draw, 1] for draw in range(4)])
    assert len(batch) == 4
    assert 1 not in batch.index.tolist()
    assert len(batch.failures) >= 4
    assert {failure.path for failure in batch.failures} == {bad[1].path}
    assert all("invalid data" in failure.reason for failure in batch.failures)
    assert same(batch, Batch.of([dataset[draw, 1] for draw in range(4)]))  # by the same others
    position = batch.index.tolist()[0]
    clip = batch.clips["clip"]
    assert tuple(clip.sizes[0].tolist()) == ((32, 48) if position % 2 else (40, 32))


def test_in_tests_a_failed_file_makes_its_batch_smaller(
    videos: list[Video], tmp_path: Path
) -> None:
    dataset = ClipDataset(broken(videos, [1], tmp_path), SAMPLER, replace_failed=False)
    batch = Batch.of([dataset[0, index] for index in (0, 1, 2)])
    assert batch.index.tolist() == [0, 2]
    assert len(batch.clips["clip"]) == 2
    assert [failure.path for failure in batch.failures] == [dataset.videos[1].path]
    none = Batch.of([dataset[0, 1]])
    assert len(none) == 0
    assert none.clips == {}
    assert len(none.failures) == 1


def test_data_of_which_nothing_can_be_read_stops_the_run(
    videos: list[Video], tmp_path: Path
) -> None:
    dataset = ClipDataset(broken(videos, range(5), tmp_path), SAMPLER)
    with pytest.raises(UnsceneError, match=r"20 videos in a row could not be read.*broken\.mp4"):
        dataset[0, 0]


# ---- batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("videos_", "batch", "world"), [(20, 4, 1), (23, 4, 1), (24, 3, 2)])
def test_every_video_comes_at_most_once_an_epoch(videos_: int, batch: int, world: int) -> None:
    ranks = [StepBatches(videos_, batch, seed=1, rank=r, world=world) for r in range(world)]
    steps = videos_ // (batch * world)
    assert {len(each) for each in ranks} == {steps}
    orders = []
    for epoch in range(3):
        seen = [
            index
            for step in range(epoch * steps, (epoch + 1) * steps)
            for each in ranks
            for _, index in each.batch(step)
        ]
        assert len(seen) == len(set(seen)) == steps * batch * world
        assert set(seen) <= set(range(videos_))
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2]


def test_the_processes_of_a_step_read_different_draws_and_make_the_batch_of_one() -> None:
    alone = StepBatches(24, 6, seed=2)
    ranks = [StepBatches(24, 2, seed=2, rank=rank, world=3) for rank in range(3)]
    for step in range(9):
        shares = [each.batch(step) for each in ranks]
        assert [len(share) for share in shares] == [2, 2, 2]
        assert [item for share in shares for item in share] == alone.batch(step)
    draws = [draw for step in range(9) for each in ranks for draw, _ in each.batch(step)]
    assert len(draws) == len(set(draws))


def test_a_resumed_run_reads_on_where_it_stopped() -> None:
    whole = list(StepBatches(10, 3, seed=4, steps=11))
    position = 0
    resumed = StepBatches(10, 3, seed=4, steps=11, position=lambda: position)
    assert list(resumed) == whole
    for position in (1, 5, 10, 11):
        assert list(resumed) == whole[position:]


def test_the_seed_decides_the_order() -> None:
    assert list(StepBatches(50, 5, seed=1)) == list(StepBatches(50, 5, seed=1))
    assert list(StepBatches(50, 5, seed=1)) != list(StepBatches(50, 5, seed=2))


def test_fewer_videos_than_a_batch_are_repeated_evenly() -> None:
    ranks = [StepBatches(3, 4, seed=1, rank=rank, world=2, steps=2) for rank in range(2)]
    for step in range(2):
        items = [item for each in ranks for item in each.batch(step)]
        assert len(items) == 8
        counts = [sum(index == i for _, index in items) for i in range(3)]
        assert sorted(counts) == [2, 3, 3]
    assert len({draw for each in ranks for step in range(2) for draw, _ in each.batch(step)}) == 16


@pytest.mark.parametrize(("count", "batch", "draws"), [(5, 2, 3), (4, 4, 1), (3, 10, 2)])
def test_in_order_covers_every_draw_of_every_video_once(count: int, batch: int, draws: int) -> None:
    order = SequentialBatches([draws] * count, batch)
    batches = list(order)
    assert len(batches) == len(order)
    assert max(len(keys) for keys in batches) <= batch
    keys = [key for keys in batches for key in keys]
    assert len(keys) == count * draws
    assert set(keys) == {(draw, index) for draw in range(draws) for index in range(count)}
    assert [index for _, index in keys] == sorted(index for _, index in keys)


def test_uniform_windows_come_out_by_their_draw(videos: list[Video]) -> None:
    dataset = ClipDataset(videos, UniformClipSampler(4, 1, count=3), replace_failed=False)
    data = make_loader(dataset, SequentialBatches([3] * len(videos), 6), workers=0)
    starts: dict[int, list[float]] = {}
    for keys, batch in zip(SequentialBatches([3] * len(videos), 6), data, strict=True):
        assert batch.index.tolist() == [index for _, index in keys]
        for draw, index in keys:
            starts.setdefault(index, []).append(float(dataset[draw, index].clips["clip"].times[0]))
    for index, times in starts.items():
        last = (20 + 7 * index - 4) / 25
        assert times == pytest.approx([0.0, last / 2, last], abs=0.021)
