"""Parts of ink put together to digits, in reading order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from under10k.data import BOX
from under10k.pictures.ink import EIGHT, Box, Part, Scan, ink_is_light, is_even, scan_ink, stroke_width
from under10k.pictures.pixels import LEAST_RANGE, Grey

PAPER_WINDOW = 0.2
"""Side of the square in which paper is looked for first, as a share of the larger side: more than a stroke's width."""


PAPER_STROKES = 3.0
"""Side of the square in which it is looked for then, in widths of the strokes found."""


NARROWEST_WINDOW = 9
"""Pixels that the side of that second square has at least."""


MUCH_NARROWER = 0.7
"""Share of the first square's side below which a second scan is worth its time."""


DARKEST_STROKES = 0.6
"""Share of a digit's darkest ink above which its width is measured: what a shadow adds to it does not count."""


OFF_CENTRE = 0.25
"""How much less a part counts the farther from the middle of the picture it lies: half in a corner."""


AT_THE_EDGE = 0.15
"""What a part that touches the edge of an unevenly lit picture counts: a table or a shadow rather than a digit."""


SMALLEST_PART = 0.03
"""Outline of the least part that belongs to a digit, as a share of its largest part's."""


AS_DARK = 0.5
"""Darkness, as a share of that of its darkest part, that each part of a digit in a photo has."""


REACH, REACH_EVEN, REACH_UNEVEN = 0.25, 0.1, 0.04
"""How far a part may lie from the others: a share of their size, or if that is more of a drawing's or of a photo's."""


FRAGMENT = 0.6
"""Height, as a share of the tallest part's, below which a part of several digits is a piece of one."""


SMALLEST_DIGIT = 4
"""Pixels that the larger side of a digit has at least."""


LEAST_BESIDE = 0.35
"""Size, as a share of the largest's, that each of several digits has at least."""


HALO = 2
"""Pixels around a digit's parts that are cut out with them: the faint edges of its strokes."""


FULL_INK = 0.8
"""Share of a digit's pixels that are lighter than what counts as full ink."""


LEAST_INK = 1e-6
"""Darkness that full ink has at least."""


LARGEST_GAIN = 4.0
"""How much steeper a large digit's edges are made: as many times as its size is MNIST's 20 pixels, up to this."""


RIVAL = 0.5
"""Outline of another part, as a share of the digit's, from which on the digit is not alone."""


@dataclass(frozen=True, eq=False)
class Found:
    """A digit that was found in a picture."""

    ink: Grey
    """float32 (h, w): 0 is paper, 1 ink."""
    box: Box
    """Where it lies in the picture."""
    light: bool
    """Whether it is lighter than its paper."""
    alone: bool
    """Whether nothing else in the picture looks as much like a digit's parts."""


def find_digit(grey: Grey, *, invert: bool = False) -> Found | None:
    """Find the digit in a picture, float32 (H, W) in [0, 1]; None where there is no ink.

    All parts near its largest belong to it. Whether ink is darker or lighter than paper is found too; `invert` takes
    the other.
    """
    even = is_even(grey)
    light = ink_is_light(grey, even) != invert
    scan = _scan_finely(1 - grey if light else grey, even)
    if not scan.parts:
        return None
    main = _main_part(scan, even)
    found = _cut(scan, _gather(main, scan.parts, grey.shape, even), light)
    return found if max(found.ink.shape) >= SMALLEST_DIGIT else None


def find_digits(grey: Grey, *, invert: bool = False) -> list[Found]:
    """Find all digits in a picture, in reading order; digits that touch each other are not told apart."""
    even = is_even(grey)
    light = ink_is_light(grey, even) != invert
    scan = _scan_finely(1 - grey if light else grey, even)
    if not scan.parts:
        return []
    main = _main_part(scan, even)
    parts = [part for part in scan.parts if _belongs(part, main, even)]
    digits = _join(parts)
    largest = max(_size(_hull(parts)) for parts in digits)
    digits = [parts for parts in digits if _size(_hull(parts)) >= max(LEAST_BESIDE * largest, SMALLEST_DIGIT)]
    return [_cut(scan, parts, light) for parts in _reading_order(digits)]


def _scan_finely(paper_up: Grey, even: bool) -> Scan:
    """Scan a picture; where light is uneven, once more with a square that just spans the strokes found."""
    side = int(PAPER_WINDOW * max(paper_up.shape)) | 1
    if np.ptp(paper_up) < LEAST_RANGE:
        return Scan(paper_up, paper_up, np.zeros(paper_up.shape, dtype=np.int32), [])
    scan = scan_ink(paper_up, even, side)
    if even or not scan.parts:
        return scan
    group = _gather(_main_part(scan, even), scan.parts, paper_up.shape, even)
    narrower = max(int(PAPER_STROKES * _darkest_width(scan, group)) | 1, NARROWEST_WINDOW)
    again = scan_ink(paper_up, even, narrower) if narrower < MUCH_NARROWER * side else scan
    return again if again.parts else scan


# --- parts and digits ----------------------------------------------------------------------------------------------


def _main_part(scan: Scan, even: bool) -> Part:
    """Return the part with the most outline and the darkest ink, those far from the middle counting less."""
    height, width = scan.labels.shape

    def weight(part: Part) -> float:
        top, left, bottom, right = part.box
        at_edge = part.at_edge and not even
        away = ((top + bottom) / height - 1) ** 2 + ((left + right) / width - 1) ** 2
        return float(part.outline * part.darkest * (1 - OFF_CENTRE * away) * (AT_THE_EDGE if at_edge else 1))

    return max(scan.parts, key=weight)


def _belongs(part: Part, main: Part, even: bool) -> bool:
    if part.outline < SMALLEST_PART * main.outline:
        return False
    return even or (part.at_edge <= main.at_edge and part.darkest >= AS_DARK * main.darkest)


def _gather(main: Part, parts: Sequence[Part], shape: tuple[int, ...], even: bool) -> list[Part]:
    """Return the main part and all that lie near it, or near those that do."""
    group, rest = [main], [part for part in parts if part is not main and _belongs(part, main, even)]
    while True:
        hull = _hull(group)
        reach = max(REACH * _size(hull), (REACH_EVEN if even else REACH_UNEVEN) * max(shape))
        near = [part for part in rest if _gap(part.box, hull) <= reach]
        if not near:
            return group
        group += near
        rest = [part for part in rest if part not in near]


def _join(parts: Sequence[Part]) -> list[list[Part]]:
    """Put parts together to digits: those much lower than the tallest are pieces, and belong to what they are near."""
    tallest = max(part.box[2] - part.box[0] for part in parts)
    digits: list[tuple[Box, list[Part]]] = []
    for part in sorted(parts, key=lambda part: -part.outline):
        own = [digit for digit in digits if _one_digit(part.box, digit[0], FRAGMENT * tallest)]
        joined = [part, *(other for _, others in own for other in others)]
        digits = [digit for digit in digits if digit not in own] + [(_hull(joined), joined)]
    return [joined for _, joined in digits]


def _one_digit(first: Box, second: Box, low: float) -> bool:
    lower = min(first[2] - first[0], second[2] - second[0])
    return lower < low and _gap(first, second) <= REACH * max(_size(first), _size(second))


def _reading_order(digits: Sequence[list[Part]]) -> list[list[Part]]:
    """Sort digits into rows, top to bottom, each from left to right."""
    rows: list[list[list[Part]]] = []
    for digit in sorted(digits, key=lambda digit: _hull(digit)[0]):
        top, _, bottom, _ = _hull(digit)
        for row in rows:
            above, _, below, _ = _hull([part for other in row for part in other])
            if min(bottom, below) - max(top, above) > 0.5 * min(bottom - top, below - above):
                row.append(digit)
                break
        else:
            rows.append([digit])
    return [digit for row in rows for digit in sorted(row, key=lambda digit: _hull(digit)[1])]


def _cut(scan: Scan, group: Sequence[Part], light: bool) -> Found:
    """Cut a digit out, as ink from 0 to 1; the larger it is, the crisper its edges become."""
    top, left, bottom, right = _hull(group)
    place = np.s_[max(0, top - HALO) : bottom + HALO, max(0, left - HALO) : right + HALO]
    labels, darkness = scan.labels[place], scan.darkness[place]
    kept = np.isin(labels, [part.label for part in group])
    near = ndimage.binary_dilation(kept, EIGHT, iterations=HALO) & (kept | (labels == 0))
    full = max(float(np.quantile(darkness[kept], FULL_INK)), LEAST_INK)
    ink = np.where(near, np.clip(darkness / full, 0, 1), 0)
    gain = min(max(_size((top, left, bottom, right)) / BOX, 1.0), LARGEST_GAIN)
    outline = sum(part.outline for part in group)
    others = next((part.outline for part in scan.parts if part not in group and not part.at_edge), 0.0)
    return Found(
        np.clip((ink - 0.5) * gain + 0.5, 0, 1).astype(np.float32),
        (top, left, bottom, right),
        light,
        others < RIVAL * outline,
    )


def _darkest_width(scan: Scan, group: Sequence[Part]) -> float:
    """Return the mean width of the darkest strokes of a digit, in pixels."""
    kept = np.isin(scan.labels, [part.label for part in group])
    dark = kept & (scan.smooth > DARKEST_STROKES * max(part.darkest for part in group))
    top, left, bottom, right = _hull(group)
    return stroke_width(np.pad(dark[top:bottom, left:right], 1))


def _hull(parts: Sequence[Part]) -> Box:
    tops, lefts, bottoms, rights = zip(*(part.box for part in parts), strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)


def _size(box: Box) -> int:
    return max(box[2] - box[0], box[3] - box[1])


def _gap(first: Box, second: Box) -> int:
    """Return how far two boxes lie apart, along the axis on which they do so the farther."""
    down = max(first[0], second[0]) - min(first[2], second[2])
    across = max(first[1], second[1]) - min(first[3], second[3])
    return max(down, across, 0)
