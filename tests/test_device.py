"""The device that a name means, on machines with and without one."""

from __future__ import annotations

import pytest
import torch

from under10k.errors import UsageError
from under10k.machine import pick_device


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a CPU and nothing else."""
    equip(monkeypatch, gpus=0, mps=False)


def equip(monkeypatch: pytest.MonkeyPatch, *, gpus: int, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


def refusal(name: str) -> str:
    with pytest.raises(UsageError) as caught:
        pick_device(name)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    ("gpus", "mps", "expected"), [(0, False, "cpu"), (0, True, "mps"), (1, False, "cuda"), (2, True, "cuda")]
)
def test_auto_is_the_fastest_there_is(monkeypatch: pytest.MonkeyPatch, gpus: int, mps: bool, expected: str) -> None:
    equip(monkeypatch, gpus=gpus, mps=mps)
    assert pick_device() == pick_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_a_name_means_that_device(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    equip(monkeypatch, gpus=2, mps=True)
    assert pick_device(name) == torch.device(name)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_refused_with_a_way_out(name: str) -> None:
    message = refusal(name)
    assert name in message
    assert "give device='cpu'" in message


@pytest.mark.parametrize("number", [1, 2, 7, 127, 128, 129, 255, 256, 1000, 2**31, 2**70])
def test_a_gpu_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    equip(monkeypatch, gpus=1, mps=False)
    assert f"cuda:{number}" in refusal(f"cuda:{number}")


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("name", ["", "gpu", "CPU", "tpu:0", "meta", "cpu:", "cpu:x", "cuda:-1", "cuda:", ":0", " cpu"])
def test_what_is_no_device_is_refused_and_the_devices_listed(name: str) -> None:
    message = refusal(name)
    assert repr(name) in message
    assert "auto, cpu, cuda, cuda:1 or mps" in message
