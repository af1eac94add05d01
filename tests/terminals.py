"""A terminal for tests: a program runs in it, and what it shows is read until something is seen; nothing sleeps."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

WAIT_SECONDS = 120.0


class Terminal:
    """A pseudo-terminal and the program in it."""

    def __init__(self, command: Sequence[str], columns: int, folder: Path | None, environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns)
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            ["setsid", "-c", *command],  # -c: it is the terminal's own program, which Ctrl-Z and Ctrl-C reach
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={**kept, "TERM": "xterm", **environment},
        )
        os.close(slave)
        self.seen = ""

    def resize(self, columns: int) -> None:
        """Make it this wide, which sends SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def write(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def read_until(self, mark: str) -> str:
        """Return what is shown from now on until this has been; fail where it never comes."""
        found, deadline = "", time.monotonic() + WAIT_SECONDS
        while mark not in found:
            assert select.select([self._master], [], [], max(0, deadline - time.monotonic()))[0], (mark, found)
            found += self._read()
        return found

    def read_all(self) -> str:
        """Return all that is shown until the program ends."""
        with suppress(OSError):  # the terminal closes with the process
            while True:
                self._read()
        self.process.wait(WAIT_SECONDS)
        return self.seen

    def _read(self) -> str:
        chunk = os.read(self._master, 65536).decode(errors="replace")
        self.seen += chunk
        return chunk

    def close(self) -> None:
        """Hang up."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._master)


@contextmanager
def terminal(
    command: Sequence[str], columns: int = 80, folder: Path | None = None, **environment: str
) -> Iterator[Terminal]:
    """Run a program in a terminal of so many columns."""
    opened = Terminal(command, columns, folder, environment)
    try:
        yield opened
    finally:
        opened.close()


def show(command: Sequence[str], columns: int = 80, folder: Path | None = None, **environment: str) -> tuple[int, str]:
    """Return the exit code of a program and all that a terminal is told by it, with plain line ends."""
    with terminal(command, columns, folder, **environment) as opened:
        text = opened.read_all()
        return opened.process.returncode, text.replace("\r\n", "\n")
