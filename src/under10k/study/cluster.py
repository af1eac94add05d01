"""The runs of a study on a Ray cluster; the only file that imports Ray."""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from under10k.data import Dataset
from under10k.errors import StoppedError, UsageError, explain_os_error, missing_library
from under10k.files import locked, write_atomically
from under10k.runs import Run
from under10k.study.engines import (
    MOST_DEATHS,
    POLL_SECONDS,
    SAVE_SECONDS,
    STOP_SECONDS,
    Job,
    Outcome,
    Outcomes,
    pack,
    run_one,
    spawn,
    unpack,
)
from under10k.training import StopSignals

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


ANSWER_SECONDS = 30.0
"""Longest wait for a cluster to answer; Ray itself would wait for a quarter of an hour."""


START_SECONDS = 120.0
"""Longest wait for Ray on this machine to start."""


Files = dict[str, bytes]
"""The files of a run folder by their names."""


def check_installed() -> None:
    """Check early that Ray is installed.

    Raises:
        UsageError: it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError(f"{missing_library('ray', 'study')}, or give engine='processes'")


class RayEngine:
    """Trains as tasks of a Ray cluster: the one at `address`, or one on this machine alone, for as long as needed.

    Nodes need no shared disk: the data set goes to them through Ray, the files of a run come back as values. Ray is
    talked to in a process of its own, which it ends at once where it loses the cluster.
    """

    def __init__(self, workers: int, threads: int, address: str | None = None, gpu: bool = False) -> None:
        """Connect to the cluster, or start one with room for `workers` runs of `threads` cores each.

        Raises:
            UsageError: nothing answers at the address, or no node has room for a run.
        """
        self._name = f"the Ray cluster at {address}" if address else "the Ray of this machine"
        self._folder = _make_private_folder()
        self._process, self._pipe = spawn(_drive, _Needs(workers, threads, address, gpu), self._folder.name)
        try:
            self._pipe.recv()  # its libraries are loaded
            answered = self._pipe.poll(ANSWER_SECONDS if address else START_SECONDS)
            answer = self._pipe.recv() if answered else _explain(self._last_words())
        except (EOFError, OSError):
            answer = _explain(self._last_words())
        if isinstance(answer, str):
            self._process.kill()
            self._end()
            raise UsageError(f"cannot join {self._name} {answer}")
        self.slots: int = answer

    def run(self, jobs: Sequence[Job], dataset: Dataset, signals: StopSignals) -> Outcomes:
        """Train the jobs wherever there is room; Ray itself runs a task again whose worker or node has died."""
        left = len(jobs)
        try:
            with suppress(OSError):  # the cluster is gone already, as the first answer will show
                self._pipe.send((list(jobs), pack(dataset)))
            while left and not signals.received:
                if self._pipe.poll(POLL_SECONDS):
                    outcome, files = self._receive()
                    left -= 1
                    yield _write(outcome, files)
        finally:
            self._end()

    def _receive(self) -> tuple[Outcome, Files]:
        try:
            received: tuple[Outcome, Files] = self._pipe.recv()
            return received
        except (EOFError, OSError):
            raise UsageError(
                f"{self._name} is gone. finished runs are kept: give the same command again, or engine='processes'"
            ) from None

    def _last_words(self) -> str:
        """Return the last line of what Ray logs, without time, process and source."""
        log = Path(self._folder.name) / _LOG
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
        said = [line for line in lines if re.match(r"\[|\w+(\.\w+)*Error", line)]
        return re.sub(r"^\[.*?\] \S+:\d+:\s*", "", said[-1]) if said else "no answer"

    def _end(self) -> None:
        """Let Ray's process end its tasks and itself."""
        try:
            self._pipe.close()
            self._process.join(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.join()
            self._folder.cleanup()


@dataclass(frozen=True)
class _Needs:
    workers: int
    threads: int
    address: str | None
    gpu: bool


_LOG = "log"
"""What Ray prints, in the private folder."""


def _make_private_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a temporary folder for all that Ray writes, which others on this machine cannot enter."""
    place = os.environ.get("RAY_TMPDIR") or ("/tmp" if sys.platform == "darwin" else None)  # noqa: S108
    # the path of macOS' own is too long for Ray's sockets
    return tempfile.TemporaryDirectory(prefix="under10k-", dir=place, ignore_cleanup_errors=True)


def _explain(said: str) -> str:
    """Return why a cluster cannot be joined, in brackets, and what to do about it."""
    versions = re.findall(r"Ray: (\S+)\s+Python: (\S+)", said)
    if len(versions) != 2:
        words = said.strip().partition("\n")[0]
        return f"({words}). run under10k on a node of a cluster, or give engine='processes'"
    (ray, python), (our_ray, our_python) = versions
    remedies = ([f"Python {python}"] if python != our_python else []) + ([f"ray=={ray}"] if ray != our_ray else [])
    return (
        f"(it runs Ray {ray} on Python {python}, here is Ray {our_ray} on Python {our_python}). "
        f"install {' and '.join(remedies)} here, or give engine='processes'"
    )


def _drive(pipe: Connection, needs: _Needs, folder: str) -> None:
    """Hand jobs out to Ray and outcomes back, until all are done or the pipe ends; all that Ray's process does."""
    if sys.platform != "win32":
        os.setpgrp()  # what Ray starts must not receive Ctrl-C either
    log = os.open(Path(folder) / _LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):  # Ray prints on both
        os.dup2(log, stream)
    with suppress(EOFError, OSError):  # the pipe has ended: the study is stopped, or gone
        pipe.send(None)
        try:
            ray = _connect(needs, folder)
            slots = _count_slots(ray, needs)
        except Exception as error:
            pipe.send(_explain(f"{type(error).__name__}: {error}"))
            return
        pipe.send(slots)
        jobs, packed = pipe.recv()
        _distribute(ray, pipe, jobs, packed, needs)
    driver = multiprocessing.parent_process()
    if driver and not driver.is_alive():
        shutil.rmtree(folder, ignore_errors=True)  # a driver that was killed cannot


def _connect(needs: _Needs, folder: str) -> Any:
    """Return the module `ray`, connected; where it is started here, all that it writes goes below `folder`."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    options: dict[str, Any] = {}
    if needs.address is None:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # without clusters, Ray listens on loopback alone
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # else it would leave one in the home folder
        options = {
            "num_cpus": needs.workers * needs.threads,
            "include_dashboard": False,
            "_temp_dir": str(Path(folder) / "ray"),  # which it opens to everyone; the folder around it stays private
        }
    import ray

    ray.init(needs.address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    return ray


def _count_slots(ray: Any, needs: _Needs) -> int:
    """Return how many runs the nodes have room for at a time."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    slots = [int(node.get("CPU", 0)) // needs.threads for node in nodes]
    if needs.gpu:
        slots = [min(count, int(node.get("GPU", 0))) for count, node in zip(slots, nodes, strict=True)]
    if not sum(slots):
        room = f"{needs.threads} cores{' and a GPU' if needs.gpu else ''}"
        raise UsageError(f"no node has {room} for a run")
    return sum(slots)


def _distribute(ray: Any, pipe: Connection, jobs: Sequence[Job], packed: dict[str, Any], needs: _Needs) -> None:
    """Have every job trained somewhere, and send back the outcomes."""
    far = ray.remote(
        num_cpus=needs.threads,
        num_gpus=int(needs.gpu),
        max_retries=MOST_DEATHS,
        retry_exceptions=[InterruptedError],
    )(_train_far)
    data = ray.put(packed)
    pending = {far.remote(job, data, needs.threads): job for job in jobs}
    try:
        while pending and not pipe.poll():
            for reference in ray.wait(list(pending), timeout=POLL_SECONDS)[0]:
                pipe.send(_collect(ray, reference, pending.pop(reference)))
    finally:
        for reference in pending:
            ray.cancel(reference)
        if pending:  # each ends its step and removes its folder
            ray.wait(list(pending), num_returns=len(pending), timeout=SAVE_SECONDS / 2)
        ray.shutdown()


def _collect(ray: Any, reference: Any, job: Job) -> tuple[Outcome, Files]:
    try:
        found: tuple[Outcome, Files] = ray.get(reference)
        return found
    except ray.exceptions.RayTaskError as error:
        return Outcome(job, error=f"{type(error.cause).__name__}: {error.cause}"), {}
    except ray.exceptions.RayError as error:
        return Outcome(job, error=f"worker died ({type(error).__name__}), {MOST_DEATHS + 1} times in a row"), {}


def _train_far(job: Job, packed: dict[str, Any], threads: int) -> tuple[Outcome, Files]:
    """Train one run in a folder of this node, and return the outcome with the folder's files."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory(prefix="under10k-") as name:
        near = replace(job, folder=Path(name) / job.folder.name)
        try:
            outcome = run_one(near, unpack(packed))
        except StoppedError as stopped:  # the node is shutting down, or the study is stopped
            raise InterruptedError(str(stopped)) from None
        files = {path.name: path.read_bytes() for path in near.folder.glob("[!.]*") if path.is_file()}
    return replace(outcome, job=job, error=outcome.error.replace(str(near.folder), str(job.folder))), files


def _write(outcome: Outcome, files: Files) -> Outcome:
    """Write the files of a run into its own folder; the result last, since it marks the run as finished."""
    folder, result = outcome.job.folder, outcome.result
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, wait_seconds=STOP_SECONDS):
            # first what makes it a run, which any engine can resume, should this one be killed here
            for name in sorted(files, key=lambda name: (name != "environment.json", name != "recipe.json")):
                if name != "result.json":
                    write_atomically(folder / name, files[name], follow=False)
            if result:
                result = replace(result, run_dir=str(folder))
                Run(folder).write_result(result)
    except OSError as error:
        return Outcome(outcome.job, error=explain_os_error(error), note=outcome.note)
    return replace(outcome, result=result)
