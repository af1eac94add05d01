"""Signals that stop a training once a step has ended and is saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class StopSignals:
    """Catches SIGINT, SIGTERM and SIGHUP once, so that a step can end and be saved; a second one exits at once.

    When nested, a training's inside its study's, both see a signal, whichever of them received it.

    SIGHUP, which a closed terminal sends, stays ignored if it already is, as under `nohup`.
    """

    _of_thread = threading.local()

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}
        self._outer: StopSignals | None = None

    def __enter__(self) -> StopSignals:
        self._outer, self._of_thread.innermost = self._innermost(), self
        self.received = self._outer.received if self._outer else None
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread set handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
            if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # none on Windows
                self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._outer and self._outer.received is None:
            self._outer.received = self.received  # it came after the last step, or nobody has looked yet
        self._of_thread.innermost = self._outer

    @classmethod
    def request(cls) -> None:
        """Stop this thread's training as SIGTERM would; asking again changes nothing."""
        innermost = cls._innermost()
        if innermost and innermost.received is None:
            innermost.received = signal.SIGTERM

    @classmethod
    def _innermost(cls) -> StopSignals | None:
        return getattr(cls._of_thread, "innermost", None)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
