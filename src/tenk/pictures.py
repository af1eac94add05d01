"""Pictures in, one grey array out: files, bytes, PIL images and arrays, read safely; the only reader of image files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tenk.errors import TenkError
from tenk.resize import Grey, fit

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
"""What a file may be. Pillow knows more formats, and starts other programs for some."""

MAXIMUM_SIDE = 10_000
"""Most pixels that a side of a picture may have."""

WORKING_SIDE = 640
"""Pixels of the larger side that a picture is brought down to before anything is looked for in it."""

LUMINANCE = np.array((0.299, 0.587, 0.114), dtype=np.float32)
"""What red, green and blue add to brightness (ITU-R BT.601)."""

MORE_CONTRAST = 1.3
"""How many times brightness's contrast one colour must have to be looked at instead: yellow ink is nearly white."""

ONE_TONE = 0.1
"""Largest deviation of brightness within what is taken for ink alone, without its paper."""

_STRIP = 2**22
"""Pixels that are turned into numbers at a time."""

_DEEP = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
"""Modes with more than 8 bits a pixel."""

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
    """What of the picture was not looked at, for people."""


def open_picture(source: Any, name: str = "the picture") -> Picture:
    """Read a picture of any mode: a path, a file's bytes, a PIL image, a NumPy array or a torch tensor.

    Arrays are (H, W), or (H, W, 1 to 4) with the channels of L, LA, RGB or RGBA. Files are PNG, JPEG, BMP, GIF or WebP;
    of a moving picture the first frame is read. Transparent paper becomes the opposite of what is drawn on it. Pixels
    of more than 8 bits are scaled by the range that they have. Besides Pillow's decoded picture, 1 to 4
    bytes a pixel (WebP: about 15), little is held: numbers are made of a strip of it at a time.
    `name` stands in errors where there is no path.

    Raises:
        TenkError: it is missing, damaged, no picture, or has a side of more than 10,000 pixels.
    """
    if isinstance(source, str | Path):
        return _open_file(_check_file(Path(source)), str(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return _open_file(io.BytesIO(source), name)
    if isinstance(source, Image.Image):
        with _explained(name):
            return _read(source, name, source.size)
    return _read_array(source, name)


def _check_file(path: Path) -> Path:
    try:
        if path.is_dir():
            raise TenkError(f"not a picture: {path} is a folder. give the files in it")
        if not path.exists():
            raise TenkError(f"no such picture: {path}. check its name")
        if not path.is_file():
            raise TenkError(f"not a picture: {path} is no ordinary file. give a file")
    except (OSError, ValueError) as error:  # a name too long, or with a NUL in it; a folder that may not be looked into
        reason = getattr(error, "strerror", error)
        raise TenkError(
            f"no such picture: {path} ({reason}). check its name, and that its folder may be looked into"
        ) from None
    return path


def _open_file(file: Path | io.BytesIO, name: str) -> Picture:
    with _explained(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures, which are checked here, and of odd EXIF entries
        with Image.open(file, formats=FORMATS) as image:
            size = image.size
            _check_size(size, name)
            image.draft(None, (2 * WORKING_SIDE, 2 * WORKING_SIDE))  # a large JPEG is decoded at a fraction of its size
            return _read(image, name, size)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn all that a damaged picture can raise into one line; Pillow promises no one type."""
    try:
        yield
    except TenkError:
        raise
    except UnidentifiedImageError:
        raise TenkError(f"not a picture: {name}. give a PNG, JPEG, BMP, GIF or WebP file") from None
    except Image.DecompressionBombError:
        raise _too_large(name) from None
    except PermissionError as error:
        raise TenkError(f"cannot read the picture: {name} ({error.strerror}). check its permissions") from None
    except Exception as error:
        raise TenkError(f"damaged picture: {name} ({error or type(error).__name__}). save it anew") from error


def _check_size(size: tuple[int, int], name: str) -> None:
    if max(size) > MAXIMUM_SIDE:
        raise _too_large(name, f" is {size[0]:,} x {size[1]:,} pixels")
    if min(size) < 1:
        raise TenkError(f"empty picture: {name} has no pixels. give another")


def _too_large(name: str, what: str = "") -> TenkError:
    return TenkError(f"picture too large: {name}{what}. make it smaller: a side may have {MAXIMUM_SIDE:,} pixels")


def _read(image: Image.Image, name: str, size: tuple[int, int]) -> Picture:
    """Read an open image; `size` is its own, also where it is decoded at a fraction of it."""
    _check_size(size, name)
    upright = _UPRIGHT.get(_orientation(image), np.asarray)
    moving = bool(getattr(image, "is_animated", False))
    if moving:
        image.seek(0)
    image.load()
    grey = np.clip(fit(_to_grey(_shrink(image)), WORKING_SIDE), 0, 1)  # sums of weights of 1 may round to a little more
    notes = ("a moving picture: only its first frame was read",) if moving else ()
    return Picture(np.ascontiguousarray(upright(grey)), max(size) / max(grey.shape), notes)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block does not make the picture unreadable
        return 1


def _shrink(image: Image.Image) -> NDArray[np.float32]:
    """Average blocks of pixels, as large as leave twice the working side: (H, W), or (H, W, 3 or 4), in [0, 1].

    The fourth channel is opacity, by which the others are multiplied already.
    """
    block = max(1, max(image.size) // (2 * WORKING_SIDE))
    rows = max(1, _STRIP // image.width // block) * block
    strips = [(0, top, image.width, min(top + rows, image.height)) for top in range(0, image.height, rows)]
    if image.mode not in _DEEP:
        parts = [np.asarray(_simplify(image.crop(strip)).reduce(block)) for strip in strips]
        return np.asarray(np.concatenate(parts), dtype=np.float32) / np.float32(255)
    ranges = [(float(part.min()), float(part.max())) for part in map(np.asarray, map(image.crop, strips))]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    return np.concatenate([_blocks(to_unit(np.asarray(image.crop(strip)), low, high), block) for strip in strips])


def _simplify(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA").convert("RGBa")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _blocks(grey: Grey, block: int) -> Grey:
    return np.asarray(Image.fromarray(grey).reduce(block))


def to_unit(values: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Scale values between `low` and `high` to [0, 1]: as they are, by 255, or where they fit neither by that range.

    Raises:
        TenkError: a value is NaN or infinite.
    """
    if not np.isfinite((low, high)).all():
        raise TenkError("not a picture: a value is NaN or infinite. give finite numbers")
    if low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    halves = values.astype(np.float64) / 2  # the range of the largest numbers is none
    return np.asarray((halves - low / 2) / (high / 2 - low / 2 or 1.0), dtype=np.float32)


def _to_grey(pixels: NDArray[np.float32]) -> Grey:
    """Take brightness, or that of red, green and blue which shows the picture much better."""
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] == 4:
        pixels = _lay_on_paper(pixels[..., :3], pixels[..., 3:])
    grey = np.asarray(pixels @ LUMINANCE, dtype=np.float32)
    best = max((pixels[..., channel] for channel in range(3)), key=np.ptp)
    return best if np.ptp(best) > MORE_CONTRAST * np.ptp(grey) else grey


def _lay_on_paper(colours: NDArray[np.float32], opacity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill what is transparent with black or white, whichever is farther from the brightness of what is drawn.

    Where more than half is opaque, and not of one brightness, paper is drawn, too; what is missing gets its colour.
    """
    seen = opacity[..., 0] > 0.5
    if not opacity.any():
        paper = np.ones(3)
    elif seen.mean() > 0.5 and np.std(colours[seen] @ LUMINANCE) > ONE_TONE:
        paper = np.median(colours[seen], axis=0)
    else:
        paper = np.full(3, float((colours @ LUMINANCE).sum() / opacity.sum() < 0.5))
    return np.asarray(colours + (1 - opacity) * paper, dtype=np.float32)


def _read_array(source: Any, name: str) -> Picture:
    if hasattr(source, "detach"):  # a torch tensor, which may lie on a device
        source = source.detach().cpu()
    values = np.asarray(source)
    if values.ndim == 3 and values.shape[0] == 1 and values.shape[2] > 4:
        values = values[0]
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    flat = values.ndim == 2
    if values.dtype.kind not in "buif" or not (flat or (values.ndim == 3 and 2 <= values.shape[2] <= 4)):
        raise TenkError(
            f"not a picture: {name} is {values.dtype} {values.shape}. give a path, or numbers (H, W) or (H, W, 1 to 4)"
        )
    _check_size((values.shape[1], values.shape[0]), name)
    if values.dtype != np.uint8:
        values = to_unit(values, float(values.min()), float(values.max()))
        if not flat:
            values = np.round(values * 255).astype(np.uint8)
    with _explained(name):
        return _read(Image.fromarray(np.ascontiguousarray(values)), name, (values.shape[1], values.shape[0]))
