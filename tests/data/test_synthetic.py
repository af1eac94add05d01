"""Drawn digits: reproducible, balanced, varied, and framed as MNIST's are."""

from __future__ import annotations

import pytest
import torch

from under10k.data.digits import CLASSES, Digits, to_unit
from under10k.data.synthetic import WAYS, draw_digits
from under10k.errors import UsageError


@pytest.fixture(scope="module")
def digits() -> Digits:
    return draw_digits(3000, seed=7)


@pytest.mark.parametrize("count", [1, 7, 1001, 10_000])
def test_any_number_of_digits_can_be_drawn(count: int) -> None:
    drawn = draw_digits(count, seed=0)
    assert drawn.images.shape == (count, 28, 28)
    assert drawn.images.dtype == torch.uint8
    assert drawn.labels.shape == (count,)
    assert drawn.labels.dtype == torch.int64


@pytest.mark.parametrize("count", [0, -1])
def test_less_than_one_digit_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match="at least one"):
        draw_digits(count, seed=0)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert draw_digits(1500, seed=3).sha256() == draw_digits(1500, seed=3).sha256()


def test_the_number_of_threads_does_not_matter() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = draw_digits(1500, seed=3).sha256()
        torch.set_num_threads(3)
        three = draw_digits(1500, seed=3).sha256()
    finally:
        torch.set_num_threads(before)
    assert one == three


def test_the_global_random_state_is_neither_used_nor_changed() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = draw_digits(20, seed=5).sha256()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert draw_digits(20, seed=5).sha256() == one


def test_another_seed_gives_other_digits(digits: Digits) -> None:
    other = draw_digits(len(digits), seed=8)
    assert not torch.equal(other.labels, digits.labels)
    assert torch.unique(torch.cat([digits.images, other.images]), dim=0).shape[0] == 2 * len(digits)


@pytest.mark.parametrize("count", [10, 37, 3000])
def test_classes_are_balanced(count: int) -> None:
    numbers = torch.bincount(draw_digits(count, seed=1).labels, minlength=CLASSES)
    assert numbers.max() - numbers.min() <= 1


def test_classes_come_in_shuffled_order(digits: Digits) -> None:
    assert not torch.equal(digits.labels, torch.arange(len(digits)) % CLASSES)
    assert torch.bincount(digits.labels[:500], minlength=CLASSES).min() > 20


def test_every_digit_can_be_written_in_several_ways() -> None:
    assert sorted(WAYS) == list(range(CLASSES))
    assert all(len(ways) > 1 and all(odds > 0 for odds, _ in ways) for ways in WAYS.values())


def test_every_digit_fills_a_box_of_twenty_pixels(digits: Digits) -> None:
    visible = digits.images > 5
    heights, widths = (visible.any(dim=axis).sum(dim=1) for axis in (2, 1))
    larger = torch.maximum(heights, widths)
    assert larger.max() <= 20
    assert larger.min() >= 19


def test_the_ink_resembles_that_of_mnist(digits: Digits) -> None:
    pixels = to_unit(digits.images)
    assert 0.12 < float(pixels.mean()) < 0.15  # MNIST: 0.131
    assert float(pixels.mean(dim=(1, 2)).min()) > 0.02
    assert float((pixels > 0.95).float().mean()) > 0.06  # strokes have solid middles; MNIST: 0.080
    assert bool((pixels[:, 0] == 0).all())


def test_digits_of_one_class_are_not_all_alike(digits: Digits) -> None:
    for digit in range(CLASSES):
        pixels = to_unit(digits.images[digits.labels == digit])
        assert float(pixels.std(dim=0).max()) > 0.3


def test_digits_of_different_classes_look_different() -> None:
    """The nearest class mean, the simplest of classifiers, reads far more than the tenth that guessing would."""
    known, asked = draw_digits(2000, seed=0), draw_digits(500, seed=1)
    means = torch.stack([to_unit(known.images[known.labels == digit]).mean(dim=0) for digit in range(CLASSES)])
    distances = torch.cdist(to_unit(asked.images).flatten(1), means.flatten(1))
    assert float((distances.argmin(dim=1) == asked.labels).float().mean()) > 0.6
