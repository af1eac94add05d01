"""Printed lines, told from strokes: ruled and squared paper, boxes, tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from under10k.pictures.filters import EIGHT, Mask
from under10k.pictures.lines import (
    CORNER,
    LINE_SHARE,
    LINE_WIDTH,
    NEAR_LINE,
    SHORTEST,
    Line,
    Lines,
    at_edge,
    crosses,
    find_lines,
    paint,
)
from under10k.pictures.pixels import Grey

RULED = 3
"""Lines across the picture that are sure to be paper's."""


OVERHANG = 0.03
"""Share of its length by which a lone line across the picture must go on beyond the ink that it touches."""


MISSING, COVERED = 1.5, 0.5
"""Distance between two lines of ruled paper, as a multiple of the usual, from which one is missing between them; and
the least share of its length that ink covers where it should be."""


ALIKE = 0.8
"""Share of their length that the two sides of an open box have in common."""


CORNER_SHARE = 1 / 15
"""Most that the ends of two lines of a box are apart, besides their width, as a share of the shorter one's length."""


LEAST_WITHIN = 0.12
"""Least size of ink within a frame, as a share of its smaller side."""


EMPTY_WIDTH = 0.05
"""Largest width of an empty box's lines, as a share of its smaller side; a 0 drawn with corners is thicker."""


Box = tuple[float, float, float, float]


def find_printed(ink: Mask, darkness: Grey) -> Mask | None:
    """Return where printed lines are, apart from the strokes that cross them; None where there are none.

    A line is printed if it crosses the picture, or is a side of a box or table: then its ends meet other lines. Lines
    are left where no ink would remain, so that a lone 1 stays; a thin box with nothing in it is no digit.
    """
    width = max(LINE_WIDTH, int(LINE_SHARE * max(ink.shape)))
    found = find_lines(ink, width)
    paper = _find_paper(ink, darkness, found, width)
    if paper is None:
        return _find_boxes(ink, darkness, found, width)
    rest = ink & ~paper
    boxes = _find_boxes(rest, darkness, find_lines(rest, width), width)
    return paper if boxes is None else paper | boxes


def _find_paper(ink: Mask, darkness: Grey, found: Lines, width: int) -> Mask | None:
    """Return the lines across the picture."""
    runs, lines = found
    crossing = [line for line in lines if crosses(line, ink.shape)]
    if not crossing:
        return None
    for upright, across in ((False, runs[0]), (True, runs[1].T)):
        crossing += _missing([line for line in crossing if line.upright == upright], across)
    frames = _frames([line for line in lines if not crosses(line, ink.shape)], ink.shape)
    sides = [line for frame in frames for line in frame]  # a box's side may cross the picture, and touches the others
    kept = _crossing_paper(crossing, _boxes(ink & ~paint(ink, darkness, runs, [*crossing, *sides], width)))
    return paint(ink, darkness, runs, kept) if kept else None


def _find_boxes(ink: Mask, darkness: Grey, found: Lines, width: int) -> Mask | None:
    """Return the sides of boxes and tables."""
    runs, lines = found
    frames = _frames(lines, ink.shape)
    if not frames:
        return None
    rest = _boxes(ink & ~paint(ink, darkness, runs, [line for frame in frames for line in frame], width))
    kept = [line for frame in frames if _holds_ink(frame, rest) or _is_empty_box(frame) for line in frame]
    return paint(ink, darkness, runs, kept) if kept else None


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
    middles, slopes, widths = np.array(sorted((line.across(length / 2), line.slope, line.width) for line in ruling)).T
    steps = np.diff(middles)
    pitch, width = float(np.median(steps)), float(np.median(widths))
    if pitch <= 2 * (width + NEAR_LINE):
        return []
    wanted = [
        (first + step * number / count, slope)
        for first, step, slope in zip(middles.tolist(), steps.tolist(), slopes.tolist(), strict=False)
        for count in [math.floor(step / pitch + MISSING - 1)]
        for number in range(1, count)
    ]
    beyond = range(1, math.ceil(height / pitch))
    wanted += [(middles[0] - pitch * number, slopes[0]) for number in beyond]
    wanted += [(middles[-1] + pitch * number, slopes[-1]) for number in beyond]
    along = np.arange(length)
    found = []
    for middle, slope in wanted:
        line = Line(
            ruling[0].upright, 0, length, float(slope), float(middle - slope * length / 2), width, ruling[0].ink
        )
        rows = np.floor(line.slope * along + line.offset + 0.5).astype(int)
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
    if at_edge(line, at, shape):
        return True, True
    place = line.across(at)
    met = corner = False
    for other in lines:
        if other.upright == line.upright or other.ink != line.ink:
            continue
        reach = _reach(line, other)
        if abs(other.across(place) - at) > reach:
            continue
        met |= other.first - reach <= place <= other.last + reach
        corner |= min(abs(place - other.first), abs(place - other.last)) <= reach
    return met, corner


def _reach(first: Line, second: Line) -> float:
    """Return how far apart the ends of two lines may be that meet: less if they are short, as the sides of a 0 are."""
    shorter = min(first.last - first.first, second.last - second.first)
    return (first.width + second.width) / 2 + min(CORNER, CORNER_SHARE * shorter)


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
