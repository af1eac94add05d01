"""What a pen has left on a picture: told from paper, light, faint lines and specks, and put together to digits.

All steps are sums, box means, running maxima and connected parts, so that they can be done again elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tenk.resize import Grey

Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]
"""Top, left, bottom, right, in pixels; the last two lie just outside."""

EVEN, EVEN_SMALL = 0.85, 0.5
"""Share of the pixels in paper's half of the range that have its brightness, where light and paper are even; in small
pictures many pixels are part paper and part ink."""

UNEVEN_WINDOWS = (1 / 16, 1 / 4)
"""Sides of the windows in which an unevenly lit picture tells ink from paper, as shares of its larger side."""

PAPER_WINDOW = 0.2
"""Side of the square in which paper is looked for first, as a share of the larger side: more than a stroke's width."""

PAPER_STROKES = 3.0
"""Side of the square in which it is looked for then, in widths of the strokes found."""

FAINTEST = 0.05
"""Least darkness, as a share of the paper's brightness, that can be ink where there is no noise."""

NOISE_DEVIATIONS = 3.0
"""How many deviations of the paper's noise ink must be darker than paper."""

OF_DARKEST, OF_DARKEST_EVEN = 0.45, 0.34
"""Share of the darkest ink it hangs together with that a pixel must have: in a photo shadows and printed lines have
less. In a drawing, where `_smooth` takes the mean of 3x3, a line one pixel thin has a third of full ink but two thirds
where it bends: it has half of its darkest. What lies just beside a thick stroke has a third of that, and is paper."""

AT_THE_EDGE = 0.15
"""What a part that touches the edge of an unevenly lit picture counts: a table or a shadow rather than a digit."""

MOST_PARTS = 1000
"""Parts, those with the most outline, that are looked at: printed dots and noise can have tens of thousands."""

SMALLEST_PART = 0.03
"""Outline of the least part that belongs to a digit, as a share of its largest part's."""

AS_DARK = 0.5
"""Darkness, as a share of that of its darkest part, that each part of a digit in a photo has."""

REACH, REACH_EVEN, REACH_UNEVEN = 0.25, 0.1, 0.04
"""How far a part may lie from the others: a share of their size, or if that is more of a drawing's or of a photo's."""

FRAGMENT = 0.6
"""Height, as a share of the tallest part's, below which a part of several digits is a piece of one."""

LEAST_RANGE = 0.02
"""Brightness between the darkest and the lightest pixel below which a picture is blank."""

SMALLEST_DIGIT = 4
"""Pixels that the larger side of a digit has at least."""

LEAST_BESIDE = 0.35
"""Size, as a share of the largest's, that each of several digits has at least."""

LARGEST_GAIN = 4.0
"""How much steeper a large digit's edges are made: as many times as its size is MNIST's 20 pixels, up to this."""

_EIGHT = np.ones((3, 3), dtype=bool)
_SMALL = 100


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


@dataclass(frozen=True, eq=False)
class Part:
    """Ink that hangs together."""

    label: int
    box: Box
    outline: float
    """Sum of the changes of darkness within it: its length times its contrast, whatever its thickness."""
    darkest: float
    """Its greatest darkness."""
    at_edge: bool


@dataclass(frozen=True, eq=False)
class _Scan:
    """A picture with its paper flattened, and the parts of its ink."""

    darkness: Grey
    smooth: Grey
    labels: NDArray[Any]
    parts: list[Part]
    """Those with the most outline come first."""


def find_digit(grey: Grey, *, invert: bool = False) -> Found | None:
    """Find the digit in a picture, float32 (H, W) in [0, 1]; None where there is no ink.

    All parts near its largest belong to it. Whether ink is darker or lighter than paper is found too; `invert` takes
    the other.
    """
    even = _is_even(grey)
    light = _ink_is_light(grey, even) != invert
    scan = _scan_finely(1 - grey if light else grey, even)
    if not scan.parts:
        return None
    main = _main_part(scan, even)
    found = _cut(scan, _gather(main, scan.parts, grey.shape, even), light)
    return found if max(found.ink.shape) >= SMALLEST_DIGIT else None


def find_digits(grey: Grey, *, invert: bool = False) -> list[Found]:
    """Find all digits in a picture, in reading order; digits that touch each other are not told apart."""
    even = _is_even(grey)
    light = _ink_is_light(grey, even) != invert
    scan = _scan_finely(1 - grey if light else grey, even)
    if not scan.parts:
        return []
    main = _main_part(scan, even)
    parts = [part for part in scan.parts if _belongs(part, main, even)]
    digits = _join(parts)
    largest = max(_size(_hull(parts)) for parts in digits)
    digits = [parts for parts in digits if _size(_hull(parts)) >= max(LEAST_BESIDE * largest, SMALLEST_DIGIT)]
    return [_cut(scan, parts, light) for parts in _reading_order(digits)]


# --- paper and ink -------------------------------------------------------------------------------------------------


def _is_even(grey: Grey) -> bool:
    """Tell whether most paper has one brightness, give or take a fiftieth: a drawing or a scan, not a photo."""
    middle = (grey.min() + grey.max()) / 2
    for half in (grey[grey >= middle], grey[grey < middle]):
        counts = np.bincount(np.round(half * 100).astype(int), minlength=101)
        commonest = np.convolve(counts, np.ones(5), "same").max()
        if commonest > 0.3 * grey.size:
            return bool(commonest > (EVEN if min(grey.shape) > _SMALL else EVEN_SMALL) * half.size)
    return False


def _ink_is_light(grey: Grey, even: bool) -> bool:
    """Tell whether ink is lighter than paper: it is the rarer of the two, so that it skews what is around it.

    For each pixel its difference from the mean of a square around it; the sign of their skewness tells. Beyond its edge
    a picture goes on as it ends, which is as paper even where a digit touches it.
    """
    windows = (1.0,) if even else UNEVEN_WINDOWS
    return sum(_skewness(grey, int(max(grey.shape) * share) | 1) for share in windows) > 0


def _skewness(grey: Grey, side: int) -> float:
    mean = _box_mean(grey, side)
    rest = _smooth((grey - mean) / np.sqrt(np.clip(mean * (1 - mean), 0, None) + 0.02))
    square = rest * rest
    return float((square * rest).mean(dtype=np.float64) / max(square.mean(dtype=np.float64) ** 1.5, 1e-12))


def _darkness(paper_up: Grey, even: bool, side: int) -> tuple[Grey, Grey]:
    """Return how much darker than its paper each pixel is, as a share of it, and the paper's brightness.

    Paper is the commonest brightness where light is even; else what is left when all that is dark and narrower than
    `side` is closed.
    """
    if even:
        bright = paper_up[paper_up >= (paper_up.min() + paper_up.max()) / 2]
        counts = np.bincount(np.round(bright * 255).astype(int), minlength=256)
        level = np.float32(max(int(np.convolve(counts, np.ones(7), "same").argmax()), 1) / 255)
        return np.asarray(1 - paper_up / level, dtype=np.float32), np.full_like(paper_up, level)
    paper = np.maximum(_close(_smooth(paper_up), side), 0.01)
    return np.asarray(1 - paper_up / paper, dtype=np.float32), paper


def _close(grey: Grey, side: int) -> Grey:
    """Fill dark places narrower than a square; over the edge the picture goes on as steeply as it came."""
    margin = min(side // 2, min(grey.shape) - 1)
    padded = np.pad(grey, margin, mode="reflect", reflect_type="odd")
    size = (side, side)
    closed = ndimage.minimum_filter(ndimage.maximum_filter(padded, size, mode="nearest"), size, mode="nearest")
    return np.asarray(closed[margin : margin + grey.shape[0], margin : margin + grey.shape[1]])


def _scan_finely(paper_up: Grey, even: bool) -> _Scan:
    """Scan a picture; where light is uneven, once more with a square that just spans the strokes found."""
    side = int(PAPER_WINDOW * max(paper_up.shape)) | 1
    if np.ptp(paper_up) < LEAST_RANGE:
        return _Scan(paper_up, paper_up, np.zeros(paper_up.shape, dtype=np.int32), [])
    scan = _scan(paper_up, even, side)
    if even or not scan.parts:
        return scan
    group = _gather(_main_part(scan, even), scan.parts, paper_up.shape, even)
    narrower = max(int(PAPER_STROKES * _darkest_width(scan, group)) | 1, 9)
    again = _scan(paper_up, even, narrower) if narrower < 0.7 * side else scan
    return again if again.parts else scan


def _scan(paper_up: Grey, even: bool, side: int) -> _Scan:
    darkness, paper = _darkness(paper_up, even, side)
    smooth = _smooth(darkness)
    if even:
        base, noise = 0.0, 0.0
    else:  # closing noisy paper makes it too bright; the darkness of most pixels tells by how much
        least, base = np.quantile(smooth[::2, ::2], (0.05, 0.3)).tolist()
        noise = (base - least) / 1.12  # these two quantiles of a normal distribution lie 1.12 deviations apart
    faintest = max(FAINTEST, NOISE_DEVIATIONS * noise)
    darkness, smooth = np.clip(darkness - base, 0, 1), smooth - np.float32(base)
    dimness = np.maximum(1, np.median(paper[::2, ::2]) / paper)  # noise is a larger share of dim paper
    labels, count = ndimage.label(smooth > faintest * dimness, _EIGHT)
    darkest = np.zeros(count + 1, dtype=np.float32)
    darkest[1:] = ndimage.maximum(smooth, labels, np.arange(1, count + 1))
    darkest[darkest < 1.5 * faintest] = np.inf
    share = OF_DARKEST_EVEN if even else OF_DARKEST
    labels, count = ndimage.label(smooth > share * darkest[labels], _EIGHT) if count else (labels, 0)
    return _Scan(darkness, smooth, labels, _parts(smooth, labels, count))


def _parts(smooth: Grey, labels: NDArray[Any], count: int) -> list[Part]:
    down, across = np.gradient(smooth) if min(smooth.shape) > 1 else (smooth, smooth)
    outlines = ndimage.sum_labels(np.abs(down) + np.abs(across), labels, np.arange(1, count + 1))
    darkest = ndimage.maximum(smooth, labels, np.arange(1, count + 1)) if count else []
    height, width = labels.shape
    parts = []
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        at_edge = rows.start == 0 or columns.start == 0 or rows.stop == height or columns.stop == width
        box = (rows.start, columns.start, rows.stop, columns.stop)
        parts.append(Part(label, box, float(outlines[label - 1]), float(darkest[label - 1]), at_edge))
    return sorted(parts, key=lambda part: -part.outline)[:MOST_PARTS]


def _smooth(grey: Grey) -> Grey:
    """Mean over 3x3 pixels; of a picture so small that strokes are hardly wider, the picture itself."""
    return _box_mean(grey, 3) if min(grey.shape) > _SMALL else grey


def _box_mean(grey: Grey, side: int) -> Grey:
    return np.asarray(ndimage.uniform_filter(grey, side, mode="nearest"))


# --- parts and digits ----------------------------------------------------------------------------------------------


def _main_part(scan: _Scan, even: bool) -> Part:
    """Return the part with the most outline and the darkest ink, those far from the middle counting less."""
    height, width = scan.labels.shape

    def weight(part: Part) -> float:
        top, left, bottom, right = part.box
        at_edge = part.at_edge and not even
        away = ((top + bottom) / height - 1) ** 2 + ((left + right) / width - 1) ** 2
        return float(part.outline * part.darkest * (1 - away / 4) * (AT_THE_EDGE if at_edge else 1))

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


def _cut(scan: _Scan, group: Sequence[Part], light: bool) -> Found:
    """Cut a digit out, as ink from 0 to 1; the larger it is, the crisper its edges become."""
    top, left, bottom, right = _hull(group)
    place = np.s_[max(0, top - 2) : bottom + 2, max(0, left - 2) : right + 2]
    labels, darkness = scan.labels[place], scan.darkness[place]
    kept = np.isin(labels, [part.label for part in group])
    near = ndimage.binary_dilation(kept, _EIGHT, iterations=2) & (kept | (labels == 0))
    full = max(float(np.quantile(darkness[kept], 0.8)), 1e-6)
    ink = np.where(near, np.clip(darkness / full, 0, 1), 0)
    gain = min(max(_size((top, left, bottom, right)) / 20, 1.0), LARGEST_GAIN)
    outline = sum(part.outline for part in group)
    others = next((part.outline for part in scan.parts if part not in group and not part.at_edge), 0.0)
    return Found(
        np.clip((ink - 0.5) * gain + 0.5, 0, 1).astype(np.float32),
        (top, left, bottom, right),
        light,
        2 * others < outline,
    )


def _darkest_width(scan: _Scan, group: Sequence[Part]) -> float:
    """Return the mean width of the darkest strokes of a digit, in pixels: what a shadow adds to it does not count."""
    kept = np.isin(scan.labels, [part.label for part in group])
    dark = kept & (scan.smooth > 0.6 * max(part.darkest for part in group))
    top, left, bottom, right = _hull(group)
    return stroke_width(np.pad(dark[top:bottom, left:right], 1))


def stroke_width(shape: Mask) -> float:
    """Return the mean width of a drawing's strokes, in pixels; the shape must not touch the picture's edge.

    The distances from the points of a stroke to its edge have a quarter of its width as their mean.
    """
    depth = ndimage.distance_transform_edt(shape)[shape] - 0.5
    return max(1.0, 4 * float(np.mean(depth))) if depth.size else 0.0


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
