"""Images mixed into those to train on: digits as the world writes them, and what is no digit."""

from __future__ import annotations

import torch

from under10k.data.digits import CLASSES, Digits
from under10k.data.no_digits import draw_no_digits
from under10k.data.pen import write
from under10k.data.world import TURNS, WORLD
from under10k.recipes import Mix


def mix(digits: Digits, amounts: Mix, seed: int) -> Digits:
    """Return the digits followed by drawn ones and by images of no digit, as many as `amounts` says.

    What shows no digit has a label at random: trained on all of them, a network answers with none for sure. A pure
    function of its arguments on one machine.
    """
    if not (amounts.drawn or amounts.no_digits):
        return digits
    generator = torch.Generator().manual_seed(seed)
    images, labels = [digits.images.cpu()], [digits.labels.cpu()]
    extra, others = _counts(amounts, len(digits))
    if extra:
        drawn = torch.tensor(TURNS)[torch.randperm(extra, generator=generator) % len(TURNS)]
        images.append(write(drawn, WORLD, generator))
        labels.append(drawn)
    if others:
        images.append(draw_no_digits(others, images[0], generator))
        labels.append(torch.randint(CLASSES, (others,), generator=generator))
    return Digits(torch.cat(images), torch.cat(labels)).to(digits.images.device)


def mixed_count(amounts: Mix, images: int) -> int:
    """Return how many images so many become."""
    return images + sum(_counts(amounts, images))


def _counts(amounts: Mix, images: int) -> tuple[int, int]:
    """Return how many drawn digits, and how many images of no digit, are mixed into so many images."""
    return round(amounts.drawn * images), round(amounts.no_digits * images)
