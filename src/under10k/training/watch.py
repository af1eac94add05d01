"""A training to watch: curves that grow above the bar, and what is confused after each epoch."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from under10k.data import CLASSES, DataIdentity, Digits
from under10k.evaluation import evaluate
from under10k.recipes import Recipe
from under10k.runs import Batch, Position, Run
from under10k.training.report import ConsoleReport

FEWEST_COLUMNS, FEWEST_ROWS = 100, 20
"""Of a terminal that curves are drawn in."""


MOST_IMAGES = 2000
"""Training images that are scored where the protocol scores none: a fraction of a second."""


_ROWS, _LABEL = 8, 8
"""Lines of a curve without its title, and columns of the numbers on its left."""


_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The dots of a Braille letter from the top, in its left and its right column."""


class WatchReport(ConsoleReport):
    """A console report that draws loss and accuracy of the batches, in a terminal that has room for them."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._batches: list[Batch] = []
        self._scored = ""

    def start(
        self,
        recipe: Recipe,
        data: DataIdentity,
        environment: dict[str, Any],
        steps: int,
        position: Position,
        folder: Path,
    ) -> None:
        """Take up the curves of a run that is resumed; say why, where there will be none."""
        super().start(recipe, data, environment, steps, position, folder)
        self._scored = {"held-out": "validation", "watched": "test"}.get(recipe.protocol, "training")
        if position.total_steps:
            self._batches = list(Run(folder).batches())
        size = self.console.size
        if self._bar.is_live and (size.width < FEWEST_COLUMNS or size.height < FEWEST_ROWS):
            self._say(
                f"no curves: the terminal has {size.width} columns and {size.height} rows; "
                f"they need {FEWEST_COLUMNS} and {FEWEST_ROWS}"
            )

    def step(self, position: Position, batch: Batch) -> None:
        """Add to the curves, and draw them."""
        self._batches.append(batch)
        super().step(position, batch)

    def weights(self, model: nn.Module, digits: Digits) -> None:
        """Print the ten commonest mistakes on the images that are scored, or on some of those trained on."""
        if not self._bar.is_live:
            return
        some = digits[:MOST_IMAGES] if self._scored == "training" else digits
        confusion = evaluate(model, some).confusion.fill_diagonal_(0)
        pairs = sorted(((int(confusion[a, b]), a, b) for a in range(CLASSES) for b in range(CLASSES)), reverse=True)
        told = [f"{true}\xa0as\xa0{read}:\xa0{count}" for count, true, read in pairs[:10] if count]  # not to be broken
        text = f"most often misread, of {len(some):,} {self._scored} images: {', '.join(told) or 'none'}"
        width = max(self.console.width - 4, 20)
        lines = textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ")
        self._say("\n".join(lines).replace("\xa0", " "))

    def _lines_above(self, width: int) -> Sequence[str]:
        try:
            rows = os.get_terminal_size(self.console.file.fileno()).lines
        except (OSError, ValueError):
            return ()
        if width < FEWEST_COLUMNS or rows < FEWEST_ROWS or "utf" not in self.console.encoding.lower():
            return ()
        half = (width - 3) // 2
        losses = plot_line([batch.loss for batch in self._batches], self._steps, half, "loss")
        shares = [100 * batch.accuracy for batch in self._batches]
        accuracies = plot_line(shares, self._steps, half, "accuracy of the batches (%)")
        return [f"{left:{half}}  {right}" for left, right in zip(losses, accuracies, strict=True)]


def plot_line(values: Sequence[float], total: int, width: int, title: str) -> list[str]:
    """Draw values as a line of dots under a title, in `width` letters; `total` of them will fill the whole width.

    Where several values share a column of dots, their mean is drawn.
    """
    columns = 2 * (width - _LABEL)
    means = _spread(values, max(total, len(values)), columns)
    known = [mean for mean in means if mean is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    cells = [[0] * (columns // 2) for _ in range(_ROWS)]
    before: int | None = None
    for column, mean in enumerate(means):
        if mean is None:
            continue
        row = round((high - mean) / (high - low) * (4 * _ROWS - 1)) if high > low else 2 * _ROWS
        for dot in range(min(row, row if before is None else before), max(row, row if before is None else before) + 1):
            cells[dot // 4][column // 2] |= _DOTS[column % 2][dot % 4]
        before = row
    labels = {0: f"{high:.4g}", _ROWS - 1: f"{low:.4g}"}
    lines = ["".join(chr(0x2800 + cell) for cell in row) for row in cells]
    return [
        f"{'':{_LABEL}}{title}"[:width],
        *(f"{labels.get(n, ''):>{_LABEL - 1}} {line}" for n, line in enumerate(lines)),
    ]


def _spread(values: Sequence[float], total: int, columns: int) -> list[float | None]:
    """Return the mean of the values that fall into each column; None where there is none between or after them."""
    sums, counts = [0.0] * columns, [0] * columns
    for number, value in enumerate(values):
        if math.isfinite(value):
            column = number * columns // total
            sums[column] += value
            counts[column] += 1
    return [sums[column] / count if count else None for column, count in enumerate(counts)]
