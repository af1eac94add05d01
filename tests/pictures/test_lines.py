"""Printed lines are no ink, and a digit's own strokes are; rows are read whatever stands beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hard_pictures import HANDS, Polyline, box_around, draw_lines
from picture_maker import lines
from under10k.data.synthetic import draw_digits
from under10k.pictures.parts import Found, find_digit, find_digits
from under10k.pictures.pixels import Grey, resize

EIGHT_STROKES: list[Polyline] = [[(60, 40), (40, 60), (80, 100), (60, 120), (40, 100), (80, 60), (60, 40)]]


def drawn(strokes: Sequence[Polyline], thickness: float = 5, height: int = 160, width: int = 160) -> Grey:
    return (1 - draw_lines(height, width, strokes, thickness)).astype(np.float32)


def is_whole(found: Found | None, strokes: Sequence[Polyline], slack: float = 6) -> bool:
    """Tell whether what was found lies where the strokes do."""
    points = np.concatenate([np.array(stroke) for stroke in strokes])
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return found is not None and bool(np.abs(np.array(found.box) - (top, left, bottom, right)).max() <= slack)


@pytest.mark.parametrize("thickness", [1, 2, 3])
@pytest.mark.parametrize(
    ("degrees", "missing", "double"), [(0, False, 0), (0, True, 0), (4, False, 0), (-5, True, 0), (0, False, 6)]
)
def test_a_box_around_a_digit_is_no_ink(degrees: float, missing: bool, double: float, thickness: int) -> None:
    rng = np.random.default_rng(thickness)
    half = np.array([52.0, 62.0])
    sides = box_around(np.array([60.0, 80.0]), half, rng, degrees=degrees, missing=missing, double=double)
    grey = np.minimum(0.35 + 0.65 * drawn(EIGHT_STROKES), drawn(sides, thickness))
    assert is_whole(find_digit(grey), EIGHT_STROKES)


@pytest.mark.parametrize("gap", [1, 3, 5])
@pytest.mark.parametrize("thickness", [1, 3, 8])
def test_a_double_frame_around_a_digit_is_no_ink(thickness: int, gap: int) -> None:
    sides: list[Polyline] = []
    for out in (0, thickness + gap):
        left, top, right, bottom = 25 - out, 23 - out, 95 + out, 137 + out
        sides.append([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    assert is_whole(find_digit(np.minimum(drawn(EIGHT_STROKES), drawn(sides, thickness))), EIGHT_STROKES)


TURNS = np.linspace(0, 2 * np.pi, 60)


def circle(radius: float, x: float = 60, y: float = 80) -> Polyline:
    return list(zip(x + radius * np.cos(TURNS), y + radius * np.sin(TURNS), strict=True))


@pytest.mark.parametrize("thickness", [2, 6, 12])
def test_a_circle_around_a_digit_is_no_ink(thickness: int) -> None:
    grey = np.minimum(drawn(EIGHT_STROKES), drawn([circle(56)], thickness))
    assert is_whole(find_digit(grey), EIGHT_STROKES)
    assert len(find_digits(grey)) == 1


@pytest.mark.parametrize("size", [2, 5, 8])
def test_a_zero_around_a_speck_is_no_frame(size: int) -> None:
    zero = circle(40)
    grey = drawn([zero])
    grey[78 : 78 + size, 60 : 60 + size] = 0
    assert is_whole(find_digit(grey), [zero])


def test_a_zero_around_the_line_it_is_written_on_is_no_frame() -> None:
    zero = circle(40)
    grey = np.minimum(0.25 + 0.75 * drawn([zero]), 1)
    grey[82:85, 30:90] = np.minimum(grey[82:85, 30:90], 0.78)
    assert is_whole(find_digit(grey), [zero])


@pytest.mark.parametrize("left", [0, 4, 9])
def test_a_box_that_touches_the_pictures_edge_is_no_ink(left: int) -> None:
    box: list[Polyline] = [[(110, 18), (9, 18), (9, 142), (110, 142)]]
    grey = np.minimum(0.35 + 0.65 * drawn(EIGHT_STROKES), drawn(box, 2))[:, left:]
    found = find_digit(grey)
    assert is_whole(found, [[(x - left, y) for x, y in EIGHT_STROKES[0]]])


def test_a_box_nearly_as_high_as_the_picture_is_no_ink() -> None:
    seven: list[Polyline] = [[(18, 26), (37, 24), (24, 54)]]
    box: list[Polyline] = [[(0, 8), (53, 8), (53, 69), (0, 69), (0, 8)]]
    grey = np.minimum(0.35 + 0.65 * drawn(seven, 4, 77, 73), drawn(box, 3, 77, 73))
    assert is_whole(find_digit(grey), seven)


def test_an_open_box_one_side_of_which_reaches_the_pictures_edges_is_no_ink() -> None:
    seven: list[Polyline] = [[(26, 26), (46, 24), (36, 52)]]
    box: list[Polyline] = [[(8.2, 4), (7.3, 68), (62.9, 70), (63.7, 5)]]
    assert is_whole(find_digit(np.minimum(drawn(seven, 4, 76, 72), drawn(box, 3, 76, 72))), seven)


def test_a_one_in_a_box_stays() -> None:
    one: list[Polyline] = [[(80, 40), (80, 120)]]
    box: list[Polyline] = [[(40, 20), (120, 20), (120, 140), (40, 140), (40, 20)]]
    assert is_whole(find_digit(np.minimum(drawn(one, 4), drawn(box, 2))), one)


def test_an_empty_box_is_no_digit() -> None:
    assert find_digit(drawn([[(30, 30), (130, 30), (130, 130), (30, 130), (30, 30)]], 2)) is None


@pytest.mark.parametrize("thickness", [2, 5, 10])
@pytest.mark.parametrize("name", [*HANDS, "1", "1 with a foot", "straight 7", "square 0"])
def test_a_digits_own_straight_strokes_are_ink(name: str, thickness: float) -> None:
    straight: dict[str, list[Polyline]] = {
        "1": [[(0.5, 0), (0.5, 1)]],
        "1 with a foot": [[(0.2, 0.3), (0.5, 0), (0.5, 1)], [(0.1, 1), (0.9, 1)]],
        "straight 7": [[(0, 0), (0.8, 0), (0.8, 1)]],
        "square 0": [[(0.1, 0), (0.6, 0), (0.7, 0.1), (0.7, 0.9), (0.6, 1), (0.1, 1), (0, 0.9), (0, 0.1), (0.1, 0)]],
    }
    shape = straight[name] if name in straight else HANDS[name][1]
    strokes: list[Polyline] = [[(30 + 100 * x, 30 + 100 * y) for x, y in stroke] for stroke in shape]
    assert is_whole(find_digit(drawn(strokes, thickness)), strokes, slack=thickness / 2 + 3)


@pytest.mark.parametrize("name", ["straight 7", "1 with a foot"])
def test_a_digit_cut_out_tightly_keeps_the_stroke_from_edge_to_edge(name: str) -> None:
    shapes: dict[str, list[Polyline]] = {
        "straight 7": [[(0, 3), (78, 3), (40, 120)]],
        "1 with a foot": [[(0, 40), (44, 2), (44, 120)], [(2, 118), (78, 118)]],
    }
    found = find_digit(drawn(shapes[name], 5, 121, 81))
    assert found is not None
    assert found.box[2] - found.box[0] > 115


@pytest.mark.parametrize(("height", "width"), [(36, 32), (42, 25), (42, 29), (42, 42), (48, 29)])
def test_a_round_zero_beside_another_digit_is_no_box(height: float, width: float) -> None:
    turns = np.linspace(0, 2 * np.pi, 40)
    zero: Polyline = list(zip(60 + width / 2 * np.cos(turns), 60 + height / 2 * np.sin(turns), strict=True))
    eight: Polyline = [(x + 70, (y + 40) / 2) for x, y in EIGHT_STROKES[0]]
    assert len(find_digits(drawn([zero, eight], 4 if height == width else 3, 120, 200))) == 2


def rows_of_digits(rows: int, columns: int) -> Grey:
    """Draw digits 60 pixels high, 100 apart."""
    paper = np.ones((rows * 100, columns * 100), dtype=np.float32)
    images = draw_digits(rows * columns, seed=2).images.numpy()
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        paper[row * 100 + 10 : row * 100 + 94, column * 100 + 10 : column * 100 + 94] -= resize(
            (image / 255).astype(np.float32), 84, 84
        )
    return paper


def test_rows_are_found_beside_a_bar() -> None:
    paper = np.pad(rows_of_digits(4, 6), ((0, 0), (40, 0)), constant_values=1)
    assert len(find_digits(paper)) == 24
    paper[100:260, 12:18] = 0
    assert len(find_digits(paper)) == 24


@pytest.mark.parametrize("squared", [False, True])
def test_rows_are_found_on_dark_lines(squared: bool) -> None:
    paper = rows_of_digits(3, 6)
    ruling = lines(300, 600, np.random.default_rng(1), squared=squared, step=47, degrees=1)
    found = find_digits(np.minimum(paper, (1 - ruling).astype(np.float32)))
    assert len(found) == 18


@pytest.mark.parametrize("thickness", [2, 3])
def test_a_stroke_along_a_ruled_line_stays_where_it_is_thicker(thickness: int) -> None:
    two: list[Polyline] = [[(60, 50), (90, 40), (100, 60), (60, 112), (110, 112)]]
    ruling: list[Polyline] = [[(0, y), (160, y + 2)] for y in (31, 71, 111, 151)]
    assert is_whole(find_digit(np.minimum(drawn(two, 6), drawn(ruling, thickness))), two)


def test_a_stroke_along_a_ruled_line_stays_where_it_is_darker() -> None:
    two: list[Polyline] = [[(60, 50), (90, 40), (100, 60), (60, 112), (110, 112)]]
    ruling: list[Polyline] = [[(0, y), (160, y)] for y in (32, 72, 112, 152)]
    found = find_digit(np.minimum(drawn(two, 4), 0.45 + 0.55 * drawn(ruling, 4)))
    assert is_whole(found, two)
    assert found is not None
    assert (found.ink[-6:] > 0.5).any(axis=0).mean() > 0.8  # the foot


def test_a_line_missing_from_ruled_paper_is_found_where_it_should_be() -> None:
    paper = rows_of_digits(3, 4)
    for row in (40, 90, 140, 190, 240):
        paper[row : row + 2] = 0
    paper[140:142, 40::80] = paper[140:142, 41::80] = 1  # broken to pieces, the longest of them at the edge
    paper[135:145, :12] = paper[135:145, -12:] = 1
    assert len(find_digits(paper)) == 12


def test_digits_in_a_row_of_boxes_are_found_without_their_boxes() -> None:
    paper = rows_of_digits(1, 6)
    alone = [found.box for found in find_digits(paper)]
    for number in range(6):
        top, left = 4 + number % 3, 100 * number + 6
        box = paper[top : top + 90, left : left + 86]
        box[:2] = box[-2:] = box[:, :2] = box[:, -2:] = 0
    assert [found.box for found in find_digits(paper)] == alone


def two_rows(link: Sequence[Polyline]) -> list[Found]:
    """Write two rows of three zeros and draw a link in the middle."""
    zero: Polyline = [(20, 0), (8, 8), (0, 30), (8, 52), (20, 60), (32, 52), (40, 30), (32, 8), (20, 0)]
    zeros = [[(x + 30 + 90 * column, y + 30 + 110 * row) for x, y in zero] for row in (0, 1) for column in range(3)]
    return find_digits(np.minimum(drawn(zeros, 5, 230, 300), drawn(link, 3, 230, 300)))


@pytest.mark.parametrize("bend", [0, 6])
@pytest.mark.parametrize("column", [140, 152])
def test_a_link_between_two_rows_is_taken_out(column: float, bend: float) -> None:
    alone, linked = two_rows([]), two_rows([[(column, 86), (column + bend, 115), (column, 146)]])
    boxes = [np.array([found.box for found in each]) for each in (alone, linked)]
    assert boxes[0].shape == boxes[1].shape == (6, 4)
    assert np.abs(boxes[0] - boxes[1]).max() <= 6


def test_a_tail_that_reaches_into_the_next_row_stays_as_far_as_its_row_goes() -> None:
    nine: Polyline = [(40, 12), (20, 0), (2, 12), (20, 28), (40, 12), (38, 60), (30, 115)]
    zero: Polyline = [(20, 0), (2, 20), (2, 40), (20, 60), (38, 40), (38, 20), (20, 0)]
    strokes = [
        [(x + 30 + 90 * column, y + 30 + 110 * row) for x, y in shape]
        for row, column, shape in ((0, 0, zero), (0, 1, nine), (0, 2, zero), (1, 0, zero), (1, 1, zero), (1, 2, zero))
    ]
    found = find_digits(drawn(strokes, 5, 230, 300))
    assert len(found) == 6
    assert abs(found[1].box[2] - 90) <= 8


def test_a_tall_digit_in_a_single_row_is_no_link() -> None:
    paper = rows_of_digits(1, 5)
    paper = np.pad(paper, ((60, 60), (0, 100)), constant_values=1)
    paper[40:150, 540:546] = paper[40:46, 500:546] = 0  # a tall 7
    assert len(find_digits(paper)) == 6


def test_a_one_thinner_than_the_others_is_found() -> None:
    paper = rows_of_digits(1, 5)
    paper[:, :100] = 1
    paper[24:84, 60:62] = 0
    assert len(find_digits(paper)) == 5


def test_specks_far_from_a_row_are_left_out() -> None:
    paper = np.pad(rows_of_digits(1, 5), 60, constant_values=1)
    for top, left in ((10, 30), (200, 400), (15, 500)):
        paper[top : top + 12, left : left + 12] = 0
    assert len(find_digits(paper)) == 5
