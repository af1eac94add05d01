"""Digits in one file or a few: Keras's npz, tables of pixels as CSV, and Parquet."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from under10k.data.digits import MAXIMUM_BYTES, SIDE, Digits, Unzipped
from under10k.data.framer import get_framer, why_none
from under10k.data.gathered import MAXIMUM_IMAGES, Gathered
from under10k.data.zips import open_zip
from under10k.errors import DataError, Under10kError, missing_library
from under10k.files import open_ordinary

_LABELS = ("label", "labels", "class", "target", "digit", "y")
"""What the column of labels may be called."""


_ROWS = 2000
"""Rows of a table that are read at a time."""


# --- npz ---------------------------------------------------------------------------------------------------------


def read_npz(path: Path) -> Gathered:
    """Read Keras's `mnist.npz`, or one like it: x_train, y_train and, if there are any, x_test and y_test.

    Raises:
        DataError: it is damaged or too large, an array is missing, or one is of another kind.
    """
    try:
        with open_zip(path, MAXIMUM_BYTES) as bundle:
            names = set(bundle.namelist())
            if not {"x_train.npy", "y_train.npy"} <= names:
                found = ", ".join(sorted(name.removesuffix(".npy") for name in names)[:8]) or "nothing"
                raise DataError(f"missing arrays: {path} holds {found}. save x_train, y_train, x_test and y_test")
            train = _read_pair(path, bundle, "train")
            has_test = {"x_test.npy", "y_test.npy"} <= names
            return Gathered(train, _read_pair(path, bundle, "test") if has_test else None)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"damaged file: {path} ({error}). fetch it again") from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _read_pair(path: Path, bundle: zipfile.ZipFile, part: str) -> Digits:
    images, labels = _read_npy(path, bundle, f"x_{part}"), _read_npy(path, bundle, f"y_{part}")
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if images.dtype != np.uint8 or labels.dtype.kind not in "iu":
        raise DataError(
            f"not digits: {path} has x_{part} of {images.dtype} and y_{part} of {labels.dtype}. "
            "save images as uint8 (N, 28, 28), white on black, and labels as whole numbers"
        )
    return _digits(path, images, labels)


def _read_npy(path: Path, bundle: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read an array of numbers; its header says how much is unpacked, and objects are refused."""
    with bundle.open(f"{name}.npy") as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, by_column, dtype = read_header[version](file)
        except (ValueError, KeyError) as error:
            raise DataError(f"damaged array: {name} in {path} ({error}). save it anew") from None
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if dtype.kind not in "iuf" or size > MAXIMUM_BYTES:
            raise DataError(f"not digits: {name} in {path} is {dtype} {shape}. save images as uint8 (N, 28, 28)")
        body = file.read(size)
    if len(body) < size:
        raise DataError(f"array too short: {name} in {path} promises {size:,} bytes, holds {len(body):,}. save it anew")
    return np.frombuffer(bytearray(body), dtype).reshape(shape, order="F" if by_column else "C")


# --- CSV ---------------------------------------------------------------------------------------------------------


def read_csv(train: Path, test: Path | None = None) -> Gathered:
    """Read tables of a label and 784 pixels a row, with or without a head, plain or gzip; Kaggle's have no test labels.

    Raises:
        DataError: a table is damaged or too large, a row is none of a digit, or the labels are missing.
    """
    digits = _read_table(train)
    if digits is None:
        raise DataError(f"no labels: {train} has 784 columns of pixels and none of labels. give a table that has it")
    tested = _read_table(test) if test else None
    note = f"{test.name} has no labels and was left out." if test and tested is None else ""
    return Gathered(digits, tested, note=note)


def _read_table(path: Path) -> Digits | None:
    """Return the digits of a table, or None where it has no labels."""
    try:
        with open_ordinary(path, MAXIMUM_BYTES, DataError) as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            content = (Unzipped(raw) if zipped else raw).read(MAXIMUM_BYTES + 1)
    except zlib.error:
        raise DataError(f"damaged file: {path} (a gzip whose data does not fit its CRC). fetch it again") from None
    except (EOFError, OSError) as error:
        raise _unreadable(path, error) from None
    if len(content) > MAXIMUM_BYTES:
        raise DataError(f"file too large: {path} unpacks to more than {MAXIMUM_BYTES:,} bytes. give part of it")
    lines = io.BytesIO(content)
    head = [cell.strip().strip('"').lower() for cell in lines.readline().decode("utf-8-sig", "replace").split(",")]
    place: int | None = 0
    if has_head := not head[0].replace(".", "", 1).isdigit():
        place = next((index for index, name in enumerate(head) if name in _LABELS), None)
    else:
        lines.seek(0)
        place = 0 if len(head) == SIDE * SIDE + 1 else None
    wanted = SIDE * SIDE + (place is not None)
    if len(head) != wanted:
        raise DataError(f"not a table of digits: {path} has {len(head)} columns. give a label and 784 pixels a row")
    if place is None:
        return None
    values = _read_rows(path, lines, wanted, 1 + has_head)
    labels = values[:, place].astype(np.int64)
    return _digits(path, np.delete(values, place, axis=1).reshape(-1, SIDE, SIDE), labels)


def _read_rows(path: Path, lines: io.BytesIO, columns: int, first: int) -> NDArray[np.uint8]:
    """Return all rows, uint8 (N, columns); `first` is the number of the first line, for errors."""
    parts: list[NDArray[np.uint8]] = []
    number = first
    while rows := list(islice(lines, _ROWS)):
        try:
            values = np.loadtxt(rows, dtype=np.float32, delimiter=",", comments=None, ndmin=2)
        except ValueError as error:
            raise DataError(f"damaged table: {path}, from line {number} on: {error}. put it right") from None
        if values.size and values.shape[1] != columns:
            raise DataError(f"damaged table: {path}, line {number} has {values.shape[1]} cells. it needs {columns}")
        wrong = ~((values >= 0) & (values <= 255) & (values == np.floor(values)))
        if wrong.any():
            row, column = (int(index) for index in np.argwhere(wrong)[0])
            raise DataError(
                f"not a pixel: {path}, line {number + row}, column {column + 1} is {values[row, column]:g}. "
                "give whole numbers from 0 to 255"
            )
        if values.size:
            parts.append(values.astype(np.uint8))
        number += len(rows)
    if not parts:
        raise DataError(f"no images: {path} has no row. give at least one")
    return np.concatenate(parts)


# --- Parquet -----------------------------------------------------------------------------------------------------


def read_parquet(train: Sequence[Path], test: Sequence[Path]) -> Gathered:
    """Read Parquet files of images and labels, as Hugging Face has them; needs pyarrow.

    An image is a picture's file, or a structure with it as `bytes`.

    Raises:
        DataError: a file is damaged or too large, or has no images or labels.
        UsageError: pyarrow is not installed.
    """
    skipped: list[str] = []
    return Gathered(_read_all(train, skipped), _read_all(test, skipped) if test else None, tuple(skipped))


def _read_all(paths: Sequence[Path], skipped: list[str]) -> Digits:
    framer = get_framer()
    frames: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for path in paths:
        for row, (image, label) in enumerate(_rows_of(path)):
            name = f"{path.name}, row {row}"
            content = image.get("bytes") if isinstance(image, dict) else image
            if not isinstance(content, bytes) or type(label) is not int or not 0 <= label <= 9:
                skipped.append(f"{name} (no picture with a label from 0 to 9)")
                continue
            try:
                frames.append(framer(content, "it"))
                labels.append(label)
            except Under10kError as error:
                skipped.append(f"{name} ({why_none(error)})")
    if not frames:
        raise DataError(f"no images: {paths[0].parent} has none that can be read. give other files")
    return Digits(torch.from_numpy(np.stack(frames)), torch.tensor(labels, dtype=torch.int64))


def _rows_of(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield image and label of each row."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise missing_library("pyarrow", "parquet") from None
    try:
        with open_ordinary(path, MAXIMUM_BYTES, DataError) as raw, ParquetFile(raw) as table:
            names = table.schema_arrow.names
            image = next((name for name in names if name.lower() in ("image", "img", "images")), None)
            label = next((name for name in names if name.lower() in _LABELS), None)
            if image is None or label is None:
                raise DataError(f"not digits: {path} has the columns {', '.join(names[:8])}. it needs image and label")
            groups = [table.metadata.row_group(index) for index in range(min(table.num_row_groups, MAXIMUM_IMAGES))]
            if table.metadata.num_rows > MAXIMUM_IMAGES or any(g.total_byte_size > MAXIMUM_BYTES for g in groups):
                raise DataError(f"file too large: {path} has {table.metadata.num_rows:,} rows. give part of it")
            # row by row: a dictionary makes one huge picture into a column of any length
            for batch in table.iter_batches(1, columns=[image, label]):
                yield from zip(batch.column(image).to_pylist(), batch.column(label).to_pylist(), strict=True)
    except (ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _digits(path: Path, images: NDArray[Any], labels: NDArray[Any]) -> Digits:
    try:
        return Digits(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels.astype(np.int64)))
    except DataError as error:
        raise DataError(f"{error} (read from {path})") from None


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return DataError(f"unreadable file: {path} ({reason}). fetch it again, or make it readable")
