"""Digits that touch, cut apart where the network reads the pieces better than the whole.

Ink that may be several digits is cut from top to bottom along paths that cross as little of it as they can. What lies
between two paths may be a digit; the row of pieces that the network reads best is taken, if it beats the whole.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from under10k.pictures.filters import EIGHT, Mask
from under10k.pictures.parts import HALO, TALLEST, Found, usual
from under10k.pictures.pixels import Grey
from under10k.pictures.strokes import HALF

WIDE, TOO_WIDE = 0.85, 1.2
"""Width from which ink that is not read for sure may be several digits, as a share of its height; and the width from
which any ink is, as a multiple of the usual digit's height."""


UNSURE_WHOLE = 0.7
"""Probability below which ink is not read for sure."""


NARROW, HARDLY_READ = 0.45, 0.25
"""Width from which ink that is hardly read at all may be several digits, such as two 1s, as a share of its height; and
the probability below which it hardly is."""


CUT_EVERY = 0.1
"""Distance of the places at which ink is cut, as a share of the height: near each, where there is least of it."""


MOST_CUTS, MOST_PIECES = 40, 1000
"""Most places at which ink is cut, enough for four digits; and pieces of a picture beyond which no more ink is cut."""


INK_COST = 2
"""How many columns a cut turns aside, one a row, rather than cross a pixel of ink."""


NARROWEST, LOWEST, LONGEST = 0.1, 0.6, 1.3
"""Least width of a piece in a row, least height of one in a column, and the most of either; as shares of the height."""


SMALLEST_PIECE = 0.35
"""Least of a piece's larger side, as a share of the height."""


SLIVER = 0.1
"""Share of its largest part's pixels below which a part of a piece is a neighbour's, cut off with it."""


SHARED, SKIPPED = 0.2, 0.08
"""Most ink between two cuts that the pieces on either side both have, as digits written over each other share a stroke;
and, of rows, that neither has, as it joins them: as shares of the square of the height."""


MOST_COMMON = 0.5
"""Most of either piece's ink that two pieces share."""


LEAST_PIECE = 0.3
"""Least probability of each piece."""


BROAD, TALL, STRETCHED = 0.9, 1.2, 3.3
"""Width, or in a column height, from which a digit is unusual, as a share of the height; and what it costs for each
height more. What something costs is taken from the sum of the logarithms of the pieces' probabilities."""


LOW, SHRUNK = 0.75, 2.0
"""Height below which a piece in a row is unusual, as a share of the height; and what it costs for each height less."""


EACH_MORE = 0.2
"""What each piece after the first costs."""


MUCH_BETTER = 0.5
"""By how much pieces must be better than a whole that may be a digit."""


CUT_COST = 1.0
"""What it costs each of two pieces if the cut between them goes through as much ink as the height is long."""


Read = Callable[[list[Found]], list[list[float]]]
"""Returns the probabilities of each digit found."""


class _Piece(NamedTuple):
    """What may be a digit, from one cut to a later one."""

    first: int
    last: int
    found: Found


@dataclass(frozen=True, eq=False)
class _Cuts:
    """Ink that may be several digits, and its pieces."""

    digit: int
    size: int
    """Height that digits have, in pixels."""
    upright: bool
    """Whether it is cut into rows rather than columns."""
    least: float
    """Score that pieces must exceed."""
    costs: list[float]
    """What it costs a piece that it begins or ends at each cut."""
    pieces: list[_Piece]
    """Those that end earlier first."""
    before: list[list[int]]
    """Which pieces may stand before each."""


class _Way(NamedTuple):
    """Pieces from the first cut on, each next to the one before."""

    score: float
    pieces: list[Found]


NO_WAY = _Way(-math.inf, [])


def split_touching(digits: Sequence[Found], probabilities: Sequence[Sequence[float]], read: Read) -> list[list[Found]]:
    """Return the pieces of each digit, one where it is left whole.

    Few of them are read. The next to be read is always in the best row there could be: the one that would win if the
    network were sure of all pieces that it has not read.
    """
    if not digits:
        return []
    heights = [_height(found) for found in digits]
    typical = heights[usual(heights)]
    tried: list[_Cuts] = []
    count = 0
    for number, (found, row) in enumerate(zip(digits, probabilities, strict=True)):
        if count < MOST_PIECES and (cuts := _cut(number, found, max(row), typical)):
            tried.append(cuts)
            count += len({id(piece.found) for piece in cuts.pieces})
    result = [[found] for found in digits]
    sure: dict[int, float] = {}
    while tried:
        unread: list[tuple[_Cuts, Found]] = []
        for cuts in tried:
            pieces = _best_pieces(cuts, sure)
            ends_first = (*pieces[:1], *pieces[-1:], *pieces)
            if piece := next((one for one in ends_first if id(one) not in sure), None):
                unread.append((cuts, piece))
            elif pieces:
                result[cuts.digit] = pieces
        if unread:
            rows = read([piece for _, piece in unread])
            sure |= {id(piece): max(row) for (_, piece), row in zip(unread, rows, strict=True)}
        tried = [cuts for cuts, _ in unread]
    return result


def _cut(number: int, found: Found, sure: float, typical: int) -> _Cuts | None:
    height, width = _height(found), _width(found)
    if height > TALLEST * typical and height > width:
        return _cut_along(number, found, typical, -math.inf, upright=True)
    whole = _score(found, sure, height, upright=False)
    if width > TOO_WIDE * typical:
        return _cut_along(number, found, height, whole, upright=False)
    if sure < UNSURE_WHOLE and width > (NARROW if sure < HARDLY_READ else WIDE) * height:
        return _cut_along(number, found, height, whole + MUCH_BETTER, upright=False)
    return None


def _cut_along(number: int, found: Found, size: int, least: float, *, upright: bool) -> _Cuts | None:
    """Cut ink into columns, or into rows if `upright`; `size` is the height that digits have."""
    if least >= -EACH_MORE:
        return None  # no two pieces are better, however sure
    ink = (found.ink.T if upright else found.ink) > HALF
    lines, costs = _cut_lines(ink, size)
    pieces: list[_Piece] = []
    seen: dict[tuple[int, ...], Found] = {}
    for last in range(1, len(lines)):
        for first in range(last):
            lengths = lines[last] - lines[first]
            if lengths.max() < NARROWEST * size or lengths.min() > LONGEST * size or last - first == len(lines) - 1:
                continue
            piece = _piece(found, lines[first], lines[last], upright)
            if piece and _may_be_digit(piece, size, upright):
                key = (*piece.box, int(np.count_nonzero(piece.ink > HALF)))
                pieces.append(_Piece(first, last, seen.setdefault(key, piece)))
    across = np.arange(ink.shape[1])
    inked = [int((ink & (across < line[:, None])).sum()) for line in lines]
    before = [
        [place for place, other in enumerate(pieces) if _may_follow(other, piece, inked, size, upright)]
        for piece in pieces
    ]
    return _Cuts(number, size, upright, least, costs, pieces, before)


def _may_be_digit(piece: Found, size: int, upright: bool) -> bool:
    height, width = _height(piece), _width(piece)
    length, least = (height, LOWEST) if upright else (width, NARROWEST)
    return least * size <= length <= LONGEST * size and max(height, width) >= SMALLEST_PIECE * size


# --- cuts ----------------------------------------------------------------------------------------------------------


def _cut_lines(ink: Mask, size: int) -> tuple[list[NDArray[np.int64]], list[float]]:
    """Return the lines along which ink is cut from top to bottom, with both its sides, and what each costs.

    A line is the first column right of it in each row. It is the cheapest that crosses the middle row at its place.
    """
    height, width = ink.shape
    middle = height // 2
    above, below = _costs_from_top(ink), _costs_from_top(ink[::-1])[::-1]
    through = above[middle] + below[middle] - INK_COST * ink[middle]
    lines, costs = [np.zeros(height, dtype=np.int64)], [0.0]
    for place in _places(through, size):
        line = np.full(height, place)
        for row in range(middle - 1, -1, -1):
            line[row] = _cheapest_near(above[row], int(line[row + 1]))
        for row in range(middle + 1, height):
            line[row] = _cheapest_near(below[row], int(line[row - 1]))
        if not np.array_equal(line, lines[-1]):
            lines.append(line)
            costs.append(CUT_COST * float(through[place]) / (INK_COST * size))
    return [*lines, np.full(height, width)], [*costs, 0.0]


def _costs_from_top(ink: Mask) -> NDArray[np.int64]:
    """Return what the cheapest line costs from the first row to each pixel, which moves one column a row at most."""
    costs = ink.astype(np.int64) * INK_COST
    for row in range(1, len(costs)):
        before = costs[row - 1]
        least = before.copy()
        np.minimum(least[1:], before[:-1] + 1, out=least[1:])
        np.minimum(least[:-1], before[1:] + 1, out=least[:-1])
        costs[row] += least
    return costs


def _cheapest_near(costs: NDArray[np.int64], column: int) -> int:
    """Return where the cheapest line to a pixel was in the row before: straight on rather than aside."""
    near = [place for place in (column, column - 1, column + 1) if 0 <= place < len(costs)]
    return min(near, key=lambda place: int(costs[place]) + (place != column))


def _places(through: NDArray[np.int64], size: int) -> list[int]:
    """Return the cheapest place in each step of the middle row, of several alike the middle one."""
    count = min(max(2, round(len(through) / (CUT_EVERY * size))), MOST_CUTS)
    edges = [number * len(through) // count for number in range(count + 1)]
    places = []
    for first, last in itertools.pairwise(edges):
        if last > first:
            cheapest = np.nonzero(through[first:last] == through[first:last].min())[0]
            places.append(first + int(cheapest[len(cheapest) // 2]))
    return [place for place in places if 0 < place < len(through) - 1]


def _piece(found: Found, start: NDArray[np.int64], end: NDArray[np.int64], upright: bool) -> Found | None:
    """Return the digit between two lines, without slivers of its neighbours; None if there is no ink."""
    along = found.ink.T if upright else found.ink
    offset = max(0, int(start.min()) - HALO)
    along = along[:, offset : int(end.max()) + HALO]
    across = offset + np.arange(along.shape[1])
    ink = np.where((start[:, None] <= across) & (across < end[:, None]), along, 0)
    ink = ink.T if upright else ink
    labels, count = ndimage.label(ink > HALF, EIGHT)
    if not count:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = np.isin(labels, np.nonzero(sizes >= SLIVER * sizes.max())[0])
    near = ndimage.binary_dilation(kept, EIGHT, iterations=HALO) & (kept | (labels == 0))
    down, over = np.nonzero(kept)
    first_row, first_column, last_row, last_column = down.min(), over.min(), down.max() + 1, over.max() + 1
    top, left = max(0, found.box[0] - HALO), max(0, found.box[1] - HALO)
    top, left = (top + offset, left) if upright else (top, left + offset)
    box = (top + int(first_row), left + int(first_column), top + int(last_row), left + int(last_column))
    rows = slice(max(0, first_row - HALO), last_row + HALO)
    columns = slice(max(0, first_column - HALO), last_column + HALO)
    clean: Grey = np.where(near, ink, 0).astype(np.float32)[rows, columns]
    return replace(found, ink=clean, box=box, cut=True)


# --- the best pieces -----------------------------------------------------------------------------------------------


def _best_pieces(cuts: _Cuts, sure: dict[int, float]) -> list[Found]:
    """Return the pieces, from the first cut to the last, with the largest score; none if it is too small.

    What has not been read counts as sure. Pieces may share the ink between two cuts, as digits that are written over
    each other do.
    """
    ways: list[_Way] = []
    best = NO_WAY
    for piece, before in zip(cuts.pieces, cuts.before, strict=True):
        score, pieces = max((ways[place] for place in before), key=lambda way: way.score, default=NO_WAY)
        probability = sure.get(id(piece.found), 1.0)
        if probability < LEAST_PIECE:
            ways.append(NO_WAY)
            continue
        own = (
            _score(piece.found, probability, cuts.size, cuts.upright) - cuts.costs[piece.first] - cuts.costs[piece.last]
        )
        way = _Way((score - EACH_MORE if piece.first else 0.0) + own, [*pieces, piece.found])
        ways.append(way)
        if piece.last == len(cuts.costs) - 1 and way.score > best.score:
            best = way
    return best.pieces if best.score > cuts.least else []


def _may_follow(piece: _Piece, after: _Piece, inked: list[int], size: int, upright: bool) -> bool:
    """Tell whether one piece may be the next after another: with hardly any ink between them, or not much in both.

    `inked` are the pixels of ink before each cut.
    """
    if not (piece.first < after.first and piece.last < after.last):
        return False
    skipped = inked[after.first] - inked[piece.last]
    lesser = min(inked[piece.last] - inked[piece.first], inked[after.last] - inked[after.first])
    most_shared = min(SHARED * size**2, MOST_COMMON * lesser)
    return -most_shared <= skipped <= (SKIPPED * size**2 if upright else 0)


def _score(piece: Found, sure: float, size: int, upright: bool) -> float:
    height, width = _height(piece) / size, _width(piece) / size
    if upright:
        return math.log(sure) - STRETCHED * max(0.0, height - TALL)
    return math.log(sure) - STRETCHED * max(0.0, width - BROAD) - SHRUNK * max(0.0, LOW - height)


def _height(found: Found) -> int:
    return found.box[2] - found.box[0]


def _width(found: Found) -> int:
    return found.box[3] - found.box[1]
