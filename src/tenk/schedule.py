"""The learning rate as a pure function of the step, so that there is nothing to checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves from the first step to the last."""

    name: Literal["constant", "one-cycle"] = "constant"
    """`constant`, or `one-cycle`: up to the peak in a straight line, then down to zero along a cosine."""
    warmup: float = 0.2
    """Share of all steps that the rise of `one-cycle` takes."""


def learning_rate(schedule: Schedule, peak: float, step: int, steps: int) -> float:
    """Return the learning rate of one step, counted from 0, of `steps`; `peak` is the largest it takes.

    One cycle is that of Smith (2018, arXiv 1803.09820), reduced to one rise and one fall.
    """
    if schedule.name == "constant":
        return peak
    rise = schedule.warmup * steps
    if step < rise:
        return peak * (step + 1) / (rise + 1)
    return peak * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2
