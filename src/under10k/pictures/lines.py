"""Straight thin lines of ink, and what of the ink in their course is theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from under10k.pictures.filters import EIGHT, Mask, places, run_lengths, widen
from under10k.pictures.pixels import Grey

LINE_WIDTH, LINE_SHARE = 6, 0.0125
"""Largest width of a printed line: pixels, or a share of the picture's larger side if that is more."""


SHORTEST, SLENDER = 12, 6.0
"""Least length of a line's longest piece: pixels, and a multiple of its width."""


STEEPEST = 0.18
"""Largest slope of a line, against the picture's rows or columns: 10 degrees."""


BEND = 0.8
"""Largest deviation of a piece's pixels from a straight line, in pixels, besides that of its width."""


NEAR_LINE = 2.0
"""Pixels from a line, besides half its width, within which a further piece of it lies."""


MOST_SEEDS = 200
"""Most pieces, the longest, that lines are looked for along, in each direction."""


FLAT = 2.5
"""How many times as long as high the run of pixels is that a line's pixel lies in: less, and it is a stroke's."""


EXCESS, EXCESS_DEVIATIONS = 0.6, 3.0
"""Darkness that a line has no more than usual where no stroke lies on it: that of so many pixels of its width, or as a
multiple of its deviation along the line."""


FADING = 0.5
"""Share of that excess of darkness that is a stroke's, too, next to one that is sure."""


STRETCH = 5
"""Pixels along a line over which darkness is averaged, and that a stroke on it is at least long."""


UNIFORM = 12
"""Square of a stretch's length, divided by the variance of places spread evenly over it."""


ROUGHNESS = 1.5
"""Pixels, besides a line's width, that it covers across at most; where there is more ink, a stroke is there, too."""


CORNER = 4
"""Pixels, besides the width of a line, that the ends of two lines may be apart to form a corner."""


@dataclass(frozen=True)
class Line:
    """A straight line: along rows, from `first` to before `last`, or along columns if `upright`."""

    upright: bool
    first: int
    last: int
    slope: float
    offset: float
    width: float
    ink: int
    """The number of the connected ink that it belongs to; that of its first piece if it crosses the picture."""

    def across(self, along: float) -> float:
        """Return where the line is, across its direction."""
        return self.slope * along + self.offset


Runs = tuple[Grey, Grey]
"""How many pixels of ink lie in line with each, down and along; 0 where there is none."""


Lines = tuple[Runs, list[Line]]
"""What `find_lines` finds in some ink."""


def find_lines(ink: Mask, width: int) -> Lines:
    """Find the lines along rows and columns; return with them how many pixels of ink lie in line down and along."""
    parts, _ = ndimage.label(widen(ink), EIGHT)
    rows, columns = places(ink)
    wide = run_lengths(ink)
    down, along = run_lengths(ink.T)[columns, rows], wide[rows, columns]
    high = np.zeros_like(wide)  # in the same memory order as all else: mixed orders are slow
    high[rows, columns] = down
    flat = (down <= width) & (along >= FLAT * down)
    steep = (along <= width) & (down >= FLAT * along)
    return (high, wide), [
        *_along_rows(rows[flat], columns[flat], parts, False),
        *_along_rows(columns[steep], rows[steep], parts.T, True),
    ]


class _Pieces(NamedTuple):
    """Pieces of connected thin ink, each measured along rows: arrays of one value for each."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    length: NDArray[np.int64]
    high: NDArray[np.int64]
    part: NDArray[np.int64]
    """The number of the connected ink that it belongs to."""
    sums: NDArray[np.float64]
    """Pixels, and the sums of x, y, xx, xy and yy over them: (pieces, 6)."""

    def reach(self, own: NDArray[np.int64]) -> int:
        """Return how many pixels some pieces span together."""
        return int(self.last[own].max() - self.first[own].min())

    def line(self, own: NDArray[np.int64], width: float, upright: bool) -> Line:
        """Return the line that some pieces make."""
        slope, offset, _ = _slope(self.sums[own].sum(axis=0))
        first, last, ink = self.first[own].min(), self.last[own].max(), self.part[own[0]]
        return Line(upright, int(first), int(last), slope, offset, width, int(ink))


def _along_rows(down: NDArray[Any], along: NDArray[Any], parts: NDArray[Any], upright: bool) -> list[Line]:
    """Find lines along rows, from the places of thin ink: a long straight piece, and all others in its course."""
    pieces = _measure(down, along, parts)
    if pieces is None:
        return []
    length = pieces.length
    free = np.ones(len(length), dtype=bool)
    lines: list[Line] = []
    tried = 0
    for seed in np.argsort(-length, kind="stable").tolist():
        if length[seed] < SHORTEST or tried == MOST_SEEDS:
            break
        if not free[seed]:
            continue
        tried += 1
        if (fit := _fit(pieces.sums[seed], int(length[seed]))) is None:
            continue
        held = _in_course(pieces, free, seed, fit)
        free &= ~held
        own, width = np.nonzero(held)[0], fit[2]
        line = pieces.line(own, width, upright)
        if crosses(line, parts.shape[::-1] if upright else parts.shape):
            lines.append(line)
            continue
        part = pieces.part[own]  # boxes that stand in a row: each its own
        sides = (own[part == number] for number in np.unique(part).tolist())
        lines += [pieces.line(side, width, upright) for side in sides if pieces.reach(side) >= SHORTEST]
    return lines


def _measure(down: NDArray[Any], along: NDArray[Any], parts: NDArray[Any]) -> _Pieces | None:
    """Measure the pieces of thin ink, which is at these rows and columns; None if there are none."""
    if not len(down):
        return None
    thin = np.zeros(parts.shape, dtype=bool)
    thin[down, along] = True
    pieces, count = ndimage.label(thin, EIGHT)
    which = pieces[down, along] - 1
    (top, bottom), (first, last) = (_bounds(which, count, at) for at in (down, along))
    part = np.zeros(count, dtype=np.int64)
    part[which] = parts[down, along]  # the same all over a piece
    sums = [
        np.bincount(which, weights=weight, minlength=count)
        for weight in (None, along, down, along * along, along * down, down * down)
    ]
    return _Pieces(first, last, last - first, bottom - top, part, np.stack(sums, axis=1).astype(float))


def _in_course(pieces: _Pieces, free: Mask, seed: int, fit: tuple[float, float, float]) -> Mask:
    """Return which free pieces lie in the course of one, of which slope, offset and width are given; it is the first.

    Looks as far again to either side, then fits anew: a short piece tells the slope but roughly.
    """
    slope, offset, width = fit
    pixels, x, y = pieces.sums[:, 0], pieces.sums[:, 1], pieces.sums[:, 2]
    start, end = int(pieces.first[seed]), int(pieces.last[seed])
    held = np.zeros(len(free), dtype=bool)
    held[seed] = True
    while True:
        near = np.abs(y / pixels - slope * x / pixels - offset) <= width / 2 + NEAR_LINE
        near &= free & ~held & (pieces.high <= width + np.abs(slope) * pieces.length + 2 * NEAR_LINE)
        near &= (pieces.first - end <= end - start) & (start - pieces.last <= end - start)
        if not near.any():
            return held
        held |= near
        start, end = min(start, int(pieces.first[near].min())), max(end, int(pieces.last[near].max()))
        slope, offset, _ = _slope(pieces.sums[held].sum(axis=0))


def _bounds(which: NDArray[Any], count: int, places: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first place of each piece's pixels, and the one after the last."""
    first, last = np.full(count, places.max(), dtype=np.int64), np.zeros(count, dtype=np.int64)
    np.minimum.at(first, which, places)
    np.maximum.at(last, which, places + 1)
    return first, last


def _slope(sums: NDArray[np.float64]) -> tuple[float, float, float]:
    """Fit a straight line by least squares: its slope, offset, and the variance around it."""
    pixels, x, y, xx, xy, yy = sums.tolist()
    spread = xx / pixels - (x / pixels) ** 2
    shared = xy / pixels - x * y / pixels**2
    slope = shared / spread if spread else 0.0
    return slope, (y - slope * x) / pixels, yy / pixels - (y / pixels) ** 2 - slope * shared


def _fit(sums: NDArray[np.float64], length: int) -> tuple[float, float, float] | None:
    """Return slope, offset and width of a piece, if it is straight and slender."""
    slope, offset, variance = _slope(sums)
    width = float(sums[0]) / length
    straight = variance <= width**2 / UNIFORM + BEND**2 and abs(slope) <= STEEPEST
    return (slope, offset, width) if straight and length >= SLENDER * width else None


# --- a line's ink --------------------------------------------------------------------------------------------------


def paint(ink: Mask, darkness: Grey, runs: Runs, lines: Sequence[Line], least: int = 0) -> Mask:
    """Return the ink of lines: what is as thin as one, in its course, and where two cross without a stroke.

    With `least`, all that is up to so many pixels thin in a line's course, strokes that run along it included.
    """
    high, wide = runs
    lying, standing = ([line for line in lines if line.upright == upright] for upright in (False, True))
    flat = _bands(high, darkness, lying, standing, least)
    steep = _bands(wide.T, darkness.T, standing, lying, least).T
    painted: Mask = ink & ((high <= flat) | (wide <= steep))
    rest = ink & ~painted
    crossed = rest & (flat > 0) & (steep > 0)
    if not crossed.any():
        return painted
    labels, count = ndimage.label(rest, EIGHT)
    beyond = np.zeros(count + 1, dtype=bool)
    beyond[labels[rest & ~crossed]] = True
    painted[crossed] = ~beyond[labels[crossed]]
    return painted


def _bands(runs: Grey, darkness: Grey, lines: Sequence[Line], crossing: Sequence[Line], least: int) -> Grey:
    """Return how much ink a line covers at most, across, in the stretch around each; 0 elsewhere.

    `runs` is how many pixels of ink there are across each line.
    """
    height, width = runs.shape
    bands = np.zeros_like(runs)
    rows = np.arange(height)[:, None]
    for line in lines:
        half = line.width / 2 + NEAR_LINE
        first, last = max(0, line.first - CORNER), min(width, line.last + CORNER)
        along = np.arange(first, last)
        centre = line.slope * along + line.offset
        top, bottom = max(0, math.floor(centre.min() - half)), math.ceil(centre.max() + half) + 1
        band, near = bands[top:bottom, first:last], np.abs(rows[top:bottom] - centre) <= half
        most = np.broadcast_to(_most_ink(line, crossing, runs, darkness, along, centre, least), near.shape)
        band[near] = np.maximum(band[near], most[near])
    return bands


def _most_ink(
    line: Line,
    crossing: Sequence[Line],
    runs: Grey,
    darkness: Grey,
    along: NDArray[np.int64],
    centre: NDArray[np.float64],
    least: int,
) -> NDArray[np.float64]:
    """Return how much ink a line covers at most at each place along it: none where it is darker, as under a stroke."""
    height = len(runs)
    middle = np.floor(centre + 0.5).astype(int)
    covered = runs[np.clip(middle, 0, height - 1), along]
    usual = float(np.median(covered[covered > 0])) if covered.any() else 0.0
    width = max(line.width, min(usual, 2 * line.width))
    most = np.full(len(along), max(width + ROUGHNESS, least))
    reach = math.ceil(width / 2) + 1
    plain = (covered > 0) & (covered <= width + ROUGHNESS) & (middle >= reach) & (middle + reach < height)
    if least or plain.sum() < STRETCH:
        return most
    total = darkness[np.clip(middle + np.arange(-reach, reach + 1)[:, None], 0, height - 1), along].sum(axis=0)
    normal = float(np.median(total[plain]))
    window = np.ones(STRETCH)
    excess = np.convolve((total - normal) * plain, window, "same") / np.maximum(np.convolve(plain, window, "same"), 1)
    deviation = 1.4826 * float(np.median(np.abs(excess[plain])))
    limit = max(EXCESS * normal / width, EXCESS_DEVIATIONS * deviation)
    stroke = plain & (excess > limit)
    if stroke.any():
        stroke = ndimage.binary_opening(stroke, np.ones(STRETCH, dtype=bool))
    stroke |= covered > width + ROUGHNESS
    may = stroke | plain & (excess > FADING * limit)
    for other in crossing:  # where it crosses, the line is darker, too
        place = other.across(line.across(other.across(0)))
        near = np.abs(along - place) <= other.width / 2 + NEAR_LINE
        stroke &= ~near
        may &= ~near
    most[ndimage.binary_propagation(stroke, mask=may)] = 0
    return most


# --- a line's ends -------------------------------------------------------------------------------------------------


def crosses(line: Line, shape: tuple[int, ...]) -> bool:
    """Tell whether a line goes from edge to edge of the picture, and not along one."""
    length, reach = shape[0 if line.upright else 1], line.width + CORNER
    ends = line.first <= reach or line.last >= length - reach
    return ends and at_edge(line, line.first, shape) and at_edge(line, line.last, shape)


def at_edge(line: Line, at: int, shape: tuple[int, ...]) -> bool:
    """Tell whether a line's end lies at the picture's edge: it runs up to it, or slants out of the picture."""
    height, width = shape[::-1] if line.upright else shape
    reach, side = line.width + CORNER, line.width / 2 + 1
    return not (reach < at < width - reach and side < line.across(at) < height - side)
