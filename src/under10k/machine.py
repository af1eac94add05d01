"""The machine: its devices, its memory, and what `environment.json` records of it."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from under10k.errors import UsageError
from under10k.version import __version__

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


def count_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may use: its affinity, or its container's CPU quota, rounded up, if smaller.

    `root` is where `proc` and `sys` are found.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([affinity, *(math.ceil(quota) for quota in _quotas(root))])


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas, in cores, of this process's control groups and of the groups around them."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")  # version 2 names no controllers
        names = [name for name in group.split("/") if name not in ("", "..")]
        for depth in range(len(names) + 1):
            yield from _quota(top.joinpath(*names[:depth]))


def _quota(group: Path) -> Iterator[float]:
    """Yield the quota of a control group of version 2 or 1, if it has one."""
    for files in ("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us"):
        try:
            quota, period = (int(n) for file in files for n in (group / file).read_text(encoding="ascii").split())
        except (OSError, ValueError):  # no such file, or `max` for no quota
            continue
        if quota > 0 and period > 0:  # version 1 says -1 for no quota
            yield quota / period


def limit_threads() -> None:
    """Let torch use no more threads than `count_cores`, since it knows no quota; the user's OMP_NUM_THREADS wins."""
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > count_cores():
        torch.set_num_threads(count_cores())


limit_threads()  # once, as the module is imported: a later call of torch.set_num_threads is the user's own


def pick_device(name: str | torch.device = "auto") -> torch.device:
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
    match = re.fullmatch(r"(cpu|cuda|mps)(?::(\d+))?", str(name))
    if match is None:
        raise UsageError(f"unknown device: {name!r}. give auto, cpu, cuda, cuda:1 or mps")
    kind, index = match[1], int(match[2] or 0)
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not available[kind]() or index >= count:
        raise UsageError(f"no such device: {name}, for torch {torch.__version__} on this machine. give device='cpu'")
    return torch.device(name)


def require_float32() -> None:
    """Require torch's default type to be float32; all threads share it, so it is not changed here.

    Raises:
        UsageError: it is another.
    """
    if torch.get_default_dtype() != torch.float32:
        raise UsageError(
            f"not float32: torch's default type is {torch.get_default_dtype()}. "
            "call torch.set_default_dtype(torch.float32) first"
        )


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return what a result may depend on besides recipe and data."""
    processor = _processor()
    return {
        "under10k": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor,
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else processor,
        "threads": torch.get_num_threads(),
        "git_commit": find_commit(Path(__file__).parent),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def find_commit(package: Path) -> str | None:
    """Return the commit of the checkout that the package's folder belongs to, with `-dirty` where it was changed.

    None where the package is installed, even into the folder of another repository.
    """
    checkout = package.parent.parent
    try:
        project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        if package.parent.name != "src" or project["name"] != package.name:
            return None
        top, commit = _git(checkout, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        if not checkout.samefile(top):
            return None
        changes = _git(checkout, "--no-optional-locks", "status", "--porcelain", "--", str(package))
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changes else commit


def _git(checkout: Path, *arguments: str) -> str:
    # a hook that starts us names its own repository in GIT_DIR
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(checkout), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
    return done.stdout
