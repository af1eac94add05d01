"""Stroke width: digits written with a hair or a brush, brought near the width of MNIST's strokes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from under10k.data import BOX
from under10k.pictures.filters import Mask
from under10k.pictures.ink import stroke_width
from under10k.pictures.pixels import Grey, resize

THINNEST, THICKEST = 2.2, 4.3
"""Stroke widths, in pixels of the 20-pixel box, between which nothing is changed: most of MNIST's lie there."""


FINENESS = 6
"""Pixels at which strokes are measured and redrawn, for each of the 20-pixel box."""


LARGEST = 640
"""Most pixels of the larger side that ink is enlarged to: a small dark blot may lie amid much faint ink."""


HALF = 0.501
"""Ink above which a pixel belongs to a stroke."""


SMALLEST = 0.4
"""Radius of the smallest hole that counts, in pixels of the 20-pixel box."""


MARGIN = 2
"""Paper around the strokes while they are redrawn, in pixels of the 20-pixel box."""


MOVE_SHARES = (1.0, 0.75, 0.5, 0.25)
"""Shares of the way that edges are moved: the first that loses no hole and no part is taken; else they stay."""


def adjust_strokes(ink: Grey) -> Grey:
    """Bring strokes too thin or too thick for MNIST to its width: float32 (H, W) -> float32 (H', W'), in [0, 1].

    The result has another size, at which it is sharp; ink whose strokes have a usual width is returned unchanged. No
    hole is closed, no part lost or torn, no stroke joined to itself around a hole: the edges move less far instead.
    """
    rows, columns = np.nonzero(ink > HALF)
    if not rows.size:
        return ink
    size = max(int(np.ptp(rows)), int(np.ptp(columns))) + 1
    scale = max(1.0, min(BOX * FINENESS / size, LARGEST / max(ink.shape)))
    unit = scale * size / BOX
    height, width = (round(scale * side) for side in ink.shape)
    shape = np.pad(resize(ink, max(1, height), max(1, width)) > HALF, int(MARGIN * unit))
    inside = ndimage.distance_transform_edt(shape)
    thickness = stroke_width(inside) / unit
    wanted = min(max(thickness, THINNEST), THICKEST)
    if wanted == thickness:
        return ink
    return _redraw(shape, inside, unit, unit * (wanted - thickness) / 2)


def _redraw(shape: Mask, inside: NDArray[np.float64], unit: float, outwards: float) -> Grey:
    """Move a shape's edges by `outwards` pixels, or by the largest share of that which loses no hole and no part.

    `inside` is how far each of its points is from what is outside.
    """
    outside = ndimage.distance_transform_edt(~shape)
    distance = np.where(shape, inside - 0.5, 0.5 - outside)
    least = SMALLEST * unit
    holes, parts = _count_roomy(outside, least), ndimage.label(shape)[1]
    for share in (*MOVE_SHARES, 0.0):
        moved = distance + share * outwards
        kept = holes == 1 or _count_holes(moved, least) >= holes  # the paper around it is one, and always has room
        if kept and (outwards > 0 or ndimage.label(moved > 0)[1] == parts):
            break
    return np.clip(moved + 0.5, 0, 1).astype(np.float32)


def _count_holes(distance: NDArray[np.float64], least_radius: float) -> int:
    return _count_roomy(ndimage.distance_transform_edt(distance <= 0), least_radius)


def _count_roomy(depth: NDArray[np.float64], least_radius: float) -> int:
    """Count the parts of a shape with room for a disc of some radius; `depth` is its points' distance from outside."""
    labels, count = ndimage.label(depth > 0)
    return len(set(np.unique(labels[depth >= least_radius]).tolist()) - {0}) if count else 0
