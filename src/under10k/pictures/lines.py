"""Printed lines, told from strokes: ruled and squared paper, boxes, tables."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from under10k.pictures.filters import EIGHT, Mask, run_lengths, widen
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


RULED = 3
"""Lines across the picture that are sure to be paper's."""


OVERHANG = 0.03
"""Share of its length by which a lone line across the picture must go on beyond the ink that it touches."""


EXCESS, EXCESS_DEVIATIONS = 0.6, 3.0
"""Darkness that a line has no more than usual where no stroke lies on it: that of so many pixels of its width, or as a
multiple of its deviation along the line."""


STRETCH = 5
"""Pixels along a line over which darkness is averaged, and that a stroke on it is at least long."""


MISSING, COVERED = 1.5, 0.5
"""Distance between two lines of ruled paper, as a multiple of the usual, from which one is missing between them; and the
share of its length that ink covers where it should be."""


UNIFORM = 12
"""Square of a stretch's length, divided by the variance of places spread evenly over it."""


ROUGHNESS = 1.5
"""Pixels, besides a line's width, that it covers across at most; where there is more ink, a stroke is there, too."""


CORNER = 4
"""Pixels, besides the width of a line, that the ends of two lines may be apart to form a corner."""


ALIKE = 0.8
"""Share of their length that the two sides of an open box have in common."""


LEAST_WITHIN = 0.12
"""Least size of ink within a frame, as a share of its smaller side."""


EMPTY_WIDTH = 0.05
"""Largest width of an empty box's lines, as a share of its smaller side; a 0 drawn with corners is thicker."""


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


Box = tuple[float, float, float, float]

Runs = tuple[Grey, Grey]
"""How many pixels of ink lie in line with each, down and along; 0 where there is none."""


def find_printed(ink: Mask, darkness: Grey) -> Mask | None:
    """Return where printed lines are, apart from the strokes that cross them; None where there are none.

    A line is printed if it crosses the picture, or is a side of a box or table: then its ends meet other lines. Lines
    are left where no ink would remain, so that a lone 1 stays; a thin box with nothing in it is no digit.
    """
    width = max(LINE_WIDTH, int(LINE_SHARE * max(ink.shape)))
    paper = _find_paper(ink, darkness, width)
    boxes = _find_boxes(ink if paper is None else ink & ~paper, darkness, width)
    if paper is None or boxes is None:
        return paper if boxes is None else boxes
    return paper | boxes


def _find_paper(ink: Mask, darkness: Grey, width: int) -> Mask | None:
    """Return the lines across the picture."""
    runs, lines = _find_lines(ink, width)
    crossing = [line for line in lines if _crosses(line, ink.shape)]
    if not crossing:
        return None
    for upright, across in ((False, runs[0]), (True, runs[1].T)):
        crossing += _missing([line for line in crossing if line.upright == upright], across)
    kept = _crossing_paper(crossing, _boxes(ink & ~_paint(ink, darkness, runs, crossing, width)))
    return _paint(ink, darkness, runs, kept) if kept else None


def _find_boxes(ink: Mask, darkness: Grey, width: int) -> Mask | None:
    """Return the sides of boxes and tables."""
    runs, lines = _find_lines(ink, width)
    frames = _frames([line for line in lines if not _crosses(line, ink.shape)], ink.shape)
    if not frames:
        return None
    rest = _boxes(ink & ~_paint(ink, darkness, runs, [line for frame in frames for line in frame], width))
    kept = [line for frame in frames if _holds_ink(frame, rest) or _is_empty_box(frame) for line in frame]
    return _paint(ink, darkness, runs, kept) if kept else None


# --- straight and thin ---------------------------------------------------------------------------------------------


def _find_lines(ink: Mask, width: int) -> tuple[Runs, list[Line]]:
    """Find the lines along rows and columns; return with them how many pixels of ink lie in line down and along."""
    runs = run_lengths(ink.T).T, run_lengths(ink)
    parts, _ = ndimage.label(widen(ink), EIGHT)
    flat, steep = (ink & (across <= width) & (along >= FLAT * across) for across, along in (runs, runs[::-1]))
    return runs, [*_along_rows(flat, parts, False), *_along_rows(steep.T, parts.T, True)]


def _along_rows(thin: Mask, parts: NDArray[Any], upright: bool) -> list[Line]:
    """Find lines along rows: a long straight piece, and all further pieces in its course."""
    pieces, count = ndimage.label(thin, EIGHT)
    if not count:
        return []
    down, along = np.nonzero(thin)
    which = pieces[down, along] - 1
    (top, bottom), (first, last) = (_bounds(which, count, places) for places in (down, along))
    high = bottom - top
    pixels = np.bincount(which, minlength=count).astype(float)
    x, y, xx, xy, yy = (
        np.bincount(which, weights=weight, minlength=count)
        for weight in (along, down, along * along, along * down, down * down)
    )
    part = np.zeros(count, dtype=int)
    part[which] = parts[down, along]  # the same all over a piece
    sums = np.stack([pixels, x, y, xx, xy, yy], axis=1)
    length = last - first
    order = np.argsort(-length, kind="stable")
    free = np.ones(count, dtype=bool)
    lines: list[Line] = []
    tried = 0
    for seed in order.tolist():
        if length[seed] < SHORTEST or tried == MOST_SEEDS:
            break
        if not free[seed]:
            continue
        tried += 1
        if (fit := _fit(sums[seed], int(length[seed]))) is None:
            continue
        slope, offset, width = fit
        start, end = int(first[seed]), int(last[seed])
        held = np.zeros(count, dtype=bool)
        held[seed] = True
        while True:  # look as far again to either side, then fit anew: a short piece tells the slope but roughly
            near = np.abs(y / pixels - slope * x / pixels - offset) <= width / 2 + NEAR_LINE
            near &= free & ~held & (high <= width + np.abs(slope) * length + 2 * NEAR_LINE)
            near &= (first - end <= end - start) & (start - last <= end - start)
            if not near.any():
                break
            held |= near
            start, end = min(start, int(first[near].min())), max(end, int(last[near].max()))
            slope, offset, _ = _slope(sums[held].sum(axis=0))
        free &= ~held

        def line_of(own: NDArray[np.int64]) -> Line:
            slope, offset, _ = _slope(sums[own].sum(axis=0))
            return Line(upright, int(first[own].min()), int(last[own].max()), slope, offset, width, int(part[own[0]]))

        along_it = np.nonzero(held)[0]
        line = line_of(along_it)
        if _crosses(line, thin.shape[::-1] if upright else thin.shape):
            lines.append(line)
        else:  # the sides of boxes that stand in a row are lines of their own
            lines += [
                one
                for number in np.unique(part[along_it]).tolist()
                if (one := line_of(along_it[part[along_it] == number])).last - one.first >= SHORTEST
            ]
    return lines


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


def _paint(ink: Mask, darkness: Grey, runs: Runs, lines: Sequence[Line], least: int = 0) -> Mask:
    """Return the ink of lines: what is as thin as one, in its course, and where two cross without a stroke.

    With `least`, all that is up to so many pixels thin in a line's course, strokes that run along it included.
    """
    high, wide = runs
    flat = _bands(high, darkness, [line for line in lines if not line.upright], least)
    steep = _bands(wide.T, darkness.T, [line for line in lines if line.upright], least).T
    painted = ink & ((high <= flat) | (wide <= steep))
    rest, count = ndimage.label(ink & ~painted, EIGHT)
    beyond = np.zeros(count + 1, dtype=bool)
    beyond[rest[(flat == 0) | (steep == 0)]] = True
    return np.asarray(painted | (ink & ~beyond[rest]))


def _bands(runs: Grey, darkness: Grey, lines: Sequence[Line], least: int) -> Grey:
    """Return how much ink a line covers at most, across, in the stretch around each; 0 elsewhere.

    `runs` is how many pixels of ink there are across each line.
    """
    height, width = runs.shape
    bands = np.zeros((height, width), dtype=np.float32)
    rows = np.arange(height)[:, None]
    for line in lines:
        half = line.width / 2 + NEAR_LINE
        first, last = max(0, line.first - CORNER), min(width, line.last + CORNER)
        along = np.arange(first, last)
        centre = line.slope * along + line.offset
        top, bottom = max(0, math.floor(centre.min() - half)), math.ceil(centre.max() + half) + 1
        band, near = bands[top:bottom, first:last], np.abs(rows[top:bottom] - centre) <= half
        most = np.broadcast_to(_most_ink(line, runs, darkness, along, centre, least), near.shape)
        band[near] = np.maximum(band[near], most[near])
    return bands


def _most_ink(
    line: Line, runs: Grey, darkness: Grey, along: NDArray[np.int64], centre: NDArray[np.float64], least: int
) -> NDArray[np.float64]:
    """Return how much ink a line covers at most at each place along it: none where it is darker, as under a stroke."""
    height = len(runs)
    middle = np.round(centre).astype(int)
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
    heavy = plain & (excess > max(EXCESS * normal / width, EXCESS_DEVIATIONS * deviation))
    most[ndimage.binary_opening(heavy, np.ones(STRETCH, dtype=bool))] = 0
    return most


# --- across the picture --------------------------------------------------------------------------------------------


def _crossing_paper(lines: Sequence[Line], rest: Sequence[Box]) -> list[Line]:
    """Return the lines across the picture that are paper's: several, or those that go on beyond the ink they touch."""
    if not rest:
        return []
    kept = []
    for upright in (False, True):
        same = [line for line in lines if line.upright == upright]
        kept += [line for line in same if len(same) >= RULED or _goes_on(line, rest)]
    return kept


def _missing(ruling: Sequence[Line], runs: Grey) -> list[Line]:
    """Return the lines that lie where ruled paper has some, from line to line, and were not found on their own."""
    if len(ruling) < RULED:
        return []
    height, length = runs.shape
    ordered = sorted(ruling, key=lambda line: line.across(length / 2))
    places = [line.across(length / 2) for line in ordered]
    pitch = float(np.median(np.diff(places)))
    width = float(np.median([line.width for line in ordered]))
    if pitch <= 2 * (width + NEAR_LINE):
        return []
    wanted = []
    for before, after in itertools.pairwise(ordered):
        count = int((after.across(length / 2) - before.across(length / 2)) / pitch + MISSING - 1)
        wanted += [(before, after, step / count) for step in range(1, count)]
    for last, inner in ((ordered[0], ordered[1]), (ordered[-1], ordered[-2])):
        step = pitch / (inner.across(length / 2) - last.across(length / 2))
        wanted += [(last, inner, -number * abs(step)) for number in range(1, math.ceil(height / pitch))]
    found = []
    for one, other, share in wanted:
        slope = one.slope + min(max(share, 0), 1) * (other.slope - one.slope)
        middle = one.across(length / 2) + share * (other.across(length / 2) - one.across(length / 2))
        line = Line(one.upright, 0, length, slope, middle - slope * length / 2, width, one.ink)
        along = np.arange(length)
        rows = np.round(line.slope * along + line.offset).astype(int)
        inside = (rows >= 0) & (rows < height)
        if inside.sum() >= SHORTEST and (runs[rows[inside], along[inside]] > 0).mean() >= COVERED:
            found.append(line)
    return found


def _goes_on(line: Line, rest: Sequence[Box]) -> bool:
    """Tell whether a line goes on, at both ends, beyond all ink that touches it."""
    most = max(OVERHANG * (line.last - line.first), CORNER)
    for box in rest:
        low, high, start, end = (box[1], box[3], box[0], box[2]) if line.upright else (box[0], box[2], box[1], box[3])
        course = sorted((line.across(start), line.across(end)))
        reach = line.width / 2 + CORNER
        touches = low - reach <= course[1] and course[0] <= high + reach
        if touches and (start - line.first < most or line.last - end < most):
            return False
    return True


# --- frames --------------------------------------------------------------------------------------------------------


def _frames(lines: Sequence[Line], shape: tuple[int, ...]) -> list[list[Line]]:
    """Group the lines of the same ink whose ends meet others: closed boxes, tables, and boxes open on one side."""
    ends = [[_meets(line, at, lines, shape) for at in (line.first, line.last)] for line in lines]
    firm = [all(met for met, _ in both) for both in ends]
    half = [any(corner for _, corner in both) for both in ends]
    tied = [line for line, one, other in zip(lines, firm, half, strict=True) if one or other]
    sides = [
        line
        for line, is_firm in zip(lines, firm, strict=True)
        if is_firm or (line in tied and any(_alike(line, other) for other in tied))
    ]
    groups: list[list[Line]] = []
    for line in sides:
        own = [group for group in groups if any(_touch(line, other) for other in group)]
        groups = [group for group in groups if group not in own] + [
            [line, *(other for group in own for other in group)]
        ]
    return [group for group in groups if len(group) > 2 and len({line.upright for line in group}) == 2]


def _meets(line: Line, at: int, lines: Sequence[Line], shape: tuple[int, ...]) -> tuple[bool, bool]:
    """Tell whether a line's end meets another line or the picture's edge, and whether it forms a corner there."""
    if _at_edge(line, at, shape):
        return True, True
    place = line.across(at)
    met = corner = False
    for other in lines:
        reach = _reach(line, other)
        if other.ink != line.ink or other.upright == line.upright or abs(other.across(place) - at) > reach:
            continue
        met |= other.first - reach <= place <= other.last + reach
        corner |= min(abs(place - other.first), abs(place - other.last)) <= reach
    return met, corner


def _reach(first: Line, second: Line) -> float:
    return (first.width + second.width) / 2 + CORNER


def _crosses(line: Line, shape: tuple[int, ...]) -> bool:
    """Tell whether a line goes from edge to edge of the picture, and not along one."""
    length, reach = shape[0 if line.upright else 1], line.width + CORNER
    ends = line.first <= reach or line.last >= length - reach
    return ends and _at_edge(line, line.first, shape) and _at_edge(line, line.last, shape)


def _at_edge(line: Line, at: int, shape: tuple[int, ...]) -> bool:
    """Tell whether a line's end lies at the picture's edge: it runs up to it, or slants out of the picture."""
    height, width = shape[::-1] if line.upright else shape
    reach, side = line.width + CORNER, line.width / 2 + 1
    return not (reach < at < width - reach and side < line.across(at) < height - side)


def _alike(first: Line, second: Line) -> bool:
    """Tell whether two lines go the same way, over about the same stretch."""
    if first is second or first.ink != second.ink or first.upright != second.upright:
        return False
    shared = min(first.last, second.last) - max(first.first, second.first)
    return shared >= ALIKE * max(first.last - first.first, second.last - second.first)


def _touch(first: Line, second: Line) -> bool:
    if first.ink != second.ink:
        return False
    one, other = _box_of(first), _box_of(second)
    down = max(one[0], other[0]) - min(one[2], other[2])
    across = max(one[1], other[1]) - min(one[3], other[3])
    return max(down, across) <= _reach(first, second)


def _box_of(line: Line) -> Box:
    low, high = sorted((line.across(line.first), line.across(line.last)))
    return (line.first, low, line.last, high) if line.upright else (low, line.first, high, line.last)


def _hull(lines: Sequence[Line]) -> Box:
    tops, lefts, bottoms, rights = zip(*map(_box_of, lines), strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)


def _holds_ink(frame: Sequence[Line], rest: Sequence[Box]) -> bool:
    top, left, bottom, right = _hull(frame)
    least = max(LEAST_WITHIN * min(bottom - top, right - left), CORNER)
    return any(
        top <= box[0]
        and left <= box[1]
        and box[2] <= bottom + 1
        and box[3] <= right + 1
        and max(box[2] - box[0], box[3] - box[1]) >= least
        for box in rest
    )


def _is_empty_box(frame: Sequence[Line]) -> bool:
    top, left, bottom, right = _hull(frame)
    sides = {True: bottom - top, False: right - left}
    whole = [line.upright for line in frame if line.last - line.first >= ALIKE * sides[line.upright]]
    width = max(line.width for line in frame)
    return min(whole.count(True), whole.count(False)) > 1 and width <= EMPTY_WIDTH * min(sides.values())


def _boxes(ink: Mask) -> list[Box]:
    labels: NDArray[Any]
    labels, _ = ndimage.label(ink, EIGHT)
    return [
        (rows.start, columns.start, rows.stop, columns.stop)
        for rows, columns in ndimage.find_objects(labels)
        if max(rows.stop - rows.start, columns.stop - columns.start) > CORNER
    ]
