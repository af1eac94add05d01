"""Ink is told from paper, and a digit's parts from all else; strokes come near MNIST's width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from picture_maker import Scene, colour, draw, lines, photograph, shadow, to_bytes
from under10k.data.datasets import Dataset
from under10k.pictures.ink import MOST_PARTS, stroke_width
from under10k.pictures.parts import Found, find_digit, find_digits
from under10k.pictures.picture import open_picture
from under10k.pictures.pixels import Grey, fit, resize
from under10k.pictures.strokes import adjust_strokes


def drawing(dataset: Dataset, index: int = 0, **changes: float) -> Grey:
    """A digit on white paper, with the ink black: float32 (H, W)."""
    scene = Scene(**{"pen": 9, "offset": 0, **changes})  # type: ignore[arg-type]
    ink = draw(dataset.train.images[index].numpy(), scene, np.random.default_rng(index))
    return np.asarray(1 - ink, dtype=np.float32)


def found(grey: Grey) -> Found:
    digit = find_digit(grey)
    assert digit is not None
    return digit


def overlap(grey: Grey, truth: Grey) -> float:
    """Share of the ink, found and true, that is both."""
    digit = found(grey)
    place = np.zeros(grey.shape)
    top, left, _, _ = digit.box
    top, left = max(0, top - 2), max(0, left - 2)
    height, width = digit.ink.shape
    place[top : top + height, left : left + width] = digit.ink
    both, either = (place > 0.5) & (truth > 0.5), (place > 0.5) | (truth > 0.5)
    return float(both.sum() / either.sum())


@pytest.mark.parametrize("index", range(10))
def test_ink_and_paper_exchanged_are_the_same_digit(index: int, dataset: Dataset) -> None:
    for grey in (drawing(dataset, index), drawing(dataset, index)[50:230, 70:210]):
        grey = np.round(grey * 255) / np.float32(255)
        dark, light = found(grey), found(1 - grey)
        assert (dark.light, light.light) == (False, True)
        np.testing.assert_allclose(dark.ink, light.ink, atol=0.03)


@pytest.mark.parametrize("pen", [8, 20, 34])
@pytest.mark.parametrize("index", range(6))
def test_a_digit_that_touches_every_edge_is_still_ink(index: int, pen: float, dataset: Dataset) -> None:
    ink = 1 - drawing(dataset, index, pen=pen)
    rows, columns = np.nonzero(ink > 0.5)
    tight = 1 - ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert not found(tight).light
    assert found(1 - tight).light


def test_invert_takes_the_other_for_ink(dataset: Dataset) -> None:
    grey = drawing(dataset)
    other = find_digit(grey, invert=True)
    assert other is not None
    assert other.light


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@given(height=st.integers(1, 60), width=st.integers(1, 60))
@settings(deadline=None, max_examples=10)
def test_a_blank_picture_has_no_digit(value: float, height: int, width: int) -> None:
    grey = np.full((height, width), value, dtype=np.float32)
    assert find_digit(grey) is None
    assert find_digits(grey) == []


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
@example(height=11, width=2, seed=1)  # nothing but bars
@settings(deadline=None, max_examples=30)
def test_whatever_the_picture_what_is_found_is_finite_and_inside(height: int, width: int, seed: int) -> None:
    grey = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    digit = find_digit(grey)
    for one in ([digit] if digit else []) + find_digits(grey):
        top, left, bottom, right = one.box
        assert 0 <= top < bottom <= height
        assert 0 <= left < right <= width
        assert np.isfinite(one.ink).all()
        assert np.isfinite(adjust_strokes(one.ink)).all()


@pytest.mark.parametrize("index", range(5))
def test_a_shadow_and_lines_are_no_ink(index: int, dataset: Dataset) -> None:
    rng = np.random.default_rng(index)
    ink = 1 - drawing(dataset, index, height=360, width=480, digit=180)
    ruling = lines(360, 480, rng, squared=True, step=60, degrees=3)
    photo = photograph(ink, rng, ruling=ruling, light=shadow(360, 480, rng))
    assert overlap(open_picture(photo).grey, np.asarray(ink, np.float32)) > 0.75


def test_a_line_one_pixel_thin_is_whole_where_it_bends_or_crosses_another() -> None:
    grey = np.ones((300, 300), dtype=np.float32)
    grey[60:150, 90] = grey[149, 90:200] = grey[60:240, 170] = 0  # a 4 of straight lines
    for step in range(12):  # a serif that leans
        grey[60 + step, 90 - step] = grey[60 + step, 89 - step] = 0
    top, left, bottom, right = found(grey).box
    assert (top, left) == (60, 78)
    assert bottom >= 238
    assert right >= 198


@pytest.mark.parametrize("pen", [4, 12])
def test_a_band_of_shadow_that_a_stroke_crosses_is_no_ink(pen: int) -> None:
    paper, band = 0.8, np.s_[150:190]
    grey = np.full((360, 480), paper, dtype=np.float32)
    grey += np.random.default_rng(0).normal(0, 0.03, grey.shape).astype(np.float32)
    grey[band] *= 0.5
    grey[100:250, 240 : 240 + pen] *= 0.2
    top, left, bottom, right = found(grey).box
    assert abs(top - 100) <= 3
    assert abs(bottom - 250) <= 3
    assert right - left <= pen + 6


def test_the_parts_of_a_broken_digit_belong_together() -> None:
    grey = np.ones((200, 200), dtype=np.float32)
    grey[40:48, 90:140] = 0  # the bar of a 5
    grey[60:100, 80:88] = 0  # its stem, detached
    grey[110:118, 85:130] = 0
    grey[5:7, 5:7] = 0  # a speck
    assert found(grey).box == (40, 80, 118, 140)
    assert len(find_digits(grey)) == 1


@pytest.mark.parametrize("apart", [14, 20, 30])
def test_specks_around_a_digit_are_left_out(apart: int) -> None:
    grey = np.ones((220, 220), dtype=np.float32)
    grey[60:160, 106:114] = grey[60:68, 70:114] = grey[152:160, 106:150] = 0
    box = found(grey).box
    for top, left in ((60 - apart - 9, 100), (100, 150 + apart), (160 + apart, 80), (100, 70 - apart - 9)):
        grey[top : top + 9, left : left + 9] = 0
    assert found(grey).box == box


@pytest.mark.parametrize(("darkness", "taken"), [(0.4, True), (0.28, False)])
def test_in_a_photo_fainter_ink_belongs_to_a_digit_only_if_it_is_near(darkness: float, taken: bool) -> None:
    paper = np.random.default_rng(0).normal(0.8, 0.01, (360, 480)).astype(np.float32)
    paper *= np.linspace(0.8, 1, 480, dtype=np.float32)
    paper[100:250, 240:250] *= 0.5
    paper[100:250, 265:275] *= 1 - darkness
    assert (found(paper).box[3] > 260) == taken


def test_a_speck_far_away_is_left_out_and_a_second_digit_is_told_of(dataset: Dataset) -> None:
    one = drawing(dataset)
    two = np.concatenate([one, drawing(dataset, 1)], axis=1)
    assert found(one).alone
    assert not found(two).alone


def test_several_digits_are_found_in_reading_order(dataset: Dataset) -> None:
    rows = [np.concatenate([drawing(dataset, index + row) for index in range(3)], axis=1) for row in (0, 3)]
    boxes = [one.box for one in find_digits(fit(np.concatenate(rows), 640))]
    assert len(boxes) == 6
    assert [box[1] for box in boxes[:3]] == sorted(box[1] for box in boxes[:3])
    assert max(box[2] for box in boxes[:3]) < min(box[0] for box in boxes[3:]) + 40


# --- strokes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [2, 5, 12])
def test_the_width_of_a_stroke_is_measured(width: int) -> None:
    shape = np.zeros((60, 200), dtype=bool)
    shape[20 : 20 + width, 5:195] = True
    assert stroke_width(ndimage.distance_transform_edt(shape)) == pytest.approx(width, rel=0.15)


def measured(ink: Grey) -> float:
    """Width of strokes for a digit of 20 pixels."""
    rows, columns = np.nonzero(ink > 0.5)
    inside = ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))
    return stroke_width(inside) * 20 / (max(np.ptp(rows), np.ptp(columns)) + 1)


@pytest.mark.parametrize("pen", [2, 4, 40])
@pytest.mark.parametrize("index", range(4))
def test_thin_and_thick_strokes_come_nearer_to_mnists(index: int, pen: float, dataset: Dataset) -> None:
    ink = found(drawing(dataset, index, pen=pen)).ink
    before, after = measured(ink), measured(adjust_strokes(ink))
    if pen < 10:
        assert before < 1.3
        assert 1.3 < after < 2.5
    else:
        assert after <= before


def test_usual_strokes_are_left_alone(dataset: Dataset) -> None:
    ink = found(drawing(dataset, pen=26)).ink
    assert adjust_strokes(ink) is ink


@pytest.mark.parametrize("width", [1, 2, 4, 60])
def test_a_ring_stays_a_ring(width: int) -> None:
    """Widened or thinned, its hole stays open, and it does not tear."""
    y, x = np.mgrid[-100:100, -100:100]
    ring = np.abs(np.hypot(x, 1.4 * y) - 95 + width / 2) < width / 2 + 0.5
    adjusted = adjust_strokes(ring.astype(np.float32)) > 0.5
    assert ndimage.label(adjusted, np.ones((3, 3)))[1] == 1
    assert ndimage.label(np.pad(~adjusted, 1, constant_values=True))[1] == 2


# --- sizes ---------------------------------------------------------------------------------------------------------


@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_shrinking_keeps_the_mean(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((60, 60), dtype=np.float32)
    assert resize(image, height, width).shape == (height, width)
    assert resize(image, height, width).mean() == pytest.approx(image.mean(), abs=1e-4)


def test_enlarging_reads_between_pixels() -> None:
    np.testing.assert_allclose(resize(np.array([[0, 1]], dtype=np.float32), 1, 4), [[0, 0.25, 0.75, 1]])


def test_colours_are_bytes() -> None:
    assert to_bytes(colour(np.zeros((2, 2)))).dtype == np.uint8


@pytest.mark.timeout(60)
@pytest.mark.parametrize("step", [4, 8])
def test_a_picture_full_of_dots_is_no_more_work_than_its_largest_parts(step: int) -> None:
    grey = np.ones((640, 640), dtype=np.float32)
    grey[1::step, 1::step] = 0  # 25,600 parts: each looked for among all others, it took four minutes
    find_digit(grey)
    assert len(find_digits(grey)) <= MOST_PARTS


def test_a_blot_amid_faint_specks_is_not_enlarged_with_all_of_them() -> None:
    ink = np.zeros((628, 628), dtype=np.float32)
    ink[::62, 304:308] = 0.3  # of which, twelve times as large, four gigabytes were made
    ink[300:310, 300:310] = 1
    assert max(adjust_strokes(ink).shape) < 1000


def test_a_stroke_that_fades_in_a_photo_is_found_whole() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:360, 0:480]
    ink = ((np.abs(x - 240) < 5) & (y > 60) & (y < 300)) * np.clip(1 - (y - 60) / 370, 0.35, 1)
    found = find_digit(open_picture(photograph(ink, rng, noise=2)).grey)
    assert found is not None
    assert found.box[0] < 70
    assert found.box[2] > 290
