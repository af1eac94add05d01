"""The device that a computation runs on."""

from __future__ import annotations

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
    kind = name.partition(":")[0]
    if kind not in available:
        raise UsageError(f"unknown device: {name!r}. give auto, cpu, cuda, cuda:1 or mps")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"not a device: {name!r}. give auto, cpu, cuda, cuda:1 or mps") from None
    if not available[kind]() or (kind == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise UsageError(f"no such device: {name}, for torch {torch.__version__} on this machine. give --device cpu")
    return device
