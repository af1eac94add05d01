"""Where data sets are on this machine, and whether their files are the expected ones."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from under10k.data.catalogue import KnownSet
from under10k.errors import DataError

_GZIP = b"\x1f\x8b"


_PARTS = [("train", "images"), ("train", "labels"), ("test", "images"), ("test", "labels")]


_PART_NAME = re.compile(
    r"(?:.*[^a-z])?(?P<split>train|t10k|test)[^a-z](?:.*[^a-z])?(?P<kind>images|labels)"
    r"(?:[-._]idx\d)?(?:[-._](?:ubyte|int))?(?:\.gz)?",
    re.IGNORECASE,
)


# --- finding -----------------------------------------------------------------------------------------------------


def cache_root() -> Path:
    return Path(platformdirs.user_cache_dir("under10k"))


def _folders(name: str) -> Iterator[Path]:
    if root := os.environ.get("UNDER10K_DATA"):
        yield Path(root, name)
        if name == "mnist":  # other sets have files of the same names
            yield Path(root)
    yield Path("data", name)
    yield Path("..", "shared", name)
    yield cache_root() / name


def find_files(known: KnownSet) -> list[Path]:
    """Return the paths of the four files in the first folder that holds them all, or an empty list."""
    if not known.files:
        return []
    return next((paths for folder in _folders(known.name) if len(paths := present_files(known, folder)) == 4), [])


def present_files(known: KnownSet, folder: Path) -> list[Path]:
    paths = (find_file(folder, file.name) for file in known.files)
    return [path for path in paths if path]


def find_file(folder: Path, name: str) -> Path | None:
    """Find a published file, compressed or not, with a dash or a dot before `idx`."""
    plain = name.removesuffix(".gz")
    stems = plain, plain.replace("-idx", ".idx")
    candidates = (folder / f"{stem}{suffix}" for stem in stems for suffix in (".gz", ""))
    return next((path for path in candidates if holds(path.is_file)), None)


def holds(kind: Callable[[], bool]) -> bool:
    """Ask a path what it is; one that is not accessible, or has too long a name, is nothing."""
    try:
        return kind()
    except OSError:
        return False


def idx_folder(folder: Path) -> Path | None:
    """Return where the IDX files of a folder lie: in it, in its `raw`, or in one like torchvision's `MNIST/raw`."""
    for places in [folder], [folder / "raw"], sorted(folder.glob("*/raw")):
        found = [place for place in places if _has_part(place)]
        if len(found) > 1:
            names = ", ".join(str(place.relative_to(folder)) for place in found)
            raise DataError(f"several data sets: {folder} has {names}. give one of them")
        if found:
            return found[0]
    return None


def _has_part(folder: Path) -> bool:
    try:
        return any(_PART_NAME.fullmatch(path.name) and holds(path.is_file) for path in folder.iterdir())
    except OSError:
        return False


def idx_files(folder: Path) -> list[Path]:
    """Find the four files of a folder by the words in their names; only the first two where it has no test part."""
    found: dict[tuple[str, str], dict[str, Path]] = {part: {} for part in _PARTS}
    # the last is kept: it has a CRC
    for path in sorted(folder.iterdir(), key=lambda path: path.suffix.lower() == ".gz"):
        match = _PART_NAME.fullmatch(path.name)
        if match and holds(path.is_file):
            split = "train" if match["split"].lower() == "train" else "test"
            stem = path.name.lower().removesuffix(".gz").replace(".idx", "-idx")
            found[split, match["kind"].lower()][stem] = path
    has_test = any(found["test", kind] for kind in ("images", "labels"))
    parts = _PARTS if has_test else _PARTS[:2]
    return [_only(folder, split, kind, list(found[split, kind].values())) for split, kind in parts]


def _only(folder: Path, split: str, kind: str, paths: list[Path]) -> Path:
    if len(paths) == 1:
        return paths[0]
    called = f"{'train' if split == 'train' else 't10k'}-{kind}-idx{3 if kind == 'images' else 1}-ubyte.gz"
    if not paths:
        raise DataError(f"missing {split} {kind}: {folder} has no file like {called}. give a folder of four IDX files")
    names = ", ".join(path.name for path in paths)
    raise DataError(f"ambiguous {split} {kind}: {folder} has {names}. leave one of them")


def verify(path: Path, content: bytes, checksum: str) -> None:
    """Check the bytes about to be used, `content` decompressed from `path`, against the published checksum."""
    covers, _, _ = checksum.rpartition(":")
    if covers == "sha256":
        compare_checksum(path, checksum, hashlib.sha256(content).hexdigest())
    elif covers:
        file = path.read_bytes()
        if file[:2] != _GZIP:
            return  # decompressed by somebody: no checksum of that is published
        compare_checksum(path, checksum, digest_file(path, covers))
        if gzip.decompress(file) != content:
            raise DataError(f"file changed while it was read: {path}. try again")


def compare_checksum(path: Path, checksum: str, actual: str) -> None:
    covers, _, expected = checksum.rpartition(":")
    if actual != expected:
        cached = path.is_relative_to(cache_root())
        remedy = "delete the file to have it fetched again" if cached else "put the right file there"
        raise DataError(
            f"wrong checksum: {path} has {covers} {actual}, expected {expected}. "
            f"{remedy}, or give its folder's path to use it unverified"
        )


def digest_file(path: Path, covers: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, covers.removeprefix("file-")).hexdigest()
