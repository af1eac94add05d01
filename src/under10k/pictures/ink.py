"""Ink, told from paper, shadows, faint lines and specks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from under10k.pictures.filters import EIGHT, highest_near, lowest_within, mean_near, places, steepness
from under10k.pictures.pixels import Grey
from under10k.pictures.printed import find_printed

Box = tuple[int, int, int, int]
"""Top, left, bottom, right, in pixels; the last two lie just outside."""


SMALL = 100
"""Pixels of the smaller side up to which a picture is small: its strokes are hardly wider than a pixel."""


SMOOTHING = 3
"""Side of the square that noise is averaged over, in pixels; a small picture is taken as it is."""


TONES, TONE_REACH = 100, 2
"""Steps of brightness from 0 to 1 in which even paper is looked for, and how many on either side of the commonest count
as paper too."""


LEAST_PAPER = 0.3
"""Share of a picture that even paper covers at least."""


EVEN, EVEN_SMALL = 0.85, 0.5
"""Share of the pixels in the paper's half of the range that have its brightness if light and paper are even; in a small
picture many pixels are part paper, part ink."""


UNEVEN_WINDOWS = (1 / 16, 1 / 4)
"""Sides of the windows that ink is told from paper in when light is uneven, as shares of the picture's larger side."""


FLATNESS = 0.02
"""Variance added to that of a window, so that noise on flat paper does not outweigh ink."""


PAPER_REACH = 3
"""Levels, of 255, on either side of the commonest that count as even paper too."""


DARKEST_PAPER = 0.01
"""Brightness that uneven paper has at least."""


NOISE_QUANTILES = (0.05, 0.3)
"""Quantiles of darkness in an unevenly lit picture, both of paper, that measure its noise and its brightness."""


NOISE_SPAN = 1.12
"""Standard deviations of a normal distribution between these two quantiles."""


NOISE_STEP = 2
"""Step, in pixels, at which rows and columns are sampled to measure noise and brightness."""


FAINTEST = 0.05
"""Least darkness that can be ink without noise, as a share of the paper's brightness."""


NOISE_DEVIATIONS = 3.0
"""Standard deviations of the paper's noise by which ink must be darker than paper."""


SURELY_INK = 1.5
"""Darkness that a part must reach somewhere, as a multiple of the faintest that can be ink."""


OF_DARKEST, OF_DARKEST_EVEN = 0.45, 0.34
"""Least darkness of ink, as a share of the darkest ink connected with it; in a photo, of that within a window three
strokes wide, as pressure fades along a stroke. There, shadows and printed lines have less. In a drawing, `_smooth`
leaves a line one pixel wide a third of full ink, but two thirds where it bends: the line has half of its darkest. A
pixel just beside a thick stroke has a third of it, and is paper."""


MOST_SEARCHED = 10
"""Most pixels in which frames are looked for, as a multiple of the picture's."""


MOST_PARTS = 1000
"""Most parts that are looked at, those with the most outline: printed dots and noise can make tens of thousands."""


DEPTHS = 4.0
"""Width of a stroke as a multiple of the mean distance of its points from its edge."""


PRINTED = -1
"""Label of printed lines and frames, which are neither ink nor paper."""


ENCLOSED = 0.3
"""Least size of ink that makes what runs around it a frame, as a share of the smaller side of what is enclosed: a speck
or a dot within a 0 has less."""


AS_DARK = 0.5
"""Least darkness of a part of a digit in a photo, as a share of its darkest part's; and of ink within a frame, as a
share of the frame's, which would else be a loop over a printed line."""


TINY = 1e-12
"""Keeps a divisor from being 0."""


@dataclass(frozen=True, eq=False)
class Part:
    """Connected ink."""

    label: int
    box: Box
    outline: float
    """Sum of the changes of darkness within it: its length times its contrast, whatever its thickness."""
    darkest: float
    """Its greatest darkness."""
    at_edge: bool


@dataclass(frozen=True, eq=False)
class Scan:
    """A picture with its paper flattened, and the parts of its ink."""

    darkness: Grey
    smooth: Grey
    labels: NDArray[Any]
    parts: list[Part]
    """Those with the most outline come first."""


# --- paper and ink -------------------------------------------------------------------------------------------------


def is_even(grey: Grey) -> bool:
    """Tell whether most paper has one brightness, give or take a fiftieth: as in a drawing or a scan, not a photo."""
    middle = (grey.min() + grey.max()) / 2
    for mask in (grey >= middle, grey < middle):
        half = grey[mask]
        counts = np.bincount(np.round(half * TONES).astype(int), minlength=TONES + 1)
        commonest = np.convolve(counts, np.ones(2 * TONE_REACH + 1), "same").max()
        if commonest > LEAST_PAPER * grey.size:
            return bool(commonest > (EVEN if min(grey.shape) > SMALL else EVEN_SMALL) * half.size)
    return False


def ink_is_light(grey: Grey, even: bool) -> bool:
    """Tell whether ink is lighter than paper. Ink is the rarer of the two, so it skews the distribution of brightness.

    Each pixel's difference from the mean of the square around it is taken; the sign of their skewness tells. Past its
    edges the picture is continued by its outermost pixels: mostly paper, even where a digit touches the edge.
    """
    windows = (1.0,) if even else UNEVEN_WINDOWS
    return sum(_skewness(grey, int(max(grey.shape) * share) | 1) for share in windows) > 0


def _skewness(grey: Grey, side: int) -> float:
    mean = _box_mean(grey, side)
    rest = grey - mean
    mean *= 1 - mean
    rest /= np.sqrt(np.maximum(mean, 0, out=mean) + FLATNESS)
    rest = _smooth(rest)
    square = rest * rest
    return float((square * rest).mean(dtype=np.float64) / max(square.mean(dtype=np.float64) ** 1.5, TINY))


def _darkness(paper_up: Grey, even: bool, side: int) -> tuple[Grey, Grey]:
    """Return how much darker than its paper each pixel is, as a share of the paper's brightness, and that brightness.

    If light is even, paper is the commonest brightness; else it is what closing leaves: the picture without anything
    dark that is narrower than `side`.
    """
    if even:
        bright = paper_up[paper_up >= (paper_up.min() + paper_up.max()) / 2]
        counts = np.bincount(np.round(bright * 255).astype(int), minlength=256)
        level = np.float32(max(int(np.convolve(counts, np.ones(2 * PAPER_REACH + 1), "same").argmax()), 1) / 255)
        return np.asarray(1 - paper_up / level, dtype=np.float32), np.full_like(paper_up, level)
    paper = np.maximum(_close(_smooth(paper_up), side), DARKEST_PAPER)
    return np.asarray(1 - paper_up / paper, dtype=np.float32), paper


def _close(grey: Grey, side: int) -> Grey:
    """Fill dark places narrower than a square; past the edge, the picture continues with its slope."""
    margin = min(side // 2, min(grey.shape) - 1)
    padded = np.pad(grey, margin, mode="reflect", reflect_type="odd")
    return lowest_within(np.pad(highest_near(padded, side), side // 2 - margin, mode="edge"), side)


def scan_ink(paper_up: Grey, even: bool, side: int) -> Scan:
    darkness, paper = _darkness(paper_up, even, side)
    smooth = _smooth(darkness)
    if even:
        base, noise = 0.0, 0.0
    else:  # closing makes noisy paper too bright: by how much, most pixels' darkness tells
        least, base = np.quantile(smooth[::NOISE_STEP, ::NOISE_STEP], NOISE_QUANTILES).tolist()
        noise = (base - least) / NOISE_SPAN
    faintest = max(FAINTEST, NOISE_DEVIATIONS * noise)
    darkness, smooth = np.clip(darkness - base, 0, 1), smooth - np.float32(base)
    dimness = np.maximum(
        1, np.median(paper[::NOISE_STEP, ::NOISE_STEP]) / paper
    )  # on dim paper, noise is a larger share
    seen = smooth > faintest * dimness
    labels, count = ndimage.label(seen, EIGHT)
    seen_at = places(seen)
    found, numbers = smooth[seen_at], labels[seen_at]
    darkest = _darkest(found, numbers, count)
    darkest[darkest < SURELY_INK * faintest] = np.inf
    limits = darkest[numbers]
    if not even:  # pressure fades along a stroke, so the darkest ink near by counts
        near = highest_near(smooth, side)
        limits = np.where(limits < np.inf, np.minimum(limits, near[seen_at]), limits)
    ink = np.zeros_like(seen)
    ink[seen_at] = found > (OF_DARKEST_EVEN if even else OF_DARKEST) * limits
    printed = find_printed(ink, smooth) if count else None
    strokes = ink if printed is None else ink & ~printed
    labels, count = ndimage.label(strokes, EIGHT)
    parts = _parts(smooth, labels, count, places(strokes))
    if printed is not None:
        labels[printed] = PRINTED
    frames = _surrounding(parts, labels)
    if frames:
        labels[np.isin(labels, [part.label for part in frames])] = PRINTED
    return Scan(darkness, smooth, labels, [part for part in parts if part not in frames])


def _surrounding(parts: Sequence[Part], labels: NDArray[Any]) -> list[Part]:
    """Return the parts that run all around another, as a box, a circle or a table does, and no digit."""
    if len(parts) < 2:
        return []
    top, left, bottom, right = np.array([part.box for part in parts]).T
    darkest = np.array([part.darkest for part in parts])
    around = (top[:, None] < top) & (left[:, None] < left) & (bottom < bottom[:, None]) & (right < right[:, None])
    around &= darkest >= AS_DARK * darkest[:, None]
    frames, left_over = [], MOST_SEARCHED * labels.size
    for number in np.nonzero(around.any(axis=1))[0].tolist():
        part = parts[number]
        left_over -= (part.box[2] - part.box[0]) * (part.box[3] - part.box[1])
        if left_over < 0:
            break
        if _encloses(part, [parts[inner] for inner in np.nonzero(around[number])[0].tolist()], labels):
            frames.append(part)
    return frames


def _encloses(part: Part, others: Sequence[Part], labels: NDArray[Any]) -> bool:
    """Tell whether one of some parts within its box lies in a hole of a part, and fills enough of it."""
    top, left, bottom, right = part.box
    cut = labels[top:bottom, left:right]
    regions, _ = ndimage.label(cut != part.label)  # without diagonals, as a stroke one pixel wide encloses, too
    spans = ndimage.find_objects(regions)
    for other in others:
        row = other.box[0] - top
        down, across = spans[regions[row, int(np.argmax(cut[row] == other.label))] - 1]
        if not down.start or not across.start or down.stop == bottom - top or across.stop == right - left:
            continue  # it lies outside, in a bay
        smaller = min(down.stop - down.start, across.stop - across.start)
        if size_of(other.box) >= ENCLOSED * smaller:
            return True
    return False


def _parts(smooth: Grey, labels: NDArray[Any], count: int, at: tuple[NDArray[Any], NDArray[Any]]) -> list[Part]:
    """Measure each part, with ink at these rows and columns."""
    numbers = labels[at]
    outlines = np.bincount(numbers, steepness(smooth, *at), count + 1)
    darkest = _darkest(smooth[at], numbers, count)
    height, width = labels.shape
    parts = []
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        at_edge = rows.start == 0 or columns.start == 0 or rows.stop == height or columns.stop == width
        box = (rows.start, columns.start, rows.stop, columns.stop)
        parts.append(Part(label, box, float(outlines[label]), float(darkest[label]), at_edge))
    return sorted(parts, key=lambda part: -part.outline)[:MOST_PARTS]


def measure_part(smooth: Grey, label: int, rows: NDArray[Any], columns: NDArray[Any]) -> Part:
    """Measure the part with ink at some rows and columns."""
    top, left, bottom, right = (int(edge) for edge in (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1))
    at_edge = top == 0 or left == 0 or bottom == smooth.shape[0] or right == smooth.shape[1]
    outline, darkest = float(steepness(smooth, rows, columns).sum()), float(smooth[rows, columns].max())
    return Part(label, (top, left, bottom, right), outline, darkest, at_edge)


def size_of(box: Box) -> int:
    """Return a box's larger side."""
    return max(box[2] - box[0], box[3] - box[1])


def _darkest(darkness: Grey, numbers: NDArray[Any], count: int) -> Grey:
    """Return the greatest darkness in each part, of that of its pixels, float32 (count + 1,); 0 for number 0."""
    darkest = np.zeros(count + 1, dtype=np.float32)
    np.maximum.at(darkest, numbers, darkness)  # twenty times as fast as ndimage.maximum, which sorts
    return darkest


def _smooth(grey: Grey) -> Grey:
    """Average over 3x3 pixels, unless the picture is so small that strokes are hardly wider."""
    return mean_near(grey, SMOOTHING) if min(grey.shape) > SMALL else grey


def _box_mean(grey: Grey, side: int) -> Grey:
    return np.asarray(ndimage.uniform_filter(grey, side, mode="nearest"))


def stroke_width(inside: NDArray[np.float64]) -> float:
    """Return the mean width of a drawing's strokes, in pixels, of the distances of its points from what is outside."""
    depth = inside[inside > 0] - 0.5
    return max(1.0, DEPTHS * float(np.mean(depth))) if depth.size else 0.0
