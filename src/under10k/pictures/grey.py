"""Decoded pictures of any mode and numbers of any type, shrunk strip by strip, then turned into grey."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from under10k.errors import Under10kError
from under10k.pictures.pixels import LEAST_RANGE, Grey

WORKING_SIDE = 640
"""Pixels of the larger side that a picture is shrunk to before anything is looked for in it."""


LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness (ITU-R BT.601)."""


MORE_CONTRAST = 1.3
"""How many times the contrast of brightness one colour must have to be used instead: yellow ink is nearly white."""


ONE_TONE = 0.1
"""Largest standard deviation of brightness at which opaque pixels are taken for ink alone, without paper."""


_LEVELS = (np.round(np.arange(256) / 255 * 2**24) / 2**24).astype(np.float32)
"""Brightness of each of 256 levels, in steps that float32 holds exactly up to 1: so 1 minus a picture is exactly the
picture of its negative, and both are read alike."""


_STRIP = 2**21
"""Pixels of a strip, which bounds the memory."""


_DEEP = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
"""Modes with more than 8 bits a pixel."""


_LOWER = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}
"""Pillow's raw mode for the upper bytes of a PNG's 16-bit colours, and the one that yields the lower bytes: it takes
them for the other byte order."""


Pixels = NDArray[np.uint8] | NDArray[np.float32]
"""A picture of at most some 2,500 pixels a side: (H, W), or (H, W, 3 or 4). The fourth channel is opacity, by which the
others are multiplied. uint8 has levels up to 255, float32 brightness in [0, 1]."""


def is_blank(pixels: Pixels) -> bool:
    scale = 255 if pixels.dtype == np.uint8 else 1
    return bool((np.ptp(pixels, axis=(0, 1)) < LEAST_RANGE * scale).all())


def shrink(image: Image.Image, file: BinaryIO | None = None) -> Pixels:
    """Average blocks of pixels, so that about twice the working side is left."""
    if file and (how := deep_colours(image)):
        return shrink_numbers(_Twice(image, file, how).read, image.size)
    image.load()
    if image.mode in _DEEP:
        return shrink_numbers(lambda strip: np.asarray(image.crop(strip)), image.size)
    block = _block(image.size)
    if block == 1:
        return np.asarray(_simplify(image))
    strips = [_simplify(image.crop(strip)).reduce(block) for strip in _strips(image.size)]
    return np.concatenate([np.asarray(strip) for strip in strips])


def _block(size: tuple[int, int]) -> int:
    return max(1, max(size) // (2 * WORKING_SIDE))


def _strips(size: tuple[int, int], pixels: int = _STRIP) -> list[tuple[int, int, int, int]]:
    """Cut a picture into strips of whole blocks: (left, top, right, bottom) of each."""
    (width, height), block = size, _block(size)
    rows = max(1, pixels // width // block) * block
    return [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]


def _simplify(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA").convert("RGBa")
    mode = "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == mode else image.convert(mode)


# --- more than 8 bits ----------------------------------------------------------------------------------------------


def deep_colours(image: Image.Image) -> str:
    """Return Pillow's raw mode for a PNG with 16 bits a colour, of which it keeps 8; empty for other pictures."""
    if image.format != "PNG" or not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return ""
    how = image.tile[0][3]
    return how if isinstance(how, str) and how in _LOWER and "transparency" not in image.info else ""


class _Twice:
    """A PNG with 16 bits a colour, decoded once for the upper bytes and once for the lower ones."""

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
        if self.grey:  # four bytes: brightness and opacity, each upper byte first
            return _join(lower[..., ::2], lower[..., 1::2])[..., (0, 0, 0, 1)]
        return _join(np.asarray(self.upper.crop(strip)), lower)


def _join(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return np.asarray(upper.astype(np.uint16) << 8 | lower, dtype=np.uint16)


def shrink_numbers(read: Callable[[tuple[int, int, int, int]], NDArray[Any]], size: tuple[int, int]) -> Pixels:
    """Shrink numbers, (h, W) or (h, W, 3 or 4), read strip by strip and scaled by their range; opacity has 16 bits.

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
    """Scale values between `low` and `high` to [0, 1]: unchanged or by 255 if they fit, else by their range.

    Raises:
        Under10kError: a value is NaN or infinite.
    """
    if not np.isfinite((low, high)).all():
        raise Under10kError("not a picture: a value is NaN or infinite. give finite numbers")
    if low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    halves = values.astype(np.float64) / 2  # the range of the largest numbers overflows
    return np.asarray((halves - low / 2) / (high / 2 - low / 2 or 1.0), dtype=np.float32)


def to_bytes(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Scale values, (H, W) or (H, W, C), to 0 to 255 as `to_unit` does, a strip at a time."""
    strips = _strips((values.shape[1], values.shape[0]))
    parts = [to_unit(values[top:bottom], low, high) for _, top, _, bottom in strips]
    return np.concatenate([np.round(part * 255).astype(np.uint8) for part in parts])


# --- grey ----------------------------------------------------------------------------------------------------------


def to_grey(pixels: Pixels) -> Grey:
    """Return brightness, or the one of red, green and blue that shows the picture much better."""
    if pixels.ndim == 2:
        return _to_level(pixels)
    colours = [_to_level(pixels[..., channel]) for channel in range(3)]
    if pixels.shape[2] == 4:
        _lay_on_paper(colours, _to_level(pixels[..., 3]))
    grey = _brightness(colours)
    best = max(colours, key=np.ptp)
    return best if np.ptp(best) > MORE_CONTRAST * np.ptp(grey) else grey


def _to_level(channel: NDArray[Any]) -> Grey:
    return np.asarray(_LEVELS.take(channel) if channel.dtype == np.uint8 else channel, dtype=np.float32)


def _brightness(colours: list[Grey]) -> Grey:
    brightness = LUMINANCE[0] * colours[0]
    for share, colour in zip(LUMINANCE[1:], colours[1:], strict=True):
        brightness += share * colour
    return brightness


def _lay_on_paper(colours: list[Grey], opacity: Grey) -> None:
    """Fill what is transparent with black or white, whichever is farther from the brightness of what is drawn.

    If more than half is opaque, and not of one brightness, its paper is drawn too, and the rest gets that colour.
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
