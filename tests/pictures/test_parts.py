"""Parts of ink become digits: what is broken is joined, whatever stands beside it."""

from __future__ import annotations

import numpy as np
import pytest

from under10k.pictures.parts import find_digits
from under10k.pictures.pixels import Grey

HEIGHT, WIDTH, PEN = 60, 36, 6
"""Of a ring, and of the stroke it is drawn with."""


def ring(broken_at: int | None = None, gap: int = 4) -> Grey:
    """Draw a ring, 1 is ink, cut in two at a row."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]

    outer, inner = (
        ((y + 0.5 - HEIGHT / 2) / (HEIGHT / 2 - pen)) ** 2 + ((x + 0.5 - WIDTH / 2) / (WIDTH / 2 - pen)) ** 2 <= 1
        for pen in (0, PEN)
    )
    ink: Grey = (outer & ~inner).astype(np.float32)
    if broken_at is not None:
        ink[broken_at : broken_at + gap] = 0
    return ink


def rows_of_rings(rows: int, columns: int, pitch: int, breaks: list[int | None]) -> Grey:
    paper = np.ones((rows * pitch + 60, columns * 60 + 60), dtype=np.float32)
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        top, left = 30 + row * pitch, 30 + column * 60
        paper[top : top + HEIGHT, left : left + WIDTH] -= ring(breaks[number % len(breaks)])
    return paper


@pytest.mark.parametrize("breaks", [[25], [20, 34, 28], [18, None, 36]])
def test_broken_digits_are_whole_even_where_all_in_a_row_are_broken(breaks: list[int | None]) -> None:
    found = find_digits(rows_of_rings(1, 4, 100, breaks))
    assert [one.box[2] - one.box[0] for one in found] == pytest.approx([HEIGHT] * 4, abs=2)


def test_digits_of_rows_close_together_are_not_taken_for_pieces() -> None:
    found = find_digits(rows_of_rings(4, 5, HEIGHT + 8, [None]))
    assert [one.box[2] - one.box[0] for one in found] == pytest.approx([HEIGHT] * 20, abs=2)
