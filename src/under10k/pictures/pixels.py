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
    down, across = _weights(image.shape[0], height), _weights(image.shape[1], width)
    return np.asarray(down @ image @ across.T, dtype=np.float32)


def fit(image: Grey, side: int) -> Grey:
    """Shrink a picture, keeping its shape, until its larger side has at most `side` pixels."""
    larger = max(image.shape)
    if larger <= side:
        return image
    height, width = (max(1, round(length * side / larger)) for length in image.shape)
    return resize(image, height, width)


def _weights(source: int, target: int) -> Grey:
    """Return the weight of each source pixel in each target pixel: (target, source); each row sums to 1."""
    edges = np.arange(target + 1) * (source / target)
    pixels = np.arange(source)
    if target <= source:
        overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        return np.asarray(np.clip(overlap, 0, None) * (target / source), dtype=np.float32)
    centres = np.clip((edges[:-1] + edges[1:]) / 2 - 0.5, 0, source - 1)
    return np.asarray(np.clip(1 - np.abs(centres[:, None] - pixels), 0, None), dtype=np.float32)
