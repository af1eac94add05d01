"""What all pictures share: colours, names as plain text, and saving."""

from __future__ import annotations

import io
import threading
import warnings
from pathlib import Path

from matplotlib.figure import Figure

from under10k.errors import UsageError
from under10k.files import write_atomically
from under10k.text import printable

COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8d5fd3", "#c77f0a", "#4a4e69")


MARKERS = "osD^vPX*<>"


_ONE_AT_A_TIME = threading.Lock()
"""Neither matplotlib's fonts nor warning filters are safe in threads."""


_FORMATS = ("png", "svg", "pdf")


_DOTS_PER_INCH = 120


def as_it_is(name: str) -> str:
    """Escape a name that matplotlib would read as mathematics, fail on, or leave out of a legend."""
    shown = printable(name).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


class Drawing(Figure):
    """A figure of matplotlib's that shows itself in a notebook, and that no pyplot keeps alive."""

    def _repr_png_(self) -> bytes:
        return _render(self, "png")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the name of its file ends in.

    Raises:
        UsageError: the name ends in none of `_FORMATS`.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _FORMATS:
        raise UsageError(f"not a kind of picture: {path}. end its name in .{', .'.join(_FORMATS)}")
    content = _render(figure, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)


def _render(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # names in other scripts are drawn as boxes
        figure.savefig(buffer, format=kind, dpi=_DOTS_PER_INCH)
    return buffer.getvalue()
