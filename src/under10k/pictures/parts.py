"""Parts of ink joined into digits, in reading order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from under10k.data import BOX
from under10k.pictures.filters import EIGHT
from under10k.pictures.ink import AS_DARK, Box, Part, Scan, ink_is_light, is_even, scan_ink, size_of, stroke_width
from under10k.pictures.links import cut_links
from under10k.pictures.pixels import LEAST_RANGE, Grey

PAPER_WINDOW = 0.2
"""Side of the square in which paper is first looked for, as a share of the larger side: wider than a stroke."""


PAPER_STROKES = 3.0
"""Side of the square in which paper is looked for again, in widths of the strokes found."""


NARROWEST_WINDOW = 9
"""Least side of that second square, in pixels."""


MUCH_NARROWER = 0.7
"""Share of the first square's side below which a second scan is worth its time."""


DARKEST_STROKES = 0.6
"""Share of a digit's darkest ink above which its width is measured: a shadow around it does not count."""


OFF_CENTRE = 0.25
"""How much less a part counts far from the middle of the picture: in a corner, half as much."""


AT_THE_EDGE = 0.15
"""Weight of a part that touches the edge of an unevenly lit picture: it is more likely a table or a shadow."""


SMALLEST_PART = 0.03
"""Least outline of a part of a digit, as a share of its largest part's."""


SPECK = 0.1
"""Outline of a part, as a share of the largest part's, below which it lies no farther away than it is large."""


REACH, REACH_EVEN, REACH_UNEVEN = 0.25, 0.1, 0.04
"""How far a part may lie from the others: a share of their size, or of a drawing's or photo's size if that is more."""


USUAL = 0.65
"""Quantile of parts' sizes, each weighted by itself, that is the usual size: above the median, as pieces are low."""


FRAGMENT = 0.6
"""Height, as a share of the usual part's, below which a part among several digits is a piece of one."""


STACKED, SLIMMEST = 0.1, 2.6
"""Most distance of two parts, one above the other, that count as one digit's when the usual height is measured, as a
share of their common height; and most of that, as a multiple of their common width."""


JOINED = 2.0
"""Most height of joined pieces, as a multiple of the usual part's, which may be half a digit."""


TALLEST, SLENDER_BAR = 1.6, 0.25
"""Height, as a multiple of the usual digit's, of what is no digit; and the share of its height up to which its
width makes it a bar or a bracket."""


BESIDE = 2
"""How many times as far a piece beside a digit counts as one above it."""


SMALLEST_DIGIT = 4
"""Least pixels of a digit's larger side."""


LEAST_BESIDE = 0.35
"""Least size of each of several digits, as a share of the usual one's."""


HALO = 2
"""Pixels around a digit's parts that are cut out with them: its strokes' faint edges."""


FULL_INK = 0.8
"""Quantile of a digit's darkness that counts as full ink."""


LEAST_INK = 1e-6
"""Least darkness of full ink."""


LARGEST_GAIN = 4.0
"""Most that a large digit's edges are steepened: one of 40 pixels, twice MNIST's 20, gets twice the slope."""


RIVAL = 0.5
"""Outline of another part, as a share of the digit's, from which the digit is not alone."""


@dataclass(frozen=True, eq=False)
class Found:
    """A digit found in a picture."""

    ink: Grey
    """float32 (h, w): 0 is paper, 1 ink."""
    box: Box
    """Where it lies in the picture."""
    light: bool
    """Whether its ink is lighter than its paper."""
    alone: bool
    """Whether no other ink in the picture is nearly as large."""
    cut: bool = False
    """Whether it was cut off other digits that it touched."""


def find_digit(grey: Grey, *, invert: bool = False) -> Found | None:
    """Find the digit in a picture, float32 (H, W) in [0, 1]; None if there is no ink.

    All parts near the largest belong to it. Ink may be darker or lighter than paper, which is found out; `invert`
    reverses what was found.
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
    """Find all digits in a picture, in reading order; digits that touch each other are one as yet."""
    even = is_even(grey)
    light = ink_is_light(grey, even) != invert
    scan = _scan_finely(1 - grey if light else grey, even)
    if not scan.parts:
        return []
    heights = [_height(part.box) for part in scan.parts]
    scan = cut_links(scan, heights[usual(heights)])
    typical = scan.parts[usual([part.outline for part in scan.parts])]
    digits = _join([part for part in scan.parts if _belongs(part, typical, even)])
    if not digits:  # nothing but bars
        return []
    sizes = [size_of(_hull(parts)) for parts in digits]
    least = max(LEAST_BESIDE * sizes[usual(sizes)], SMALLEST_DIGIT)
    large = [parts for parts, size in zip(digits, sizes, strict=True) if size >= least]
    return [_cut(scan, large[place], light) for place in reading_order([_hull(parts) for parts in large])]


def _scan_finely(paper_up: Grey, even: bool) -> Scan:
    """Scan a picture; if light is uneven, again with a square just wide enough for the strokes found."""
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
    """Return the part with the most outline and the darkest ink; far from the middle, a part counts less."""
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
    """Return the main part, all parts near it, all near those, and so on."""
    group, rest = [main], [part for part in parts if part is not main and _belongs(part, main, even)]
    while True:
        hull = _hull(group)
        reach = max(REACH * size_of(hull), (REACH_EVEN if even else REACH_UNEVEN) * max(shape))
        near = [part for part in rest if _gap(part.box, hull) <= _most_gap(part, main, reach, even)]
        if not near:
            return group
        group += near
        rest = [part for part in rest if part not in near]


def _most_gap(part: Part, main: Part, reach: float, even: bool) -> float:
    """Return how far a part may lie from a digit of some reach: less if it is a speck, or fainter in a photo."""
    if part.outline < SPECK * main.outline:
        reach = min(reach, size_of(part.box))
    return reach if even else reach * min(1.0, (part.darkest / main.darkest - AS_DARK) / (1 - AS_DARK))


def _join(parts: Sequence[Part]) -> list[list[Part]]:
    """Join parts into digits: a part much lower than the others is a piece of the digit nearest to it.

    What is much taller than the others, and slender, is a bar or a bracket, and left out.
    """
    typical = _usual_height(parts)
    digits = {number: [part] for number, part in enumerate(parts)}
    owner = list(range(len(parts)))
    for _, piece, other in _pairs(parts, typical):
        first, second = owner[piece], owner[other]
        if first == second:
            continue
        hulls = _hull(digits[first]), _hull(digits[second])
        joined = [*digits[first], *digits[second]]
        if min(map(_height, hulls)) < FRAGMENT * typical and _height(_hull(joined)) <= JOINED * typical:
            digits[first] = joined
            for part in digits.pop(second):
                owner[parts.index(part)] = first
    return [joined for joined in digits.values() if not _is_bar(_hull(joined), typical)]


def _usual_height(parts: Sequence[Part]) -> int:
    """Return the usual height of digits, most of which may be broken: two parts close together count as one."""
    top, left, bottom, right = np.array([part.box for part in parts]).T
    down = np.maximum(top[:, None], top) - np.minimum(bottom[:, None], bottom)
    height = np.maximum(bottom[:, None], bottom) - np.minimum(top[:, None], top)
    width = np.maximum(right[:, None], right) - np.minimum(left[:, None], left)
    beside = np.maximum(left[:, None], left) >= np.minimum(right[:, None], right)
    apart = beside | (down > STACKED * height) | (height > SLIMMEST * width)
    np.fill_diagonal(apart, val=False)
    heights = np.where(apart, 0, height).max(axis=1).tolist()
    return int(heights[usual(heights)])


def _pairs(parts: Sequence[Part], typical: float) -> list[tuple[float, int, int]]:
    """Return how far low parts are from others near them, the nearest first: distance, low part, other part.

    What lies beside counts twice what lies above: digits are written side by side.
    """
    boxes = np.array([part.box for part in parts])
    pieces = np.nonzero(boxes[:, 2] - boxes[:, 0] < FRAGMENT * typical)[0]
    reach = REACH * np.maximum([size_of(parts[piece].box) for piece in pieces.tolist()], typical)
    top, left, bottom, right = boxes.T
    down = np.maximum(top[pieces, None], top) - np.minimum(bottom[pieces, None], bottom)
    across = np.maximum(left[pieces, None], left) - np.minimum(right[pieces, None], right)
    away = np.maximum(np.maximum(BESIDE * across, down), 0)
    near = np.nonzero(away <= reach[:, None])
    pairs = zip(away[near].tolist(), pieces[near[0]].tolist(), near[1].tolist(), strict=True)
    return sorted(pair for pair in pairs if pair[1] != pair[2])


def _is_bar(box: Box, typical: float) -> bool:
    height = _height(box)
    return height > TALLEST * typical and box[3] - box[1] <= SLENDER_BAR * height


def usual(values: Sequence[float]) -> int:
    """Return the place of a quantile of values, each counted as often as it is large: specks hardly count."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(np.asarray(values, dtype=float)[order])
    return int(order[np.searchsorted(sums, USUAL * sums[-1])])


def reading_order(boxes: Sequence[Box]) -> list[int]:
    """Return the places of boxes sorted into rows, top to bottom, each from left to right."""
    rows: list[list[int]] = []
    for place in sorted(range(len(boxes)), key=lambda place: boxes[place][0]):
        top, _, bottom, _ = boxes[place]
        for row in rows:
            above, below = min(boxes[other][0] for other in row), max(boxes[other][2] for other in row)
            if min(bottom, below) - max(top, above) > 0.5 * min(bottom - top, below - above):
                row.append(place)
                break
        else:
            rows.append([place])
    return [place for row in rows for place in sorted(row, key=lambda place: boxes[place][1])]


def _cut(scan: Scan, group: Sequence[Part], light: bool) -> Found:
    """Cut a digit out, as ink from 0 to 1; the larger it is, the sharper its edges are made."""
    top, left, bottom, right = _hull(group)
    place = np.s_[max(0, top - HALO) : bottom + HALO, max(0, left - HALO) : right + HALO]
    labels, darkness = scan.labels[place], scan.darkness[place]
    kept = np.isin(labels, [part.label for part in group])
    near = ndimage.binary_dilation(kept, EIGHT, iterations=HALO) & (kept | (labels == 0))
    full = max(float(np.quantile(darkness[kept], FULL_INK)), LEAST_INK)
    ink = np.where(near, np.clip(darkness / full, 0, 1), 0)
    gain = min(max(size_of((top, left, bottom, right)) / BOX, 1.0), LARGEST_GAIN)
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
    top, left, bottom, right = _hull(group)
    place = np.s_[top:bottom, left:right]
    kept = np.isin(scan.labels[place], [part.label for part in group])
    dark = kept & (scan.smooth[place] > DARKEST_STROKES * max(part.darkest for part in group))
    return stroke_width(ndimage.distance_transform_edt(np.pad(dark, 1)))


def _hull(parts: Sequence[Part]) -> Box:
    tops, lefts, bottoms, rights = zip(*(part.box for part in parts), strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)


def _height(box: Box) -> int:
    return box[2] - box[0]


def _gap(first: Box, second: Box) -> int:
    """Return how far two boxes are apart, along the axis on which they are farther apart."""
    down = max(first[0], second[0]) - min(first[2], second[2])
    across = max(first[1], second[1]) - min(first[3], second[3])
    return max(down, across, 0)
