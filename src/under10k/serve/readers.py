"""Threads that read pictures, and a queue in front of them that can be full."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class FullError(Exception):
    """As many pictures are waiting as may."""


class Readers(Generic[T]):
    """Runs `read` on pictures, on a few threads, while the event loop goes on answering.

    The threads end with the process even where one of them hangs, which those of `concurrent.futures` do not.
    """

    def __init__(self, read: Callable[[bytes, bool], T], threads: int, waiting: int) -> None:
        self._most = threads + waiting
        self._unfinished: set[Future[T]] = set()
        self._queue: queue.SimpleQueue[tuple[Future[T], bytes, bool]] = queue.SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._work, args=(read,), name=f"reader-{number}", daemon=True).start()

    async def read(self, picture: bytes, multi: bool, seconds: float) -> T:
        """Read a picture, after those that came before it: one digit, or all that it holds.

        Raises:
            FullError: too many are waiting.
            TimeoutError: it took more than `seconds`, the waiting included.
        """
        if len(self._unfinished) >= self._most:
            raise FullError
        future: Future[T] = Future()
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        self._queue.put((future, picture, multi))
        return await asyncio.wait_for(asyncio.wrap_future(future), seconds)

    def _work(self, read: Callable[[bytes, bool], T]) -> None:
        while True:
            future, picture, multi = self._queue.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(read(picture, multi))
            except BaseException as error:
                future.set_exception(error)
            del future, picture
