"""Files that are either whole or absent: atomic writes, hashes and locks."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from tenk.errors import BusyError, UsageError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old content or the new, never a part.

    The content goes to a temporary file in the same folder, is forced to disk, and is renamed over `path`; the folder
    is forced to disk last, without which the rename itself may be lost. Text is written as UTF-8. Where `path` is a
    symbolic link, what it leads to is written.

    Raises:
        UsageError: `path` is a folder, a device or a pipe.
        OSError: the disk is full or the folder not writable; no temporary file is left, and `path` is as it was, unless
            only the last step, forcing the folder to disk, has failed.
    """
    with naming(path):
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():  # root could rename a file over /dev/null
            raise UsageError(f"no file to write to: {path} is a folder, a device or a pipe. give another name")
        _replace(target, content.encode() if isinstance(content, str) else content)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an `OSError` within name this path: that of an open file names none, that of a temporary file its own."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files private; these are meant to be shared
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; NaN and infinities are refused, since JSON has none."""
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to disk (a no-op on Windows, which has no such call)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_temporaries(folder: Path) -> None:
    """Remove what writes that were killed midway have left in a folder."""
    for leftover in folder.glob(".*.tmp"):
        with suppress(OSError):
            leftover.unlink()


def sha256(*chunks: bytes | memoryview) -> str:
    """Return the SHA-256 of the chunks, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def locked(folder: Path, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold a folder for this process alone; the lock goes with the process, also when it is killed.

    Raises:
        BusyError: another process holds it, and still does after `wait_seconds` (-1: wait for ever).
    """
    owner = folder / ".lock.pid"
    try:
        with filelock.FileLock(folder / ".lock", timeout=wait_seconds):
            owner.write_text(str(os.getpid()))
            try:
                yield
            finally:
                owner.unlink(missing_ok=True)
    except filelock.Timeout:
        pid = _read_owner(owner)
        raise BusyError(
            f"folder in use: {folder} is being written by process {pid}. wait for it to end, or choose another folder"
        ) from None


def _read_owner(path: Path) -> str:
    """Return who holds a lock; it may be writing its name, or taking it away, at this moment."""
    try:
        return path.read_text(encoding="utf-8") or "unknown"
    except OSError:
        return "unknown"


@contextmanager
def taking_turns(folder: Path) -> Iterator[None]:
    """Have other processes wait for as long as a folder is changed, without a lock file in it (a no-op on Windows)."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # is let go with the descriptor, also when the process is killed
        yield
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
