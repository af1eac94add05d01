"""Memory that is kept: large blocks are not paid for twice."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from under10k.machine import keep_freed_memory

COUNT_FAULTS = """
import resource
import torch
from under10k.machine import keep_freed_memory
from under10k.models.registry import create_model
from under10k.training.layout import rearrange
keep_freed_memory()
model, images = rearrange(create_model("early")), torch.zeros(128, 1, 28, 28)
def use():
    for _ in range(10):
        model(images).sum().backward()
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_memory_that_was_freed_is_used_again_without_a_page_fault() -> None:
    run = subprocess.run([sys.executable, "-c", COUNT_FAULTS], capture_output=True, check=True)
    assert (
        int(run.stdout) < 1000
    )  # some ten thousand without it; on a busy machine a hundred or two come from elsewhere


def test_where_there_is_no_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("asked for a C library"))
    keep_freed_memory()
