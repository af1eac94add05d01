"""Known data sets: where each comes from, how it is found, fetched and checked.

What a checksum covers differs from set to set, because the sources differ:

- MNIST, Fashion-MNIST: SHA-256 of the *decompressed* bytes, so that the files may be compressed anew, or not at all.
- KMNIST: SHA-256 of the *compressed* files. QMNIST: MD5 of the compressed files, which torchvision publishes. A file of
  these sets that lies there decompressed cannot be checked by hash, only by its structure and the number of its images.
- EMNIST: SHA-256 of the one zip archive that it comes in. What was taken out of it is checked by structure and number.

A folder that is given by its path is taken as it is: checked by structure, not by hash.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs
import torch
from torch import Tensor

from tenk.digits import Digits, read_digits, read_idx
from tenk.download import FetchError, UnreachableError, fetch
from tenk.errors import DataError, TenkError, UsageError, unknown_name
from tenk.files import locked, sha256, write_atomically

TRIES = 2
"""How often a mirror is asked for a file; once where it cannot be reached."""

EMNIST_COUNTS = (240_000, 40_000, 60_000, 10_000)
"""Images of EMNIST's halves that are digits alone, of its `digits` and its `mnist`."""

LOCK_SECONDS = 3600.0
"""Longest wait for another process that downloads the same set."""

Verify = Callable[[Path, bytes], None]
"""Raises where a file's decompressed bytes are not the ones expected."""

_GZIP = b"\x1f\x8b"
_SCRATCH = ".download-"

_PARTS = [("train", "images"), ("train", "labels"), ("test", "images"), ("test", "labels")]
_PART_NAME = re.compile(
    r"(?:.*[^a-z])?(?P<split>train|t10k|test)[^a-z](?:.*[^a-z])?(?P<kind>images|labels)"
    r"(?:[-._]idx\d)?(?:[-._](?:ubyte|int))?(?:\.gz)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class KnownFile:
    """A file as it is published."""

    name: str
    """File name, the same on every mirror."""
    checksum: str = ""
    """`sha256:` of the decompressed bytes, `file-sha256:` or `file-md5:` of the file itself; empty: not published."""


@dataclass(frozen=True)
class KnownSet:
    """A data set with a name, and all that is needed to get it."""

    name: str
    """What `--data` takes."""
    description: str
    """What it shows, in one line."""
    source: str
    """Who made it, its licence, and where the checksums come from."""
    train_count: int
    """Number of training images."""
    test_count: int
    """Number of test images."""
    files: tuple[KnownFile, ...] = ()
    """Training images, training labels, test images, test labels; none for digits that are drawn."""
    mirrors: tuple[str, ...] = ()
    """Addresses that a file name is appended to, in the order they are tried."""
    archive: KnownFile | None = None
    """The zip that holds the files, in its folder `gzip/`, where they are not published one by one."""


@dataclass(frozen=True)
class Dataset:
    """Digits to train on and digits to test with."""

    name: str
    """The known name, or the folder."""
    train: Digits
    test: Digits
    note: str = ""
    """A sentence for people, where they get something else than they may expect."""

    def sha256(self) -> str:
        """Return one SHA-256 for all four arrays: that of the two halves' `Digits.sha256`, one after the other."""
        return sha256(self.train.sha256().encode(), self.test.sha256().encode())


def _mnist_files(*checksums: str) -> tuple[KnownFile, ...]:
    names = (f"{split}-{kind}-ubyte.gz" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
    return tuple(KnownFile(name, checksum) for name, checksum in zip(names, checksums, strict=True))


DATASETS: dict[str, KnownSet] = {
    known.name: known
    for known in (
        KnownSet(
            "mnist",
            "handwritten digits; the benchmark",
            "Y. LeCun, C. Cortes, C. J. C. Burges; CC BY-SA 3.0. SHA-256 of the original files, decompressed",
            60_000,
            10_000,
            _mnist_files(
                "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
                "https://raw.githubusercontent.com/fgnt/mnist/master/",
                "https://azureopendatastorage.blob.core.windows.net/mnist/",
            ),
        ),
        KnownSet(
            "fashion-mnist",
            "photographs of clothes in MNIST's format",
            "H. Xiao, K. Rasul, R. Vollgraf (github.com/zalandoresearch/fashion-mnist); MIT. SHA-256 of the "
            "decompressed files, from github.com/SomeB1oody/dataset-core, "
            "crates/dataset-ml/src/dataset/fashion_mnist.rs",
            60_000,
            10_000,
            _mnist_files(
                "sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            (
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            ),
        ),
        KnownSet(
            "kmnist",
            "ten hiragana in cursive handwriting, in MNIST's format",
            "KMNIST Dataset (created by CODH), adapted from Kuzushiji Dataset (created by NIJL and others), "
            "doi:10.20676/00000341; CC BY-SA 4.0. SHA-256 of the compressed files, from github.com/ankane/"
            "torchvision-ruby, lib/torchvision/datasets/kmnist.rb",
            60_000,
            10_000,
            _mnist_files(
                "file-sha256:51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
                "file-sha256:e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
                "file-sha256:edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
                "file-sha256:20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
            ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
        ),
        KnownSet(
            "emnist-digits",
            "280,000 handwritten digits from NIST's forms",
            "G. Cohen, S. Afshar, J. Tapson, A. van Schaik (arXiv:1702.05373), from NIST Special Database 19. "
            "SHA-256 of the zip, from github.com/tensorflow/datasets, tensorflow_datasets/url_checksums/emnist.txt",
            240_000,
            40_000,
            (
                KnownFile("emnist-digits-train-images-idx3-ubyte.gz"),
                KnownFile("emnist-digits-train-labels-idx1-ubyte.gz"),
                KnownFile("emnist-digits-test-images-idx3-ubyte.gz"),
                KnownFile("emnist-digits-test-labels-idx1-ubyte.gz"),
            ),
            (
                "https://biometrics.nist.gov/cs_links/EMNIST/",
                "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
            ),
            KnownFile("gzip.zip", "file-sha256:fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"),
        ),
        KnownSet(
            "qmnist",
            "MNIST rebuilt from NIST's forms, with 60,000 test images",
            "C. Yadav, L. Bottou (github.com/facebookresearch/qmnist); BSD style. MD5 of the compressed files, from "
            "github.com/pytorch/vision, torchvision/datasets/mnist.py",
            60_000,
            60_000,
            (
                KnownFile("qmnist-train-images-idx3-ubyte.gz", "file-md5:ed72d4157d28c017586c42bc6afe6370"),
                KnownFile("qmnist-train-labels-idx2-int.gz", "file-md5:0058f8dd561b90ffdd0f734c6a30e5e4"),
                KnownFile("qmnist-test-images-idx3-ubyte.gz", "file-md5:1394631089c404de565df7b7aeaf9412"),
                KnownFile("qmnist-test-labels-idx2-int.gz", "file-md5:5b5b05890a5e13444e108efe57b788aa"),
            ),
            ("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
        ),
        KnownSet("synthetic", "digits drawn by strokes; no file needed", "part of tenk", 60_000, 10_000),
    )
}
"""The data sets that go by a name."""


def load_digits(name_or_folder: str | Path = "auto") -> Dataset:
    """Load a data set by its name, or from a folder of four IDX files.

    `auto` is MNIST or, where that can be neither found nor downloaded, digits drawn by strokes; the note says so. A
    known name is looked for as `find_dataset` does, then downloaded, and its checksums are verified each time it is
    read. A folder holds IDX files, plain or gzip, with `train`, `t10k` or `test` and `images` or `labels` in their
    names. A `Path` is always a folder.

    Raises:
        DataError: a file is missing, damaged or not the one expected, or no mirror gives it.
        UsageError: the name is unknown, and no folder is called that.
        TenkError: the cache is not writable.
    """
    if isinstance(name_or_folder, str):
        if name_or_folder == "auto":
            return _load_mnist_or_synthetic()
        if name_or_folder in DATASETS:
            return _load_known(DATASETS[name_or_folder])
    folder = Path(name_or_folder)
    if not _is(folder.is_dir):
        raise _unknown(str(name_or_folder))
    return _read_folder(folder)


def find_dataset(name: str) -> Path | None:
    """Return the folder that a known data set is read from without a download, or None.

    In this order: `$TENK_DATA/<name>`, `$TENK_DATA` (for MNIST), `data/<name>`, `../shared/<name>`, the user's cache. A
    folder counts where it holds all the files, plain or gzip.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in DATASETS:
        raise _unknown(name)
    files = _find(DATASETS[name])
    return files[0].parent if files else None


def _unknown(name: str) -> UsageError:
    if _is(Path(name).exists):
        return UsageError(f"not a folder: {name} is a file. give a folder of four IDX files")
    if os.sep in name:
        return UsageError(f"no such folder: {name}. give a folder of four IDX files, or one of: {', '.join(DATASETS)}")
    return unknown_name("data set", name, ["auto", *DATASETS])


def _load_mnist_or_synthetic() -> Dataset:
    known = DATASETS["mnist"]
    try:
        files = _find(known) or _download(known)
    except TenkError as error:
        reason = str(error).partition(". ")[0]
        note = f"MNIST can be neither found nor downloaded, so digits drawn by strokes take its place: {reason}."
        return _draw(DATASETS["synthetic"], note)
    return _read_known(known, files)


def _load_known(known: KnownSet) -> Dataset:
    if not known.files:
        return _draw(known)
    return _read_known(known, _find(known) or _download(known))


def _draw(known: KnownSet, note: str = "") -> Dataset:
    from tenk.synthetic import draw_digits

    return Dataset(known.name, draw_digits(known.train_count, 0), draw_digits(known.test_count, 1), note)


# --- finding -----------------------------------------------------------------------------------------------------


def _cache_root() -> Path:
    return Path(platformdirs.user_cache_dir("tenk"))


def _folders(name: str) -> Iterator[Path]:
    if root := os.environ.get("TENK_DATA"):
        yield Path(root, name)
        if name == "mnist":  # other sets have files of the same names
            yield Path(root)
    yield Path("data", name)
    yield Path("..", "shared", name)
    yield _cache_root() / name


def _find(known: KnownSet) -> list[Path]:
    """Return the paths of the four files in the first folder that holds them all, or an empty list."""
    if not known.files:
        return []
    return next((paths for folder in _folders(known.name) if len(paths := _present(known, folder)) == 4), [])


def _present(known: KnownSet, folder: Path) -> list[Path]:
    paths = (_spelled(folder, file.name) for file in known.files)
    return [path for path in paths if path]


def _spelled(folder: Path, name: str) -> Path | None:
    """Find a published file, compressed or not, with a dash or a dot before `idx`."""
    plain = name.removesuffix(".gz")
    stems = plain, plain.replace("-idx", ".idx")
    candidates = (folder / f"{stem}{suffix}" for stem in stems for suffix in (".gz", ""))
    return next((path for path in candidates if _is(path.is_file)), None)


def _is(kind: Callable[[], bool]) -> bool:
    """Ask a path what it is; one that may not be looked at, or whose name is too long, is nothing."""
    try:
        return kind()
    except OSError:
        return False


def _four_files(folder: Path) -> list[Path]:
    """Find the four files of a folder by what their names contain, whatever else they contain."""
    found: dict[tuple[str, str], dict[str, Path]] = {part: {} for part in _PARTS}
    try:
        paths = sorted(folder.iterdir(), key=lambda path: path.suffix == ".gz")  # the last is kept: it has a CRC
    except OSError as error:
        raise DataError(f"unreadable folder: {folder} ({error.strerror}). make it readable, or give another") from error
    for path in paths:
        match = _PART_NAME.fullmatch(path.name)
        if match and _is(path.is_file):
            split = "train" if match["split"].lower() == "train" else "test"
            stem = path.name.removesuffix(".gz").replace(".idx", "-idx")
            found[split, match["kind"].lower()][stem] = path
    return [_only(folder, split, kind, list(found[split, kind].values())) for split, kind in _PARTS]


def _only(folder: Path, split: str, kind: str, paths: list[Path]) -> Path:
    if len(paths) == 1:
        return paths[0]
    called = f"{'train' if split == 'train' else 't10k'}-{kind}-idx{3 if kind == 'images' else 1}-ubyte.gz"
    if not paths:
        raise DataError(f"missing {split} {kind}: {folder} has no file like {called}. give a folder of four IDX files")
    names = ", ".join(path.name for path in paths)
    raise DataError(f"ambiguous {split} {kind}: {folder} has {names}. leave one of them")


# --- reading and checking ----------------------------------------------------------------------------------------


def _read_known(known: KnownSet, paths: list[Path]) -> Dataset:
    """Read the files of a known set, in the order of its table, and check that they are the ones meant."""
    checksums = {path: file.checksum for path, file in zip(paths, known.files, strict=True)}
    train, test = _read_halves(paths, lambda path, content: _verify(path, content, checksums[path]))
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
    """Read a folder of four files, whatever they are called beyond that, and set upright what is EMNIST's."""
    paths = _four_files(folder)
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
    """Tell whether the ones are wider than they are high: nobody writes them so."""
    ink = digits.images[digits.labels == 1].sum(dim=0).double()
    return _spread(ink.sum(dim=0)) > 2 * _spread(ink.sum(dim=1))


def _spread(ink: Tensor) -> float:
    """Return how far ink lies from its middle, a variance: float (28) -> square pixels."""
    places = torch.arange(len(ink), dtype=ink.dtype)
    share = ink / ink.sum()
    return float((share * (places - share @ places) ** 2).sum())


def _verify(path: Path, content: bytes, checksum: str) -> None:
    """Check the bytes about to be used, `content` decompressed from `path`, against what is published of them."""
    covers, _, _ = checksum.rpartition(":")
    if covers == "sha256":
        _compare(path, checksum, hashlib.sha256(content).hexdigest())
    elif covers:
        file = path.read_bytes()
        if file[:2] != _GZIP:
            return  # decompressed by somebody: there is no checksum of that
        _compare(path, checksum, _digest_file(path, covers))
        if gzip.decompress(file) != content:
            raise DataError(f"file changed while it was read: {path}. try again")


def _compare(path: Path, checksum: str, actual: str) -> None:
    covers, _, expected = checksum.rpartition(":")
    if actual != expected:
        cached = path.is_relative_to(_cache_root())
        remedy = "delete the file to have it fetched again" if cached else "put the right file there"
        raise DataError(
            f"wrong checksum: {path} has {covers} {actual}, expected {expected}. "
            f"{remedy}, or give its folder's path to use it unverified"
        )


def _digest_file(path: Path, covers: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, covers.removeprefix("file-")).hexdigest()


# --- downloading -------------------------------------------------------------------------------------------------


def _download(known: KnownSet) -> list[Path]:
    """Fetch what the cache lacks of a set; two processes that want it at once take turns."""
    try:
        folder = _cache_root() / known.name
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, wait_seconds=LOCK_SECONDS):
            for leftover in folder.glob(f"{_SCRATCH}*"):  # of a process that was killed: nobody else is at work here
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=_SCRATCH) as scratch:
                _fill(known, folder, Path(scratch))
        return _present(known, folder)
    except OSError as error:
        raise TenkError(
            f"cannot write the cache: {error.filename or _cache_root()} ({error.strerror or error}). "
            f"make it writable, or {_by_hand(known)}"
        ) from error


def _fill(known: KnownSet, folder: Path, scratch: Path) -> None:
    missing = [file for file in known.files if not _spelled(folder, file.name)]
    mirrors = list(known.mirrors)
    archive = _fetch(known, known.archive, mirrors, scratch) if known.archive and missing else None
    for file in missing:
        path = _unpack(archive, file, scratch) if archive else _fetch(known, file, mirrors, scratch)
        write_atomically(folder / file.name, path.read_bytes())


def _unpack(archive: Path, file: KnownFile, scratch: Path) -> Path:
    path = scratch / file.name
    with zipfile.ZipFile(archive) as bundle:
        path.write_bytes(bundle.read(f"gzip/{file.name}"))
    read_idx(path)
    return path


def _fetch(known: KnownSet, file: KnownFile, mirrors: list[str], scratch: Path) -> Path:
    """Fetch a file from the first mirror that gives the right one; those that fail go to the end of the list."""
    path = scratch / file.name
    reasons = []
    for mirror in tuple(mirrors):
        for _ in range(TRIES):
            fault = _attempt(mirror + file.name, path, file)
            if fault is None:
                return path
            if isinstance(fault, UnreachableError):  # trying again would only double the wait of those who are offline
                break
        reason = str(fault).partition(". ")[0].replace(f"{scratch}{os.sep}", "")
        reasons.append(f"{urlsplit(mirror).netloc}: {reason}")
        mirrors.append(mirrors.pop(0))
    raise DataError(f"cannot download {known.name}: {file.name} ({'; '.join(reasons)}). {_by_hand(known)}")


def _by_hand(known: KnownSet) -> str:
    names = ", ".join(file.name for file in known.files)
    return f"place {names} in data/{known.name}, or in a folder that TENK_DATA names"


def _attempt(url: str, path: Path, file: KnownFile) -> FetchError | DataError | None:
    """Fetch and check a file once; return why that failed, or None."""
    try:
        fetch(url, path)
        _check_download(path, file)
    except (FetchError, DataError) as error:
        return error
    return None


def _check_download(path: Path, file: KnownFile) -> None:
    if path.suffix == ".zip":
        covers, _, _ = file.checksum.rpartition(":")
        _compare(path, file.checksum, _digest_file(path, covers))
    else:
        read_idx(path, lambda path, content: _verify(path, content, file.checksum))
