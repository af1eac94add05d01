"""Files that are either whole or absent: atomic writes, bounded reads, hashes and locks."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

import filelock

from under10k.errors import BusyError, ModelError, Under10kError, UsageError, wrong_type

_SCRATCH = ".under10k-"
"""What the name of a scratch folder begins with."""


def as_path(value: object, wanted: str) -> Path:
    """Return a path given as text or `Path`; `wanted` says in the error what else to give.

    Raises:
        UsageError: it is neither.
    """
    if not isinstance(value, str | os.PathLike):
        raise wrong_type("path", value, wanted)
    return Path(value)


def write_atomically(path: Path, content: bytes | str, *, follow: bool = True) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old content or the new, never a part.

    The content goes to a temporary file in the same folder, is forced to disk, and is renamed over `path`; the folder
    is forced to disk last, without which the rename itself may be lost. Text is written as UTF-8. Where `path` is a
    symbolic link, what it leads to is written; without `follow` the link itself is replaced.

    Raises:
        UsageError: `path` is a folder, a device or a pipe.
        OSError: the disk is full or the folder not writable; no temporary file is left, and `path` is as it was, unless
            only the last step, forcing the folder to disk, has failed.
    """
    with naming(path):
        target = Path(os.path.realpath(path)) if follow else path
        _require_file(target, path)
        _replace(target, content.encode() if isinstance(content, str) else content)


def _require_file(target: Path, path: Path) -> None:
    if target.exists() and not target.is_file():  # root could rename a file over /dev/null
        raise UsageError(f"no file to write to: {path} is a folder, a device or a pipe. give another name")


def require_file(path: Path) -> None:
    """Refuse a name that no file can be written to, before the work whose outcome it is to hold.

    Folders that are missing on the way to it are taken as about to be made.

    Raises:
        UsageError: it is a folder, a device or a pipe.
        OSError: its folder may not be written or is none, or the file system cannot take the name.
    """
    with naming(path):
        target = Path(os.path.realpath(path))
        _require_file(target, path)
        _require_place(target)


def require_folder(path: Path, *names: str) -> None:
    """Refuse a name that no folder of files, of these names, can be written to, as `require_file` does for a file.

    Raises:
        UsageError: it is a file, a device or a pipe, or one of the files is none.
        OSError: it, or the folder to make it in, may not be written, or the file system cannot take the name.
    """
    with naming(path):
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_dir():
            raise UsageError(f"not a folder: {path}. give another name")
        for name in names:
            _require_file(target / name, path / name)
        _require_place(target / "file")


def _require_place(target: Path) -> None:
    """Make sure that a file may come to be there, in a folder that is there or can be made."""
    place, names = target.parent, [target.name]
    while not place.exists():
        names.append(place.name)
        place = place.parent
    for name in names:  # each on its own: behind a folder that is missing, no file system looks at a name
        with suppress(FileNotFoundError):
            (place / name).lstat()
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def open_ordinary(path: Path, most: int, refuse: type[Under10kError]) -> Iterator[BinaryIO]:
    """Open an ordinary file of 1 to `most` bytes to read it, and wait for nothing, whatever stands there.

    Raises:
        refuse: it is a device or a pipe, empty, or too large.
        OSError: it is missing, a folder, or may not be read.
    """
    _require_ordinary(path, path.stat(), most, refuse)  # before it is opened, which for a device may do something
    with os.fdopen(os.open(path, os.O_RDONLY | _NO_WAIT | _BINARY), "rb") as file:
        status = os.fstat(file.fileno())
        _require_ordinary(path, status, most, refuse)
        if status.st_size == 0:  # as all that the kernel makes up when it is read, some of it without an end
            raise refuse(f"empty file: {path} has no bytes. give another")
        yield file


def _require_ordinary(path: Path, status: os.stat_result, most: int, refuse: type[Under10kError]) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if stat.S_ISLNK(status.st_mode):
        raise refuse(f"a link: {path}. put what it leads to in its place")
    if not stat.S_ISREG(status.st_mode):
        raise refuse(f"not a file: {path} is a device or a pipe. give an ordinary file")
    if status.st_size > most:
        raise refuse(f"file too large: {path} has {status.st_size:,} bytes. at most {most:,} are read")


_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
_BINARY: int = getattr(os, "O_BINARY", 0)  # Windows alone has this, and lacks the others


def open_inside(path: Path, mode: str) -> IO[bytes]:
    """Open a file within a run or study folder, which may come from a stranger: never through a link.

    `mode` is `open`'s, for bytes.

    Raises:
        OSError: it is a link, a folder, a device or a pipe, or cannot be opened.
    """
    return open(path, mode, opener=_open_inside)


def _open_inside(name: str, flags: int) -> int:
    if Path(name).is_symlink():  # Windows has no flag for it
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
    descriptor = os.open(name, flags | _NO_LINK | _NO_WAIT, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not an ordinary file", name)
    return descriptor


MOST_TEXT = 64 * 2**20
"""The largest text of a run or study folder that is read, in bytes: some million batches."""


def read_inside(path: Path) -> str:
    """Read a text within a run or study folder, which may come from a stranger.

    Raises:
        ModelError: it is a link, a device or a pipe, or too large.
        OSError: it is missing, a folder, or may not be read.
        UnicodeDecodeError: it is no text.
    """
    _require_ordinary(path, path.lstat(), MOST_TEXT, ModelError)
    with open_inside(path, "rb") as file:
        _require_ordinary(path, os.fstat(file.fileno()), MOST_TEXT, ModelError)
        return file.read(MOST_TEXT).decode()


def refuse_links(folder: Path) -> None:
    """Refuse a run or study folder with a link anywhere in it: writing through one could destroy anything.

    Raises:
        ModelError: there is one.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if os.path.islink(path := os.path.join(place, name)):  # noqa: PTH114, PTH118 (a study has many files)
                raise ModelError(f"a link in a run folder: {path}. put what it leads to in its place")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an `OSError` within name this path: that of an open file names none, that of a temporary file its own."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _replace(path: Path, data: bytes) -> None:
    descriptor, temporary = _create_temporary(path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def _create_temporary(folder: Path) -> tuple[int, Path]:
    """Create a file that is open to others as far as the umask lets it be, which a private one of `tempfile` is not."""
    while True:
        path = folder / f".{secrets.token_hex(4)}.tmp"  # short: the file to be replaced may have the longest name
        with suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK | _BINARY, 0o666), path


@contextmanager
def writing_together(
    folder: Path, *, stale: Iterable[str] = (), require: Callable[[], None] = lambda: None
) -> Iterator[Path]:
    """Write several files into a folder, all or none: what is put into the folder given here is moved there at the end.

    A full disk shows before the first is moved, and then all stays as it was. `folder` is made where it is missing;
    those who write into one take turns. Files that `stale` names are removed unless they are written anew. `require` is
    called once nobody else is at work there, and may raise.

    Raises:
        UsageError: a folder, a device or a pipe stands where a file is to be.
        OSError: the disk is full or the folder not writable.
    """
    is_new = not folder.exists()
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with taking_turns(folder):
                require()
                _sweep_scratch(folder)
                with tempfile.TemporaryDirectory(dir=folder, prefix=_SCRATCH) as place:
                    yield Path(place)
                    _move_all(Path(place), folder, stale)
        except BaseException:
            if is_new:
                with suppress(OSError):
                    folder.rmdir()
            raise


def _move_all(place: Path, folder: Path, stale: Iterable[str]) -> None:
    files = sorted(place.iterdir())
    for file in files:
        _require_file(folder / file.name, folder / file.name)
    for file in files:
        file.replace(folder / file.name)
    for name in set(stale) - {file.name for file in files}:
        (folder / name).unlink(missing_ok=True)
    sync_folder(folder)


def _sweep_scratch(folder: Path) -> None:
    """Remove what a process that was killed has left; without turns, as on Windows, another may still be at work."""
    if sys.platform != "win32":
        for leftover in folder.glob(f"{_SCRATCH}*"):
            shutil.rmtree(leftover, ignore_errors=True)


def is_scratch(path: Path) -> bool:
    """Tell whether `writing_together` has made this for a while: no content of its folder."""
    return path.name.startswith(_SCRATCH)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically and through no link; NaN and infinities are refused: JSON has none."""
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False) + "\n", follow=False)


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


def is_temporary(name: str) -> bool:
    """Tell whether a file of this name is one that `sweep_temporaries` removes."""
    return name.startswith(".") and name.endswith(".tmp")


def sha256(*chunks: bytes | memoryview) -> str:
    """Return the SHA-256 of the chunks, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


class Lock:
    """The lock of a folder, while it is held."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / _LOCK
        self._held = self._identify()

    @property
    def is_held(self) -> bool:
        """Whether the file that was locked is still there: once removed, it keeps nobody out."""
        return self._held is not None and self._identify() == self._held

    def require(self) -> None:
        """Make sure, before something is saved, that nobody else can be at work in the folder.

        Raises:
            BusyError: the lock was removed or replaced.
        """
        if not self.is_held:
            raise BusyError(
                f"lock lost: {self._path} was removed or replaced, and another process may be at work in "
                f"{self._folder}. nothing more was saved: see that no other is, then give the command again"
            )

    def _identify(self) -> tuple[int, int] | None:
        with suppress(FileNotFoundError):
            status = self._path.lstat()
            return status.st_dev, status.st_ino
        return None


_LOCK = ".lock"


@contextmanager
def locked(folder: Path, *, wait_seconds: float = 0.0) -> Iterator[Lock]:
    """Hold a folder for this process alone; the lock goes with the process, also when it is killed.

    Raises:
        BusyError: another process holds it, and still does after `wait_seconds` (-1: wait for ever).
        ModelError: the lock file is a link.
    """
    owner = folder / ".lock.pid"
    for path in (folder / _LOCK, owner):  # as in a folder that comes from a stranger
        if path.is_symlink():
            raise ModelError(f"a link for a lock: {path}. remove it")
    try:
        with filelock.FileLock(folder / _LOCK, timeout=wait_seconds):
            lock = Lock(folder)
            with naming(owner), open_inside(owner, "wb") as file:
                file.write(str(os.getpid()).encode())
            try:
                yield lock
            finally:
                if lock.is_held:  # else it is another's by now
                    owner.unlink(missing_ok=True)
    except filelock.Timeout:
        pid = _read_owner(owner)
        raise BusyError(
            f"folder in use: {folder} is being written by process {pid}. wait for it to end, or choose another folder"
        ) from None


def _read_owner(path: Path) -> str:
    """Return who holds a lock; it may be writing its name, or taking it away, at this moment."""
    try:
        found = read_inside(path)
    except (OSError, ValueError, ModelError):
        return "unknown"
    return found if found.isdecimal() and len(found) < 20 else "unknown"


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
