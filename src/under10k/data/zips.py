"""Zips opened with what their directory may cost bounded first."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from under10k.errors import DataError
from under10k.files import open_ordinary

MAXIMUM_DIRECTORY = 1 << 24
"""Most bytes of a zip's directory, all of which Python's reader keeps as objects."""


@contextmanager
def open_zip(path: Path, most: int) -> Iterator[zipfile.ZipFile]:
    """Open a zip of at most so many bytes.

    Raises:
        DataError: it is no zip, damaged or too large, or lists too many files.
        OSError: it may not be read.
    """
    with open_ordinary(path, most, DataError) as raw:
        if _directory_bytes(raw) > MAXIMUM_DIRECTORY:
            raise DataError(f"too many files: {path} lists more than is read. make a smaller zip, or unpack it")
        try:
            bundle = zipfile.ZipFile(raw)
        except (zipfile.BadZipFile, ValueError, OverflowError, struct.error, NotImplementedError) as error:
            raise DataError(f"damaged zip: {path} ({error}). make it anew") from None
        with bundle:
            yield bundle


def _directory_bytes(raw: BinaryIO) -> int:
    """Return the size of the directory by the record at the zip's end; a zip64's, which we never need, is endless."""
    size = raw.seek(0, os.SEEK_END)
    raw.seek(max(0, size - 2**16 - 42))
    tail = raw.read()
    raw.seek(0)
    end = tail.rfind(b"PK\x05\x06")
    if b"PK\x06\x07" in tail[max(0, end - 20) : end]:
        return 1 << 62
    return int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
