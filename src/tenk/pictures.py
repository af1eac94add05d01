"""Pictures as people have them, of any format, mode and size, read into grey values."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from tenk.errors import TenkError, UsageError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
"""What a file may be. Pillow reads more, some by other programs (PostScript by Ghostscript), none of it here."""

LARGEST_SIDE = 10_000
"""Pixels of a side above which a picture is refused before it is decoded: 100 million in all, 400 MB as RGBA."""

LARGEST_FILE = 128 * 2**20
"""Bytes above which a file is refused before it is read."""

READ_SIDE = 1000
"""A larger picture is shrunk, squares of its pixels to their means, to no less than this on its longer side."""

TWO_TONES = 0.15
"""Deviation of the visible pixels' brightness from which a picture with transparency is thought to show its paper."""

Source = str | Path | bytes | Image.Image | NDArray[Any] | Tensor
"""What a picture is read from: a path, a file's content, a PIL image, or an array."""


@dataclass(frozen=True)
class Picture:
    """A picture in grey."""

    grey: NDArray[np.float32]
    """(H, W): 0 is black, 1 white."""
    notes: tuple[str, ...] = ()
    """What was left out of it, for people."""


class PictureError(TenkError):
    """A picture that is missing, damaged, too large or none at all."""


def read_picture(source: Source) -> Picture:
    """Read a picture into grey values, upright, on opaque paper, its longer side shrunk to less than 2,000 pixels.

    Arrays are (H, W), or (H, W, C) with grey, grey and alpha, RGB or RGBA, in bool, uint8, uint16 or any other number:
    up to 1, up to 255 or else up to their largest value. Of an animation the first frame is read. Colours become
    luma (ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B).

    Raises:
        PictureError: there is no picture, or it is damaged, too large, or of a format that is not in `FORMATS`.
        UsageError: an array has no shape of a picture, or numbers that are not finite.
    """
    if isinstance(source, Image.Image):
        return _from_pil(source, "the image")
    if isinstance(source, Tensor):
        source = source.detach().cpu().numpy()
    if isinstance(source, np.ndarray):
        return Picture(_to_grey(source))
    where = "the picture" if isinstance(source, bytes) else str(source)
    content = source if isinstance(source, bytes) else _read_file(Path(source))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, that are checked here, and of metadata, that do not matter
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                return _from_pil(image, where)
    except TenkError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"not an image: {where}. give a {', '.join(FORMATS[:-1])} or {FORMATS[-1]}") from None
    except Image.DecompressionBombError:
        raise PictureError(f"image too large: {where}. give at most {LARGEST_SIDE:,} pixels a side") from None
    except MemoryError:
        raise PictureError(f"out of memory: {where}. give a smaller picture") from None
    except Exception as error:  # damaged files make decoders raise anything: struct.error, IndexError
        raise PictureError(f"damaged image: {where} ({error}). save it again, or give another") from None


def _read_file(path: Path) -> bytes:
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "not a file" if path.exists() else "not there"
            raise PictureError(f"not an image: {path} is {found}. give a picture")
        if path.stat().st_size > LARGEST_FILE:
            raise PictureError(f"file too large: {path}. give at most {LARGEST_FILE // 2**20} MiB")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PictureError(f"cannot read: {path} ({reason}). give a picture") from None


def _from_pil(image: Image.Image, where: str) -> Picture:
    if max(image.size) > LARGEST_SIDE:
        raise PictureError(f"image too large: {where}. give at most {LARGEST_SIDE:,} pixels a side")
    if not all(image.size):
        raise PictureError(f"empty image: {where} has no pixels. give another")
    notes: tuple[str, ...] = ()
    if getattr(image, "is_animated", False):
        image.seek(0)
        notes = ("an animation, of which the first frame was read",)
    image.draft(None, (READ_SIDE, READ_SIDE))  # a JPEG can be decoded at a half, a quarter or an eighth of its size
    grey = _to_grey(np.asarray(_simplify(image)))
    return Picture(_upright(grey, image.getexif().get(_ORIENTATION, 1)), notes)


def _simplify(image: Image.Image) -> Image.Image:
    """Bring an image of any mode to L, RGB, RGBA, or whole or real numbers, and a large one to a smaller size."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        plain = "RGBa" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
        if image.mode != plain:
            image = image.convert("RGBA").convert(plain) if plain == "RGBa" else image.convert(plain)
    factor = max(image.size) // READ_SIDE
    if factor > 1 and not image.mode.startswith("I;16"):
        image = image.reduce(factor)
    return image.convert("RGBA") if image.mode == "RGBa" else image  # in RGBa a clear pixel's colour did not count


def _to_grey(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the pixels of an array as grey values from 0 to 1 on opaque paper, shrunk."""
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    channels = values.shape[2] if values.ndim == 3 else 1
    if values.ndim not in (2, 3) or channels not in (1, 2, 3, 4) or not values.size:
        raise UsageError(f"not an image: an array of shape {values.shape}. give (H, W), (H, W, 3) or (H, W, 4)")
    values = _to_unit(values).reshape(*values.shape[:2], channels)
    grey = values[..., :3] @ _LUMA if channels > 2 else values[..., 0]
    if channels in (2, 4):
        grey = _lay_on_paper(grey, values[..., -1])
    factor = max(grey.shape) // READ_SIDE
    return np.array(Image.fromarray(grey).reduce(factor) if factor > 1 else grey)


_LUMA = np.array((0.299, 0.587, 0.114), dtype=np.float32)

_ORIENTATION = 0x0112
"""The EXIF entry that says how a camera was held."""


def _to_unit(values: NDArray[Any]) -> NDArray[np.float32]:
    """Scale numbers of any kind to 0..1 by the range that they are meant to have."""
    if values.dtype.kind not in "buif" or not np.isfinite(values).all() or values.min() < 0:
        raise UsageError("not an image: an array of other than finite numbers from 0 up. give brightnesses")
    largest = float(values.max())
    if values.dtype in (np.uint8, np.uint16):
        bound = float(np.iinfo(values.dtype).max)
    else:
        bound = next(bound for bound in (1.0, 255.0, 65535.0, largest) if largest <= bound)
    return values.astype(np.float32) / np.float32(bound)


def _lay_on_paper(grey: NDArray[np.float32], alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay a picture with transparency on the paper that was meant.

    Where what is visible has two tones, as a drawing with its paper has, the paper is the commoner of them; where it
    has one, as ink alone, the paper is as far from it as can be.
    """
    weight = float(alpha.sum())
    if not weight:
        return np.ones_like(grey)
    mean = float((grey * alpha).sum()) / weight
    deviation = (float(((grey - mean) ** 2 * alpha).sum()) / weight) ** 0.5
    paper = float(np.median(grey[alpha > 0.5 * alpha.max()])) if deviation > TWO_TONES else float(mean < 0.5)
    return grey * alpha + paper * (1 - alpha)


def _upright(grey: NDArray[np.float32], orientation: object) -> NDArray[np.float32]:
    """Turn and mirror a picture as its EXIF entry says that the camera was held."""
    steps = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
    quarters, mirrored = steps.get(orientation, (0, False)) if isinstance(orientation, int) else (0, False)
    turned = np.rot90(grey, quarters)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)
