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
    border = (side // 2, side // 2)
    tall = _extreme(np.pad(grey, (border, (0, 0)), mode="edge"), side, np.maximum, 0)
    return _extreme(np.pad(tall, ((0, 0), border), mode="edge"), side, np.maximum, 1)


def lowest_within(grey: Grey, side: int) -> Grey:
    """Return the smallest value in each square of an odd `side` within a picture: (H - side + 1, W - side + 1)."""
    return _extreme(_extreme(grey.copy(), side, np.minimum, 0), side, np.minimum, 1)


def _extreme(values: Grey, side: int, pick: np.ufunc, axis: int) -> Grey:
    """Return the extremes of `side` neighbours along an axis: of 2, then of 4, 8 and so on, in log2(side) steps.

    It overwrites its input, as one long row: where rows meet, it picks nonsense, which is cut off.
    """
    row, spare = values.ravel(), np.empty(values.size, dtype=values.dtype)
    stride = 1 if axis else values.shape[1]
    covered, length = 1, len(row)
    while covered < side:
        step = min(covered, side - covered)
        length -= step * stride
        pick(row[:length], row[step * stride :][:length], out=spare[:length])
        row, spare = spare, row
        covered += step
    whole, left = row.reshape(values.shape), values.shape[axis] - side + 1
    return whole[:, :left] if axis else whole[:left]


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
    """Return for each pixel of a mask how many there are in its horizontal run, else 0."""
    inside = np.flatnonzero(mask)
    starts = np.flatnonzero((np.diff(inside, prepend=-2) > 1) | (inside % mask.shape[1] == 0))
    lengths = np.diff(starts, append=len(inside))
    runs = np.zeros(mask.shape, dtype=np.float32)
    runs.ravel()[inside] = np.repeat(lengths, lengths)
    return runs


def steepness(grey: Grey, rows: NDArray[Any], columns: NDArray[Any]) -> Grey:
    """Return how much brightness changes at some pixels: the sum of both axes' slopes, each without its sign."""
    total = np.zeros(rows.shape, dtype=np.float32)
    for axis, at in enumerate((rows, columns)):
        before, after = np.maximum(at - 1, 0), np.minimum(at + 1, grey.shape[axis] - 1)
        ends = (grey[before, columns], grey[after, columns]) if axis == 0 else (grey[rows, before], grey[rows, after])
        total += np.abs((ends[1] - ends[0]) / np.maximum(after - before, 1).astype(np.float32))
    return total
