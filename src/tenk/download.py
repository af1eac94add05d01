"""One file fetched over HTTP, with limits on silence, slowness and size, and a bar to watch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
"""Longest wait for a connection, and for the next bytes over it."""

SLOW_SECONDS, SLOW_BYTES_PER_SECOND = 15.0, 8_000.0
"""A mirror slower than this on average is given up, once it has had this many seconds."""

MAXIMUM_FILE, MAXIMUM_ARCHIVE = 64 * 2**20, 640 * 2**20
"""Bytes after which a download is given up; the largest files known have 26 and 562 million."""

_CHUNK = 2**16


class FetchError(Exception):
    """Why a file could not be fetched, in a few words."""


class UnreachableError(FetchError):
    """Nobody answers there at all."""


def fetch(url: str, path: Path) -> None:
    """Write what an address answers with to a file.

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
            headers={"Accept-Encoding": "identity"},  # else a server may unpack, or pack again, what has a checksum
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
            # read1, unlike requests' own loops, returns what has come: a drip cannot hide behind a block
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
