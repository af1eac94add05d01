"""Files, bytes, PIL images and arrays opened safely, as one grey array; the only reader of picture files."""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from under10k.errors import Under10kError
from under10k.pictures.bounds import MAXIMUM_BYTES, check_file
from under10k.pictures.grey import (
    WORKING_SIDE,
    Pixels,
    deep_colours,
    is_blank,
    shrink,
    shrink_numbers,
    to_bytes,
    to_grey,
)
from under10k.pictures.pixels import Grey, fit

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "HEIF", "AVIF", "TIFF")
"""Formats that are read. Pillow knows more, and starts other programs for some."""


MAXIMUM_SIDE = 10_000
"""Most pixels that a side of a picture may have."""


MAXIMUM_PIXELS = 50_000_000
"""Most pixels that a picture may have: a telephone's has as many. Decoded, each takes 4 bytes."""


MAXIMUM_DEEP_PIXELS = 24_000_000
"""Most pixels of a PNG with 16 bits a colour: it is decoded twice, and each takes 8 bytes."""


MAXIMUM_WEBP_PIXELS = 12_000_000
"""Most pixels of a WebP: its decoder takes 16 to 20 bytes for each."""


MAXIMUM_HEIF_PIXELS = 24_000_000
"""Most pixels of a HEIF, as phones write it, or an AVIF: their decoders keep pixels of their own."""


MAXIMUM_RUNS = 4_000_000
"""Most pixels, and most bytes, of a run-length encoded BMP, which Pillow decodes in Python."""


SHARP_SIDE = 800
"""Least pixels of the larger side of a JPEG that is decoded at a half, a quarter or an eighth of its size, which is
faster: a quarter more than the working side, so that it stays as sharp."""


MAXIMUM_FRAMES = 10
"""Frames of a moving picture that are searched for the first that is not blank."""


MAXIMUM_MOVING_PIXELS = 1_000_000
"""Most pixels of a moving picture of which more than the first frame is searched."""


_ORIENTATION = 0x0112


_UPRIGHT: dict[int, Callable[[Grey], Grey]] = {
    2: np.fliplr,
    3: lambda grey: np.rot90(grey, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda grey: np.rot90(grey, -1),
    7: lambda grey: np.rot90(grey, 2).T,
    8: np.rot90,
}
"""What turns a picture upright, by the value of its EXIF orientation."""


@dataclass(frozen=True, eq=False)
class Picture:
    """What a picture shows, in grey."""

    grey: Grey
    """float32 (H, W) in [0, 1], upright, its larger side at most 640 pixels."""
    scale: float
    """Pixels of the picture itself for one of `grey`."""
    notes: tuple[str, ...] = ()
    """What of the picture was left out, in words."""


def open_picture(source: Any, name: str = "the picture", *, most_pixels: int = MAXIMUM_PIXELS) -> Picture:
    """Open a picture of any mode: a path, a file's bytes, an open file, a PIL image, an array or a tensor.

    Arrays are (H, W), (H, W, 1 to 4) with the channels of L, LA, RGB or RGBA, or (1, 3 or 4, H, W). Their numbers are
    brightness from 0 to 1 if none is larger than 1, from 0 to 255 if none is larger than 255, and else are scaled by
    their own range, as are pixels of more than 8 bits. Files are PNG, JPEG, BMP, GIF, WebP, HEIC, AVIF or TIFF; of
    several pages the first is read, of a moving picture the first frame that is not blank. Transparent paper becomes
    the opposite of what is drawn on it. Apart from Pillow's decoded picture little memory is used: the picture is
    worked on strip by strip. Errors use `name` if there is no path. A `Picture` is returned unchanged.

    Raises:
        Under10kError: the picture is missing, damaged or none, has a side of more than 10,000 pixels or more than
            `most_pixels` in all (fewer for some formats), or would take far more work than its pixels deserve.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, str | Path):
        path = _check_file(Path(source))
        with _explained(str(source)), path.open("rb") as file:
            return _open_file(file, str(source), most_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        with _explained(name):
            return _open_file(io.BytesIO(source), name, most_pixels)
    if hasattr(source, "read"):
        with _explained(name):
            return _open_file(io.BytesIO(_read_whole(source, name)), name, most_pixels)
    if isinstance(source, Image.Image):
        with _explained(name):
            _check_size(source.size, name, most_pixels)
            return _finish(*_decode(source, name, most_pixels), source.size)
    return _read_array(source, name, most_pixels)


def _read_whole(file: Any, name: str) -> bytes:
    """Read an open file from its beginning, and leave it open where it stood; a pipe from where it stands."""
    before = file.tell() if (seekable := file.seekable()) else 0
    try:
        if seekable:
            file.seek(0)
        content = file.read(max(MAXIMUM_BYTES.values()) + 1)
    finally:
        if seekable:
            file.seek(before)
    if not isinstance(content, bytes):
        raise Under10kError(f"not a picture: {name} was opened as text. open it with open(path, 'rb')")
    return content


def _check_file(path: Path) -> Path:
    try:
        if path.is_dir():
            raise Under10kError(f"not a picture: {path} is a folder. give the files in it")
        if not path.exists():
            raise Under10kError(f"no such picture: {path}. check its name")
        if not path.is_file():
            raise Under10kError(f"not a picture: {path} is no ordinary file. give a file")
    except (OSError, ValueError) as error:  # too long a name, or with a NUL in it; a folder without permission
        reason = getattr(error, "strerror", error)
        raise Under10kError(
            f"no such picture: {path} ({reason}). check its name, and that its folder may be looked into"
        ) from None
    return path


def _open_file(file: BinaryIO, name: str, most_pixels: int) -> Picture:
    return _finish(*_decode_file(file, name, most_pixels))  # by then the decoded picture is freed


def _decode_file(file: BinaryIO, name: str, most_pixels: int) -> tuple[Pixels, int, tuple[str, ...], tuple[int, int]]:
    kind = check_file(file, name, most_pixels)
    if kind is None:
        raise UnidentifiedImageError
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about large pictures, which are checked here, and odd EXIF entries
        with _open_image(file, kind) as image:
            size = image.size
            most = _most_pixels(image, file, name)
            _check_size(size, name, min(most, most_pixels))
            image.draft(None, _scaled(size, SHARP_SIDE / max(size)))
            return *_decode(image, name, most, file), size


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    width, height = size
    return max(1, int(width * scale)), max(1, int(height * scale))


def _open_image(file: BinaryIO, kind: str) -> Image.Image:
    if kind != "HEIF":
        return Image.open(file, formats=(kind,))
    from pillow_heif import HeifImageFile  # which Pillow need not be told of, for the whole process

    try:
        return HeifImageFile(file)  # type: ignore[no-untyped-call]
    except SyntaxError as error:  # as Pillow's readers call a damaged file
        raise ValueError(str(error)) from None


def _most_pixels(image: Image.Image, file: BinaryIO, name: str) -> int:
    """Return how many pixels a file may have, by the memory its decoder needs for each."""
    if image.format == "WEBP":
        return MAXIMUM_WEBP_PIXELS
    if image.format in ("HEIF", "AVIF"):
        return MAXIMUM_HEIF_PIXELS
    decoder = image.tile[0][0] if isinstance(image, ImageFile.ImageFile) and image.tile else ""
    if decoder == "bmp_rle":
        if (size := file.seek(0, os.SEEK_END)) > MAXIMUM_RUNS:
            raise Under10kError(f"picture too large: {name} has {size:,} bytes, in runs. save it without compression")
        return MAXIMUM_RUNS
    return MAXIMUM_DEEP_PIXELS if deep_colours(image) else MAXIMUM_PIXELS


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn whatever a damaged picture raises into one line; Pillow promises no particular type."""
    try:
        yield
    except Under10kError:
        raise
    except UnidentifiedImageError:
        raise Under10kError(
            f"not a picture: {name}. give a PNG, JPEG, BMP, GIF, WebP, HEIC, AVIF or TIFF file"
        ) from None
    except Image.DecompressionBombError:
        raise _too_large(name) from None
    except PermissionError as error:
        raise Under10kError(f"cannot read the picture: {name} ({error.strerror}). check its permissions") from None
    except Exception as error:
        raise Under10kError(f"damaged picture: {name} ({error or type(error).__name__}). save it anew") from error


def _check_size(size: tuple[int, int], name: str, most_pixels: int) -> None:
    if max(size) > MAXIMUM_SIDE or size[0] * size[1] > most_pixels:
        raise _too_large(name, f" is {size[0]:,} x {size[1]:,} pixels", most_pixels)
    if min(size) < 1:
        raise Under10kError(f"empty picture: {name} has no pixels. give another")


def _too_large(name: str, what: str = "", most_pixels: int = MAXIMUM_PIXELS) -> Under10kError:
    return Under10kError(
        f"picture too large: {name}{what}. make it smaller: a side may have {MAXIMUM_SIDE:,} pixels, and one like "
        f"this {most_pixels:,} in all"
    )


def _decode(
    image: Image.Image, name: str, most_pixels: int, file: BinaryIO | None = None
) -> tuple[Pixels, int, tuple[str, ...]]:
    """Decode an open image: its pixels, shrunk, its EXIF orientation, and notes.

    Of a moving picture, the first frame that is not blank is decoded, of those that are searched. The pictures in a
    telephone's MPO or HEIF file are variants of one, those in a TIFF its pages: they do not move.
    """
    several = bool(getattr(image, "is_animated", False))
    moving = several and image.format not in ("MPO", "HEIF", "TIFF")
    if moving:
        image.seek(0)
    pixels = shrink(image, None if moving else file)
    orientation, number = _orientation(image), 0  # only now: this decodes a PNG
    if several and image.format == "TIFF":
        return pixels, orientation, ("several pages: only the first was read",)
    if not moving:
        return pixels, orientation, ()
    while is_blank(pixels) and number + 1 < MAXIMUM_FRAMES and math.prod(image.size) <= MAXIMUM_MOVING_PIXELS:
        try:
            image.seek(number + 1)
        except EOFError:
            break
        number += 1
        _check_size(image.size, name, min(most_pixels, MAXIMUM_MOVING_PIXELS))  # a GIF's frames may be larger than it
        pixels = shrink(image)
    frame = f"its frame {number + 1}, the first with anything on it," if number else "its first frame"
    return pixels, orientation, (f"a moving picture: only {frame} was read",)


def _finish(pixels: Pixels, orientation: int, notes: tuple[str, ...], size: tuple[int, int]) -> Picture:
    """Make a picture of shrunk pixels; `size` is the file's own, even if it was decoded at a fraction of it."""
    grey = np.clip(fit(to_grey(pixels), WORKING_SIDE), 0, 1)  # means may round to a little more than 1
    upright = _UPRIGHT.get(orientation, np.asarray)
    return Picture(np.ascontiguousarray(upright(grey)), max(size) / max(grey.shape), notes)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block does not make the picture unreadable
        return 1


# --- arrays --------------------------------------------------------------------------------------------------------


def _read_array(source: Any, name: str, most_pixels: int) -> Picture:
    if hasattr(source, "detach"):  # a torch tensor, which may lie on a device
        source = source.detach().cpu()
    values = np.asarray(source)
    if values.ndim == 3 and values.shape[0] == 1 and values.shape[2] > 4:
        values = values[0]
    if values.ndim == 3 and values.shape[0] in (3, 4) and min(values.shape[1:]) > 4:  # a tensor's channels come first
        values = np.moveaxis(values, 0, -1)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    flat = values.ndim == 2
    if values.dtype.kind not in "buif" or not (flat or (values.ndim == 3 and 2 <= values.shape[2] <= 4)):
        raise Under10kError(
            f"not a picture: {name} is {values.dtype} {values.shape}. give a path, or numbers (H, W) or (H, W, 1 to 4)"
        )
    size = (values.shape[1], values.shape[0])
    _check_size(size, name, most_pixels)
    low, high = float(values.min()), float(values.max())
    with _explained(name):
        if flat and not (values.dtype == np.uint8 and high > 1):
            return _finish(shrink_numbers(lambda strip: values[strip[1] : strip[3]], size), 1, (), size)
        if values.dtype != np.uint8 or high <= 1:
            values = to_bytes(values, low, high)
        return _finish(*_decode(Image.fromarray(np.ascontiguousarray(values)), name, most_pixels), size)
