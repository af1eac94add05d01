"""Pictures in, one grey array out: files, bytes, PIL images and arrays, read safely; the only reader of image files."""

from __future__ import annotations

import io
import itertools
import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from under10k.errors import Under10kError
from under10k.pictures.bounds import MAXIMUM_BYTES, check_file
from under10k.pictures.parts import LEAST_RANGE
from under10k.pictures.pixels import Grey, fit

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
"""What a file may be. Pillow knows more formats, and starts other programs for some."""


MAXIMUM_SIDE = 10_000
"""Most pixels that a side of a picture may have."""


MAXIMUM_PIXELS = 50_000_000
"""Most pixels that a picture may have: as many as a telephone's have, at 4 bytes each once decoded."""


MAXIMUM_DEEP_PIXELS = 24_000_000
"""Most pixels of a PNG with 16 bits a colour, which is decoded twice: at 8 bytes a pixel."""


MAXIMUM_WEBP_PIXELS = 12_000_000
"""Most pixels of a WebP, whose decoder takes 16 to 20 bytes for each."""


MAXIMUM_RUNS = 4_000_000
"""Most pixels, and bytes, of a BMP in runs of one colour, which Pillow decodes in Python."""


MAXIMUM_FRAMES = 10
"""Most frames of a moving picture among which one with anything on it is looked for."""


MAXIMUM_MOVING_PIXELS = 1_000_000
"""Most pixels of a moving picture beyond whose first frame is looked."""


WORKING_SIDE = 640
"""Pixels of the larger side that a picture is brought down to before anything is looked for in it."""


LUMINANCE = np.array((0.299, 0.587, 0.114), dtype=np.float32)
"""What red, green and blue add to brightness (ITU-R BT.601)."""


MORE_CONTRAST = 1.3
"""How many times brightness's contrast one colour must have to be looked at instead: yellow ink is nearly white."""


ONE_TONE = 0.1
"""Largest deviation of brightness within what is taken for ink alone, without its paper."""


_LEVELS = (np.round(np.arange(256) / 255 * 2**24) / 2**24).astype(np.float32)
"""Brightness of each of 256 levels, in steps of which float32 has all up to 1: so the negative of a picture, 1 less its
brightness, is exactly the picture of the negative, and is read as it is."""


_STRIP = 2**21
"""Pixels that are turned into numbers at a time."""


_DEEP = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
"""Modes with more than 8 bits a pixel."""


_LOWER = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}
"""How a PNG's colours of 16 bits are read for their lower bytes, as if they were written the other way round, by how
Pillow reads them for the upper ones."""


Pixels = NDArray[np.uint8] | NDArray[np.float32]
"""A picture of at most some 2,500 pixels a side: (H, W), or (H, W, 3 or 4) in which the fourth channel is opacity, by
which the others are multiplied already. Levels up to 255 if uint8, brightness in [0, 1] if float32."""


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


def open_picture(source: Any, name: str = "the picture", *, most_pixels: int = MAXIMUM_PIXELS) -> Picture:
    """Read a picture of any mode: a path, a file's bytes, an open file, a PIL image, an array or a tensor.

    Arrays are (H, W), (H, W, 1 to 4) with the channels of L, LA, RGB or RGBA, or (1, 3 or 4, H, W). Their numbers are
    taken as brightness from 0 to 1 where none is larger, from 0 to 255 where none is larger than that, else in the
    range that they have.
    Files are PNG, JPEG, BMP, GIF or WebP; of a moving picture the first frame with anything on it is read. Transparent
    paper becomes the opposite of what is drawn on it. Pixels of more than 8 bits are scaled by the range that they
    have. Besides Pillow's decoded picture little is held: numbers are made of a strip of it at a time. `name` stands
    in errors where there is no path. A `Picture` is returned as it is.

    Raises:
        Under10kError: it is missing, damaged, no picture, has a side of more than 10,000 pixels, or more than
            `most_pixels` in all (of some formats fewer), or would take far more work than its pixels deserve.
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
    except (OSError, ValueError) as error:  # a name too long, or with a NUL in it; a folder that may not be looked into
        reason = getattr(error, "strerror", error)
        raise Under10kError(
            f"no such picture: {path} ({reason}). check its name, and that its folder may be looked into"
        ) from None
    return path


def _open_file(file: BinaryIO, name: str, most_pixels: int) -> Picture:
    return _finish(*_decode_file(file, name, most_pixels))  # once the decoded picture is let go


def _decode_file(file: BinaryIO, name: str, most_pixels: int) -> tuple[Pixels, int, tuple[str, ...], tuple[int, int]]:
    kind = check_file(file, name, most_pixels)
    if kind is None:
        raise UnidentifiedImageError
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures, which are checked here, and of odd EXIF entries
        with Image.open(file, formats=(kind,)) as image:
            size = image.size
            most = _most_pixels(image, file, name)
            _check_size(size, name, min(most, most_pixels))
            image.draft(None, (2 * WORKING_SIDE, 2 * WORKING_SIDE))  # a large JPEG is decoded at a fraction of its size
            return *_decode(image, name, most, file), size


def _most_pixels(image: Image.Image, file: BinaryIO, name: str) -> int:
    """Return how many pixels a file may have, by what its decoder needs for one."""
    if image.format == "WEBP":
        return MAXIMUM_WEBP_PIXELS
    decoder = image.tile[0][0] if isinstance(image, ImageFile.ImageFile) and image.tile else ""
    if decoder == "bmp_rle":
        if (size := file.seek(0, os.SEEK_END)) > MAXIMUM_RUNS:
            raise Under10kError(f"picture too large: {name} has {size:,} bytes, in runs. save it without compression")
        return MAXIMUM_RUNS
    return MAXIMUM_DEEP_PIXELS if _deep_colours(image) else MAXIMUM_PIXELS


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn all that a damaged picture can raise into one line; Pillow promises no one type."""
    try:
        yield
    except Under10kError:
        raise
    except UnidentifiedImageError:
        raise Under10kError(f"not a picture: {name}. give a PNG, JPEG, BMP, GIF or WebP file") from None
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
    """Decode an open image, and return its pixels shrunk, its EXIF orientation, and notes.

    Of a moving picture it is the first frame with anything on it, of those that are looked at. A telephone's several
    pictures in one file (MPO) are one, and its variants.
    """
    moving = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    if moving:
        image.seek(0)
    pixels = _shrink(image, None if moving else file)
    orientation, number = _orientation(image), 0  # not before: it decodes a PNG
    if not moving:
        return pixels, orientation, ()
    while _is_blank(pixels) and number + 1 < MAXIMUM_FRAMES and math.prod(image.size) <= MAXIMUM_MOVING_PIXELS:
        try:
            image.seek(number + 1)
        except EOFError:
            break
        number += 1
        _check_size(image.size, name, min(most_pixels, MAXIMUM_MOVING_PIXELS))  # a GIF's frames may be larger than it
        pixels = _shrink(image)
    frame = f"its frame {number + 1}, the first with anything on it," if number else "its first frame"
    return pixels, orientation, (f"a moving picture: only {frame} was read",)


def _is_blank(pixels: Pixels) -> bool:
    scale = 255 if pixels.dtype == np.uint8 else 1
    return bool((np.ptp(pixels, axis=(0, 1)) < LEAST_RANGE * scale).all())


def _finish(pixels: Pixels, orientation: int, notes: tuple[str, ...], size: tuple[int, int]) -> Picture:
    """Make a picture of pixels that were shrunk; `size` is its own, also where it was decoded at a fraction of it."""
    grey = np.clip(fit(_to_grey(pixels), WORKING_SIDE), 0, 1)  # sums of weights of 1 may round to a little more
    upright = _UPRIGHT.get(orientation, np.asarray)
    return Picture(np.ascontiguousarray(upright(grey)), max(size) / max(grey.shape), notes)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block does not make the picture unreadable
        return 1


def _shrink(image: Image.Image, file: BinaryIO | None = None) -> Pixels:
    """Average blocks of pixels, as large as leave twice the working side."""
    if file and (how := _deep_colours(image)):
        return _shrink_deep(_Twice(image, file, how).read, image.size)
    image.load()
    if image.mode in _DEEP:
        return _shrink_deep(lambda strip: np.asarray(image.crop(strip)), image.size)
    block = _block(image.size)
    strips = [_simplify(image.crop(strip)).reduce(block) for strip in _strips(image.size)]
    return np.concatenate([np.asarray(strip) for strip in strips])


def _block(size: tuple[int, int]) -> int:
    return max(1, max(size) // (2 * WORKING_SIDE))


def _strips(size: tuple[int, int], pixels: int = _STRIP) -> list[tuple[int, int, int, int]]:
    """Cut a picture into strips of whole blocks: left, top, right, bottom of each."""
    (width, height), block = size, _block(size)
    rows = max(1, pixels // width // block) * block
    return [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]


def _simplify(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA").convert("RGBa")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


# --- more than 8 bits ----------------------------------------------------------------------------------------------


def _deep_colours(image: Image.Image) -> str:
    """Return how Pillow reads the 16 bits of a PNG's colours, of which it keeps 8; empty of any other picture."""
    if image.format != "PNG" or not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return ""
    how = image.tile[0][3]
    return how if isinstance(how, str) and how in _LOWER and "transparency" not in image.info else ""


class _Twice:
    """A PNG whose colours have 16 bits, decoded once for their upper bytes and once for their lower ones."""

    def __init__(self, upper: Image.Image, file: BinaryIO, how: str) -> None:
        self.upper, self.grey = upper, how.startswith("LA")
        file.seek(0)
        with Image.open(file, formats=("PNG",)) as self.lower:
            self.lower.tile = [(*self.lower.tile[0][:3], _LOWER[how])]  # type: ignore[list-item]
            self.lower.load()
        if not self.grey:
            upper.load()

    def read(self, strip: tuple[int, int, int, int]) -> NDArray[np.uint16]:
        """Return a strip: uint16 (h, W, 3), or (h, W, 4) with opacity."""
        lower = np.asarray(self.lower.crop(strip))
        if self.grey:  # these four bytes are brightness and opacity, each with its upper byte first
            return _join(lower[..., ::2], lower[..., 1::2])[..., (0, 0, 0, 1)]
        return _join(np.asarray(self.upper.crop(strip)), lower)


def _join(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return np.asarray(upper.astype(np.uint16) << 8 | lower, dtype=np.uint16)


def _shrink_deep(read: Callable[[tuple[int, int, int, int]], NDArray[Any]], size: tuple[int, int]) -> Pixels:
    """Shrink numbers that are read strip by strip, (h, W) or (h, W, 3 or 4), scaled by their range; opacity is 16 bits.

    Raises:
        Under10kError: a value is NaN or infinite.
    """
    strips, block = _strips(size, _STRIP // 8), _block(size)
    ranges = [_range(read(strip)) for strip in strips]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    shrunk = (_shrink_strip(read(strip), low, high, block) for strip in strips)
    first = next(shrunk)
    pixels = np.empty((-(-size[1] // block), *first.shape[1:]), dtype=np.float32)
    bottom = 0
    for part in itertools.chain([first], shrunk):
        top, bottom = bottom, bottom + len(part)
        pixels[top:bottom] = part
    return pixels


def _range(values: NDArray[Any]) -> tuple[float, float]:
    colours = values[..., :3] if values.ndim == 3 else values
    return float(colours.min()), float(colours.max())


def _shrink_strip(values: NDArray[Any], low: float, high: float, block: int) -> Pixels:
    if values.ndim == 2:
        return _blocks(to_unit(values, low, high), block)
    colours = [to_unit(values[..., channel], low, high) for channel in range(3)]
    if values.shape[2] == 4:
        opacity = to_unit(values[..., 3], 0, 65535)
        colours = [*(colour * opacity for colour in colours), opacity]
    return np.stack([_blocks(colour, block) for colour in colours], axis=2)


def _blocks(grey: Grey, block: int) -> Grey:
    return np.asarray(Image.fromarray(grey).reduce(block))


def to_unit(values: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Scale values between `low` and `high` to [0, 1]: as they are, by 255, or where they fit neither by that range.

    Raises:
        Under10kError: a value is NaN or infinite.
    """
    if not np.isfinite((low, high)).all():
        raise Under10kError("not a picture: a value is NaN or infinite. give finite numbers")
    if low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    halves = values.astype(np.float64) / 2  # the range of the largest numbers is none
    return np.asarray((halves - low / 2) / (high / 2 - low / 2 or 1.0), dtype=np.float32)


# --- grey ----------------------------------------------------------------------------------------------------------


def _to_grey(pixels: Pixels) -> Grey:
    """Take brightness, or that of red, green and blue which shows the picture much better."""
    if pixels.ndim == 2:
        return _to_level(pixels)
    colours = [_to_level(pixels[..., channel]) for channel in range(3)]
    if pixels.shape[2] == 4:
        _lay_on_paper(colours, _to_level(pixels[..., 3]))
    grey = _brightness(colours)
    best = max(colours, key=np.ptp)
    return best if np.ptp(best) > MORE_CONTRAST * np.ptp(grey) else grey


def _to_level(channel: Pixels) -> Grey:
    return np.asarray(_LEVELS[channel] if channel.dtype == np.uint8 else channel, dtype=np.float32)


def _brightness(colours: list[Grey]) -> Grey:
    brightness = np.zeros_like(colours[0])
    for share, colour in zip(LUMINANCE, colours, strict=True):
        brightness += share * colour
    return brightness


def _lay_on_paper(colours: list[Grey], opacity: Grey) -> None:
    """Fill what is transparent with black or white, whichever is farther from the brightness of what is drawn.

    Where more than half is opaque, and not of one brightness, paper is drawn, too; what is missing gets its colour.
    """
    seen = opacity > 0.5
    brightness = _brightness(colours)
    if not opacity.any():
        paper = [1.0] * 3
    elif seen.mean() > 0.5 and np.std(brightness[seen]) > ONE_TONE:
        paper = [float(np.median(colour[seen])) for colour in colours]
    else:
        paper = [float(brightness.sum() / opacity.sum() < 0.5)] * 3
    for colour, level in zip(colours, paper, strict=True):
        colour += (1 - opacity) * np.float32(level)


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
            return _finish(_shrink_deep(lambda strip: values[strip[1] : strip[3]], size), 1, (), size)
        if values.dtype != np.uint8 or high <= 1:
            strips = [to_unit(values[top:bottom], low, high) for _, top, _, bottom in _strips(size)]
            values = np.concatenate([np.round(strip * 255).astype(np.uint8) for strip in strips])
        return _finish(*_decode(Image.fromarray(np.ascontiguousarray(values)), name, most_pixels), size)
