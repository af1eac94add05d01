"""Links between two rows of digits, such as the long tail of a 9 or a slip of the pen, taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from under10k.pictures.filters import Mask
from under10k.pictures.ink import PRINTED, Part, Scan, measure_part

SPAN = 1.6
"""Height, as a multiple of the usual digit's, from which a part may reach over two rows."""


LINK_WIDTH = 0.2
"""Largest width of a link where it is thinnest, as a share of the usual digit's height."""


SWELLING = 1.5
"""Width, as a multiple of a link's where it is thinnest, from which it has met a stroke; a pixel more is allowed."""


WHOLE = 0.8
"""Least height, as a share of the usual digit's, of a digit without its link; if less is left, the link begins as its
leg."""


PIECE = 0.3
"""Height, as a share of the usual part's, from which a part counts for how high most digits are."""


HALF_DIGIT = 0.5
"""Least height of what a link joins, and of a digit that stands in its row, as a share of the usual digit's."""


def cut_links(scan: Scan, usual: int) -> Scan:
    """Part what reaches over two rows and is linked by a thin stroke; `usual` is the height of the usual part."""
    heights = [part.box[2] - part.box[0] for part in scan.parts]
    typical = float(np.median([height for height in heights if height >= PIECE * usual]))
    tall = [part for part in scan.parts if part.box[2] - part.box[0] >= SPAN * typical]
    if not tall:
        return scan
    labels, parts = scan.labels.copy(), list(scan.parts)
    for part in tall:
        top, left, bottom, right = part.box
        own = labels[top:bottom, left:right] == part.label
        middle = _thinnest(own, typical)
        if middle is None or not _joins_rows(part, top + middle, scan.parts, typical):
            continue
        above, below = _without_link(own[: middle + 1], typical), _without_link(own[middle:][::-1], typical)
        if above is None or below is None:
            continue
        labels[top:bottom, left:right][own] = PRINTED
        parts.remove(part)
        for first, half in ((top, above), (top + middle, below[::-1])):
            number = int(labels.max()) + 1
            rows, columns = np.nonzero(half)
            labels[rows + first, columns + left] = number
            parts.append(measure_part(scan.smooth, number, rows + first, columns + left))
    return replace(scan, labels=labels, parts=sorted(parts, key=lambda part: -part.outline))


def _joins_rows(part: Part, middle: int, parts: Sequence[Part], typical: float) -> bool:
    """Tell whether other digits stand beside both halves of a part."""
    top, _, bottom, _ = part.box
    heights = [other.box[2] - other.box[0] for other in parts]
    centres = [
        (other.box[0] + other.box[2]) / 2
        for other, height in zip(parts, heights, strict=True)
        if HALF_DIGIT * typical <= height < SPAN * typical
    ]
    return any(top < centre < middle for centre in centres) and any(middle < centre < bottom for centre in centres)


def _thinnest(own: Mask, typical: float) -> int | None:
    """Return the row where a part is a single thin stroke: the thinnest far from its ends, nearest its middle."""
    least = int(HALF_DIGIT * typical)
    rows = range(least, len(own) - least)
    thin = [
        (runs[0][1] - runs[0][0], abs(2 * row - len(own)), row) for row in rows if len(runs := _runs(own[row])) == 1
    ]
    width, _, row = min(thin, default=(len(own), 0, 0))
    return row if width <= LINK_WIDTH * typical else None


def _without_link(own: Mask, typical: float) -> Mask | None:
    """Return the digit from whose foot, in the last row, a link hangs; None if there is none."""
    row = len(own) - 1
    ((first, last),) = _runs(own[row])
    most = SWELLING * (last - first) + 1
    link = np.zeros_like(own)
    while True:
        link[row, first:last] = True
        row -= 1
        met = [run for run in _runs(own[row]) if run[0] <= last and first <= run[1]] if row >= 0 else []
        if len(met) != 1 or met[0][1] - met[0][0] > most:
            break
        first, last = met[0]
    digit = own & ~link
    rows = np.nonzero(digit.any(axis=1))[0]
    if row < 0 or not len(rows):
        return None
    if rows[-1] < WHOLE * typical:
        leg = min(int(typical), len(own))
        digit[:leg] = own[:leg]  # the link goes on from the digit's leg
        rows = np.nonzero(digit.any(axis=1))[0]
    return digit if rows[-1] - rows[0] >= HALF_DIGIT * typical else None


def _runs(row: Mask) -> list[tuple[int, int]]:
    """Return where each run of ink in a row begins, and where it ends."""
    edges = np.flatnonzero(np.diff(np.pad(row, 1).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
