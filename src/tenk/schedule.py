"""The learning rate as a pure function of the step, so that there is nothing to checkpoint."""

from __future__ import annotations

import math


def one_cycle(step: int, steps: int, *, peak: float, warmup: float) -> float:
    """Return the learning rate of one step, counted from 0, of `steps`: up in a straight line, down along a cosine.

    `warmup` is the share of the steps that the rise takes, `peak` the largest rate. This is the one cycle of Smith
    (2018, arXiv 1803.09820), reduced to one rise and one fall.
    """
    rise = warmup * steps
    if step < rise:
        return peak * (step + 1) / (rise + 1)
    return peak * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2
