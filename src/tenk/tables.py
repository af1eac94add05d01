"""Tables for the terminal, all of one look, narrow enough for 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table


def build_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int) -> Table:
    """Build a table whose first `text_columns` hold text, the others numbers; no columns' names, no head."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.collapse_padding = True
    table.show_header = bool(columns)
    table.show_edge = False
    cells = [[escape(cell) for cell in row] for row in rows]
    count = len(columns) or max(map(len, cells), default=0)
    for number in range(count):
        table.add_column(
            columns[number] if columns else "",
            justify="left" if number < text_columns else "right",
            overflow="fold",
            no_wrap=number == 0,
        )
    for row in cells:
        table.add_row(*row)
    return table
