"""Data sets by name, or from a folder or file of any form that is known, read and checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from under10k.data.catalogue import DATASETS, KnownSet
from under10k.data.class_folders import has_class_folders, read_class_folders, read_zip
from under10k.data.digits import Digits, read_digits
from under10k.data.download import download
from under10k.data.gathered import MAXIMUM_IMAGES, Gathered, cut_test, skipped_note
from under10k.data.identity import DataIdentity
from under10k.data.places import find_files, holds, idx_files, idx_folder, verify
from under10k.data.tables import read_csv, read_npz, read_parquet
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
    skipped: tuple[str, ...] = field(default=(), repr=False)
    """Each file of a user's that could not be read, with the reason."""

    def sha256(self) -> str:
        """Return one SHA-256 for all four arrays: that of the two halves' `Digits.sha256`, one after the other."""
        return sha256(self.train.sha256().encode(), self.test.sha256().encode())

    def identity(self) -> DataIdentity:
        """Return what a run's records say of the data."""
        return DataIdentity(self.name, self.sha256(), self.note, len(self.train), len(self.test))


FORMS = "folders 0 to 9 of pictures, a zip of them, four IDX files, Keras's mnist.npz, a table train.csv, or Parquet"
"""What a user's data may be, for errors."""


def load_digits(name_or_path: str | Path = "auto", *, strict: bool = False) -> Dataset:
    """Load a data set by its name, or from a user's own folder or file.

    `auto` is MNIST or, where it can be neither found nor downloaded, digits drawn by strokes; the note says so. A
    known name is looked for as `find_dataset` does, then downloaded, and its checksums are verified each time it is
    read. A `Path` is always a folder or file:

    - pictures of any format and size in folders `0` to `9`, or in two such sets in `train` and `test`, or a zip of
      either: each picture is framed as `predict` does it;
    - IDX files, plain or gzip, with `train`, `t10k` or `test` and `images` or `labels` in their names; in a folder, in
      its `raw`, or in torchvision's `MNIST/raw`;
    - Keras's `mnist.npz`; a table with a label and 784 pixels a row, as `train.csv`; Parquet files with `image` and
      `label`, for which pyarrow is needed.

    Where there is no test part, a fifth of each digit is cut off, drawn with a fixed seed; the note says so. A picture
    that cannot be read is skipped and named in `skipped`; with `strict` it is an error.

    Raises:
        DataError: a file is missing, damaged or not the expected one, or no mirror serves it.
        UsageError: the name is neither known nor that of a folder or file.
        Under10kError: the cache is not writable.
    """
    if isinstance(name_or_path, str):
        if name_or_path == "auto":
            return _load_mnist_or_synthetic()
        if name_or_path in DATASETS:
            return _load_known(DATASETS[name_or_path])
    path = as_path(name_or_path, f"a folder or file of digits, or one of: {', '.join(DATASETS)}")
    if holds(path.is_dir):
        return _read_folder(path, strict)
    if not holds(path.exists):
        raise _unknown(str(name_or_path))
    return _finish(path, _read_file(path), strict)


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
    if os.sep in name or "." in name:
        return UsageError(f"no such folder or file: {name}. give {FORMS}, or one of: {', '.join(DATASETS)}")
    return unknown_name("data set", name, ["auto", *DATASETS])


def _load_mnist_or_synthetic() -> Dataset:
    known = DATASETS["mnist"]
    try:
        files = find_files(known) or download(known)
    except Under10kError as error:
        note = f"MNIST can be neither found nor downloaded, so digits drawn by strokes take its place: {error}."
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


def _read_folder(folder: Path, strict: bool) -> Dataset:
    try:
        names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise DataError(f"unreadable folder: {folder} ({error.strerror}). make it readable, or give another") from error
    if place := idx_folder(folder):
        return _finish(folder, _read_idx(place), strict)
    if has_class_folders(folder):
        return _finish(folder, read_class_folders(folder), strict)
    for suffixes, read in ((".parquet",), _read_parquets), ((".csv", ".csv.gz"), _read_tables), ((".npz",), _read_npzs):
        found = [path for path in _files(folder) if path.name.lower().endswith(suffixes)]
        if found:
            return _finish(folder, read(folder, found), strict)
    raise DataError(f"no digits: {folder} has {', '.join(sorted(names)[:5]) or 'nothing in it'}. give {FORMS}")


def _files(folder: Path) -> list[Path]:
    """Return the ordinary files in a folder and in its `data`, where Hugging Face puts them, by name."""
    places = [*folder.iterdir(), *((folder / "data").iterdir() if holds((folder / "data").is_dir) else ())]
    return sorted(path for path in places if not path.name.startswith(".") and holds(path.is_file))


def _read_file(path: Path) -> Gathered:
    name = path.name.lower()
    if name.endswith(".zip"):
        return read_zip(path)
    if name.endswith(".npz"):
        return read_npz(path)
    if name.endswith((".csv", ".csv.gz")):
        return read_csv(path)
    if name.endswith(".parquet"):
        return read_parquet([path], [])
    raise UsageError(f"not a data set: {path} is a file of another kind. give {FORMS}")


def _read_parquets(folder: Path, paths: list[Path]) -> Gathered:
    test = [path for path in paths if _is_test(path)]
    train = [path for path in paths if path not in test]
    if not train:
        raise DataError(f"no training images: {folder} has {test[0].name}. give a folder with a training part")
    return read_parquet(train, test)


def _read_tables(folder: Path, paths: list[Path]) -> Gathered:
    train = [path for path in paths if "train" in path.name.lower()]
    test = [path for path in paths if path not in train and _is_test(path)]
    return read_csv(_only_one(folder, train or [path for path in paths if path not in test], "train.csv"), *test[:1])


def _read_npzs(folder: Path, paths: list[Path]) -> Gathered:
    return read_npz(_only_one(folder, paths, "mnist.npz"))


def _only_one(folder: Path, paths: list[Path], wanted: str) -> Path:
    if len(paths) != 1:
        names = ", ".join(path.name for path in paths[:5]) or f"no {wanted}"
        raise DataError(f"which file: {folder} has {names}. give the file itself")
    return paths[0]


def _is_test(path: Path) -> bool:
    return any(word in path.name.lower() for word in ("test", "valid", "t10k"))


def _finish(path: Path, found: Gathered, strict: bool) -> Dataset:
    """Make a data set of what was read: with a test part, and a note of all that is not as it would be expected."""
    if strict and found.skipped:
        raise DataError(
            f"unreadable files: {path}: {len(found.skipped):,}, first {found.skipped[0]}. "
            "put them right or take them out, or skip them, without strict"
        )
    if len(found.train) > MAXIMUM_IMAGES:
        raise DataError(f"too many images: {path} has {len(found.train):,}. at most {MAXIMUM_IMAGES:,} are read")
    train, test, cut = (found.train, found.test, "") if found.test else cut_test(found.train, str(path))
    note = " ".join(filter(None, (found.note, cut, skipped_note(found.skipped))))
    return Dataset(str(path.resolve()), train, test, note, found.skipped)


def _read_idx(folder: Path) -> Gathered:
    """Read a folder of IDX files, whatever else is in their names, and set EMNIST's upright."""
    paths = idx_files(folder)
    halves, note = [], ""
    for images, labels in zip(paths[::2], paths[1::2], strict=True):
        half = read_digits(images, labels)
        named = "emnist" in images.name.lower()
        if named or (len(half) in EMNIST_COUNTS and _lies_on_its_side(half)):
            half = _turn(half)
            note = note or ("" if named else "The images lie on their side, as EMNIST's do, and are set upright.")
        halves.append(half)
    return Gathered(halves[0], halves[1] if len(halves) > 1 else None, note=note)


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
