"""The device that a name means, on machines with and without one; and the cores there are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from under10k.errors import UsageError
from under10k.machine import count_cores, limit_threads, pick_device


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


def machine_with(root: Path, files: dict[str, str]) -> Path:
    """Write files as the kernel shows them, by their path from the root, and return the root."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)), raising=False)


V1 = "12:memory:/box\n4:cpu,cpuacct:/box"


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "10000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "9900000 100000"}, 8),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "300000 100000"}, 3),
        (
            {
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/cpu.max": "200000 100000",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000",
            },
            2,
        ),
        ({"proc/self/cgroup": "0::/../../a", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "400000",
                "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
            },
            4,
        ),
        (  # the path is the host's, the files are the container's
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "50000",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
            },
            8,
        ),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "strange"}, 8),
    ],
)
def test_cores_follow_the_affinity_and_the_quota_of_the_container(
    files: dict[str, str], expected: int, tmp_path: Path
) -> None:
    assert count_cores(machine_with(tmp_path, files)) == expected


@pytest.mark.parametrize(("set_by_user", "expected"), [(None, [2]), ("4", [])])
def test_torch_takes_no_more_threads_than_cores_unless_the_user_says_so(
    set_by_user: str | None, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    monkeypatch.setattr("under10k.machine.count_cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if set_by_user:
        monkeypatch.setenv("OMP_NUM_THREADS", set_by_user)
    limit_threads()
    assert taken == expected


@pytest.mark.parametrize(("given", "used"), [(None, "100000"), ("500", "500")])
def test_threads_soon_sleep_while_they_wait_unless_told_otherwise(given: str | None, used: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    code = "import os, sys, under10k; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **({"GOMP_SPINCOUNT": given} if given else {})},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [used, "False"]  # libgomp reads it as torch is imported
