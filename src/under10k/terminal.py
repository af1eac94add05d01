"""Consoles, tables and bars: one look for 80 columns, and nothing printed that a terminal would obey."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from under10k.text import printable

T = TypeVar("T")


NARROWEST = 80
"""Columns that tables are made for: where a terminal has fewer, it is left to it to break the lines."""


class _Console(Console):
    def print(self, *objects: Any, **how: Any) -> None:
        """Print as rich does, but no table with columns of single letters."""
        if self.width >= NARROWEST or not any(isinstance(item, Table) for item in objects):
            super().print(*objects, **how)
            return
        width, self._width = self._width, NARROWEST
        try:
            super().print(*objects, **how)
        finally:
            self._width = width

    def on_broken_pipe(self) -> None:
        """Let the error be one: rich would end the process, with exit code 1, where `head` has seen enough."""
        raise BrokenPipeError


def open_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or on standard error, that prints names as they are."""
    return _Console(stderr=stderr, highlight=False, emoji=False, force_jupyter=False)  # plain lines, in notebooks too


def literal(text: str) -> str:
    """Make a text printable, and keep its brackets from being read as markup."""
    return escape(printable(text))


def build_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, wrap_first: bool = False
) -> Table:
    """Build a table with numbers to the right and all else to the left; without columns' names it has no head.

    Where there is little room, all columns but the first are wrapped; with `wrap_first`, the first alone.
    """
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.show_header, table.show_edge, table.collapse_padding = bool(columns), False, True
    for number, values in enumerate(zip(*rows, strict=True)):
        numeric = all(isinstance(value, int | float | None) and not isinstance(value, bool) for value in values)
        table.add_column(
            columns[number] if columns else "",
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=(number == 0) != wrap_first,
        )
    for row in rows:
        table.add_row(*(literal(format_cell(value)) for value in row))
    return table


def format_cell(value: object) -> str:
    """Write a value for people: 9,720, 0.41, yes; None is empty."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return "" if value is None else str(value)


@dataclass(frozen=True)
class Part:
    """One piece of a bar's line."""

    text: str
    rank: int = 0
    """Where there is little room, parts of the highest rank are left out first; those of rank 0 never."""


class Bar:
    """One line at the foot of a terminal, drawn anew in place and never longer than it is wide; elsewhere nothing.

    The cursor stays visible and nothing is left switched on, so that a process that is stopped or killed at any moment
    leaves a terminal as it should be. The width is asked for at each drawing: a terminal made narrower has broken the
    line that is there, and all of it is erased. A notebook's output, which is no terminal, knows how to start a line
    anew and no more: there the line is overwritten.
    """

    INTERVAL_SECONDS = 0.1

    def __init__(self, console: Console) -> None:
        self._console = console
        self._notebook = type(console.file).__module__.partition(".")[0] == "ipykernel"
        self._live = self._notebook or (console.is_terminal and not console.is_dumb_terminal)
        self._drawn: list[int] = []
        """Letters of the lines that are on the screen."""
        self._due = 0.0

    @property
    def is_live(self) -> bool:
        """Whether anything is drawn."""
        return self._live

    def draw(self, done: float, *parts: Part, above: Callable[[int], Sequence[str]] = lambda width: ()) -> None:
        """Draw how much is done, a fraction, between the first part and the others; not more often than can be seen.

        `above` returns lines to draw above it, each shorter than a width; a notebook shows none.
        """
        now = time.monotonic()
        if self._live and now >= self._due:
            self._due = now + self.INTERVAL_SECONDS
            width = self._width()
            lines = [*(() if self._notebook else above(width)), fit_bar(done, parts, width - 1)]
            self._write(self._erase(width) + "\n".join(lines))
            self._drawn = [len(line) for line in lines]

    def clear(self) -> None:
        """Take the line away, so that something else can be printed; it may be drawn again at once."""
        if self._live and self._drawn:
            self._write(self._erase(self._width()))
            self._drawn = []
        self._due = 0.0

    def _erase(self, width: int) -> str:
        if self._notebook:
            return f"\r{' ' * sum(self._drawn)}\r"
        rows = sum(1 + max(0, letters - 1) // width for letters in self._drawn)  # those that a narrower one has broken
        broken = max(0, rows - 1)  # rows above the cursor's
        return (f"\x1b[{broken}A" if broken else "") + "\r\x1b[J"

    def _write(self, text: str) -> None:
        try:
            self._console.file.write(text)
            self._console.file.flush()
        except (OSError, ValueError):  # the terminal is gone
            self._live = False

    def _width(self) -> int:
        if self._notebook:
            return NARROWEST
        try:
            return os.get_terminal_size(self._console.file.fileno()).columns or NARROWEST
        except (OSError, ValueError):
            return NARROWEST


def fit_bar(done: float, parts: Sequence[Part], width: int) -> str:
    """Return a bar in at most `width` letters: parts that do not fit are left out, the bar takes what is left."""
    kept = [part for part in parts if part.text]
    while kept[1:] and sum(len(part.text) + 2 for part in kept) - 2 > width:
        last = max(range(1, len(kept)), key=lambda number: kept[number].rank)
        del kept[last]
    texts = [part.text for part in kept]
    room = min(width - sum(len(text) + 2 for text in texts) - 2, 40)
    if room >= 4:
        texts.insert(1, f"[{'#' * round(min(max(done, 0.0), 1.0) * room):<{room}}]")
    return "  ".join(texts)[: max(width, 0)]


def track(work: Sequence[T], description: str) -> Iterator[T]:
    """Hand on each piece of work, with a bar on standard error where that is a terminal, drawn between two pieces."""
    bar = Bar(open_console(stderr=True))
    try:
        for number, piece in enumerate(work):
            bar.draw(number / len(work), Part(description), Part(f"{number}/{len(work)}", rank=1))
            yield piece
    finally:
        bar.clear()


def duration(seconds: float) -> str:
    """Write a time that is left: 0:07, 12:34, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
