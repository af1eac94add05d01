"""Grey pictures, shrunk by area means or enlarged by linear interpolation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]
"""A picture in one channel, float32 (H, W) in [0, 1]."""


LEAST_RANGE = 0.02
"""Brightness between the darkest and the lightest pixel below which a picture is blank."""


def resize(image: Grey, height: int, width: int) -> Grey:
    """Scale a picture, each axis on its own: float32 (H, W) -> float32 (height, width).

    Along an axis that shrinks, a pixel is the mean over its own area; along one that grows, it is interpolated between
    the centres of the two nearest pixels.
    """
    rows = _resize_rows(image, height)
    return np.ascontiguousarray(_resize_rows(np.ascontiguousarray(rows.T), width).T)


def fit(image: Grey, side: int) -> Grey:
    """Shrink a picture, keeping its shape, until its larger side has at most `side` pixels."""
    larger = max(image.shape)
    if larger <= side:
        return image
    height, width = (max(1, round(length * side / larger)) for length in image.shape)
    return resize(image, height, width)


def _resize_rows(image: Grey, target: int) -> Grey:
    """Scale along columns, without a matrix product: BLAS wakes all its threads for one, and they spin for a while."""
    source = image.shape[0]
    edges = np.arange(target + 1) * (source / target)
    if target > source:
        centres = np.clip((edges[:-1] + edges[1:]) / 2 - 0.5, 0, source - 1)
        above = np.floor(centres).astype(np.int64)
        share = (centres - above).astype(np.float32)[:, None]
        return np.asarray(image[above] * (1 - share) + image[np.minimum(above + 1, source - 1)] * share)
    rows = np.zeros((target, image.shape[1]), dtype=np.float32)
    for step in range(-(-source // target) + 1):  # a row of the target lies on no more of the source's
        pixels = np.floor(edges[:-1]).astype(np.int64) + step
        overlap = np.clip(np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels), 0, None)
        share = (overlap * (target / source)).astype(np.float32)[:, None]
        rows += share * image[np.minimum(pixels, source - 1)]
    return rows
