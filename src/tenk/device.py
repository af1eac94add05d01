"""The device that a computation runs on, and the type of its numbers."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch

from tenk.errors import UsageError


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of that name; `auto` is CUDA where there is one, else MPS, else the CPU.

    Raises:
        UsageError: torch knows no such device, or this machine has none.
    """
    available: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there()))
    match = re.fullmatch(r"(cpu|cuda|mps)(?::(\d+))?", name)
    if match is None:
        raise UsageError(f"unknown device: {name!r}. give auto, cpu, cuda, cuda:1 or mps")
    kind, index = match[1], int(match[2] or 0)
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not available[kind]() or index >= count:
        raise UsageError(f"no such device: {name}, for torch {torch.__version__} on this machine. give --device cpu")
    return torch.device(name)


def require_float32() -> None:
    """Refuse to draw or train where torch's default type, which is all threads' and no thread's own, is another.

    Raises:
        UsageError: it is.
    """
    if torch.get_default_dtype() != torch.float32:
        raise UsageError(
            f"not float32: torch's default type is {torch.get_default_dtype()}. "
            "call torch.set_default_dtype(torch.float32) first"
        )
