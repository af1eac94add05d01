"""Texts from elsewhere, made fit to be printed."""

from __future__ import annotations

import html
from collections.abc import Iterable


def to_html(caption: str, head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table as HTML, for notebooks; nothing in it is taken for markup."""

    def row(cells: Iterable[object], kind: str) -> str:
        return "<tr>" + "".join(f"<{kind}>{html.escape(_cell(cell))}</{kind}>" for cell in cells) + "</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table><caption>{html.escape(caption)}</caption>{row(head, 'th')}{body}</table>"


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def printable(text: str) -> str:
    """Write out control characters and line ends, so that a name or a path shows as one harmless line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def shorten(text: str, most: int = 2000) -> str:
    """Leave out the middle of what no one would read: the beginning of an error says what, its end what to do."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"
