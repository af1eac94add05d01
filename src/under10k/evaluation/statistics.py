"""How certain a number is: intervals over images and over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

ROUNDING = 1e-12
"""Fractions with a deviation up to this differ by rounding alone; one image in a million is 1e-6."""


@dataclass(frozen=True)
class Interval:
    """A value with the bounds of its 95 % confidence interval, infinite where they are unknown."""

    value: float
    low: float
    high: float

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Both bounds; None where they are infinite."""
        return (self.low, self.high) if math.isfinite(self.low) else None


def wilson_interval(successes: int, trials: int) -> Interval:
    """Return a proportion with its 95 % Wilson score interval, which holds near 100 % too (Wilson, 1927)."""
    z = statistics.NormalDist().inv_cdf(0.975)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    # at 0 and 1 the bounds meet the share, but for rounding
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean over seeds with its 95 % interval by Student's t.

    A single value, and values that are all equal, have infinite bounds: they say nothing about their spread.
    """
    mean = statistics.fmean(values)
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    if deviation <= ROUNDING:
        return Interval(mean, -math.inf, math.inf)
    from scipy.stats import t  # imported here: half a second that few commands need

    half = float(t.ppf(0.975, len(values) - 1)) * deviation / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


FEWEST_PAIRS = 3
"""Fewest pairs for a test: with two, p says more about luck than about what was compared."""


@dataclass(frozen=True)
class PairedDifference:
    """How much better one set of runs is than another with the same seeds."""

    mean: Interval
    """Mean of the differences, with its 95 % interval."""
    p: float | None
    """Two-sided p of Student's paired test; None for fewer than three pairs, or where all differ alike."""
    pairs: int


def paired_difference(first: Sequence[float], second: Sequence[float]) -> PairedDifference:
    """Return the mean of `second - first` over pairs, with its interval and the p of Student's paired test."""
    differences = [b - a for a, b in zip(first, second, strict=True)]
    mean, pairs = mean_interval(differences), len(differences)
    if pairs < FEWEST_PAIRS or mean.bounds is None:
        return PairedDifference(mean, None, pairs)
    from scipy.stats import t

    error = statistics.stdev(differences) / math.sqrt(pairs)
    return PairedDifference(mean, float(2 * t.sf(abs(mean.value) / error, pairs - 1)), pairs)
