"""Servers of a moment, on a free port of this machine, in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from under10k.export.html import Page
from under10k.serve.answers import Read, Reading
from under10k.serve.app import Limits, create_app
from under10k.serve.gallery import FindMisread
from under10k.serve.server import Server, Times, listen

PAGE = Page("<!doctype html><title>page</title>", "default-src 'none'")
SEVEN = Reading(
    digit=7,
    probability=1.0,
    runner_up=0,
    confident=True,
    warning=None,
    probabilities=[0.0] * 7 + [1.0] + [0.0] * 2,
    box=[0, 0, 1, 1],
)


def read_seven(_: bytes, __: bool) -> Reading:
    return SEVEN


HURRIED = Times(arrive=0.3, linger=0.3)
"""Shorter than what users have."""


@contextmanager
def serving(
    read: Read = read_seven,
    *,
    page: Page = PAGE,
    limits: Limits | None = None,
    times: Times | None = None,
    networks: str | None = None,
    find_misread: FindMisread | None = None,
) -> Iterator[int]:
    """Serve while the block runs, and give its port."""
    listener = listen("127.0.0.1", 0)
    server = Server(create_app(page, read, limits=limits, networks=networks, find_misread=find_misread), times)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(listener)))
    port: int = listener.getsockname()[1]
    thread.start()
    try:
        yield port
    finally:
        server.stop()
        thread.join()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def everything(connection: socket.socket) -> bytes:
    """Receive until the other side closes, which may be rude where it had not read everything."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionError:
        pass
    return received
