"""What all of tenk prints through: one look, narrow enough for 80 columns, and nothing that a terminal would obey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

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
    return _Console(stderr=stderr, highlight=False, emoji=False)


def printable(text: str) -> str:
    """Write out control characters and line ends, so that a name or a path shows as one harmless line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def shorten(text: str, most: int = 2000) -> str:
    """Leave out the middle of what no one would read: the beginning of an error says what, its end what to do."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


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
