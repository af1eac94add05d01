"""Texts from elsewhere, made fit to be printed."""

from __future__ import annotations


def printable(text: str) -> str:
    """Write out control characters and line ends, so that a name or a path shows as one harmless line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def shorten(text: str, most: int = 2000) -> str:
    """Leave out the middle of what no one would read: the beginning of an error says what, its end what to do."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"
