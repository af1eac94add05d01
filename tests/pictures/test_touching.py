"""Digits that touch are cut apart where the network reads the pieces better than the whole."""

from __future__ import annotations

import numpy as np
import pytest

from hard_pictures import draw_lines
from under10k.pictures.parts import Found, find_digits
from under10k.pictures.touching import MOST_CUTS, MOST_PIECES, Read, split_touching

UNSURE = [0.3, 0.3]
"""What the network makes of the whole."""


def width(found: Found) -> int:
    return found.box[3] - found.box[1]


def reads(first: int, last: int) -> Read:
    """Stand in for a network that is sure of what is from `first` to `last` pixels wide."""

    def read(pieces: list[Found]) -> list[list[float]]:
        return [[0.95 if first <= width(one) <= last else 0.31, 0.05] for one in pieces]

    return read


def counted(row: list[float]) -> tuple[Read, list[int]]:
    """Stand in for a network that reads all alike; the list is how many pieces it was given at a time."""
    counts: list[int] = []

    def read(pieces: list[Found]) -> list[list[float]]:
        counts.append(len(pieces))
        return [row] * len(pieces)

    return read, counts


def test_digits_that_touch_are_parted_where_the_pieces_are_read_better_than_the_whole() -> None:
    paper = np.ones((100, 200), dtype=np.float32)
    paper[20:80, 40:80] = paper[20:80, 86:126] = paper[48:52, 80:86] = 0
    (whole,) = find_digits(paper)
    (pieces,) = split_touching([whole], [UNSURE], reads(38, 50))
    assert [round((one.box[1] + one.box[3]) / 2) for one in pieces] == pytest.approx([60, 106], abs=6)
    assert split_touching([whole], [UNSURE], lambda some: [[0.25, 0.2]] * len(some)) == [[whole]]


def test_a_digit_of_usual_width_that_is_read_for_sure_is_not_cut() -> None:
    paper = np.ones((100, 100), dtype=np.float32)
    paper[20:80, 20:75] = 0
    (whole,) = find_digits(paper)

    def refuse(pieces: list[Found]) -> list[list[float]]:
        assert not pieces
        return []

    assert split_touching([whole], [[0.7, 0.3]], refuse) == [[whole]]


def test_digits_that_lean_are_cut_apart_aslant() -> None:
    slanted = draw_lines(120, 160, [[(60, 20), (30, 100)], [(110, 20), (80, 100)], [(46, 60), (94, 60)]], 8)
    (whole,) = find_digits((1 - slanted).astype(np.float32))
    (pieces,) = split_touching([whole], [UNSURE], reads(30, 48))
    assert len(pieces) == 2
    assert pieces[1].box[1] < pieces[0].box[3] + 40
    heights = [np.ptp(np.nonzero(one.ink > 0.5)[0]) + 1 for one in pieces]
    assert heights == pytest.approx([84, 84], abs=8)


def test_two_ones_that_touch_are_parted_if_they_are_hardly_read_as_one_digit() -> None:
    ones = draw_lines(120, 120, [[(40, 20), (40, 100)], [(76, 20), (76, 100)], [(40, 60), (76, 60)]], 8)
    (whole,) = find_digits((1 - ones).astype(np.float32))
    (pieces,) = split_touching([whole], [[0.2, 0.2]], reads(8, 30))
    assert len(pieces) == 2
    assert split_touching([whole], [UNSURE], reads(8, 30)) == [[whole]], "a digit so narrow need not be read so well"


def test_digits_cut_apart_are_known_as_such() -> None:
    paper = np.ones((100, 200), dtype=np.float32)
    paper[20:80, 40:80] = paper[20:80, 86:126] = paper[48:52, 80:86] = 0
    (whole,) = find_digits(paper)
    (pieces,) = split_touching([whole], [UNSURE], reads(38, 50))
    assert [whole.cut, *(piece.cut for piece in pieces)] == [False, True, True]


def test_digits_that_share_a_stroke_both_keep_it() -> None:
    boxes = [
        [(40, 30), (80, 30), (80, 100), (40, 100), (40, 30)],
        [(80, 30), (120, 30), (120, 100), (80, 100), (80, 30)],
    ]
    (whole,) = find_digits((1 - draw_lines(130, 160, boxes, 8)).astype(np.float32))
    (pieces,) = split_touching([whole], [UNSURE], reads(44, 54))
    assert [width(one) for one in pieces] == pytest.approx([48, 48], abs=4)
    assert pieces[0].box[3] > pieces[1].box[1]


def test_one_digit_is_not_read_twice_as_two_that_share_most_of_it() -> None:
    box = [(40, 30), (90, 30), (90, 100), (40, 100), (40, 30)]
    (whole,) = find_digits(
        (1 - draw_lines(130, 160, [box, [(90, 65), (110, 65)], [(20, 65), (40, 65)]], 8)).astype(np.float32)
    )
    assert split_touching([whole], [UNSURE], reads(70, 90)) == [[whole]]


def test_what_joins_two_rows_is_no_digit() -> None:
    paper = np.ones((260, 400), dtype=np.float32)
    for row in (30, 150):
        for column in range(5):
            paper[row : row + 60, 30 + 70 * column : 80 + 70 * column] = 0
    paper[90:150, 48:51] = 0
    found = find_digits(paper)
    parted = split_touching(found, [[0.9, 0.1]] * len(found), reads(48, 54))
    heights = [one.box[2] - one.box[0] for pieces in parted for one in pieces]
    assert heights == pytest.approx([60] * 10, abs=14)


def test_a_picture_full_of_what_may_be_several_digits_is_bounded_work() -> None:
    paper = np.ones((640, 640), dtype=np.float32)
    for row in range(20):
        for column in range(8):
            paper[10 + 31 * row : 30 + 31 * row, 10 + 78 * column : 70 + 78 * column] = 0
    found = find_digits(paper)
    read, counts = counted([0.31, 0.3])
    assert len(found) == 160
    split_touching(found, [UNSURE] * len(found), read)
    assert counts[0] < len(found) / 10, "no more are cut"
    assert sum(counts) <= MOST_PIECES + MOST_CUTS**2


def test_only_pieces_that_may_be_part_of_the_best_row_are_read() -> None:
    paper = np.ones((60, 640), dtype=np.float32)
    paper[20:40, 20:620] = 0
    (whole,) = find_digits(paper)
    read, counts = counted([0.2, 0.2])
    assert split_touching([whole], [UNSURE], read) == [[whole]]
    assert sum(counts) < 20, "one of those that begin it must be likely"


def test_nothing_is_read_where_no_pieces_could_be_better_than_the_whole() -> None:
    paper = np.ones((100, 200), dtype=np.float32)
    paper[20:80, 40:92] = 0
    (whole,) = find_digits(paper)
    read, counts = counted([0.99, 0.01])
    assert split_touching([whole], [[0.5, 0.5]], read) == [[whole]]
    assert not counts
