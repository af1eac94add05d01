"""Framing: size, place and shape of a digit in its 28x28 picture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from under10k.data.framing import BOX, frame

MIDDLE = 14.0
"""MNIST's centres of mass lie within half a pixel of this one, counted from the first pixel's centre."""


def canvas(height: int, width: int) -> Tensor:
    return torch.zeros(1, height, width)


def seven(height: int, width: int, *, pad: int = 0) -> Tensor:
    """A bar on top and a leg at the right, in a box of the given size with `pad` blank pixels around it."""
    ink = torch.zeros(1, height, width)
    ink[:, : max(1, height // 3)] = 1
    ink[:, :, width - max(1, width // 3) :] = 1
    return torch.nn.functional.pad(ink, (pad, pad, pad, pad))


def sides(picture: Tensor) -> tuple[int, int]:
    visible = picture[0] > 1e-3
    return int(visible.any(dim=1).sum()), int(visible.any(dim=0).sum())


def centre(picture: Tensor) -> tuple[float, float]:
    steps = torch.arange(28.0)
    total = picture.sum()
    return float((picture.sum(dim=(0, 2)) * steps).sum() / total), float(
        (picture.sum(dim=(0, 1)) * steps).sum() / total
    )


@pytest.mark.parametrize(
    ("height", "width"), [(60, 24), (24, 60), (7, 5), (3, 9), (20, 20), (300, 170), (1, 1), (1, 50), (50, 1)]
)
def test_the_larger_side_becomes_twenty_pixels(height: int, width: int) -> None:
    framed = frame(seven(height, width, pad=3))
    assert framed.shape == (1, 28, 28)
    assert max(sides(framed)) == BOX


def test_the_shape_is_kept() -> None:
    height, width = sides(frame(seven(100, 50, pad=10)))
    assert (height, width) == (20, 10)


def test_a_large_photo_is_framed() -> None:
    picture = canvas(1500, 2000)
    picture[:, 700:1300, 900:1000] = 1
    framed = frame(picture)
    assert sides(framed) == (20, 4)  # 20 x 3 1/3, from a whole pixel on
    assert framed.sum() == pytest.approx(20 * 20 / 6, rel=1e-4)


@given(
    height=st.integers(8, 60),
    width=st.integers(8, 60),
    left=st.integers(0, 30),
    top=st.integers(0, 30),
)
@settings(deadline=None, max_examples=40)
def test_the_centre_of_mass_comes_to_the_centre(height: int, width: int, left: int, top: int) -> None:
    framed = frame(torch.nn.functional.pad(seven(height, width), (left, 5, top, 2)))
    assert framed.isfinite().all()
    # Half a pixel for moving by whole pixels, a little for ink that is spread evenly over a pixel's area.
    assert centre(framed) == pytest.approx((MIDDLE, MIDDLE), abs=0.55)


@given(left=st.integers(0, 20), right=st.integers(0, 20), top=st.integers(0, 20), bottom=st.integers(0, 20))
@settings(deadline=None, max_examples=20)
def test_where_the_digit_lies_does_not_matter(left: int, right: int, top: int, bottom: int) -> None:
    ink = seven(31, 22)
    torch.testing.assert_close(frame(torch.nn.functional.pad(ink, (left, right, top, bottom))), frame(ink))


@given(times=st.integers(2, 12))
@settings(deadline=None, max_examples=10)
def test_how_large_the_digit_is_does_not_matter(times: int) -> None:
    ink = seven(23, 17)
    larger = ink.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)
    torch.testing.assert_close(frame(larger), frame(ink), atol=1e-4, rtol=0)


def test_a_framed_picture_stays_as_it_is() -> None:
    once = frame(seven(61, 45, pad=9))
    torch.testing.assert_close(frame(once), once, atol=0.1, rtol=0)


def test_a_picture_in_a_whole_box_is_not_resampled() -> None:
    picture = torch.nn.functional.pad(seven(20, 13), (6, 3, 5, 2))
    framed = frame(picture)
    torch.testing.assert_close(framed.sum(), picture.sum())
    assert set(torch.unique(framed.round(decimals=4)).tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("height", "width"), [(28, 28), (1, 1), (5, 400)])
def test_a_blank_picture_stays_blank(height: int, width: int) -> None:
    assert torch.equal(frame(canvas(height, width)), torch.zeros(1, 28, 28))


def test_faint_noise_does_not_widen_the_box() -> None:
    picture = seven(30, 20, pad=20)
    noisy = picture.clone()
    noisy[picture == 0] = 0.01
    torch.testing.assert_close(frame(noisy), frame(picture), atol=0.02, rtol=0)


def test_no_ink_leaves_the_picture_however_lopsided_it_is() -> None:
    picture = canvas(100, 100)
    picture[:, :20] = 1
    picture[:, :, 50] = 1
    framed = frame(picture)
    assert max(sides(framed)) == BOX
    assert framed.sum() == pytest.approx(float(picture.sum()) / 25, rel=1e-4)


def test_each_picture_is_framed_on_its_own() -> None:
    batch = torch.zeros(3, 64, 64)
    batch[0, 5:60, 10:20] = 1
    batch[2, 30:33, 2:60] = 0.5
    torch.testing.assert_close(frame(batch), torch.cat([frame(picture[None]) for picture in batch]))


def test_brightness_stays_between_zero_and_one() -> None:
    ink = torch.rand(50, 37, 41, generator=torch.Generator().manual_seed(0))
    framed = frame(ink)
    assert framed.min() >= 0
    assert framed.max() <= 1


def test_the_source_is_left_alone() -> None:
    ink = seven(20, 20, pad=4)
    copy = ink.clone()
    frame(ink)
    assert torch.equal(ink, copy)
