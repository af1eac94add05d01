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
    "HEIF": 50_000_000,
    "AVIF": 50_000_000,
    "TIFF": 210_000_000,
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
    rb"(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<JPEG>\xff\xd8\xff)|(?P<BMP>BM)|(?P<GIF>GIF8[79]a)|(?P<WEBP>RIFF....WEBPVP8[ XL])|"
    rb"(?P<AVIF>....ftyp(?:avif|avis|(?:mif1|msf1)....(?:....){0,7}?avi[fs]))|"
    rb"(?P<HEIF>....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1))|(?P<TIFF>II\*\0|MM\0\*)|(?P<PDF>%PDF-)",
    re.DOTALL,
)


_HEAD_BYTES = 64
"""Bytes that are looked at for the format: a HEIF file lists the formats it is compatible with."""


_TAGS, _TAG_BYTES = 256, 2**24
"""Most tags of a TIFF's first page, and most bytes in them."""


_BLOCK_BYTES = 2**26
"""Most bytes of a compressed strip or tile of a TIFF, which is unpacked at once."""


_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value of each type of a TIFF's tags."""


_TIFF_COMPRESSIONS = {1, 2, 3, 4, 5, 8, 32773, 32946}
"""None, three of fax machines, LZW, deflate and PackBits: their work follows from what they unpack to."""


_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _CHANNELS, _ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT = (
    256, 257, 258, 259, 277, 278, 322, 323,
)  # fmt: skip


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
    found = _MAGIC.match(file.read(_HEAD_BYTES))
    kind = found.lastgroup if found else None
    if kind is None:
        return None
    if kind == "PDF":
        raise Under10kError(f"not a picture: {name} is a PDF. save its page as a PNG, or take a screenshot of it")
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
    elif kind == "TIFF":
        _check_tiff(file, name)
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


def _check_tiff(file: BinaryIO, name: str) -> None:
    """Check the tags of the first page, which alone is read, and how much is unpacked at once."""
    header = _read_at(file, 0, 8)
    if len(header) < 8:
        return  # Pillow refuses it
    order = "<" if header[:2] == b"II" else ">"
    (place,) = struct.unpack(f"{order}I", header[4:])
    (count,) = struct.unpack(f"{order}H", _read_at(file, place, 2).ljust(2, b"\0"))
    entries = _read_at(file, place + 2, 12 * min(count, _TAGS))
    tags: dict[int, int] = {}
    tag_bytes = 0
    for tag, kind, values, inline in struct.iter_unpack(f"{order}HHI4s", entries[: len(entries) // 12 * 12]):
        tag_bytes += values * _TIFF_SIZES.get(kind, 1)
        if kind in (3, 4) and tag not in tags:
            tags[tag] = struct.unpack(f"{order}HH" if kind == 3 else f"{order}I", inline)[0]
            if tag == _BITS and values > 2:  # as many as there are channels, which stand elsewhere
                where = struct.unpack(f"{order}I", inline)[0]
                tags[tag] = struct.unpack(f"{order}H", _read_at(file, where, 2).ljust(2, b"\0"))[0]
    if count > _TAGS or tag_bytes > _TAG_BYTES:
        raise _too_much(name, "more in it than a picture")
    if (compression := tags.get(_COMPRESSION, 1)) not in _TIFF_COMPRESSIONS:
        raise Under10kError(f"unknown compression: {name} is a TIFF of number {compression}. save it as a PNG")
    width = tags.get(_TILE_WIDTH, tags.get(_WIDTH, 0))
    height = tags.get(_TILE_HEIGHT, min(tags.get(_ROWS_PER_STRIP, 2**32), tags.get(_HEIGHT, 0)))
    block = width * height * tags.get(_BITS, 1) * tags.get(_CHANNELS, 1) // 8
    if block > _BLOCK_BYTES and (compression != 1 or _TILE_WIDTH in tags):
        raise Under10kError(f"picture too large: {name} unpacks {block:,} bytes at once. save it as a PNG, or smaller")
