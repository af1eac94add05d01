"""Images of what is no digit: letters, scribbles, closed shapes with things inside, and pairs of digits."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from under10k.data.digits import SIDE, to_levels, to_unit
from under10k.data.framing import frame
from under10k.data.pen import SAMPLES, Stroke, Ways, write
from under10k.data.world import LETTERS

FORMS = 200
"""Scribbles, and closed shapes, that are made up at random; the pen writes each many times, never twice alike."""


STROKES, POINTS = 3, 4
"""Most strokes of a scribble, and most control points of a stroke."""


OVERLAP = 3
"""Most columns by which the two digits of a pair overlap."""


FINE = 1.7
"""Middle width of the pens for closed shapes, in pixels of the frame: a broad one would fill them."""


def draw_no_digits(count: int, digits: Tensor, generator: Generator) -> Tensor:
    """Draw letters, scribbles and pairs of `digits`, about a fifth each, and closed shapes: uint8 (count, 28, 28)."""
    letters, scribbles, pairs = (count + 4) // 5, (count + 3) // 5, (count + 2) // 5
    shapes = count - letters - scribbles - pairs
    signs = torch.randint(len(LETTERS), (letters,), generator=generator)
    forms = torch.randint(FORMS, (scribbles + shapes,), generator=generator)
    both = torch.randint(len(digits), (2, pairs), generator=generator)
    drawn = [
        write(signs, LETTERS, generator),
        write(forms[:scribbles], _make_up(_scribble, generator), generator),
        # twice the samples: these have the longest strokes, and the shortest
        write(forms[scribbles:], _make_up(closed_shape, generator), generator, width_pixels=FINE, samples=2 * SAMPLES),
    ]
    return torch.cat([*drawn, _pair(digits[both[0]], digits[both[1]], generator)])


class Chance:
    """Random numbers from a torch generator."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    def whole(self, low: int, high: int) -> int:
        """Draw a whole number, `low` to `high`."""
        return int(torch.randint(low, high + 1, (), generator=self._generator))

    def between(self, low: float, high: float) -> float:
        """Draw a number from `low` to `high`."""
        return low + (high - low) * float(torch.rand((), generator=self._generator))


def _make_up(form: Callable[[Chance], list[Stroke]], generator: Generator) -> Ways:
    """Make up as many signs of a kind as there are forms, each with one way to write it."""
    chance = Chance(generator)
    return {number: [(1.0, form(chance))] for number in range(FORMS)}


def _scribble(chance: Chance) -> list[Stroke]:
    """Make up a scribble of two and more strokes: one alone would often be a digit."""
    return [
        [(chance.whole(0, 100), chance.whole(0, 100)) for _ in range(chance.whole(2, POINTS))]
        for _ in range(chance.whole(2, STROKES))
    ]


def closed_shape(chance: Chance) -> list[Stroke]:
    """Make up a closed shape with something inside: a face, rings within each other, or marks in a circle or a box."""
    wide, high = chance.between(36, 50), chance.between(36, 50)
    kind = chance.whole(0, 3)
    if kind <= 1:
        return [_arc(50, 50, wide, high, *_around(chance)), *_features(chance, wide, high)]
    if kind == 2:
        rings = [_arc(50, 50, wide * part, high * part, *_around(chance)) for part in _shrinking(chance)]
        return [_arc(50, 50, wide, high, *_around(chance)), *rings]
    outline = _arc(50, 50, wide, high, *_around(chance)) if chance.whole(0, 2) else _box(wide, high)
    return [outline, *(_mark(chance, wide, high) for _ in range(chance.whole(1, 4)))]


def _features(chance: Chance, wide: float, high: float) -> list[Stroke]:
    """Make up eyes, a mouth and perhaps a nose."""
    apart, level = wide * chance.between(0.25, 0.5), 50 - high * chance.between(0.1, 0.45)
    size, eye = chance.between(2, 6), chance.whole(0, 2)
    eyes = [
        [_line(x, level, size, math.pi / 2), _line(x, level, size, 0), _arc(x, level, size, size, 0, math.tau)][eye]
        for x in (50 - apart, 50 + apart)
    ]
    below, half = 50 + high * chance.between(0.3, 0.6), wide * chance.between(0.2, 0.5)
    curve = half * chance.between(-0.6, 0.8)
    open_mouth = chance.whole(0, 5) == 0
    mouth = _arc(50, below, half / 2, half / 3, 0, math.tau) if open_mouth else _arc(50, below, half, curve, 0, math.pi)
    nose = [_line(50, 50 + high * 0.1, chance.between(4, 9), math.pi / 2)] if chance.whole(0, 2) == 0 else []
    return [*eyes, mouth, *nose]


def _shrinking(chance: Chance) -> list[float]:
    """Return the size of each ring inside another, as a share of the outer one."""
    first = chance.between(0.3, 0.7)
    return [first, first / 2] if chance.whole(0, 2) == 0 and first > 0.5 else [first]


def _mark(chance: Chance, wide: float, high: float) -> Stroke:
    """Make up a dot, a dash, an arc or a ring that lies within a shape."""
    x, y = 50 + wide * chance.between(-0.45, 0.45), 50 + high * chance.between(-0.45, 0.45)
    size, kind = chance.between(4, 13), chance.whole(0, 3)
    if kind == 0:
        return _line(x, y, 3, 0)
    if kind == 1:
        return _line(x, y, size, chance.between(0, math.pi))
    begin = chance.between(0, math.tau)
    return _arc(x, y, size, size, begin, begin + (math.pi if kind == 2 else math.tau))


def _around(chance: Chance) -> tuple[float, float]:
    """Return the angles where a closed curve begins and ends: not always where it began."""
    begin = chance.between(0, math.tau)
    return begin, begin + math.tau + chance.between(-0.2, 0.4)


def _arc(x: float, y: float, wide: float, high: float, begin: float, end: float) -> Stroke:
    """Return part of an ellipse about (x, y), from one angle to another, clockwise from the right."""
    pieces = max(3, round((end - begin) * 1.6))
    angles = [begin + (end - begin) * piece / pieces for piece in range(pieces + 1)]
    return [(round(x + wide * math.cos(angle)), round(y + high * math.sin(angle))) for angle in angles]


def _line(x: float, y: float, half: float, angle: float) -> Stroke:
    """Return a straight stroke about (x, y), `half` its length to either side."""
    across, down = half * math.cos(angle), half * math.sin(angle)
    return [(round(x - across), round(y - down)), (round(x + across), round(y + down))]


def _box(wide: float, high: float) -> Stroke:
    """Return a rectangle about the middle, each corner given twice."""
    left, right, top, bottom = (round(50 + edge) for edge in (-wide, wide, -high, high))
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return [corners[0], *(corner for corner in corners[1:] for _ in range(2)), corners[0]]


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
