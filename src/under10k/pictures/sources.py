"""One picture or many: lists, folders and arrays taken apart, and digits that need not be looked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from under10k.data import BOX, SIDE
from under10k.errors import Under10kError
from under10k.pictures.pixels import Grey

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff"))
"""How the names of the files end that are read in a folder."""


_INK = 6
"""Least brightness, up to 255, that counts as ink when a digit's box is measured."""


_BRIGHT = 200
"""Least brightness of the brightest pixel of a digit that needs no more contrast."""


def split(source: Any) -> list[Any] | None:
    """Take a list, a folder or a batch in one array apart into its pictures; None where it is one picture.

    A folder's pictures are the files in it with a picture's suffix, sorted by name. A batch is (N, 28, 28), or four
    dimensions with the channels second or last.

    Raises:
        Under10kError: a folder without pictures, or an array that may be a batch or a picture.
    """
    if isinstance(source, list | tuple):
        return None if source and isinstance(source[0], list | tuple | int | float) else list(source)
    if isinstance(source, str | Path):
        return _list_folder(Path(source))
    shape = tuple(getattr(source, "shape", ()))
    if len(shape) == 3 and shape[1:] == (SIDE, SIDE) and shape[0] in (3, 4):
        raise Under10kError(
            f"two meanings: an array {shape} is {shape[0]} pictures, or one of {shape[0]} channels. "
            f"give a list of pictures, or ({SIDE}, {SIDE}, {shape[0]})"
        )
    if len(shape) == 4 or (len(shape) == 3 and shape[1:] == (SIDE, SIDE) and shape[0] != 1):
        return list(_on_cpu(source))
    return None


def _list_folder(path: Path) -> list[Any] | None:
    try:
        if not path.is_dir():
            return None
        files = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    except (OSError, ValueError):  # for the reader of pictures to tell
        return None
    if not files:
        raise Under10kError(f"no pictures: {path} has no file that ends in {', '.join(sorted(SUFFIXES))}. give another")
    return sorted(files)


def frames_of(sources: Sequence[Any]) -> list[tuple[NDArray[np.uint8], Grey] | None]:
    """Return each array of 28x28 pixels that is in MNIST's frame: uint8 (28, 28), white on black, and its own grey.

    There the larger side of the ink's box is 19 or 20 pixels and its centre of mass in the middle: nothing has to be
    looked for, and `evaluate` reads it just so. None in the place of all else.
    """
    frames: list[tuple[NDArray[np.uint8], Grey] | None] = [None] * len(sources)
    small = {index: one for index, source in enumerate(sources) if (one := _small(source)) is not None}
    if small:
        levels = _to_levels(np.stack([one.astype(np.float32) for one in small.values()]))
        greys, pixels = levels.astype(np.float32) / 255, _light_on_dark(levels)
        for index, frame, grey, framed in zip(small, pixels, greys, _are_framed(pixels), strict=True):
            if framed:
                frames[index] = frame, grey
    return frames


def _small(source: Any) -> NDArray[Any] | None:
    shape = getattr(source, "shape", None)
    if shape is None or tuple(shape) not in ((SIDE, SIDE), (1, SIDE, SIDE), (SIDE, SIDE, 1)):
        return None
    values = np.asarray(_on_cpu(source)).reshape(SIDE, SIDE)
    return values if values.dtype.kind in "uif" else None


def _on_cpu(source: Any) -> Any:
    """Bring a torch tensor, which may lie on a device, where NumPy reads it."""
    return source.detach().cpu() if hasattr(source, "detach") else source


def _to_levels(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scale pictures (N, 28, 28) of pixels up to 1 or up to 255 to uint8; others come back black."""
    flat = values.reshape(len(values), -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    usable = (low >= 0) & (high <= 255)  # False of NaN
    scale = np.where(high <= 1, np.float32(255), np.float32(1)) * usable
    levels = np.where(usable[:, None, None], values, 0) * scale[:, None, None]
    return np.asarray(np.round(levels), dtype=np.uint8)


def _light_on_dark(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the negative of those pictures, uint8 (N, 28, 28), whose edges are rather white."""
    white = levels[:, (0, -1)].mean(axis=(1, 2)) + levels[:, :, (0, -1)].mean(axis=(1, 2)) > 255
    return np.where(white[:, None, None], 255 - levels, levels)


def _are_framed(levels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell of each picture, uint8 (N, 28, 28), whether its digit is in MNIST's frame."""
    ink = levels >= _INK
    sides = [_extent(np.asarray(ink.any(axis=axis))) for axis in (2, 1)]
    larger = np.maximum(*(last - first for first, last in sides))
    mass = np.maximum(levels.sum(axis=(1, 2), dtype=np.int64), 1)
    middle = np.arange(SIDE) + 0.5
    centred = np.ones(len(levels), dtype=np.bool_)
    for axis in (2, 1):
        centre = levels.sum(axis=axis, dtype=np.int64) @ middle / mass
        centred &= (centre > SIDE / 2 - 0.1) & (centre < SIDE / 2 + 1.1)
    return np.asarray(centred & (larger >= BOX - 1) & (larger <= BOX) & (levels.max(axis=(1, 2)) >= _BRIGHT))


def _extent(seen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where what is seen begins and ends along an axis, bool (N, L) -> int (N) twice."""
    return seen.argmax(axis=1), seen.shape[1] - seen[:, ::-1].argmax(axis=1)


def box_of(frame: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the ink in a frame."""
    rows, columns = np.nonzero(frame >= _INK)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
