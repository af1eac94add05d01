"""The reader of pictures, as data sees it: a later room, handed in by the package's front door."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from under10k.errors import Under10kError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Framer = Callable[[Any, str], NDArray[np.uint8]]
    """Turns a picture of any kind into a frame, uint8 (28, 28), white on black; the name is for its errors."""

_find: list[Callable[[], Framer]] = []


def use_framer(find: Callable[[], Framer]) -> None:
    """Say where the reader of pictures is found when the first picture has to be read."""
    _find[:] = [find]


def get_framer() -> Framer:
    """Return the reader of pictures."""
    return _find[0]()


def why_none(error: Under10kError) -> str:
    """Return why a picture that was called "it" has no frame, without the remedy: for a list of skipped files."""
    return str(error).partition(". ")[0].removesuffix(": it")
