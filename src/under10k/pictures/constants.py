"""The constants of reading a picture, for a program in another language that reads it alike."""

from __future__ import annotations

from typing import Any

from under10k.data import BOX, CLASSES, SIDE, SLACK, THRESHOLD
from under10k.pictures import grey, ink, lines, links, parts, picture, prediction, printed, strokes, touching


def reading_constants() -> dict[str, Any]:
    """Return every number and text that finding, framing and judging a digit depends on, by its name in Python."""
    found: dict[str, Any] = {"BOX": BOX, "CLASSES": CLASSES, "SIDE": SIDE, "SLACK": SLACK, "THRESHOLD": THRESHOLD}
    for module in (picture, grey, lines, printed, ink, links, parts, strokes, touching, prediction):
        for name, value in vars(module).items():
            if name.isupper() and not name.startswith("_") and isinstance(value, int | float | str | tuple):
                assert found.setdefault(name, value) == value, f"{name} means two things"
    return found
