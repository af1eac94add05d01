"""Filters of grey pictures and masks, several times as fast as SciPy's general ones, with the same results."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from under10k.pictures.pixels import Grey

Mask = NDArray[np.bool_]


EIGHT = np.ones((3, 3), dtype=bool)
"""Pixels are connected along edges and across corners."""


def highest_near(grey: Grey, side: int) -> Grey:
    """Return the largest value in the square of an odd `side` around each pixel."""
    return _highest_above(_highest_above(grey, side).T, side).T


def lowest_within(grey: Grey, side: int) -> Grey:
    """Return the smallest value in each square of an odd `side` within a picture: (H - side + 1, W - side + 1)."""
    return _extreme_below(_extreme_below(grey.copy(), side, np.minimum).T, side, np.minimum).T


def _highest_above(grey: Grey, side: int) -> Grey:
    return _extreme_below(np.pad(grey, ((side // 2, side // 2), (0, 0)), mode="edge"), side, np.maximum)


def _extreme_below(values: Grey, side: int, pick: np.ufunc) -> Grey:
    """Pick of `side` pixels along columns: of 2, then of 4, 8 and so on, so that it takes log2(side) steps.

    It overwrites its input.
    """
    spare = np.empty_like(values)
    covered, length = 1, len(values)
    while covered < side:
        step = min(covered, side - covered)
        length -= step
        pick(values[:length], values[step : step + length], out=spare[:length])
        values, spare = spare, values
        covered += step
    return values[:length]


def places(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns of a mask's pixels, row by row."""
    rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return rows, columns


def mean_near(grey: Grey, side: int) -> Grey:
    """Return the mean over the square of a small odd `side` around each pixel.

    Past its edges the picture is continued by its outermost pixels.
    """
    return _sum_above(_sum_above(grey, side).T, side).T * np.float32(1 / side**2)


def _sum_above(grey: Grey, side: int) -> Grey:
    total = grey.copy(order="K")
    for step in range(1, side // 2 + 1):
        total[step:] += grey[:-step]
        total[:step] += grey[0]
        total[:-step] += grey[step:]
        total[-step:] += grey[-1]
    return total


def widen(mask: Mask) -> Mask:
    """Return a mask with all pixels that touch it, along an edge or at a corner."""
    tall = mask.copy()
    tall[1:] |= mask[:-1]
    tall[:-1] |= mask[1:]
    wide = tall.copy()
    wide[:, 1:] |= tall[:, :-1]
    wide[:, :-1] |= tall[:, 1:]
    return wide


def run_lengths(mask: Mask) -> NDArray[np.float32]:
    """Return for each pixel of a mask how many there are in its horizontal run, else 0; in the mask's memory order."""
    padded = np.pad(mask, ((0, 0), (0, 1)))  # so that no run continues in the next row
    inside = np.flatnonzero(padded)
    starts = np.flatnonzero(np.diff(inside, prepend=-2) > 1)
    lengths = np.diff(starts, append=len(inside))
    runs = np.zeros_like(mask, dtype=np.float32)
    runs[np.divmod(inside, padded.shape[1])] = np.repeat(lengths, lengths)
    return runs


def steepness(grey: Grey, rows: NDArray[Any], columns: NDArray[Any]) -> Grey:
    """Return how much brightness changes at some pixels: the sum of both axes' slopes, each without its sign."""
    total = np.zeros(rows.shape, dtype=np.float32)
    for axis, at in enumerate((rows, columns)):
        before, after = np.maximum(at - 1, 0), np.minimum(at + 1, grey.shape[axis] - 1)
        ends = (grey[before, columns], grey[after, columns]) if axis == 0 else (grey[rows, before], grey[rows, after])
        total += np.abs((ends[1] - ends[0]) / np.maximum(after - before, 1).astype(np.float32))
    return total
