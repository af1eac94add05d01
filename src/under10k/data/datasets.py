"""Data sets by name or folder, read and checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from under10k.data.catalogue import DATASETS, KnownSet
from under10k.data.digits import Digits, read_digits
from under10k.data.download import download
from under10k.data.identity import DataIdentity
from under10k.data.places import find_files, four_files, holds, verify
from under10k.errors import DataError, Under10kError, UsageError, unknown_name
from under10k.files import as_path, sha256

EMNIST_COUNTS = (240_000, 40_000, 60_000, 10_000)
"""Numbers of images in the halves of EMNIST's sets of digits, `digits` and `mnist`."""


Verify = Callable[[Path, bytes], None]
"""Raises if a file's decompressed bytes are not the expected ones."""


@dataclass(frozen=True)
class Dataset:
    """Digits to train on and digits to test with."""

    name: str
    """The known name, or the folder."""
    train: Digits
    """What networks learn from."""
    test: Digits
    """What they are scored on, and never trained on."""
    note: str = ""
    """A sentence for people, where the data may not be what they expect."""

    def sha256(self) -> str:
        """Return one SHA-256 for all four arrays: that of the two halves' `Digits.sha256`, one after the other."""
        return sha256(self.train.sha256().encode(), self.test.sha256().encode())

    def identity(self) -> DataIdentity:
        """Return what a run's records say of the data."""
        return DataIdentity(self.name, self.sha256(), self.note, len(self.train), len(self.test))


def load_digits(name_or_folder: str | Path = "auto") -> Dataset:
    """Load a data set by its name, or from a folder of four IDX files.

    `auto` is MNIST or, where it can be neither found nor downloaded, digits drawn by strokes; the note says so. A
    known name is looked for as `find_dataset` does, then downloaded, and its checksums are verified each time it is
    read. A folder holds IDX files, plain or gzip, with `train`, `t10k` or `test` and `images` or `labels` in their
    names. A `Path` is always a folder.

    Raises:
        DataError: a file is missing, damaged or not the expected one, or no mirror serves it.
        UsageError: the name is neither known nor that of a folder.
        Under10kError: the cache is not writable.
    """
    if isinstance(name_or_folder, str):
        if name_or_folder == "auto":
            return _load_mnist_or_synthetic()
        if name_or_folder in DATASETS:
            return _load_known(DATASETS[name_or_folder])
    folder = as_path(name_or_folder, f"a folder of four IDX files, or one of: {', '.join(DATASETS)}")
    if not holds(folder.is_dir):
        raise _unknown(str(name_or_folder))
    return _read_folder(folder)


def find_dataset(name: str) -> Path | None:
    """Return the folder that a known data set is read from without a download, or None.

    In this order: `$UNDER10K_DATA/<name>`, `$UNDER10K_DATA` (for MNIST), `data/<name>`, `../shared/<name>`, the user's
    cache. A folder counts where it holds all the files, plain or gzip.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in DATASETS:
        raise _unknown(name)
    files = find_files(DATASETS[name])
    return files[0].parent if files else None


def _unknown(name: str) -> UsageError:
    if holds(Path(name).exists):
        return UsageError(f"not a folder: {name} is a file. give a folder of four IDX files")
    if os.sep in name:
        return UsageError(f"no such folder: {name}. give a folder of four IDX files, or one of: {', '.join(DATASETS)}")
    return unknown_name("data set", name, ["auto", *DATASETS])


def _load_mnist_or_synthetic() -> Dataset:
    known = DATASETS["mnist"]
    try:
        files = find_files(known) or download(known)
    except Under10kError as error:
        reason = str(error).partition(". ")[0]
        note = f"MNIST can be neither found nor downloaded, so digits drawn by strokes take its place: {reason}."
        return _draw(DATASETS["synthetic"], note)
    return _read_known(known, files)


def _load_known(known: KnownSet) -> Dataset:
    if not known.files:
        return _draw(known)
    return _read_known(known, find_files(known) or download(known))


def _draw(known: KnownSet, note: str = "") -> Dataset:
    from under10k.data.synthetic import draw_digits

    return Dataset(known.name, draw_digits(known.train_count, 0), draw_digits(known.test_count, 1), note)


# --- reading and checking ----------------------------------------------------------------------------------------


def _read_known(known: KnownSet, paths: list[Path]) -> Dataset:
    """Read the files of a known set, in the order of its table, and check that they are the right ones."""
    checksums = {path: file.checksum for path, file in zip(paths, known.files, strict=True)}
    train, test = _read_halves(paths, lambda path, content: verify(path, content, checksums[path]))
    if (len(train), len(test)) != (known.train_count, known.test_count):
        raise DataError(
            f"wrong number of images: {paths[0].parent} has {len(train):,} to train and {len(test):,} to test, "
            f"{known.name} {known.train_count:,} and {known.test_count:,}. put the right files there"
        )
    if known.name == "emnist-digits":
        train, test = _turn(train), _turn(test)
    return Dataset(known.name, train, test)


def _read_halves(paths: list[Path], verify: Verify | None = None) -> tuple[Digits, Digits]:
    train_images, train_labels, test_images, test_labels = paths
    return read_digits(train_images, train_labels, verify), read_digits(test_images, test_labels, verify)


def _read_folder(folder: Path) -> Dataset:
    """Read a folder of four files, whatever else is in their names, and set EMNIST's upright."""
    paths = four_files(folder)
    halves, note = [], ""
    for path, half in zip(paths[::2], _read_halves(paths), strict=True):
        named = "emnist" in path.name.lower()
        if named or (len(half) in EMNIST_COUNTS and _lies_on_its_side(half)):
            half = _turn(half)
            note = note or ("" if named else "The images lie on their side, as EMNIST's do, and are set upright.")
        halves.append(half)
    train, test = halves
    return Dataset(str(folder.resolve()), train, test, note)


def _turn(digits: Digits) -> Digits:
    """Exchange rows and columns: EMNIST's files hold each image column by column."""
    return Digits(digits.images.transpose(1, 2).contiguous(), digits.labels)


def _lies_on_its_side(digits: Digits) -> bool:
    """Tell whether the ones are wider than high: nobody writes them like that."""
    ink = digits.images[digits.labels == 1].sum(dim=0).double()
    return _spread(ink.sum(dim=0)) > 2 * _spread(ink.sum(dim=1))


def _spread(ink: Tensor) -> float:
    """Return the variance of the ink's position: float (28) -> square pixels."""
    places = torch.arange(len(ink), dtype=ink.dtype)
    share = ink / ink.sum()
    return float((share * (places - share @ places) ** 2).sum())
