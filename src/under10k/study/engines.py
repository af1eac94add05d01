"""Engines that train the runs of a study: in this process one by one or all as one, or in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import torch

from under10k.data import Dataset, Digits
from under10k.errors import BusyError, ModelError, StoppedError, Under10kError, UsageError, explain_os_error
from under10k.files import locked
from under10k.recipes import Recipe
from under10k.runs import Batch, Position, Result, Run
from under10k.training import Report, StopSignals, train, train_stacked

if TYPE_CHECKING:
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection as Connection
    else:
        from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess


MOST_DEATHS = 3
"""How often a run is given to another worker after its own has died."""


POLL_SECONDS = 0.2
"""How soon a signal to the driver is noticed."""


STOP_SECONDS = 60.0
"""Longest wait for a worker that a killed driver left behind to end its step and save."""


SAVE_SECONDS = 8.0
"""Longest wait, once a study is stopped, for all its workers to save; a run killed then resumes from its checkpoint."""


@dataclass(frozen=True)
class Job:
    """One run of a study, to be trained."""

    variant: str
    """The label of its recipe in the plan."""
    recipe: Recipe
    """With the run's seed."""
    folder: Path
    """The run folder."""
    device: str = "auto"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job: a result, or one line that says why there is none."""

    job: Job
    result: Result | None = None
    error: str = ""
    note: str = ""
    """A warning, such as about a damaged folder that was set aside."""


Outcomes = Generator[Outcome, None, None]


class Engine(Protocol):
    """A place where runs are trained, several at a time."""

    slots: int
    """How many runs are trained at a time."""

    def run(self, jobs: Sequence[Job], dataset: Dataset, signals: StopSignals) -> Outcomes:
        """Train each job and yield its outcome as soon as there is one; end early once a signal is received."""
        ...


def run_one(job: Job, dataset: Dataset, reports: Sequence[Report] = ()) -> Outcome:
    """Train one run, from its start or its last checkpoint, and return the outcome.

    An error is part of the outcome, so that the other runs go on; only a stop is raised.

    Raises:
        StoppedError: SIGINT or SIGTERM arrived; the state is saved.
    """
    note = ""
    try:
        while True:
            begun = _has_begun(job.folder)
            try:
                return Outcome(job, _train(job, dataset, reports, resume=begun), note=note)
            except ModelError as error:
                if not begun:
                    raise
                note = set_aside(job.folder, str(error))
            except (BusyError, UsageError) as error:
                if isinstance(error, UsageError) and (begun or Run(job.folder).is_unbegun()):
                    raise
                # else a worker whose driver was killed came first, and has begun the run meanwhile
    except StoppedError:
        raise
    except Under10kError as error:
        return Outcome(job, error=str(error), note=note)
    except OSError as error:
        return Outcome(job, error=explain_os_error(error), note=note)
    except Exception as error:
        return Outcome(job, error=f"{type(error).__name__}: {error}", note=note)


def _has_begun(folder: Path) -> bool:
    """Tell whether a run folder, made if need be, holds anything to resume, once nobody is at work there."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, wait_seconds=STOP_SECONDS):  # a worker whose driver was killed may be saving its last step
        return not Run(folder).is_unbegun()


def _train(job: Job, dataset: Dataset, reports: Sequence[Report], *, resume: bool) -> Result:
    return train(job.recipe, dataset, job.folder, resume, device=job.device, reports=reports)


def set_aside(folder: Path, reason: str) -> str:
    """Rename a run folder that cannot be used to `<name>.damaged`, and return a sentence that says so."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.damaged{'' if number == 1 else f'-{number}'}")).exists():
        number += 1
    folder.rename(aside)
    return f"set aside as {aside}, trained anew: {reason}"


class SerialEngine:
    """Trains one run after the other in this process."""

    slots = 1

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def run(self, jobs: Sequence[Job], dataset: Dataset, signals: StopSignals) -> Outcomes:
        """Train each job; a signal belongs to the training under way."""
        with _computing_on(self.threads), suppress(StoppedError):  # the signal is in `signals` too
            for job in jobs:
                if signals.received:
                    return
                yield run_one(job, dataset)


class StackedEngine:
    """Trains the runs of a recipe as one network in this process, so many at a time: for a GPU."""

    def __init__(self, lanes: int, threads: int) -> None:
        self.slots, self.threads = lanes, threads

    def run(self, jobs: Sequence[Job], dataset: Dataset, signals: StopSignals) -> Outcomes:
        """Train the jobs of each recipe; a run that cannot be resumed is trained anew, by itself."""
        with _computing_on(self.threads), suppress(StoppedError):  # the signal is in `signals` too
            for variant in dict.fromkeys(job.variant for job in jobs):
                of_variant = [job for job in jobs if job.variant == variant]
                for start in range(0, len(of_variant), self.slots):
                    if signals.received:
                        return
                    yield from self._train(of_variant[start : start + self.slots], dataset)

    def _train(self, jobs: Sequence[Job], dataset: Dataset) -> Iterator[Outcome]:
        runs = [(job.recipe, job.folder, _has_begun(job.folder)) for job in jobs]
        try:
            found = train_stacked(runs, dataset, device=jobs[0].device)
        except StoppedError:
            raise
        except (Under10kError, OSError) as error:
            line = explain_os_error(error) if isinstance(error, OSError) else str(error)
            yield from (Outcome(job, error=line) for job in jobs)
            return
        for job, one in zip(jobs, found, strict=True):
            if isinstance(one, ModelError):
                yield run_one(job, dataset)
            else:
                yield Outcome(job, one) if isinstance(one, Result) else Outcome(job, error=str(one))


class ProcessEngine:
    """Trains in worker processes on this machine; one that dies is replaced, and its run is resumed."""

    def __init__(self, workers: int, threads: int) -> None:
        self.slots, self.threads = workers, threads

    def run(self, jobs: Sequence[Job], dataset: Dataset, signals: StopSignals) -> Outcomes:
        """Train the jobs, in their order, as workers come free."""
        waiting, deaths, hired = deque(jobs), Counter[Path](), list[_Worker]()
        try:
            while not signals.received:
                busy = [worker for worker in hired if worker.job]
                while waiting and len(busy) < self.slots:
                    busy.append(_Worker(waiting.popleft(), dataset, self.threads))
                    hired.append(busy[-1])
                if not busy:
                    return
                ready = wait([worker.pipe for worker in busy], POLL_SECONDS)
                for worker in (worker for worker in busy if worker.pipe in ready):
                    job, outcome = worker.job, None
                    assert job
                    try:
                        outcome = worker.receive()
                    except (EOFError, OSError):  # the pipe has ended, and so has the worker
                        worker.job = None
                        deaths[job.folder] += 1
                        if deaths[job.folder] <= MOST_DEATHS:
                            waiting.appendleft(job)
                        else:
                            outcome = Outcome(job, error=f"{worker.autopsy()}, {deaths[job.folder]} times in a row")
                    else:
                        if outcome:
                            worker.give(waiting.popleft() if waiting else None)
                    if outcome:
                        yield outcome
        finally:
            _dismiss(hired)


def spawn(target: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """Start a process with one end of a pipe and the arguments, and return it with the other end.

    It never receives Ctrl-C, which a terminal sends to all: the driver ends it in order, by closing the pipe. It
    imports what the arguments need and not the caller's script, which needs no `if __name__ == "__main__"`.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads in the middle of their work
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    with _blocked(signal.SIGINT), _hidden_script():
        process.start()
    theirs.close()  # or the pipe would not end with the process
    return process, ours


class _Worker:
    """A worker process as its driver sees it."""

    def __init__(self, job: Job, dataset: Dataset, threads: int) -> None:
        self.job: Job | None = job
        self._dataset = dataset
        with _environment("OMP_NUM_THREADS", str(threads)):
            self.process, self.pipe = spawn(_serve, threads)

    def receive(self) -> Outcome | None:
        """Return the outcome of the job; None if the worker has just started, and is sent its data and the job."""
        outcome: Outcome | None = self.pipe.recv()
        if outcome is None:
            self.pipe.send(pack(self._dataset))
            self.pipe.send(self.job)
        return outcome

    def give(self, job: Job | None) -> None:
        """Send the next job; without one, let the worker end."""
        self.job = job
        if job is None:
            self.pipe.close()
            return
        with suppress(OSError):  # it has just died, as `receive` will find
            self.pipe.send(job)

    def autopsy(self) -> str:
        """Return what the worker died of."""
        self.process.join(STOP_SECONDS)
        code = self.process.exitcode
        return f"worker died (signal {-code})" if code and code < 0 else f"worker died (exit code {code})"


def _dismiss(workers: Sequence[_Worker]) -> None:
    """Let workers save their runs and end; kill those that do not, or all of them if a signal is repeated."""
    try:
        for worker in workers:
            worker.pipe.close()
        deadline = time.monotonic() + SAVE_SECONDS
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


def _serve(pipe: Connection, threads: int) -> None:
    """Train the jobs that come through the pipe until it ends; the whole life of a worker process."""
    torch.set_num_threads(threads)
    with suppress(EOFError, OSError):  # the pipe has ended: the driver closed it, or is gone
        pipe.send(None)
        dataset = unpack(pipe.recv())
        while True:
            try:
                outcome = run_one(pipe.recv(), dataset, [_StopWhenAlone(pipe)])
            except StoppedError as stopped:
                sys.exit(stopped.exit_code)
            pipe.send(outcome)


class _StopWhenAlone(Report):
    """Stops a training, saved, once the driver's end of the pipe is closed, as by its death."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def step(self, position: Position, batch: Batch) -> None:
        """Check that the driver is still there: if not, there is an end of file to read, on Windows an error."""
        try:
            gone = self.pipe.poll()
        except OSError:
            gone = True
        if gone:
            StopSignals.request()


def pack(dataset: Dataset) -> dict[str, Any]:
    """Return a data set as arrays; tensors would go through shared memory, of which containers have little."""
    halves = [(digits.images.cpu().numpy(), digits.labels.cpu().numpy()) for digits in (dataset.train, dataset.test)]
    return {"name": dataset.name, "note": dataset.note, "halves": halves}


def unpack(packed: dict[str, Any]) -> Dataset:
    """Return the data set that was packed."""
    train, test = (Digits(torch.tensor(images), torch.tensor(labels)) for images, labels in packed["halves"])
    return Dataset(packed["name"], train, test, packed["note"])


@contextmanager
def _computing_on(threads: int) -> Iterator[None]:
    """Have torch compute on so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for the processes started meanwhile."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _blocked(number: signal.Signals) -> Iterator[None]:
    """Block a signal, for good in the processes started meanwhile; Windows cannot."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # which the first process to start would start, and so unblock all signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _hidden_script() -> Iterator[None]:
    """Keep processes started meanwhile from importing the caller's script, which would run all of it again."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")  # without a file, as in an interactive Python
    try:
        yield
    finally:
        sys.modules["__main__"] = script
