"""Tables for the terminal, all of one look, narrow enough for 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table


def build_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Build a table with numbers to the right and all else to the left; without columns' names it has no head."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.show_header, table.show_edge, table.collapse_padding = bool(columns), False, True
    for number, values in enumerate(zip(*rows, strict=True)):
        numeric = all(isinstance(value, int | float | None) and not isinstance(value, bool) for value in values)
        table.add_column(
            columns[number] if columns else "",
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=number == 0,
        )
    for row in rows:
        table.add_row(*(escape(format_cell(value)) for value in row))
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
