"""Records -> block grid, against one plain loop over blocks, and across B-frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unscene.video.picture_format import PictureFormat
from unscene.video.vectors import BLOCK, RECORD, BlockFields, join_fields, orient_field


def block_field(records, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """All frames P-frames but those without records."""
    fields = BlockFields(len(records))
    for t, frame in enumerate(records):
        fields.advance(bidirectional=False)
        fields.add(t, None if frame is None else frame.tobytes(), (height, width))
    return join_fields([(fields, t) for t in range(len(records))])


def slow_field(records, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame by frame, block by block, cell by cell."""
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    vectors = np.zeros((len(records), rows, columns, 2), np.float32)
    valid = np.zeros((len(records), rows, columns), bool)
    for t, frame in enumerate(records):
        for record in frame if frame is not None else ():
            if record["source"] >= 0:
                continue
            left, top = (
                int(record["dst_x"]) - int(record["w"]) // 2,
                int(record["dst_y"]) - int(record["h"]) // 2,
            )
            scale = max(int(record["motion_scale"]), 1)
            for y in range(top // BLOCK * BLOCK, top // BLOCK * BLOCK + int(record["h"]), BLOCK):
                for x in range(
                    left // BLOCK * BLOCK, left // BLOCK * BLOCK + int(record["w"]), BLOCK
                ):
                    if 0 <= y < rows * BLOCK and 0 <= x < columns * BLOCK:
                        cell = t, y // BLOCK, x // BLOCK
                        vectors[cell] = (
                            record["motion_x"] / scale,
                            record["motion_y"] / scale,
                        )
                        valid[cell] = True
    return vectors, valid


def make(rows: list[tuple[int, int, int, int, int, int, int, int]]) -> np.ndarray:
    """(source, w, h, left, top, motion_x, motion_y, scale) of each block."""
    out = np.zeros(len(rows), RECORD)
    for record, (source, w, h, left, top, x, y, scale) in zip(out, rows, strict=True):
        record["source"], record["w"], record["h"] = source, w, h
        record["dst_x"], record["dst_y"] = left + w // 2, top + h // 2
        record["motion_x"], record["motion_y"], record["motion_scale"] = x, y, scale
    return out


@st.composite
def frames(draw: st.DrawFn) -> np.ndarray | None:
    """One frame: disjoint macroblocks, each whole, halved or quartered; some intra, some future."""
    if draw(st.booleans()) and draw(st.booleans()):
        return None
    rows = []
    for place in draw(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=8)):
        w, h = draw(st.sampled_from([(16, 16), (16, 8), (8, 16), (8, 8)]))
        for top in range(0, 16, h):
            for left in range(0, 16, w):
                x, y = draw(st.integers(-99, 99)), draw(st.integers(-99, 99))
                source = draw(st.sampled_from([-1, -1, 1]))
                scale = draw(st.sampled_from([1, 2, 4]))
                rows.append((source, w, h, place[0] * 16 + left, place[1] * 16 + top, x, y, scale))
    return make(rows)


@settings(max_examples=60, deadline=None)
@given(st.lists(frames(), min_size=1, max_size=4), st.integers(17, 48), st.integers(17, 64))
def test_the_grid_equals_a_plain_loop(records, height: int, width: int) -> None:
    vectors, valid = block_field(records, height, width)
    slow_vectors, slow_valid = slow_field(records, height, width)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(valid, slow_valid)
    np.testing.assert_array_equal(vectors, slow_vectors)


def test_no_records_at_all_is_a_still_and_invalid_field() -> None:
    vectors, valid = block_field([None, np.zeros(0, RECORD)], 20, 33)
    assert vectors.shape == (2, 3, 5, 2)
    assert not valid.any()
    assert not vectors.any()


def test_small_partitions_share_a_cell_and_the_last_one_stands() -> None:
    rows = [(-1, 4, 4, 8 + x, 8 + y, 10 * y + x, 1, 1) for y in (0, 4) for x in (0, 4)]
    vectors, valid = block_field([make(rows)], 24, 24)
    assert valid.sum() == 1
    assert vectors[0, 1, 1].tolist() == [44, 1]


def test_a_frame_without_a_reference_ahead_leaves_the_future_out() -> None:
    vectors, valid = block_field([make([(1, 16, 16, 0, 0, 8, 8, 4)])], 16, 16)
    assert not valid.any()
    assert not vectors.any()


def test_vectors_across_b_frames_become_motion_per_frame() -> None:
    """A picture that moves 2 px right a frame, coded I B B P; block 0 looks back, block 1 ahead."""
    fields = BlockFields(4)
    for index, kind in enumerate("IBBP"):
        fields.advance(bidirectional=kind == "B")
        rows = [(-1, 8, 8, 0, 0, -2 * index * 4, 0, 4)] if index else []
        if kind == "B":
            rows.append((1, 8, 8, 8, 0, 2 * (3 - index) * 4, 0, 4))
            # Both: the past counts.
            rows += [(-1, 8, 8, 16, 0, -2 * index * 4, 0, 4), (1, 8, 8, 16, 0, 99, 99, 4)]
        fields.add(index, make(rows).tobytes() if rows else None, (8, 24))
        assert fields.waiting == (kind == "B")
        assert fields.past_only == (index == 0)
    vectors, valid = join_fields([(fields, index) for index in range(4)])
    assert valid[:, 0].tolist() == [[False] * 3, [True] * 3, [True] * 3, [True, False, False]]
    assert set(vectors[..., 0][valid].tolist()) == {-2.0}
    assert not vectors[..., 1].any()


@pytest.mark.parametrize(("codec", "known"), [("mpeg4", False), ("mpeg2video", True)])
def test_what_stands_still_in_a_b_frame_of_mpeg4_is_unknown(codec: str, known: bool) -> None:
    fields = BlockFields(3, codec)
    for index, kind in enumerate("IBP"):
        fields.advance(bidirectional=kind == "B")
        rows = [(-1, 8, 8, 0, 0, 0, 0, 4), (-1, 8, 8, 8, 0, 0, 1, 4), (1, 8, 8, 16, 0, 0, 0, 4)]
        fields.add(index, make(rows[: 3 if kind == "B" else 2]).tobytes(), (8, 24))
    _, valid = join_fields([(fields, index) for index in range(3)])
    assert valid[1, 0].tolist() == [known, True, known]
    assert valid[2, 0].tolist() == [True, True, False]


def test_frames_of_two_passes_join_and_those_without_a_reference_are_empty() -> None:
    tail, head = BlockFields(2), BlockFields(1)
    for fields, index, x in ((tail, 7, 4), (tail, 8, 8), (head, 0, 12)):
        fields.advance(bidirectional=False)
        fields.add(index, make([(-1, 8, 8, 0, 0, x, 0, 4)]).tobytes(), (8, 8))
    vectors, valid = join_fields([(tail, 7), (tail, 8), None, (head, 0)])
    assert vectors[:, 0, 0, 0].tolist() == [1, 2, 0, 3]
    assert valid[:, 0, 0].tolist() == [True, True, False, True]
    together, _ = join_fields([(tail, 7), (tail, 8)])
    assert np.shares_memory(together, tail.vectors)
    with pytest.raises(LookupError):
        join_fields([(head, 3), None])


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_an_upright_field_turns_places_and_vectors_alike(turns: int, mirrored: bool) -> None:
    """Where a vector's head and tail lie in the picture must not change but for the turn."""
    rows, columns = 3, 5
    vectors = np.zeros((1, rows, columns, 2), np.float32)
    vectors[0, 0, 1] = 2, 1  # from column 1, row 0 to column 3, row 1
    valid = np.zeros((1, rows, columns), bool)
    valid[0, 0, 1] = True
    head = np.zeros((1, rows, columns), bool)
    head[0, 1, 3] = True
    picture_format = PictureFormat(turns=turns, mirrored=mirrored)
    size = (rows * BLOCK, columns * BLOCK)
    turned, turned_valid = orient_field(vectors, valid, size, picture_format)
    np.testing.assert_array_equal(turned_valid, picture_format.upright(valid))
    (row, column), (head_row, head_column) = (
        np.argwhere(turned_valid[0])[0],
        np.argwhere(picture_format.upright(head)[0])[0],
    )
    assert turned[0, row, column].tolist() == [head_column - column, head_row - row]
    assert turned.flags.c_contiguous


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3), st.booleans())
def test_a_block_of_an_upright_field_has_the_vector_of_its_middle(
    height: int, width: int, turns: int, mirrored: bool
) -> None:
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    numbers = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    field = np.stack([numbers, numbers], axis=-1)[None]
    picture_format = PictureFormat(turns=turns, mirrored=mirrored)
    turned, _ = orient_field(
        field, np.ones((1, rows, columns), bool), (height, width), picture_format
    )
    pixels = picture_format.upright(numbers.repeat(BLOCK, 0).repeat(BLOCK, 1)[:height, :width])
    upright = picture_format.upright_size((height, width))
    assert turned.shape[1:3] == tuple(-(-side // BLOCK) for side in upright)
    for row, column in np.ndindex(turned.shape[1:3]):
        shown = pixels[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
        middle = shown[(shown.shape[0] - 1) // 2 :, (shown.shape[1] - 1) // 2 :][:2, :2]
        assert abs(turned[0, row, column, 0]) in middle


def test_no_motion_is_a_vector_and_not_its_absence() -> None:
    vectors, valid = block_field([make([(-1, 16, 16, 0, 0, 0, 0, 4)])], 16, 32)
    assert valid.tolist() == [[[True, True, False, False], [True, True, False, False]]]
    assert not np.signbit(vectors).any()
    assert not vectors.any()
