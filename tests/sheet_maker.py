"""Pictures of several digits: rows, sheets, ruled and squared paper, boxes, digits that touch. Seeded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hard_pictures import disturb, draw_lines
from picture_maker import Array, Scene, colour, draw, lines, photograph, to_bytes

MARGIN = 30
"""Paper around the digits of a sheet, in pixels."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Digits as ink on paper, float (H, W), and the box of each: left, top, right, bottom."""

    ink: Array
    boxes: list[tuple[int, int, int, int]]
    rows: list[str]


Pool = Callable[[], tuple[Array, int]]
"""Hands out one more digit: uint8 (28, 28), and what it shows."""

Sheet = Callable[[Pool, np.random.Generator], tuple[Any, list[str]]]
"""Draws a picture of several digits, with the rows that are written in it."""

SHEETS: dict[str, Sheet] = {}


def sheet(make: Sheet) -> Sheet:
    SHEETS[make.__name__.replace("_", " ")] = make
    return make


def trim(ink: Array) -> Array:
    rows, columns = np.nonzero(ink > 0.05)
    return ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def one_digit(image: Array, height: float, pen: float | None, rng: np.random.Generator) -> Array:
    side = int(height * 1.5) + 8
    return trim(draw(image, Scene(side, side, height, pen, rng.uniform(-4, 4), 0), rng))


def place(
    pool: Pool,
    counts: Sequence[int],
    rng: np.random.Generator,
    *,
    height: float = 60,
    gap: tuple[float, float] = (0.2, 0.6),
    pen: float | None = None,
    change: Callable[[Array], Array] = lambda ink: ink,
) -> Placed:
    """Write rows of so many digits; gaps are shares of the height."""
    written = [[pool() for _ in range(count)] for count in counts]
    pitch = height * rng.uniform(1.5, 1.8)
    width = int(2 * MARGIN + max(counts) * height * (1.05 + gap[1]))
    ink = np.zeros((int(2 * MARGIN + pitch * len(counts)), width))
    boxes = []
    for number, row in enumerate(written):
        left = MARGIN + rng.uniform(0, 0.3) * height
        for image, _ in row:
            digit = change(one_digit(image, height * rng.uniform(0.88, 1.1), pen, rng))
            high, wide = digit.shape
            top = int(MARGIN + number * pitch + height * 1.1 - high + rng.uniform(-0.06, 0.06) * height)
            part = ink[top : top + high, int(left) : int(left) + wide]
            np.maximum(part, digit[: part.shape[0], : part.shape[1]], out=part)
            boxes.append((int(left), top, int(left) + wide, top + high))
            left += wide + height * rng.uniform(*gap)
    return Placed(ink, boxes, ["".join(str(label) for _, label in row) for row in written])


def show(placed: Placed, rng: np.random.Generator, extra: Array | None = None, photo: bool | None = None) -> Any:
    """Hand in a drawing or a photo; `extra` is other ink, printed as dark as the digits."""
    ink = placed.ink if extra is None else np.maximum(placed.ink, extra)
    if rng.random() < 0.5 if photo is None else photo:
        return photograph(ink, rng)
    return to_bytes(colour(ink))


def some_pen(rng: np.random.Generator) -> float | None:
    return None if rng.random() < 0.4 else rng.uniform(3, 7)


@sheet
def one_row(pool: Pool, rng: np.random.Generator) -> tuple[Any, list[str]]:
    placed = place(pool, [int(rng.integers(2, 11))], rng, pen=some_pen(rng))
    return show(placed, rng), placed.rows


@sheet
def rows_beside_a_bar(pool: Pool, rng: np.random.Generator) -> tuple[Any, list[str]]:
    placed = place(pool, [6] * 4, rng, pen=some_pen(rng))
    height, width = placed.ink.shape
    x, y = rng.uniform(6, 18), rng.uniform(20, height - 170)
    return show(placed, rng, draw_lines(height, width, [[(x, y), (x, y + 150)]], rng.uniform(2, 6))), placed.rows


@sheet
def rows_with_a_link(pool: Pool, rng: np.random.Generator) -> tuple[Any, list[str]]:
    """Two digits, one above the other, are joined by a line."""
    placed = place(pool, [6] * 4, rng, pen=some_pen(rng))
    upper = int(rng.integers(6))
    above, below = placed.boxes[upper], placed.boxes[6 + min(upper, 5)]
    column = min(above[2], below[2]) - 6
    tops = np.nonzero(placed.ink[: above[3], column - 2 : column + 3].any(axis=1))[0]
    feet = np.nonzero(placed.ink[below[1] :, column - 2 : column + 3].any(axis=1))[0]
    if len(tops) == 0 or len(feet) == 0:
        return show(placed, rng), placed.rows
    link = draw_lines(
        len(placed.ink), placed.ink.shape[1], [[(column, tops.max()), (column, below[1] + feet.min() + 2)]], 3
    )
    return show(placed, rng, link), placed.rows


@sheet
def dark_ruled_paper(pool: Pool, rng: np.random.Generator) -> tuple[Any, list[str]]:
    return on_paper(pool, rng, squared=False, steps=(35, 90))


@sheet
def dark_squared_paper(pool: Pool, rng: np.random.Generator) -> tuple[Any, list[str]]:
    return on_paper(pool, rng, squared=True, steps=(25, 60))


def on_paper(
    pool: Pool, rng: np.random.Generator, *, squared: bool, steps: tuple[float, float]
) -> tuple[Any, list[str]]:
    """Rows of digits on dark lines, which are between `steps` pixels apart."""
    placed = place(pool, [6] * int(rng.integers(1, 5)), rng, pen=some_pen(rng))
    height, width = placed.ink.shape
    ruling = lines(height, width, rng, squared=squared, step=rng.uniform(*steps), degrees=rng.uniform(-2, 2))
    return show(placed, rng, ruling), placed.rows


@sheet
def a_box_for_each_digit(pool: Pool, rng: np.random.Generator) -> tuple[Any, list[str]]:
    placed = place(pool, [int(rng.integers(2, 9))], rng, gap=(0.5, 0.6), pen=some_pen(rng))
    sides: list[list[tuple[float, float]]] = []
    for left, top, right, bottom in placed.boxes:
        far = 8 + rng.uniform(0, 3)
        corners = [
            (left - far, top - far),
            (right + far, top - far),
            (right + far, bottom + far),
            (left - far, bottom + far),
        ]
        sides.append([*corners, corners[0]])
    return show(
        placed, rng, draw_lines(len(placed.ink), placed.ink.shape[1], sides, int(rng.integers(1, 4)))
    ), placed.rows


@sheet
def a_table(pool: Pool, rng: np.random.Generator) -> tuple[Any, list[str]]:
    """Every digit stands in its cell, as in a sudoku."""
    side, pen = 84, some_pen(rng)
    rows, columns = int(rng.integers(2, 5)), int(rng.integers(2, 7))
    ink = np.zeros((rows * side + 40, columns * side + 40))
    texts = []
    for row in range(rows):
        texts.append("")
        for column in range(columns):
            image, label = pool()
            digit = one_digit(image, rng.uniform(48, 60), pen, rng)
            high, wide = digit.shape
            top, left = (20 + side * at + (side - length) // 2 for at, length in ((row, high), (column, wide)))
            ink[top : top + high, left : left + wide] = digit
            texts[-1] += str(label)
    grid = [[(20 + side * at, 20), (20 + side * at, 20 + side * rows)] for at in range(columns + 1)]
    grid += [[(20, 20 + side * at), (20 + side * columns, 20 + side * at)] for at in range(rows + 1)]
    return show(Placed(ink, [], texts), rng, draw_lines(len(ink), ink.shape[1], grid, int(rng.integers(1, 4)))), texts


@sheet
def a_thin_one(pool: Pool, rng: np.random.Generator) -> tuple[Any, list[str]]:
    """A row that begins with a 1 two pixels wide, as in `1 2 3 4 6`."""
    placed = place(pool, [4], rng, pen=rng.uniform(4, 8))
    height, width = placed.ink.shape
    ink = np.pad(placed.ink, ((0, 0), (30, 0)))
    x, lean = 34, rng.uniform(-4, 8)
    one = draw_lines(height, width + 30, [[(x + lean, MARGIN + 8), (x - lean, MARGIN + 62)]], 2)
    return show(Placed(ink, [], []), rng, one), ["1" + placed.rows[0]]


@sheet
def specks_beside_a_row(pool: Pool, rng: np.random.Generator) -> tuple[Any, list[str]]:
    placed = place(pool, [int(rng.integers(3, 8))], rng, pen=some_pen(rng))
    ink = np.pad(placed.ink, 60)
    return disturb(photograph(ink, rng), 60, rng), placed.rows


@sheet
def digits_that_touch(pool: Pool, rng: np.random.Generator) -> tuple[Any, list[str]]:
    """Two or three digits, neighbours overlapping by 1 to 3 of MNIST's columns."""
    placed = place(pool, [int(rng.integers(2, 4))], rng, gap=(-0.15, -0.05))
    return show(placed, rng), placed.rows


@sheet
def broken_digits_beside_others(pool: Pool, rng: np.random.Generator) -> tuple[Any, list[str]]:
    """Strokes have a gap of 3 or 4 pixels; the neighbour stands hardly farther."""

    def break_up(digit: Array) -> Array:
        if rng.random() < 0.5:
            return digit
        y, x = np.mgrid[0 : digit.shape[0], 0 : digit.shape[1]]
        where = digit.shape[0] * rng.uniform(0.25, 0.6) + rng.uniform(-0.3, 0.3) * (x - digit.shape[1] / 2)
        return np.where(np.abs(y - where) < rng.uniform(1.5, 2), 0, digit)

    placed = place(pool, [int(rng.integers(2, 6))], rng, gap=(0.08, 0.2), pen=rng.uniform(3, 6), change=break_up)
    return show(placed, rng), placed.rows


@sheet
def a_hundred_digits(pool: Pool, rng: np.random.Generator) -> tuple[Any, list[str]]:
    placed = place(pool, [10] * 10, rng, height=rng.uniform(34, 60), pen=rng.uniform(2.5, 4.5))
    return show(placed, rng), placed.rows
