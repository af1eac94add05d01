"""The runs of a study on a Ray cluster; the only file that imports Ray."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tenk.datasets import Dataset
from tenk.engines import MOST_DEATHS, POLL_SECONDS, STOP_SECONDS, Job, Outcome, Outcomes, pack, run_one, unpack
from tenk.errors import StoppedError, UsageError
from tenk.files import locked, write_atomically
from tenk.runs import Run
from tenk.training import StopSignals

if TYPE_CHECKING:
    import ray

ANSWER_SECONDS = 20.0
"""Longest wait for a cluster to answer; Ray itself would wait for a quarter of an hour."""

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns of a change to come
}
_ONE_MACHINE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Where Ray supports no cluster it listens on the loopback address alone, as it should for a machine by itself."""


def check_installed() -> None:
    """Tell early whether Ray is there.

    Raises:
        UsageError: it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError("ray is not installed. run: pip install 'tenk[study]', or give --engine processes")


class RayEngine:
    """Trains as tasks of a Ray cluster: the one at `address`, or one of this machine alone, as long as it is needed.

    Nodes need no shared disk: the data set goes to them through Ray, the files of a run come back as values.
    """

    def __init__(self, workers: int, threads: int, address: str | None = None, gpu: bool = False) -> None:
        """Connect to the cluster, or start one with room for `workers` runs of `threads` cores each.

        Raises:
            UsageError: nothing answers at the address, or no node is large enough for a run.
        """
        self._needs = {"CPU": threads, "GPU": int(gpu)}
        self._ray = _connect(address, workers * threads)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        self.slots = sum(
            min(int(node.get(kind, 0)) // needed for kind, needed in self._needs.items() if needed) for node in nodes
        )
        if not self.slots:
            self._ray.shutdown()
            needs = f"{threads} cores{' and a GPU' if gpu else ''}"
            raise UsageError(f"no node of the cluster has {needs} for a run. give other --threads or --device")

    def run(self, jobs: Sequence[Job], dataset: Dataset, signals: StopSignals) -> Outcomes:
        """Train the jobs wherever there is room; Ray itself runs a task again whose worker or node has died."""
        far = self._ray.remote(
            num_cpus=self._needs["CPU"],
            num_gpus=self._needs["GPU"],
            max_retries=MOST_DEATHS,
            retry_exceptions=[InterruptedError],
        )(_train_far)
        packed = self._ray.put(pack(dataset))
        pending = {far.remote(job, packed, self._needs["CPU"]): job for job in jobs}
        try:
            while pending and not signals.received:
                for reference in self._ray.wait(list(pending), timeout=POLL_SECONDS)[0]:
                    yield self._collect(reference, pending.pop(reference))
        finally:
            self._stop(list(pending))

    def _collect(self, reference: ray.ObjectRef[Any], job: Job) -> Outcome:
        """Return what has become of a job, its run folder written."""
        try:
            outcome, files = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            return Outcome(job, error=f"{type(error.cause).__name__}: {error.cause}")
        except self._ray.exceptions.RayError as error:
            return Outcome(job, error=f"worker died ({type(error).__name__})")
        return _write(outcome, files)

    def _stop(self, references: list[ray.ObjectRef[Any]]) -> None:
        try:
            for reference in references:
                self._ray.cancel(reference)
            if references:  # each ends its step and removes its folder
                self._ray.wait(references, num_returns=len(references), timeout=STOP_SECONDS)
        finally:
            self._ray.shutdown()


def _train_far(job: Job, packed: dict[str, Any], threads: int) -> tuple[Outcome, dict[str, bytes]]:
    """Train one run in a folder of this node, and return what has become of it with the folder's files."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory(prefix="tenk-") as name:
        near = replace(job, folder=Path(name) / job.folder.name)
        try:
            outcome = run_one(near, unpack(packed))
        except StoppedError as stopped:  # this node is being shut down, or the study stopped
            raise InterruptedError(str(stopped)) from None
        files = {path.name: path.read_bytes() for path in near.folder.glob("[!.]*") if path.is_file()}
    return replace(outcome, job=job, error=outcome.error.replace(str(near.folder), str(job.folder))), files


def _write(outcome: Outcome, files: dict[str, bytes]) -> Outcome:
    """Write the files of a run into its own folder; the result last, since it marks the run as finished."""
    folder, result = outcome.job.folder, outcome.result
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, wait_seconds=STOP_SECONDS):
        for name, content in files.items():
            if name != "result.json":
                write_atomically(folder / name, content)
        if result:
            result = replace(result, run_dir=str(folder))
            Run(folder).write_result(result)
    return replace(outcome, result=result)


def _connect(address: str | None, cores: int) -> Any:
    """Return the module `ray`, connected."""
    check_installed()
    for name, value in (_SETTINGS | ({} if address else _ONE_MACHINE)).items():
        os.environ.setdefault(name, value)
    if address:
        _check_answers(address)
    import ray

    options: dict[str, Any] = {} if address else {"num_cpus": cores, "include_dashboard": False}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"cannot join the Ray cluster: {address or 'of this machine'} ({type(error).__name__}: {reason}). "
            "run tenk on one of its nodes, or give --engine processes"
        ) from None
    return ray


def _check_answers(address: str) -> None:
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=ANSWER_SECONDS)  # noqa: S603
    except (subprocess.SubprocessError, OSError):
        raise UsageError(
            f"no Ray cluster answers: {address}. start one with: ray start --head, or give --engine processes"
        ) from None
