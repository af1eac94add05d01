"""Digits that touch, cut apart where the network reads the pieces for sure and the whole not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from under10k.pictures.filters import EIGHT
from under10k.pictures.parts import HALO, TALLEST, Found, usual
from under10k.pictures.pixels import Grey
from under10k.pictures.strokes import HALF

WIDE, TOO_WIDE = 1.0, 1.3
"""Width from which ink that is not read for sure may be several digits, as a share of its height; and the width from
which any ink is, as a multiple of the usual digit's height."""


MOST_CUTS = 4
"""Most places at which ink is cut: those with the least of it."""


APART = 0.08
"""Distance, as a share of the height, within which a place with little ink has the least."""


NARROWEST, LOWEST, WIDEST = 0.1, 0.6, 1.3
"""Width of a piece, as a share of the height, at least; its height where rows are cut apart; and the most of either."""


SLIVER = 0.1
"""Share of its largest part's pixels below which a part of a piece is a neighbour's, cut off with it; and of all
ink, up to which what joins two rows is left out."""


UNSURE_WHOLE = 0.6
"""Probability below which ink is not read for sure."""


SURE_PIECE, LIKELY_PIECE = 0.9, 0.5
"""Least probability of each piece; the second for pieces of what is too large to be a digit."""


Read = Callable[[list[Found]], list[list[float]]]
"""Returns the probabilities of each digit found."""


@dataclass(frozen=True, eq=False)
class _Cuts:
    """Ink that may be several digits, and its pieces: from each cut to each later one."""

    digit: int
    least: float
    places: int
    pieces: dict[tuple[int, int], Found]
    joints: set[tuple[int, int]]
    """What joins two rows, and is no digit."""


def split_touching(digits: Sequence[Found], probabilities: Sequence[Sequence[float]], read: Read) -> list[list[Found]]:
    """Return the pieces of each digit, one where it is left whole."""
    if not digits:
        return []
    heights = [found.box[2] - found.box[0] for found in digits]
    typical = heights[usual(heights)]
    cuts = [
        _cut(number, found, max(row), typical)
        for number, (found, row) in enumerate(zip(digits, probabilities, strict=True))
    ]
    tried = [each for each in cuts if each and each.pieces]
    rows = iter(read([piece for each in tried for piece in each.pieces.values()]))
    result = [[found] for found in digits]
    for each in tried:
        scores = {ends: math.log(max(next(rows))) for ends in each.pieces}
        likely = {ends: score for ends, score in scores.items() if score >= math.log(each.least)}
        best = _best_path(each.places, {**likely, **dict.fromkeys(each.joints, 0.0)})
        if len(pieces := [each.pieces[ends] for ends in best if ends in each.pieces]) > 1:
            result[each.digit] = pieces
    return result


def _cut(number: int, found: Found, sure: float, typical: int) -> _Cuts | None:
    top, left, bottom, right = found.box
    height, width = bottom - top, right - left
    if height > TALLEST * typical and height > width:
        return _cut_along(number, found, typical, LIKELY_PIECE, upright=True)
    if width > TOO_WIDE * typical:
        return _cut_along(number, found, height, LIKELY_PIECE, upright=False)
    if sure < UNSURE_WHOLE and width > WIDE * height:
        return _cut_along(number, found, height, SURE_PIECE, upright=False)
    return None


def _cut_along(number: int, found: Found, size: int, least: float, *, upright: bool) -> _Cuts:
    """Cut ink into columns, or into rows if `upright`; `size` is the height that digits have."""
    ink = found.ink.T if upright else found.ink
    mass = ink.sum(axis=0)
    places = [0, *_places(mass, size), len(mass)]
    narrowest = (LOWEST if upright else NARROWEST) * size
    pieces, joints = {}, set()
    for first, last in itertools.combinations(range(len(places)), 2):
        start, end = places[first], places[last]
        if upright and last == first + 1 and mass[start:end].sum() <= SLIVER * mass.sum():
            joints.add((first, last))
        elif last - first < len(places) - 1 and narrowest <= end - start <= WIDEST * size:
            pieces[first, last] = _piece(found, start, end, upright)
    return _Cuts(number, least, len(places), pieces, joints)


def _places(ink: NDArray[np.float32], size: int) -> list[int]:
    """Return where to cut: the places with no more ink than any near them, at most so many with the least."""
    reach = max(1, int(APART * size))
    low = [place for place in range(1, len(ink)) if ink[place] <= ink[max(0, place - reach) : place + reach + 1].min()]
    ends = [place for place in low if place - 1 not in low or place + 1 not in low]
    return sorted(sorted(ends, key=lambda place: float(ink[place]))[:MOST_CUTS])


def _piece(found: Found, first: int, last: int, upright: bool) -> Found:
    """Return the digit between two cuts, without slivers of its neighbours."""
    rows, columns = (slice(first, last), slice(None)) if upright else (slice(None), slice(first, last))
    ink = found.ink[rows, columns]
    labels, count = ndimage.label(ink > HALF, EIGHT)
    if not count:
        return replace(found, ink=np.zeros_like(ink))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = np.isin(labels, np.nonzero(sizes >= SLIVER * sizes.max())[0])
    near = ndimage.binary_dilation(kept, EIGHT, iterations=HALO) & (kept | (labels == 0))
    (down, across) = np.nonzero(kept)
    top, left = max(0, found.box[0] - HALO), max(0, found.box[1] - HALO)
    top, left = (top + first, left) if upright else (top, left + first)
    box = (top + int(down.min()), left + int(across.min()), top + int(down.max()) + 1, left + int(across.max()) + 1)
    clean: Grey = np.where(near, ink, 0).astype(np.float32)
    return replace(found, ink=clean, box=box)


def _best_path(places: int, scores: dict[tuple[int, int], float]) -> list[tuple[int, int]]:
    """Return the pieces, end to end, whose scores have the largest sum; none if there is no way through."""
    best: list[tuple[float, list[tuple[int, int]]] | None] = [(0.0, []), *[None] * (places - 1)]
    for (first, last), score in sorted(scores.items(), key=lambda item: item[0][::-1]):
        before, now = best[first], best[last]
        if before and (now is None or before[0] + score > now[0]):
            best[last] = (before[0] + score, [*before[1], (first, last)])
    return best[-1][1] if best[-1] else []
