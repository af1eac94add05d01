"""The work that decoding a picture file would take, bounded by a look at its bytes before any of it is decoded.

A decoder's memory follows from the picture's area; its work does not. A progressive JPEG can go over all its pixels
thousands of times, and a file can consist of millions of parts, each of which takes Pillow a step in Python.
"""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO

from under10k.errors import Under10kError

MAXIMUM_BYTES = {
    "PNG": 210_000_000,
    "BMP": 210_000_000,
    "JPEG": 100_000_000,
    "GIF": 100_000_000,
    "WEBP": 50_000_000,
}
"""Most bytes of a file, by format: about what the largest picture takes if it hardly compresses."""


MAXIMUM_SCANS = 100
"""Most scans of a JPEG; progressive ones have about ten."""


MAXIMUM_PASSES = 12
"""Most passes over the largest picture's pixels that all scans of a JPEG may add up to."""


MAXIMUM_COEFFICIENTS = 100_000_000
"""Most coefficients of a JPEG with several scans: all are held, in two bytes each, until the last scan."""


_SEGMENTS, _SEGMENT_BYTES = 1000, 2**24
"""Most segments of a JPEG that hold no pixels, and most bytes in them."""


_PIXEL_CHUNKS = 100_000
"""Most chunks that hold a PNG's pixels."""


_CHUNKS, _CHUNK_BYTES = 256, 2**24
"""Most chunks of a PNG that hold no pixels, and most bytes in them."""


_BLOCKS, _EXTENSION_BYTES = 500_000, 2**20
"""Most blocks of a GIF, and most bytes in those that hold no pixels."""


_MAGIC = re.compile(
    rb"(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<JPEG>\xff\xd8\xff)|(?P<BMP>BM)|(?P<GIF>GIF8[79]a)|(?P<WEBP>RIFF....WEBPVP8[ XL])",
    re.DOTALL,
)


_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
"""The start of a JPEG's segment; among pixels, 0xFF is followed by zero, or by a restart's 0xD0 to 0xD7."""


_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}


_SCAN, _END = 0xDA, 0xD9


def check_file(file: BinaryIO, name: str, most_pixels: int) -> str | None:
    """Return the format of a picture file by its first bytes; None if it is unknown.

    Raises:
        Under10kError: decoding it would take far more work than its pixels deserve.
    """
    found = _MAGIC.match(file.read(16))
    kind = found.lastgroup if found else None
    if kind is None:
        return None
    if (size := file.seek(0, os.SEEK_END)) > MAXIMUM_BYTES[kind]:
        raise Under10kError(
            f"picture too large: {name} has {size:,} bytes. make it smaller: a {kind} file may have "
            f"{MAXIMUM_BYTES[kind]:,}"
        )
    file.seek(0)
    if kind == "JPEG":
        _check_jpeg(file.read(), name, most_pixels)
    elif kind == "PNG":
        _check_png(file, name)
    elif kind == "GIF":
        _check_gif(memoryview(file.read()), name)
    file.seek(0)
    return kind


def _too_much(name: str, what: str) -> Under10kError:
    return Under10kError(f"picture too much work: {name} has {what}. save it anew")


def _check_jpeg(content: bytes, name: str, most_pixels: int) -> None:
    scans = segments = segment_bytes = pixels = coefficients = 0
    progressive = False
    place = 2
    while (found := _MARKER.search(content, place)) and (marker := found.group()[1]) != _END:
        segments += 1
        length = max(2, int.from_bytes(content[found.end() : found.end() + 2], "big"))
        if not scans:  # Pillow skips what lies between segments byte by byte
            segment_bytes += found.start() - place
        segment_bytes += length
        place = found.end() + length
        if marker == _SCAN:
            scans += 1
        elif marker in _FRAMES:
            progressive |= marker in _PROGRESSIVE
            area, values = _measure_jpeg(content[found.end() + 2 : place])
            pixels, coefficients = max(pixels, area), max(coefficients, values)
        if scans > MAXIMUM_SCANS or (scans > 1 and scans * pixels > MAXIMUM_PASSES * most_pixels):
            raise _too_much(name, "more scans than it needs")
        if segments > _SEGMENTS or segment_bytes > _SEGMENT_BYTES:
            raise _too_much(name, "more in it than a picture")
    if (progressive or scans > 1) and coefficients > MAXIMUM_COEFFICIENTS:
        raise Under10kError(f"picture too large: {name} is progressive. save it as a baseline JPEG, or smaller")


def _measure_jpeg(frame: bytes) -> tuple[int, int]:
    """Return the pixels and coefficients of a frame, by its header."""
    if len(frame) < 6:
        return 0, 0
    height, width, count = struct.unpack_from(">HHB", frame, 1)
    samples = [(each >> 4) * (each & 15) for each in frame[7 : 6 + 3 * count : 3]]
    return height * width, height * width * sum(samples) // (max(samples, default=0) or 1)


def _check_png(file: BinaryIO, name: str) -> None:
    pixel_chunks = chunks = chunk_bytes = 0
    place = 8
    while len(header := _read_at(file, place, 8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        place += 12 + length
        if kind in (b"IDAT", b"fdAT", b"fcTL"):
            pixel_chunks += 1
        else:
            chunks, chunk_bytes = chunks + 1, chunk_bytes + length
        if pixel_chunks > _PIXEL_CHUNKS or chunks > _CHUNKS or chunk_bytes > _CHUNK_BYTES:
            raise _too_much(name, "more in it than a picture")
        if kind == b"IEND":
            return


def _read_at(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


def _check_gif(content: memoryview, name: str) -> None:
    blocks = extension_bytes = 0
    place = 13 + _table(content[10:11])
    while place < len(content) and (kind := content[place]) != ord(";"):
        blocks += 1
        is_picture, is_extension = kind == ord(","), kind == ord("!")
        if is_picture:
            place += 11 + _table(content[place + 9 : place + 10])
        elif is_extension:
            place += 2
        while (is_picture or is_extension) and place < len(content) and (length := content[place]):
            blocks += 1
            place += 1 + length
            extension_bytes += 0 if is_picture else length
        place += 1
        if blocks > _BLOCKS or extension_bytes > _EXTENSION_BYTES:
            raise _too_much(name, "more in it than a picture")


def _table(flags: memoryview) -> int:
    """Return the size of a colour table, in bytes."""
    return 3 << (flags[0] & 7) + 1 if len(flags) and flags[0] & 128 else 0
