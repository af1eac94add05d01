"""Other digits that are trained on beside the data's own, so that what they have taught is not forgotten."""

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
class Others:
    """Digits to be mixed in."""

    digits: Digits | None = None
    """None where there are none."""
    source: str = ""
    """How many there are of each kind, such as `20,000 of mnist, 5,000 synthetic`."""
    note: str = ""
    """A sentence for people, where they are not what they expect."""


def find_others(mix: Mix, seed: int) -> Others:
    """Return the digits that a recipe mixes in, drawn with this seed.

    Where MNIST can be neither found nor downloaded, digits drawn by strokes take its place, and the note says so.
    """
    parts, note, strokes = {}, "", mix.synthetic
    if mix.mnist:
        try:
            mnist = load_digits("mnist").train
            chosen = torch.randperm(len(mnist), generator=torch.Generator().manual_seed(seed))[: mix.mnist]
            parts["of mnist"] = mnist[chosen]
        except Under10kError as error:
            strokes += mix.mnist
            reason = str(error).partition(". ")[0]
            note = f"MNIST can be neither found nor downloaded, so digits drawn by strokes are mixed in: {reason}."
    if strokes:
        parts["synthetic"] = draw_digits(strokes, seed)
    if not parts:
        return Others()
    source = ", ".join(f"{len(digits):,} {name}" for name, digits in parts.items())
    return Others(_join(*parts.values()), source, note)


def mix_in(own: Digits, others: Others, own_share: float) -> Digits:
    """Return digits to train on: the data's own, repeated until they are `own_share` of all, a fraction, and others."""
    if others.digits is None:
        return own
    return _join(*[own] * times_repeated(len(own), len(others.digits), own_share), others.digits.to(own.images.device))


def times_repeated(own: int, others: int, own_share: float) -> int:
    """Return how often each of the data's own images comes up in an epoch."""
    return max(1, math.ceil(own_share / (1 - own_share) * others / own))


def _join(*parts: Digits) -> Digits:
    return Digits(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))
