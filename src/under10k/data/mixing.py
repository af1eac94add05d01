"""Images mixed into those to train on: digits as the world writes them, and what is no digit."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from under10k.data.digits import CLASSES, SIDE, Digits, to_levels, to_unit
from under10k.data.framing import frame
from under10k.data.pen import Ways, write
from under10k.data.world import LETTERS, WORLD
from under10k.recipes import Mix

SCRIBBLES = 200
"""Scribbles that are drawn at random; the pen writes each many times, never twice alike."""


STROKES, POINTS = 3, 4
"""Most strokes of a scribble, and most control points of a stroke."""


OVERLAP = 3
"""Most columns by which the two digits of a pair overlap."""


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
        drawn = torch.randperm(extra, generator=generator) % CLASSES
        images.append(write(drawn, WORLD, generator))
        labels.append(drawn)
    if others:
        images.append(_draw_no_digits(others, images[0], generator))
        labels.append(torch.randint(CLASSES, (others,), generator=generator))
    return Digits(torch.cat(images), torch.cat(labels)).to(digits.images.device)


def mixed_count(amounts: Mix, images: int) -> int:
    """Return how many images so many become."""
    return images + sum(_counts(amounts, images))


def _counts(amounts: Mix, images: int) -> tuple[int, int]:
    """Return how many drawn digits, and how many images of no digit, are mixed into so many images."""
    return round(amounts.drawn * images), round(amounts.no_digits * images)


def _draw_no_digits(count: int, images: Tensor, generator: Generator) -> Tensor:
    """Draw letters, scribbles and pairs of digits, about a third each: uint8 (count, 28, 28)."""
    letters, scribbles = (count + 2) // 3, (count + 1) // 3
    signs = torch.randint(len(LETTERS), (letters,), generator=generator)
    ways = torch.randint(SCRIBBLES, (scribbles,), generator=generator)
    pairs = torch.randint(len(images), (2, count // 3), generator=generator)
    drawn = [write(signs, LETTERS, generator), write(ways, _scribble(generator), generator)]
    return torch.cat([*drawn, _pair(images[pairs[0]], images[pairs[1]], generator)])


def _scribble(generator: Generator) -> Ways:
    """Draw scribbles of two and more strokes: one alone would often be a digit."""

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    def stroke() -> list[tuple[int, int]]:
        points = torch.randint(101, (number(2, POINTS), 2), generator=generator)
        return [(int(x), int(y)) for x, y in points]

    return {number_of: [(1.0, [stroke() for _ in range(number(2, STROKES))])] for number_of in range(SCRIBBLES)}


def _pair(left: Tensor, right: Tensor, generator: Generator) -> Tensor:
    """Set digits side by side, touching, into one frame: uint8 (N, 28, 28) twice -> uint8 (N, 28, 28)."""
    if not len(left):
        return left
    ends = SIDE - left.any(dim=1).flip(1).byte().argmax(dim=1)
    starts = right.any(dim=1).byte().argmax(dim=1)
    moves = ends - starts - torch.randint(OVERLAP + 1, (len(left),), generator=generator)
    columns = torch.arange(2 * SIDE)[None, :] - moves[:, None]
    seen = (columns >= 0) & (columns < SIDE)
    places = columns.clamp(0, SIDE - 1)[:, None, :].expand(-1, SIDE, -1)
    moved = right.gather(2, places) * seen[:, None, :]
    both = torch.maximum(torch.nn.functional.pad(left, (0, SIDE)), moved)
    return to_levels(frame(to_unit(both)))
