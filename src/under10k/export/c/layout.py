"""Where maps lie in C: channels last, one after the other or partly overlapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from operator import itemgetter

from under10k.export.plain import Shape


@dataclass(frozen=True)
class Maps:
    """Maps in a buffer: channels last, with a border."""

    shape: Shape
    border: int

    @property
    def row(self) -> int:
        """Numbers in a row."""
        return (self.shape[2] + 2 * self.border) * self.shape[0]

    @property
    def size(self) -> int:
        """Numbers in all."""
        return (self.shape[1] + 2 * self.border) * self.row

    @property
    def start(self) -> int:
        """Where the first position inside the border begins."""
        return self.border * (self.row + self.shape[0])

    def at(self, y: str, x: str) -> str:
        """Return the index, in C, of a position's first channel, counted inside the border."""
        return f"{y} * {self.row} + {x} * {self.shape[0]}" + (f" + {self.start}" if self.start else "")

    def frame(self, value: str) -> str:
        """Return the statements that fill the border; empty if there is none."""
        rows, edge = self.size // self.row, self.border * self.shape[0]
        code = f"""\
for (int y = 0; y < {rows}; y++)
    for (int i = 0; i < {self.row}; i++)
        if (y < {self.border} || y >= {rows - self.border} || i < {edge} || i >= {self.row - edge})
            out[y * {self.row} + i] = {value};
"""
        return code if self.border else ""


def find_distance(before: Maps, after: Maps, side: int) -> int:
    """Return how far below its input an output must begin so that nothing is overwritten before it is read.

    Positions are computed row by row, each from what begins at `side` times its own place, border included. Borders are
    filled at the end.
    """
    _, height, width = after.shape
    positions = [(y, x) for y in range(height) for x in range(width)]
    written = [after.start + y * after.row + (x + 1) * after.shape[0] for y, x in positions]
    needed = [(y * before.row + x * before.shape[0]) * side for y, x in positions]
    return max(0, *(end - start for end, start in zip(written, needed, strict=True)))


def lay_out(sizes: Sequence[int], distances: Sequence[int]) -> tuple[list[int], int]:
    """Return where in one buffer each of several maps begins, and the size of the buffer.

    Each lies below the maps that it is made from, at their distance, or after them: of all ways, the smallest is taken.
    """

    def place(ways: Sequence[bool]) -> tuple[list[int], int]:
        starts = [0]
        for is_below, distance, size in zip(ways, distances, sizes, strict=False):
            starts.append(starts[-1] + (-distance if is_below else size))
        starts = [start - min(starts) for start in starts]
        return starts, max(start + size for start, size in zip(starts, sizes, strict=True))

    return min(map(place, product((True, False), repeat=len(distances))), key=itemgetter(1)) if sizes else ([], 0)
