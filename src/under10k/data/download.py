"""Data sets downloaded over HTTP, with limits on silence, slowness and size."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from under10k.data.catalogue import KnownFile, KnownSet
from under10k.data.digits import read_idx
from under10k.data.places import cache_root, compare_checksum, digest_file, find_file, present_files, verify
from under10k.errors import DataError, Under10kError
from under10k.files import locked, write_atomically

TRIES = 2
"""How often a mirror is asked for a file; only once if it cannot be reached."""


LOCK_SECONDS = 3600.0
"""Longest wait for another process that downloads the same set."""


_SCRATCH = ".download-"


# --- downloading -------------------------------------------------------------------------------------------------


def download(known: KnownSet) -> list[Path]:
    """Download the files of a set that the cache lacks; two processes that want it at once take turns."""
    try:
        folder = cache_root() / known.name
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, wait_seconds=LOCK_SECONDS):
            for leftover in folder.glob(
                f"{_SCRATCH}*"
            ):  # of a process that was killed: nobody else is downloading here
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=_SCRATCH) as scratch:
                _fill(known, folder, Path(scratch))
        return present_files(known, folder)
    except OSError as error:
        raise Under10kError(
            f"cannot write the cache: {error.filename or cache_root()} ({error.strerror or error}). "
            f"make it writable, or {_by_hand(known)}"
        ) from error


def _fill(known: KnownSet, folder: Path, scratch: Path) -> None:
    missing = [file for file in known.files if not find_file(folder, file.name)]
    mirrors = list(known.mirrors)
    archive = _fetch_from_mirrors(known, known.archive, mirrors, scratch) if known.archive and missing else None
    for file in missing:
        path = _unpack(archive, file, scratch) if archive else _fetch_from_mirrors(known, file, mirrors, scratch)
        write_atomically(folder / file.name, path.read_bytes())


def _unpack(archive: Path, file: KnownFile, scratch: Path) -> Path:
    path = scratch / file.name
    with zipfile.ZipFile(archive) as bundle:
        path.write_bytes(bundle.read(f"gzip/{file.name}"))
    read_idx(path)
    return path


def _fetch_from_mirrors(known: KnownSet, file: KnownFile, mirrors: list[str], scratch: Path) -> Path:
    """Fetch a file from the first mirror that serves the right one; mirrors that fail move to the end of the list."""
    path = scratch / file.name
    reasons = []
    for mirror in tuple(mirrors):
        for _ in range(TRIES):
            fault = _attempt(mirror + file.name, path, file)
            if fault is None:
                return path
            if isinstance(fault, UnreachableError):  # trying again would only double the wait when offline
                break
        reason = str(fault).partition(". ")[0].replace(f"{scratch}{os.sep}", "")
        reasons.append(f"{urlsplit(mirror).netloc}: {reason}")
        mirrors.append(mirrors.pop(0))
    raise DataError(f"cannot download {known.name}: {file.name} ({'; '.join(reasons)}). {_by_hand(known)}")


def _by_hand(known: KnownSet) -> str:
    names = ", ".join(file.name for file in known.files)
    return f"place {names} in data/{known.name}, or in a folder that UNDER10K_DATA names"


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
        compare_checksum(path, file.checksum, digest_file(path, covers))
    else:
        read_idx(path, lambda path, content: verify(path, content, file.checksum))


CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
"""Longest wait for a connection, and for the next bytes over it."""


SLOW_SECONDS, SLOW_BYTES_PER_SECOND = 15.0, 8_000.0
"""After so many seconds, a mirror slower than this on average is given up."""


MAXIMUM_FILE, MAXIMUM_ARCHIVE = 64 * 2**20, 640 * 2**20
"""Most bytes of a download; the largest known files have 26 and 562 million."""


_CHUNK = 2**16


class FetchError(Exception):
    """Why a file could not be fetched, in a few words."""


class UnreachableError(FetchError):
    """The address does not answer at all."""


def fetch(url: str, path: Path) -> None:
    """Download an address to a file.

    Raises:
        FetchError: it cannot be reached, refuses, answers with a web page, or is silent, too slow or too large.
        OSError: the file cannot be written.
    """
    import requests
    import urllib3

    try:
        _stream(url, path)
    except requests.HTTPError as error:
        raise FetchError(f"{error.response.status_code} {error.response.reason}") from error
    except requests.ConnectionError as error:  # among them ConnectTimeout, which is a Timeout as well
        raise UnreachableError("no connection") from error
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise FetchError("no answer in time") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise FetchError(f"broken off, {type(error).__name__}") from error


def _stream(url: str, path: Path) -> None:
    import requests

    limit = MAXIMUM_ARCHIVE if url.endswith(".zip") else MAXIMUM_FILE
    with (
        requests.get(
            url,
            stream=True,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            headers={"Accept-Encoding": "identity"},  # else a server may decompress or recompress what has a checksum
        ) as response,
        path.open("wb") as output,
    ):
        response.raise_for_status()
        if "html" in response.headers.get("Content-Type", ""):
            raise FetchError("a web page instead of the file")
        body = response.raw
        total = body.length_remaining
        _check_size(total or 0, limit)
        received, start = 0, time.monotonic()
        with _progress(url, total) as show:
            # read1, unlike requests' own loops, returns whatever has arrived: a slow drip shows
            while chunk := body.read1(_CHUNK):
                received += len(chunk)
                _check_size(received, limit)
                _check_pace(received, time.monotonic() - start)
                output.write(chunk)
                show(received)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise FetchError(f"more than {limit:,} bytes")


def _check_pace(received: int, seconds: float) -> None:
    if seconds > SLOW_SECONDS and received < seconds * SLOW_BYTES_PER_SECOND:
        raise FetchError(f"too slow, {received:,} bytes in {seconds:.0f} s")


@contextmanager
def _progress(url: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a download on standard error: a bar on a terminal, else a line."""
    if not sys.stderr.isatty():
        print(f"downloading {url}", file=sys.stderr)
        yield lambda _received: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(url.rpartition("/")[2], total=total)
        yield lambda received: bar.update(task, completed=received)
