"""Arrays that no camera and no pen makes: textures, specks, extremes, and numbers of every type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Painting = np.ndarray[Any, np.dtype[Any]]

Generator = np.random.Generator


def paint(rng: Generator) -> Painting:
    """Paint one to three things over each other, and give them a type and a range: (H, W) or (H, W, 1 to 4)."""
    most = rng.choice((8, 8, 8, 9.8))
    height, width = (int(2 ** rng.uniform(0, most)) for _ in range(2))
    if rng.random() < 0.3:
        height = width
    values = np.full((height, width), rng.choice((0.0, 0.5, 1.0)))
    for _ in range(rng.integers(1, 4)):
        values = _PAINTERS[rng.integers(len(_PAINTERS))](values, rng)
    if rng.random() < 0.3:
        values = np.stack([values, *(_PAINTERS[rng.integers(4)](values, rng) for _ in range(rng.integers(3)))], axis=2)
    return _TYPES[rng.integers(len(_TYPES))](values, rng)


def _speckle(values: Painting, rng: Generator) -> Painting:
    """Blocks at a regular distance, or at random places."""
    height, width = values.shape
    step, side, level = rng.integers(2, 24), rng.integers(1, 8), rng.choice((0.0, 0.4, 0.93, 1.0))
    if rng.random() < 0.5:
        rows, columns = np.mgrid[0:height, 0:width] % step < min(side, step - 1)
        return np.where(rows & columns, level, values)
    painted = values.copy()
    for _ in range(int(2 ** rng.uniform(0, 9))):
        top, left = rng.integers(height), rng.integers(width)
        painted[top : top + side, left : left + side] = level
    return painted


def _blot(values: Painting, rng: Generator) -> Painting:
    """One small thing, of full ink."""
    painted, side = values.copy(), int(2 ** rng.uniform(0, 6))
    top, left = (int(rng.integers(length)) for length in values.shape)
    painted[top : top + side, left : left + side] = rng.choice((0.0, 1.0))
    return painted


def _stripe(values: Painting, rng: Generator) -> Painting:
    phase = np.add.outer(np.arange(values.shape[0]) * rng.uniform(-1, 1), np.arange(values.shape[1]) * rng.uniform())
    return np.where(np.sin(phase * rng.uniform(0.05, 3)) > rng.uniform(-1, 1), rng.random(), values)


def _ring(values: Painting, rng: Generator) -> Painting:
    rows, columns = np.mgrid[0 : values.shape[0], 0 : values.shape[1]]
    radius = np.hypot(rows - rng.uniform() * values.shape[0], columns - rng.uniform() * values.shape[1])
    return np.where(radius % rng.uniform(1, 60) < rng.uniform(0, 20), rng.random(), values)


def _add_noise(values: Painting, rng: Generator) -> Painting:
    return np.clip(values + rng.normal(scale=2 ** rng.uniform(-9, 1), size=values.shape), 0, 1)


def _replace_by_noise(values: Painting, rng: Generator) -> Painting:
    return np.asarray(rng.random(values.shape) ** rng.choice((0.2, 1, 8)))


def _shade(values: Painting, rng: Generator) -> Painting:
    rows = np.linspace(rng.random(), rng.random(), values.shape[0])
    return np.asarray(values * rows[:, None])


_PAINTERS: tuple[Callable[[Painting, Generator], Painting], ...] = (
    *(_speckle, _blot, _stripe, _ring, _speckle, _add_noise, _replace_by_noise, _shade),
)

_TYPES: tuple[Callable[[Painting, Generator], Painting], ...] = (
    *(lambda values, _: np.round(values * 255).astype(np.uint8),) * 6,
    lambda values, _: values.astype(np.float32),
    lambda values, _: values,
    lambda values, rng: values.astype(np.float16) * rng.choice((1, 1000)),
    lambda values, _: values > 0.5,
    lambda values, _: (values * 65535).astype(np.uint16),
    lambda values, _: (values * 2**31 - 2**30).astype(np.int32),
    lambda values, _: np.where(values > 0.5, 2**63 - 1, -(2**63)),
    lambda values, rng: np.where(values == values.max(), rng.choice((np.nan, np.inf)), values),
    lambda values, rng: (2 * values - 1) * float(rng.choice((1e-310, 1e-40, 1e38, 1e300, 1.7e308))),
)
