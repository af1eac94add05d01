"""How the process gets its memory: asked for once and kept, where each step needs the same amounts again."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep what is freed for the next request, for the life of the process; elsewhere, do nothing.

    By default it returns each large block to the system at once, and the next step pays for every page anew: a fault,
    and zeros written. Where faults are dear, as in a virtual machine, that is up to a third of a training's time
    (docs/speed.md). The process grows to its largest need, some hundred megabytes, and stays there.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
    libc.mallopt(_TRIM_THRESHOLD, 1 << 30)
    libc.mallopt(_TOP_PAD, 64 << 20)
