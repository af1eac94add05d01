"""Fast filters: they return what SciPy's and NumPy's general ones do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from under10k.pictures.filters import (
    EIGHT,
    highest_near,
    lowest_within,
    mean_near,
    places,
    run_lengths,
    steepness,
    widen,
)

SHAPES = [(1, 1), (1, 9), (9, 1), (2, 3), (30, 41), (64, 7)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", [1, 3, 5, 9, 31])
def test_the_extremes_near_each_pixel_are_scipys(shape: tuple[int, int], side: int) -> None:
    grey = np.random.default_rng(side).random(shape, np.float32)
    assert np.array_equal(highest_near(grey, side), ndimage.maximum_filter(grey, side, mode="nearest"))
    around = np.pad(grey, side // 2, mode="edge")
    assert np.array_equal(lowest_within(around, side), ndimage.minimum_filter(grey, side, mode="nearest"))
    assert np.array_equal(around, np.pad(grey, side // 2, mode="edge")), "it is left as it was"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", [1, 3, 5])
def test_the_mean_near_each_pixel_is_scipys(shape: tuple[int, int], side: int) -> None:
    grey = np.random.default_rng(side).random(shape, np.float32)
    assert mean_near(grey, side) == pytest.approx(ndimage.uniform_filter(grey, side, mode="nearest"), abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_widened_masks_and_lengths_of_runs_are_those_counted_one_by_one(shape: tuple[int, int], share: float) -> None:
    mask = np.random.default_rng(3).random(shape) < share
    runs, _ = ndimage.label(mask, [[0, 0, 0], [1, 1, 1], [0, 0, 0]])
    assert np.array_equal(run_lengths(mask), np.where(mask, np.bincount(runs.ravel())[runs], 0))
    assert np.array_equal(places(mask), np.nonzero(mask))
    assert np.array_equal(widen(mask), ndimage.binary_dilation(mask, EIGHT))


def test_steepness_is_the_gradients_of_both_axes_without_their_signs() -> None:
    grey = np.random.default_rng(4).random((20, 30), np.float32)
    rows, columns = np.nonzero(grey > 0.5)
    down, across = np.gradient(grey)
    assert np.array_equal(steepness(grey, rows, columns), (np.abs(down) + np.abs(across))[rows, columns])
