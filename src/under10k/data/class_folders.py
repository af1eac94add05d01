"""Pictures sorted into folders named 0 to 9, on disk or in a zip."""

from __future__ import annotations

import os
import stat
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from under10k.data.digits import CLASSES, Digits
from under10k.data.framer import get_framer, why_none
from under10k.data.gathered import Gathered
from under10k.data.zips import open_zip
from under10k.errors import DataError, Under10kError
from under10k.files import open_ordinary
from under10k.terminal import track

if TYPE_CHECKING:
    from under10k.data.framer import Framer

MAXIMUM_PICTURES = 100_000
"""Most files that are looked at in class folders or in a zip of them."""


MAXIMUM_PICTURE_BYTES = 210_000_000
"""Most bytes of a picture file; the reader of pictures allows fewer for most formats."""


MAXIMUM_ZIP_BYTES = 1 << 30
"""Most bytes of a zip, and most bytes of all its files unpacked."""


MAXIMUM_RATIO = 200
"""Most bytes that a byte of a zip's member may unpack to; a picture is already compressed."""


_DEPTH = 4
"""Most folders above a picture, below the one that was named."""


_DIGITS = {str(digit): digit for digit in range(CLASSES)}


_PARTS = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "val": "test", "valid": "test",
    "validation": "test",
}  # fmt: skip
"""What the folders of the two parts may be called."""


_SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff", ".pdf",
}  # fmt: skip
"""Endings that tell a picture outside the class folders, which is skipped by name; other files there are no concern."""


@dataclass(frozen=True)
class _File:
    """A file that may be a picture, in a folder or in a zip."""

    place: PurePosixPath
    """Where it lies below the folder, or in the zip."""
    read: Callable[[], bytes]
    """Returns its content, or raises `Under10kError`."""


def has_class_folders(folder: Path) -> bool:
    """Tell whether folders named 0 to 9 lie in a folder, or in its parts, or in the only folder in it."""
    level = [folder]
    for _ in range(_DEPTH - 1):
        below = [entry for place in level for entry in _subfolders(place)]
        if any(entry.name in _DIGITS for entry in below):
            return True
        level = below[:100]
    return False


def read_class_folders(folder: Path) -> Gathered:
    """Read the pictures in a folder's class folders, in the order of their names.

    Raises:
        DataError: there is no picture that can be read, or there are too many files.
    """
    return _read(list(_walk(folder, folder, 0)), str(folder))


def read_zip(path: Path) -> Gathered:
    """Read the pictures of a zip of class folders; nothing is unpacked to disk.

    Raises:
        DataError: it is damaged, too large or no zip, holds a link or a path that leads out of it, or has no picture
            that can be read.
    """
    try:
        with open_zip(path, MAXIMUM_ZIP_BYTES) as bundle:
            return _read([_member(bundle, info) for info in _safe_members(path, bundle)], str(path))
    except OSError as error:
        raise DataError(f"unreadable file: {path} ({error.strerror or error}). make it readable") from None


# --- looking -----------------------------------------------------------------------------------------------------


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False) and _is_seen(entry.name)]
    except OSError:
        return []


def _is_seen(name: str) -> bool:
    """Tell whether a file or folder is a user's, not one that a system leaves behind."""
    return not name.startswith(".") and name not in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _walk(root: Path, folder: Path, depth: int) -> Iterator[_File]:
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry for entry in found if _is_seen(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"unreadable folder: {folder} ({error.strerror}). make it readable, or give another") from error
    for entry in entries:
        path = Path(entry)
        if entry.is_dir(follow_symlinks=False):
            if depth < _DEPTH:
                yield from _walk(root, path, depth + 1)
        else:
            yield _File(PurePosixPath(path.relative_to(root).as_posix()), _reader(path))


def _reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        if path.is_symlink():
            raise DataError("a link")
        try:
            with open_ordinary(path, MAXIMUM_PICTURE_BYTES, DataError) as file:
                return file.read()
        except DataError as error:
            raise DataError(str(error).partition(":")[0]) from None  # the path stands before it
        except OSError as error:
            raise DataError(error.strerror or str(error)) from None

    return read


def _safe_members(path: Path, bundle: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return a zip's files by name; refuse the zip where one is a link or leads elsewhere, or for their size."""
    members = [info for info in bundle.infolist() if not info.is_dir()]
    for info in members:
        parts = PurePosixPath(info.filename).parts
        if info.filename.startswith("/") or ".." in parts or "\\" in info.filename or ":" in info.filename:
            raise DataError(
                f"not a zip of pictures: {path} holds {info.filename!r}, which leads out of it. make it anew"
            )
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DataError(f"not a zip of pictures: {path} holds a link, {info.filename!r}. zip what it leads to")
    if (total := sum(info.file_size for info in members)) > MAXIMUM_ZIP_BYTES:
        raise DataError(
            f"zip too large: {path} unpacks to {total:,} bytes. at most {MAXIMUM_ZIP_BYTES:,} are read: unpack it"
        )
    seen = [info for info in members if all(map(_is_seen, PurePosixPath(info.filename).parts))]
    return sorted(seen, key=lambda info: info.filename)


def _member(bundle: zipfile.ZipFile, info: zipfile.ZipInfo) -> _File:
    def read() -> bytes:
        if info.flag_bits & 1:
            raise DataError("encrypted")
        if info.file_size > MAXIMUM_PICTURE_BYTES:
            raise DataError(f"{info.file_size:,} bytes, of which at most {MAXIMUM_PICTURE_BYTES:,} are read")
        if info.file_size > MAXIMUM_RATIO * max(1, info.compress_size):
            raise DataError(f"unpacks to more than {MAXIMUM_RATIO} times its size")
        try:
            with bundle.open(info) as file:
                return file.read(info.file_size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
            raise DataError(f"damaged in the zip: {error}") from None
        except Exception as error:  # bz2 and lzma raise errors of their own
            raise DataError(f"damaged in the zip: {type(error).__name__}") from None

    return _File(PurePosixPath(info.filename), read)


# --- reading -----------------------------------------------------------------------------------------------------


def _read(files: list[_File], name: str) -> Gathered:
    if len(files) > MAXIMUM_PICTURES:
        raise DataError(f"too many files: {name} has {len(files):,}. at most {MAXIMUM_PICTURES:,} pictures are read")
    skipped: list[str] = []
    wanted: list[tuple[_File, str, int]] = []
    for file in files:
        where = _sort(file.place)
        if where:
            wanted.append((file, *where))
        elif file.place.suffix.lower() in _SUFFIXES:
            skipped.append(f"{file.place} (not in a folder named 0 to 9)")
    framer = get_framer()
    frames: dict[str, list[tuple[NDArray[np.uint8], int]]] = {"train": [], "test": []}
    with warnings.catch_warnings(), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        warnings.simplefilter("ignore")  # the filters belong to all threads
        for (file, part, digit), found in zip(
            track(wanted, "pictures"), pool.map(lambda one: _frame(framer, one[0]), wanted), strict=True
        ):
            if isinstance(found, str):
                skipped.append(f"{file.place} ({found})")
            else:
                frames[part].append((found, digit))
    if not frames["train"]:
        reason = f"; {skipped[0]}" if skipped else ""
        raise DataError(
            f"no pictures to train on: {name} has none that can be read in folders named 0 to 9{reason}. "
            "put the pictures of each digit into a folder of its name"
        )
    return Gathered(_stack(frames["train"]), _stack(frames["test"]) if frames["test"] else None, tuple(skipped))


def _sort(place: PurePosixPath) -> tuple[str, int] | None:
    """Return the part and the digit of a picture by the folders it lies in; None where its own folder is no digit."""
    folders = place.parts[:-1]
    if not folders or folders[-1] not in _DIGITS:
        return None
    parts = [_PARTS[folder.lower()] for folder in folders[:-1] if folder.lower() in _PARTS]
    return (parts[-1] if parts else "train"), _DIGITS[folders[-1]]


def _frame(framer: Framer, file: _File) -> NDArray[np.uint8] | str:
    """Return a picture's frame, or why it has none."""
    try:
        return framer(file.read(), "it")
    except Under10kError as error:
        return why_none(error)


def _stack(frames: list[tuple[NDArray[np.uint8], int]]) -> Digits:
    images = torch.from_numpy(np.stack([frame for frame, _ in frames]))
    return Digits(images, torch.tensor([digit for _, digit in frames], dtype=torch.int64))
