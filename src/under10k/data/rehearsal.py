"""MNIST trained on beside a user's own digits, so that a trained network does not forget it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from under10k.data.datasets import load_digits
from under10k.data.digits import Digits
from under10k.data.synthetic import draw_digits
from under10k.errors import Under10kError
from under10k.recipes import Mix


@dataclass(frozen=True)
class Rehearsal:
    """The digits that are trained on beside the data's own."""

    digits: Digits | None = None
    """None where the recipe wants none."""
    source: str = ""
    """Where they come from, such as `20,000 of mnist`; a run's records name it."""
    note: str = ""
    """A sentence for people, where they are not what they expect."""


def find_rehearsal(mix: Mix, seed: int) -> Rehearsal:
    """Return the images of MNIST that a recipe wants, drawn with this seed.

    Where MNIST can be neither found nor downloaded, digits drawn by strokes take its place; the note says so.
    """
    if not mix.mnist:
        return Rehearsal()
    try:
        mnist = load_digits("mnist").train
    except Under10kError as error:
        note = f"MNIST can be neither found nor downloaded, so digits drawn by strokes are trained on beside: {error}."
        return Rehearsal(draw_digits(mix.mnist, seed), f"{mix.mnist:,} synthetic", note)
    chosen = torch.randperm(len(mnist), generator=torch.Generator().manual_seed(seed))[: mix.mnist]
    return Rehearsal(mnist[chosen], f"{mix.mnist:,} of mnist")


def rehearse(own: Digits, rehearsal: Rehearsal, own_share: float) -> Digits:
    """Return the data's own digits, each repeated until they are `own_share` of all, a fraction, and the others."""
    if rehearsal.digits is None:
        return own
    others = rehearsal.digits.to(own.images.device)
    wanted = own_share / (1 - own_share) * len(others) / len(own)
    times = max(1, math.ceil(round(wanted, 9)))  # but for rounding
    return Digits(
        torch.cat([own.images.repeat(times, 1, 1), others.images]), torch.cat([own.labels.repeat(times), others.labels])
    )
